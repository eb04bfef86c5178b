"""Which columns are sums of others, with factors and a constant, but for their rounding?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.evidence import FEWEST, NEARLY, WIDE
from diffuscope.data.tables.relations.kinds import (
    Derived,
    Sum,
)
from diffuscope.data.tables.view import Seen

__all__ = ["sums"]

_NULL = 1e-7  # error of a sum that is exact, over the deviation of the column
_ROUNDED = 1e-5  # the same, of numbers that were rounded
_FIRST = -1  # before sums of any level: what a constraint says
_PARTS, _TRIED = 8, 12  # of a sum at most, and before those are left out that are not needed
_SETS = 20  # of columns whose values are missing in the same rows, for sums
_TRIES, _ROWS = 3, 4  # how often sums are looked for, in how many rows for each column
_LARGEST = 1e100  # of numbers in sums

Ints = NDArray[np.intp]


def sums(x: Floats, columns: Sequence[Seen]) -> list[Derived]:
    """Return columns that are sums of others, among those whose values are missing in the same rows.

    The most exact come first: where two tell the same column it is the first that counts.
    """
    numbers = [j for j, one in enumerate(columns) if one.kind == "number"]
    sets: dict[bytes, list[int]] = {}
    for j in numbers:
        missing = np.isnan(x[:, j])
        if len(np.unique(x[~missing, j])) > 2 and np.nanmax(np.abs(x[:, j])) < _LARGEST:
            sets.setdefault(np.packbits(missing).tobytes(), []).append(j)
    whole = sets.pop(np.packbits(np.zeros(len(x), bool)).tobytes(), [])
    every = sorted([*whole, *(j for own in sets.values() for j in own)])  # where cells are missing at random
    found: list[tuple[int, Derived]] = []
    for group in [whole, every, *([*whole, *own] for own in list(sets.values())[:_SETS])]:
        rows = x[~np.isnan(x[:, group]).any(axis=1)]
        if 2 <= len(group) <= WIDE and len(rows) >= max(FEWEST, 5 * len(group)):
            found += _equations(rows, group, columns)
    return [one for _, one in sorted(found, key=lambda made: made[0])]


def _equations(x: Floats, group: list[int], columns: Sequence[Seen]) -> Iterator[tuple[int, Derived]]:
    """Yield the equations that hold between the columns of a group in (nearly) all rows, one by one.

    Each comes with how exact it is. A column is regressed on those that are not derived from others, and
    then on all that do not rest on it, in a few rows: some may be exceptions, and few hold none of them.
    """
    own = x[:, group]
    every, seen, derived = list(range(len(group))), [columns[j] for j in group], dict[int, tuple[int, ...]]()
    left = list(every)

    def room_of(one: _Equation) -> float:
        """Return how much a rounded sum leaves open, in deviations of its column."""
        return one.tolerance / float(own[:, one.i].std()) if one.level == 1 else 0.0

    def rests(k: int, i: int) -> bool:
        """Whether column k follows from i, be it through others, or is it."""
        return k == i or any(rests(part, i) for part in derived.get(k, ()))

    # The error of a model's sum goes to the column that is derived: to a wide one without heaps.
    room = own.std(axis=0) * [len(np.unique(column)) for column in own.T]
    random = np.random.default_rng(0)
    for _ in range(_TRIES):
        rows = random.choice(len(own), min(len(own), max(FEWEST, _ROWS * len(group))), replace=False)
        for i in [i for i in left if seen[i].of is not None]:
            known = [group.index(j) for j in seen[i].of or () if j in group]
            ways = [_with_factors(own, rows, i, known, seen, level) for level in (0, 1, 2)] if known else []
            said = [form for form in ways if form is not None]
            if said and len(known) == len(seen[i].of or ()):
                left.remove(i)
                derived[i] = said[0].parts
                yield _FIRST, said[0].sum(group, seen)
        # What is no sum of many columns is none of fewer; what is computed by a constraint follows from it.
        candidates = [i for i in left if seen[i].of is None]
        while True:
            tried = {}
            for i in candidates:
                made = _equation(own, rows, i, [k for k in left if k != i], seen)
                if derived and (made is None or made.level == 2):  # it may be a sum of what others tell
                    wide = _equation(own, rows, i, [k for k in every if not rests(k, i)], seen)
                    made = wide if wide is not None and (made is None or wide.level < 2) else made
                tried[i] = made
            exact = {i: made for i, made in tried.items() if made is not None}
            if not exact:
                break
            # The most exact first, then the shortest: others may rest on it.
            first = min(exact.values(), key=lambda one: (one.level, len(one.parts), room_of(one)))
            forms = [
                form
                for form in _turned(own, rows, first, seen)
                if form.i in left
                and seen[form.i].of is None
                and not any(rests(k, form.i) for k in form.parts)
            ]
            best = max(forms, key=lambda one: (one.whole, -room_of(one), one.factor * room[one.i]))
            left.remove(best.i)
            derived[best.i] = best.parts
            candidates = [i for i in exact if i != best.i]
            yield best.level, best.sum(group, seen)


class _Equation(NamedTuple):
    """Column i is a sum of ``parts`` times ``factors``.

    ``level`` is how exact it is, see :func:`_equation`; ``factor`` is what i had in the equation that this
    one is another form of, and ``whole`` whether rounded parts make a rounded sum.
    """

    i: int
    parts: tuple[int, ...]
    factors: tuple[float, ...]
    constant: float
    tolerance: float
    level: int
    whole: bool
    factor: float = 1.0

    def sum(self, group: Sequence[int], seen: Sequence[Seen]) -> Sum:
        """Return it as a relation between the columns of a group."""
        return Sum(
            column=group[self.i],
            parts=tuple(group[k] for k in self.parts),
            factors=self.factors,
            constant=self.constant,
            decimals=seen[self.i].decimals,
            tolerance=self.tolerance,
        )


def _turned(own: Floats, rows: Ints, one: _Equation, seen: Sequence[Seen]) -> list[_Equation]:
    """Return an equation, and it solved for each of its parts for which it is as exact."""
    forms = [one]
    for k, factor in zip(one.parts, one.factors, strict=True):
        parts = [one.i, *(j for j in one.parts if j != k)]
        made = _with_factors(own, rows, k, parts, seen, one.level)
        if made is not None:
            forms.append(made._replace(factor=abs(factor)))
    return forms


def _equation(own: Floats, rows: Ints, i: int, others: list[int], seen: Sequence[Seen]) -> _Equation | None:
    """Return the equation of column i as a sum of others; None where it is none.

    It is the most exact one: of level 0 where it holds as it is, of level 1 where it holds once the sum is
    rounded to the column's decimals, and of level 2 where other columns were rounded as well.
    """
    some = own[rows]
    mean, std = some.mean(axis=0), some.std(axis=0)
    others = [k for k in others if std[k] > 0]
    if not std[i] > 0 or not others:
        return None
    units = [seen[k].unit if seen[k].decimals else 0.0 for k in others]
    rounding = max(max([seen[i].unit, *units]) / std[i], _ROUNDED)
    scaled = (some[:, others] - mean[others]) / std[others]
    y = (some[:, i] - mean[i]) / std[i]
    weights = np.linalg.lstsq(scaled, y, rcond=1e-9)[0]
    error = float(np.abs(y - scaled @ weights).max())
    if error > _PARTS * rounding:
        return None
    order = np.argsort(-np.abs(weights))
    unit = seen[i].unit / std[i]
    for level, most in enumerate((1e-3 * unit + 1e-10 if unit else _NULL, 0.75 * unit, _PARTS * rounding)):
        if error > most:
            continue
        count = _enough(scaled[:, order], y, most)
        if not count:
            continue
        parts = _fewest(scaled, y, order[:count].tolist(), most)
        made = _with_factors(own, rows, i, [others[k] for k in parts], seen, level)
        if made is not None and len(parts) <= _PARTS:
            return made
    return None


def _enough(scaled: Floats, y: Floats, most: float) -> int:
    """Return how many of the first columns (n, k) have a sum that is y (n,) but for an error; 0: none."""
    for count in range(1, min(_TRIED, scaled.shape[1]) + 1):
        if _error(scaled[:, :count], y) <= most:
            return count
    return 0


def _error(scaled: Floats, y: Floats) -> float:
    rest = y - scaled @ np.linalg.lstsq(scaled, y, rcond=1e-9)[0]
    return float(np.abs(rest - rest.mean()).max())


def _fewest(scaled: Floats, y: Floats, parts: list[int], most: float) -> list[int]:
    """Return the fewest of the columns ``parts`` of (n, k) that are enough, the last left out first.

    Where some are copies or sums of others, there are several ways: each is tried.
    """
    ways: list[list[int]] = []
    for first in reversed(parts):
        kept = list(parts)
        for k in [first, *(k for k in reversed(parts) if k != first)]:
            fewer = [j for j in kept if j != k]
            if fewer and _error(scaled[:, fewer], y) <= most:
                kept = fewer
        ways.append(kept)
    shortest = min(ways, key=len)
    return sorted(shortest)


def _with_factors(
    own: Floats, rows: Ints, i: int, parts: list[int], seen: Sequence[Seen], level: int
) -> _Equation | None:
    """Return column i as a sum of parts times factors of few digits; None where it is not so exact."""
    solved = np.linalg.lstsq(np.column_stack([own[rows[:, None], parts], np.ones(len(rows))]), own[rows, i])
    raw = solved[0][:-1]
    unit, scale = seen[i].unit, float(own[:, i].std())
    units = np.array([seen[k].unit if seen[k].decimals else 0.0 for k in parts])
    tries = [np.array([float(f"{value:.{digits}g}") for value in raw]) for digits in (1, 2, 3, 4)]
    tries += [np.round(raw * q) / q for q in (3, 6, 7, 9, 11, 12)]
    tries.append(np.array([float(f"{value:.12g}") for value in raw]))
    for factors in tries:
        if not factors.all():
            continue
        rest = own[:, i] - own[:, parts] @ factors
        constant = float(f"{np.median(rest):.12g}")
        rounded = 0.51 * float(unit * bool(seen[i].decimals) + np.abs(factors) @ units)
        if level:
            constant = 0.0 if abs(constant) <= max(rounded, _NULL * scale) else constant
        else:
            constant = 0.0 if abs(constant) <= max(1e-3 * unit, _NULL * scale) else constant
        error = float(np.quantile(np.abs(rest - constant), NEARLY))
        most = (
            1e-3 * unit + 1e-10 * scale if unit else _NULL * scale,
            0.5001 * unit + 1e-10 * scale,
            max(2 * rounded, _ROUNDED * scale),
        )[level]
        if error <= most and error < 0.05 * scale:
            whole = bool(unit) and all(seen[k].decimals is not None for k in parts)
            ratios = np.append(factors * [seen[k].unit for k in parts], constant) / (unit or 1.0)
            whole = whole and bool((np.abs(ratios - np.round(ratios)) < 1e-6).all())
            tolerance = 1.01 * error + _NULL * scale + 0.51 * unit
            if level < 2 and unit:
                tolerance = 0.51 * unit + 1e-10 * scale
            return _Equation(i, tuple(parts), tuple(factors.tolist()), constant, tolerance, level, whole)
    return None
