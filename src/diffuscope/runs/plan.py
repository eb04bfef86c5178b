"""What is to be trained, on which data, in which directory? Asked of a person's words, before any work.

A recipe with changes, the data that it is for, and a directory that is free, or, to resume, all three
from the run that is there, with the certainty that nothing else is asked for now.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.data.base import Dataset
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned
from diffuscope.modalities.registry import load_data, modality, modality_for
from diffuscope.recipes import CUSTOM, Recipe, load_recipe, read_recipe

__all__ = ["Plan", "changes_from", "create_run_directory", "plan_new", "plan_resumed"]

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

    By default the recipe is that of the kind of data, tuned to its size, and the directory the first free one.
    """
    recipe = recipe or modality_for(data).default_recipe(data)
    chosen = load_recipe(recipe).changed(wanted)
    dataset = load_data(data, chosen)
    own = modality(dataset.kind)
    own.check_changes(dataset, wanted)
    if isinstance(recipe, str):
        chosen = load_recipe(recipe).changed({**own.tune(recipe, dataset), **wanted})
    folder = Path(out) if out is not None else _free_folder(dataset.name)
    return Plan(chosen.changed(own.describe(dataset, chosen.data)), dataset, folder)


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
        same = {
            f"data.{key}": getattr(started.data, key)
            for key in ("source", "size", "noise")
            if hasattr(started.data, key)
        }
        asked = load_recipe(recipe).changed({"seed": started.seed, **same, **wanted})
    dataset = load_data(data, started)
    described = modality(dataset.kind).describe(dataset, started.data)
    for what, now in (
        ("settings", asked),
        ("data", started.changed(described)),
    ):
        if now != started:
            raise InputError(
                f"{folder} was started with other {what} than asked for now.",
                "Resume without naming any, or start a new run in another folder.",
            )
    return Plan(started, dataset, folder)


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
