r"""How far are samples from data, and how far would perfect samples be?

A distance between finite samples is never zero: two independent draws of one distribution differ too. That
is the **floor**. A metric is reported as value, floor and their ratio. There are two kinds.

Ideal ``"floor"``: the metric of perfect samples is positive (a distance, an accuracy, a fraction). The floor
is its mean over independent pairs of real clouds; **a ratio of 1 is ideal**: indistinguishable from data.

Ideal ``"zero"``: the metric is an unbiased estimate of a quantity that is 0 for the truth. Its mean over real
pairs is 0 as well and cannot serve as a unit. The floor is the root mean square over real pairs, the random
error of one comparison; **a ratio of 0 is ideal**. The mean ratio of D perfect draws is
:math:`0 \pm 1/\sqrt D`, and may be negative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np

from diffuscope.errors import InputError
from diffuscope.metrics.clouds import Points
from diffuscope.threads import side_by_side
from diffuscope.translations import translate

__all__ = ["Ideal", "Measured", "against_floor", "half_interval", "in_floors", "relate", "wilson"]

_FAR_AWAY = 10_000.0  # floors

Ideal = Literal["floor", "zero"]


def in_floors(ratio: float) -> str:
    """Write multiples of the floor: with two decimals, or three digits where samples are far away."""
    return f"{ratio:.2f}" if abs(ratio) < _FAR_AWAY else f"{ratio:.3g}"


@dataclass(frozen=True)
class Measured:
    """A metric with its floor.

    Attributes
    ----------
    value, floor : float
        Mean distance generated to real, and real to real (for an ideal of zero its root mean square),
        in the units of the metric.
    ratio : float
        ``value / floor``.
    low, high : float
        95% interval of the ratio, over fresh generated and real draws (Student's t, delta method).
    note : str
        Why this is no measure, where it is none.
    """

    value: float
    floor: float
    ratio: float
    low: float
    high: float
    note: str = ""

    def __str__(self) -> str:
        """Return the ratio with its interval, ``1.34 × floor (0.98 to 1.69)``, and its note.

        It is in the language that is spoken; as a part of a longer text it is in English.
        """
        return translate(f"{self}")

    def __format__(self, spec: str) -> str:
        return format(f"{self.brief}; {self.note}" if self.note else self.brief, spec)

    @property
    def brief(self) -> str:
        """The ratio with its interval, without its note."""
        return f"{in_floors(self.ratio)} × floor ({in_floors(self.low)} to {in_floors(self.high)})"

    def __repr__(self) -> str:
        return f"Measured({self})"

    def __float__(self) -> float:
        """Return the ratio."""
        return self.ratio

    def to_json(self) -> dict[str, float | str]:
        """Return the numbers by name, and the note where there is one."""
        plain = asdict(self)
        return plain if self.note else {key: value for key, value in plain.items() if key != "note"}


def against_floor(
    distance: Callable[[Points, Points], float],
    generated: Sequence[Points],
    real: Sequence[Points],
    floor_pairs: Sequence[tuple[Points, Points]],
) -> Measured:
    """Measure a distance between draws, pair by pair, and its floor over real pairs of the same sizes."""
    pairs = [*zip(generated, real, strict=True), *floor_pairs]
    distances = list(side_by_side(lambda pair: distance(*pair), pairs))
    return relate(distances[: len(generated)], distances[len(generated) :])


def relate(
    values: Sequence[float] | Points, floors: Sequence[float] | Points, ideal: Ideal = "floor"
) -> Measured:
    """Relate the metric's values over draws to those over real pairs; an InputError if these are all 0."""
    value = float(np.mean(values))
    if ideal == "zero":
        squares = np.square(floors)
        floor = math.sqrt(float(squares.mean()))
        error, scale = half_interval(squares) / 2, floor**2  # of the root: half of that of the square
    else:
        floor = scale = float(np.mean(floors))
        error = half_interval(floors)
    if not floor > 0:
        raise InputError(
            "The floor is 0: real points compared with real points do not differ at all.",
            "Give more data, or data with more than one distinct point.",
        )
    ratio = value / floor
    spread = math.hypot(half_interval(values) / floor, ratio * error / scale)
    low = ratio - spread if ideal == "zero" else max(0.0, ratio - spread)
    return Measured(value, floor, ratio, low, ratio + spread)


def half_interval(values: Sequence[float] | Points) -> float:
    """Return half the 95% interval of a mean (Student's t); infinite for a single value."""
    from scipy.special import stdtrit

    n = len(values)
    return float(stdtrit(n - 1, 0.975) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.inf


def wilson(count: int, n: int) -> tuple[float, float]:
    """Return the 95% interval of a fraction ``count / n`` (Wilson 1927)."""
    from scipy.stats import binomtest

    low, high = binomtest(count, n).proportion_ci(method="wilson")
    return float(low), float(high)
