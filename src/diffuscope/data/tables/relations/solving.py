r"""How are rows made to keep relations that share columns, when some columns are fixed?

Rows in which the same columns are fixed and the same are missing have one plan. Their sums are a system of
linear equations :math:`A x = c` in the columns that are free. It is brought into echelon form: the pivot of
each equation is the column that takes its error, and is computed from the others, the last one first. Each is
rounded before it enters the next, and equations that hold without rounding come last, so that they hold
exactly. Columns that are functions of others by a list or a calendar are computed forward.

A column that would be beyond its limits is put at the limit and fixed, and another one takes the error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.kinds import Derived, Sum
from diffuscope.data.tables.view import Seen

__all__ = ["connected", "mend"]

_FREE, _FIXED, _MISSING = 0, 1, 2
_ATTEMPTS = 6  # columns of a row that are put at their limits
_PASSES = 8  # through functions that rest on sums, and sums that rest on functions
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
    rows = np.arange(len(x))
    for _ in range(_ATTEMPTS):
        again = []
        for pattern, some in _by_pattern(state, rows):
            plan = _planned(group, dict(zip(own, pattern.tolist(), strict=True)), columns)
            # Only the columns of the group are read: of a wide table the others take no memory.
            part = np.empty((len(some), x.shape[1]), order="F")
            part[:, own] = x[np.ix_(some, own)]
            beyond = plan.run(part, columns, bool((pattern == _FIXED).any()))
            x[np.ix_(some, own)] = part[:, own]
            beyond = beyond[:, own]
            state[some] = np.where(beyond, _FIXED, state[some])
            again.append(some[beyond.any(axis=1)])
        rows = np.concatenate(again) if again else rows[:0]
        if not len(rows):
            break


def _by_pattern(state: NDArray[np.int8], rows: Ints) -> list[tuple[NDArray[np.int8], Ints]]:
    """Return the distinct states (k,) of rows, each with its rows."""
    patterns, at = np.unique(state[rows], axis=0, return_inverse=True)
    at = at.ravel()
    order = np.argsort(at, kind="stable")
    parts = np.split(rows[order], np.flatnonzero(np.diff(at[order])) + 1)
    return list(zip(patterns, parts, strict=True)) if len(rows) else []


class _Step(NamedTuple):
    """Column ``pivot`` is the constant less ``others`` times ``factors``."""

    pivot: int
    others: list[int]
    factors: Floats
    constant: float


class _Plan(NamedTuple):
    """How rows of one pattern are computed."""

    functions: list[Derived]  # computed forward
    steps: list[_Step]  # of sums, in the order of computation

    def run(self, x: Floats, columns: Sequence[Seen], holds: bool) -> Bools:
        """Compute rows x (n, columns) in place; return which cells were put at their limits.

        They are where the rows ``hold`` something; else such a cell stays as it is.
        """
        beyond = np.zeros(x.shape, bool, order="F")

        def put(j: int, told: Floats) -> bool:
            (low, high), decimals = columns[j].limits, columns[j].decimals
            told = told if decimals is None else np.round(told, decimals) + 0.0
            inside = (told >= low) & (told <= high)
            if holds:
                beyond[:, j] = ~inside & ~np.isnan(told)
                told, inside = np.clip(told, low, high), ~np.isnan(told)
            told = np.where(inside, told, x[:, j])
            changed = bool((told != x[:, j]).any())
            x[:, j] = told
            return changed

        for _ in range(_PASSES):
            changed = [put(one.column, one.computed(x)) for one in self.functions]
            for step in self.steps:
                put(step.pivot, step.constant - x[:, step.others] @ step.factors)
            if not any(changed):
                break
        return beyond


def _planned(group: Sequence[Derived], state: dict[int, int], columns: Sequence[Seen]) -> _Plan:
    """Return how rows are computed in which columns are fixed, missing or free."""
    there = [one for one in group if all(state[j] != _MISSING for j in one.concerns)]
    functions = [one for one in there if not isinstance(one, Sum) and state[one.column] == _FREE]
    told = {one.column for one in functions}
    free = {j for one in there for j in one.concerns if state[j] == _FREE} - told
    sums = sorted((one for one in there if isinstance(one, Sum)), key=lambda one: not one.is_whole(columns))
    return _Plan(functions, _echelon(sums, free, columns))


def _echelon(sums: Sequence[Sum], free: set[int], columns: Sequence[Seen]) -> list[_Step]:
    """Return the steps that solve sums for free columns; those that no free column is left in are left out."""
    own = sorted({j for one in sums for j in one.concerns})
    place = {j: k for k, j in enumerate(own)}
    width = np.array([columns[j].width for j in own])
    usable = np.array([j in free for j in own], bool)
    done: list[tuple[int, Floats]] = []
    for one in sums:
        row = np.zeros(len(own) + 1)  # the constant is the last
        row[place[one.column]], row[-1] = 1.0, one.constant
        row[[place[j] for j in one.parts]] = -np.array(one.factors)
        least = _ZERO * np.abs(row[:-1]).max()
        for k, made in done:
            row = row - row[k] * made
        row[:-1][np.abs(row[:-1]) < least] = 0.0
        able = usable & (row[:-1] != 0)
        if not able.any():
            continue
        # An error matters least in a wide column; the one that is told was chosen for that.
        k = place[one.column]
        k = k if able[k] else int(np.argmax(np.where(able, np.abs(row[:-1]) * width, -1.0)))
        usable[k] = False
        done.append((k, row / row[k]))
    steps = []
    for k, row in reversed(done):
        others = [i for i in np.flatnonzero(row[:-1]) if i != k]
        steps.append(_Step(own[k], [own[i] for i in others], row[:-1][others], float(row[-1])))
    return steps
