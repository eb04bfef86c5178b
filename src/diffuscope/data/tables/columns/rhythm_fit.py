r"""Does a column on a lattice have a rhythm?

The points of the lattice are put into classes that repeat: residues by the greatest power of ten, its half,
fifth or the like that divides the number; weekdays, days of the month, months, hours, parts of an hour. Where
a class has c rows, and :math:`\lambda` would be expected by its share of the points, its weight is
:math:`c/\lambda`. Classes are a rhythm where their counts are far from chance (:math:`\chi^2` over its mean
by 6 of its deviations), some weight is above 1.5 or below 1/1.5, and the column is four periods long.
Numbers that are the rounder the larger they are have none: these are significant digits of measurements.
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
_NONE, _SURELY_NONE = 0.25, 0.05  # rows of all classes together that have none
_SURE = 20.0  # expected rows whose absence is no chance
_CELLS = 2.0**42  # of the least weight in the span that a float tells apart
_LONGEST = 2.0**34
_UNLIKE = 4.0  # standard errors by which the shares of two halves differ
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
    if _finer_when_small(residues % 10 == 0, np.abs(places + start)):
        return None
    every = np.arange(period)
    divisor = np.gcd(every, period)
    _, level = np.unique(divisor, return_inverse=True)
    counts = np.bincount(residues, minlength=period)
    usual = float(np.median(counts))
    own = (counts >= _OWN) & (counts > 3 * usual + 6 * math.sqrt(usual + 1))  # such as 99
    if not own.any() and _weights(level[residues], np.bincount(level) / period) is None:
        return None
    rows = np.bincount(level, weights=counts * ~own)
    places = np.bincount(level, weights=~own)
    absent = rows == 0
    expected = len(x) / period * float(places[absent].sum())
    rows[absent] = (
        (_SURELY_NONE if expected >= _SURE else _NONE) * places[absent] / max(places[absent].sum(), 1)
    )
    table = np.where(own, counts, (rows / np.maximum(places, 1))[level]) * period / len(x)
    return Rhythm(step=step, start=start % period, residues=_grained(table, span))


def _finer_when_small(is_round: NDArray[np.bool_], size: Floats) -> bool:
    """Whether large numbers are the rounder ones: all have as many significant digits."""
    large = size > np.median(size)
    if large.all() or not large.any():
        return False
    shares = is_round[large].mean(), is_round[~large].mean()
    error = math.sqrt(max(float(is_round.var()), 1 / len(size)) * 4 / len(size))
    return bool(abs(shares[0] - shares[1]) > _UNLIKE * error)


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
    weights[absent] = (_SURELY_NONE if rows >= _SURE else _NONE) / max(rows, _NONE)
    sure = there & (expected >= 5)
    if not ((weights[sure] > _RATIO) | (weights[sure] < 1 / _RATIO)).any():
        return None
    return weights


def _grained(weights: Floats, span: float) -> tuple[float, ...]:
    """Return weights as multiples of the grain, none so small that it would be lost in the span."""
    least = max(GRAIN, 2.0 ** math.ceil(math.log2(span + 1)) / _CELLS)
    return tuple((np.rint(np.maximum(weights, least) / GRAIN) * GRAIN).tolist())
