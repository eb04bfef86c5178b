"""How long will a comparison take? A few steps of each of its parts are timed, and multiplied.

Training is timed by a few steps of each kind of network and batch, sampling by a few steps of each
sampler, the distance by one of them, all on one thread as the workers compute.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from diffuscope.comparison.grid import Cell, Training
from diffuscope.metrics import sliced_wasserstein
from diffuscope.modalities.reference import DRAWS, PAIRS
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.runs.setup import Setup

__all__ = ["Estimate", "Probe"]

_START_SECONDS = 3.0  # of a process that loads torch
_PROBED_POINTS = 2048
_PROBED_STEPS = 4
_PROBED_SECONDS = 0.1
_TRAINING_DISTANCES = DRAWS + PAIRS  # of a run's own measurement of its quality


class Estimate(NamedTuple):
    """The work of a comparison, its mean times on one core, and ``seconds`` of everything on all cores.

    ``kept`` is the number of cells that are done already.
    """

    trainings: int
    cells: int
    kept: int
    training_seconds: float
    cell_seconds: float
    seconds: float
    cores: int

    def __str__(self) -> str:
        if not self.cells:
            return f"all {_count(self.kept, 'cell')} are done already"
        are = "is" if self.kept == 1 else "are"
        kept = f" ({self.kept:,} more {are} done already)" if self.kept else ""
        parts = [f"{_count(self.cells, 'cell')}{kept} of {_duration(self.cell_seconds)}"]
        if self.trainings:
            parts.insert(0, f"{_count(self.trainings, 'training')} of {_duration(self.training_seconds)}")
        return f"{', '.join(parts)}: about {_duration(self.seconds)} on {_count(self.cores, 'core')}"


class Probe:
    """Measures how long things take, each once: n points in a cloud, clouds of a cell, d coordinates."""

    def __init__(self, n: int, clouds: int, d: int) -> None:
        self._n, self._clouds, self._d = n, clouds, d
        self._known: dict[str, float] = {}

    def estimate(
        self, trainings: Sequence[Training], cells: Sequence[Cell], kept: int, jobs: int
    ) -> Estimate:
        """Estimate what these trainings and cells will take on ``jobs`` cores, where ``kept`` are done."""
        jobs = max(1, min(jobs, len(trainings) + len(cells)))
        of_training, of_cell = list(map(self.training, trainings)), list(map(self.cell, cells))
        each = of_training + of_cell
        start = _START_SECONDS if each else 0.0
        seconds = start + max([sum(each) / jobs, *each, 0.0])
        return Estimate(len(trainings), len(cells), kept, _mean(of_training), _mean(of_cell), seconds, jobs)

    def training(self, training: Training) -> float:
        """Return the seconds of a training, with its own measurement of its quality."""
        recipe, x = training.recipe, training.data.x
        settings = recipe.training
        steps = settings.steps or (settings.epochs or 0) * -(-len(x) // settings.batch_size)
        kind = _kind(training, recipe.loss, recipe.denoiser, settings.batch_size, settings.batches)
        each = self._once(f"step {kind}", lambda: _step_seconds(training))
        measuring = self._sampling(training, recipe, DRAWS * self._n)
        return steps * each + measuring + _TRAINING_DISTANCES * self._distance()

    def cell(self, cell: Cell) -> float:
        """Return the seconds of sampling and measuring a cell."""
        sampling = self._sampling(cell.training, cell.recipe, self._clouds * self._n)
        return sampling + self._clouds * self._distance()

    def _sampling(self, training: Training, recipe: Recipe, points: int) -> float:
        settings = recipe.sampling.model_dump(exclude={"steps"})
        per_step_and_point = self._once(
            f"sampling {_kind(training)} {settings}", lambda: _sampling_seconds(training, recipe)
        )
        return per_step_and_point * recipe.sampling.steps * points

    def _distance(self) -> float:
        x = np.random.default_rng(0).normal(size=(2, self._n, self._d))
        return self._once("distance", lambda: _seconds(lambda: sliced_wasserstein(*x)))

    def _once(self, what: str, measure: Callable[[], float]) -> float:
        if what not in self._known:
            with _one_thread():
                self._known[what] = measure()
        return self._known[what]


def _kind(training: Training, *sections: Any) -> str:
    """Return a key that trainings, or samplings, with equally long steps share."""
    parts = [part.model_dump() if hasattr(part, "model_dump") else part for part in sections]
    shape = training.data.x.shape[1:]
    return json.dumps([shape, training.recipe.network.model_dump(), *parts], default=str)


def _untrained(training: Training) -> Setup:
    return Setup(training.recipe, training.data, torch.device("cpu"))


def _step_seconds(training: Training) -> float:
    """Return the seconds of one step of training."""
    setup, settings = _untrained(training), training.recipe.training

    def run(steps: int) -> float:
        trainer = setup.trainer()
        trainer.settings = settings.model_copy(update={"steps": steps, "epochs": None})
        seconds = _seconds(trainer.run) / steps
        trainer.finish()
        return seconds

    run(1)  # what is only done once is not counted
    first = run(2)
    return run(max(2, min(64, int(_PROBED_SECONDS / first))))


def _sampling_seconds(training: Training, recipe: Recipe) -> float:
    """Return the seconds of one sampling step of one point."""
    model = _untrained(training).model
    model.recipe = recipe
    steps = min(_PROBED_STEPS, recipe.sampling.steps)
    points = min(_PROBED_POINTS, model.piece)
    request = Request(steps=steps)

    def run(n: int) -> None:
        for _ in model.coordinates(n, request):
            pass

    run(2)
    return _seconds(lambda: run(points)) / (steps * points)


def _seconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return time.perf_counter() - begun


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, and leave the caller's random state alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.set_num_threads(before)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
