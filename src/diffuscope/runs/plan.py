"""What is to be trained, on which data, in which directory? Asked of a person's words, before any work.

A recipe with changes, the data that it is for, and a directory that is free, or, to resume, all three
from the run that is there, with the certainty that nothing else is asked for now.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.columnar import TABLES
from diffuscope.data.base import Dataset
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned
from diffuscope.data.images import USUAL_RECIPES, ImageData, are_images, load_images
from diffuscope.recipes import CUSTOM, Recipe, load_recipe, read_recipe
from diffuscope.modalities.tables.tuning import sizes_for
from diffuscope.data.tables import TableData, load_table

__all__ = ["Plan", "changes_from", "create_run_directory", "plan_new", "plan_resumed", "usual_recipe"]

_PARTS = {
    "network": "network.name",
    "schedule": "schedule.name",
    "loss": "loss.distance",
    "sampler": "sampling.name",
}


class Plan(NamedTuple):
    """What a run is made of."""

    recipe: Recipe
    data: Dataset
    folder: Path


def changes_from(
    seed: int | None,
    epochs: int | None,
    steps: int | None,
    changes: Mapping[str, Any] | None,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Gather what is asked for besides a recipe, as changes to it; parts from Python are "custom" there."""
    if epochs is not None and steps is not None:
        raise InputError("Both epochs and steps are given.", "Give one of them.")
    wanted: dict[str, Any] = dict(changes or {})
    for key, value in (("seed", seed), ("training.epochs", epochs), ("training.steps", steps)):
        if value is not None:
            wanted[key] = value
    for part, key in _PARTS.items():
        if given[part] is not None:
            wanted[key] = CUSTOM
    return wanted


def plan_new(
    data: Any, recipe: str | Path | Recipe | None, wanted: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Plan a run from nothing.

    By default the recipe is ``table`` for tables, one of its own for a built-in set of images, ``images``
    for others, ``fast`` for points, and the directory the first free one. The recipe called ``table`` is made
    to suit the size of the table.
    """
    recipe = recipe or usual_recipe(data)
    asked = load_recipe(recipe).changed(wanted)
    dataset = _load(data, asked)
    _check_applies(dataset, wanted)
    if recipe == "table" and isinstance(dataset, TableData):
        sizes = sizes_for(len(dataset.x), dataset.rows)
        asked = load_recipe(recipe).changed({**sizes, **wanted})
    folder = Path(out) if out is not None else _free_folder(dataset.name)
    return Plan(asked.changed(_description(dataset, asked.data.labels)), dataset, folder)


def plan_resumed(
    data: Any, recipe: str | Path | Recipe | None, wanted: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Plan to go on with the run in ``out``.

    Raises
    ------
    InputError
        When there is none, or other settings or data are asked for than it was started with.
    """
    if out is None:
        raise InputError("Nothing says which run to resume.", "Give its directory: out (--out).")
    folder = Path(out)
    file = folder / "recipe.toml"
    if not file.is_file():
        raise InputError(
            f"There is no run to resume in {folder}.", "Check the directory, or leave out --resume."
        )
    started = read_recipe(file)
    asked = started.changed(wanted)
    if recipe is not None:
        # A recipe names no data of its own, as a rule, and no seed that was meant.
        same = {f"data.{key}": getattr(started.data, key) for key in ("source", "size", "noise")}
        asked = load_recipe(recipe).changed({"seed": started.seed, **same, **wanted})
    dataset = _load(data, started)
    for what, now in (
        ("settings", asked),
        ("data", started.changed(_description(dataset, started.data.labels))),
    ):
        if now != started:
            raise InputError(
                f"{folder} was started with other {what} than asked for now.",
                "Resume without naming any, or start a new run in another folder.",
            )
    return Plan(started, dataset, folder)


def usual_recipe(data: Any) -> str:
    """Return the name of the recipe that data is trained by if nothing is said."""
    if are_images(data):
        return USUAL_RECIPES.get(str(data), "images")
    return "table" if _is_table(data) else "fast"


def _is_table(data: Any) -> bool:
    """Whether data has columns, and so is a table rather than points."""
    if isinstance(data, str | os.PathLike):
        return str(data) not in POINT_SETS and Path(data).suffix.lower() in TABLES
    return isinstance(data, TableData) or hasattr(data, "columns")


def _load(data: Any, recipe: Recipe) -> Dataset:
    if isinstance(data, Dataset) and isinstance(data, TableData) == (recipe.data.scaling == "table"):
        return data
    section = recipe.data
    if data is None:
        data = section.source
    if section.scaling == "pixels" and data is not None:
        return load_images(
            data,
            size=section.image_size,
            channels=section.channels,
            skip_broken=section.skip_broken,
            limit=section.size,
            seed=recipe.seed,
        )
    if data is None:
        raise InputError("Nothing says what data to train on.", "Name a data set, a file or give an array.")
    if section.scaling == "table":
        return load_table(
            data,
            target=section.target,
            categories=section.categories,
            size=section.size,
            noise=section.noise,
            seed=recipe.seed,
        )
    if isinstance(data, str) and data in POINT_SETS:  # these alone have a noise to choose
        return load_dataset(data, size=section.size, noise=section.noise, seed=recipe.seed)
    return load_dataset(data, size=section.size if callable(data) else None, seed=recipe.seed)


def _check_applies(dataset: Dataset, wanted: Mapping[str, Any]) -> None:
    """Refuse a size or a noise for data that has its own."""
    if isinstance(dataset, ImageData):
        return  # a size is so many of them, whatever they are
    kind = dataset.source["kind"]
    for key, kinds in (("data.size", ("builtin", "callable")), ("data.noise", ("builtin",))):
        if wanted.get(key) is not None and kind not in kinds:
            raise InputError(
                f"{key} = {wanted[key]} applies to built-in sets, not to data of your own.", "Leave it out."
            )


def _description(dataset: Dataset, labels: bool) -> dict[str, Any]:
    """Say in the recipe what can be said of the data: name or path, size, noise, classes."""
    kind = dataset.source["kind"]
    if isinstance(dataset, ImageData):
        source = dataset.source.get("name") if kind == "builtin" else dataset.source.get("path")
        if kind != "builtin" and source is not None:
            source = str(Path(source).resolve())
        return {"data.source": source, "data.classes": dataset.classes if labels else ()}
    if kind == "builtin":
        return {
            "data.source": dataset.source["name"],
            "data.size": dataset.source["size"],
            "data.noise": dataset.source["noise"],
        }
    source = str(Path(dataset.source["path"]).resolve()) if kind == "file" else None
    size = dataset.source["size"] if kind == "callable" else None
    return {"data.source": source, "data.size": size, "data.noise": None}


def _free_folder(name: str) -> Path:
    name = re.sub(r"[^\w.-]+", "-", name).strip("-.") or "run"
    taken = 1
    folder = Path("runs") / name
    while folder.exists():
        taken += 1
        folder = Path("runs") / f"{name}-{taken}"
    return folder


def create_run_directory(folder: Path, resume: bool) -> None:
    """Make the run directory; an existing one is only entered to resume."""
    if resume:
        remove_abandoned(folder)
        return
    if folder.is_dir():
        remove_abandoned(folder, below=False)  # all that is left of a run killed at its very start
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} exists already; nothing there was touched.",
            "Choose another --out, remove it, or go on with an unfinished run with --resume.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"Cannot make the run directory {folder}: {error.strerror}.", "Choose another --out."
        ) from error
