"""What is to be trained, on which data, in which directory? It is planned before any work."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffuscope.data.base import Dataset
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned, stay_inside
from diffuscope.modalities.lookup import load_data, modality, modality_for
from diffuscope.recipes import Recipe, load_recipe, read_recipe

__all__ = ["create_run_directory", "plan_new", "plan_resumed"]

Plan = tuple[Recipe, Dataset, Path]


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
        name = re.sub(r"[^\w.-]+", "-", dataset.name).strip("-.") or "run"
        names = itertools.chain([name], (f"{name}-{taken}" for taken in itertools.count(2)))
        out = next(folder for folder in (Path("runs", one) for one in names) if not folder.exists())
    return chosen.changed(own.describe(dataset, chosen.data)), dataset, Path(out)


def plan_resumed(
    data: Any, recipe: str | Path | Recipe | None, changes: Mapping[str, Any], out: str | Path | None
) -> Plan:
    """Return recipe, data and directory of the run in ``out``; other settings or data are an InputError."""
    if out is None:
        raise InputError("No run to resume was given.", "Give its directory with out= (--out).")
    folder = Path(out)
    file = folder / "recipe.toml"
    if not file.is_file():
        hint = "Check the directory, or leave out --resume."
        raise InputError(f"There is no run to resume in {folder}.", hint)
    started = read_recipe(file)
    requested = started.changed(changes)
    if recipe is not None:
        # A recipe usually sets no data and no seed of its own.
        own = started.data
        read = ("source", "size", "noise", "columns", "classes", "range")
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = f"Cannot create the run directory {folder}: {error.strerror}."
        raise RunError(what, "Choose another --out.") from error
