"""From data to a finished run directory: it is planned, checked, and carried out."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn

from diffuscope.data.torch_sets import Unpacked, is_torch_set, unpacked
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Schedule
from diffuscope.errors import InputError, RunError
from diffuscope.files import sole_writer, write_json
from diffuscope.modalities.recognition import modality
from diffuscope.model import Model, pick_device
from diffuscope.progress import Reporter
from diffuscope.recipes import CUSTOM, Recipe, read_recipe
from diffuscope.recipes.sections import TrainingSection
from diffuscope.runs.execution import Execution
from diffuscope.runs.plan import (
    START,
    check_start,
    claim_default_directory,
    create_run_directory,
    decided,
    name_note,
    plan_existing,
    plan_new,
    plan_resumed,
    plan_started,
    remove_run,
    target_notes,
)
from diffuscope.runs.run import Run, load
from diffuscope.runs.setup import Setup
from diffuscope.runs.tensorboard import summary_writer
from diffuscope.shares import among
from diffuscope.signals import stopped_by
from diffuscope.training import Checkpoints, Interrupted, LossLike, World, join_world
from diffuscope.translations import translate
from diffuscope.words import in_python

__all__ = ["train"]

_PARTS = {
    "schedule": "schedule.name",
    "network": "network.name",
    "sampler": "sampling.name",
    "loss": "loss.distance",
    "origin": "data.origin",
}


def train(
    data: Any = None,
    *,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    target: str | Sequence[str] | None = None,
    y: Any = None,
    origin: Any = None,
    size: int | None = None,
    noise: float | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    schedule: str | Schedule | None = None,
    zero_terminal_snr: bool | None = None,
    network: str | nn.Module | None = None,
    loss: LossLike | None = None,
    sampler: str | Sampler | None = None,
    sampling_steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    start: Run | str | Path | None = None,
    resume: bool | Literal["auto"] = False,
    exist_ok: bool = False,
    overwrite: bool = False,
    pictures: bool = True,
    tensorboard: bool = False,
    progress: bool | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
    report: Callable[[str, str], None] | None = None,
    **more: Any,
) -> Run:
    """Train a diffusion model and write everything to a run directory.

    Parameters
    ----------
    data : str, path, array, DataFrame, Dataset or callable
        A built-in name (``diffuscope list datasets``), a .csv, .tsv (also .gz), .xlsx, .parquet, .arrow, .npy
        or .npz file, a folder of images, one that :func:`diffuscope.pack` wrote, points (n, d), a table, or a
        function ``(n, rng) -> (n, d)`` that draws fresh points. A Dataset, a TensorDataset or a DataLoader of
        torch counts as what it holds.
    recipe : str, path or Recipe
        A name (``diffuscope list recipes``) or a TOML file; by default that of the kind of data.
    out : str or path, optional
        The run directory; by default the first free one of runs/NAME, runs/NAME-2, ...
    seed : int, optional
        Seed of all random numbers; the recipe's by default.
    target : str or sequence of str, optional
        The column to condition on: of a table any column; of points one of classes, or one or several of
        numbers, or the array of a .npz archive that has them (by default ``y`` or ``labels``, where it has
        one); of a folder of images columns of its ``metadata.csv``, which has the path of each image in a
        column ``file_name`` (by default subfolders are classes).
    y : array_like of shape (n,) or (n, k), optional
        Labels of the points of an array, or of images: classes (whole numbers, truth values or text), or
        numbers that were measured, such as an angle, a dose, or a vector of k. They are numbers if some are
        not whole, or where ``condition="numbers"``.
    origin : str, path or array_like of shape (m, d), optional
        The points from which a flow starts in place of noise: a built-in name, a file, or points.
    size, noise : optional
        Number of points and noise of a built-in set.
    epochs, steps : int, optional
        Length of the training; the recipe's by default.
    schedule : str or Schedule, optional
        A name (``diffuscope list schedules``), or one of your own.
    zero_terminal_snr : bool, optional
        Whether a discrete schedule is rescaled to zero terminal SNR.
    network : str or nn.Module, optional
        A name (``diffuscope list networks``), or a module ``(x, t) -> same shape``, which is trained in
        place. t is the schedule's time, or log(α²/σ²) if the module says ``conditioning = "log_snr"``, which
        suits networks better where times reach from 0.002 to 10 as they do under ``fast``.
    loss : LossLike, optional
        Replaces the recipe's loss and all its settings.
    sampler : str or Sampler, optional
        A name (``diffuscope list samplers``), or a function ``(context, x) -> x``.
    sampling_steps : int, optional
        Number of sampling steps.
    settings : mapping, optional
        Further settings of the recipe, such as ``{"training.batch_size": 512}``; the section may be left out
        where it is clear: ``{"width": 128}``.
    device : str
        auto, cpu, cuda or mps.
    start : Run or path, optional
        A trained run: training goes on from its weights, in its units and with its network, with other data
        or other settings. Its recipe and its data are the defaults.
    resume : bool or "auto"
        Resume the run in ``out`` from its last checkpoint. With more ``steps`` or ``epochs`` than it has, a
        finished run goes on as well. "auto": resume it if there is one, else begin it.
    exist_ok : bool
        Where ``out``, by default runs/NAME, is a run of the same data, settings and seed, return it, or
        resume it if it is not finished; it may have gone on to more steps. Cells of a notebook can so be run
        again.
    overwrite : bool
        Where ``out``, by default runs/NAME, is a run already, remove its files, and train anew.
    pictures : bool
        Whether to draw figures and animations.
    tensorboard : bool
        Whether to also write losses and samples for TensorBoard, into the folder ``tensorboard`` of the run.
    progress : bool, optional
        Whether to show progress; by default where standard error is a terminal.
    announce : callable, optional
        Called with lines of text: before the training about how the data was read, of a table a line for each
        column; after it about what was found beside the network, such as exact relations.
    report : callable, optional
        Called with a name and a line, where the recipe draws a row every so many epochs, as the tutorial
        does (``pictures.row_every``): the shapes of data and batches, and the loss of these epochs.
    **more
        Settings by their own name: ``width=128``; of a table's file ``types``, ``missing``, ``decimal``,
        ``thousands``, ``date_format``, ``sep`` and ``encoding``.

    Raises
    ------
    InputError
        When the data or a setting is not valid, or ``out`` exists already.
    RunError
        When training fails: the loss is not finite, no space is left.
    Interrupted
        On Ctrl-C, SIGTERM, SIGUSR1 or SIGHUP, after a checkpoint was written.

    Examples
    --------
    >>> import diffuscope
    >>> run = diffuscope.train("moons", steps=100, out="runs/moons", exist_ok=True, pictures=False)
    >>> run.sample(5, seed=0).shape
    (5, 2)
    """
    given = {"schedule": schedule, "network": network, "sampler": sampler, "loss": loss, "origin": origin}
    words = {name: str(part) for name, part in given.items() if isinstance(part, str | Path)}
    parts: dict[str, Any] = {name: None if name in words else part for name, part in given.items()}
    options = {
        "data.target": target if target is None or isinstance(target, str) else tuple(target),
        "data.size": size,
        "data.noise": noise,
        "schedule.zero_terminal_snr": zero_terminal_snr,
        "sampling.steps": sampling_steps,
        **{_PARTS[name]: word for name, word in words.items()},
    }
    last = {
        "seed": seed,
        "training.epochs": epochs,
        "training.steps": steps,
        **{_PARTS[name]: CUSTOM for name, part in parts.items() if part is not None},
    }
    if tensorboard:
        summary_writer()  # raises where it is not installed
    if epochs is not None and steps is not None:
        raise InputError("epochs and steps cannot both be set.", "Set one of them.")
    changes = {**_without_none(options), **(settings or {}), **more, **_without_none(last)}
    if is_torch_set(data):
        data = unpacked(data)
    if y is not None:
        if target is not None:
            raise InputError("y and target both say what the labels are.", "Give one of them.")
        if isinstance(data, Unpacked):
            if data.y is not None:
                raise InputError("The data set has labels, and y gives others.", "Omit y.")
            data = data.x
        data = Unpacked(data, y)
    place = pick_device(device)
    world = join_world(place)
    if resume == "auto":
        resume = _is_begun(out, world)
    if resume + exist_ok + overwrite > 1:
        raise InputError("resume, exist_ok and overwrite say different things.", "Set one of them at most.")
    origin = start if isinstance(start, Run) or start is None else load(start, device="cpu")
    model = None if origin is None else origin.model
    again = exist_ok or overwrite
    if resume:
        if start is not None:
            raise InputError("A run that is resumed has started already.", "Leave out --start.")
        planned, dataset, folder = plan_resumed(data, recipe, changes, out)
        if (folder / START).is_file():
            model = Model.load(folder / START, device="cpu", network=parts["network"])
    elif model is not None:
        own_data = None if origin is None else origin.given_data
        planned, dataset, folder = plan_started(data, recipe, changes, out, model, own_data, again)
        check_start(planned, model)
    else:
        planned, dataset, folder = plan_new(data, recipe, changes, out, again)
    if exist_ok and (folder / "recipe.toml").is_file():
        planned = plan_existing(folder, planned)
        resume = True
    elif not resume:
        planned = decided(planned, place)
    notes = (*modality(dataset.kind).training_notes(dataset), *target_notes(planned))
    reporter = Reporter(progress if world.is_main else False)
    alone = announce is None  # nobody else says how it ended
    announce = announce or _shown_by(reporter)
    if notes:
        announce(notes)
    setup = Setup(planned, dataset, place, start=model, **parts)  # errors show before a directory is created
    where = None if origin is None else str(origin.path)
    before = read_recipe(folder / "recipe.toml").training if resume else planned.training
    if resume and (folder / "summary.json").is_file():
        own = {name: part for name, part in parts.items() if name not in ("loss", "origin")}
        run = load(folder, device=str(place), data=dataset, **own)
        if not _goes_on(run, setup, before):
            if alone:
                reporter.finish(f"{folder}: trained already")
            return run
    elif resume:
        done = max(Checkpoints(folder / "checkpoints", "").paths(), default=0)
        if done > setup.total_steps:
            raise _trained_for(folder, done, setup)
    world.wait()  # all have chosen the same free directory
    with contextlib.ExitStack() as held:
        held.enter_context(among(None))  # a training shares its work by itself
        if world.is_main:
            replaced = overwrite and folder.is_dir() and any(folder.iterdir())
            if out is None and not (resume or again):  # others may have started meanwhile
                folder = claim_default_directory(dataset)
                if named := name_note(folder, dataset):
                    announce(named)
            else:
                create_run_directory(folder, resume or replaced)
            held.enter_context(sole_writer(folder))
            if replaced:
                remove_run(folder)
        folder = Path(world.text(str(folder)))
        try:
            return Execution(
                setup,
                folder,
                world,
                reporter,
                before,
                pictures=pictures,
                tensorboard=tensorboard,
                announce=announce,
                report=report,
                origin=where,
                alone=alone,
            ).run()
        except Exception as error:
            world.leave(error)
            if (
                isinstance(error, RunError) and world.is_main and (folder / "recipe.toml").is_file()
            ):  # for `diagnose`
                with contextlib.suppress(OSError, RunError):
                    write_json(folder / "failure.json", {"what": error.what, "hint": error.hint})
            raise
        except KeyboardInterrupt as stop:
            command = f"diffuscope train --out {shlex.quote(str(folder))} --resume"
            if planned.data.source is None or any(part is not None for part in parts.values()):
                command = f"diffuscope.train(..., out={str(folder)!r}, resume=True)"
            said = f"{str(stop) or 'Interrupted'}; resume with: {command}"
            raise Interrupted(said, stopped_by(stop)) from stop


def _is_begun(out: str | Path | None, world: World) -> bool:
    """Return whether the first process finds a run to resume in ``out``."""
    if out is None:
        raise InputError("No run to resume was given.", "Give its directory with --out.")
    return bool(world.agree(world.is_main and (Path(out) / "recipe.toml").is_file())[0])


def _shown_by(reporter: Reporter) -> Callable[[Sequence[str]], None]:
    """Return what shows notes, in the words of Python, where progress is shown."""
    return lambda notes: reporter.say("\n".join(in_python(translate(note)) for note in notes))


def _goes_on(run: Run, setup: Setup, before: TrainingSection) -> bool:
    """Whether a finished run, trained as ``before`` says, is to be trained for longer."""
    if run.summary.get("fingerprint") not in (setup.fingerprint(), setup.fingerprint(before)):
        raise RunError(
            f"{run.path} belongs to a run with other data, another recipe or another seed.",
            "Start a new run in another folder.",
        )
    now = setup.recipe.training
    if (before.steps, before.epochs) == (now.steps, now.epochs):
        return False
    done = int(run.summary["steps"])
    if setup.total_steps <= done:
        raise _trained_for(run.path, done, setup)
    if not any((run.path / "checkpoints").glob("step_*.safetensors")):
        raise InputError(
            f"{run.path} has no checkpoint from which it could go on.",
            "Start another run from its weights: --start.",
        )
    return True


def _trained_for(folder: Path, done: int, setup: Setup) -> InputError:
    """Return the error for a run that has been trained for as many steps, or more."""
    return InputError(
        f"{folder} has been trained for {done:,} steps, which is not less than {setup.total_steps:,}.",
        "Give more --steps, or another --out.",
    )


def _without_none(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
