"""How does a training run that is watched? Between its chunks of steps it reports, and answers questions.

Showing samples of a network in training takes at most a twentieth of the time, however many pages watch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from torch.nn.utils import parameters_to_vector

from diffuscope.diffusion.schedules import DiscreteSchedule
from diffuscope.metrics import sliced_wasserstein
from diffuscope.studio.frames import Positions
from diffuscope.studio.measures import Measures
from diffuscope.studio.plane import Plane, Points
from diffuscope.studio.requests import AdjustRequest, Sampling
from diffuscope.studio.session import Send
from diffuscope.training import Progress, Trainer

__all__ = ["LiveTraining", "Stopped", "against_real"]

_SHOWN = 600  # samples of a report
_PAIRS = 8  # of the floor of a report
_SHARE = 0.05  # of the time that reports may take
_EVERY = 0.05  # seconds between reports, at least
_SNAPSHOTS = 32
_ADJUSTED = ("learning_rate", "batch_size", "ema_decay")


class Stopped(Exception):  # noqa: N818
    """A training is to end."""


class _Again(Exception):  # noqa: N818
    """A training is to go on with other batches."""


def against_real(plane: Plane, measures: Measures) -> tuple[Points, float]:
    """Return the real points that samples of a training are compared with, and the floor."""
    real = plane.in_data(plane.draw(_SHOWN, "progress"))
    return real, float(np.mean([measures.floor(_SHOWN, i) for i in range(_PAIRS)]))


class LiveTraining:
    """A training of a plane's model; ``answer`` answers the questions that wait, once for each chunk."""

    def __init__(
        self, plane: Plane, against: tuple[Points, float], send: Send, answer: Callable[[], None]
    ) -> None:
        self.plane, self.against, self.send, self.answer = plane, against, send, answer
        self.trainer: Trainer = plane.setup.trainer()
        self.trainer.on_progress = self._report
        self.began = time.perf_counter()
        self.sum, self.count, self.cost = 0.0, 0, 0.0
        self.last_picture = self.last_loss = -math.inf
        self.other_batches = False
        self.total = self.trainer.total_steps
        schedule = self.trainer.denoiser.schedule
        few = min(14, schedule.T) if isinstance(schedule, DiscreteSchedule) else 14
        self.sampling = Sampling(name="dpmpp_2m", steps=few, spacing="karras")

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began

    def run(self) -> bool:
        """Train to the end, or until :class:`Stopped`; return whether it was stopped."""
        stopped = False
        try:
            while self._runs_on():
                pass
        except Stopped:
            stopped = True
        self._keep()
        return stopped

    def _runs_on(self) -> bool:
        try:
            self.trainer.run()
        except _Again:
            return True
        return False

    def adjust(self, request: AdjustRequest) -> None:
        """Change settings of the steps that come; the recipe says what was set last."""
        trainer, setup = self.trainer, self.plane.setup
        changes = {f"training.{key}": getattr(request, key) for key in _ADJUSTED}
        recipe = setup.recipe.changed({**changes, "loss.distance": request.distance})
        setup.recipe = setup.model.recipe = recipe
        trainer.settings = recipe.training
        trainer.average.decay = request.ema_decay
        trainer.loss = setup.loss = recipe.make_loss()
        self.other_batches = trainer.batches.batch_size != request.batch_size
        setup.batches = trainer.batches = replace(trainer.batches, batch_size=request.batch_size)
        self.plane.trained.adjusted = True

    # --- reports --------------------------------------------------------------------------------------------

    def _report(self, progress: Progress) -> None:
        self.sum, self.count = self.sum + progress.loss, self.count + 1
        now, ends = self.seconds, progress.step == self.total
        if now - self.last_loss >= _EVERY or ends:
            self._send_loss(progress)
            self.last_loss = now
        if now - self.last_picture >= max(_EVERY, self.cost / _SHARE) or ends:
            self._send_picture(progress)
            self.cost, self.last_picture = self.seconds - now, self.seconds
        place = math.floor(_SNAPSHOTS * math.sqrt(progress.step / self.total))
        if place > len(self.plane.trained.steps):
            self._keep()
        self.other_batches = False
        self.answer()
        if self.other_batches:
            raise _Again

    def _send_loss(self, progress: Progress) -> None:
        loss = self.sum / self.count
        self.sum, self.count = 0.0, 0
        self.plane.trained.losses.append((progress.step, loss))
        about = {"step": progress.step, "steps": self.total, "loss": loss, "seconds": self.seconds}
        self.send({"loss": about})

    def _send_picture(self, progress: Progress) -> None:
        plane, (real, floor) = self.plane, self.against
        with self.trainer.averaged() as denoiser:
            samples = plane.states(denoiser, _SHOWN, self.sampling, 3)[1][-1]
        about = {
            "step": progress.step,
            "steps": self.total,
            "seconds": self.seconds,
            "samples": Positions(samples.numpy()),
            "ratio": sliced_wasserstein(plane.in_data(samples), real) / floor,
        }
        self.send({"progress": about})

    def _keep(self) -> None:
        """Keep the state of the network."""
        trained = self.plane.trained
        if trained.steps and trained.steps[-1] == self.trainer.step:
            return
        with self.trainer.averaged() as denoiser:
            trained.weights.append(parameters_to_vector(denoiser.network.parameters()).detach().clone())
        trained.steps.append(self.trainer.step)
