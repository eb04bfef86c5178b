r"""Where does a network in training stand: at each level, above the floor, on rows it has seen and others?

Rows, times and noise are drawn once, and so are the best answers to them: two looks differ in the network
alone. Times are strata of those that training draws, so that a plain mean is what a training reports. Where
the law is known the distance from the floor is measured itself and not as a difference,

.. math::  E|F - F^*|^2 - E|\hat F - F^*|^2 = E|F - \hat F|^2 ,

with :math:`\hat F` the exact answer. Elsewhere it lies between the network's loss less that of the best
simple denoiser on the same rows, and less the lower bound.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.predictions import Prediction, training_target
from diffuscope.diffusion.samplers import make_sampler, trajectory
from diffuscope.diffusion.schedules import DiscreteSchedule, NoiseLevel, Schedule
from diffuscope.errors import DiffuscopeError, InputError
from diffuscope.metrics import memorisation
from diffuscope.metrics.floor import wilson
from diffuscope.modalities.reference import Reference, draw_reference
from diffuscope.monitoring.asked import Asked
from diffuscope.monitoring.floor_bounds import Best
from diffuscope.monitoring.law import Law
from diffuscope.monitoring.loss_floor import LossFloor, Reported
from diffuscope.monitoring.visited import Visited
from diffuscope.seeds import stream, stream_seed

__all__ = ["Band", "Looker", "Measured", "Rows", "Samples", "mean_of"]

Array = NDArray[np.float64]

BANDS = 8
_NUMBERS, _LEAST, _MOST = 2**18, 256, 4_096  # numbers and rows that are looked at
_BATCH_NUMBERS, _SMALLEST, _LARGEST = 2**16, 16, 512
_STEPS = 20
_CLOUDS, _CLOUD, _SMALL_CLOUD = 4, 500, 64
_NEAR = 0.05  # of the floor
_NOTHING = 0.005  # of what knowing nothing costs


class Band(NamedTuple):
    """A stretch of noise levels: the σ/α of its ends, and the mean loss, floor and excess in it."""

    low: float
    high: float
    loss: Reported
    floor: Reported
    excess: Reported
    naive: float

    @property
    def is_done(self) -> bool:
        """Whether nothing worth speaking of is left to gain here, for certain."""
        return self.excess.high <= max(_NEAR * self.floor.value, _NOTHING * self.naive)

    @property
    def has_more(self) -> bool:
        """Whether there is something to gain here, for certain."""
        return self.excess.low > max(_NEAR * self.floor.value, _NOTHING * self.naive)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data; an infinite ratio is None."""
        ends = [float(r) if math.isfinite(r) else None for r in (self.low, self.high)]
        parts = {name: getattr(self, name)._asdict() for name in ("loss", "floor", "excess")}
        return {"from": ends[0], "to": ends[1], **parts, "done": bool(self.is_done)}


@dataclass(frozen=True)
class Rows:
    """Noised rows with their targets and the best answers, (N, d), float32.

    ``group`` (N,) says which of them come from the same row.
    """

    x_t: Tensor
    level: NoiseLevel
    times: Tensor  # as the network takes them
    target: Tensor
    best: Tensor
    weight: Array  # (N,)
    group: NDArray[np.int_]
    place: NDArray[np.int_]  # (N,) number of the level among those visited

    @cached_property
    def best_losses(self) -> Array:
        """Losses of the best answers, (N,)."""
        return self.losses(self.best)

    def losses(self, answer: Tensor) -> Array:
        """Return the loss of each row, (N,)."""
        return np.asarray(self.weight * (answer - self.target).double().square().mean(1).numpy())

    def from_best(self, answer: Tensor) -> Array:
        """Return the squared distance of answers from the best ones, as it counts in the loss, (N,)."""
        return np.asarray(self.weight * (answer - self.best).double().square().mean(1).numpy())


@dataclass(frozen=True)
class Measured:
    """A network on some rows: the loss of each (N,), and in the mean its loss and its excess."""

    losses: Array
    loss: Reported
    excess: Reported
    bands: tuple[Band, ...]


@dataclass(frozen=True)
class Samples:
    """The distance of samples from data over its floor, with its interval.

    ``copies`` is the share of samples nearer to a training row than the nearest tenth of held-out rows, with
    its interval; None where it cannot be known.
    """

    ratio: Reported
    distance: float
    floor: float
    copies: Reported | None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        copies = None if self.copies is None else self.copies._asdict()
        return {**self.ratio._asdict(), "distance": self.distance, "floor": self.floor, "copies": copies}


def mean_of(values: Array, group: NDArray[np.int_]) -> Reported:
    """Return the mean of values (n,) with its 95% interval; those of one group are not independent."""
    from scipy.special import stdtrit

    mean = float(values.mean())
    sums = np.bincount(group, values - mean)
    groups = len(np.unique(group))
    if groups < 2:
        return Reported(mean, -math.inf, math.inf)
    error = math.sqrt(float(np.square(sums).sum()) * groups / (groups - 1)) / len(values)
    half = float(stdtrit(groups - 1, 0.975)) * error
    return Reported(mean, mean - half, mean + half)


def _sum(floor: Reported, gain: Reported) -> Reported:
    """Return floor and excess together: a loss that is known better than the mean of the rows' losses."""
    value = floor.value + gain.value
    low = math.hypot(floor.value - floor.low, gain.value - gain.low)
    return Reported(value, value - low, value + math.hypot(floor.high - floor.value, gain.high - gain.value))


class Looker:
    """All that a look needs, drawn once: rows that were not trained on, training rows, and real clouds.

    ``unseen`` are fresh draws of a known law, or held-out rows; where there are none, training rows.
    """

    def __init__(
        self, law: Law, schedule: Schedule, floor: LossFloor, visited: Visited, seed: int, spread: float
    ) -> None:
        self.law, self.schedule, self.floor, self.visited = law, schedule, floor, visited
        self.seed, self.spread = seed, spread
        self.batch = int(np.clip(_BATCH_NUMBERS // law.d, _SMALLEST, _LARGEST))
        count = int(np.clip(_NUMBERS // law.d, _LEAST, _MOST))
        self.count = -(-count // self.batch) * self.batch
        ratio = visited.level.ratio.numpy()
        with np.errstate(over="ignore", divide="ignore"):
            scale = np.where(np.isinf(ratio), spread**2, 1 / (1 / ratio**2 + 1 / spread**2))
        self.naive_by_level = visited.factor * scale
        self.naive = float(visited.share @ self.naive_by_level)
        self.knows_training_rows = law.x is not None and not law.drawn_here
        fresh = law.oracle is not None or law.draw is not None
        self.is_unseen = fresh or law.held_out is not None
        unseen = law.held_out if law.held_out is not None else None if fresh else law.x
        self.unseen = self._rows(self._fresh("unseen", self.count) if unseen is None else unseen, "unseen")
        self.trained: Rows | None = None
        if self.knows_training_rows and self.is_unseen and law.x is not None:
            self.trained = self._rows(law.x, "unseen")  # the same times and noise
        n = int(np.clip(_NUMBERS // law.d, _SMALL_CLOUD, _CLOUD))
        self.reference = self._reference(n)
        self.grid = schedule.grid(
            min(_STEPS, schedule.T) if isinstance(schedule, DiscreteSchedule) else _STEPS, "karras"
        )
        for module in ("scipy.spatial", "scipy.special", "scipy.stats"):  # no look is to pay for these
            importlib.import_module(module)

    def _fresh(self, place: str, n: int) -> Tensor:
        """Draw rows of a law, (n, d), float64."""
        seed = int(stream_seed(self.seed, "monitor", place) % 2**32)
        if self.law.oracle is not None:
            return self.law.oracle.draw(n, seed)
        assert self.law.draw is not None
        return self.law.draw(n, seed)

    def _rows(self, x: Tensor, place: str) -> Rows:
        """Noise rows at strata of the training's times, and find the best answers."""
        n, visited = self.count, self.visited
        u = (np.arange(n) + 0.5) / n
        at = np.minimum(np.searchsorted(np.cumsum(visited.share), u), len(visited) - 1)
        order = stream(self.seed, "monitor", "order", place)
        which = torch.cat([torch.randperm(len(x), generator=order) for _ in range(-(-n // len(x)))])[:n]
        x_0 = x[which]
        eps = torch.randn(x_0.shape, generator=stream(self.seed, "monitor", "noise", place)).double()
        level = visited.level.at(torch.from_numpy(at))
        alpha, sigma = level.alpha[:, None], level.sigma[:, None]
        x_t = alpha * x_0 + sigma * eps
        if self.law.oracle is not None:
            estimate = self.law.oracle(x_t, level)
        else:
            best: Best | None = self.floor._best
            assert best is not None
            estimate = best.at_each(x_t, level)
        reading: Any = self.floor.prediction
        answer = training_target(reading, estimate, (x_t - alpha * estimate) / sigma, level)
        times = level.t.long() if self.schedule.discrete else level.t.float()
        return Rows(
            x_t.float(),
            level,
            times,
            training_target(reading, x_0, eps, level).float(),
            answer.float(),
            visited.weight[at],
            which.numpy(),
            at,
        )

    def _reference(self, n: int) -> Reference | None:
        """Return real clouds in the units of the data; None where there are too few rows for them."""
        law = self.law
        fresh = law.oracle is not None or law.draw is not None
        x = self._decoded(self._fresh("reference", 4 * n) if law.x is None else law.x)

        def draw(count: int, seed: int) -> Array:
            rows = law.oracle.draw(count, seed) if law.oracle is not None else law.draw(count, seed)  # type: ignore[misc]
            return self._decoded(rows)

        held_out = None if fresh or law.held_out is None else self._decoded(law.held_out)
        pool = len(x) if held_out is None else len(held_out)
        try:
            reference = draw_reference(
                x,
                draw=draw if fresh else None,
                held_out=held_out,
                seed=self.seed,
                draws=_CLOUDS,
                n=n if fresh else min(n, pool // 2),
            )
            return reference if min(reference.floors) > 0 else None
        except InputError:
            return None

    def _decoded(self, x: Tensor) -> Array:
        return np.asarray(x.double().numpy() * self.law.scaling.scale + self.law.scaling.shift)

    def measure(self, network: Asked, rows: Rows) -> Measured:
        """Ask a network at all rows, and compare its answers with the targets and with the best ones."""
        answer = network(rows.x_t, rows.times)
        losses = rows.losses(answer)
        gains = rows.from_best(answer) if self.floor.method == "exact" else losses - rows.best_losses
        known = self.floor.method == "exact" and rows is self.unseen
        bands = []
        for part in np.array_split(np.arange(len(losses)), BANDS):
            places = np.unique(rows.place[part])
            share = self.visited.share[places] / self.visited.share[places].sum()
            floor = Reported(*(float(share @ v[places]) for v in self._floors()))
            ratio = self.visited.level.ratio.numpy()[places]
            gain = mean_of(gains[part], rows.group[part])
            loss = _sum(floor, gain) if known else mean_of(losses[part], rows.group[part])
            excess = self._excess(loss, gain, floor)
            naive = float(share @ self.naive_by_level[places])
            bands.append(Band(float(ratio[0]), float(ratio[-1]), loss, floor, excess, naive))
        gain, least = mean_of(gains, rows.group), self.floor.as_reported
        loss = _sum(least, gain) if known else mean_of(losses, rows.group)
        excess = self._excess(loss, gain, least)
        return Measured(losses, loss, excess, tuple(bands))

    def _floors(self) -> tuple[Array, Array, Array]:
        return self.floor.value, self.floor.low, self.floor.high

    def _excess(self, loss: Reported, gain: Reported, floor: Reported) -> Reported:
        """Return what is left to gain: measured itself, or between what two bounds leave."""
        if self.floor.method == "exact":
            return Reported(gain.value, max(gain.low, 0.0), gain.high)
        most = max(loss.high - floor.low, 0.0)
        if not self.is_unseen:  # the simple denoisers were fitted to these very rows
            return Reported(min(max(loss.value - floor.value, 0.0), most), 0.0, most)
        return Reported(min(max(gain.value, 0.0), most), min(max(gain.low, 0.0), most), most)

    @property
    def sampling_answers(self) -> int:
        """How many points a network is asked about to draw samples."""
        return 0 if self.reference is None else self.grid.n_steps * self.reference.samples

    def sample(self, network: Asked) -> Samples | None:
        """Draw samples and measure their distance from data; None where they are not finite."""
        reference = self.reference
        assert reference is not None
        reading: Prediction = self.floor.prediction  # type: ignore[assignment]
        denoiser = Denoiser(network, self.schedule, reading)
        generator = stream(self.seed, "monitor", "samples")
        x = self.grid.prior_std * torch.randn((reference.samples, self.law.d), generator=generator)
        for state in trajectory(denoiser, x, self.grid, make_sampler("dpmpp_2m"), generator):
            x = state.x
        if not bool(x.isfinite().all()):
            return None
        points = self._decoded(x)
        found = reference.ratio(reference.clouds(points))
        ratio = Reported(found.ratio, found.low, found.high)
        return Samples(ratio, found.value, found.floor, self._copies(reference, points))

    def _copies(self, reference: Reference, points: Array) -> Reported | None:
        """Return the share of samples that are unusually near to training rows."""
        law = self.law
        if not self.knows_training_rows or not self.is_unseen or law.x is None:
            return None
        others = self._fresh("copies", 1_000) if law.held_out is None else law.held_out
        try:
            clouds = [reference.normalised(self._decoded(rows)) for rows in (others, law.x)]
            share = memorisation(reference.normalised(points), *clouds)
        except DiffuscopeError:  # repeated rows, or too few
            return None
        low, high = wilson(round(share * len(points)), len(points))
        return Reported(share, low, high)
