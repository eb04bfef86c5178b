"""How does a table of numbers go into a file, in memory that does not grow with the number of rows.

:class:`TableWriter` takes the rows in chunks and passes each on to the disk. The file appears under its
name when the last row is in, or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from diffuscope.datasets.arrays import Columns
from diffuscope.datasets.tables import check_suffix
from diffuscope.errors import InputError
from diffuscope.files import atomic_write

__all__ = ["WRITABLE", "TableWriter", "check_writable", "write_table"]

WRITABLE = (".csv", ".tsv", ".parquet", ".npy", ".npz")

_CHUNK_ROWS = 1 << 18  # 4 MiB of float64 pairs: large enough for speed, small enough for any machine

Chunk = npt.NDArray[Any]


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
        for start in range(0, len(x), _CHUNK_ROWS):
            writer.append(x[start : start + _CHUNK_ROWS])


class TableWriter:
    """Write a table of known size chunk by chunk, in flat memory.

    ``with TableWriter("samples.npy", n_rows=10_000_000, n_columns=2) as w: w.append(chunk)``

    Values are written in the type of the first chunk and read back exactly in that type.

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
        self._dtype: np.dtype[Any] | None = None
        self._sink: _Sink | None = None

    def __enter__(self) -> TableWriter:
        self._file = self._open()
        self._file.__enter__()
        return self

    def append(self, chunk: npt.ArrayLike) -> None:
        """Write the next rows, shape (m, n_columns)."""
        if self._sink is None:
            raise InputError(
                f"The writer of {self.path} is not open.", "Use it as `with TableWriter(...) as w`."
            )
        chunk = np.asarray(chunk)
        if chunk.ndim != 2 or chunk.shape[1] != self.n_columns:
            raise InputError(
                f"A chunk of shape {chunk.shape} does not fit {self.path}.",
                f"Give shape (m, {self.n_columns}).",
            )
        if self._written + len(chunk) > self.n_rows:
            raise InputError(
                f"More rows than the {self.n_rows} announced for {self.path}.",
                "Announce the number of all rows.",
            )
        if chunk.dtype.kind not in "biuf":
            raise InputError(
                f"Cannot write values of type {chunk.dtype} to {self.path}.", "Give real numbers."
            )
        if self._dtype is not None and chunk.dtype != self._dtype:
            raise InputError(
                f"A chunk of type {chunk.dtype} does not fit {self.path}, which has {self._dtype}.",
                "Give all chunks the same type.",
            )
        self._dtype = chunk.dtype
        self._sink.append(chunk)
        self._written += len(chunk)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.__exit__(kind, error, trace)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        # atomic_write renames after the handle is closed, and removes the temporary file on any error.
        with atomic_write(self.path) as temporary, temporary.open("wb") as handle:
            self._sink = _SINKS[self.path.suffix.lower()](handle, self.n_rows, self.n_columns, self.columns)
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


def _is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


# --- one sink per format ---------------------------------------------------------------------------------


class _Sink(Protocol):
    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None: ...

    def append(self, chunk: Chunk) -> None: ...

    def close(self) -> None: ...


class _NpySink:
    """The header of the whole array, then the rows as they come."""

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None:
        self._handle = handle
        self._shape = (n_rows, n_columns)
        self._started = False

    def append(self, chunk: Chunk) -> None:
        if not self._started:
            self._started = True
            descr = np.lib.format.dtype_to_descr(chunk.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": self._shape}
            np.lib.format.write_array_header_1_0(self._handle, header)
        self._handle.write(np.ascontiguousarray(chunk).data)

    def close(self) -> None:
        pass  # the handle is its owner's


class _NpzSink:
    """A .npy stream ``x`` inside an uncompressed zip archive, and the names as the array ``columns``."""

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None:
        self._archive = zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED)
        if columns is not None:
            names = io.BytesIO()
            np.lib.format.write_array(names, np.array(columns, dtype=np.str_), allow_pickle=False)
            # An entry opened by name has the archive's epoch as its date, so equal tables are equal bytes.
            with self._archive.open("columns.npy", "w") as entry:
                entry.write(names.getvalue())
        self._entry: Any = self._archive.open("x.npy", "w", force_zip64=True)
        self._sink = _NpySink(self._entry, n_rows, n_columns, columns)

    def append(self, chunk: Chunk) -> None:
        self._sink.append(chunk)

    def close(self) -> None:
        self._entry.close()
        self._archive.close()


class _CsvSink:
    """Rows of text; pyarrow prints the shortest digits that give the same float again."""

    separator = ","

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None:
        self._handle = handle
        self._writer: Any = None
        if columns is not None:
            header = io.StringIO()
            csv.writer(header, delimiter=self.separator, lineterminator="\n").writerow(columns)
            handle.write(header.getvalue().encode("utf-8"))

    def append(self, chunk: Chunk) -> None:
        from pyarrow import csv as arrow_csv

        batch = _batch(chunk.astype(np.int8) if chunk.dtype == bool else chunk, None)
        if self._writer is None:
            options = arrow_csv.WriteOptions(include_header=False, delimiter=self.separator)
            self._writer = arrow_csv.CSVWriter(self._handle, batch.schema, write_options=options)
        self._writer.write_batch(batch)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _TsvSink(_CsvSink):
    separator = "\t"


class _ParquetSink:
    """Row groups of at least a chunk's size, however small the chunks that come in."""

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None:
        self._handle = handle
        self._columns = columns
        self._writer: Any = None
        self._waiting: list[Any] = []

    def append(self, chunk: Chunk) -> None:
        self._waiting.append(_batch(chunk, self._columns))
        if sum(batch.num_rows for batch in self._waiting) >= _CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self._waiting:
            return
        table = pa.Table.from_batches(self._waiting)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._handle, table.schema)
        self._writer.write_table(table)
        self._waiting = []

    def close(self) -> None:
        try:
            self._flush()
        finally:
            if self._writer is not None:
                self._writer.close()


def _batch(chunk: Chunk, columns: Columns) -> Any:
    """The columns of ``chunk`` as an Arrow record batch; half and long floats widen to what Arrow prints."""
    import pyarrow as pa

    if chunk.dtype.kind == "f" and chunk.dtype.itemsize not in (4, 8):
        chunk = chunk.astype(np.float32 if chunk.dtype.itemsize < 4 else np.float64)
    chunk = np.asfortranarray(
        chunk, dtype=chunk.dtype.newbyteorder("=")
    )  # makes every column contiguous at once
    names = columns or [f"x{j}" for j in range(chunk.shape[1])]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in chunk.T], names=list(names))


_SINKS: dict[str, type[_Sink]] = {
    ".csv": _CsvSink,
    ".tsv": _TsvSink,
    ".parquet": _ParquetSink,
    ".npy": _NpySink,
    ".npz": _NpzSink,
}
