"""What is compared with what? Every combination of the axes, each trained once and sampled in many ways.

An axis is a field of a recipe with the values that it takes, such as ``{"schedule.name": ["linear",
"cosine"], "sampling.steps": [5, 10]}``; the grid is their product. A combination splits in two:

    training = recipe without its sampling, and a seed        trained once
    sampling = the section ``[sampling]`` of the recipe       for samples of that model

So 2 schedules × 8 samplings × 5 seeds are 10 trainings and 80 cells. Trainings and cells are known by a
digest of all their settings, by which existing results are found again.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.data.base import Dataset, columns_of
from diffuscope.errors import InputError
from diffuscope.modalities.recognition import load_data, modality, modality_for
from diffuscope.recipes import CUSTOM, Recipe, load_recipe
from diffuscope.runs.plan import plan_new

__all__ = [
    "FLAGS",
    "Cell",
    "Grid",
    "Training",
    "cell_digest",
    "lay_out",
    "lay_out_points",
    "read_axes",
    "settings_of",
    "shortened",
    "steps_of",
]

FLAGS = {
    "recipe": "--recipe",
    "schedule.name": "--schedule",
    "network.name": "--network",
    "denoiser.prediction": "--prediction",
    "sampling.name": "--sampler",
    "sampling.steps": "--sampling-steps",
}
"""The axes that have an option of their own; all others are set by ``--set``."""

_SILENT = {"name", "description", "pictures"}  # they do not affect the measured quality

_FORMAT = "diffuscope-comparison-1"

Axes = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Training:
    """A model to be trained.

    The recipe is complete. Its sampling is the one with the fewest steps of those compared.
    """

    recipe: Recipe
    data: Dataset

    @cached_property
    def digest(self) -> str:
        """Digest of everything that the weights depend on."""
        tree = self.recipe.model_dump(exclude={*_SILENT, "sampling"})
        del tree["training"]["checkpoint_every"]
        source = {**self.data.source, "path": None}  # the content counts, not where it lies
        tree["data"]["source"] = None
        content = self.data.digest() if source["kind"] in ("array", "callable") else None
        return _digest({"settings": tree, "source": source, "content": content})

    @property
    def name(self) -> str:
        """Name of its run directory: readable and unique."""
        recipe = self.recipe
        parts = (recipe.schedule.name, recipe.network.name, recipe.denoiser.prediction)
        return f"{'-'.join(parts)}-seed{recipe.seed}-{self.digest[:10]}"


@dataclass(frozen=True)
class Cell:
    """One sampling configuration of one training; cells of all seeds share the index ``point``."""

    point: int
    training: Training
    recipe: Recipe

    @property
    def seed(self) -> int:
        """Seed of training, data and sampling."""
        return self.recipe.seed


class Grid(NamedTuple):
    """A comparison, laid out."""

    axes: Axes
    points: list[dict[str, Any]]  # for each combination the value on each axis; recipes by their names
    cells: list[Cell]  # point by point, and for each the seeds
    left_out: list[str]  # combinations that are not valid and were skipped, with the reason

    @property
    def varied(self) -> list[str]:
        """The axes on which there is more than one value."""
        return [key for key, values in self.axes.items() if len(values) > 1]

    @property
    def trainings(self) -> list[Training]:
        """The distinct trainings."""
        return list({cell.training.digest: cell.training for cell in self.cells}.values())


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Return all settings that results depend on as one flat mapping, ``{"schedule.name": ...}``."""
    flat: dict[str, Any] = {"recipe": recipe.name}
    for section, values in recipe.model_dump(exclude=_SILENT).items():
        if isinstance(values, dict):
            flat |= {f"{section}.{key}": _plain(value) for key, value in values.items()}
        else:
            flat[section] = values
    return flat


def _plain(value: Any) -> Any:
    """Return a setting as JSON; infinity becomes text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value


def read_axes(axes: Mapping[str, Any]) -> Axes:
    """Return the axes with their values as tuples; InputError where one cannot be compared."""
    read: Axes = {}
    for key, given in axes.items():
        values = tuple(given) if isinstance(given, list | tuple | range) else (given,)
        if not values or any(isinstance(value, str) and not value.strip() for value in values):
            raise InputError(
                f"The axis {key} has an empty value.",
                f"Write {_flag(key)} V1,V2,...",
                f'Give its values: {{"{key}": [V1, V2]}}.',
            )
        for i, value in enumerate(values):
            if value in values[:i]:
                raise InputError(
                    f"The axis {key} has the value {value!r} twice.",
                    f"Give each value of {_flag(key)} once.",
                    "Give each value once.",
                )
        if key == "seed":
            raise InputError(
                "The seed cannot be an axis: all cells use the same seeds.",
                "Set the number of seeds with --seeds.",
            )
        if key == "data.source":
            raise InputError(
                "The data cannot be an axis: a comparison uses one data set.", "Run one comparison for each."
            )
        if key.split(".")[0] in _SILENT or key == "training.checkpoint_every":
            raise InputError(
                f"{key} has no effect on the measured quality.",
                f"Leave out {_flag(key)}.",
                f"Leave out {key}.",
            )
        if CUSTOM in values:
            raise InputError(
                f"{key} = {CUSTOM!r} is a custom Python object; comparisons need registered names.",
                "Add it to its registry under a name, such as diffuscope.diffusion.samplers.SAMPLERS.",
            )
        read[key] = values
    return read


def lay_out(
    data: Any,
    recipe: str | Path | Recipe | None,
    axes: Mapping[str, Any],
    seeds: Sequence[int],
    *,
    skip_invalid: bool = False,
) -> Grid:
    """Lay out a comparison, as :func:`diffuscope.compare` takes it, before anything is trained.

    Raises
    ------
    InputError
        When a combination is not valid, or none is.
    """
    read = read_axes(axes)
    labels = [[_label(key, value) for value in values] for key, values in read.items()]
    combined = [dict(zip(read, one, strict=True)) for one in itertools.product(*labels)]  # the last fastest
    return lay_out_points(data, recipe, read, combined, seeds, skip_invalid=skip_invalid)


def lay_out_points(
    data: Any,
    recipe: str | Path | Recipe | None,
    read: Axes,
    combined: Sequence[dict[str, Any]],
    seeds: Sequence[int],
    *,
    skip_invalid: bool = False,
) -> Grid:
    """Lay out combinations, each a mapping of axes to values, as :func:`lay_out` does all that there are."""
    recipe = recipe or modality_for(data).default_recipe(data)
    bases = {_label("recipe", value): value for value in read.get("recipe", (recipe,))}
    for value in bases.values():
        load_recipe(value)  # a missing recipe is an error before any data is read
    source = _Source(data)
    points: list[dict[str, Any]] = []
    planned: list[list[tuple[Recipe, Dataset]]] = []
    left_out: list[str] = []
    refused: InputError | None = None
    for point in combined:
        base = bases[point["recipe"]] if "recipe" in point else next(iter(bases.values()))
        changes = {key: value for key, value in point.items() if key != "recipe"}
        try:
            planned.append([source.plan(base, {**changes, "seed": seed}) for seed in seeds])
            points.append(point)
        except InputError as error:
            refused = error if source.refuses(base, error) else _explained(error, point, read)
            if not skip_invalid:
                raise refused from error
            left_out.append(refused.what)
    if not points:
        assert refused is not None  # the product of axes with values is never empty
        raise InputError(f"No combination of the axes is valid. {refused.what}", refused.hint)
    return Grid(read, points, _cells(planned), left_out)


def shortened(grid: Grid, share: float, chosen: Sequence[int]) -> Grid:
    """Return the chosen points of a grid, trained for a share of their steps."""
    planned = []
    for number in chosen:
        cells = [cell for cell in grid.cells if cell.point == number]
        planned.append([(_shorter(cell, share), cell.training.data) for cell in cells])
    return Grid(grid.axes, [grid.points[number] for number in chosen], _cells(planned), [])


def steps_of(cell: Cell) -> int:
    """Return the steps of a cell's training."""
    settings = cell.recipe.training
    return settings.steps or (settings.epochs or 0) * -(-cell.training.data.n // settings.batch_size)


def _shorter(cell: Cell, share: float) -> Recipe:
    return cell.recipe.changed({"training.steps": max(1, round(share * steps_of(cell)))})


class _Source:
    """The data as it was passed; what combinations share is read and kept once."""

    def __init__(self, data: Any) -> None:
        self._data = data
        self._read: dict[str, Dataset] = {}
        self._seen: dict[str, Dataset] = {}
        self._made: set[str] = set()

    def refuses(self, base: str | Path | Recipe, error: InputError) -> bool:
        """Whether it is the data that is not valid, whatever the settings are."""
        try:
            load_data(self._data, load_recipe(base))
        except InputError as same:
            return same.what == error.what
        return False

    def plan(self, base: str | Path | Recipe, changes: Mapping[str, Any]) -> tuple[Recipe, Dataset]:
        """Return a complete recipe and its data; make sure that the model can be made and sampled."""
        chosen = load_recipe(base).changed(changes)
        key = json.dumps([chosen.data.model_dump(), chosen.seed], sort_keys=True)
        if key not in self._read:
            self._read[key] = load_data(self._data, chosen)
        recipe, data, _ = plan_new(self._read[key], base, changes, ".")
        content = data.digest() if data.source["kind"] in ("array", "callable") else None
        key = json.dumps([data.kind, data.source, recipe.data.model_dump(), content], sort_keys=True)
        data = self._seen.setdefault(key, data)
        denoiser = recipe.model_dump_json(include={"data", "schedule", "network", "denoiser"})
        if denoiser not in self._made:
            codec = modality(data.kind).codec(data, recipe.data)
            recipe.make_denoiser(codec.shape, columns=columns_of(codec), empty=True)
            self._made.add(denoiser)
        return recipe, data


def _cells(planned: Sequence[Sequence[tuple[Recipe, Dataset]]]) -> list[Cell]:
    """Make cells of the recipes of each point; those that differ in their sampling only share a training."""
    shortest: dict[str, Training] = {}
    keys = []
    for recipe, data in itertools.chain.from_iterable(planned):
        training = Training(recipe, data)
        keys.append(training.digest)
        known = shortest.setdefault(training.digest, training)
        if recipe.sampling.steps < known.recipe.sampling.steps:
            shortest[training.digest] = training
    rest = iter(keys)
    return [
        Cell(point, shortest[next(rest)], recipe)
        for point, seeds in enumerate(planned)
        for recipe, _ in seeds
    ]


def _label(key: str, value: Any) -> Any:
    """A recipe is known by its name, any other value by itself."""
    if key != "recipe":
        return value
    return value.name if isinstance(value, Recipe) else str(value)


def _explained(error: InputError, point: Mapping[str, Any], axes: Axes) -> InputError:
    """Name the combination that is not valid, and the options that set it."""
    where = ", ".join(f"{key} = {value}" for key, value in point.items()) or "the recipe as it is"
    options = [_flag(key) for key in axes if len(axes[key]) > 1] or [_flag(key) for key in axes]
    choice = f"It is set by {', '.join(options)}"
    skip = "; --skip-invalid skips such combinations." if len(options) > 1 else "."
    hint = f"{choice}{skip}" if options else ""
    in_python = "skip_invalid=True skips such combinations." if len(options) > 1 else ""
    hints = (" ".join(filter(None, (error.hint, own))) or None for own in (hint, in_python))
    return InputError(f"{where}: {error.what}", *hints)


def _flag(key: str) -> str:
    return FLAGS.get(key, f"--set {key}")


def cell_digest(cell: Cell, truth: str) -> str:
    """Return the digest of a cell: its training, its sampling and its reference."""
    sampling = cell.recipe.sampling.model_dump()
    return _digest({"training": cell.training.digest, "sampling": sampling, "truth": truth})


def _digest(value: Mapping[str, Any]) -> str:
    text = json.dumps({"format": _FORMAT, **value}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
