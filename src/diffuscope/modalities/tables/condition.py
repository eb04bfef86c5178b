"""What is known of rows that are to be sampled? Coordinates, columns, and which values there are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables import RowCodec
from diffuscope.model import Rows

__all__ = ["TableCondition"]

Floats = NDArray[np.float64]


class TableCondition(NamedTuple):
    """What is known of rows."""

    known: Floats  # coordinates (n, D), NaN where unknown; one row may stand for n: memory stays flat
    absent: NDArray[np.bool_]  # (D,): coordinates that are left out where they are not known
    columns: dict[Any, Any]  # names of columns, None for y, to given values (n,), or (1,) for all rows
    present: NDArray[np.bool_] | None = None  # (n, p): which values there are, once that is drawn

    @classmethod
    def empty(cls, rows: RowCodec) -> TableCondition:
        """Return that of rows of which nothing is known."""
        return cls(np.full((1, rows.width), np.nan), np.zeros(rows.width, bool), {})

    @property
    def is_of_all(self) -> bool:
        """Whether the same is known of all rows."""
        return len(self.known) == 1

    def tells_apart(self, rows: RowCodec) -> bool:
        """Whether it says more than which values there are, or another thing of each row."""
        if self.present is not None or not self.is_of_all:
            return True
        return bool((~np.isnan(self.known) & ~rows.is_presence).any())

    def of(self, which: NDArray[np.intp]) -> TableCondition:
        """Return what is known of some of the rows."""
        return TableCondition(
            self.known if self.is_of_all else self.known[which],
            self.absent,
            {
                name: values if len(values) == 1 else values.iloc[which].reset_index(drop=True)
                for name, values in self.columns.items()
            },
            None if self.present is None else self.present[which],
        )

    def coordinates(self, rows: RowCodec, n: int, which: Rows | slice) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the known coordinates of some of n rows, (m, D), and which are absent, (m, D)."""
        known = np.array(np.broadcast_to(self.known, (n, self.known.shape[1]))[which])
        absent = np.tile(self.absent, (len(known), 1))
        if self.present is not None:
            present = self.present[which]
            known[:, rows.is_presence] = rows.encode_presence(present)
            for i, values in enumerate(rows.values_of):
                absent[np.ix_(~present[:, i], values)] = True
        return known, absent
