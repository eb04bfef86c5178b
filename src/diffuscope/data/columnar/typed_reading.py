"""How do the rows of a file come as they are: numbers, truth values, text and times, with holes?

Text files do not say what their columns are. Here a column is what all its cells are: integers, floats,
truth values (``True``, ``false``), times by ISO 8601 (``2020-03-29``, ``2020-03-29T12:30:00+02:00``), or else
text. An empty cell is a hole, and in numbers and truth values ``NA``, ``nan``, ``null`` and their like are as
well; in text they are words.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from diffuscope.data.columnar.arrays import Columns, check_names, names_of
from diffuscope.data.columnar.reading import read_raw
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_rows"]

_DAY = r"\d{4}-\d\d-\d\d"
_TIME = rf"{_DAY}(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{{1,9}})?)?(?P<zone>Z|[+-]\d\d:?\d\d)?)?"
_ENOUGH = 100  # cells that show whether a column may be one of times


def read_rows(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table with its columns as they are.

    Parameters
    ----------
    path : str or path
        A file that :func:`~diffuscope.data.columnar.read_table` reads. A .csv or .tsv file has a header
        unless its first line is all numbers.

    Returns
    -------
    DataFrame of shape (n, d)
        Its columns are numbered from 0 where the file has no names. Of text files: int64, float64, bool,
        str and datetime64 (in UTC where the cells have zones); Int64 and boolean where there are holes. Of
        arrays and Parquet files: the types they have, but Int8 to UInt64 and boolean where there are holes.

    Raises
    ------
    InputError
        When the file is not there, is empty, its format is unknown, or two columns have one name.
    FormatError
        When the file is corrupt, truncated or not what its suffix says.
    """
    values, columns = read_raw(Path(path), typed=True)
    frame = _as_frame(values, str(path), columns)
    if not frame.shape[0] or not frame.shape[1]:
        raise InputError(
            f"{path} is empty: {frame.shape[0]} rows, {frame.shape[1]} columns.", "Give at least one row."
        )
    if Path(path).suffix.lower() in (".csv", ".tsv"):
        for j in range(frame.shape[1]):
            frame.isetitem(j, _settled(frame.iloc[:, j]).array)
    return frame


def _as_frame(values: Any, where: str, columns: Columns) -> pd.DataFrame:
    import pandas as pd

    if isinstance(values, pd.DataFrame):
        frame = values.reset_index(drop=True)
    elif values.dtype.names is not None and values.ndim == 1:
        frame = pd.DataFrame({name: _native(values[name]) for name in values.dtype.names})
    elif values.ndim in (1, 2):
        frame = pd.DataFrame(_native(values[:, None] if values.ndim == 1 else values))
    else:
        raise InputError(
            f"{where} has {values.ndim} dimensions (shape {values.shape}), not the two of a table.",
            "Give an array of shape (n, d): one row per observation, one column per variable.",
        )
    columns = names_of(frame) if columns is None else columns
    check_names(columns, frame.shape[1], where)
    frame.columns = pd.RangeIndex(frame.shape[1]) if columns is None else pd.Index(columns)
    return frame


def _native(array: Any) -> Any:
    """Return an array of a type that pandas takes."""
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "f" and size > 8:
        return array.astype(np.float64)
    if kind in "US":
        return array.astype(object)
    if kind in "M" and np.datetime_data(array.dtype)[0] not in ("s", "ms", "us", "ns"):
        return array.astype("M8[s]")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _settled(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of a text file in its own type, numpy's where it has no holes."""
    import pandas as pd

    gaps, dtype = column.isna(), cast("Any", column.dtype)
    if pd.api.types.is_string_dtype(column.dtype) and not gaps.all():
        return _as_times(column)
    if gaps.all() or pd.api.types.is_float_dtype(column.dtype):
        return pd.Series(column.to_numpy(dtype=np.float64, na_value=np.nan), index=column.index)
    return column if gaps.any() else column.astype(dtype.numpy_dtype)


def _as_times(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column of text as times where all its cells are; as it is where not."""
    import pandas as pd

    present = column.dropna()
    if not present.iloc[:_ENOUGH].str.fullmatch(_TIME).all() or not present.str.fullmatch(_TIME).all():
        return column
    zoned = present.str.contains(r"Z|[+-]\d\d:?\d\d$", regex=True) & (present.str.len() > len("2020-01-01"))
    if zoned.any() and not zoned.all():
        return column
    try:
        times = pd.to_datetime(column, format="ISO8601", utc=bool(zoned.any()))
    except ValueError:  # the 31st of June, or a year beyond pandas' range
        return column
    micro = times.dt.as_unit("us")
    return micro if (micro == times)[times.notna()].all() else times
