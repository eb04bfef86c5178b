"""What is said of a training while it runs? Its losses, and now and then samples and their distance.

Watching takes at most a twentieth of the time, however many watch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.samplers import make_sampler, prior, trajectory
from diffuscope.diffusion.schedules import DiscreteSchedule
from diffuscope.metrics import sliced_wasserstein
from diffuscope.seeds import stream
from diffuscope.training import Progress, Trainer

__all__ = ["SHOWN", "Reports"]

SHOWN = 600
"""Samples of a report."""
_SHARE = 0.025  # of the time that samples may take; those at the end come beside it
_EVERY = 0.05  # seconds between reports, at least
_FEW = 12  # steps of these: 1.13 × floor where 40 reach 1.06


class Reports:
    """Reports of a training on points in the plane.

    Parameters
    ----------
    trainer : Trainer
    real : ndarray of shape (n, 2)
        Real points, in the scale of the data.
    floor : float
        The distance of such points from others.
    scale : ndarray of shape (2,)
        Of the data, in units of the model.
    on_loss, on_samples : callable
        Called with plain data; that of samples has the array ``samples`` (600, 2), in units of the model.
    """

    def __init__(
        self,
        trainer: Trainer,
        real: NDArray[Any],
        floor: float,
        scale: NDArray[Any],
        on_loss: Callable[[dict[str, Any]], None],
        on_samples: Callable[[dict[str, Any]], None],
    ) -> None:
        self.trainer, self.real, self.floor, self.scale = trainer, real, floor, scale
        self.on_loss, self.on_samples = on_loss, on_samples
        self.began = time.perf_counter()
        self.total = trainer.total_steps
        schedule = trainer.denoiser.schedule
        few = min(_FEW, schedule.T) if isinstance(schedule, DiscreteSchedule) else _FEW
        self._grid = schedule.grid(few, "karras", 7.0)
        self._sum, self._count, self._cost = 0.0, 0, 0.0
        self._last_samples = self._last_loss = -math.inf

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.perf_counter() - self.began

    def follow(self, progress: Progress) -> None:
        """Report where a training is, if it is time."""
        self._sum, self._count = self._sum + progress.loss, self._count + 1
        now, ends = self.seconds, progress.step == self.total
        about = {"step": progress.step, "steps": self.total, "seconds": now}
        if now - self._last_loss >= _EVERY or ends:
            self.on_loss({**about, "loss": self._sum / self._count})
            self._sum, self._count, self._last_loss = 0.0, 0, now
        if now - self._last_samples >= max(_EVERY, self._cost / _SHARE) or ends:
            with self.trainer.averaged() as denoiser:
                samples = self._sample(denoiser).numpy()
            ratio = sliced_wasserstein(samples.astype(np.float64) * self.scale, self.real) / self.floor
            self.on_samples({**about, "samples": samples, "ratio": ratio})
            self._cost, self._last_samples = self.seconds - now, self.seconds

    def _sample(self, denoiser: Denoiser) -> Tensor:
        """Draw points (600, 2), always from the same noise."""
        generator = stream(3, "studio")
        device = next(denoiser.network.parameters()).device
        start = prior(self._grid, (SHOWN, 2), generator).to(device)
        *_, last = trajectory(denoiser, start, self._grid, make_sampler("dpmpp_2m"), generator)
        return last.x.cpu()
