"""What do users call a target y, and how do messages speak of it?

It is a table of one column, with the name of its own if it has one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from diffuscope.data.tables.columns.base import Name
from diffuscope.data.tables.frames import Frame, read_frame
from diffuscope.data.tables.values import label
from diffuscope.errors import InputError

__all__ = ["as_table", "check_lengths", "is_one", "read_target", "speaking_of_y", "without_row"]

_HINT = "Give one target per row."
_IN_A_ROW = (", first in row 0 (counted from 0)", " in row 0 (counted from 0)")
# What messages say of columns, and of a y.
_SAID = {
    "the columns to these types": "y to this type",
    "Remove the column": "Omit y",
    "remove the column": "omit y",
    "the column is": "y is",
    "its column": "y",
    "the column": "y",
    "column.": "y.",
    "Give a DataFrame, an array of shape (n, d) or a list of rows.": "Give one number, text or time per row.",
    "the table was fitted": "the model was fitted",
    "fit on a table that has it": "fit with a y that has it",
}


def is_one(value: Any) -> bool:
    """Whether a value is one for all rows, and not one for each."""
    if hasattr(value, "__array__"):
        return getattr(value, "ndim", 1) == 0
    return isinstance(value, str | bytes) or np.ndim(value) == 0


def as_table(y: Any, name: Name | None = None) -> Any:
    """Return a target (n,) as a table of one column, under this name or its own where it has one.

    Raises an InputError where it is of another shape.
    """
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(y, pandas.Series | pandas.Index):
        own = "y" if y.name is None else y.name
        return y.to_frame(name=own if name is None else name)
    if pandas is not None and isinstance(y, pandas.api.extensions.ExtensionArray):
        return pandas.DataFrame({"y" if name is None else name: y})
    if polars is not None and isinstance(y, polars.Series):
        y = y.to_frame()
    if isinstance(y, list | tuple):
        return [list(row) if isinstance(row, list | tuple) else [row] for row in y]
    if hasattr(y, "toarray"):
        raise InputError("y is sparse.", "Make it dense: y.toarray().ravel().")
    column = y if hasattr(y, "columns") else np.asarray(y)
    if getattr(column, "ndim", 2) == 1:
        column = column[:, None]
    if column.shape[1:] != (1,):
        raise InputError(
            f"y should be a 1d array, got an array of shape {column.shape} instead.",
            _HINT if column.shape else "Give a list, an array or a Series of one target per row.",
        )
    if name is not None and hasattr(column, "columns"):
        if pandas is not None and isinstance(column, pandas.DataFrame):
            return column.set_axis([name], axis=1)
        if polars is not None and isinstance(column, polars.DataFrame):
            return column.rename({column.columns[0]: str(name)})
    return column


def read_target(y: Any, n: int) -> tuple[Any, Frame]:
    """Return a target of n rows as a table of one column, and read.

    Raises an InputError, which speaks of y, where it is of another length or shape, or no value is there.
    """
    with speaking_of_y(None):
        if isinstance(y, list | tuple):
            check_lengths(n, len(y))
        table = as_table(y)
        frame = read_frame(table)
    if frame.data.shape[1] != 1:
        raise InputError(f"y should be a 1d array, got an array of shape {frame.data.shape} instead.", _HINT)
    check_lengths(n, frame.n)
    if not frame.column(0).notna().any():
        raise InputError("All values of y are missing.", "Omit y, or give some of its values.")
    return table, frame


@contextmanager
def speaking_of_y(name: Name | None, as_column: bool = False, single: bool = False) -> Iterator[None]:
    """Let InputErrors about the column ``name`` speak of y, unless it is known ``as_column`` of a table.

    A ``single`` value stands in no row.
    """
    try:
        yield
    except InputError as error:
        what, hint = without_row(error.what) if single else error.what, error.hint or ""
        if not as_column:
            column = {} if name is None else {label(name): "y"}
            for own, said in {**column, **_SAID}.items():
                what, hint = what.replace(own, said), hint.replace(own, said)
            what = what if re.search(r"\by\b", what) else f"y cannot be used: {what}"
            hint = re.sub(r"; of a file .*$", ".", re.sub(r" \(of a file: [^)]*\)", "", hint))
        raise InputError(what, hint or None) from error


def without_row(what: str) -> str:
    """Return a message about the first row without it, where one value was given for all."""
    for words in _IN_A_ROW:
        what = what.replace(words, "")
    return what


def check_lengths(n: int, targets: int) -> None:
    """Raise an InputError where there are not as many targets as rows."""
    if n != targets:
        raise InputError(
            f"Found input variables with inconsistent numbers of samples: {n} rows of X and {targets} of y.",
            _HINT,
        )
