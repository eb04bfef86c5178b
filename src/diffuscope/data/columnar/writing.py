"""How does a table go into a file, in memory that does not grow with the number of rows.

:class:`TableWriter` takes the rows in chunks, numbers or a DataFrame's columns of any kind, and passes each
on to the disk. The file appears under its name when the last row is in, or not at all.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from diffuscope.data.columnar.arrays import is_frame, names_of
from diffuscope.data.columnar.reading import check_suffix, other_separators
from diffuscope.data.columnar.sinks import CHUNK_ROWS, SINKS, Sink, all_numbers
from diffuscope.errors import InputError
from diffuscope.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["WRITABLE", "TableWriter", "check_writable", "write_rows", "write_table"]

WRITABLE = (".csv", ".tsv", ".parquet", ".npy", ".npz")
_TEXT = (".csv", ".tsv")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise an InputError unless ``path`` can be the name of a table; call it before any work is done."""
    path = Path(path)
    check_suffix(path, WRITABLE, "write")
    if path.is_dir():
        raise InputError(f"Cannot write {path}: it is a folder.", "Give the name of a file.")


def write_table(path: str | os.PathLike[str], x: npt.ArrayLike, columns: Sequence[str] | None = None) -> None:
    """Write ``x`` to ``path``, whole or not at all.

    Parameters
    ----------
    path : str or path
        Its suffix chooses the format, one of :data:`WRITABLE`.
    x : array-like of shape (n, d) or (n,)
    columns : sequence of d str, optional
        Names of the columns; see :class:`TableWriter`.

    Raises
    ------
    InputError
        For an unknown suffix, an array that is no table, or names that do not fit.
    RunError
        When the disk is full or the folder cannot be written to.
    """
    check_writable(path)
    x = np.asarray(x)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2:
        raise InputError(f"Cannot write an array of shape {x.shape} as a table.", "Give shape (n, d).")
    with TableWriter(path, x.shape[0], x.shape[1], columns) as writer:
        for start in range(0, len(x), CHUNK_ROWS):
            writer.append(x[start : start + CHUNK_ROWS])


def write_rows(path: str | os.PathLike[str], frame: pd.DataFrame) -> None:
    """Write a table whose columns may be of any kind, whole or not at all.

    :func:`~diffuscope.data.columnar.read_rows` reads the same values in the same types, as far as the format
    tells types apart: Parquet does; a text file has numbers of one size, no categories, times to the
    microsecond in UTC, no empty text, and text that looks like something else is that.

    Parameters
    ----------
    path : str or path
        Its suffix chooses the format, one of :data:`WRITABLE`; .npy and .npz take numbers only.
    frame : DataFrame of shape (n, d)
        Its index is not written. Columns without names get x0, x1, … where a format needs names: .parquet,
        and .csv and .tsv unless all columns are numbers.

    Raises
    ------
    InputError, RunError
        See :class:`TableWriter`.
    """
    check_writable(path)
    columns = names_of(frame)
    if columns is None and Path(path).suffix.lower() in _TEXT and not all_numbers(frame):
        columns = tuple(f"x{j}" for j in range(frame.shape[1]))
        frame = frame.set_axis(list(columns), axis=1)
    with TableWriter(path, *frame.shape, columns) as writer:
        for start in range(0, len(frame), CHUNK_ROWS):
            writer.append(frame.iloc[start : start + CHUNK_ROWS])


class TableWriter:
    """Write a table of known size chunk by chunk, in flat memory.

    ``with TableWriter("samples.npy", n_rows=10_000_000, n_columns=2) as w: w.append(chunk)``

    Values are written in the type of the first chunk, or the types of its columns, and read back exactly in
    these (of text files see :func:`write_rows`). A missing value is an empty cell, but "nan" in a text file
    without a header.

    Parameters
    ----------
    path : str or path
        Its suffix chooses the format, one of :data:`WRITABLE`.
    n_rows : int
        Rows that the chunks have together, at least 1.
    n_columns : int
        Columns of each chunk, at least 1.
    columns : sequence of n_columns str, optional
        Names of the columns. A .npy file cannot keep them; .npz keeps them as its array ``columns``
        beside ``x``; .parquet, which must have names, gets x0, x1, … when there are none; .csv and .tsv
        have a header only if there are names.

    Raises
    ------
    InputError
        For an unknown suffix, sizes or names that do not fit, a chunk of another width or type, or, at
        the end of the block, chunks that do not add up to ``n_rows``.
    RunError
        When the disk is full or the folder cannot be written to.
    """

    def __init__(
        self, path: str | os.PathLike[str], n_rows: int, n_columns: int, columns: Sequence[str] | None = None
    ) -> None:
        check_writable(path)
        self.path = Path(path)
        if n_rows < 1 or n_columns < 1:
            raise InputError(
                f"Cannot write a table of {n_rows} rows, {n_columns} columns.", "Give at least one each."
            )
        self.n_rows = n_rows
        self.n_columns = n_columns
        self.columns = None if columns is None else tuple(columns)
        self._check_names()
        self._written = 0
        self._dtype: Any = None  # of the first chunk, or those of its columns
        self._sink: Sink | None = None

    def __enter__(self) -> TableWriter:
        self._file = self._open()
        self._file.__enter__()
        return self

    def append(self, chunk: npt.ArrayLike | pd.DataFrame) -> None:
        """Write the next rows, shape (m, n_columns): numbers, or a DataFrame with the names as announced."""
        if self._sink is None:
            raise InputError(
                f"The writer of {self.path} is not open.", "Use it as `with TableWriter(...) as w`."
            )
        rows: Any = chunk if is_frame(chunk) else np.asarray(chunk)
        if rows.ndim != 2 or rows.shape[1] != self.n_columns:
            raise InputError(
                f"A chunk of shape {rows.shape} does not fit {self.path}.",
                f"Give shape (m, {self.n_columns}).",
            )
        if self._written + len(rows) > self.n_rows:
            raise InputError(
                f"More rows than the {self.n_rows} announced for {self.path}.",
                "Announce the number of all rows.",
            )
        dtype: Any = self._types_of(rows) if is_frame(rows) else rows.dtype
        if not is_frame(rows) and dtype.kind not in "biuf":
            raise InputError(f"Cannot write values of type {dtype} to {self.path}.", "Give real numbers.")
        if self._dtype is not None and dtype != self._dtype:
            raise InputError(
                f"A chunk of type {dtype} does not fit {self.path}, which has {self._dtype}.",
                "Give all chunks the same type.",
            )
        self._dtype = dtype
        self._sink.append(rows)
        self._written += len(rows)

    def _types_of(self, frame: pd.DataFrame) -> list[Any]:
        """Return the types of the columns of a chunk that fits."""
        if names_of(frame) != self.columns:
            raise InputError(
                f"A chunk with the columns {list(frame.columns)} does not fit {self.path}.",
                "Announce the names of the columns, and give every chunk these.",
            )
        suffix = self.path.suffix.lower()
        if not all_numbers(frame):
            if suffix in (".npy", ".npz"):
                raise InputError(
                    f"Cannot write columns that are no numbers to {self.path}.", "Write .csv or .parquet."
                )
            if suffix in _TEXT and self.columns is None:
                raise InputError(
                    f"Cannot write columns that are no numbers to {self.path} without names.",
                    "Announce names of the columns.",
                )
        return list(frame.dtypes)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        # atomic_write renames after the handle is closed, and removes the temporary file on any error.
        with atomic_write(self.path) as temporary, temporary.open("wb") as handle:
            self._sink = SINKS[self.path.suffix.lower()](handle, self.n_rows, self.n_columns, self.columns)
            try:
                yield
                if self._written != self.n_rows:
                    raise InputError(
                        f"{self._written} rows were given for {self.path}, {self.n_rows} announced.",
                        "Announce the number of all rows; nothing was written.",
                    )
            except BaseException:
                with contextlib.suppress(Exception):  # the first error is the one to tell
                    self._sink.close()
                raise
            finally:
                sink, self._sink = self._sink, None
            sink.close()

    def _check_names(self) -> None:
        if self.columns is None:
            return
        named = {name.strip() for name in self.columns} - {""}
        if not len(self.columns) == len(named) == self.n_columns:
            raise InputError(
                f"The names {self.columns} do not fit the {self.n_columns} columns of {self.path}.",
                "Give every column one name of its own.",
            )
        if self.path.suffix.lower() in (".csv", ".tsv") and all(map(_is_number, self.columns)):
            raise InputError(
                f"A header of numbers, {self.columns}, would be read back as data from {self.path}.",
                "Rename the columns, or write .parquet or .npz.",
            )
        separators = {".csv": ",", ".tsv": "\t"}
        suffix = self.path.suffix.lower()
        if suffix in separators and other_separators(self.columns, separators[suffix]):
            raise InputError(
                f"A header {self.columns[0]!r} would be read back as several columns from {self.path}.",
                "Rename the column, or write .parquet or .npz.",
            )


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True
