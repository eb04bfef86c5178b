"""How does a table with holes become one without, for methods that know no holes? By columns that say so.

Numbers and times become floats. An incomplete one is filled with its median, and a column of categories
beside it says where it was missing. A missing category is one more category. On the way back integers are
rounded, and all numbers stay within what was seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from on_tables.contestants.base import is_number

__all__ = ["Plain"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]


class Plain:
    """Numbers x (n, p), and codes c (n, q) of categories, of the rows of a table.

    Parameters
    ----------
    table : DataFrame
        The training rows.

    Attributes
    ----------
    numbers, others : list of str
        Names of the columns of numbers (times among them), and of categories.
    flagged : list of str
        Incomplete numbers; each has a column of two codes after those of the categories: there, missing.
    sizes : list of int
        Number of codes of each column of c. The last code of an incomplete column of categories is: missing.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        self.names, self.dtypes = list(table), table.dtypes
        self.times = [name for name in table if pd.api.types.is_datetime64_any_dtype(table[name])]
        self.numbers = [name for name in table if is_number(table[name]) or name in self.times]
        self.integers = [name for name in self.numbers if pd.api.types.is_integer_dtype(table[name])]
        self.others = [name for name in table if name not in self.numbers]
        self.values = {name: list(pd.unique(table[name].dropna())) for name in self.others}
        self.incomplete = [bool(table[name].isna().any()) for name in self.others]
        x = self._floats(table)
        self.flagged = [name for j, name in enumerate(self.numbers) if np.isnan(x[:, j]).any()]
        self.empty = np.isnan(x).all(axis=0)
        x = np.where(self.empty, 0.0, x)
        self.middle, self.low, self.high = np.nanmedian(x, 0), np.nanmin(x, 0), np.nanmax(x, 0)
        self.sizes = [
            *(len(self.values[name]) + gone for name, gone in zip(self.others, self.incomplete, strict=True)),
            *(2 for _ in self.flagged),
        ]

    def _floats(self, frame: pd.DataFrame) -> Floats:
        columns = []
        for name in self.numbers:
            if name in self.times:
                times = frame[name].astype("datetime64[us]")
                days = times.to_numpy().astype("int64") / 86_400e6
                columns.append(np.where(times.isna(), np.nan, days))
            else:
                columns.append(frame[name].to_numpy(dtype=float, na_value=np.nan))
        return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0))

    def _codes(self, frame: pd.DataFrame) -> Codes:
        """Return the codes of categories; -1 is missing."""
        columns = [pd.Index(self.values[name]).get_indexer(frame[name]) for name in self.others]
        return (
            np.stack(columns, axis=1).astype(np.intp) if columns else np.empty((len(frame), 0), dtype=np.intp)
        )

    def whole(self, frame: pd.DataFrame) -> tuple[Floats, Codes]:
        """Return rows without holes: what is missing is said by codes."""
        x, c = self._floats(frame), self._codes(frame)
        flags = [np.isnan(x[:, self.numbers.index(name)]).astype(np.intp) for name in self.flagged]
        for j, gone in enumerate(self.incomplete):
            if gone:
                c[c[:, j] < 0, j] = self.sizes[j] - 1
        return np.where(np.isnan(x), self.middle, x), np.column_stack([c, *flags]).astype(np.intp)

    def partial(self, frame: pd.DataFrame) -> tuple[Floats, Codes]:
        """Return rows with holes that are to be filled: NaN, and codes of -1."""
        x, c = self._floats(frame), self._codes(frame)
        flags = [np.where(np.isnan(x[:, self.numbers.index(name)]), -1, 0) for name in self.flagged]
        return x, np.column_stack([c, *flags]).astype(np.intp)

    def back(self, x: Floats, c: Codes, holes: bool = True) -> pd.DataFrame:
        """Return the rows in the types of the table; with ``holes``, missing where the codes say so."""
        made: dict[str, Any] = {}
        x = np.clip(x, self.low, self.high)
        for j, name in enumerate(self.numbers):
            own = x[:, j]
            gone = np.full(len(own), self.empty[j])
            if holes and name in self.flagged:
                gone |= c[:, len(self.others) + self.flagged.index(name)] == 1
            if name in self.times:
                times = pd.Series(pd.to_datetime(np.rint(own * 86_400e6).astype("int64"), unit="us"))
                made[name] = times.astype(self.dtypes[name]).mask(gone)
            elif name in self.integers and not gone.any():
                made[name] = np.rint(own).astype(np.int64)
            else:
                made[name] = np.where(gone, np.nan, own)
        for j, name in enumerate(self.others):
            values = np.array([*self.values[name], None], dtype=object)
            codes = np.minimum(c[:, j], len(values) - 1)
            made[name] = pd.Series(values[codes], dtype=self.dtypes[name])
        return pd.DataFrame(made)[self.names]
