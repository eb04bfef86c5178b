"""How does a training run that is watched? Between its chunks of steps it reports, and answers questions."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from torch.nn.utils import parameters_to_vector

from diffuscope.studio.frames import Positions
from diffuscope.studio.measures import Measures
from diffuscope.studio.plane import Plane, Points
from diffuscope.studio.requests import AdjustRequest
from diffuscope.studio.session import Send
from diffuscope.training import Progress, Trainer
from diffuscope.viewer.reports import SHOWN, Reports

__all__ = ["LiveTraining", "Stopped", "against_real"]

_PAIRS = 8  # of the floor of a report
_SNAPSHOTS = 32
_ADJUSTED = ("learning_rate", "batch_size", "ema_decay")


class Stopped(Exception):  # noqa: N818
    """A training is to end."""


class _Again(Exception):  # noqa: N818
    """A training is to go on with other batches."""


def against_real(plane: Plane, measures: Measures) -> tuple[Points, float]:
    """Return the real points that samples of a training are compared with, and the floor."""
    real = plane.in_data(plane.draw(SHOWN, "progress"))
    return real, float(np.mean([measures.floor(SHOWN, i) for i in range(_PAIRS)]))


class LiveTraining:
    """A training of a plane's model; ``answer`` answers the questions that wait, once for each chunk."""

    def __init__(
        self, plane: Plane, against: tuple[Points, float], send: Send, answer: Callable[[], None]
    ) -> None:
        self.plane, self.send, self.answer = plane, send, answer
        self.trainer: Trainer = plane.setup.trainer()
        self.trainer.on_progress = self._report
        self.other_batches = False
        scale = plane.codec.scale
        self.reports = Reports(self.trainer, *against, scale, self._send_loss, self._send_samples)

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return self.reports.seconds

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
        self.reports.follow(progress)
        place = math.floor(_SNAPSHOTS * math.sqrt(progress.step / self.reports.total))
        if place > len(self.plane.trained.steps):
            self._keep()
        self.other_batches = False
        self.answer()
        if self.other_batches:
            raise _Again

    def _send_loss(self, about: dict[str, Any]) -> None:
        self.plane.trained.losses.append((about["step"], about["loss"]))
        self.send({"loss": about})

    def _send_samples(self, about: dict[str, Any]) -> None:
        self.send({"progress": {**about, "samples": Positions(about["samples"])}})

    def _keep(self) -> None:
        """Keep the state of the network."""
        trained = self.plane.trained
        if trained.steps and trained.steps[-1] == self.trainer.step:
            return
        with self.trainer.averaged() as denoiser:
            trained.weights.append(parameters_to_vector(denoiser.network.parameters()).detach().clone())
        trained.steps.append(self.trainer.step)
