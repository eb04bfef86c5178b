"""How does a judge see rows? As numbers: values, days, and codes of categories by their frequency.

Everything is learned from the training rows, so that all judges see all contestants alike.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["View"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_DISTINCT = 20  # a column of at most so many different values is looked at value by value
_COARSE = 8
_GRID = 50
_DAY = 86_400.0


class View:
    """Columns of training rows, as a judge sees them.

    Parameters
    ----------
    train : DataFrame of shape (n, d)

    Attributes
    ----------
    names : list of str
    kinds : list of str
        "category", "time" or "number", one a column.
    x : array (n, d)
        The training rows; NaN is missing.
    listed : array of bool (d,)
        Whether a column is looked at value by value.
    """

    def __init__(self, train: pd.DataFrame) -> None:
        self.names = list(train)
        self.kinds = [_kind(train[name]) for name in self.names]
        self.codes: dict[str, dict[str, int]] = {}
        for name, kind in zip(self.names, self.kinds, strict=True):
            if kind == "category":
                values = train[name].dropna().astype(str)
                self.codes[name] = {value: i for i, value in enumerate(values.value_counts().index)}
        self.x = self.encode(train)
        self.sizes = [len(np.unique(x[~np.isnan(x)])) for x in self.x.T]
        numbers = np.array([kind != "category" for kind in self.kinds])
        self.listed = ~numbers | (np.array(self.sizes) <= _DISTINCT)

    def encode(self, rows: pd.DataFrame) -> Floats:
        """Return rows as an array (n, d); a category that training rows do not have is one more code."""
        made = np.empty((len(rows), len(self.names)))
        for j, (name, kind) in enumerate(zip(self.names, self.kinds, strict=True)):
            column = rows[name]
            if kind == "category":
                known = self.codes[name]
                codes = [known.get(value, len(known)) for value in column.astype(str)]
                made[:, j] = np.where(column.isna(), np.nan, np.array(codes, dtype=float))
            elif kind == "time":
                times = pd.to_datetime(column).astype("datetime64[us]")
                seconds = times.to_numpy().astype("int64") / 1e6
                made[:, j] = np.where(times.isna(), np.nan, seconds / _DAY)
            else:
                made[:, j] = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        return made

    def features(self, x: Floats) -> Floats:
        """Return the array for trees: times say their weekday and their moment of the day as well."""
        parts = [x]
        for j, kind in enumerate(self.kinds):
            if kind == "time":
                parts.append(np.column_stack([np.floor(x[:, j]) % 7, x[:, j] % 1]))
        return np.hstack(parts)

    def bins(self, x: Floats, coarse: bool = True) -> Ints:
        """Return in which bin each value lies, shape (n, d); a missing value lies in the last.

        Numbers lie between quantiles of the training rows, or have a bin a value where there are few; rare
        categories share a bin. Coarse bins are for pairs of columns.
        """
        made = np.empty(x.shape, dtype=np.intp)
        most = _COARSE if coarse else _GRID
        for j, kind in enumerate(self.kinds):
            own = self.x[:, j]
            own = own[~np.isnan(own)]
            values = np.nan_to_num(x[:, j])
            if kind == "category":
                places = np.minimum(values, most - 1 if coarse else np.inf).astype(np.intp)
                count = min(self.sizes[j] + 1, most) if coarse else self.sizes[j] + 1
            else:
                edges = self._edges(own, most)
                places, count = np.searchsorted(edges, values, side="right"), len(edges) + 1
            made[:, j] = np.where(np.isnan(x[:, j]), count, places)
        return made

    @staticmethod
    def _edges(own: Floats, most: int) -> Floats:
        """Return the inner edges of the bins of a column."""
        distinct = np.unique(own)
        if len(distinct) <= most:
            return (distinct[1:] + distinct[:-1]) / 2
        return np.unique(np.quantile(own, np.linspace(0, 1, most + 1)[1:-1], method="inverted_cdf"))

    def ranks(self, x: Floats) -> Floats:
        """Return numbers as their share of smaller training values, half of the equal ones included."""
        made = x.copy()
        for j, kind in enumerate(self.kinds):
            own = np.sort(self.x[~np.isnan(self.x[:, j]), j])
            if kind != "category" and len(own):
                low = np.searchsorted(own, x[:, j], side="left")
                high = np.searchsorted(own, x[:, j], side="right")
                made[:, j] = np.where(np.isnan(x[:, j]), np.nan, (low + high) / (2 * len(own)))
        return made


def _kind(column: pd.Series) -> str:
    if pd.api.types.is_datetime64_any_dtype(column):
        return "time"
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    return "number" if numeric else "category"
