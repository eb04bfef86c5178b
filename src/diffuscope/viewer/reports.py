"""What is said of a training while it runs? Its losses, and now and then samples and their distance.

Showing samples takes at most a twentieth of the time, however many watch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.schedules import DiscreteSchedule, Schedule
from diffuscope.training import Progress, Trainer

__all__ = ["SHOWN", "Reports", "few_steps"]

SHOWN = 600
"""Samples of a report."""
_SHARE = 0.05  # of the time that samples may take
_EVERY = 0.05  # seconds between reports, at least
_FEW = 14


def few_steps(schedule: Schedule) -> int:
    """Return in how many steps the samples of a report are drawn."""
    return min(_FEW, schedule.T) if isinstance(schedule, DiscreteSchedule) else _FEW


class Reports:
    """Reports of a training.

    Parameters
    ----------
    trainer : Trainer
    sample : callable
        Draws samples (n, 2) of a denoiser.
    ratio : callable
        Returns their distance from data, in floors.
    on_loss, on_samples : callable
        Called with plain data; that of samples has the tensor ``samples``.
    """

    def __init__(
        self,
        trainer: Trainer,
        sample: Callable[[DenoiserLike], Tensor],
        ratio: Callable[[Tensor], float],
        on_loss: Callable[[dict[str, Any]], None],
        on_samples: Callable[[dict[str, Any]], None],
    ) -> None:
        self.trainer, self.sample, self.ratio = trainer, sample, ratio
        self.on_loss, self.on_samples = on_loss, on_samples
        self.began = time.perf_counter()
        self.total = trainer.total_steps
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
                samples = self.sample(denoiser)
            self.on_samples({**about, "samples": samples, "ratio": self.ratio(samples)})
            self._cost, self._last_samples = self.seconds - now, self.seconds
