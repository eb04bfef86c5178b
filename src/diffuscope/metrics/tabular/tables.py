r"""How are real and synthetic tables with mixed columns encoded for metrics?

Each column becomes codes 0, 1, ... of its distinct values in all tables together, and -1 for missing values.
Codes of numbers, integers and times are in ascending order, those of categories in the order of their
frequency in the training rows. **Missing is a value**: a model has to reproduce the missing values of the
data. Each metric's module describes how it treats them.

Column kinds are those of :mod:`diffuscope.data.tables`, inferred from the training rows. Larger tables are
reduced to 50,000 random rows.
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
from diffuscope.errors import InputError, unknown_column
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MOST_ROWS",
    "Column",
    "ColumnKind",
    "Floats",
    "Table",
    "made_not_real",
    "percent",
    "read_tables",
    "shown_level",
    "some_rows",
]

ColumnKind = Literal["number", "integer", "datetime", "boolean", "category"]
Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

MOST_ROWS = 50_000
_NUMBERS = ("number", "integer", "boolean")


@dataclass(frozen=True)
class Column:
    """A column of all tables; ``levels`` are the values of the codes.

    A column without any value in the training rows is a category.
    """

    name: Name
    kind: ColumnKind
    levels: NDArray[Any]

    @property
    def ordered(self) -> bool:
        """Whether values are ordered: numbers, integers and times."""
        return self.kind in ("number", "integer", "datetime")


@dataclass(frozen=True)
class Table:
    """Rows as codes of shape (n, d). Tables that were read together have the same columns."""

    columns: tuple[Column, ...]
    codes: Codes

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: NDArray[np.integer]) -> Table:
        """Return a table of the given rows."""
        return Table(self.columns, self.codes[rows])

    def some(self, most: int, seed: int, *place: str | int) -> Table:
        """Return at most ``most`` random rows."""
        return self.take(some_rows(len(self), most, seed, *place))

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
        """Return the index of the column of the target."""
        names = [column.name for column in self.columns]
        if name not in names:
            raise unknown_column(name, names, "There is no column named {} for the target.")
        return names.index(name)


def read_tables(tables: Mapping[str, Any], seed: int = 0) -> list[Table]:
    """Read tables with the same columns; the first determines the kinds of columns.

    Parameters
    ----------
    tables : mapping of str to table
        The tables by their names in messages, such as ``"training"``: DataFrames or other containers that
        :func:`diffuscope.data.tables.read_frame` supports. Columns are matched by name.
    seed : int
        Of the random rows of tables with more than 50,000.

    Raises
    ------
    InputError
        When one is not a table, columns are missing or new, or a column has another kind than in the first
        table, or infinite values.
    """
    frames = [read_frame(table) for table in tables.values()]
    frames = [_aligned(frame, frames[0], said) for frame, said in zip(frames, tables, strict=True)]
    for k, (frame, said) in enumerate(zip(frames, tables, strict=True)):
        if frame.n > MOST_ROWS:
            chosen = np.sort(some_rows(frame.n, MOST_ROWS, seed, "rows", said))
            frames[k] = Frame(frame.data.iloc[chosen], frame.container, None)
    ends = np.cumsum([frame.n for frame in frames])[:-1]
    columns, codes = zip(
        *(
            _read_column(name, [frame.column(j) for frame in frames], list(tables))
            for j, name in enumerate(frames[0].container.names)
        ),
        strict=True,
    )
    return [Table(columns, part) for part in np.split(np.stack(codes, axis=1), ends)]


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
            f"The columns of the {said} rows differ from those of the other tables; {'; '.join(parts)}.",
            "Give tables with the same columns.",
        )
    order = [names.index(name) for name in known]
    return Frame(frame.data.iloc[:, order], frame.container.ordered(order), frame.index)


def _read_column(name: Name, parts: Sequence[pd.Series[Any]], said: Sequence[str]) -> tuple[Column, Codes]:
    """Return a column and its codes in all tables, one after the other, shape (n,)."""
    kind = kind_of(parts[0], name)
    if kind not in (*_NUMBERS, "datetime"):
        return _read_category(name, parts)
    allowed, read = (_NUMBERS, as_finite) if kind in _NUMBERS else (("datetime",), _times)
    for part, table in zip(parts, said, strict=True):
        own = kind_of(part, name)
        if own not in (*allowed, "empty"):
            raise InputError(
                f"{label(name)} is {kind} in the {said[0]} rows, but {own} in the {table} rows.",
                "Convert the column to the same type in all tables.",
            )
    values = np.concatenate([read(part, name) for part in parts])
    present = ~(np.isnat(values) if kind == "datetime" else np.isnan(values))
    codes = np.full(len(values), -1, dtype=np.intp)
    levels, codes[present] = np.unique(values[present], return_inverse=True)
    if kind == "boolean" and np.isin(levels, (0, 1)).all():
        levels = levels.astype(bool)
    return Column(name, kind, levels), codes  # type: ignore[arg-type]  # one of them


def _times(column: pd.Series[Any], name: Name) -> NDArray[np.datetime64]:
    if kind_of_dtype(dtype_name(column.dtype)) != "datetime":  # only missing values
        return np.full(len(column), np.datetime64("NaT", "us"))
    zone = getattr(column.dtype, "tz", None) is not None or "tz=" in dtype_name(column.dtype)
    ticks = as_ticks(column, name, "datetime64[us, UTC]" if zone else "datetime64[us]", local=False)
    return ticks.view("M8[us]")


def _read_category(name: Name, parts: Sequence[pd.Series[Any]]) -> tuple[Column, Codes]:
    """Return a category and its codes, the most frequent in training rows first."""
    import pandas as pd

    objects = np.concatenate([part.astype(object).to_numpy() for part in parts])
    codes, levels = pd.factorize(objects, use_na_sentinel=True)
    first = codes[: len(parts[0])]
    often = np.bincount(first[first >= 0], minlength=len(levels))
    order = np.argsort(-often, kind="stable")
    rank = np.empty(len(levels) + 1, dtype=np.intp)
    rank[order], rank[-1] = np.arange(len(levels)), -1
    return Column(name, "category", np.asarray(levels, dtype=object)[order]), rank[codes]


def shown_level(column: Column, code: int | np.integer[Any]) -> str:
    """Return a value of a column as readers expect it: decimals to six digits, days without hours."""
    value = column.levels[code]
    if column.kind == "datetime":
        text = str(np.datetime_as_string(value, unit="m")).replace("T", " ")
        return text.removesuffix(" 00:00")
    if not column.ordered:
        return str(value)
    number = float(value)
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e12 else f"{number:.6g}"


def percent(share: float) -> str:
    """Return a share in percent, never rounded to all or none."""
    return f"{min(max(100 * share, 0.1), 99.9):.1f}%" if 0 < share < 1 else f"{share:.0%}"


def made_not_real(synthetic: float, real: float) -> str:
    """Return two shares as text: ``12.0%, not 15.1%``."""
    return f"{percent(synthetic)}, not {percent(real)}"
