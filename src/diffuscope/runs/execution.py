"""How is a planned training carried out? Train, save, measure, draw.

The model is saved before anything is measured or drawn, so that an error there does not lose it.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.beside import Beside, Receive, can_fork
from diffuscope.files import append_text, write_json, write_text
from diffuscope.metrics import Measured, NatsLost
from diffuscope.notebook import in_notebook
from diffuscope.progress import Reporter
from diffuscope.recipes.sections import CUSTOM, TrainingSection
from diffuscope.runs.keep import summarise
from diffuscope.runs.plan import START
from diffuscope.runs.run import Run, load
from diffuscope.runs.setup import Setup
from diffuscope.runs.tensorboard import Board
from diffuscope.shares import among
from diffuscope.training import Checkpoints, Progress, Trainer, World
from diffuscope.translations import language

if TYPE_CHECKING:
    from diffuscope.viewer.live import LiveView

__all__ = ["Execution"]


@dataclass
class Execution:
    """The training of one run in its directory."""

    setup: Setup
    folder: Path
    world: World
    reporter: Reporter
    before: TrainingSection  # of the run that is resumed
    pictures: bool
    tensorboard: bool
    announce: Callable[[Sequence[str]], None] | None = None
    origin: str | None = None  # the run that it started from
    alone: bool = False  # whether it says itself how it ended
    report: Callable[[str, str], None] | None = None

    def run(self) -> Run:
        """Train, save, measure, draw."""
        started = time.perf_counter()
        setup, recipe, fingerprint = self.setup, self.setup.recipe, self.setup.fingerprint()
        also = (setup.fingerprint(self.before),)
        run = Run(self.folder, setup.model, setup.data)
        if self.world.is_main:
            # A run that goes on is one that is not finished, until it is again.
            (self.folder / "summary.json").unlink(missing_ok=True)
            if setup.start is not None and not (self.folder / START).is_file():
                setup.start.save(self.folder / START)
            write_text(self.folder / "recipe.toml", recipe.to_toml())
            (self.folder / "failure.json").unlink(missing_ok=True)
        trainer = setup.trainer(Checkpoints(self.folder / "checkpoints", fingerprint, also), self.world)
        with self._drawing_the_data(run):
            train_seconds = self._train(trainer, run)
        if not self.world.is_main:
            self.world.wait()  # until the model is written
            network = setup.model.denoiser.network
            run = load(
                self.folder,
                device=str(setup.device),
                data=setup.data,
                network=network if recipe.network.name == CUSTOM else None,
                schedule=setup.model.denoiser.schedule if recipe.schedule.name == CUSTOM else None,
                sampler=setup.model.sampler,
            )
            if run.modality.unmeasurable(setup.data) is None:
                with among(self.world):
                    run.sample_as_measured()
            self.world.wait()  # until everything is written
            return run
        notes = run.modality.complete(run.model, setup.data, self.reporter)
        if self.announce is not None and notes:
            self.announce(notes)
        run.model.save(self.folder / "model.safetensors")
        perfect = self._perfect_loss(run) if self.pictures else None
        self.world.wait()  # all share the sampling that follows
        measured, lost = self._measure_and_draw(run, perfect)
        more: dict[str, Any] = {} if self.origin is None else {"start": self.origin}
        if perfect is not None:
            more["perfect_loss"] = perfect
        if lost is not None:
            more["law"] = lost.to_json()
        total = time.perf_counter() - started
        summary = summarise(setup, trainer.step, train_seconds, total, measured, self.world.size, **more)
        write_json(self.folder / "summary.json", summary)
        self.world.wait()
        if self.alone:
            self.reporter.finish(_last_line(run, measured.get("sliced_wasserstein"), summary))
        return run

    def _drawing_the_data(self, run: Run) -> contextlib.AbstractContextManager[Any]:
        """Draw what can be seen before training while the block runs, unless a run that goes on has it."""
        drawn = (self.folder / "forward.gif").is_file()
        if drawn or not (self.pictures and self.world.is_main):
            return contextlib.nullcontext()
        if can_fork():
            return Beside(lambda _: run.figures.save_data(self.folder))
        with self.reporter.stage("drawing the data"):
            run.figures.save_data(self.folder)
        return contextlib.nullcontext()

    def _measure_and_draw(
        self, run: Run, perfect_loss: float | None
    ) -> tuple[dict[str, Measured], NatsLost | None]:
        """Measure the samples while the figures are drawn; the last of them tells what was measured."""

        def draw(receive: Receive) -> None:
            figures = run.figures
            samples = figures.save(self.folder, run.metrics, perfect_loss)
            figures.save_samples(self.folder, samples, receive())

        with Beside(draw) if self.pictures else contextlib.nullcontext() as drawing:
            with self.reporter.stage("measuring the samples"):
                few = run.modality.unmeasurable(self.setup.data)
                with among(self.world if self.world.size > 1 else None):
                    measured = run.measure(self.reporter) if few is None else {}
            if drawing is not None:
                drawing.send(measured.get("sliced_wasserstein"))
            with self.reporter.stage("comparing with the law"):
                lost = run.modality.nats_lost(run.model, self.setup.data, run.recipe.seed)
            if drawing is not None:
                with self.reporter.stage("drawing"):
                    drawing.wait()
        return measured, lost

    def _train(self, trainer: Trainer, run: Run) -> float:
        """Train to the end; return the seconds that the steps took, those of pictures not counted."""
        start = trainer.resume()
        if not self.world.is_main:
            trainer.run()
            trainer.finish()
            return 0.0
        log = self.folder / "metrics.jsonl"
        begun = time.perf_counter() - _keep_metrics(log, start)
        every = run.recipe.pictures.row_every

        if every is not None:
            self._first_batch(run)
        loss = math.nan

        def follow(now: Progress) -> None:
            nonlocal begun, loss
            loss = now.loss
            line = {
                "step": now.step,
                "epoch": round(now.epoch, 4),
                "loss": now.loss,
                "learning_rate": now.learning_rate,
                "seconds": round(time.perf_counter() - begun, 3),
            }
            append_text(log, json.dumps(line) + "\n")
            bar.update(now.step, f"loss {now.loss:.4f}")
            paused = time.perf_counter()
            for watcher in watchers:
                watcher.follow(now)
            begun += time.perf_counter() - paused

        def draw_row(epoch: int, trainer: Trainer) -> None:
            """Draw a row of a sampling trajectory every few epochs, counted from 0 as the article does."""
            nonlocal begun
            if every is None or (epoch - 1) % every:
                return
            self._tell("epoch", f"{epoch - 1:,}: loss {loss:.6f}")
            if self.pictures:
                paused = time.perf_counter()
                with trainer.averaged():
                    run.figures.save_epoch(self.folder, epoch - 1)
                begun += time.perf_counter() - paused

        with contextlib.ExitStack() as held:
            bar = held.enter_context(self.reporter.bar("training", trainer.total_steps, "steps", start))
            board = Board(self.folder / "tensorboard", run.figures, trainer) if self.tensorboard else None
            watchers = [one for one in (board, self._live_view(trainer, run)) if one is not None]
            for watcher in watchers:
                held.callback(watcher.close)
            trainer.on_progress = follow
            trainer.on_epoch = draw_row
            trainer.run()
        took = time.perf_counter() - begun
        trainer.save_checkpoint()  # so that the run can go on
        trainer.finish()
        return took

    def _live_view(self, trainer: Trainer, run: Run) -> LiveView | None:
        """Return what shows the training in a notebook, where that can be."""
        if not (self.reporter.show and in_notebook()):
            return None
        from diffuscope.viewer.live import live_view

        return live_view(run.model, run.data, trainer, lambda: self._perfect_loss(run), language())

    def _perfect_loss(self, run: Run) -> float | None:
        """Return the least possible loss, where it is known."""
        setup = self.setup
        return run.modality.perfect_loss(run.model, setup.data, setup.loss, setup.batches)

    def _first_batch(self, run: Run) -> None:
        """Say the shapes of data and batches, and draw the first batch, as the tutorial does."""
        setup = self.setup
        chunk = next(setup.batches.chunks(0, 1))
        batch = run.figures.display(chunk.x_0[: chunk.bounds[1]].cpu())
        shapes = [str(tuple(np.shape(one))) for one in (setup.data.x, batch)]
        self._tell("shapes", f"data {shapes[0]}, batches {shapes[1]}")
        if self.pictures:
            from diffuscope.plots import save_figure

            shown = run.modality.figures(run.model, replace(setup.data, x=batch)).draw_data()
            save_figure(shown, self.folder / "figures" / "batch.png")

    def _tell(self, name: str, text: str) -> None:
        if self.report is not None:
            self.report(name, text)


def _last_line(run: Run, quality: Measured | None, summary: Mapping[str, Any]) -> str:
    """Say in a line what came of a training, and where it is."""
    took = f"{summary['steps']:,} steps in {summary['train_seconds']:.1f} s"
    if quality is None:
        return f"{run.path}: {took}. {run.modality.unmeasurable(run.data)}"
    if quality.note:
        return f"{run.path}: {took}, quality {quality}"
    return f"{run.path}: {took}, quality {quality} (1 is as good as real data)"


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
