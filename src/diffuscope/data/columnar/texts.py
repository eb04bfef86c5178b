"""How are rows written as text, so that reading finds the same values in the same types?

Floats have a point or an exponent and the shortest digits that give the same float again; truth values are
``True`` and ``False``, times ISO 8601, in UTC where they have a zone; text is quoted where it must be. A
missing value is an empty cell, and ``nan`` where there is no header that could tell the first row from one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["cell_of", "text_of"]

_UNSAFE = re.compile(r'["\r\n]|^\s|\s$')


def text_of(frame: pd.DataFrame, separator: str, named: bool) -> bytes:
    """Return the rows of a DataFrame as lines of text.

    Parameters
    ----------
    frame : DataFrame of shape (n, d)
    separator : str
    named : bool
        Whether the file has a header.
    """
    missing = "nan" if not named else '""' if frame.shape[1] == 1 else ""  # no line may be empty
    cells = []
    for _, column in frame.items():
        texts = _texts(column, separator)
        for row in np.flatnonzero(column.isna().to_numpy()).tolist():
            texts[row] = missing
        cells.append(texts)
    lines = [separator.join(row) for row in zip(*cells, strict=True)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8")


def _texts(column: pd.Series[Any], separator: str) -> list[str]:
    """Return the cells of a column; anything where a value is missing."""
    from pandas.api import types

    dtype: Any = column.dtype
    if types.is_float_dtype(dtype):
        plain = getattr(dtype, "numpy_dtype", dtype)
        floats = column.to_numpy(dtype=plain, na_value=np.nan)
        # The shortest digits among floats of this size; those of float64 are Python's.
        return list(map(repr, floats.tolist()) if plain.itemsize == 8 else map(str, floats))
    if types.is_datetime64_any_dtype(dtype):
        return _moments(column)
    if types.is_bool_dtype(dtype) or types.is_integer_dtype(dtype):
        return list(map(str, column.tolist()))
    return [cell_of(text, separator) for text in map(str, column.tolist())]


def cell_of(text: str, separator: str) -> str:
    """Return text as a cell: in quotes where a reader would end it, or strip it, too early."""
    if separator in text or _UNSAFE.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


def _moments(column: pd.Series[Any]) -> list[str]:
    """Return times by ISO 8601, no finer than they are; days where all are midnights without a zone."""
    zoned = column.dt.tz is not None
    times = (column.dt.tz_convert("UTC").dt.tz_localize(None) if zoned else column).to_numpy()
    times = times.astype("M8[us]") if times.dtype.kind != "M" else times
    known = times[~np.isnat(times)]
    units = ["s" if zoned else "D", "s", "ms", "us"]
    unit: Any = next((unit for unit in units if (known.astype(f"M8[{unit}]") == known).all()), "ns")
    return [f"{text}+00:00" if zoned else text for text in np.datetime_as_string(times, unit=unit).tolist()]
