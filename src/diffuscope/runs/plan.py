"""What is to be trained, on which data, in which directory? It is planned before any work."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.data.base import Dataset
from diffuscope.data.conditions import Numbers
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned, stay_inside
from diffuscope.modalities.recognition import load_data, modality, modality_for, modality_of
from diffuscope.model import Model
from diffuscope.recipes import Recipe, load_recipe, read_recipe
from diffuscope.recipes.sections import TrainingSection
from diffuscope.runs.run import near_runs

__all__ = [
    "START",
    "check_start",
    "claim_default_directory",
    "create_run_directory",
    "decided",
    "name_note",
    "plan_existing",
    "plan_new",
    "plan_resumed",
    "plan_started",
    "remove_run",
    "target_notes",
]

if TYPE_CHECKING:
    import torch

Plan = tuple[Recipe, Dataset, Path]

START = "start.safetensors"
"""The model that training started from, in a run directory."""

_LONGEST_NAME = 200  # bytes, of the 255 that a file system has
_LENGTH = ("training.steps", "training.epochs", "steps", "epochs")
_FILES = (
    *("recipe.toml", "model.safetensors", START, "metrics.jsonl", "summary.json", "failure.json"),
    *("evaluation.json", "diagnosis.json", "diagnosis.html", "report.html"),
)
_FOLDERS = {  # with what a run writes into each
    "checkpoints": ("step_*.safetensors",),
    "figures": ("*.png",),
    "tensorboard": ("events.*",),
    ".": ("*.gif",),
}


def plan_new(
    data: Any,
    recipe: str | Path | Recipe | None,
    changes: Mapping[str, Any],
    out: str | Path | None,
    again: bool = False,
) -> Plan:
    """Return recipe, data and directory of a new run.

    By default the recipe is that of the kind of data, tuned to its size, the directory the first free one, or
    just the first if a run in it is to be had ``again``.
    """
    recipe = recipe or modality_for(data).default_recipe(data)
    chosen = load_recipe(recipe).changed(changes)
    dataset = load_data(data, chosen)
    own = modality(dataset.kind)
    own.check_changes(dataset, changes)
    if isinstance(recipe, str):
        chosen = load_recipe(recipe).changed({**own.tune(recipe, dataset), **changes})
    planned = _with_targets(chosen.changed(own.describe(dataset, chosen.data)), changes)
    return planned, dataset, _place(out, dataset, again)


def plan_started(
    data: Any,
    recipe: str | Path | Recipe | None,
    changes: Mapping[str, Any],
    out: str | Path | None,
    start: Model,
    own_data: Dataset | None,
    again: bool = False,
) -> Plan:
    """Return recipe, data and directory of a run that starts from a trained model.

    By default the recipe and the data are those of the model. Data is read in the model's units.
    """
    kind = modality_of(start)
    chosen = (start.recipe if recipe is None else load_recipe(recipe)).changed(changes)
    source = (own_data or chosen.data.source) if data is None else data
    if source is None:
        raise InputError("The data of the run to start from is not stored in it.", "Give data.")
    dataset = kind.reload(source, dataclasses.replace(start, recipe=chosen))
    if dataset.x.shape[1:] != start.shape:
        raise InputError(
            f"The data has points of shape {dataset.x.shape[1:]}, and the model to start from is one of "
            f"shape {start.shape}.",
            "Give data of that shape, or train without --start.",
        )
    kind.check_changes(dataset, changes)
    planned = _with_targets(chosen.changed(kind.describe(dataset, chosen.data)), changes)
    return planned, dataset, _place(out, dataset, again)


def _with_targets(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """Return the recipe with targets that labels allow.

    Means over several points would mix their numbers, and a mixture knows no classes.
    """
    labels, target = recipe.data.label_type, recipe.loss.target
    if "loss.target" in changes or labels is None or target not in ("posterior", "mixture"):
        return recipe
    fitting = "sample" if isinstance(labels, Numbers) else "posterior"
    return recipe if target == fitting else recipe.changed({"loss.target": fitting})


def target_notes(recipe: Recipe) -> tuple[str, ...]:
    """Say why points are their own targets, where they have numbers."""
    numbered = isinstance(recipe.data.label_type, Numbers) and recipe.data.kind == "points"
    if not numbered or recipe.loss.target != "sample":
        return ()
    return ("loss.target = 'sample': means over several points would mix their numbers.",)


def check_start(recipe: Recipe, start: Model) -> None:
    """Refuse settings by which the weights of a trained model would mean something else."""
    before = start.recipe
    hint = "Leave it as it is, or train without --start."
    for what, now, then in (
        ("network", recipe.network, before.network),
        ("denoiser", recipe.denoiser, before.denoiser),
        ("data.kind", recipe.data.kind, before.data.kind),
        ("condition", recipe.data.label_type, before.data.label_type),
    ):
        if now != then:
            raise InputError(f"The {what} differs from that of the model to start from.", hint)
    if start.denoiser.conditioning == "time" and recipe.schedule != before.schedule:
        raise InputError(
            "The schedule differs from that of the model to start from, whose network sees its times.", hint
        )


def _place(out: str | Path | None, dataset: Dataset, again: bool) -> Path:
    """Return the directory of a run: by default the first free one of its data's name, or the first."""
    if out is None:
        out = next(folder for folder in default_folders(dataset) if again or not folder.exists())
    return Path(out)


def name_note(folder: Path, dataset: Dataset) -> tuple[str, ...]:
    """Say that a directory has another name than its data, since there is a run of that name already."""
    first = next(default_folders(dataset))
    if folder == first:
        return ()
    return (f"{first} exists already, so this run is {folder}; --overwrite replaces the other one.",)


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
    """Return recipe, data and directory of the run in ``out``.

    A length may be new: then the run goes on to that. Other settings or data are an InputError.
    """
    if out is None:
        raise InputError("No run to resume was given.", "Give its directory with --out.")
    folder = Path(out)
    file = folder / "recipe.toml"
    if not file.is_file():
        hint = f"{near_runs(folder)}Check the directory, or leave out --resume."
        raise InputError(f"There is no run to resume in {folder}.", hint)
    started = read_recipe(file)
    length = {key: value for key, value in changes.items() if key in _LENGTH}
    changes = {key: value for key, value in changes.items() if key not in _LENGTH}
    requested = started.changed(changes)
    if recipe is not None:
        # A recipe usually sets no data and no seed of its own.
        own = started.data
        read = ("source", "size", "noise", "columns", "classes", "numbers", "range")
        plain = own.model_dump()
        same = {f"data.{k}": plain[k] for k in read if k in plain}
        requested = load_recipe(recipe).changed({"seed": started.seed, **same, **changes})
        requested = _with_targets(requested, changes)
        requested = requested.model_copy(update={"training": _as_long(requested, started)})
    start = folder / START
    if start.is_file():
        source = started.data.source if data is None else data
        dataset = modality(started.data.kind).reload(source, Model.load(start, device="cpu"))
    else:
        dataset = load_data(data, started)
    described = modality(dataset.kind).describe(dataset, started.data)
    for what, now in (("settings", requested), ("data", started.changed(described))):
        if now != started:
            raise InputError(
                f"{folder} was started with different {what}.",
                f"Resume without {what}, or start a new run in another folder.",
            )
    return started.changed(length), dataset, folder


def plan_existing(folder: Path, planned: Recipe) -> Recipe:
    """Return the recipe of the run in a folder: as planned, or for longer; InputError for any other."""
    there = read_recipe(folder / "recipe.toml")
    same = planned.model_copy(update={"training": _as_long(planned, there)}) == there
    lengths = [(recipe.training.steps or 0, recipe.training.epochs or 0) for recipe in (there, planned)]
    if not same or any(now < before for now, before in zip(*lengths, strict=True)):
        raise InputError(
            f"{folder} is a run with other settings.",
            "Give another --out, train it anew with --overwrite, or go on with it with --resume.",
        )
    return there


def decided(recipe: Recipe, device: torch.device) -> Recipe:
    """Return the recipe of a training that begins on a device, with where its noise is drawn.

    A run that says nothing of that draws it on the CPU, also where it is resumed on a GPU.
    """
    if device.type != "cuda" or recipe.training.noise is not None:
        return recipe
    return recipe.changed({"training.noise": "device"})


def _as_long(recipe: Recipe, other: Recipe) -> TrainingSection:
    """Return how a recipe trains, for as long as another, and with what was decided for that."""
    same = {"steps": other.training.steps, "epochs": other.training.epochs}
    noise = recipe.training.noise or other.training.noise
    return recipe.training.model_copy(update={**same, "noise": noise})


def remove_run(folder: Path) -> None:
    """Remove what a run writes into its directory, and nothing else; links are not followed."""
    if not (folder / "recipe.toml").is_file():
        raise InputError(
            f"{folder} exists and is not a run directory; nothing was removed.", "Choose another --out."
        )
    for name, patterns in _FOLDERS.items():
        inner = folder / name
        if inner.is_dir() and (name == "." or not inner.is_symlink()):
            for path in itertools.chain.from_iterable(inner.glob(pattern) for pattern in patterns):
                path.unlink()
            if name != "." and not any(inner.iterdir()):
                inner.rmdir()
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)


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
            "Choose another --out, replace it with --overwrite, or go on with it with --resume; in a "
            "notebook exist_ok=True returns the run that is there.",
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
