"""Are the rows of a table steps of series, such as a row for each patient and visit?

A model draws rows that are independent of each other. It learns of such a table what a single row is like,
and not how one goes on from another.

A table is taken for a panel where a column of text, categories or integers repeats its values, and within
(nearly) every one of them a column of times or integers rises from row to row. Tables are often sorted, and
then much rises; so where the times rise through the whole table, or are few integers, they must also be
(nearly) the same ones for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["panel_note"]

_ROWS = 20_000  # that are looked at
_MOST_UNITS, _MOST_TIMES = 50, 20  # columns that are looked at
_FEWEST, _MANY = 5, 20  # values of the column that repeats them
_REPEATED = 0.8  # of the rows share their value with another
_RISING = 0.95  # of the values
_STEPS = 12  # from row to row
_BALANCED, _SHARED = 0.5, 0.2  # of all pairs of value and time there are


def panel_note(frame: pd.DataFrame) -> str | None:
    """Return what is to be said of a table that looks like a panel; None for all others."""
    found = _panel(frame.iloc[:_ROWS])
    if found is None:
        return None
    unit, time = found
    return (
        f"Rows of the same {unit!r} look like steps of a series, by {time!r}. Rows are modelled as "
        "independent of each other: samples are like single rows, and have no such series. If these matter, "
        f"give one row for each {unit!r}, with a column for each step."
    )


def _panel(frame: pd.DataFrame) -> tuple[Any, Any] | None:
    """Return the column of units and that of times of a panel."""
    units = [(name, codes) for name in frame.columns if (codes := _units(frame[name])) is not None]
    times = [(name, found) for name in frame.columns if (found := _times(frame[name])) is not None]
    for unit, codes in units[:_MOST_UNITS]:
        for time, (x, is_date) in times[:_MOST_TIMES]:
            if time != unit and _rises(codes, x, is_date):
                return unit, time
    return None


def _units(column: pd.Series[Any]) -> NDArray[np.intp] | None:
    """Return numbers (n,) for the values of a column that repeats them, -1 where missing."""
    import pandas as pd

    kind: str | None = kind_of_dtype(dtype_name(column.dtype))
    if kind == "object":
        kind = {"string": "category", "integer": "integer"}.get(pd.api.types.infer_dtype(column, skipna=True))
    if kind not in ("category", "integer"):
        return None
    codes, values = pd.factorize(column)
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    if len(values) < _FEWEST or counts[counts > 1].sum() < _REPEATED * len(column):
        return None
    return np.asarray(codes, dtype=np.intp)


def _times(column: pd.Series[Any]) -> tuple[NDArray[np.float64], bool] | None:
    """Return the times or integers of a column (n,), NaN where missing, and whether they are times."""
    import pandas as pd

    kind = kind_of_dtype(dtype_name(column.dtype))
    if kind == "object" and pd.api.types.infer_dtype(column, skipna=True) in ("date", "datetime"):
        kind, column = "datetime", pd.Series(pd.to_datetime(column, errors="coerce"))
    if kind not in ("datetime", "integer"):
        return None
    codes, _ = pd.factorize(column, sort=True)
    return np.where(codes < 0, np.nan, codes), kind == "datetime"


def _rises(codes: NDArray[np.intp], x: NDArray[np.float64], is_date: bool) -> bool:
    """Whether times x (n,) rise within (nearly) every unit, and not because the table is sorted."""
    there = (codes >= 0) & ~np.isnan(x)
    codes, x = codes[there], x[there]
    order = np.argsort(codes, kind="stable")
    same = np.diff(codes[order]) == 0
    up = np.diff(x[order])[same] > 0
    if len(up) < _STEPS or up.mean() < _RISING:
        return False
    unit = codes[order][1:][same]
    falls = np.bincount(unit, weights=~up, minlength=codes.max() + 1)
    repeated = np.bincount(unit, minlength=codes.max() + 1) > 0
    if (falls[repeated] == 0).mean() < _RISING:
        return False
    steps = np.diff(x)
    if (steps > 0).all():
        return False  # the rows are numbered, or sorted by a time of their own
    k, different = len(np.unique(codes)), len(np.unique(x))
    filled = len(x) / (k * different)
    if filled >= _BALANCED:
        return True
    if (steps >= 0).all() or k < _MANY:
        return False
    return is_date or (2 * different <= len(x) and filled >= _SHARED)
