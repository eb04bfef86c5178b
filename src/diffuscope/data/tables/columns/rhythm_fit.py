r"""Does a column on a lattice have a rhythm?

The points of the lattice are put into classes that repeat: residues by the greatest power of ten, its half,
fifth or the like that divides the number; weekdays, days of the month, months, hours, parts of an hour. Where
a class has c rows, and :math:`\lambda` would be expected by its share of the points, its weight is
:math:`c/\lambda`. Classes are a rhythm where their counts are far from chance (:math:`\chi^2` over its mean
by 6 of its deviations), some weight is above 1.5 or below 1/1.5, and the column is four periods long.
The classes without rows have a quarter of one together, and a twentieth where 20 rows were expected there.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.columns.rhythm import DAYS, GRAIN, Rhythm, calendar_of

__all__ = ["day_rhythm", "number_rhythm"]

_FEWEST_ROWS = 60
_PERIODS = 4
_FAR = 6.0  # deviations of χ²
_RATIO = 1.5
_SURE = 20.0  # expected rows whose absence is no chance
_CELLS = 2.0**42  # of the least weight in the span that a float tells apart
_LONGEST = 2.0**34
_OWN = 12  # rows of a residue that has a weight of its own


def number_rhythm(x: Floats, step: float, start: int) -> Rhythm | None:
    """Return the rhythm of values x (n,) on a lattice, whose point 0 is the number ``start``, or None.

    Numbers are round in units of the step: 1250 is a multiple of 50.
    """
    places = np.rint(x / step)
    span = float(np.ptp(places))
    period = next((p for p in (1000, 100, 10) if span >= _PERIODS * p), 0)
    if not period or len(x) < _FEWEST_ROWS or span > _LONGEST:
        return None
    residues = ((places % period + start % period) % period).astype(np.intp)
    every = np.arange(period)
    divisor = np.gcd(every, period)
    _, level = np.unique(divisor, return_inverse=True)
    weights = _weights(level[residues], np.bincount(level) / period)
    table = np.ones(period) if weights is None else weights[level]
    # Endings that are more frequent still, such as 99.
    counts, expected = np.bincount(residues, minlength=period), table * len(x) / period
    own = (counts >= _OWN) & (counts > 2 * expected + 6 * np.sqrt(expected))
    own &= counts > 3 * np.median(counts) + 1
    if own.any() and not own.all():
        rest = (len(x) - counts[own].sum() + 0.25) / max(expected[~own].sum(), 1e-9)
        table = np.where(own, counts * period / len(x), table * rest)
    elif weights is None:
        return None
    return Rhythm(step=step, start=start % period, residues=_grained(table, span))


def day_rhythm(steps: NDArray[np.int64], start: int, per_day: int) -> Rhythm | None:
    """Return the rhythm of times, ``steps`` (n,) of 1/``per_day`` days from number ``start`` on, or None."""
    span = float(np.ptp(steps))
    if len(steps) < _FEWEST_ROWS or span > _LONGEST or not 1 <= per_day <= 1440:
        return None
    numbers = steps + start
    days = numbers // per_day
    first, last = int(days.min()), int(days.max())
    every = calendar_of(np.arange(first, min(last, first + DAYS) + 1))
    found: dict[str, tuple[float, ...]] = {}
    for name, size, period, own, classes in zip(
        ("weekdays", "days", "months"), (7, 32, 12), (7, 31, 366), calendar_of(days), every, strict=True
    ):
        if last - first >= _PERIODS * period:
            weights = _weights(own, np.bincount(classes, minlength=size) / len(classes))
            if weights is not None:
                found[name] = _grained(weights, span)
    clock = _clock((numbers % per_day).astype(np.intp), per_day, span) if last - first >= _PERIODS else None
    if clock is not None:
        found["clock"] = clock
    return Rhythm(step=1.0, start=start % (DAYS * per_day), **found) if found else None


def _clock(points: NDArray[np.intp], per_day: int, span: float) -> tuple[float, ...] | None:
    """Return the weights of the points of a day: those of hours times those of the parts of an hour."""
    parts = max(per_day // 24, 1)
    hours = per_day // parts
    by_hour = _weights(points // parts, np.full(hours, 1 / hours)) if hours > 1 else None
    by_part = _weights(points % parts, np.full(parts, 1 / parts)) if parts > 1 else None
    if by_hour is None and by_part is None:
        return None
    one = np.ones(hours) if by_hour is None else by_hour
    other = np.ones(parts) if by_part is None else by_part
    return _grained(np.outer(one, other).ravel(), span)


def _weights(own: NDArray[np.intp], shares: Floats) -> Floats | None:
    """Return the weights of classes with such shares of the points, by those of rows; None by chance."""
    counts, expected = np.bincount(own, minlength=len(shares)), shares * len(own)
    there = expected > 0
    chi = float(((counts - expected)[there] ** 2 / expected[there]).sum())
    freedom = there.sum() - 1
    if freedom < 1 or chi < freedom + _FAR * math.sqrt(2 * freedom):
        return None
    weights = np.ones(len(shares))
    weights[there] = counts[there] / expected[there]
    absent = there & (counts == 0)
    rows = float(expected[absent].sum())
    weights[absent] = (0.05 if rows >= _SURE else 0.25) / max(rows, 0.25)
    sure = there & (expected >= 5)
    if not ((weights[sure] > _RATIO) | (weights[sure] < 1 / _RATIO)).any():
        return None
    return weights


def _grained(weights: Floats, span: float) -> tuple[float, ...]:
    """Return weights as multiples of the grain, none so small that it would be lost in the span."""
    least = max(GRAIN, 2.0 ** math.ceil(math.log2(span + 1)) / _CELLS)
    return tuple((np.rint(np.maximum(weights, least) / GRAIN) * GRAIN).tolist())
