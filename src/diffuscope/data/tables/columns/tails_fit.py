r"""How does the tail of a column go on, and does it have an end?

The tail begins at the k-th largest row, k = 2% of the rows, at least 8 (of fewer than 64 an eighth) and at
most 400. Its shape ξ is the estimate of Zhang and Stephens, "A new and efficient estimation method for the
generalized Pareto distribution", Technometrics 51 (2009), drawn towards 0, which is the exponential tail, by
the weight of 10 rows, and the scale is the most likely one. ξ is not below 0: a tail that seems to have an
end either has one, or goes on exponentially. It has an end

- at 0, for a column that has no values of the other sign, at 1, for one from 0 or -1 to above 0.5, and at
  100, for one from 0 that has 3% of its rows above 75, where the tail would else reach it, and
- where the density does not vanish (ξ below -0.65, and 1% of at least 500 rows in the last 2% of the range):
  beyond the last row by the mean distance of the rows there, rounded to few digits, and
- where the tail would else have more than 4 rows beyond the last one: so far that it has 1 there.

Then :math:`\gamma` is the most likely one. A tail that does not fit its rows, because there is a cluster or
an outlier in it, begins at the last row in place of the k-th.
"""

from __future__ import annotations

import math

import numpy as np

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.columns.tails import (
    LEAST_POWER,
    LEAST_RATIO,
    MOST_RATIO,
    MOST_SHAPE,
    Tail,
    hazard,
)

__all__ = ["EDGE", "fit_tail", "has_edge", "join_tail", "natural_end", "rows_of_tail"]

EDGE = 0.02
_ENOUGH = 500  # rows that show whether there is an edge
_SHARE, _FEWEST, _MOST = 0.02, 8, 400
_PRIOR = 10.0  # rows of the prior that a tail is exponential
_HARD = -0.65
_LIGHT = 0.4  # a shape that is no heavy tail yet
_HIGH = 0.03  # share of a column of per cents that is above 75
_PAST = 0.05  # of the range of a column
_TOO_MANY = 4.0  # rows beyond the last one: in an exponential tail 1 on average, and 4 in one of 55
_REACH = 16.0  # depth within which a natural end counts
_DEEPER = 4.0  # than the mean depth of the greatest row: it would be an outlier of z


def rows_of_tail(n: float) -> float:
    """Return how many of n rows a tail is fitted to; 0 where there are too few."""
    return 0.0 if n < 16 else min(max(_SHARE * n, min(_FEWEST, n / 8)), _MOST)


def has_edge(x: Floats) -> bool:
    """Whether many of the values (n,) lie in the last part of their range."""
    reach = EDGE * np.ptp(x)
    return len(x) >= _ENOUGH and bool(np.mean(x > x.max() - reach) > EDGE / 2)


def fit_tail(x: Floats, joint: float, side: int, step: float) -> Tail | None:
    """Fit to values x (n,), rising, above the joint for side 1, below for -1; None where nothing fits.

    On a lattice ``step`` is the distance of its points, else 0.
    """
    if side < 0:
        x, joint = -x[::-1], -joint
    tail = x[np.searchsorted(x, joint, side="right") :]
    y = tail - joint
    if len(tail) < 2:
        return None
    unit = float(y[-1]) * float((y / y[-1]).mean())  # no sum overflows
    shape = _shape(y / unit) if len(y) >= 5 else 0.0
    scale = unit * _scale(y / unit, max(shape, 0.0))
    end = None if step else _natural_end_near(x, joint, scale, shape)
    if end is None and shape < _HARD and has_edge(x):
        end = float(x[-1]) + step / 2 if step else _rounded_up(float(x[-1]), float(y[-1]) / len(y))
    found = Tail(scale=scale, shape=min(max(shape, 0.0), MOST_SHAPE))
    if end is None and len(y) * math.exp(-found.depth(tail[-1:] + step / 2, joint, 1, 0)[0]) > _TOO_MANY:
        end = _end_by_rows(y, step)
        end = None if end is None else joint + end
    if end is not None:
        v = np.maximum((end - tail) / (end - joint), 1e-9)
        power = min(max(float(-np.log(v).mean()), LEAST_POWER), MOST_SHAPE)
        found = Tail(scale=max(scale, _past_end(x)), shape=power, end=end)
    return _mirrored(found, side) if _suits(found, tail, joint) else None


def join_tail(tail: Tail | None, z: Floats, x: Floats, rows: Floats, side: int, step: float) -> Tail:
    """Return the tail that goes on with the slope of the knots (z, x), rising.

    Where there is none, the rows (n,), rising, make one: exponential, so that its last row is there.
    """
    last, previous = (0, 1) if side < 0 else (-1, -2)
    joint, steep = float(x[last]), hazard(float(z[last]), side)
    secant = abs(float(x[last] - x[previous])) / abs(float(z[last] - z[previous]))
    if tail is None:
        spread = abs(joint - float(rows[len(rows) // 2])) or float(np.ptp(rows))
        scale = max(spread / (1 + math.log(len(rows))), secant / steep)
        rows = rows if side > 0 else -rows[::-1]
        end = None if step else _natural_end_near(rows, side * joint, scale, 0.0)
        tail = Tail(scale=scale, shape=0.0)
        if end is not None:
            power = min(max(scale / (end - side * joint), LEAST_POWER), MOST_SHAPE)
            tail = _mirrored(Tail(scale=max(scale, _past_end(rows)), shape=power, end=end), side)
    if not secant:  # beyond an atom the map has no slope
        return tail
    ratio = tail.slope(joint, 0) * steep / secant
    by = min(max(ratio, LEAST_RATIO), MOST_RATIO) / ratio
    if tail.end is None:
        return tail.model_copy(update={"scale": tail.scale * by})
    return tail.model_copy(update={"shape": min(max(tail.shape * by, LEAST_POWER), MOST_SHAPE)})


def natural_end(x: Floats) -> float | None:
    """Return the upper bound that values (n,), rising, keep by their nature; None where there is none."""
    low, high = float(x[0]), float(x[-1])
    if high <= 0:
        return 0.0
    if 0.5 <= high <= 1 and low >= (0 if low >= 0 else -1):
        return 1.0
    per_cent = low >= 0 and high <= 100 and np.mean(x >= 75) >= _HIGH
    return 100.0 if per_cent else None


def _natural_end_near(x: Floats, joint: float, scale: float, shape: float) -> float | None:
    """Return the natural end of values (n,), rising, where a tail from the joint on would reach it."""
    end = natural_end(x)
    if end is None or not end - joint > 1e-12 * scale:
        return None
    soft = Tail(scale=scale, shape=min(max(shape, 0.0), MOST_SHAPE))
    if soft.depth(np.array([end]), joint, 1, 0)[0] > _REACH:
        return None
    return None if end and shape > _LIGHT else end


def _end_by_rows(y: Floats, step: float) -> float | None:
    """Return the end of excesses y (k,), rising, with which one row is expected beyond the last of them."""
    u, top = y / y[-1], 1 + 0.5 * step / float(y[-1])
    low, high = 1e-6, 1e4
    for _ in range(50):  # the rows beyond the last one rise with the distance of the end
        past = math.sqrt(low * high)
        power = float(-np.log1p(-u / (top + past)).mean())
        if len(u) * (past / (top + past)) ** (1 / power) > 1:
            high = past
        else:
            low = past
    end = float(y[-1]) * (top + low)
    return end if power > LEAST_POWER and end > y[-1] else None


def _past_end(x: Floats) -> float:
    """Return the scale by which densities fall beyond the end of values (n,), rising, that have one."""
    return float(x[-1] * _PAST - x[0] * _PAST)


def _mirrored(tail: Tail, side: int) -> Tail:
    """Return an upper tail as it is on its side."""
    return tail if tail.end is None else tail.model_copy(update={"end": side * tail.end + 0.0})


def _shape(y: Floats) -> float:
    """Return the shape ξ of excesses y (k,), rising, above 0."""
    k = len(y)
    m = 20 + int(math.sqrt(k))
    quartile = y[max(int(k / 4 + 0.5) - 1, 0)]
    theta = 1 / y[-1] + (1 - np.sqrt(m / (np.arange(1, m + 1) - 0.5))) / (3 * max(quartile, 1e-9 * y[-1]))
    shapes = np.log1p(-theta[:, None] * y).mean(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = k * (np.log(-theta / shapes) - shapes - 1)
    levels[~np.isfinite(levels)] = -np.inf
    weights = np.exp(levels - levels.max())
    best = float((theta * weights).sum() / weights.sum())
    return float(np.log1p(-best * y).mean()) * k / (k + _PRIOR)


def _scale(y: Floats, shape: float) -> float:
    """Return the most likely scale of excesses y (k,) for a shape of at least 0."""
    low, high = 0.0, float(y.mean())
    if not shape:
        return high
    for _ in range(60):  # the score falls with the scale
        middle = 0.5 * (low + high)
        if ((1 + shape) * y / (middle + shape * y)).mean() > 1:
            low = middle
        else:
            high = middle
    return high


def _suits(tail: Tail, x: Floats, joint: float) -> bool:
    """Whether the rows x (k,), rising, of a tail are spread over it as they should be."""
    k = len(x)
    depth = tail.depth(x, joint, 1, 0)
    if depth[-1] > math.log(k) + _DEEPER:
        return False
    share = -np.expm1(-depth)
    off = np.abs(share - (np.arange(k) + 0.5) / k).max()
    return bool(off < 1.7 / math.sqrt(k) + 0.5 / k)


def _rounded_up(x: float, gap: float) -> float:
    """Return the number of fewest digits from x + gap/2 to x + 3 gap; x + gap where it has many."""
    for power in range(
        math.floor(math.log10(max(abs(x), gap) + 5e-324)) + 2, math.floor(math.log10(gap)), -1
    ):
        digit = 10.0**power
        found = round(math.ceil(x / digit) * digit, max(-power, 0)) + 0.0
        if x <= found <= x + 3 * gap:
            return found
    return x + gap
