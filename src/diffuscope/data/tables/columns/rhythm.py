r"""How does a column on a lattice keep to round numbers, to weekdays, to days of the month or to full hours?

By the widths of its cells. A point of the lattice that is w times as frequent as its neighbours would have it
has a cell w times as wide: x becomes :math:`u = C(x)`, with C' the weights of the points, 1 on average. What
is smooth in u then has the rhythm in x, also where no value is repeated, and points that never occur vanish.

Weights are a product of tables that repeat: of residues (of numbers), of weekdays, days of the month and
months (of days), of hours and parts of an hour.
"""

from __future__ import annotations

from functools import cached_property
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Floats, Plain

__all__ = ["DAYS", "GRAIN", "Rhythm", "calendar_of"]

DAYS = 146_097
"""Days after which the calendar repeats, 400 years."""
GRAIN = 2.0**-20
"""Weights are multiples of it, so that their sums are exact."""

Whole = NDArray[np.int64]
_Weights = Annotated[tuple[Annotated[float, Field(ge=GRAIN, le=1e6)], ...], Field(max_length=1440)]


class Rhythm(Plain):
    """Weights of the points of a lattice of step ``step``, of which the one at 0 is number ``start``.

    Of numbers ``residues``; of days since 1970 ``weekdays`` (7, from Thursday on), ``days`` (32: the days of
    a month, and its last day), ``months`` (12); of times ``clock`` as well: the points of a day.
    """

    step: float = Field(gt=0)
    start: int
    residues: _Weights = ()
    weekdays: _Weights = ()
    days: _Weights = ()
    months: _Weights = ()
    clock: _Weights = ()

    @model_validator(mode="after")
    def _check(self) -> Rhythm:
        sizes = {"weekdays": 7, "days": 32, "months": 12}
        of_days = [name for name in sizes if getattr(self, name)]
        if any(len(getattr(self, name)) != sizes[name] for name in of_days):
            raise ValueError("there are 7 weekdays, 31 days of a month and the last, and 12 months")
        if bool(self.residues) == bool(of_days or self.clock):
            raise ValueError("a rhythm is one of numbers or one of times")
        return self

    @cached_property
    def _outer(self) -> Floats:
        """The weights of one period: of residues, or of days."""
        if self.residues:
            return np.array(self.residues)
        if not (self.days or self.months):
            return np.array(self.weekdays or (1.0,))
        weights = np.ones(DAYS)
        for table, place in zip(
            (self.weekdays, self.days, self.months), calendar_of(np.arange(DAYS)), strict=True
        ):
            weights *= np.array(table)[place] if table else 1.0
        return np.asarray(np.maximum(np.rint(weights / GRAIN), 1) * GRAIN)

    @cached_property
    def _tables(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The weights of days and of the points of a day, and their sums up to each."""
        inner = np.array(self.clock or (1.0,))
        return self._outer, np.r_[0, np.cumsum(self._outer)], inner, np.r_[0, np.cumsum(inner)]

    def _sum(self, k: Floats, part: Floats) -> Floats:
        """Return the weights of all points below k and a part of it, from number 0 on."""
        outer, sums, inner, parts = self._tables
        day, point = np.divmod(k, len(inner))
        period, place = np.divmod(day, len(outer))
        i, j = place.astype(np.intp), point.astype(np.intp)
        within = outer[i] * (parts[j] + part * inner[j])
        return np.asarray(period * (sums[-1] * parts[-1]) + sums[i] * parts[-1] + within)

    @cached_property
    def _origin(self) -> float:
        return float(self._sum(np.array([float(self.start)]), np.zeros(1))[0])

    @cached_property
    def _mean(self) -> float:
        """The mean weight of a point."""
        outer, sums, inner, parts = self._tables
        return float(sums[-1] * parts[-1] / (len(outer) * len(inner)))

    @property
    def fineness(self) -> float:
        """The mean weight over the least."""
        outer, _, inner, _ = self._tables
        return self._mean / float(outer.min() * inner.min())

    def stretch(self, x: Floats) -> Floats:
        """Return u of x (n,), both in the units of the column."""
        t = x / self.step + 0.5
        k = np.floor(t)
        return (self._sum(k + self.start, t - k) - self._origin) / self._mean * self.step - 0.5 * self.step

    def shrink(self, u: Floats) -> Floats:
        """Return x of u (n,); undoes :meth:`stretch`."""
        outer, sums, inner, parts = self._tables
        y = (u / self.step + 0.5) * self._mean + self._origin
        period, rest = np.divmod(y, sums[-1] * parts[-1])
        i = np.clip(np.searchsorted(sums, rest / parts[-1], side="right") - 1, 0, len(outer) - 1)
        rest = (rest - sums[i] * parts[-1]) / outer[i]
        j = np.clip(np.searchsorted(parts, rest, side="right") - 1, 0, len(inner) - 1)
        part = np.clip((rest - parts[j]) / inner[j], 0.0, 1.0 - 2.0**-40)
        k = (period * len(outer) + i) * len(inner) + j - self.start
        return np.asarray((k + part - 0.5) * self.step)


def calendar_of(days: Whole) -> tuple[Whole, Whole, Whole]:
    """Return of days since 1970 (n,) the weekday, day of the month (31: its last) and month, from 0 on."""
    when = days.astype("M8[D]")
    month = when.astype("M8[M]")
    day = (when - month.astype("M8[D]")).astype(np.int64)
    last = (when + 1).astype("M8[M]") != month
    return days % 7, np.where(last, 31, day), month.astype(np.int64) % 12
