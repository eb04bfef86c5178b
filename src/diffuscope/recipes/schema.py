"""What is a recipe? Everything that a run depends on besides its data."""

from __future__ import annotations

import difflib
import inspect
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)
from torch import nn

from diffuscope.data.kinds import KINDS, section_of
from diffuscope.data.section import DataSection
from diffuscope.diffusion.denoiser import Conditioning, Denoiser, Prediction
from diffuscope.diffusion.losses import Distance, Loss, Target, Times, Weighting
from diffuscope.diffusion.masked import FLAGS, Choices, Factors, MaskedDenoiser, MaskedLoss
from diffuscope.diffusion.samplers import SAMPLERS, make_sampler
from diffuscope.diffusion.schedules import SCHEDULES, DiscreteSchedule, Schedule, Spacing, make_schedule
from diffuscope.errors import InputError, unknown_name
from diffuscope.networks import NETWORKS, network_kind
from diffuscope.precision import Precision
from diffuscope.recipes.settings import check_settings
from diffuscope.recipes.toml import check_tree, parse_toml, read_text

__all__ = ["CUSTOM", "MOST_STEPS", "Recipe", "parse_recipe", "read_recipe"]

CUSTOM = "custom"
"""The name of a part that is a custom Python object, which a recipe alone cannot make again."""

MOST_STEPS = 100_000
"""Of a schedule or of sampling. Bounds keep a foreign recipe from using all memory."""

MOST_WEIGHTS = 2**30
"""Of a network; training takes 16 to 20 bytes for each."""

_MAY_BE_0 = ("depth", "n_directions", "embedding", "freq_shift", "downsample_padding")

_BY_DATA = ("dimension", "n_steps", "flags", "shape", "classes")  # arguments that follow from elsewhere

_Count = Annotated[int, Field(ge=1, le=10**9)]  # of epochs, steps
_Milliseconds = Annotated[int, Field(ge=1, le=60_000)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class _Named(_Section):
    """A section with the name of a part; further keys are that part's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    name: str
    """Name of the part (diffuscope list)."""

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    def _complete(
        self, kind: str, registry: Mapping[str, Callable[..., Any]], fixed: tuple[str, ...] = ()
    ) -> None:
        """Fill in the defaults of the part's own settings; refuse unknown ones."""
        if self.name == CUSTOM:
            if self.settings:
                raise InputError(
                    f"{next(iter(self.settings))} cannot be set: the {kind} is a custom Python object.",
                    f"Set it where the {kind} is made.",
                )
            return
        if self.name not in registry:
            raise unknown_name(kind, self.name, registry)
        extra = self.__pydantic_extra__
        assert extra is not None
        extra.update(check_settings(kind, self.name, registry[self.name], extra, fixed))


class ScheduleSection(_Named):
    """The schedule's name and its settings (start, end, T; sigma_min, ...)."""

    zero_terminal_snr: bool = False
    """Whether a discrete schedule is rescaled so that its last step is pure noise."""

    @model_validator(mode="after")
    def _check(self) -> ScheduleSection:
        self._complete("schedule", SCHEDULES)
        if self.settings.get("T", 1) > MOST_STEPS:
            raise InputError(
                f"A schedule of T = {self.settings['T']:,} steps is too long.",
                f"Choose T of at most {MOST_STEPS:,}.",
            )
        if self.name != CUSTOM:
            self.make()
        return self

    def make(self) -> Schedule:
        """Make the schedule."""
        return make_schedule(self.name, zero_terminal_snr=self.zero_terminal_snr, **self.settings)


class NetworkSection(_Named):
    """The network's name and its settings (width, depth, ...)."""

    @model_validator(mode="after")
    def _check(self) -> NetworkSection:
        self._complete("network", NETWORKS, fixed=_BY_DATA)
        for key, value in self.settings.items():
            least = 0 if key in _MAY_BE_0 else 1
            most = 1000 if key == "depth" else 2**16
            if type(value) is int and not least <= value <= most:
                raise InputError(
                    f"{key} = {value:,} of the network {self.name!r} is out of range.",
                    f"Choose {least} to {most:,}.",
                )
        return self


class DenoiserSection(_Section):
    """How the network's output is read."""

    prediction: Prediction = "noise"
    """What the output means: noise, data, velocity, flow or edm."""
    sigma_data: _PositiveFloat = 1.0
    """Standard deviation of the data in the units of the model, for edm."""
    conditioning: Conditioning | None = None
    """How the level is given to the network, time or log_snr; None: as the network says."""
    partial: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the training rows of which some coordinates are masked (known or absent); 0: no masks."""
    factors: Annotated[int, Field(ge=0, le=256)] = 0
    """Number of factors of a normal distribution to which the output of such a network is added; 0: none."""

    @model_validator(mode="after")
    def _check(self) -> DenoiserSection:
        if self.factors and (self.prediction != "edm" or not self.partial):
            raise InputError(
                "denoiser.factors needs denoiser.prediction = 'edm' and denoiser.partial above 0.",
                "Set these, or denoiser.factors = 0.",
            )
        return self


class LossSection(_Section):
    """Distance and weighting of the loss."""

    distance: Distance | Literal["custom"] = "l2"
    """Between output and target: l2, l1 or huber."""
    weighting: Weighting = "none"
    """Of the noise levels: none, min_snr or edm."""
    gamma: _PositiveFloat = 5.0
    """The upper bound of min_snr."""
    delta: _PositiveFloat = 1.0
    """Where huber changes from squared to linear."""
    target: Target = "sample"
    """The clean point itself (sample), or the mean of its group by posterior probabilities (posterior)."""
    group: Annotated[int, Field(ge=1, le=2**20)] = 256
    """Points in a group of the posterior target."""

    def make(self, partial: float = 0.0) -> Loss:
        """Make the loss; a share ``partial`` of the points is masked."""
        if self.distance == "custom":
            raise InputError("The loss of this recipe is a custom Python object.", "Pass it again: loss=...")
        return MaskedLoss(**self.model_dump(), partial=partial) if partial else Loss(**self.model_dump())


class TimesSection(_Section):
    """How the times of training are drawn."""

    kind: Literal["uniform", "antithetic", "log_normal"] = "uniform"
    """How noise levels are drawn in training: uniform, antithetic (pairs t and T - 1 - t) or log_normal."""
    mean: _Finite = -1.2
    """Of the logarithm of the noise-to-signal ratio, for log_normal."""
    std: _PositiveFloat = 1.2
    """Of the logarithm of the noise-to-signal ratio, for log_normal."""
    stratified: bool = False
    """Whether a batch covers the levels evenly, which lowers the variance of its loss."""

    def make(self) -> Times:
        """Make the drawing of times."""
        return Times(**self.model_dump())


class TrainingSection(_Section):
    """Length, batches and optimiser. Exactly one of ``epochs`` and ``steps`` is set."""

    epochs: _Count | None = None
    """Number of passes over the data; or set steps."""
    steps: _Count | None = None
    """Number of optimiser steps; or set epochs."""
    batch_size: Annotated[int, Field(ge=1, le=2**20)] = 128
    """Examples in a batch."""
    batches: Literal["shuffled", "stream"] = "shuffled"
    """``shuffled``: the last batch of an epoch may be smaller; ``stream``: all batches are full."""
    learning_rate: _PositiveFloat = 1e-3
    """Learning rate of Adam."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    """Decays of the moments of Adam."""
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the steps over which the learning rate rises from 0."""
    decay: Literal["none", "linear"] = "none"
    """Whether the learning rate then falls to 0 at the end."""
    clip_norm: _PositiveFloat | None = None
    """The largest norm of a gradient; None: not clipped."""
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the average of weights; 0: none. It warms up, so that short runs are not spoilt."""
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows that are held out; their loss decides which weights are kept, and when training
    stops. 0: none are held out."""
    checkpoint_every: _Count = 5000
    """Steps between checkpoints."""
    accumulate: Annotated[int, Field(ge=1, le=2**20)] = 1
    """Number of parts into which a batch is split to save memory (gradient accumulation)."""
    precision: Precision = "float32"
    """Precision of the network's matrix products; weights stay in float32. ``auto``: 16 bits where the device
    supports them in hardware."""
    reflow: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    """Pairs of start and end, drawn with the run to start from, on which a flow is trained again; 0: none."""
    drop_labels: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the images that are trained without their class, for classifier-free guidance."""
    compile: bool = False
    """Whether to use ``torch.compile``: faster steps after a minute or more of compilation."""

    @model_validator(mode="after")
    def _check(self) -> TrainingSection:
        if (self.epochs is None) == (self.steps is None):
            raise InputError("A recipe must set exactly one of training.epochs and training.steps.")
        return self


class SamplingSection(_Named):
    """The sampler (``name``), its number of steps, their spacing, and its own settings."""

    name: str = "ddpm"
    """The sampler, see diffuscope list samplers."""
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 100
    """Number of sampling steps."""
    spacing: Spacing = "uniform"
    """Of the steps: uniform, trailing or karras."""
    rho: _PositiveFloat = 7.0
    """The exponent of the spacing karras."""
    precision: Precision = "float32"
    """Precision of the network's matrix products in sampling."""
    guidance: Annotated[float, Field(ge=0, le=1000)] = 1.0
    """Scale of classifier-free guidance for conditional samples."""
    guidance_interval: tuple[_NotNegative, Annotated[float, Field(gt=0)]] = (0.0, math.inf)
    """Noise-to-signal ratios between which guidance is applied."""

    @model_validator(mode="after")
    def _check(self) -> SamplingSection:
        self._complete("sampler", SAMPLERS)
        if self.name != CUSTOM:
            make_sampler(self.name, **self.settings)
        low, high = self.guidance_interval
        if low >= high:
            raise InputError(
                f"sampling.guidance_interval = [{low:g}, {high:g}] is not valid.",
                "Give two noise-to-signal ratios, the smaller first, such as [0.2, 5.0].",
            )
        return self


class PicturesSection(_Section):
    """What a finished run draws."""

    forward: Literal["first_steps", "whole"] = "whole"
    """Figure and GIF of the forward process: the first steps of the schedule, or all from data to noise."""
    forward_frames: Annotated[int, Field(ge=1, le=1000)] = 30
    """Frames of the animation of the forward process."""
    forward_ms: _Milliseconds = 60
    """How long each of them is shown, in milliseconds."""
    reverse_every: _Count = 1
    """The GIF of sampling shows every so many steps."""
    reverse_ms: _Milliseconds = 60
    """How long each frame of sampling is shown, in milliseconds."""
    row_every: _Count | None = None
    """Epochs between figures of sampling during training."""
    joined: bool = False
    """Whether to also write one GIF of the forward process followed by sampling."""


class Recipe(_Section):
    """Everything that a run depends on besides its data; :func:`read_recipe` reads one from TOML."""

    name: Annotated[str, Field(max_length=1000)]
    """Name of the recipe."""
    description: Annotated[str, Field(max_length=100_000)] = ""
    """What it is for."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of all random numbers."""
    data: SerializeAsAny[DataSection] = Field(default_factory=lambda: section_of("points")())  # type: ignore[call-arg]
    schedule: ScheduleSection
    network: NetworkSection
    denoiser: DenoiserSection = DenoiserSection()
    loss: LossSection = LossSection()
    times: TimesSection = TimesSection()
    training: TrainingSection
    sampling: SamplingSection = SamplingSection()
    pictures: PicturesSection = PicturesSection()

    @field_validator("data", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any) -> Any:
        """Read the section as one of its kind of data."""
        if not isinstance(value, Mapping):
            return value
        kind = value.get("kind", "points")
        return section_of(str(kind)).model_validate({**value, "kind": kind})

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.schedule.name == CUSTOM or self.sampling.name == CUSTOM:
            return self
        schedule = self.schedule.make()
        schedule.grid(self.sampling.steps, self.sampling.spacing, self.sampling.rho)
        factory = NETWORKS.get(self.network.name)
        if self.denoiser.partial and factory and "flags" not in inspect.signature(factory).parameters:
            raise InputError(
                f"The network {self.network.name!r} does not support masks (denoiser.partial above 0).",
                "Use 'resmlp', or set denoiser.partial = 0.",
            )
        if self.network.name == "article_mlp" and not isinstance(schedule, DiscreteSchedule):
            raise InputError(
                "The network 'article_mlp' needs a discrete schedule, and "
                f"{self.schedule.name!r} is continuous.",
                "Use linear, quadratic, sigmoid or cosine, or the network 'resmlp'.",
            )
        return self

    def __repr__(self) -> str:
        return f"Recipe({self.name!r}, {self.data.kind}: {self.network.name}, schedule {self.schedule.name})"

    def __str__(self) -> str:
        return self.to_toml()

    def make_denoiser(
        self,
        shape: int | tuple[int, ...],
        *,
        columns: Sequence[int] | None = None,
        network: nn.Module | None = None,
        schedule: Schedule | None = None,
        empty: bool = False,
    ) -> Denoiser:
        """Make the untrained denoiser of points (d,), or images (channels, height, width).

        ``columns``, (d,), says to which column each coordinate belongs; by default each is one. ``network``
        and ``schedule`` are the parts that the recipe calls "custom". An ``empty`` network has no memory for
        its weights, which are loaded later.
        """
        for part, given in (("network", network), ("schedule", schedule)):
            if getattr(self, part).name == CUSTOM and given is None:
                raise InputError(
                    f"The {part} of this recipe is a custom Python object, which it does not contain.",
                    f"Pass it again: {part}=...",
                )
        schedule = schedule or self.schedule.make()
        if network is None:
            shape = (shape,) if isinstance(shape, int) else shape
            flags = FLAGS * (len(set(columns)) if columns else shape[0])
            network = self._make_network(shape, flags, schedule, empty)
        reading = self.denoiser
        kind = partial(MaskedDenoiser, columns=columns) if reading.partial else Denoiser
        return kind(network, schedule, reading.prediction, reading.sigma_data, reading.conditioning)

    def _make_network(self, shape: tuple[int, ...], flags: int, schedule: Schedule, empty: bool) -> nn.Module:
        factory = NETWORKS[self.network.name]
        kind = "image" if len(shape) == 3 else "vector"
        if network_kind(factory) != kind:
            suited = sorted(name for name, make in NETWORKS.items() if network_kind(make) == kind)
            raise InputError(
                f"The network {self.network.name!r} does not support points of shape {shape}.",
                f"Choose another (network.name): {', '.join(suited)}.",
            )
        arguments = self.network.settings
        if kind == "image":
            arguments |= {"shape": shape, "classes": len(self.data.class_names)}
        else:
            arguments["dimension"] = shape[0]
            if "n_steps" in inspect.signature(factory).parameters and isinstance(schedule, DiscreteSchedule):
                arguments["n_steps"] = schedule.T
            if self.denoiser.partial:
                arguments["flags"] = flags
            elif "classes" in inspect.signature(factory).parameters:
                arguments["classes"] = len(self.data.class_names)

        def made(place: str) -> nn.Module:
            with torch.device(place):
                network = factory(**arguments)
                if self.denoiser.factors:
                    network.factors = Factors(shape[0], self.denoiser.factors)
                if self.data.categorical and self.denoiser.partial:
                    network.choices = Choices(shape[0])
            return network

        network = made("meta")
        weights = sum(weight.numel() for weight in network.parameters())
        if weights > MOST_WEIGHTS:
            raise InputError(
                f"The network {self.network.name!r} would have {weights:,} weights.",
                f"Choose a smaller one: at most {MOST_WEIGHTS:,} are supported.",
            )
        return network if empty else made("cpu")

    def make_loss(self) -> Loss:
        """Make the loss of the denoiser."""
        return self.loss.make(self.denoiser.partial)

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return a copy with ``changes``, keys such as ``"training.epochs"``, validated anew.

        Changing the name of a schedule, network or sampler drops the settings of the old one; setting
        epochs unsets steps and the other way round.
        """
        self._check_sections(changes)
        changes = {self._full_name(key, changes): value for key, value in changes.items()}
        tree = self.model_dump()
        # Names first: they bring the settings that the other changes are made to.
        for path in sorted(changes, key=lambda path: not path.endswith((".name", ".kind"))):
            value = changes[path]
            *sections, key = path.split(".")
            node = tree
            for section in sections:
                node = node.setdefault(section, {})
                if not isinstance(node, dict):
                    raise InputError(
                        f"There is no setting {path!r}: {section} has no parts.", "Write SECTION.KEY."
                    )
            named = getattr(self, sections[0], None) if len(sections) == 1 and key == "name" else None
            if isinstance(named, _Named) and named.name != value:
                keep = type(named).model_fields
                for old in [k for k in node if k not in keep]:
                    del node[old]
            if path == "data.kind" and value != self.data.kind:
                tree["data"] = {k: v for k, v in node.items() if k in section_of(str(value)).model_fields}
                node = tree["data"]
            if sections == ["training"] and key in ("epochs", "steps"):
                node["epochs"] = node["steps"] = None
            node[key] = value
        return _validated(tree, f"recipe {self.name!r}")

    def _check_sections(self, changes: Mapping[str, Any]) -> None:
        """Raise an InputError for the setting of one section that was given to another."""
        if not any("." in key for key in changes):
            return
        tree = self._named(changes)
        for path in changes:
            section, _, key = path.partition(".")
            own = tree.get(section)
            if section == "data" or not isinstance(own, dict) or key in own or not key:
                continue
            others = [f"{name}.{key}" for name, one in tree.items() if isinstance(one, dict) and key in one]
            if others and not difflib.get_close_matches(key, own, n=1, cutoff=0.8):
                raise InputError(
                    f"There is no setting {path!r}.",
                    f"Did you mean {' or '.join(others)}? List all: diffuscope list settings.",
                )

    def _named(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings, with those of the parts that are chosen by ``changes``."""
        named = {path: value for path, value in changes.items() if path.endswith((".name", ".kind"))}
        whole = len(named) == len(changes)  # nothing but names: they are looked at when they are set
        return (self.changed(named) if named and not whole else self).model_dump()

    def _full_name(self, key: str, changes: Mapping[str, Any]) -> str:
        """Return SECTION.KEY of a setting that may be given without its section."""
        if "." in key or key in type(self).model_fields:
            return key
        tree = self._named(changes)
        sections = {name: section for name, section in tree.items() if isinstance(section, dict)}
        found = [f"{name}.{key}" for name, section in sections.items() if key in section]
        if len(found) == 1:
            return found[0]
        if found:
            where = " and ".join(path.removesuffix(f".{key}") for path in found)
            raise InputError(f"{key!r} is a setting of {where}.", f"Write {' or '.join(found)}.")
        known = {one: f"{name}.{one}" for name, section in sections.items() for one in section}
        known |= {name: name for name in tree if name not in sections}
        near = difflib.get_close_matches(key, known, n=1)
        guess = f"Did you mean {known[near[0]]}? " if near else ""
        raise InputError(f"There is no setting {key!r}.", f"{guess}List all: diffuscope list settings.")

    def to_toml(self) -> str:
        """Return the recipe as TOML, complete: every setting is there, except those without a value."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


def _validated(tree: Any, where: str) -> Recipe:
    check_tree(tree, where)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        cause, place = first.get("ctx", {}).get("error"), first["loc"]
        if isinstance(cause, ValidationError):  # of the section of one kind of data
            first = cause.errors()[0]
            cause, place = first.get("ctx", {}).get("error"), (*place, *first["loc"])
        if isinstance(cause, InputError):
            raise InputError(f"{where}: {cause.what}", cause.hint) from error
        at = ".".join(str(part) for part in place if "[" not in str(part))  # not "literal[...]"
        what, hint = _explained(first, at, tree)
        raise InputError(f"{where}: {what}", hint) from error


def _explained(error: Any, at: str, tree: Any) -> tuple[str, str | None]:
    """Return message and hint for an error of pydantic."""
    if error["type"] == "extra_forbidden":
        section, _, key = at.rpartition(".")
        if "." in section:  # within a setting that has parts, such as data.columns
            return f"there is no setting {at}.", "Leave it out."
        model = Recipe.model_fields[section].annotation if section else Recipe
        if section == "data":
            kind = tree["data"].get("kind", "points")
            for other, where in KINDS.items():
                if other != kind and key in where.load("section").model_fields:
                    what = f"data.{key} is a setting of {other} data; this recipe is for {kind} data."
                    return what, f'Use a recipe with kind = "{other}" in [data] (diffuscope list recipes).'
            model = section_of(kind)
        known = getattr(model, "model_fields", {})
        return f"there is no setting {at}.", unknown_name("setting", key, known).hint
    if error["type"] == "missing":
        return f"{at} is missing.", "Start from a complete recipe: the file recipe.toml of any run directory."
    given = reprlib.repr(error["input"])
    return f"{at} = {given} is not valid.", error["msg"].replace("Input should", "It should") + "."


def read_recipe(path: str | Path) -> Recipe:
    """Read and validate a recipe file.

    Raises
    ------
    InputError
        When a setting is unknown, missing or out of its range.
    FormatError
        When the file is not TOML, or far longer or deeper than a recipe.
    """
    path = Path(path)
    return parse_recipe(read_text(path, "recipe file"), str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """Validate a recipe given as TOML; ``where`` it comes from is what errors say."""
    return _validated(parse_toml(text, where), where)
