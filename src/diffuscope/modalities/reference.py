"""How good are samples? Their sliced Wasserstein distance from real data, as a multiple of its floor.

One reference serves training, evaluation, comparison and diagnosis, so that a run has one number. It is K
real clouds of n points that samples meet, and pairs of real clouds whose mean distance is the floor:

* Where the law of the data is known (built-in sets, a function that draws), all clouds are fresh draws.
* Otherwise the data, or held-out data, is halved at random anew for each cloud: one half is met by samples,
  the other is independent of it, and the distance of the two is a draw of the floor.
Distances are taken of the data itself, each column over its deviation without values far out
(:mod:`diffuscope.data.spread`), built-in sets in their own units; of the coordinates of a table; of the
features of images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.spread import centre_and_scale, standard_unit
from diffuscope.data.stored import HELD_ROWS
from diffuscope.errors import FormatError, InputError
from diffuscope.files import atomic_write
from diffuscope.metrics import Measured, half_interval, relate, sliced_wasserstein
from diffuscope.seeds import permuted, stream_seed
from diffuscope.threads import side_by_side

__all__ = [
    "DRAWS",
    "FEWEST_MEASURED",
    "PAIRS",
    "Measurable",
    "RealPoints",
    "Reference",
    "draw_reference",
    "quality_seed",
]

Points = NDArray[np.float64]

DRAWS, PAIRS = 8, 32
_JOINT_DRAWS = 4  # of which each may have more points
FEWEST_MEASURED = 40  # real points of unknown law: with fewer a distance of halves says nothing
DRAWN_POINTS, MOST_HALVED = 10_000, 3_000  # points of a cloud: of fresh ones, and of a half at most

_CENTRED = math.sqrt(0.75)
"""Ratio of a good model's samples where halves of its training data are met.

Samples scatter about the mean of all data, by 1/n + 1/(2n); the halves about each other, by 2/n.
"""

Measurable = Callable[[Tensor], Points]
"""Maps points (n, ...) of the model to points (n, d) whose distances mean something."""


@dataclass(frozen=True)
class RealPoints:
    """Real clouds by their number, before they are normalised."""

    pool: Points  # (m, d): the points that are halved, where nothing can be drawn
    draw: Callable[[int, int], Points] | None  # draw(n, seed) -> (n, d): fresh points
    n: int  # points of a cloud
    seed: int

    def real(self, k: int) -> Points:
        """Return the k-th cloud, with which samples are compared."""
        return self._cloud("real", k, slice(0, self.n))

    def other(self, k: int) -> Points:
        """Return a cloud that is independent of the k-th."""
        return self._cloud("other", k, slice(self.n, 2 * self.n))

    def rest(self, k: int, most: int) -> Points:
        """Return points that have none in common with the k-th cloud, at most so many."""
        return self._cloud("rest", k, slice(self.n, self.n + most))

    def pair(self, i: int) -> tuple[Points, Points]:
        """Return the i-th pair of independent clouds, for the floor."""
        if self.draw is None:
            return self.real(i), self.other(i)
        some = slice(0, self.n)
        return self._cloud("floor", 2 * i, some), self._cloud("floor", 2 * i + 1, some)

    def _cloud(self, place: str, k: int, part: slice) -> Points:
        """Draw as many points as the part has, or take that part of the pool in the k-th order."""
        if self.draw is not None:
            return self.draw(part.stop - part.start, quality_seed(self.seed, place, k))
        own, m = quality_seed(self.seed, "halves", k), len(self.pool)
        if m > HELD_ROWS:
            return self.pool[permuted(np.arange(part.start, min(part.stop, m)), m, own)]
        return self.pool[np.random.default_rng(own).permutation(m)[part]]


@dataclass
class Reference:
    """Real clouds that samples are compared with, and the floor.

    Points are normalised as ``(x - middle) / unit``: far from 0 a float32 would round differences away, and
    columns of unlike units would not count alike.
    """

    real: list[Points]  # (n, d), normalised
    middle: Points
    unit: Points
    points: RealPoints | None  # where the clouds come from; None where they were read from a file
    seed: int  # of the samples that are drawn to be measured
    condition: Any = None  # of samples, so that classes come as they do in the data
    kept_floors: list[float] | None = None

    @property
    def n(self) -> int:
        """Points of a cloud."""
        return len(self.real[0])

    @property
    def count(self) -> int:
        """Clouds that samples meet."""
        return len(self.real)

    def of_size(self, n: int) -> Reference:
        """Return a reference of as many clouds of ``n`` points, of the same law."""
        assert self.points is not None
        points = replace(self.points, n=n)
        real = [self.normalised(points.real(k)) for k in range(self.count)]
        return Reference(real, self.middle, self.unit, points, self.seed, self.condition)

    @cached_property
    def pairs(self) -> list[tuple[Points, Points]]:
        """Pairs of independent real clouds, normalised."""
        return [self._pair(i) for i in range(PAIRS)]

    @cached_property
    def floors(self) -> list[float]:
        """Distances of the pairs; the floor is their mean."""
        if self.kept_floors is not None:
            return self.kept_floors
        return list(side_by_side(lambda i: self.distance(*self._pair(i)), range(PAIRS)))

    def _pair(self, i: int) -> tuple[Points, Points]:
        assert self.points is not None
        first, second = self.points.pair(i)
        return self.normalised(first), self.normalised(second)

    def normalised(self, x: NDArray[Any]) -> Points:
        """Bring points (m, d) to the units of the clouds."""
        return np.asarray((x.astype(np.float64) - self.middle) / self.unit)

    def distance(self, a: Points, b: Points) -> float:
        """Return the distance of two normalised clouds."""
        return sliced_wasserstein(a, b)

    @property
    def _is_fresh(self) -> bool:
        """Whether the clouds are fresh draws, not halves of what a model may have been trained on."""
        return self.points is not None and self.points.draw is not None

    @property
    def samples(self) -> int:
        """How many samples are measured."""
        return self.count * self.n

    @property
    def sampling_seed(self) -> int:
        """The seed that they are drawn with."""
        return quality_seed(self.seed, "generated")

    def clouds(self, samples: Points) -> list[Points]:
        """Part measured samples (k * n, d) into k normalised clouds."""
        return [self.normalised(part) for part in np.split(samples, len(samples) // self.n)]

    def distances(self, clouds: list[Points]) -> list[float]:
        """Return the distance of each cloud from the real one that it meets."""
        return list(side_by_side(lambda pair: self.distance(*pair), zip(clouds, self.real, strict=False)))

    def ratio(self, clouds: list[Points]) -> Measured:
        """Return the mean distance of clouds from real ones over the floor; InputError where that is 0.

        Its note says where that is no measure: of too few points, or below the floor by more than chance.
        """
        measured = relate(self.distances(clouds), self.floors)
        certain = half_interval(self.floors) / measured.floor
        note = ""
        if self.n < FEWEST_MEASURED // 2:
            note = (
                f"too few points to measure: {self.n} in a cloud, at least {FEWEST_MEASURED // 2} are needed"
            )
        elif measured.high < (1 - certain) * (1.0 if self._is_fresh else _CENTRED):
            note = (
                "below the floor: samples are nearer to the data than other real points are, as copies of it "
                "are, or as if a few points far out made the distance"
            )
        return replace(measured, note=note)

    def save(self, path: Path) -> None:
        """Write clouds and floor to a .npz file, whole or not at all."""
        arrays: dict[str, Any] = {
            "real": np.stack(self.real),
            "floors": np.array(self.floors),
            "middle": self.middle,
            "unit": self.unit,
            "seed": np.array(self.seed),
        }
        if self.condition is not None:
            arrays["condition"] = np.asarray(self.condition)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read what :meth:`save` wrote; FormatError where the file is damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                kept = {name: arrays[name] for name in arrays.files}
            return cls(
                list(kept["real"]),
                kept["middle"],
                kept["unit"],
                None,
                int(kept["seed"]),
                kept.get("condition"),
                kept["floors"].tolist(),
            )
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise FormatError(f"{path} cannot be read: {error}.", f"Remove {path}.") from error


def draw_reference(
    x: Points,
    *,
    draw: Callable[[int, int], Points] | None = None,
    held_out: Points | None = None,
    seed: int = 0,
    draws: int | None = None,
    n: int | None = None,
    condition: Any = None,
    centred: bool = True,
    scaled: bool | None = None,
) -> Reference:
    """Draw the clouds of a reference, for training data (m, d) in the units that are measured.

    They are fresh points, ``draw(n, seed)``, where the law is known and nothing is held out; else halves of
    held-out points (l, d), or of the data. By default there are 8, of as many points as can be had. Columns
    are measured over their deviations if ``scaled``, which is the default where the law is not known.
    InputError where ``held_out`` has other columns, or there are fewer than two points.
    """
    pool = x if held_out is None else np.asarray(held_out, dtype=np.float64)
    if pool.ndim != 2 or pool.shape[1] != x.shape[1] or len(pool) < 2:
        raise InputError(
            f"Held-out data has shape {pool.shape}; expected at least 2 rows of {x.shape[1]} columns.",
            "Give rows with the columns of the training data.",
        )
    fresh = draw if held_out is None else None
    size = DRAWN_POINTS if fresh is not None else min(len(pool) // 2, MOST_HALVED)
    points = RealPoints(pool, fresh, n or size, seed)
    middle, unit = centre_and_scale(x)
    if not centred:
        middle = np.zeros(x.shape[1])
    if not (fresh is None if scaled is None else scaled):
        unit = np.ones(x.shape[1])
    reference = Reference([], middle, np.where(unit > 0, unit, 1.0), points, seed, condition)
    reference.real.extend(reference.normalised(points.real(k)) for k in range(draws or DRAWS))
    return reference


def joint_ratio(real: Points, labels: Points, made: Points, asked: Points, seed: int) -> Measured:
    """Return the distance of samples beside the numbers that they were asked for from points beside theirs.

    Points are (m, d) and (l, d), numbers (m, k) and (l, k). Columns are taken over their deviations, and the
    k of numbers count as much as the d of points: the distance is large where samples do not follow their
    numbers, however good they are as such. The ratio is that of :meth:`Reference.ratio`.
    """
    weight = np.sqrt(real.shape[1] / labels.shape[1])
    x, y = standard_unit(real), standard_unit(labels) / weight
    n = max(1, min(len(real) // 2, len(made) // _JOINT_DRAWS, MOST_HALVED))
    both = np.hstack([real / x, labels / y])
    reference = draw_reference(both, seed=seed, draws=_JOINT_DRAWS, n=n, scaled=False)
    return reference.ratio(reference.clouds(np.hstack([made / x, asked / y])[: n * _JOINT_DRAWS]))


def quality_seed(seed: int, *place: str | int) -> int:
    """Return the seed of one draw of a reference."""
    return int(stream_seed(seed, "quality", *place) % 2**32)
