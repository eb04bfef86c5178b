r"""Which columns are never above others? Pairs of numbers, or of times, with :math:`a \le b` in all rows.

Where a is far below b in nearly all rows, as an age below an income, an order says nothing: it counts only
if 5% of the rows of independent columns would break it, see also :mod:`~diffuscope.metrics.tabular.rules`.
Orders that follow from two others, or whose columns are in one equation, are left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from diffuscope.metrics.tabular.equations import Numbers
from diffuscope.metrics.tabular.rules import FEWEST, Rule, enough, reduced
from diffuscope.metrics.tabular.tables import Floats, Table

__all__ = ["orders"]

_LEAST = 0.05


def orders(numbers: Numbers, without: Sequence[int], equations: Sequence[set[int]]) -> list[Rule]:
    """Return the orders that hold, but for those of the columns in ``without``."""
    x = numbers.x
    k = x.shape[1]
    found = np.zeros((k, k), dtype=bool)
    shuffled = x[numbers.random.permutation(len(x))]
    for a in range(k):
        own = x[:, [a]]
        n = (~np.isnan(own) & ~np.isnan(x)).sum(axis=0)
        broken, would_be = (own > x).sum(axis=0), (own > shuffled).sum(axis=0)
        possible = (~np.isnan(own) & ~np.isnan(shuffled)).sum(axis=0)
        by_chance = would_be / np.maximum(possible, 1)
        expected = by_chance * n * (by_chance >= _LEAST)
        found[a] = (broken == 0) & (n >= FEWEST) & np.array([enough(e, k * k) for e in expected])
    np.fill_diagonal(found, False)
    found &= numbers.times[:, None] == numbers.times
    found[list(without)] = found[:, list(without)] = False
    for a, b in np.argwhere(found).tolist():
        found[a, b] = not (numbers.whole[:, a] > numbers.whole[:, b]).any()
    return [
        _order(numbers, a, b)
        for a, b in np.argwhere(reduced(found)).tolist()
        if not any({a, b} <= columns for columns in equations)
    ]


def _order(numbers: Numbers, a: int, b: int) -> Rule:
    names = tuple(numbers.table.columns[numbers.places[j]].name for j in (a, b))

    def kept(table: Table) -> Floats:
        x = numbers.of(table)
        return np.where(np.isnan(x[:, a] + x[:, b]), np.nan, x[:, a] <= x[:, b])

    return Rule("order", f"{numbers.name(a)} ≤ {numbers.name(b)}", names, kept)
