"""What is a recipe? Everything that a run depends on besides its data."""

from __future__ import annotations

import difflib
import inspect
import reprlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tomli_w
import torch
from pydantic import (
    Field,
    SerializeAsAny,
    ValidationError,
    field_validator,
    model_validator,
)
from torch import nn

from diffuscope.data.kinds import KINDS, section_of
from diffuscope.data.section import DataSection
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss
from diffuscope.diffusion.masked import FLAGS, Choices, Factors, MaskedDenoiser
from diffuscope.diffusion.schedules import DiscreteSchedule, Schedule
from diffuscope.errors import InputError, unknown_name
from diffuscope.networks import NETWORKS, network_kind
from diffuscope.recipes.sections import (
    CUSTOM,
    DenoiserSection,
    LossSection,
    NamedSection,
    NetworkSection,
    PicturesSection,
    SamplingSection,
    ScheduleSection,
    Section,
    TimesSection,
    TrainingSection,
)
from diffuscope.recipes.toml import check_tree, parse_toml, read_text

__all__ = ["Recipe", "parse_recipe", "read_recipe"]

MOST_WEIGHTS = 2**30
"""Of a network; training takes 16 to 20 bytes for each."""


class Recipe(Section):
    """Everything that a run depends on besides its data; :func:`read_recipe` reads one from TOML.

    Examples
    --------
    >>> import diffuscope
    >>> recipe = diffuscope.load_recipe("article")
    >>> recipe.schedule.name, recipe.training.batch_size
    ('linear', 128)
    """

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
        arguments, known = self.network.settings, inspect.signature(factory).parameters
        if kind == "image":
            arguments["shape"] = shape
        else:
            arguments["dimension"] = shape[0]
            if "n_steps" in known and isinstance(schedule, DiscreteSchedule):
                arguments["n_steps"] = schedule.T
            if self.denoiser.partial:
                arguments["flags"] = flags
        if self.data.label_type is not None and not self.denoiser.partial:
            arguments |= {
                name: value for name, value in self.data.label_type.arguments.items() if name in known
            }

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
            if isinstance(named, NamedSection) and named.name != value:
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
        known |= {name: f"{name}.name" if name in sections else name for name in tree}
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
