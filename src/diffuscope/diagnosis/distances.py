"""How far from real data do samples end, with this part or that one exchanged?

All ways of sampling are drawn with the same random numbers and meet the same real clouds, so that differences
between them are known much better than the distances themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from diffuscope.diagnosis.subject import PerCloud, Points, Subject
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.metrics import half_interval, relate
from diffuscope.metrics.floor import in_floors
from diffuscope.model import Rows, around_mean, rows_per_block, sample_pieces
from diffuscope.shares import shared

__all__ = ["FIRST_CLOUDS", "Clouds", "Share", "decided"]

FIRST_CLOUDS = 3  # of a change, before it is known whether more are needed
_EXPLODED = 3.0  # floors
_FEWEST = 6  # clouds of which the least is below the median with certainty


@dataclass(frozen=True)
class Share:
    """A difference of distances, or a distance: ``value`` is in the units of the metric.

    ``ratio``, ``low``, ``high`` are multiples of the floor, with the 95% interval (Student's t over clouds,
    paired).
    """

    value: float
    ratio: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low > 0

    def __str__(self) -> str:
        return f"{in_floors(self.ratio)} ({in_floors(self.low)} to {in_floors(self.high)})"


@dataclass(frozen=True)
class Clouds:
    """Clouds of samples by any denoiser, and their distances from real ones: one number a cloud."""

    subject: Subject

    def changed(self, **parts: Any) -> Clouds:
        """Return the clouds of the subject with other parts, such as ``sampler``."""
        return Clouds(replace(self.subject, **parts))

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
        reference = self.subject.reference
        points = reference.points
        assert points is not None
        return self._measured(lambda k: reference.normalised(points.other(k)), self.count)

    @cached_property
    def given(self) -> Points | None:
        """Those of the user's samples, drawn anew where there are too few for all clouds."""
        subject = self.subject
        samples, n = subject.samples, subject.reference.n
        if samples is None:
            return None
        rng = np.random.default_rng(subject.seed)
        order = rng.permutation(len(samples))
        picks = [
            order[k * n : (k + 1) * n] if (k + 1) * n <= len(samples) else rng.choice(len(samples), n)
            for k in range(self.count)
        ]
        return self._measured(lambda k: subject.shown(samples[picks[k]]), self.count)

    @cached_property
    def true_start(self) -> Points:
        """Those of an exact denoiser from the true q(x_T); of the own start, where that is the same."""
        if self.subject.starts_in_noise:
            return self.own_start
        return self.distances(self.subject.perfect, true_start=True)

    @cached_property
    def own_start(self) -> Points:
        """Those of an exact denoiser from the start that sampling has."""
        return self.distances(self.subject.perfect)

    @cached_property
    def memory(self) -> Points:
        """Those of the training set, drawn from as if it were the law."""
        subject = self.subject
        whole = subject.data.draw is not None or subject.held_out is not None

        def cloud(k: int) -> Points:
            pool = subject.data.x if whole else subject.points.rest(k, len(subject.data.x))
            random = subject.random("remembered", k)
            return subject.shown(pool[random.integers(len(pool), size=subject.reference.n)])

        return self._measured(cloud, self.count)

    @cached_property
    def of_as_many_held_out(self) -> Points:
        """Those of as many held-out points as were trained on, drawn from as if they were the law."""
        subject = self.subject

        def cloud(k: int) -> Points:
            pool = subject.points.rest(k, len(subject.data.x))
            random = subject.random("remembered", k)
            return subject.shown(pool[random.integers(len(pool), size=subject.reference.n)])

        return self._measured(cloud, self.count)

    @cached_property
    def unguided(self) -> Clouds:
        """The same clouds without guidance; these, where there is none."""
        plain = self.subject.unguided
        return self if plain is None else self.changed(conditioned=plain, unguided=None, guidance=1.0)

    @cached_property
    def unconditional(self) -> Clouds:
        """The same clouds of the network without classes; these, where it has none."""
        if self.subject.conditioned is None:
            return self
        return self.changed(conditioned=None, unguided=None, guidance=1.0)

    @cached_property
    def brief(self) -> Clouds:
        """The same clouds by fewer steps, where walks by the pipeline's own take long; else these."""
        brief = self.subject.brief
        return self if brief is self.subject else Clouds(brief)

    @property
    def made(self) -> list[Points]:
        """The clouds of the pipeline as it is, as ``shown``."""
        return self.first(self.count)

    @cached_property
    def _drawn(self) -> list[Points]:
        """Those of :attr:`made` that are there already."""
        return []

    @cached_property
    def _met(self) -> list[float]:
        """Distances of the first of :attr:`made`, as far as they are measured."""
        return []

    @property
    def is_finite(self) -> bool:
        """Whether the samples that are measured already are finite."""
        return bool(np.isfinite(self._met).all())

    def first(self, count: int) -> list[Points]:
        """Return the first of :attr:`made`; what is there already is not drawn again."""
        drawn, count = self._drawn, min(count, self.count)
        if len(drawn) < count:
            drawn += self.generate(self.subject.denoiser, count, first=len(drawn))
        return drawn[:count]

    @property
    def network(self) -> Points:
        """Distances of :attr:`made`; NaN where samples were not finite."""
        return self.first_distances(self.count)

    def first_distances(self, count: int) -> Points:
        """Return the first of :attr:`network`; no more are drawn and measured than these."""
        met, clouds = self._met, self.first(count)  # before they are measured side by side
        met += self._measured(lambda k: clouds[k], len(clouds), len(met)).tolist()
        return np.array(met[: len(clouds)])

    def distances(
        self, denoiser: DenoiserLike, count: int | None = None, *, true_start: bool = False, first: int = 0
    ) -> Points:
        """Return the distances of clouds ``first``, ... of a denoiser; NaN where it blew up."""
        count = min(count or self.count, self.count)
        clouds = self.generate(denoiser, count, true_start=true_start, first=first)
        return self._measured(lambda k: clouds[k - first], count, first)

    def distances_until(
        self, denoiser: DenoiserLike, most: int, share: Callable[[Points], Share], worth: float
    ) -> Points:
        """Return the distances of few clouds of a denoiser, of ``most`` where these do not decide.

        The question is whether their ``share``, or gain, is more than ``worth``, in floors.
        """
        values = self.distances(denoiser, FIRST_CLOUDS)
        if len(values) == min(most, self.count) or decided(share(values), worth):
            return values
        return np.concatenate([values, self.distances(denoiser, most, first=len(values))])

    def generate(
        self, denoiser: DenoiserLike, count: int, *, true_start: bool = False, first: int = 0
    ) -> list[Points]:
        """Return clouds ``first``, ..., ``count`` - 1 of a denoiser as ``shown``.

        They start from the noise that the run starts with; with ``true_start`` from q(x_T): real data noised
        to the first level.
        """
        subject, grid, reference = self.subject, self.subject.grid, self.subject.reference
        n = reference.n
        own = denoiser is subject.denoiser and isinstance(subject.denoiser, nn.Module)
        conditioned = subject.conditioned if own else None

        def of_points(rows: Rows) -> DenoiserLike:
            if own:  # as the run samples, to the last bit
                return subject.denoiser if conditioned is None else conditioned(rows)
            return _by_cloud(subject, denoiser, rows)

        def begin(rows: Rows, noise: Tensor) -> Tensor:
            eps = noise / grid.prior_std
            if not true_start:
                x = subject.start_std * eps
                return x if conditioned is None else around_mean(conditioned(rows), x, grid)
            clouds = range(rows[0] // n, rows[-1] // n + 1)
            real = np.concatenate([subject.points.other(k) for k in clouds])[rows - clouds[0] * n]
            x_0 = subject.scaling.encode(real).to(noise.device)
            return q_sample(x_0, grid.levels.at(0), eps)

        block = subject.block or rows_per_block((subject.d,))
        begun = block * (first * n // block)
        pieces = sample_pieces(
            count * n,
            (subject.d,),
            grid,
            subject.sampler,
            reference.sampling_seed,
            of_points,
            begin,
            subject.device,
            subject.piece,
            subject.half if own else None,
            block=block,
            first=begun,
        )
        x = torch.cat([piece.cpu() for piece in pieces])[first * n - begun :]
        if x.isfinite().all() and subject.scaling is subject.codec:
            return reference.clouds(subject.measure(x))
        return [subject.shown(part) for part in torch.split(x, n)]

    def share(self, values: Points, below: Points | None = None) -> Share:
        """Return the mean of ``values`` less that of ``below``, pair by pair, over the floor."""
        difference = values if below is None else values - below
        mean = float(difference.mean())
        ratio = mean / self.floor
        relative = half_interval(self.floors) / self.floor
        spread = math.hypot(half_interval(difference) / self.floor, ratio * relative)
        low, high = ratio - spread, ratio + spread
        if low <= 0 < _EXPLODED < ratio:  # a few clouds hold the mean: the median is known much better
            low = max(low, _below_median(difference) / self.floor)
        return Share(mean, ratio, low, high)

    def gain(self, before: Points, after: Points) -> Share:
        """Return how much nearer the clouds of ``after`` are than as many of ``before``."""
        n = min(len(before), len(after))
        return self.share(before[:n], after[:n])

    def total(self, values: Points) -> Share:
        """Return the mean of ``values`` itself, as ``train`` and ``evaluate`` print it."""
        measured = relate(values, self.floors)
        return Share(measured.value, measured.ratio, measured.low, measured.high)

    def _measured(self, cloud: Callable[[int], Points], count: int, first: int = 0) -> Points:
        """Measure the distances of clouds ``first``, ..., ``count`` - 1, as ``shown``, from the real ones."""
        reference = self.subject.reference

        def distance(k: int) -> float:
            x = cloud(k)
            return reference.distance(x, reference.real[k]) if np.isfinite(x).all() else math.nan

        what = f"distances of clouds {first} to {count}"
        numbers = range(first, count)
        return np.array(list(shared(distance, numbers, self.subject.device, what=what)), dtype=float)


def decided(share: Share, worth: float) -> bool:
    """Whether a gain is certainly more, or certainly less, than ``worth``: no more clouds are needed."""
    return share.high < worth or share.low > worth


def _below_median(values: Points) -> float:
    """Return a bound that the median exceeds with a probability of at least 97%, by order statistics."""
    from scipy.stats import binom

    rank = int(binom.ppf(0.03, len(values), 0.5))
    return float(np.sort(values)[max(0, rank - 1)]) if len(values) >= _FEWEST else -math.inf


def _by_cloud(subject: Subject, denoiser: DenoiserLike, rows: Rows) -> DenoiserLike:
    """Return the denoiser of points with these numbers, each conditioned as its cloud."""
    clouds, counts = np.unique(rows // subject.reference.n, return_counts=True)
    sizes = counts.tolist()

    def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
        if not isinstance(denoiser, PerCloud):
            return subject.ask(denoiser, x_t, level)
        parts = zip(clouds, torch.split(x_t, sizes), strict=True)
        return torch.cat([subject.ask(denoiser.make(int(k)), x, level) for k, x in parts])

    return denoise
