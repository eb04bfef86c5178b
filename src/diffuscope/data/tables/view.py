"""How are rows seen by what compares numbers, trees and exact relations? As one number for each column.

A category is its number in the order of the column's codes, a truth value 0 or 1, a time seconds since 1970.
A value that is missing is NaN, and so are constants and identifiers, of which there is nothing to compare.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats, Name
from diffuscope.data.tables.columns.cast import Cast
from diffuscope.data.tables.columns.categories import Boolean, Category
from diffuscope.data.tables.columns.computed import Computed
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.fitting import AnyColumn
from diffuscope.data.tables.columns.numeric import Integer, Number, precision_of
from diffuscope.data.tables.rows import RowCodec
from diffuscope.errors import InputError

__all__ = ["Seen", "View"]

_EXACT = 2.0**53
_TRIED = 12  # numbers beyond each end of a column


class Seen(NamedTuple):
    """What is known of a column of numbers."""

    name: Name
    kind: Literal["number", "time", "category", "nothing"]
    decimals: int | None = None  # of numbers, where they are rounded
    low: float = 0.0  # the least that was seen
    high: float = 1.0  # the greatest
    reach: tuple[float, float] | None = (
        None  # between which numbers it has coordinates, where that is further
    )
    of: tuple[int, ...] | None = None  # the columns that it is computed of, if a constraint says so

    @property
    def width(self) -> float:
        """Of the range that was seen; without overflow it is at most the largest float."""
        return 2 * min(self.high / 2 - self.low / 2, np.finfo(np.float64).max / 2)

    @property
    def unit(self) -> float:
        """The step between two of its numbers; 0 where they are not rounded."""
        return 0.0 if self.decimals is None else float(10.0**-self.decimals)

    @property
    def limits(self) -> tuple[float, float]:
        """Between which numbers its values are."""
        free = self.of is not None or (self.kind == "number" and self.decimals is None)
        return (-np.inf, np.inf) if free else (self.low, self.high)


class View:
    """Rows of a codec as numbers, shape (n, columns): the features, then the target where there is one."""

    def __init__(self, rows: RowCodec) -> None:
        self.rows = rows

    @cached_property
    def columns(self) -> tuple[Seen, ...]:
        """What each column is."""
        names, found = self.rows.features.names, list(map(_seen, self.rows.all_columns))
        for rule in self.rows.equalities.rules:
            j = names.index(rule.computes)
            found[j] = found[j]._replace(of=tuple(map(names.index, rule.parts)))
        return tuple(found)

    @cached_property
    def places(self) -> tuple[slice, ...]:
        """Where the coordinates of each column are."""
        ends = np.cumsum([0, *(column.width for column in self.rows.all_columns)]).tolist()
        return tuple(slice(*ends[j : j + 2]) for j in range(len(ends) - 1))

    @cached_property
    def labels(self) -> dict[int, list[Any]]:
        """The categories of each column of them, in the order of their numbers, by the column's number."""
        columns = enumerate(self.rows.all_columns)
        return {j: one.labels.index.tolist() for j, one in columns if isinstance(one, Category)}

    def numbers(self, points: Floats) -> Floats:
        """Return the numbers (n, columns) of rows with coordinates (n, D)."""
        points = self.rows.blanked(points)
        made = np.full((len(points), len(self.columns)), np.nan)
        for j, (column, place) in enumerate(zip(self.rows.all_columns, self.places, strict=True)):
            if self.columns[j].kind != "nothing" and self.columns[j].of is None:
                made[:, j] = column.numbers(points[:, place])
        self._compute(points, made)
        return made

    def _compute(self, points: Floats, made: Floats) -> None:
        """Write the numbers of computed columns into those (n, columns) of points (n, D)."""
        features, rules = self.rows.features, self.rows.equalities.rules
        if not rules:
            return
        parts = {name for rule in rules for name in rule.parts}
        columns: list[Any] = [
            column.decode(part) if column.name in parts and not isinstance(column, Computed) else None
            for column, part in features.parts(points[:, : features.width])
        ]
        there = np.ones((len(points), len(columns)), dtype=bool)
        for one, present in zip(self.rows.presence, self.rows.decode_presence(points).T, strict=True):
            there[:, one.columns] = present[:, None]
        self.rows.equalities.compute(columns, there)
        for j, column in enumerate(features.columns):
            if isinstance(column, Computed):
                made[:, j] = _numbers_of(column.inner, columns[j])

    def exact(self, points: Floats) -> Floats:
        """Return the numbers (n, columns) of rows with coordinates (n, D), be they out of range."""
        x = self.numbers(points)
        for j, (column, place) in enumerate(zip(self.rows.all_columns, self.places, strict=True)):
            if self.columns[j].kind in ("number", "time"):
                low, high = self.columns[j].limits
                at_end = (x[:, j] <= low) | (x[:, j] >= high)
                if at_end.any():
                    x[at_end, j] = column.unclipped(points[at_end, place])
        return x

    def put(self, points: Floats, j: int, where: NDArray[np.bool_], numbers: Floats, within: Floats) -> None:
        """Write the coordinates of column j, of the rows ``where`` (n,), that mean these numbers.

        Of those that do ``within`` chooses, as in :meth:`Column.encode`.
        """
        column = self.rows.all_columns[j]
        if self.columns[j].of is not None:
            return  # it follows from the others
        points[where, self.places[j]] = column.of_numbers(numbers, within if column.spreads else None)

    def known(self, points: Floats) -> NDArray[np.bool_]:
        """Return which columns are known, shape (n, columns), of points (n, D) that are NaN elsewhere."""
        known = [
            ~np.isnan(points[:, place]).any(axis=1) & (place.stop > place.start) for place in self.places
        ]
        return np.stack(known, axis=1) if known else np.zeros((len(points), 0), bool)


def _reach(column: Number | Integer, low: float, high: float) -> tuple[float, float] | None:
    """Return numbers, at most the range beyond its ends, between which values come back; None: no further."""
    ends = [low - (high - low), high + (high - low)]
    if column.dtype != "object" and isinstance(column, Integer):
        limits = np.iinfo(precision_of(column.dtype))
        ends = [max(ends[0], float(limits.min)), min(ends[1], float(limits.max))]
    unit = 1.0 if isinstance(column, Integer) else 10.0 ** -(column.decimals or 0)
    found = []
    for end, far in zip((low, high), ends, strict=True):
        steps = np.unique(np.round(np.geomspace(1.0, max(abs(far - end) / unit, 1.0), _TRIED)))
        tried = end + np.sign(far - end) * unit * steps
        lost = np.flatnonzero(~_come_back(column, tried, unit / 4))
        count = lost[0] if len(lost) else len(tried)
        found.append(float(tried[count - 1]) if count else end)
    return found[0], found[1]


def _come_back(column: Number | Integer, values: Floats, tolerance: float) -> NDArray[np.bool_]:
    """Return which values (n,) come back from their coordinates."""
    try:
        again = column.unclipped(column.of_numbers(values))
    except InputError:  # of one of them
        if len(values) == 1:
            return np.array([False])
        return np.concatenate([_come_back(column, one, tolerance) for one in values[:, None]])
    return ~(np.abs(again - values) > tolerance)


def _numbers_of(column: Number | Integer | DateTime | Cast, values: Any) -> Floats:
    """Return values (n,) of a column as its numbers."""
    if isinstance(column, Cast):
        inner = column.inner
        assert isinstance(inner, Number | DateTime)
        return _numbers_of(inner, column.to_plain(values))
    if isinstance(column, DateTime):
        return column.seconds(column.steps(values))
    numbers: Floats = values.to_numpy(dtype=np.float64, na_value=np.nan)
    return numbers


def _seen(column: AnyColumn) -> Seen:
    if isinstance(column, Computed):
        return _seen(column.inner)
    plain = column.inner if isinstance(column, Cast) else column
    if isinstance(plain, Category | Boolean):
        return Seen(column.name, "category", high=len(plain.codes.shares) - 1.0)
    if isinstance(plain, DateTime):
        low, high = plain.numbers(plain.line.forward(np.array([0.0, plain.span]))[:, None]).tolist()
        return Seen(column.name, "time", None, low, high)
    if isinstance(plain, Integer) and max(abs(plain.low), abs(plain.low + plain.span)) < _EXACT:
        low, high = float(plain.low), float(plain.low + plain.span)
        return Seen(column.name, "number", 0, low, high, _reach(plain, low, high))
    if isinstance(plain, Number):
        exact = plain is column and plain.decimals is not None
        reach = _reach(plain, plain.low, plain.high) if exact else None
        return Seen(column.name, "number", plain.decimals, plain.low, plain.high, reach)
    return Seen(column.name, "nothing")
