"""What is a complete set of choices? A recipe: everything that a run depends on besides its data."""

from __future__ import annotations

import inspect
import math
import reprlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import nn

from diffuscope.data.affine import ScalingKind
from diffuscope.diffusion.denoiser import Conditioning, Denoiser, Prediction
from diffuscope.diffusion.losses import Distance, Loss, Target, Times, Weighting
from diffuscope.diffusion.masked import FLAGS, Choices, Factors, MaskedDenoiser, MaskedLoss
from diffuscope.diffusion.samplers import SAMPLERS, make_sampler
from diffuscope.diffusion.schedules import SCHEDULES, DiscreteSchedule, Schedule, Spacing, make_schedule
from diffuscope.errors import FormatError, InputError, unknown_name
from diffuscope.networks import NETWORKS
from diffuscope.precision import Precision
from diffuscope.recipes.settings import check_settings

__all__ = ["CUSTOM", "MOST_STEPS", "Recipe", "parse_recipe", "read_recipe"]

CUSTOM = "custom"
"""The name of a part that was handed over from Python: a recipe alone cannot make it again."""

MOST_STEPS = 100_000
"""Of a schedule or a walk. Bounds keep a foreign recipe from asking for all memory there is."""

_MOST_UNITS = 2**16
_MOST_LAYERS = 1000
_MAY_BE_0 = ("depth", "n_directions", "embedding", "freq_shift", "downsample_padding")

_TOLD = ("dimension", "n_steps", "flags", "shape", "classes")  # networks, by data and other sections

_SAY_NOTHING: dict[str, dict[str, Any]] = {
    "data": {"skip_broken": False, "flip": False, "labels": True, "classes": ()},
    "network": {"dropout": 0.0},
    "training": {"accumulate": 1, "precision": "float32", "compile": False, "drop_labels": 0.1},
    "sampling": {"precision": "float32", "guidance": 1.0, "guidance_interval": (0.0, math.inf)},
}

_Positive = Annotated[int, Field(ge=1)]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Named(_Section):
    """A section with the name of a part; further keys are that part's own settings."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})

    def _complete(
        self, kind: str, registry: Mapping[str, Callable[..., Any]], fixed: tuple[str, ...] = ()
    ) -> None:
        """Fill in the defaults of the part's own settings; refuse what it does not know."""
        if self.name == CUSTOM:
            if self.settings:
                raise InputError(
                    f"{next(iter(self.settings))} is no setting of a {kind} that is handed over from Python.",
                    f"Set it where the {kind} is made.",
                )
            return
        if self.name not in registry:
            raise unknown_name(kind, self.name, registry)
        extra = self.__pydantic_extra__
        assert extra is not None
        extra.update(check_settings(kind, self.name, registry[self.name], extra, fixed))


class DataSection(_Section):
    """The data: where from, and how it is scaled before the model sees it."""

    source: str | None = None
    """Name of a built-in set or path; None: data handed over from Python."""
    size: _Positive | None = None
    """Points of a built-in set or of a function that draws them; None: its own default."""
    noise: float | None = None
    """Noise of a built-in set, in its units; None: its own default."""
    scaling: ScalingKind = "standard"
    """``standard``: mean 0 and deviation 1 per column; ``divide``: by ``divisor``; or as it is. ``table``:
    columns of any kind, with holes, become coordinates as :mod:`diffuscope.data.tables` makes them.
    ``pixels``: the values 0 to 255 of images become -1 to 1."""
    divisor: _PositiveFloat = 1.0
    target: str | None = None
    """Column of a table that rows can be asked for by; the last in what a model says."""
    categories: Literal["onehot", "bits"] = "onehot"
    """How the categories of a table become coordinates."""
    image_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Height and width that images of a folder are brought to; None: what suits most of them."""
    channels: Literal[1, 3] | None = None
    """Whether such images are grey or in colour; None: grey if all are."""
    skip_broken: bool = False
    """Whether files that are no images are left out, and not refused."""
    flip: bool = False
    """Whether images are shown mirrored as often as not."""
    labels: bool = True
    """Whether the model is told of the classes of images that have some."""
    classes: tuple[str, ...] = ()
    """The names of these classes."""

    @model_validator(mode="after")
    def _check(self) -> DataSection:
        if self.target is not None and self.scaling != "table":
            raise InputError(
                f"A target ({self.target!r}) belongs to a table, and scaling is {self.scaling!r}.",
                "Use the recipe 'table', or set data.scaling to 'table'.",
            )
        return self


class ScheduleSection(_Named):
    """The schedule's name and its settings (start, end, T; sigma_min, ...)."""

    zero_terminal_snr: bool = False

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
        self._complete("network", NETWORKS, fixed=_TOLD)
        for key, value in self.settings.items():
            least = (
                0 if key in ("depth", "n_directions", "embedding", "freq_shift", "downsample_padding") else 1
            )
            most = _MOST_LAYERS if key == "depth" else _MOST_UNITS
            if type(value) is int and not least <= value <= most:
                raise InputError(
                    f"{key} = {value:,} of the network {self.name!r} is out of range.",
                    f"Choose {least} to {most:,}.",
                )
        return self


class DenoiserSection(_Section):
    """How the network's output is read."""

    prediction: Prediction = "noise"
    sigma_data: _PositiveFloat = 1.0
    conditioning: Conditioning | None = None
    partial: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the rows in training of which some coordinates are known or absent; 0: a network that is
    only ever asked for whole points."""
    factors: Annotated[int, Field(ge=0, le=256)] = 0
    """Common factors of a normal law that the answer of such a network is added to; 0: none."""

    @model_validator(mode="after")
    def _check(self) -> DenoiserSection:
        if self.factors and (self.prediction != "edm" or not self.partial):
            raise InputError(
                "Factors go with the prediction 'edm' and a share of partial rows above 0.",
                "Set denoiser.prediction and denoiser.partial so, or denoiser.factors to 0.",
            )
        return self


class LossSection(_Section):
    """Distance and weighting of the loss."""

    distance: Distance | Literal["custom"] = "l2"
    weighting: Weighting = "none"
    gamma: _PositiveFloat = 5.0
    delta: _PositiveFloat = 1.0
    target: Target = "sample"
    group: _Positive = 256

    def make(self, partial: float = 0.0) -> Loss:
        """Make the loss, of points of which a share is partly known or absent."""
        if self.distance == "custom":
            raise InputError(
                "This recipe's loss was handed over from Python.", "Hand it over again: loss=..."
            )
        settings = (self.distance, self.weighting, self.gamma, self.delta, self.target, self.group)
        return MaskedLoss(*settings, partial) if partial else Loss(*settings)


class TimesSection(_Section):
    """How the times of training are drawn."""

    kind: Literal["uniform", "antithetic", "log_normal"] = "uniform"
    mean: _Finite = -1.2
    std: _PositiveFloat = 1.2
    stratified: bool = False

    def make(self) -> Times:
        """Make the drawing of times."""
        return Times(self.kind, self.mean, self.std, self.stratified)


class TrainingSection(_Section):
    """Length, batches and optimiser. Exactly one of ``epochs`` and ``steps`` is set."""

    epochs: _Positive | None = None
    steps: _Positive | None = None
    batch_size: Annotated[int, Field(ge=1, le=2**20)] = 128
    batches: Literal["shuffled", "stream"] = "shuffled"
    """``shuffled``: the last batch of an epoch may be smaller; ``stream``: all batches are full."""
    learning_rate: _PositiveFloat = 1e-3
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the steps over which the learning rate rises from 0."""
    decay: Literal["none", "linear"] = "none"
    """Whether the learning rate then falls to 0 at the end."""
    clip_norm: _PositiveFloat | None = None
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the average of weights; 0: none. It warms up, so that short runs are not spoilt."""
    hold_out: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the rows that are not trained on; their loss decides which weights are kept, and when it
    is enough. 0: none are held out."""
    checkpoint_every: _Positive = 5000
    """Steps between checkpoints."""
    accumulate: Annotated[int, Field(ge=1, le=2**20)] = 1
    """Parts in which a batch is taken, one after the other, to save memory."""
    precision: Precision = "float32"
    """In which the network multiplies; weights and all else stay in float32. ``auto``: in 16 bits where the
    device does that in hardware."""
    drop_labels: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Share of the images of which the network is not told the class, so that it also learns all of them."""
    compile: bool = False
    """Whether ``torch.compile`` makes the network faster, after a minute or more of preparing."""

    @model_validator(mode="after")
    def _check(self) -> TrainingSection:
        if (self.epochs is None) == (self.steps is None):
            raise InputError("A recipe sets either epochs or steps in [training], one of the two.")
        return self


class SamplingSection(_Named):
    """The sampler (``name``), its number of steps, their spacing, and its own settings."""

    name: str = "ddpm"
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 100
    spacing: Spacing = "uniform"
    rho: _PositiveFloat = 7.0
    precision: Precision = "float32"
    guidance: _Finite = 1.0
    """Scale of classifier-free guidance where images of a class are asked for."""
    guidance_interval: tuple[_NotNegative, Annotated[float, Field(gt=0)]] = (0.0, math.inf)
    """Ratios of noise to signal between which there is guidance."""

    @model_validator(mode="after")
    def _check(self) -> SamplingSection:
        self._complete("sampler", SAMPLERS)
        if self.name != CUSTOM:
            make_sampler(self.name, **self.settings)
        low, high = self.guidance_interval
        if low >= high:
            raise InputError(
                f"sampling.guidance_interval holds no noise: {low:g} to {high:g}.",
                "Give two ratios of noise to signal, the smaller first, such as [0.2, 5.0].",
            )
        return self


class PicturesSection(_Section):
    """What a finished run draws."""

    forward: Literal["first_steps", "whole"] = "whole"
    """The forward picture and GIF: the first steps of the schedule, or levels from data to noise."""
    forward_frames: _Positive = 30
    forward_ms: _Positive = 60
    reverse_every: _Positive = 1
    """The reverse GIF shows every so many steps of the walk."""
    reverse_ms: _Positive = 60
    row_every: _Positive | None = None
    """Epochs between rows of the reverse walk during training."""
    joined: bool = False
    """One GIF of the forward walk followed by the reverse walk besides the two."""


class Recipe(_Section):
    """Everything that a run depends on besides its data; :func:`read_recipe` reads one from TOML."""

    name: str
    description: str = ""
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataSection = DataSection()
    schedule: ScheduleSection
    network: NetworkSection
    denoiser: DenoiserSection = DenoiserSection()
    loss: LossSection = LossSection()
    times: TimesSection = TimesSection()
    training: TrainingSection
    sampling: SamplingSection = SamplingSection()
    pictures: PicturesSection = PicturesSection()

    @model_validator(mode="after")
    def _check(self) -> Recipe:
        if self.schedule.name == CUSTOM or self.sampling.name == CUSTOM:
            return self
        schedule = self.schedule.make()
        schedule.grid(self.sampling.steps, self.sampling.spacing, self.sampling.rho)
        factory = NETWORKS.get(self.network.name)
        if self.denoiser.partial and factory and "flags" not in inspect.signature(factory).parameters:
            raise InputError(
                f"The network {self.network.name!r} cannot be told which coordinates are known.",
                "Use the network 'resmlp', or leave denoiser.partial at 0.",
            )
        if self.network.name == "article_mlp" and not isinstance(schedule, DiscreteSchedule):
            raise InputError(
                f"The network 'article_mlp' has a row per step; {self.schedule.name!r} has no steps.",
                "Use a discrete schedule (linear, quadratic, sigmoid, cosine) or the network 'resmlp'.",
            )
        return self

    def make_denoiser(
        self,
        shape: int | tuple[int, ...],
        *,
        network: nn.Module | None = None,
        schedule: Schedule | None = None,
        empty: bool = False,
    ) -> Denoiser:
        """Make the untrained denoiser.

        Parameters
        ----------
        shape : int or tuple of int
            Coordinates of a point, or the shape (channels, height, width) of an image.
        network, schedule : optional
            The parts that the recipe calls "custom".
        empty : bool
            Make the network without memory for its weights, to be filled.
        """
        for part, section, given in (
            ("network", self.network, network),
            ("schedule", self.schedule, schedule),
        ):
            if section.name == CUSTOM and given is None:
                raise InputError(
                    f"The {part} of this recipe was handed over from Python; the recipe cannot make it.",
                    f"Hand it over again: {part}=...",
                )
        schedule = schedule or self.schedule.make()
        if network is None:
            network = self._make_network((shape,) if isinstance(shape, int) else shape, schedule, empty)
        reading = self.denoiser
        kind = MaskedDenoiser if reading.partial else Denoiser
        return kind(network, schedule, reading.prediction, reading.sigma_data, reading.conditioning)

    def _make_network(self, shape: tuple[int, ...], schedule: Schedule, empty: bool) -> nn.Module:
        factory = NETWORKS[self.network.name]
        takes = inspect.signature(factory).parameters
        if _is_for_images(factory) != (len(shape) == 3):
            suited = sorted(
                name for name, make in NETWORKS.items() if _is_for_images(make) == (len(shape) == 3)
            )
            raise InputError(
                f"The network {self.network.name!r} is not for {'images' if len(shape) == 3 else 'points'}.",
                f"Choose another (network.name): {', '.join(suited)}.",
            )
        if _is_for_images(factory):
            with torch.device("meta" if empty else "cpu"):
                return factory(shape=shape, classes=len(self.data.classes), **self.network.settings)
        dimension = shape[0]
        told: dict[str, int] = {}
        if "n_steps" in takes and isinstance(schedule, DiscreteSchedule):
            told["n_steps"] = schedule.T
        if self.denoiser.partial:
            told["flags"] = FLAGS * dimension
        with torch.device("meta" if empty else "cpu"):
            network = factory(dimension=dimension, **told, **self.network.settings)
            if self.denoiser.factors:
                network.factors = Factors(dimension, self.denoiser.factors)
            if self.data.scaling == "table" and self.denoiser.partial:
                network.choices = Choices(dimension)
        return network

    def make_loss(self) -> Loss:
        """Make the loss that goes with the denoiser."""
        return self.loss.make(self.denoiser.partial)

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return a copy with ``changes``, keys such as ``"training.epochs"``, validated anew.

        Changing the name of a schedule, network or sampler drops the settings of the old one; setting
        epochs unsets steps and the other way round.
        """
        tree = self.model_dump()
        # Names first: they bring the settings that the other changes are made to.
        for path, value in sorted(changes.items(), key=lambda change: not change[0].endswith(".name")):
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
            if sections == ["training"] and key in ("epochs", "steps"):
                node["epochs"] = node["steps"] = None
            node[key] = value
        return _validated(tree, f"recipe {self.name!r}")

    def to_toml(self) -> str:
        """Return the recipe as TOML, complete: every setting is there, except those without a value.

        Settings that came after the first version are left out where they say what that one did, so that the
        recipe of a run, and what is made of it, stay what they were.
        """
        tree = _without_none(self.model_dump())
        for section, settings in _SAY_NOTHING.items():
            for key, value in settings.items():
                if key in tree[section] and tree[section][key] == value:
                    del tree[section][key]
        return tomli_w.dumps(tree)


def _is_for_images(factory: Callable[..., nn.Module]) -> bool:
    return "shape" in inspect.signature(factory).parameters


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in tree.items()
        if value is not None
    }


def _validated(tree: Any, where: str) -> Recipe:
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(part) for part in first["loc"] if "[" not in str(part))  # not "literal[...]"
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError):
            raise InputError(f"{where}: {cause.what}", cause.hint) from error
        what, hint = _explained(first, at)
        raise InputError(f"{where}: {what}", hint) from error


def _explained(error: Any, at: str) -> tuple[str, str | None]:
    """Say in our words what pydantic found at a place, and what to do."""
    if error["type"] == "extra_forbidden":
        section, _, key = at.rpartition(".")
        model = Recipe.model_fields[section].annotation if section else Recipe
        known = getattr(model, "model_fields", {})
        return f"there is no setting {at}.", unknown_name("setting", key, known).hint
    if error["type"] == "missing":
        return f"{at} is missing.", "Start from a complete one: the file recipe.toml of any run directory."
    given = reprlib.repr(error["input"])
    return f"{at} = {given} cannot be.", error["msg"].replace("Input should", "It should") + "."


def read_recipe(path: str | Path) -> Recipe:
    """Read and validate a recipe file.

    Raises
    ------
    InputError
        When a setting is unknown, missing or out of its range.
    FormatError
        When the file is not TOML.
    """
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"There is no recipe file {path}.", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not a text file.", "Give a recipe in TOML.") from error
    except OSError as error:
        raise InputError(f"Cannot read the recipe file {path}: {error.strerror}.") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, where: str) -> Recipe:
    """Validate a recipe given as TOML; ``where`` it comes from is what errors say.

    Raises
    ------
    InputError, FormatError
        As :func:`read_recipe`.
    """
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"{where} is not TOML: {error}.", "Mend that line, or start anew.") from error
    return _validated(tree, where)
