"""What is to be trained, on which data, in which directory? It is planned before any work.

A new run has a recipe with changes, data, and a free directory. A resumed run takes all three from its
directory; settings or data that differ are an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.data.base import Dataset
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned
from diffuscope.modalities.lookup import load_data, modality, modality_for
from diffuscope.recipes import CUSTOM, Recipe, load_recipe, read_recipe

__all__ = ["Plan", "changes_from", "create_run_directory", "plan_new", "plan_resumed"]

_PARTS = {
    "network": "network.name",
    "schedule": "schedule.name",
    "loss": "loss.distance",
    "sampler": "sampling.name",
}


class Plan(NamedTuple):
    """Recipe, data and directory of a run."""

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
    """Return options as changes to a recipe; parts that are Python objects become "custom"."""
    if epochs is not None and steps is not None:
        raise InputError("epochs and steps cannot both be set.", "Set one of them.")
    settings: dict[str, Any] = dict(changes or {})
    for key, value in (("seed", seed), ("training.epochs", epochs), ("training.steps", steps)):
        if value is not None:
            settings[key] = value
    for part, key in _PARTS.items():
        if given[part] is not None:
            settings[key] = CUSTOM
    return settings


def plan_new(
    data: Any, recipe: str | Path | Recipe | None, changes: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Plan a new run.

    By default the recipe is that of the kind of data, tuned to its size, and the directory the first free one.
    """
    recipe = recipe or modality_for(data).default_recipe(data)
    chosen = load_recipe(recipe).changed(changes)
    dataset = load_data(data, chosen)
    own = modality(dataset.kind)
    own.check_changes(dataset, changes)
    if isinstance(recipe, str):
        chosen = load_recipe(recipe).changed({**own.tune(recipe, dataset), **changes})
    folder = Path(out) if out is not None else _free_folder(dataset.name)
    return Plan(chosen.changed(own.describe(dataset, chosen.data)), dataset, folder)


def plan_resumed(
    data: Any, recipe: str | Path | Recipe | None, changes: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Plan to resume the run in ``out``.

    Raises
    ------
    InputError
        When there is none, or it was started with other settings or data.
    """
    if out is None:
        raise InputError("No run to resume was given.", "Give its directory with out= (--out).")
    folder = Path(out)
    file = folder / "recipe.toml"
    if not file.is_file():
        raise InputError(
            f"There is no run to resume in {folder}.", "Check the directory, or leave out --resume."
        )
    started = read_recipe(file)
    requested = started.changed(changes)
    if recipe is not None:
        # A recipe usually sets no data and no seed of its own.
        same = {
            f"data.{key}": getattr(started.data, key)
            for key in ("source", "size", "noise")
            if hasattr(started.data, key)
        }
        requested = load_recipe(recipe).changed({"seed": started.seed, **same, **changes})
    dataset = load_data(data, started)
    described = modality(dataset.kind).describe(dataset, started.data)
    for what, now in (
        ("settings", requested),
        ("data", started.changed(described)),
    ):
        if now != started:
            raise InputError(
                f"{folder} was started with different {what}.",
                f"Resume without {what}, or start a new run in another folder.",
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
    """Create the run directory; an existing one is only used to resume."""
    if resume:
        remove_abandoned(folder)
        return
    if folder.is_dir():
        remove_abandoned(folder, below=False)  # all that is left of a run killed at its very start
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            f"{folder} already exists.",
            "Choose another --out, remove it, or resume an unfinished run with --resume.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"Cannot create the run directory {folder}: {error.strerror}.", "Choose another --out."
        ) from error
