"""How is a column computed of others, in rows that are drawn and in rows whose holes are filled?

Where the computed column is known in a row, and one of the others was drawn for it, an equality that is
linear in that one is solved for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.codec import TableCodec, filled_in
from diffuscope.data.tables.columns.base import Floats, Name
from diffuscope.data.tables.columns.cast import Cast
from diffuscope.data.tables.columns.computed import Computed, in_type, is_within, tolerance
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.numeric import Integer, Number, precision_of
from diffuscope.data.tables.constraints import Rule, as_numbers
from diffuscope.data.tables.frames import Frame
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Equalities", "with_computed"]

_SINGLE, _DOUBLE = 1e-6, 1e-9  # by which floats of single and of double precision may differ


@dataclass(frozen=True)
class Equalities:
    """The equalities of a table, so that what a column is computed of comes before it."""

    features: TableCodec
    rules: tuple[Rule, ...]

    def _place(self, rule: Rule) -> int:
        """Return the number of the computed column."""
        assert rule.computes is not None
        return self.features.names.index(rule.computes)

    def _by_name(self, columns: Sequence[Any]) -> dict[Name, Any]:
        return dict(zip(self.features.names, columns, strict=True))

    def _in_type(self, j: int, x: Floats) -> pd.Series[Any]:
        """Return numbers x (n,) as values of column j."""
        column = self.features.columns[j]
        column = column.inner if isinstance(column, Computed) else column
        assert isinstance(column, Number | Integer | DateTime | Cast)
        return in_type(column, x)

    def compute(self, columns: list[Any], there: NDArray[np.bool_]) -> None:
        """Put computed columns into the place that they have among columns of n rows.

        ``there`` (n, columns) says where there are values; what is computed of missing ones is missing.
        """
        for rule in self.rules:
            j = self._place(rule)
            x = rule.value(self._by_name(columns))
            columns[j] = self._in_type(j, np.where(there[:, j], x, np.nan))

    def complete(self, filled: list[Any], holes: NDArray[np.bool_]) -> None:
        """Put into filled columns what equalities say of those cells (n, columns) that were holes."""
        names = self.features.names
        for rule in reversed(self.rules):
            j = self._place(rule)
            unsolved = ~holes[:, j] & filled[j].notna().to_numpy()
            for i in reversed([names.index(part) for part in rule.parts]):
                unsolved &= ~self._solve(rule, i, filled, holes[:, i] & unsolved)
        for rule in self.rules:
            j = self._place(rule)
            x = rule.value(self._by_name(filled))
            some = holes[:, j] & ~np.isnan(x)
            if some.any():
                filled[j] = filled_in(filled[j], some, self._in_type(j, x[some]))

    def _solve(self, rule: Rule, i: int, filled: list[Any], where: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Solve an equality for column i in some rows (n,); return where that was done."""
        column = self.features.columns[i]
        if not where.any() or not isinstance(column, Number | Integer | DateTime | Cast | Computed):
            return np.zeros(len(where), dtype=bool)
        frame = self._by_name(filled)
        assert rule.computes is not None
        total = as_numbers(frame[rule.computes], rule.computes, rule.text)
        x = rule.solved(frame, self.features.names[i], total)
        some = where & ~np.isnan(x)
        if some.any():
            filled[i] = filled_in(filled[i], some, self._in_type(i, x[some]))
        return some

    def strays(self, holes: Any, filled: Any) -> NDArray[np.bool_]:
        """Return in which rows (n,) a value that may have been solved for is out of its column's range.

        ``holes`` and ``filled`` are pandas tables, before and after.
        """
        found = np.zeros(len(filled), dtype=bool)
        for rule in self.rules:
            known = holes[rule.computes].notna().to_numpy()
            for name in rule.parts:
                made = holes[name].isna().to_numpy() & known
                found |= made & ~is_within(self.features[name], filled[name].reset_index(drop=True))
        return found

    def agree(self, frame: Mapping[Any, Any], rule: Rule) -> NDArray[np.bool_]:
        """Return in which rows (n,) a computed column is what it should be, within its rounding."""
        j = self._place(rule)
        column, name = self.features.columns[j], self.features.names[j]
        assert isinstance(column, Computed)
        x, value = as_numbers(frame[name], name, rule.text), rule.value(frame)
        single = isinstance(column.inner, Number) and precision_of(column.dtype) is not np.float64
        size = (_SINGLE if single else _DOUBLE) * (np.abs(x) + rule.size(frame))
        with np.errstate(invalid="ignore"):
            off = np.abs(x - value) > tolerance(column.inner) * (1 + _SINGLE) + size
        return np.asarray(~off)


def with_computed(features: TableCodec, frame: Frame, rules: Sequence[Rule]) -> TableCodec:
    """Return the codec of a table with the columns that equalities give as computed ones.

    Raises an InputError where a column in an equality is none of the table's, or holds no numbers or times,
    or its type cannot be missing and it is computed of values that are.
    """
    columns, names = list(features.columns), features.names
    place = {name: frame.column(j) for j, name in enumerate(names)}
    for rule in rules:
        for name in rule.columns:
            if name not in place:
                raise InputError(
                    f"The constraint {rule.text!r} computes with the target {name!r}; the target can only be "
                    "compared.",
                    "Omit the constraint, or the target.",
                )
        assert rule.computes is not None
        as_numbers(place[rule.computes], rule.computes, rule.text)
        rule.value(place)  # raises where columns are not numbers
        gaps = np.logical_or.reduce([place[name].isna().to_numpy() for name in rule.parts])
        j = names.index(rule.computes)
        follows = bool((place[rule.computes].isna().to_numpy() == gaps).all())
        column = Computed.of(columns[j], follows, rule.text)
        if gaps.any() and not column.holds_missing:
            raise InputError(
                f"The constraint {rule.text!r} computes {rule.computes!r} of columns with missing values, "
                f"which its type {column.dtype} does not support.",
                "Convert it to floats or to Int64.",
            )
        columns[j] = column
    return TableCodec.model_construct(container=features.container, columns=tuple(columns))
