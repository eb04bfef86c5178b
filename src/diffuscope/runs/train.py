"""From data to a finished run directory: train, save, measure, draw.

The model is saved before anything is measured or drawn, so that an error there does not lose it.
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
from diffuscope.errors import RunError
from diffuscope.files import append_text, sole_writer, write_json, write_text
from diffuscope.data.base import Dataset
from diffuscope.modalities.lookup import modality
from diffuscope.model import pick_device
from diffuscope.runs.plan import changes_from, create_run_directory, plan_new, plan_resumed
from diffuscope.progress import Bar, Reporter
from diffuscope.recipes import Recipe
from diffuscope.runs.run import Run, load
from diffuscope.runs.setup import Setup
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Schedule
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


def train(
    data: Any = None,
    *,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    target: str | None = None,
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
    resume: bool = False,
    pictures: bool = True,
    tensorboard: bool = False,
    progress: bool | None = None,
    **more: Any,
) -> Run:
    """Train a diffusion model and write everything to a run directory.

    Parameters
    ----------
    data : str, path, array, DataFrame, Dataset or callable
        A built-in name (``diffuscope list datasets``), a .csv, .tsv, .parquet, .npy or .npz file, a folder of
        images, points (n, d), a table, or a function ``(n, rng) -> (n, d)`` that draws fresh points.
    recipe : str, path or Recipe
        A name (``diffuscope list recipes``) or a TOML file; by default that of the kind of data.
    out : str or path, optional
        The run directory; by default the first free one of runs/NAME, runs/NAME-2, ...
    seed : int, optional
        Seed of all random numbers; the recipe's by default.
    target : str, optional
        For tables: the column to condition on (y).
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
    resume : bool
        Resume the run in ``out`` from its last checkpoint.
    pictures : bool
        Whether to draw figures and animations.
    tensorboard : bool
        Whether to also write losses and samples for TensorBoard, into the folder ``tensorboard`` of the run.
    progress : bool, optional
        Whether to show progress; by default where standard error is a terminal.
    **more
        Settings by their own name: ``width=128``.

    Returns
    -------
    Run

    Raises
    ------
    InputError
        When the data or a setting is not valid, or ``out`` exists already.
    RunError
        When training fails: the loss is not finite, no space is left.
    Interrupted
        On Ctrl-C, after a checkpoint was written.
    """
    named = {"schedule.name": schedule, "network.name": network, "sampling.name": sampler}
    parts = {"network": network, "schedule": schedule, "loss": loss, "sampler": sampler}
    parts = {name: None if isinstance(part, str) else part for name, part in parts.items()}
    options = {
        "data.target": target,
        "data.size": size,
        "data.noise": noise,
        "schedule.zero_terminal_snr": zero_terminal_snr,
        "sampling.steps": sampling_steps,
        **{key: value for key, value in named.items() if isinstance(value, str)},
    }
    if tensorboard:
        check_board()
    changes = {key: value for key, value in options.items() if value is not None}
    changes = changes_from(seed, epochs, steps, {**changes, **(settings or {}), **more}, parts)
    reporter = Reporter(progress)
    plan = (plan_resumed if resume else plan_new)(data, recipe, changes, out)
    folder = plan.folder
    place = pick_device(device)
    world = join_world(place)
    if not world.is_main:
        reporter = Reporter(False)
    training = _Training(plan.recipe, plan.data, folder, place, world, reporter, parts, tensorboard)
    training.prepare()  # errors show before a directory is created
    if resume and (folder / "summary.json").is_file():
        return training.reopen()
    world.wait()  # all have chosen the same free directory
    with contextlib.ExitStack() as held:
        if world.is_main:
            create_run_directory(folder, resume)
            held.enter_context(sole_writer(folder))
        world.wait()
        return _run(training, pictures)


def _run(training: _Training, pictures: bool) -> Run:
    """Run a training in its directory; record its error if it fails."""
    folder = training.folder
    try:
        return training.run(pictures)
    except RunError as error:
        if training.world.is_main and (folder / "recipe.toml").is_file():  # for `diagnose`
            with contextlib.suppress(OSError, RunError):
                write_json(folder / "failure.json", {"what": error.what, "hint": error.hint})
        raise
    except KeyboardInterrupt as stop:
        raise Interrupted(f"{str(stop) or 'Interrupted'}; resume with: {training.resume_command()}") from stop


@dataclass
class _Training:
    """The training of one run."""

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
        self.setup = Setup(self.recipe, self.data, self.device, **self.given)
        self.model = self.setup.model

    def reopen(self) -> Run:
        """Return a run that is finished already, if it is this one."""
        parts = {name: self.given[name] for name in ("network", "schedule", "sampler")}
        run = load(self.folder, device=str(self.device), data=self.data, **parts)
        if run.summary.get("fingerprint") != self.setup.fingerprint():
            raise RunError(
                f"{self.folder} belongs to a run with other data, another recipe or another seed.",
                "Start a new run in another folder.",
            )
        return run

    def resume_command(self) -> str:
        """Return the command that resumes an interrupted run."""
        if self.recipe.data.source is None or any(part is not None for part in self.given.values()):
            return f"diffuscope.train(..., out={str(self.folder)!r}, resume=True)"
        return f"diffuscope train --out {shlex.quote(str(self.folder))} --resume"

    def run(self, pictures: bool) -> Run:
        """Train, save, measure, draw."""
        started = time.perf_counter()
        main = self.world.is_main
        if main:
            write_text(self.folder / "recipe.toml", self.recipe.to_toml())
            (self.folder / "failure.json").unlink(missing_ok=True)
        checkpoints = Checkpoints(self.folder / "checkpoints", self.setup.fingerprint())
        trainer = self.setup.trainer(checkpoints, self.world)
        trainer.on_epoch = self._draw_row if pictures and main else None
        train_seconds = self._train(trainer)
        run = Run(self.folder, self.model, self.data)
        if not main:
            return run
        self.model.save(self.folder / "model.safetensors")
        with self.reporter.stage("measuring the samples"):
            measured = run.measure(self.reporter)
        quality = {name: one.to_json() for name, one in measured.items()}
        if pictures:
            with self.reporter.stage("drawing"):
                run.figures.save(self.folder, measured["sliced_wasserstein"], run.metrics)
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
                figures = modality(self.data.kind).figures(self.model, self.data)
                board = Board(self.folder / "tensorboard", figures, trainer)
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
        """Draw a row of a sampling trajectory every few epochs, counted from 0 as the article does."""
        every = self.recipe.pictures.row_every
        if every is None or (epoch - 1) % every:
            return
        
        begun = time.perf_counter()
        with trainer.averaged():
            modality(self.data.kind).figures(self.model, self.data).save_epoch(self.folder, epoch - 1)
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
            "fingerprint": self.setup.fingerprint(),
            "quality": quality,
            "versions": {
                "diffuscope": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }


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
