"""How far from real data do samples end, with this part or that one exchanged?

One configuration is a denoiser, a start and a walk. All configurations are drawn with the same random
numbers and meet the same real clouds, so that differences between them are known much better than the
distances themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import Sampler, trajectory
from diffuscope.diffusion.schedules import Grid
from diffuscope.metrics import half_interval, sliced_wasserstein
from diffuscope.threads import side_by_side

__all__ = ["Clouds", "Configuration", "Share"]

Points = NDArray[np.float64]

_MOST_CLOUDS = 12
_LEAST_CLOUDS = 6
_FLOOR_PAIRS = 48
_PROJECTIONS = 256


@dataclass(frozen=True)
class Configuration:
    """One way of sampling.

    Attributes
    ----------
    denoiser : DenoiserLike
    true_start : bool
        Whether walks start from q(x_T), real data noised to the first level, or from the user's noise.
    grid, sampler : optional
        In place of the subject's own.
    """

    denoiser: DenoiserLike
    true_start: bool = False
    grid: Grid | None = None
    sampler: Sampler | None = None


@dataclass(frozen=True)
class Share:
    """A difference of distances, or a distance.

    Attributes
    ----------
    value : float
        In the units of the metric.
    ratio, low, high : float
        As a multiple of the floor, with its 95% interval (Student's t over clouds, paired).
    """

    value: float
    ratio: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0


@dataclass
class Clouds:
    """Draws clouds, measures them, and remembers what was measured.

    Parameters
    ----------
    subject : Subject
    """

    subject: Subject

    @property
    def count(self) -> int:
        """Clouds of a configuration: fewer where walks are long. Never a matter of the machine's speed."""
        return int(np.clip(800 // self.subject.grid.n_steps, _LEAST_CLOUDS, _MOST_CLOUDS))

    @cached_property
    def floors(self) -> Points:
        """Distances between two clouds of real points, (pairs,)."""
        return self._each(lambda k: self._distance(*self.subject.real_pair(k)), _FLOOR_PAIRS)

    @property
    def floor(self) -> float:
        """The mean of :attr:`floors`."""
        return float(self.floors.mean())

    @cached_property
    def baseline(self) -> Points:
        """Distances of real clouds from the same real clouds that samples meet, (count,).

        Their mean is the floor in the long run. What they share with a configuration's distances,
        the luck of the real cloud, cancels in the difference.
        """
        return self._each(
            lambda k: self.distance_from_real(self.subject.shown(self.subject.other(k)), k), self.count
        )

    def distances(self, configuration: Configuration, count: int | None = None) -> Points:
        """Return the distance of each cloud of a configuration from real data; NaN where it blew up."""
        return self._each(
            lambda k: self.distance_from_real(self.subject.shown(self._generate(configuration, k)), k),
            count or self.count,
        )

    def remembered(self) -> Points:
        """Return distances of clouds drawn from the training data itself."""
        return self._each(lambda k: self.distance_from_real(self.shown_memory(k), k), self.count)

    def shown_memory(self, k: int) -> Points:
        """Return the k-th cloud of the training data."""
        return self.subject.shown(self.subject.remembered(k))

    def distance_from_real(self, cloud: Points, k: int) -> float:
        """Return the distance of a cloud, as ``shown``, from the k-th real one."""
        return self._distance_shown(cloud, self.subject.shown(self.subject.real(k)))

    def generate(self, configuration: Configuration, k: int) -> Points:
        """Return the k-th cloud of a configuration, as ``shown``."""
        return self.subject.shown(self._generate(configuration, k))

    def share(self, values: Points, below: Points | None = None) -> Share:
        """Return the mean of ``values`` less that of ``below``, pair by pair, over the floor."""
        difference = values if below is None else values - below
        mean = float(difference.mean())
        half = half_interval(difference)
        ratio = mean / self.floor
        relative = half_interval(self.floors) / self.floor
        spread = math.hypot(half / self.floor, ratio * relative)
        return Share(mean, ratio, ratio - spread, ratio + spread)

    def above_floor(self, values: Points) -> Share:
        """Return how much ``values`` lie above the floor: pair by pair, above a draw of it."""
        return self.share(values, self.baseline)

    def total(self, values: Points) -> Share:
        """Return the mean of ``values`` itself; what luck the real clouds had is taken out of it."""
        return self.share(values - self.baseline + self.floor)

    def _generate(self, configuration: Configuration, k: int) -> Tensor:
        subject = self.subject
        grid = configuration.grid or subject.grid
        sampler = configuration.sampler or subject.sampler
        shape = (subject.cloud_size, subject.d)
        eps = torch.randn(shape, generator=subject.generator("start", k))
        if configuration.true_start:
            x_0 = subject.scaling.to_model(subject.real(k, "start"))
            x = q_sample(x_0, grid.levels.at(0), eps)
        else:
            x = subject.start_std * eps

        def ask(x_t: Tensor, level: object) -> Tensor:
            return subject.ask(configuration.denoiser, x_t, level)  # type: ignore[arg-type]

        for state in trajectory(ask, x, grid, sampler, subject.generator("walk", k)):
            last = state.x
        return last

    def _distance(self, a: Points, b: Points) -> float:
        return self._distance_shown(self.subject.shown(a), self.subject.shown(b))

    def _distance_shown(self, a: Points, b: Points) -> float:
        if not np.isfinite(a).all():
            return math.nan
        return sliced_wasserstein(a, b, _PROJECTIONS, self.subject.seed)

    def _each(self, measure: Callable[[int], float], count: int) -> Points:
        """Measure clouds 0, 1, ... side by side."""
        return np.array(list(side_by_side(measure, range(count), self.subject.device)))
