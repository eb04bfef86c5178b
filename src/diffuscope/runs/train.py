"""From data to a finished run directory: train, keep, measure, draw.

The order is such that nothing is lost: the model is written before anything is measured or drawn.
"""

from __future__ import annotations

import contextlib
import json
import platform
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from diffuscope._version import __version__
from diffuscope.runs.tensorboard import Board, check_board
from diffuscope.data.base import Dataset
from diffuscope.errors import RunError
from diffuscope.files import append_text, sole_writer, write_json, write_text
from diffuscope.runs.setup import Fitting
from diffuscope.data.images import ImageData
from diffuscope.model import pick_device
from diffuscope.runs.plan import changes_from, create_run_directory, plan_new, plan_resumed
from diffuscope.progress import Bar, Reporter
from diffuscope.modalities.reference import extractor_for, measure_quality
from diffuscope.recipes import Recipe
from diffuscope.runs.run import Run, load
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Schedule
from diffuscope.data.tables import TableData
from diffuscope.training import (
    Checkpoints,
    Interrupted,
    LossLike,
    Progress,
    Trainer,
    World,
    join_world,
)

__all__ = ["train"]

_SHOWN_ROWS = 20_000


def train(
    data: Any,
    *,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    changes: Mapping[str, Any] | None = None,
    device: str = "auto",
    resume: bool = False,
    pictures: bool = True,
    tensorboard: bool = False,
    progress: bool | None = None,
    network: nn.Module | None = None,
    schedule: Schedule | None = None,
    loss: LossLike | None = None,
    sampler: Sampler | None = None,
) -> Run:
    """Train a diffusion model and keep everything in a run directory.

    Parameters
    ----------
    data : str, path, array, DataFrame, Dataset or callable
        A built-in name (``diffuscope list datasets``), a .csv, .tsv, .parquet, .npy or .npz file,
        points (n, d), or a function ``(n, rng) -> (n, d)`` that draws fresh ones.
    recipe : str, path or Recipe
        A name (``diffuscope list recipes``) or a TOML file; ``fast`` by default.
    out : str or path, optional
        The run directory; by default the first free one of runs/NAME, runs/NAME-2, ...
    seed : int, optional
        Of everything; the recipe's by default.
    epochs, steps : int, optional
        Length of the training; the recipe's by default.
    changes : mapping, optional
        Further changes to the recipe, such as ``{"training.batch_size": 512}``.
    device : str
        auto, cpu, cuda or mps.
    resume : bool
        Go on with the run in ``out`` from its last checkpoint.
    pictures : bool
        Whether to draw figures and GIFs.
    tensorboard : bool
        Whether to write losses and samples for TensorBoard too, into the folder ``tensorboard`` of the run.
    progress : bool, optional
        Whether to show progress; by default where standard error is a terminal.
    network : nn.Module, optional
        A module ``(x, t) -> same shape`` in place of the recipe's network. It is trained in place. t is
        the schedule's time, or log(α²/σ²) if the module says ``conditioning = "log_snr"``, which suits
        networks better where times reach from 0.002 to 10 as they do under ``fast``.
    schedule : Schedule, optional
        In place of the recipe's.
    loss : LossLike, optional
        In place of the recipe's, all its settings included.
    sampler : Sampler, optional
        A function ``(context, x) -> x`` in place of the recipe's.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        When the data or a setting cannot be used, or ``out`` exists already.
    RunError
        When training fails: the loss is not finite, no space is left.
    Interrupted
        On Ctrl-C, after a checkpoint was written.
    """
    given = {"network": network, "schedule": schedule, "loss": loss, "sampler": sampler}
    if tensorboard:
        check_board()
    wanted = changes_from(seed, epochs, steps, changes, given)
    reporter = Reporter(progress)
    plan = (plan_resumed if resume else plan_new)(data, recipe, wanted, out)
    folder = plan.folder
    place = pick_device(device)
    world = join_world(place)
    if not world.is_main:
        reporter = Reporter(False)
    experiment = _Experiment(plan.recipe, plan.data, folder, place, world, reporter, given, tensorboard)
    experiment.prepare()  # whatever does not fit shows before a directory is made
    if resume and (folder / "summary.json").is_file():
        return experiment.reopen()
    world.wait()  # all have chosen the same free directory
    with contextlib.ExitStack() as held:
        if world.is_main:
            create_run_directory(folder, resume)
            held.enter_context(sole_writer(folder))
        world.wait()
        return _run(experiment, pictures)


def _run(experiment: _Experiment, pictures: bool) -> Run:
    """Run an experiment in its directory, and leave a sensible one behind whatever happens."""
    folder = experiment.folder
    try:
        return experiment.run(pictures)
    except RunError as error:
        if experiment.world.is_main and (folder / "recipe.toml").is_file():  # for `diagnose`
            with contextlib.suppress(OSError, RunError):
                write_json(folder / "failure.json", {"what": error.what, "hint": error.hint})
        raise
    except KeyboardInterrupt as stop:
        raise Interrupted(f"{str(stop) or 'Interrupted'}; go on with: {experiment.resume_command()}") from stop
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # where not even the recipe could be written, and so nothing is in it


@dataclass
class _Experiment:
    """One run on its way from data to a directory."""

    recipe: Recipe
    data: Dataset
    folder: Path
    device: torch.device
    world: World
    reporter: Reporter
    given: Mapping[str, Any]
    tensorboard: bool = False

    def prepare(self) -> None:
        """Scale the data and make the untrained model."""
        self.fitting = Fitting(self.recipe, self.data, self.device, **self.given)
        self.model = self.fitting.model

    def reopen(self) -> Run:
        """Return a run that is finished already, if it is this one."""
        parts = {name: self.given[name] for name in ("network", "schedule", "sampler")}
        run = load(self.folder, device=str(self.device), data=self.data, **parts)
        if run.summary.get("fingerprint") != self.fitting.fingerprint():
            raise RunError(
                f"{self.folder} was made with other data, another recipe or another seed.",
                "Start a new run in another folder.",
            )
        return run

    def resume_command(self) -> str:
        """Say how an interrupted run is gone on with."""
        if self.recipe.data.source is None or any(part is not None for part in self.given.values()):
            return f"diffuscope.train(..., out={str(self.folder)!r}, resume=True)"
        return f"diffuscope train --out {shlex.quote(str(self.folder))} --resume"

    def run(self, pictures: bool) -> Run:
        """Train, keep, measure, draw."""
        started = time.perf_counter()
        main = self.world.is_main
        if main:
            write_text(self.folder / "recipe.toml", self.recipe.to_toml())
            (self.folder / "failure.json").unlink(missing_ok=True)
        checkpoints = Checkpoints(self.folder / "checkpoints", self.fitting.fingerprint())
        trainer = self.fitting.trainer(checkpoints, self.world)
        trainer.on_epoch = self._draw_row if pictures and main else None
        train_seconds = self._train(trainer)
        run = Run(self.folder, self.model, self.data)
        if not main:
            return run
        self.model.save(self.folder / "model.safetensors")
        if isinstance(self.data, ImageData):
            extractor_for(self.data, self.reporter)  # trained once and kept; it shows how far it is
        with self.reporter.stage("measuring the samples"):
            quality = {
                k: m.to_json() for k, m in measure_quality(self.model, self.data, self.recipe.seed).items()
            }
        if pictures:
            from diffuscope.modalities.images.figures import save_image_pictures
            from diffuscope.modalities.points.figures import save_pictures

            with self.reporter.stage("drawing"):
                ratio = quality["sliced_wasserstein"]["ratio"]
                if isinstance(self.data, ImageData):
                    save_image_pictures(self.model, self.data, self.folder, ratio, run.metrics)
                else:
                    save_pictures(self.model, self.data.filled, self.folder, ratio, run.metrics)
                if isinstance(self.data, TableData):
                    _save_pairs(run, self.data)
        write_json(self.folder / "summary.json", self._summary(trainer, train_seconds, quality, started))
        return run

    def _train(self, trainer: Trainer) -> float:
        """Train to the end; return the seconds that the steps took, those of pictures not counted."""
        start = trainer.resume()
        log = self.folder / "metrics.jsonl"
        seconds_before = _keep_metrics(log, start) if self.world.is_main else 0.0
        self._drawing_seconds = 0.0
        begun = time.perf_counter()

        def seconds() -> float:
            return seconds_before + time.perf_counter() - begun - self._drawing_seconds

        with contextlib.ExitStack() as held:
            bar = held.enter_context(self.reporter.bar("training", trainer.total_steps, "steps", start))
            board = None
            if self.tensorboard and self.world.is_main:
                board = Board(self.folder / "tensorboard", self.model, trainer, self.data.filled)
                held.callback(board.close)
            trainer.on_progress = self._follow(log, bar, seconds, board) if self.world.is_main else None
            trainer.run()
        took = seconds()
        trainer.finish()
        return took

    def _follow(self, log: Path, bar: Bar, seconds: Any, board: Board | None) -> Any:
        def follow(now: Progress) -> None:
            line = {
                "step": now.step,
                "epoch": round(now.epoch, 4),
                "loss": now.loss,
                "learning_rate": now.learning_rate,
                "seconds": round(seconds(), 3),
            }
            append_text(log, json.dumps(line) + "\n")
            bar.update(now.step, f"loss {now.loss:.4f}")
            if board is not None:
                begun = time.perf_counter()
                board.follow(now)
                self._drawing_seconds += time.perf_counter() - begun

        return follow

    def _draw_row(self, epoch: int, trainer: Trainer) -> None:
        """Draw a row of the reverse walk for every so-many-th epoch, counted from 0 as the article does."""
        every = self.recipe.pictures.row_every
        if every is None or (epoch - 1) % every:
            return
        from diffuscope.modalities.points.figures import save_epoch

        begun = time.perf_counter()
        with trainer.averaged():
            save_epoch(self.model, self.data.filled, self.folder, epoch - 1)
        self._drawing_seconds += time.perf_counter() - begun

    def _summary(
        self, trainer: Trainer, train_seconds: float, quality: Mapping[str, Any], started: float
    ) -> dict[str, Any]:
        return {
            "recipe": self.recipe.name,
            "data": self.data.source,
            "seed": self.recipe.seed,
            "steps": trainer.step,
            "parameters": trainer.flat.vector.numel(),
            "train_seconds": round(train_seconds, 3),
            "total_seconds": round(time.perf_counter() - started, 3),
            "device": str(self.device),
            "processes": self.world.size,
            "fingerprint": self.fitting.fingerprint(),
            "quality": quality,
            "versions": {
                "diffuscope": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }


def _save_pairs(run: Run, data: TableData) -> None:
    """Draw real and synthetic rows in the words of their table."""
    from diffuscope.plots import plot_pairs, save_figure

    real = data.frame
    figure = plot_pairs(real, run.sample_frame(min(len(real), _SHOWN_ROWS), seed=run.recipe.seed))
    save_figure(figure, run.path / "figures" / "pairs.png")


def _keep_metrics(log: Path, step: int) -> float:
    """Keep the lines of ``log`` up to ``step``; return the seconds of training until there."""
    kept, seconds = [], 0.0
    if log.is_file():
        for line in log.read_text("utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
                if entry["step"] <= step:
                    kept.append(line)
                    seconds = float(entry["seconds"])
            except (ValueError, KeyError, TypeError):  # the line that a kill cut short
                break
    write_text(log, "".join(line + "\n" for line in kept))
    return seconds
