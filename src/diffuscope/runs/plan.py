"""What is to be trained, on which data, in which directory? It is planned before any work."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from diffuscope.data.base import Dataset
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned, stay_inside
from diffuscope.modalities.lookup import load_data, modality, modality_for
from diffuscope.recipes import Recipe, load_recipe, read_recipe
from diffuscope.runs.run import near_runs

__all__ = ["claim_default_directory", "create_run_directory", "plan_new", "plan_resumed"]

Plan = tuple[Recipe, Dataset, Path]

_LONGEST_NAME = 200  # bytes, of the 255 that a file system has


def plan_new(
    data: Any, recipe: str | Path | Recipe | None, changes: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Return recipe, data and directory of a new run.

    By default the recipe is that of the kind of data, tuned to its size, the directory the first free one.
    """
    recipe = recipe or modality_for(data).default_recipe(data)
    chosen = load_recipe(recipe).changed(changes)
    dataset = load_data(data, chosen)
    own = modality(dataset.kind)
    own.check_changes(dataset, changes)
    if isinstance(recipe, str):
        chosen = load_recipe(recipe).changed({**own.tune(recipe, dataset), **changes})
    if out is None:
        out = next(folder for folder in default_folders(dataset) if not folder.exists())
    return chosen.changed(own.describe(dataset, chosen.data)), dataset, Path(out)


def default_folders(data: Dataset) -> Iterator[Path]:
    """Yield the directories that a run on this data may have: runs/NAME, runs/NAME-2, ..."""
    name = re.sub(r"[^\w.-]+", "-", data.name).strip("-.") or "run"
    while len(name.encode()) > _LONGEST_NAME:
        name = name[:-1]
    yield Path("runs", name)
    yield from (Path("runs", f"{name}-{taken}") for taken in itertools.count(2))


def plan_resumed(
    data: Any, recipe: str | Path | Recipe | None, changes: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Return recipe, data and directory of the run in ``out``; other settings or data are an InputError."""
    if out is None:
        raise InputError("No run to resume was given.", "Give its directory with out= (--out).")
    folder = Path(out)
    file = folder / "recipe.toml"
    if not file.is_file():
        hint = f"{near_runs(folder)}Check the directory, or leave out --resume."
        raise InputError(f"There is no run to resume in {folder}.", hint)
    started = read_recipe(file)
    requested = started.changed(changes)
    if recipe is not None:
        # A recipe usually sets no data and no seed of its own.
        own = started.data
        read = ("source", "size", "noise", "columns")
        same = {f"data.{k}": getattr(own, k) for k in read if hasattr(own, k)}
        requested = load_recipe(recipe).changed({"seed": started.seed, **same, **changes})
    dataset = load_data(data, started)
    described = modality(dataset.kind).describe(dataset, started.data)
    for what, now in (("settings", requested), ("data", started.changed(described))):
        if now != started:
            raise InputError(
                f"{folder} was started with different {what}.",
                f"Resume without {what}, or start a new run in another folder.",
            )
    return started, dataset, folder


def create_run_directory(folder: Path, resume: bool) -> None:
    """Create the run directory; an existing one is only used to resume."""
    stay_inside(folder)
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
    _make(folder, exist_ok=True)


def claim_default_directory(data: Dataset) -> Path:
    """Create the first free default directory, which no other process can take as well; return it."""
    for folder in default_folders(data):
        try:
            _make(folder, exist_ok=False)
        except FileExistsError:
            continue
        return folder
    raise AssertionError("there are always more names")


def _make(folder: Path, exist_ok: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except OSError as error:
        if not exist_ok and isinstance(error, FileExistsError) and os.path.lexists(folder):
            raise
        what = f"Cannot create the run directory {folder}: {error.strerror}."
        raise RunError(what, "Choose another --out.") from error
