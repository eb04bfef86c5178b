r"""How are rows made to keep relations that share columns, when some columns are fixed?

Rows in which the same columns are fixed and the same are missing have one plan. Their sums are a system of
linear equations :math:`A x = c` in the columns that are free. It is brought into echelon form: the pivot of
each equation is the column that takes its error, and is computed from the others, the last one first. Each is
rounded before it enters the next, and equations that hold without rounding come last, so that they hold
exactly. Where more equations than columns are left, which were rounded, they are intervals, and the middle of
what they allow is taken. Columns that are functions of others by a list or a calendar are computed forward.

A time of which parts are fixed is moved to the nearest day that has them; its hour and minute are replaced.

A column that would be beyond its limits is put at the limit and fixed, and another one takes the error. Where
none can, it is computed beyond its limits, as far as its coordinate reaches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.kinds import Derived, OfTime, Sum
from diffuscope.data.tables.view import Seen

__all__ = ["connected", "mend"]

_FREE, _FIXED, _MISSING = 0, 1, 2
_ATTEMPTS = 12  # columns of a row that are put at their limits
_PASSES = 8  # through functions that rest on sums, and sums that rest on functions
_DAY, _DAYS = 86_400, 4_000_000  # seconds of a day; days among which one with fixed parts is looked for
_ZERO = 1e-9  # of a factor, over the largest of its equation

Bools = NDArray[np.bool_]
Ints = NDArray[np.intp]


def connected(relations: Sequence[Derived]) -> list[list[Derived]]:
    """Return relations in groups that share no columns."""
    groups: list[tuple[set[int], list[Derived]]] = []
    for one in relations:
        shared = [group for group in groups if group[0] & set(one.concerns)]
        groups = [group for group in groups if group not in shared]
        columns = set(one.concerns).union(*(group[0] for group in shared))
        groups.append((columns, [*(each for group in shared for each in group[1]), one]))
    return [members for _, members in groups]


def mend(group: Sequence[Derived], x: Floats, fixed: Bools, columns: Sequence[Seen]) -> None:
    """Make rows x (n, columns) keep a group of relations, in place; what is fixed or missing stays."""
    own = sorted({j for one in group for j in one.concerns})
    state = np.where(np.isnan(x[:, own]), _MISSING, np.where(fixed[:, own], _FIXED, _FREE)).astype(np.int8)
    first, rows = state.copy(), np.arange(len(x))

    def solve(state: NDArray[np.int8], rows: Ints, last: bool) -> Ints:
        """Compute some rows; return those in which a column was put at its limit, and is fixed now."""
        again = [rows[:0]]
        for pattern, some in _by_pattern(state, rows):
            plan = _planned(group, dict(zip(own, pattern.tolist(), strict=True)), columns)
            # Only the columns of the group are read: of a wide table the others take no memory.
            part = np.empty((len(some), x.shape[1]), order="F")
            part[:, own] = x[some[:, None], own]
            holds = bool((pattern == _FIXED).any())
            beyond = plan.run(part, columns, holds and not last, last)[:, own]
            x[some[:, None], own] = part[:, own]
            state[some] = np.where(beyond, _FIXED, state[some])
            again.append(some[beyond.any(axis=1)])
        return np.concatenate(again)

    for _ in range(_ATTEMPTS):
        rows = solve(state, rows, last=False)
        if not len(rows):
            break
    rest = np.flatnonzero((state != first).any(axis=1))
    if len(rest):  # a fine column takes what the rounding of coarse ones left
        solve(first, rest, last=True)


def _by_pattern(state: NDArray[np.int8], rows: Ints) -> list[tuple[NDArray[np.int8], Ints]]:
    """Return the distinct states (k,) of rows, each with its rows."""
    patterns, at = np.unique(state[rows], axis=0, return_inverse=True)
    at = at.ravel()
    order = np.argsort(at, kind="stable")
    parts = np.split(rows[order], np.flatnonzero(np.diff(at[order])) + 1)
    return list(zip(patterns, parts, strict=True)) if len(rows) else []


class _Expression(NamedTuple):
    """A column as a constant less ``others`` times ``factors``, but for a ``tolerance``."""

    others: list[int]
    factors: Floats
    constant: float
    tolerance: float

    @classmethod
    def of(cls, own: list[int], k: int, row: Floats, tolerance: float) -> _Expression:
        """Return what an equation says of the k-th of the columns ``own``."""
        others = [i for i in np.flatnonzero(row[:-1]) if i != k]
        return cls(
            [own[i] for i in others], row[others] / row[k], float(row[-1] / row[k]), tolerance / abs(row[k])
        )

    def computed(self, x: Floats) -> Floats:
        """Return the column (n,) by the others."""
        value: Floats = self.constant - x[:, self.others] @ self.factors
        return value


class _Step(NamedTuple):
    """A column that sums tell: the first of them, within what the others allow."""

    pivot: int
    says: list[_Expression]
    margin: float  # from a limit, so that it can take what the rounding of coarser columns leaves

    def computed(self, x: Floats) -> Floats:
        """Return the column (n,); where sums were rounded the middle of what all of them allow."""
        values = [one.computed(x) for one in self.says]
        if len(values) == 1:
            return values[0]
        low = np.max([v - one.tolerance for v, one in zip(values, self.says, strict=True)], axis=0)
        high = np.min([v + one.tolerance for v, one in zip(values, self.says, strict=True)], axis=0)
        return np.where(low <= high, low / 2 + high / 2, values[0])


class _Plan(NamedTuple):
    """How rows of one pattern are computed."""

    moves: list[tuple[int, list[OfTime]]]  # times whose parts are fixed
    functions: list[Derived]  # computed forward
    steps: list[_Step]  # of sums, in the order of computation

    def run(self, x: Floats, columns: Sequence[Seen], holds: bool, reaches: bool) -> Bools:
        """Compute rows x (n, columns) in place; return which cells were put at their limits.

        They are where the rows ``hold`` something; else such a cell stays as it is. What
        ``reaches`` beyond the limits is taken where the column can represent it.
        """
        drawn = [x[:, time].copy() for time, _ in self.moves]
        for _ in range(_PASSES):
            beyond, changed = np.zeros(x.shape, bool, order="F"), False
            for (time, those), now in zip(self.moves, drawn, strict=True):
                moved = _moved(x, now, those, columns[time])
                changed |= bool((moved != x[:, time]).any())
                x[:, time] = moved
            cut = np.zeros(len(x), bool)  # what comes after it is computed once it is fixed
            for j, computed, margin in [
                *((one.column, one.computed, 0.0) for one in self.functions),
                *((one.pivot, one.computed, one.margin) for one in self.steps),
            ]:
                (low, high), decimals = columns[j].limits, columns[j].decimals
                if reaches:
                    low, high = columns[j].reach or (low, high)
                derived = computed(x)
                derived = derived if decimals is None else np.round(derived, decimals) + 0.0
                there = ~np.isnan(derived)
                inside = (derived >= low) & (derived <= high)
                if holds:
                    beyond[:, j] = there & ~inside & ~cut
                    cut |= beyond[:, j]
                    margin = min(margin, (high - low) / 2)
                    derived = np.where(inside, derived, np.clip(derived, low + margin, high - margin))
                    derived, inside = (
                        derived if decimals is None else np.round(derived, decimals) + 0.0,
                        there,
                    )
                derived = np.where(inside, derived, x[:, j])
                changed |= bool((derived != x[:, j]).any())
                x[:, j] = derived
            if not changed or not (self.functions or self.moves):
                break
        return beyond


def _moved(x: Floats, now: Floats, derived: Sequence[OfTime], column: Seen) -> Floats:
    """Return times now (n,) of rows x (n, columns) moved so that they have the parts that are given."""
    low, high = column.limits
    day, clock = np.floor(now / _DAY), now % _DAY
    for part, seconds, count in (("hour", 3600, 24), ("minute", 60, 60)):
        those = [one for one in derived if one.part == part]
        own: Floats = clock // seconds % count
        if those:
            clock = clock + seconds * (_nearest(x, own, np.arange(count, dtype=float), seconds, those) - own)
    those = [one for one in derived if one.part not in ("hour", "minute")]
    first, last = np.floor(low / _DAY), np.floor(high / _DAY)
    if those and last - first < _DAYS:
        day = _nearest(x, day, np.arange(first, last + 1), _DAY, those)
    moved: Floats = np.clip(day * _DAY + clock, low, high)
    return moved


def _nearest(x: Floats, now: Floats, grid: Floats, seconds: int, derived: Sequence[OfTime]) -> Floats:
    """Return the nearest steps (n,) of the grid at which relations tell what is in rows x (n, columns).

    Where there is none it is the one that is ``now``.
    """
    there = np.column_stack([one.at(grid * float(seconds)) for one in derived])
    given = x[:, [one.column for one in derived]]
    _, code = np.unique(np.concatenate([there, given]), axis=0, return_inverse=True)
    own, target = np.split(code.ravel(), [len(grid)])
    order = np.argsort(own, kind="stable")
    size = float(len(grid) + 2)
    keys = own[order] * size + order
    at = np.searchsorted(keys, target * size + np.clip(now - grid[0], 0, size - 2))
    found, least = now.copy(), np.full(len(now), np.inf)
    for place in (np.maximum(at - 1, 0), np.minimum(at, len(grid) - 1)):
        step = grid[order[place]]
        good = (own[order[place]] == target) & (np.abs(step - now) < least)
        found, least = np.where(good, step, found), np.where(good, np.abs(step - now), least)
    return found


def _planned(group: Sequence[Derived], state: dict[int, int], columns: Sequence[Seen]) -> _Plan:
    """Return how rows are computed in which columns are fixed, missing or free."""
    there = [one for one in group if all(state[j] != _MISSING for j in one.concerns)]
    functions = [one for one in there if not isinstance(one, Sum) and state[one.column] == _FREE]
    derived = {one.column for one in functions}
    sums, moves = [one for one in there if isinstance(one, Sum)], dict[int, list[OfTime]]()
    for one in there:
        if isinstance(one, OfTime) and state[one.time] == _FREE:
            # Where a sum has nothing else that is free, it tells the date, and the date moves the time.
            needed = any(one.column in each.concerns and not _leaves(each, state, derived) for each in sums)
            if state[one.column] == _FIXED or needed:
                moves.setdefault(one.time, []).append(one)
    functions = [one for one in functions if not any(one in those for those in moves.values())]
    derived = {one.column for one in functions}
    free = {j for one in there for j in one.concerns if state[j] == _FREE} - derived - set(moves)
    return _Plan(list(moves.items()), functions, _echelon(sums, free, columns))


def _leaves(one: Sum, state: dict[int, int], derived: set[int]) -> bool:
    """Whether a sum has a free column besides those that follow otherwise."""
    return any(state[j] == _FREE and j not in derived for j in one.concerns)


def _echelon(sums: Sequence[Sum], free: set[int], columns: Sequence[Seen]) -> list[_Step]:
    """Return the steps that solve sums for free columns.

    An equation in which no free column is left says something of the last one that was eliminated from it.
    """
    own = sorted({j for one in sums for j in one.concerns})
    place = {j: k for k, j in enumerate(own)}
    width = np.array([columns[j].width for j in own])
    unit = np.array([columns[j].unit for j in own])
    tolerance = np.array([one.tolerance for one in sums])
    usable = np.array([j in free for j in own], bool)
    whole = [one.is_whole(columns) for one in sums]
    rows = np.zeros((len(sums), len(own) + 1))  # the constant is the last
    for row, one in zip(rows, sums, strict=True):
        row[place[one.column]], row[-1] = 1.0, one.constant
        row[[place[j] for j in one.parts]] = -np.array(one.factors)
    least = _ZERO * np.abs(rows[:, :-1]).max(axis=1, initial=0.0)
    left, done = list(range(len(sums))), list[tuple[int, list[_Expression], float]]()
    while left:
        # An error matters least in a wide column that is fine enough to take it; the one that is derived was
        # chosen for that. Equations that hold without rounding come first, then those that leave the least
        # room.
        able = usable & (rows[:, :-1] != 0)
        size = np.abs(rows[:, :-1])
        finest = np.min(np.where(size > 0, size * unit, np.inf), axis=1)
        fine = able & (size * unit <= 1.0001 * np.maximum(finest, 2 * tolerance)[:, None])
        chosen = np.where(fine.any(axis=1)[:, None], fine, able)
        best = np.argmax(np.where(chosen, size * width, -1.0), axis=1)
        derived = np.array([place[one.column] for one in sums])
        pivot = np.where(able[np.arange(len(sums)), derived], derived, best)
        left = [i for i in left if able[i].any()]
        if not left:
            break
        i = min(left, key=lambda i: (not whole[i], sums[i].tolerance / abs(rows[i, pivot[i]])))
        k = int(pivot[i])
        says = [_Expression.of(own, k, rows[i], sums[i].tolerance)]
        for e in left:
            if e == i or not rows[e, k]:
                continue
            before = rows[e].copy()
            rows[e] -= rows[e, k] / rows[i, k] * rows[i]
            rows[e, :-1][np.abs(rows[e, :-1]) < least[e]] = 0.0
            if not (usable & (rows[e, :-1] != 0) & (np.arange(len(own)) != k)).any() and not whole[i]:
                says.append(_Expression.of(own, k, before, sums[e].tolerance))
        usable[k] = False
        coarse = np.max(usable * np.abs(rows[i, :-1]) * unit) / abs(rows[i, k])
        done.append((k, says, coarse if coarse > unit[k] else 0.0))
        left.remove(i)
    return [_Step(own[k], says, margin) for k, says, margin in reversed(done)]
