"""Which relations hold in all rows of a table, and not by chance?

Each kind has its evidence: how unlikely it is that the rows agree so well if the columns had nothing to do
with each other. A relation that holds in all of n rows holds in all but about 3/n of the rows that the law
gives (with 95% probability), so that little is lost where samples have to keep one that is not a law.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.equations import sums
from diffuscope.data.tables.relations.evidence import FEWEST, NEARLY
from diffuscope.data.tables.relations.kinds import (
    Derived,
    Relation,
    Sum,
)
from diffuscope.data.tables.relations.lookups import determined
from diffuscope.data.tables.relations.rules import different, never_together, orders
from diffuscope.data.tables.relations.times import time_gaps, time_parts
from diffuscope.data.tables.relations.together import Relations
from diffuscope.data.tables.view import Seen

__all__ = ["find_relations"]

_SOME = 10_000  # rows in which relations are looked for; they have to hold in all
_PRODUCTS = 10**9  # of rows, columns and columns; of wide tables fewer rows are looked at


def find_relations(
    x: Floats, columns: Sequence[Seen], labels: Mapping[int, Sequence[Any]] | None = None
) -> Relations:
    """Return the exact relations between columns of rows as numbers x (n, columns).

    ``labels`` are the categories of columns of categories, by the column's number.
    """
    if len(x) < FEWEST:
        return Relations()
    most = min(_SOME, max(FEWEST, _PRODUCTS // max(len(columns), 1) ** 2))
    some = x if len(x) <= most else x[:: -(-len(x) // most)]
    derived: dict[int, Derived] = {}
    for found in (
        time_parts(some, columns),
        time_gaps(some, columns),
        sums(some, columns),
        determined(some, columns, derived),
    ):
        for one in found:
            circular = any(_rests_on(derived, j, one.column, columns) for j in one.sources)
            if one.column not in derived and not circular and _holds(one, x):
                derived[one.column] = one
    rules: list[Relation] = [*orders(some, columns), *never_together(some, columns, derived)]
    rules += different(some, columns, labels or {})
    kept = [one for one in rules if one.kept(x).all()]
    return Relations.model_construct(found=(*_in_order(derived), *kept))


def _holds(one: Relation, x: Floats) -> bool:
    kept = one.kept(x)
    return bool(kept.mean() >= NEARLY if isinstance(one, Sum) else kept.all())


def _rests_on(derived: Mapping[int, Derived], j: int, column: int, columns: Sequence[Seen]) -> bool:
    """Whether column j follows from ``column``, be it through others, or is it."""
    sources = derived[j].sources if j in derived else columns[j].of or ()
    return j == column or any(_rests_on(derived, k, column, columns) for k in sources)


def _in_order(derived: Mapping[int, Derived]) -> list[Derived]:
    """Return relations so that a column is derived before others are from it."""
    placed: dict[int, Derived] = {}

    def place(j: int) -> None:
        if j in derived and j not in placed:
            for k in derived[j].sources:
                place(k)
            placed[j] = derived[j]

    for j in derived:
        place(j)
    return list(placed.values())
