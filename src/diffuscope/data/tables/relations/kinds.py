"""What are the kinds of exact relations between columns?

All are checked on rows as numbers (n, columns), see :mod:`diffuscope.data.tables.view`, and say of each row
whether it keeps them. Where a value is missing they are kept. Some also tell a column by others: these are
``Derived``.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Floats, Plain
from diffuscope.data.tables.view import Seen

__all__ = [
    "PARTS",
    "AnyRelation",
    "AtMost",
    "Derived",
    "Determined",
    "Different",
    "Named",
    "Never",
    "OfTime",
    "Part",
    "PartName",
    "Relation",
    "Sum",
    "part_of",
    "states",
]

Bools = NDArray[np.bool_]
_At = Annotated[int, Field(ge=0, lt=100_000)]  # the number of a column
_Floats = Annotated[tuple[float, ...], Field(min_length=1, max_length=100_000)]
_DAY = 86_400
_UNITS = {_DAY: "days", 3600: "hours", 60: "minutes", 1: "seconds"}
_MISSING, _REST = -1.0, -2.0  # states that are no value

PartName = Literal[
    "year", "quarter", "month", "day", "hour", "minute", "weekday", "day of the year", "week", "date"
]
PARTS: tuple[PartName, ...] = get_args(PartName)


class Relation(Plain):
    """Something that holds in every row."""

    @property
    @abstractmethod
    def concerns(self) -> tuple[int, ...]:
        """The columns that the relation is about."""

    @abstractmethod
    def kept(self, x: Floats) -> Bools:
        """Return which rows of numbers (n, columns) keep it, shape (n,)."""

    @abstractmethod
    def words(self, names: Sequence[Any]) -> str:
        """Return it as a sentence, with the names of the columns."""


class Derived(Relation):
    """A relation that tells a ``column`` by others."""

    column: _At

    @property
    @abstractmethod
    def sources(self) -> tuple[int, ...]:
        """The columns from which it follows."""

    @property
    def concerns(self) -> tuple[int, ...]:
        """The column and its sources."""
        return (self.column, *self.sources)

    @abstractmethod
    def computed(self, x: Floats) -> Floats:
        """Return the column's numbers (n,) by the others', NaN where these do not tell it."""

    def kept(self, x: Floats) -> Bools:
        """Return which rows have the number that was computed."""
        there = ~np.isnan(x[:, list(self.concerns)]).any(axis=1)
        kept: Bools = ~there | (self.computed(x) == x[:, self.column])
        return kept


class Determined(Derived):
    """One or two columns determine another one: a species its genus, origin and destination a distance."""

    kind: Literal["determined"] = "determined"
    keys: Annotated[tuple[_At, ...], Field(min_length=1, max_length=2)]
    known: Annotated[tuple[_Floats, ...], Field(min_length=1, max_length=100_000)]  # values of the keys
    values: _Floats

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.known) != len(self.values) or any(len(one) != len(self.keys) for one in self.known):
            raise ValueError("every combination of the keys has one value")
        if len(set(self.known)) != len(self.known) or self.column in self.keys:
            raise ValueError("keys must be distinct, and determine another column")
        return self

    @property
    def sources(self) -> tuple[int, ...]:
        """The keys."""
        return self.keys

    @cached_property
    def _grids(self) -> tuple[list[Floats], NDArray[np.intp], Floats]:
        """The values of each key, sorted; the combinations in one number, sorted; and their values."""
        known = np.array(self.known)
        grids = [np.unique(known[:, i]) for i in range(len(self.keys))]
        codes = _in_one(grids, known)
        order = np.argsort(codes)
        return grids, codes[order], np.array(self.values)[order]

    def computed(self, x: Floats) -> Floats:
        """Return the values of the keys' combinations; NaN for one that was never seen."""
        grids, codes, values = self._grids
        own = _in_one(grids, x[:, list(self.keys)])
        at = np.minimum(np.searchsorted(codes, own), len(codes) - 1)
        return np.where((own >= 0) & (codes[at] == own), values[at], np.nan)

    def words(self, names: Sequence[Any]) -> str:
        """Return which columns determine which."""
        keys = " and ".join(str(names[j]) for j in self.keys)
        return f"{keys} determine{'s' if len(self.keys) == 1 else ''} {names[self.column]}"


def _in_one(grids: list[Floats], x: Floats) -> NDArray[np.intp]:
    """Return one number (n,) for the values (n, k) that stand in k grids; -1 where one does not."""
    code, there = np.zeros(len(x), dtype=np.intp), np.ones(len(x), dtype=bool)
    for i, grid in enumerate(grids):
        at = np.minimum(np.searchsorted(grid, x[:, i]), len(grid) - 1)
        there &= grid[at] == x[:, i]
        code = code * len(grid) + at
    return np.where(there, code, -1)


class Sum(Derived):
    """A column is a sum of others, each times a factor, and a constant, rounded to its decimals."""

    kind: Literal["sum"] = "sum"
    parts: Annotated[tuple[_At, ...], Field(min_length=1, max_length=100)]
    factors: _Floats
    constant: float = 0.0
    decimals: Annotated[int, Field(ge=0, le=15)] | None = None
    tolerance: Annotated[float, Field(ge=0)]
    in_time: bool = False  # times, in seconds, and what is between them

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.parts) != len(self.factors) or len({self.column, *self.parts}) != 1 + len(self.parts):
            raise ValueError("every part, another column each, has a factor")
        if not all(self.factors):
            raise ValueError("no factor is 0")
        scales = [max(abs(f), 1 / abs(f)) for f in self.factors]
        if self.in_time and (
            len(scales) > 2 or any(not any(abs(f - u) < 1e-6 for u in _UNITS) for f in scales)
        ):
            raise ValueError("between times are days, hours, minutes or seconds")
        return self

    @property
    def sources(self) -> tuple[int, ...]:
        """The parts."""
        return self.parts

    def _sum(self, x: Floats) -> Floats:
        total: Floats = x[:, list(self.parts)] @ np.array(self.factors) + self.constant
        return total

    def computed(self, x: Floats) -> Floats:
        """Return the sums."""
        total = self._sum(x)
        return total if self.decimals is None else np.round(total, self.decimals) + 0.0

    def kept(self, x: Floats) -> Bools:
        """Return which rows have the sum, within the tolerance."""
        rest = np.abs(x[:, self.column] - self._sum(x))
        return np.isnan(rest) | (rest <= self.tolerance)

    def is_whole(self, columns: Sequence[Seen]) -> bool:
        """Whether sums of values that are rounded to the columns' decimals need no rounding."""
        places = [columns[j].decimals for j in self.concerns]
        if any(one is None for one in places):
            return False
        units = [10.0 ** -(one or 0) for one in places]
        ratios = np.array([f * unit / units[0] for f, unit in zip(self.factors, units[1:], strict=True)])
        ratios = np.append(ratios, self.constant / units[0])
        return bool((np.abs(ratios - np.round(ratios)) < 1e-6).all())

    def words(self, names: Sequence[Any]) -> str:
        """Return the equation."""
        if self.in_time:
            return self._times(names)
        terms = ""
        for j, factor in zip(self.parts, self.factors, strict=True):
            sign = ("-" if factor < 0 else "") if not terms else (" - " if factor < 0 else " + ")
            times = "" if abs(factor) == 1 else f"{abs(factor):.6g} "
            terms += f"{sign}{times}{names[j]}"
        if self.constant:
            terms += f" {'-' if self.constant < 0 else '+'} {abs(self.constant):.6g}"
        return f"{names[self.column]} = {terms}"

    def _times(self, names: Sequence[Any]) -> str:
        """Return the equation of a time, or of a number that is the distance of two."""
        one, other = (names[j] for j in (*self.parts, self.parts[0])[:2])
        if len(self.parts) == 2 and abs(self.factors[0]) != 1:
            unit = _UNITS[round(1 / self.factors[0])]
            return f"{names[self.column]} is {one} - {other} in {unit}"
        text = f"{names[self.column]} = {one}"
        if len(self.parts) == 2:
            text += f" + {other} {_UNITS[round(self.factors[1])]}"
        if self.constant:
            seconds = next((one for one in _UNITS if not self.constant % one), 1)
            count = abs(self.constant) / seconds
            unit = _UNITS[seconds] if count != 1 else _UNITS[seconds][:-1]
            text += f" {'-' if self.constant < 0 else '+'} {count:.6g} {unit}"
        return text


class OfTime(Derived):
    """A relation that tells a column by a part of a time."""

    time: _At
    part: PartName

    @property
    def sources(self) -> tuple[int, ...]:
        """The time."""
        return (self.time,)

    @abstractmethod
    def at(self, seconds: Floats) -> Floats:
        """Return the column's numbers (n,) at times, in seconds since 1970."""

    def computed(self, x: Floats) -> Floats:
        """Return the column's numbers (n,)."""
        return self.at(x[:, self.time])


class Part(OfTime):
    """A column repeats a part of a time: its year, month, day."""

    kind: Literal["part"] = "part"
    offset: Annotated[int, Field(ge=-10, le=10)] = 0

    def at(self, seconds: Floats) -> Floats:
        """Return the part of times, with the offset added."""
        return part_of(seconds, self.part) + self.offset

    def words(self, names: Sequence[Any]) -> str:
        """Return which part of which time."""
        offset = f" {'-' if self.offset < 0 else '+'} {abs(self.offset)}" if self.offset else ""
        return f"{names[self.column]} is the {self.part} of {names[self.time]}{offset}"


class Named(OfTime):
    """A category for each value of a part of a time: the name of its weekday, its season."""

    kind: Literal["named"] = "named"
    known: _Floats  # values of the part, rising
    values: _Floats

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.known) != len(self.values) or list(self.known) != sorted(set(self.known)):
            raise ValueError("every part has one value")
        return self

    def at(self, seconds: Floats) -> Floats:
        """Return the categories of times; NaN for a part that was never seen."""
        known, own = np.array(self.known), part_of(seconds, self.part)
        at = np.minimum(np.searchsorted(known, own), len(known) - 1)
        return np.where(known[at] == own, np.array(self.values)[at], np.nan)

    def words(self, names: Sequence[Any]) -> str:
        """Return which part of which time determines the column."""
        return f"the {self.part} of {names[self.time]} determines {names[self.column]}"


def part_of(seconds: Floats, part: PartName) -> Floats:
    """Return a part of times, in seconds since 1970, shape (n,); NaN where missing.

    Monday is 0. A week is that of ISO 8601, and a date is in seconds as well.
    """
    missing = np.isnan(seconds)
    whole = np.floor(np.where(missing, 0.0, seconds)).astype(np.int64)
    weekday = (whole // _DAY + 3) % 7
    if part == "date":
        found = whole - whole % _DAY
    elif part == "weekday":
        found = weekday
    elif part in ("hour", "minute"):
        found = whole % _DAY // 3600 if part == "hour" else whole % 3600 // 60
    else:
        thursday = weekday - 3 if part == "week" else 0  # whose year is that of the week
        days = (whole // _DAY - thursday).astype("datetime64[D]")
        months, years = days.astype("datetime64[M]"), days.astype("datetime64[Y]")
        month, day = (months - years).astype(np.int64), (days - years).astype(np.int64)
        found = {
            "year": years.astype(np.int64) + 1970,
            "quarter": month // 3 + 1,
            "month": month + 1,
            "week": day // 7 + 1,
            "day": (days - months).astype(np.int64) + 1,
            "day of the year": day + 1,
        }[part]
    return np.where(missing, np.nan, found.astype(np.float64))


class AtMost(Relation):
    """One column is never above another."""

    kind: Literal["at most"] = "at most"
    small: _At
    large: _At

    @property
    def concerns(self) -> tuple[int, ...]:
        """The two columns."""
        return self.small, self.large

    def kept(self, x: Floats) -> Bools:
        """Return in which rows it is not above."""
        kept: Bools = ~(x[:, self.small] > x[:, self.large])
        return kept

    def words(self, names: Sequence[Any]) -> str:
        """Return the inequality."""
        return f"{names[self.small]} ≤ {names[self.large]}"


class Different(Relation):
    """Two columns of the same categories never have the same one."""

    kind: Literal["different"] = "different"
    one: _At
    other: _At
    alike: Annotated[
        tuple[tuple[float, float], ...], Field(min_length=1, max_length=1000)
    ]  # equal categories

    @property
    def concerns(self) -> tuple[int, ...]:
        """The two columns."""
        return self.one, self.other

    @cached_property
    def _partner(self) -> Floats:
        """For each category of the one the number of the equal one of the other, -1 where there is none."""
        alike = np.array(self.alike).astype(np.intp)
        made = np.full(alike[:, 0].max() + 1, -1.0)
        made[alike[:, 0]] = alike[:, 1]
        return made

    def kept(self, x: Floats) -> Bools:
        """Return in which rows they differ."""
        own = np.nan_to_num(x[:, self.one], nan=-1).astype(np.intp)
        inside = (own >= 0) & (own < len(self._partner))
        partner = np.where(inside, self._partner[np.where(inside, own, 0)], -1.0)
        kept: Bools = (partner < 0) | (partner != x[:, self.other])
        return kept

    def words(self, names: Sequence[Any]) -> str:
        """Return that they differ."""
        return f"{names[self.one]} ≠ {names[self.other]}"


class Never(Relation):
    """Some values of one column never come with some of another; that one is missing is a value as well.

    ``heaps`` are the values of each column that count by themselves; all others are one, 'the rest'. A pair
    is two places among (missing, the rest, first heap, second heap, ...).
    """

    kind: Literal["never"] = "never"
    columns: tuple[_At, _At]
    heaps: tuple[tuple[float, ...], tuple[float, ...]]
    pairs: Annotated[tuple[tuple[_At, _At], ...], Field(min_length=1, max_length=100_000)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        sizes = [2 + len(heaps) for heaps in self.heaps]
        if any(a >= sizes[0] or b >= sizes[1] for a, b in self.pairs):
            raise ValueError("there are no such values")
        if any(list(heaps) != sorted(set(heaps)) for heaps in self.heaps):
            raise ValueError("values must be sorted")
        return self

    @property
    def concerns(self) -> tuple[int, ...]:
        """The two columns."""
        return self.columns

    @cached_property
    def _is_pair(self) -> Bools:
        table = np.zeros([2 + len(heaps) for heaps in self.heaps], dtype=bool)
        table[tuple(np.array(self.pairs).T)] = True
        return table

    def kept(self, x: Floats) -> Bools:
        """Return which rows have none of the pairs."""
        a, b = (states(x[:, j], np.array(heaps)) for j, heaps in zip(self.columns, self.heaps, strict=True))
        kept: Bools = ~self._is_pair[a, b]
        return kept

    def words(self, names: Sequence[Any]) -> str:
        """Return between which columns, and how many."""
        one, other = (names[j] for j in self.columns)
        count = len(self.pairs)
        return f"{count} pair{'s' if count > 1 else ''} of values of {one} and {other} never come together"


def states(x: Floats, heaps: Floats) -> NDArray[np.intp]:
    """Return the state of numbers (n,): 0 missing, 1 none of the sorted heaps, 2 the first heap, ..."""
    found = np.ones(len(x), dtype=np.intp)
    if len(heaps):
        at = np.minimum(np.searchsorted(heaps, x), len(heaps) - 1)
        found = np.where(heaps[at] == x, at + 2, 1)
    return np.where(np.isnan(x), 0, found)


AnyRelation = Annotated[
    Determined | Sum | Part | Named | AtMost | Different | Never, Field(discriminator="kind")
]
