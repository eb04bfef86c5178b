"""What is a usable table of numbers, and how does one come out of an array, a tensor or a DataFrame.

A table is x of shape (n, d), float64, n >= 2 rows, d >= 1 columns, every value finite and no column
constant. Whatever does not fit is named: where it came from, the column, the first bad rows, what to do.
"""

from __future__ import annotations

import numbers
import sys
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from diffuscope.errors import FormatError, InputError

__all__ = [
    "MISSING_WORDS",
    "Columns",
    "Table",
    "as_numbers",
    "as_table",
    "check_block",
    "check_names",
    "check_varied",
    "is_frame",
    "names_of",
    "native",
    "two_dimensional",
]

Columns = tuple[str, ...] | None
Table = npt.NDArray[np.float64]

MISSING_WORDS = [
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A"),
    *("NA", "NULL", "NaN", "None", "n/a", "nan", "null", "?", "-"),
]
"""What stands for a missing value in text."""

# The square of a larger value overflows float64, and with it the variance of its column.
_LARGEST = 1e150


def as_table(
    values: Any, where: str, columns: Columns = None, constant: bool = False
) -> tuple[Table, Columns]:
    """Return ``values`` as x of shape (n, d), a C-contiguous copy, and the names of its columns.

    ``values`` is array-like of shape (n,) or (n, d), a tensor or a DataFrame; booleans count as 0 and 1, and
    the fields of a structured array are columns. Messages call it ``where``. Without ``columns`` the names
    are those of a DataFrame or a structured array. An InputError says what is unusable; columns of one value
    are, unless they may be ``constant``.
    """
    if is_frame(values):
        x, columns = _from_frame(values, where, columns)
    else:
        x, columns = _from_array(_to_numpy(values, where), where, columns)
    check_names(columns, x.shape[1], where)
    _check_values(x, columns, where, constant)
    return x, columns


def is_frame(values: Any) -> bool:
    """Whether ``values`` is a pandas DataFrame or Series; does not import pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(values, pandas.DataFrame | pandas.Series)


def names_of(frame: Any) -> Columns:
    """Return the names of a DataFrame's columns; None where it numbers them."""
    if list(frame.columns) == list(range(frame.shape[1])):
        return None
    return tuple(map(str, frame.columns))


def two_dimensional(array: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    """Return an array of shape (n,) or (n, d) as one of shape (n, d); an InputError for any other."""
    if array.ndim not in (1, 2):
        raise InputError(
            f"{where} has {array.ndim} dimensions (shape {array.shape}), not the two of a table.",
            "Give an array of shape (n, d): one row per observation, one column per variable.",
        )
    return array[:, None] if array.ndim == 1 else array


def native(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array of a type that pandas takes: text as objects, days as seconds."""
    kind = array.dtype.kind
    if kind == "f" and array.dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # infinite values are refused later
            return array.astype(np.float64)
    if kind in "USTO":
        return array.astype(object, copy=False)
    if kind == "M" and np.datetime_data(array.dtype)[0] not in ("s", "ms", "us", "ns"):
        return array.astype("M8[s]")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _to_numpy(values: Any, where: str) -> npt.NDArray[Any]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(values, torch.Tensor):
        if values.layout != torch.strided:
            raise InputError(f"{where} is sparse.", "Pass x.to_dense().")
        values = values.detach().cpu()
        # numpy has no bfloat16
        values = values.double().numpy() if values.is_floating_point() else values.numpy()
    if isinstance(values, np.ma.MaskedArray):  # asarray would show what lies under the mask
        values = np.ma.filled(values.astype(np.float64), np.nan)
    try:
        return np.asarray(values)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{where} has rows that are not of the same length: {str(error).rstrip('.')}.",
            "Give every row the same number of values: shape (n, d).",
        ) from error


def _from_array(array: npt.NDArray[Any], where: str, columns: Columns) -> tuple[Table, Columns]:
    data: Any = array
    if array.dtype.names is not None and array.ndim == 1:
        data = {name: array[name] for name in array.dtype.names}
    else:
        data = two_dimensional(array, where)
        if array.dtype.kind in "biuf":
            with np.errstate(over="ignore"):  # a long double may become inf, which is then reported as such
                return np.array(data, dtype=np.float64, order="C"), columns
        if array.dtype.kind == "c":
            raise InputError(
                f"{where} contains complex numbers.", "Give real and imaginary parts as two columns."
            )
    import pandas as pd

    return _from_frame(pd.DataFrame(data), where, columns)  # pandas knows which objects are numbers


def as_numbers(frame: Any, where: str, columns: Columns) -> Table:
    """Return the columns of a DataFrame as numbers (n, d), NaN where missing; else an InputError."""
    return _from_frame(frame, where, columns)[0]


def _from_frame(frame: Any, where: str, columns: Columns) -> tuple[Table, Columns]:
    import pandas as pd

    frame = frame.to_frame() if isinstance(frame, pd.Series) else frame
    columns = names_of(frame) if columns is None else columns
    check_names(columns, frame.shape[1], where)
    x = np.empty(frame.shape, dtype=np.float64)
    text = []
    for j in range(frame.shape[1]):
        series = frame.iloc[:, j]
        plain = series
        if not pd.api.types.is_numeric_dtype(series.dtype) or pd.api.types.is_complex_dtype(series.dtype):
            bad = _not_numbers(series)
            if bad.any():
                row = int(bad.argmax())
                value = series.iloc[row]
                shown = repr(value) if isinstance(value, str) else value
                text.append(f"{_label(columns, j)}, such as {shown} in row {row}")
                continue
            plain = pd.to_numeric(series, errors="coerce")
        x[:, j] = plain.to_numpy(dtype=np.float64, na_value=np.nan)
    if text and len(frame):
        raise InputError(
            f"{where} has values that are not numbers, rows counted from 0: {_some(text, '; ')}.",
            "Drop these columns or encode them as numbers (one 0/1 column per category, a date as days).",
        )
    return x, columns


def _not_numbers(series: Any) -> npt.NDArray[np.bool_]:
    """Return which values of a column that is not numeric to show, shape (n,)."""
    import pandas as pd

    present: npt.NDArray[np.bool_] = series.notna().to_numpy(dtype=bool)
    if series.dtype == object:
        return present & [not isinstance(value, numbers.Real | Decimal) for value in series]
    if isinstance(series.dtype, pd.StringDtype):
        # In a column of numbers with one stray word, the word is what the user must find.
        stray = present & pd.to_numeric(series, errors="coerce").isna().to_numpy()
        words = stray & ~series.isin(MISSING_WORDS).to_numpy()
        return next((rows for rows in (words, stray) if rows.any()), present)
    return present


def check_names(columns: Columns, width: int, where: str) -> None:
    """Raise an error unless there are ``width`` names, all distinct, or none at all."""
    if columns is None:
        return
    if len(columns) != width:
        raise FormatError(
            f"{where} names {len(columns)} columns, but its rows have {width} values.",
            "Give every column one name, and every row one value per column.",
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise InputError(
            f"{where} has several columns named {_some(map(repr, twice))}.", "Rename or drop one of them."
        )


def _check_values(x: Table, columns: Columns, where: str, may_be_constant: bool) -> None:
    n, d = x.shape
    if n == 0 or d == 0:
        raise InputError(f"{where} is empty: {n} rows, {d} columns.", "Give at least two rows of numbers.")
    if n == 1:
        raise InputError(f"{where} has only one row.", "Give at least two rows.")
    low, high = check_block(x, columns, where)
    if not may_be_constant:
        check_varied(low, high, columns, where)


def check_varied(low: Any, high: Any, columns: Columns, where: str) -> None:
    """Raise an InputError where the least and the greatest value (d,) of a column are the same."""
    constant = [_label(columns, j) for j in np.flatnonzero(low == high).tolist()]
    if constant:
        raise InputError(
            f"{where} has the same value in every row of {_some(constant)}.", "Remove the column."
        )


def check_block(x: npt.NDArray[Any], columns: Columns, where: str, first: int = 0) -> tuple[Any, Any]:
    """Return the least and the greatest value (d,) of rows (n, d), of which ``first`` is the number of one.

    InputError where some are missing, infinite or too large.
    """
    low, high = x.min(axis=0), x.max(axis=0)  # NaN comes through both
    least, most = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    if not (np.all(least >= -_LARGEST) and np.all(most <= _LARGEST)):
        large, rescale = f"too large (above {_LARGEST:.0e})", "Their squares overflow: rescale these columns."
        for bad, what, hint in (
            (np.isnan(x), "missing (NaN)", "Drop these rows or columns, or fill the gaps first."),
            (np.isinf(x), "infinite", "Drop these rows, or replace the values by finite ones."),
            (np.abs(x) > np.float64(_LARGEST), large, rescale),
        ):
            places = []
            for j in np.flatnonzero(bad.any(axis=0)).tolist():
                rows = first + np.flatnonzero(bad[:, j])
                noun = "row" if len(rows) == 1 else "rows"
                places.append(f"{len(rows)} in {_label(columns, j)}, {noun} {_some(map(str, rows), most=3)}")
            if places:
                count = int(bad.sum())
                raise InputError(
                    f"{where} has {count} {what} value(s), rows counted from 0: {_some(places, '; ')}.", hint
                )
    return low, high


def _label(columns: Columns, j: int) -> str:
    return f"column {j} (counted from 0)" if columns is None else f"column {columns[j]!r}"


def _some(items: Iterable[str], separator: str = ", ", most: int = 5) -> str:
    items = list(items)
    return separator.join(items[:most] + (["…"] if len(items) > most else []))
