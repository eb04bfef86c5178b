"""What do the relations of a table say together? How to mend a row, and how many it breaks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Floats, Plain
from diffuscope.data.tables.relations.kinds import AnyRelation, Derived, Relation
from diffuscope.data.tables.relations.solving import connected, mend
from diffuscope.data.tables.view import Seen

__all__ = ["Relations"]

Bools = NDArray[np.bool_]


class Relations(Plain):
    """Exact relations between the columns of rows as numbers (n, columns).

    Those that tell a column stand in such an order that a column comes before what it is used for.
    """

    found: Annotated[tuple[AnyRelation, ...], Field(max_length=10_000)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        derived = [one.column for one in self.derived]
        for i, one in enumerate(self.derived):
            if one.column in derived[:i] or set(one.sources) & set(derived[i:]):
                raise ValueError("a column is derived once, before others are from it")
        return self

    @property
    def derived(self) -> list[Derived]:
        """The relations that tell a column."""
        return [one for one in self.found if isinstance(one, Derived)]

    def check_columns(self, count: int) -> None:
        """Raise a ValueError where a relation is about a column that is not there."""
        if any(j >= count for one in self.found for j in one.concerns):
            raise ValueError("relations are between columns of the table")

    def mended(self, x: Floats, fixed: Bools, columns: Sequence[Seen]) -> tuple[Floats, Bools]:
        """Return rows (n, columns) that keep the relations which tell a column, and where they changed.

        What is ``fixed``, shape (n, columns), or missing, stays as it is: of a sum whose total is fixed
        another part is computed in its place. Nothing is computed beyond the limits of a column. See
        :mod:`~diffuscope.data.tables.relations.solving`.
        """
        x, before = x.copy(), x
        derived = {one.column for one in self.derived}
        computed = [one.of is not None and j not in derived for j, one in enumerate(columns)]
        fixed = fixed | np.array(computed, bool)
        for group in connected(self.derived):
            mend(group, x, fixed, columns)
        return x, (x != before) & ~np.isnan(before)

    def broken(self, x: Floats) -> NDArray[np.intp]:
        """Return how many relations each row breaks, shape (n,)."""
        return _count(self.found, x)

    def beyond(self, x: Floats) -> NDArray[np.intp]:
        """Return how many columns of each mended row could not be derived within their limits, shape (n,)."""
        return _count(self.derived, x)

    def worth_keeping(self, x: Floats, share: float) -> Relations:
        """Return those of the relations that at least this ``share`` of a model's rows x (n, columns) keep.

        The ones that most rows break, of those that tell no column, are left out: rows would have to be drawn
        again and again.
        """
        rules = [one for one in self.found if not isinstance(one, Derived)]
        kept = np.array([one.kept(x) for one in rules]).reshape(len(rules), len(x))
        left = list(range(len(rules)))
        while left and kept[left].all(axis=0).mean() < share:
            left.remove(min(left, key=lambda k: float(kept[k].mean())))
        return Relations.model_construct(found=(*self.derived, *(rules[k] for k in left)))

    def words(self, names: Sequence[Any]) -> list[str]:
        """Return a sentence for each relation."""
        return [one.words(names) for one in self.found]


def _count(relations: Sequence[Relation], x: Floats) -> NDArray[np.intp]:
    count = np.zeros(len(x), dtype=np.intp)
    for one in relations:
        count += ~one.kept(x)
    return count
