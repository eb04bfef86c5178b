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
from torch import Tensor, nn

from diffuscope.diagnosis.subject import PerCloud, Subject, for_cloud
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Grid, NoiseLevel
from diffuscope.metrics import half_interval, relate
from diffuscope.model import around_mean, sample_pieces
from diffuscope.threads import side_by_side

__all__ = ["Clouds", "Configuration", "Share"]

Points = NDArray[np.float64]


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
        """Clouds of a configuration: those of the run's reference."""
        return self.subject.reference.count

    @cached_property
    def floors(self) -> Points:
        """Distances between two clouds of real points, (pairs,)."""
        return np.array(self.subject.reference.floors)

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
        return self._each(lambda k: self.distance_from_real(self.subject.other(k), k), self.count)

    def distances(self, configuration: Configuration, count: int | None = None) -> Points:
        """Return the distance of each cloud of a configuration from real data; NaN where it blew up."""
        clouds = self.generate(configuration, min(count or self.count, self.count))
        return self._each(lambda k: self.distance_from_real(clouds[k], k), len(clouds))

    def remembered(self) -> Points:
        """Return distances of clouds drawn from the training data itself."""
        return self._each(lambda k: self.distance_from_real(self.subject.remembered(k), k), self.count)

    def distance_from_real(self, cloud: Points, k: int) -> float:
        """Return the distance of a cloud, as ``shown``, from the k-th real one."""
        if not np.isfinite(cloud).all():
            return math.nan
        reference = self.subject.reference
        return reference.distance(cloud, reference.real[k])

    def generate(self, configuration: Configuration, count: int) -> list[Points]:
        """Return the first clouds of a configuration, as ``shown``."""
        n, reference = self.subject.cloud_size, self.subject.reference
        x = self._generate(configuration, count)
        if x.isfinite().all() and self.subject.scaling is self.subject.flattened.codec:
            return reference.clouds(self.subject.flattened.measure(x))
        return [self.subject.shown(part) for part in torch.split(x, n)]

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
        """Return the mean of ``values`` itself, as ``train`` and ``evaluate`` print it."""
        measured = relate(values.tolist(), self.floors.tolist())
        return Share(measured.value, measured.ratio, measured.low, measured.high)

    def _generate(self, configuration: Configuration, count: int) -> Tensor:
        """Sample the points (count * n, d) of clouds, from the noise that the run itself starts with."""
        subject = self.subject
        n = subject.cloud_size
        grid = configuration.grid or subject.grid
        sampler = configuration.sampler or subject.sampler
        level = grid.levels.at(0)
        its_own = configuration.denoiser is subject.denoiser and isinstance(subject.denoiser, nn.Module)
        conditioned = subject.conditioned if its_own else None

        def of_points(start: int, stop: int) -> DenoiserLike:
            if its_own:  # as the run samples, to the last bit
                return subject.denoiser if conditioned is None else conditioned(start, stop)
            return _by_cloud(subject, configuration.denoiser, start, stop)

        def begin(start: int, stop: int, noise: Tensor) -> Tensor:
            eps = noise / grid.prior_std
            if not configuration.true_start:
                x = subject.start_std * eps
                return x if conditioned is None else around_mean(conditioned(start, stop), x, grid)
            clouds = range(start // n, (stop - 1) // n + 1)
            real = np.concatenate([subject.start(k) for k in clouds])[start - clouds[0] * n :]
            return q_sample(subject.scaling.encode(real[: stop - start]).to(noise.device), level, eps)

        pieces = sample_pieces(
            count * n,
            (subject.d,),
            grid,
            sampler,
            subject.reference.sampling_seed,
            of_points,
            begin,
            subject.device,
            subject.flattened.piece,
            subject.flattened.half if its_own else None,
        )
        return torch.cat([x.cpu() for x in pieces])

    def _each(self, measure: Callable[[int], float], count: int) -> Points:
        """Measure clouds 0, 1, ... side by side."""
        return np.array(list(side_by_side(measure, range(count), self.subject.device)))


def _by_cloud(subject: Subject, denoiser: DenoiserLike, start: int, stop: int) -> DenoiserLike:
    """Return the denoiser of points start to stop, each asked as its cloud is."""
    n = subject.cloud_size
    clouds = range(start // n, (stop - 1) // n + 1)
    sizes = [min(stop, (k + 1) * n) - max(start, k * n) for k in clouds]

    def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
        if not isinstance(denoiser, PerCloud):
            return subject.ask(denoiser, x_t, level)
        parts = torch.split(x_t, sizes)
        return torch.cat(
            [subject.ask(for_cloud(denoiser, k), x, level) for k, x in zip(clouds, parts, strict=True)]
        )

    return denoise
