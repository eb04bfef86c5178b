r"""How do real and synthetic tables of mixed columns become numbers that can be compared?

A column of either table becomes codes 0, 1, ... of its distinct values in all tables together, and -1 where
a value is missing. Codes of numbers, integers and times are in their order, those of categories go by how
often training rows have them. **Missing is a value**: a model has to leave out as much, and where, as the
data does. What that means for a metric stands in the metric's file.

Kinds of columns are those of :mod:`diffuscope.data.tables`, by the training rows. Rows beyond 50,000 of a
table are left out at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.data.tables.columns.numeric import as_finite
from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype
from diffuscope.data.tables.frames import Frame, read_frame
from diffuscope.data.tables.values import as_ticks, kind_of, label
from diffuscope.errors import InputError
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_ROWS", "Column", "ColumnKind", "Floats", "Table", "read_tables", "some_rows"]

ColumnKind = Literal["number", "integer", "datetime", "boolean", "category"]
Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

MOST_ROWS = 50_000
_NUMBERS = ("number", "integer", "boolean")


@dataclass(frozen=True)
class Column:
    """A column of all tables.

    Attributes
    ----------
    name : str or int
    kind : {"number", "integer", "datetime", "boolean", "category"}
        One without any value in the training rows is a category.
    levels : ndarray
        What the codes stand for: numbers, times as ``datetime64``, values of categories.
    """

    name: Name
    kind: ColumnKind
    levels: NDArray[Any]

    @property
    def ordered(self) -> bool:
        """Whether values have an order that means something: numbers, integers and times."""
        return self.kind in ("number", "integer", "datetime")


@dataclass(frozen=True)
class Table:
    """Rows of mixed columns.

    Attributes
    ----------
    columns : tuple of Column
        The same for all tables that were read together.
    codes : ndarray of shape (n, d)
        Integers from 0, -1 where a value is missing.
    """

    columns: tuple[Column, ...]
    codes: Codes

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.integer]) -> Table:
        """Return some rows, as another table."""
        return Table(self.columns, self.codes[rows])

    def numbers(self, j: int) -> Floats:
        """Return a column as float64: numbers, times in days, codes of categories; NaN where missing."""
        column, codes = self.columns[j], self.codes[:, j]
        if column.kind == "datetime":
            levels = (column.levels - column.levels[:1]) / np.timedelta64(1, "D")
        elif column.ordered:
            levels = column.levels.astype(np.float64)
        else:
            levels = np.arange(len(column.levels), dtype=np.float64)
        return np.append(levels, np.nan)[codes]  # code -1 is the last

    def place(self, name: Name) -> int:
        """Return where a column stands.

        Raises
        ------
        InputError
            When there is none of that name.
        """
        names = [column.name for column in self.columns]
        if name not in names:
            raise InputError(
                f"There is no column named {name!r} to be predicted.",
                f"The columns: {', '.join(map(repr, names[:20]))}.",
            )
        return names.index(name)


def read_tables(tables: Mapping[str, Any], seed: int = 0) -> list[Table]:
    """Read tables with the same columns; the first says what kinds they are.

    Parameters
    ----------
    tables : mapping of str to table
        What messages call each, such as ``"training"``, and its rows: a DataFrame or any other kind that
        :func:`diffuscope.data.tables.read_frame` knows. Columns are found by their names.
    seed : int
        Of the choice of rows, where there are more than 50,000.

    Raises
    ------
    InputError
        When one is no table, columns are missing or new, or a column's values are of another kind than they
        are in the first table, or infinite.
    """
    frames = [read_frame(table) for table in tables.values()]
    frames = [_aligned(f, frames[0], said) for f, said in zip(frames, tables, strict=True)]
    frames = [_some_rows(f, said, seed) for f, said in zip(frames, tables, strict=True)]
    ends = np.cumsum([frame.n for frame in frames])[:-1]
    columns, codes = [], []
    for j, name in enumerate(frames[0].container.names):
        column, code = _read_column(name, [frame.column(j) for frame in frames], list(tables))
        columns.append(column)
        codes.append(code)
    return [Table(tuple(columns), part) for part in np.split(np.stack(codes, axis=1), ends)]


def some_rows(n: int, most: int, seed: int, *place: str | int) -> NDArray[np.intp]:
    """Return at most ``most`` of the row numbers 0 to n - 1, in random order."""
    return np.random.default_rng(stream_seed(seed, *place)).permutation(n)[:most]


def _aligned(frame: Frame, first: Frame, said: str) -> Frame:
    names, known = frame.container.names, first.container.names
    if names == known:
        return frame
    lost, new = [n for n in known if n not in set(names)], [n for n in names if n not in set(known)]
    if lost or new:
        parts = [f"missing: {', '.join(map(repr, lost[:10]))}"] * bool(lost)
        parts += [f"new: {', '.join(map(repr, new[:10]))}"] * bool(new)
        raise InputError(
            f"The {said} rows do not have the columns of the others; {'; '.join(parts)}.",
            "Give tables with the same columns.",
        )
    order = [names.index(name) for name in known]
    return Frame(frame.data.iloc[:, order], frame.container.ordered(order), frame.index)


def _some_rows(frame: Frame, said: str, seed: int) -> Frame:
    if frame.n <= MOST_ROWS:
        return frame
    chosen = np.sort(some_rows(frame.n, MOST_ROWS, seed, "rows", said))
    return Frame(frame.data.iloc[chosen], frame.container, None)


def _read_column(name: Name, parts: Sequence[pd.Series[Any]], said: Sequence[str]) -> tuple[Column, Codes]:
    """Return a column and its codes in all tables, one after the other, shape (n,)."""
    kind = kind_of(parts[0], name)
    if kind in _NUMBERS:
        _check_kinds(name, parts, said, kind, _NUMBERS)
        levels, codes = _ranked(np.concatenate([as_finite(part, name) for part in parts]))
        if kind == "boolean":
            levels = levels.astype(bool) if np.isin(levels, (0, 1)).all() else levels
        return Column(name, kind, levels), codes  # type: ignore[arg-type]  # one of _NUMBERS
    if kind == "datetime":
        _check_kinds(name, parts, said, kind, ("datetime",))
        levels, codes = _ranked(np.concatenate([_times(part, name) for part in parts]))
        return Column(name, "datetime", levels), codes
    return _read_category(name, parts)


def _check_kinds(
    name: Name, parts: Sequence[pd.Series[Any]], said: Sequence[str], kind: str, allowed: Sequence[str]
) -> None:
    for part, table in zip(parts, said, strict=True):
        own = kind_of(part, name)
        if own not in (*allowed, "empty"):
            raise InputError(
                f"{label(name)} is of the kind {kind} in the {said[0]} rows, and {own} in the {table} rows.",
                "Give the columns of all tables the same types.",
            )


def _times(column: pd.Series[Any], name: Name) -> NDArray[np.datetime64]:
    if kind_of_dtype(dtype_name(column.dtype)) != "datetime":  # nothing but missing values
        return np.full(len(column), np.datetime64("NaT", "us"))
    zone = getattr(column.dtype, "tz", None) is not None or "tz=" in dtype_name(column.dtype)
    ticks = as_ticks(column, name, "datetime64[us, UTC]" if zone else "datetime64[us]", local=False)
    return ticks.view("M8[us]")


def _ranked(values: NDArray[Any]) -> tuple[NDArray[Any], Codes]:
    present = ~np.isnat(values) if values.dtype.kind == "M" else ~np.isnan(values)
    codes = np.full(len(values), -1, dtype=np.intp)
    levels, codes[present] = np.unique(values[present], return_inverse=True)
    return levels, codes


def _read_category(name: Name, parts: Sequence[pd.Series[Any]]) -> tuple[Column, Codes]:
    """Return a category and its codes, those first that training rows have most often."""
    import pandas as pd

    objects = np.concatenate([part.astype(object).to_numpy() for part in parts])
    codes, levels = pd.factorize(objects, use_na_sentinel=True)
    first = codes[: len(parts[0])]
    often = np.bincount(first[first >= 0], minlength=len(levels))
    order = np.argsort(-often, kind="stable")
    rank = np.empty(len(levels) + 1, dtype=np.intp)
    rank[order], rank[-1] = np.arange(len(levels)), -1
    return Column(name, "category", np.asarray(levels, dtype=object)[order]), rank[codes]
