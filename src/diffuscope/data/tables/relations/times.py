"""Which columns repeat a part of a time, name it, or lie a number of days after another?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations, product

import numpy as np

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.evidence import FEWEST, NEARLY
from diffuscope.data.tables.relations.kinds import (
    PARTS,
    Derived,
    Named,
    Part,
    PartName,
    Sum,
    part_of,
)
from diffuscope.data.tables.relations.lookups import determined_by, has_support
from diffuscope.data.tables.view import Seen

__all__ = ["time_gaps", "time_parts"]

_OFFSET = 10
_TIMES = 12  # columns of times that are compared with each other
_SECONDS = (86_400, 3_600, 60, 1)
_EQUAL = 1e-3  # seconds


def time_parts(x: Floats, columns: Sequence[Seen]) -> Iterator[Derived]:
    """Yield columns that repeat a part of a time, or name it."""
    for i, time in enumerate(columns):
        if time.kind != "time":
            continue
        parts = {part: part_of(x[:, i], part) for part in PARTS}
        few = sorted((part for part in PARTS if part != "date"), key=lambda part: len(np.unique(parts[part])))
        for j, column in enumerate(columns):
            if column.of is not None or i == j:
                continue
            if column.kind == "category":
                yield from _names(x, i, j, {part: parts[part] for part in few})
            for part, values in parts.items():
                if (
                    column.kind == "time"
                    if part == "date"
                    else column.kind == "number" and not column.decimals
                ):
                    offsets = x[:, j] - values
                    offsets = offsets[~np.isnan(offsets)]
                    if len(offsets) < FEWEST or np.ptp(offsets) or abs(offsets[0]) > _OFFSET:
                        continue
                    same = part == "date" and not (x[:, i] != values)[~np.isnan(x[:, i])].any()
                    if np.ptp(x[~np.isnan(x[:, j]), j]) and not same:
                        yield Part(column=j, time=i, part=part, offset=int(offsets[0]))
                        break


def _names(x: Floats, i: int, j: int, parts: Mapping[PartName, Floats]) -> Iterator[Derived]:
    """Yield that a part of time i determines the categories of column j; parts of few values come first."""
    there = ~np.isnan(x[:, j])
    values, own, counts = np.unique(x[there, j], return_inverse=True, return_counts=True)
    if len(values) < 2:
        return
    code = np.full(len(x), -1, dtype=np.intp)
    code[there] = own
    surprise = np.where(there, -np.log(counts / counts.sum())[code], 0.0)
    for part, numbers in parts.items():
        inside = ~np.isnan(numbers)
        key = np.full(len(x), -1, dtype=np.intp)
        key[inside] = np.unique(numbers[inside], return_inverse=True)[1]
        if has_support(key) and determined_by({0: key, 1: code}, {1: surprise}, (0,), [1]):
            pairs = np.unique(np.column_stack([numbers, x[:, j]])[inside & there], axis=0)
            yield Named(column=j, time=i, part=part, known=tuple(pairs[:, 0]), values=tuple(pairs[:, 1]))
            return


def time_gaps(x: Floats, columns: Sequence[Seen]) -> Iterator[Derived]:
    """Yield times that are others plus a constant, or plus a number of days, hours, minutes or seconds."""
    times = [j for j, one in enumerate(columns) if one.kind == "time"]
    numbers = [j for j, one in enumerate(columns) if one.kind == "number" and one.decimals is not None]
    if len(times) > _TIMES:
        return
    for i, j in permutations(times, 2):
        gap = x[:, j] - x[:, i]
        if columns[j].of is None and i < j and (constant := _constant(gap)) is not None:
            yield _later(j, (i,), (1.0,), constant)
            continue
        for k, unit in product(numbers, _SECONDS):
            rest = gap - unit * x[:, k]
            known = rest[~np.isnan(rest)][:FEWEST]
            room = 0.5001 * unit * columns[k].unit
            if len(known) < FEWEST or np.median(np.abs(known - np.median(known))) > room:
                continue
            constant = _constant(rest)
            if constant is not None and columns[j].of is None:
                yield _later(j, (i, k), (1.0, float(unit)), constant)
            elif columns[k].of is None and room < 0.05 * np.nanstd(gap):
                rest = rest[~np.isnan(rest)]
                if np.quantile(np.abs(rest), NEARLY) <= room:
                    places = columns[k].decimals
                    yield Sum(
                        column=k,
                        parts=(j, i),
                        factors=(1 / unit, -1 / unit),
                        decimals=places,
                        tolerance=0.51 * columns[k].unit,
                        in_time=True,
                    )


def _constant(gap: Floats) -> float | None:
    """Return the number that (nearly) all of (n,) are, where they vary by less than a millisecond."""
    known = gap[~np.isnan(gap)]
    if len(known) < FEWEST:
        return None
    middle = float(np.median(known))
    return middle if np.quantile(np.abs(known - middle), NEARLY) < _EQUAL else None


def _later(j: int, parts: tuple[int, ...], factors: tuple[float, ...], constant: float) -> Sum:
    return Sum(column=j, parts=parts, factors=factors, constant=constant, tolerance=_EQUAL, in_time=True)
