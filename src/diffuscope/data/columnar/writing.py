"""How does a table go into a file, in memory that does not grow with the number of rows?

:class:`TableWriter` takes the rows in chunks, numbers or a DataFrame's columns of any kind, and passes each
on to the disk. The file appears under its name when the last row is in, or not at all.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from diffuscope.data.columnar.arrays import Columns, is_frame, names_of
from diffuscope.data.columnar.foreign import check_suffix, suffix_of
from diffuscope.data.columnar.formulas import Formulas
from diffuscope.data.columnar.printing import as_batch, text_rows, write_cells
from diffuscope.data.columnar.reading import RowsFile
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, schema_of
from diffuscope.data.columnar.spreadsheets import MOST_ROWS, check_installed, sheet
from diffuscope.data.columnar.text import SEPARATORS, is_number, other_separators, separator_of
from diffuscope.errors import InputError
from diffuscope.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "WRITABLE",
    "TableWriter",
    "check_writable",
    "numbered",
    "write_filled",
    "write_rows",
    "write_table",
]

WRITABLE = (*SEPARATORS, ".xlsx", ".parquet", ".npy", ".npz")
_CHUNK_ROWS = 1 << 18  # 4 MiB of float64 pairs: large enough for speed, small enough for any machine

_Append = Callable[[Any], None]  # writes rows (m, d), an array of numbers or a DataFrame


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise an InputError unless ``path`` can be the name of a table; call it before any work is done."""
    path = Path(path)
    if check_suffix(path, WRITABLE, "write") == ".xlsx":
        check_installed()
    if path.is_dir():
        raise InputError(f"Cannot write {path}: it is a folder.", "Give the name of a file.")


def numbered(path: Path, number: int) -> Path:
    """Return the name of a table with a number behind it: filled-1.csv, filled-1.csv.gz."""
    suffix = path.name[len(path.name) - len(suffix_of(path)) :]
    return path.with_name(f"{path.name.removesuffix(suffix)}-{number}{suffix}")


def write_table(path: str | os.PathLike[str], x: npt.ArrayLike, columns: Sequence[str] | None = None) -> None:
    """Write an array (n, d) or (n,) to ``path``, whole or not at all; see :class:`TableWriter`.

    The suffix chooses the format, one of :data:`WRITABLE`.
    """
    check_writable(path)
    x = np.asarray(x)
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2:
        raise InputError(f"Cannot write an array of shape {x.shape} as a table.", "Give shape (n, d).")
    with TableWriter(path, x.shape[0], x.shape[1], columns) as writer:
        for start in range(0, len(x), _CHUNK_ROWS):
            writer.append(x[start : start + _CHUNK_ROWS])


def write_rows(
    path: str | os.PathLike[str],
    frame: pd.DataFrame,
    schema: Sequence[ColumnSchema] = (),
    options: FileOptions | None = None,
    formulas: Formulas | None = None,
) -> None:
    """Write a table whose columns may be of any kind, whole or not at all; see :class:`TableWriter`.

    :func:`~diffuscope.data.columnar.read_rows` reads the same values in the same types, as far as the format
    tells types apart: Parquet does; a text file has numbers of one size, no categories, times to the
    microsecond in UTC, no empty text, and text that looks like something else is that. .npy and .npz take
    numbers only. The index is not written. Columns without names get x0, x1, … where a format needs names:
    .parquet, and .csv and .tsv unless all columns are numbers or digits. Columns of a ``schema`` are written
    in text in the form in which they were read, a file of text with the separator and encoding of the
    ``options``.
    """
    check_writable(path)
    columns = names_of(frame)
    if columns is None and suffix_of(Path(path)) in SEPARATORS and not _all_digits(frame):
        columns = tuple(f"x{j}" for j in range(frame.shape[1]))
        frame = frame.set_axis(list(columns), axis=1)
    writer = TableWriter(path, *frame.shape, columns, schema, options)
    writer.formulas = formulas or writer.formulas
    with writer:
        for start in range(0, len(frame), _CHUNK_ROWS):
            writer.append(frame.iloc[start : start + _CHUNK_ROWS])


def write_filled(
    path: str | os.PathLike[str],
    file: RowsFile,
    filled: pd.DataFrame,
    options: FileOptions,
    formulas: Formulas | None = None,
) -> None:
    """Write the rows of a file of which missing values were filled, in the columns that are modelled.

    From text to text all other cells are written letter for letter, from CSV to CSV with their blanks and
    quotes, and the form of the filled ones is that in which their columns were read. ``formulas`` counts the
    cells that a spreadsheet would run, and makes them text if it is safe.
    """
    whole = file.frame.copy()
    for name in filled.columns:
        whole[name] = filled[name].array
    if file.cells is not None and suffix_of(Path(path)) in SEPARATORS:
        made = file.frame.isna() & whole.notna()
        write_cells(path, file.cells, whole, made, file.schema, options, file.source, formulas)
    else:
        write_rows(path, whole, file.schema, options, formulas)


class TableWriter:
    """Write a table of known size chunk by chunk, in flat memory.

    ``with TableWriter("samples.npy", n_rows=10_000_000, n_columns=2) as w: w.append(chunk)``

    Values are written in the type of the first chunk, or the types of its columns, and read back exactly in
    these (of text files see :func:`write_rows`). A missing value is an empty cell, but "nan" in a text file
    without a header. A .npy file cannot keep names; .npz keeps them as its array ``columns`` beside ``x``;
    .parquet gets x0, x1, … when there are none; others have a header only if there are names. Columns of a
    ``schema`` are written in the form in which they were read.

    Raises an InputError for an unknown suffix, sizes or names that do not fit, a chunk of another width or
    type, or, at the end of the block, chunks that do not add up to ``n_rows``; a RunError when the disk is
    full or the folder cannot be written to.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        n_rows: int,
        n_columns: int,
        columns: Sequence[str] | None = None,
        schema: Sequence[ColumnSchema] = (),
        options: FileOptions | None = None,
    ) -> None:
        check_writable(path)
        self.formulas = Formulas()
        self.path, self.schema, self.options = Path(path), schema_of(schema), options or FileOptions()
        self.suffix = suffix_of(self.path)
        if n_rows < 1 or n_columns < 1:
            raise InputError(
                f"Cannot write a table of {n_rows} rows, {n_columns} columns.", "Give at least one each."
            )
        if self.suffix == ".xlsx" and n_rows >= MOST_ROWS:
            raise InputError(
                f"{self.path} cannot have {n_rows:,} rows: a sheet has at most {MOST_ROWS:,}.",
                "Write .csv or .parquet.",
            )
        self.n_rows, self.n_columns = n_rows, n_columns
        self.columns = None if columns is None else tuple(columns)
        self._check_names()
        self._written = 0
        self._dtype: Any = None  # of the first chunk, or those of its columns
        self._append: _Append | None = None

    def __enter__(self) -> TableWriter:
        self._file = self._open()
        self._file.__enter__()
        return self

    def append(self, chunk: npt.ArrayLike | pd.DataFrame) -> None:
        """Write the next rows, shape (m, n_columns): numbers, or a DataFrame with the declared columns."""
        if self._append is None:
            raise InputError(
                f"The writer of {self.path} is not open.", "Use it as `with TableWriter(...) as w`."
            )
        rows: Any = chunk if is_frame(chunk) else np.asarray(chunk)
        if rows.ndim != 2 or rows.shape[1] != self.n_columns:
            raise InputError(
                f"A chunk of shape {rows.shape} does not match {self.path}.",
                f"Give shape (m, {self.n_columns}).",
            )
        if self._written + len(rows) > self.n_rows:
            raise InputError(
                f"More than the declared {self.n_rows} rows were given for {self.path}.",
                "Set n_rows to the total number.",
            )
        dtype: Any = self._types_of(rows) if is_frame(rows) else rows.dtype
        if not is_frame(rows) and dtype.kind not in "biuf":
            raise InputError(f"Cannot write values of type {dtype} to {self.path}.", "Give real numbers.")
        if self._dtype is not None and dtype != self._dtype:
            raise InputError(
                f"A chunk of type {dtype} does not match {self.path}, which has {self._dtype}.",
                "Give all chunks the same type.",
            )
        self._dtype = dtype
        if is_frame(rows) and self.suffix in SEPARATORS:
            rows = self.formulas.frame(rows)
        self._append(rows)
        self._written += len(rows)

    def _types_of(self, frame: pd.DataFrame) -> list[Any]:
        """Return the types of the columns of a chunk that fits."""
        if names_of(frame) != self.columns:
            raise InputError(
                f"A chunk with the columns {list(frame.columns)} does not match {self.path}.",
                "Declare the names of the columns, and use them in every chunk.",
            )
        suffix = self.suffix
        if not _all_numbers(frame):
            if suffix in (".npy", ".npz"):
                raise InputError(
                    f"Cannot write columns other than numbers to {self.path}.", "Write .csv or .parquet."
                )
            if suffix in SEPARATORS and self.columns is None and not _all_digits(frame):
                raise InputError(
                    f"Cannot write columns other than numbers to {self.path} without names.",
                    "Declare the names of the columns.",
                )
        return list(frame.dtypes)

    def notes(self) -> list[str]:
        """Return what is to be said of what was written."""
        return [note for note in [self.formulas.note()] if note is not None]

    def __exit__(self, *error: Any) -> None:
        self._file.__exit__(*error)

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        # atomic_write renames after the handle is closed, and removes the temporary file on any error.
        with (
            atomic_write(self.path) as temporary,
            temporary.open("wb") as handle,
            self._sink(handle) as self._append,
        ):
            try:
                yield
            finally:
                self._append = None
            if self._written != self.n_rows:
                raise InputError(
                    f"{self._written} rows were given for {self.path}, but {self.n_rows} were declared.",
                    "Set n_rows to the total number; nothing was written.",
                )

    def _sink(self, handle: IO[bytes]) -> contextlib.AbstractContextManager[_Append]:
        """Return what writes rows in the format of the suffix."""
        if self.suffix in SEPARATORS:
            written = None if self.columns is None else tuple(self.formulas.names(self.columns))
            return text_rows(handle, self.suffix, written, self.schema, self.options)
        if self.suffix == ".xlsx":
            names = range(self.n_columns) if self.columns is None else self.columns
            return sheet(handle, self.columns, [self.schema.get(str(name)) for name in names])
        return _SINKS[self.suffix](handle, (self.n_rows, self.n_columns), self.columns)

    def _check_names(self) -> None:
        if self.columns is None:
            return
        named = {name.strip() for name in self.columns} - {""}
        if not len(self.columns) == len(named) == self.n_columns:
            raise InputError(
                f"The names {self.columns} do not match the {self.n_columns} columns of {self.path}.",
                "Give every column one distinct name.",
            )
        separator = separator_of(self.suffix, self.options) if self.suffix in SEPARATORS else None
        if separator is not None and all(map(is_number, self.columns)):
            raise InputError(
                f"A header of numbers, {self.columns}, would be read back as data from {self.path}.",
                "Rename the columns, or write .parquet or .npz.",
            )
        if separator is not None and other_separators(self.columns, separator):
            raise InputError(
                f"A header {self.columns[0]!r} would be read back as several columns from {self.path}.",
                "Rename the column, or write .parquet or .npz.",
            )


@contextlib.contextmanager
def _npy(handle: IO[bytes], shape: tuple[int, int], columns: Columns) -> Iterator[_Append]:
    """Write the header of the whole array, then the rows as they come."""
    started = False

    def append(chunk: Any) -> None:
        nonlocal started
        chunk = _as_array(chunk) if is_frame(chunk) else chunk
        if not started:
            started = True
            descr = np.lib.format.dtype_to_descr(chunk.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(handle, header)
        handle.write(np.ascontiguousarray(chunk).data)

    yield append


@contextlib.contextmanager
def _npz(handle: IO[bytes], shape: tuple[int, int], columns: Columns) -> Iterator[_Append]:
    """Write a .npy stream ``x`` into an uncompressed zip archive, and the names as the array ``columns``."""
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_STORED) as archive:
        if columns is not None:
            names = io.BytesIO()
            np.lib.format.write_array(names, np.array(columns, dtype=np.str_), allow_pickle=False)
            # An entry opened by name has the archive's epoch as its date, so equal tables are equal bytes.
            with archive.open("columns.npy", "w") as entry:
                entry.write(names.getvalue())
        with archive.open("x.npy", "w", force_zip64=True) as entry, _npy(entry, shape, columns) as append:
            yield append


@contextlib.contextmanager
def _parquet(handle: IO[bytes], shape: tuple[int, int], columns: Columns) -> Iterator[_Append]:
    """Write row groups of at least a chunk's size, however small the chunks that come in."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = list(columns or [f"x{j}" for j in range(shape[1])])
    waiting: list[Any] = []
    schema: Any = None
    with contextlib.ExitStack() as stack:
        writer: Any = None

        def flush() -> None:
            nonlocal writer, waiting
            if not waiting:
                return
            table = pa.Table.from_batches(waiting)
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(handle, table.schema))
            writer.write_table(table)
            waiting = []

        def append(chunk: Any) -> None:
            nonlocal schema
            if is_frame(chunk):
                frame = chunk.set_axis(names, axis=1)
                if schema is None:
                    schema = pa.Schema.from_pandas(frame, preserve_index=False)
                    for j, field in enumerate(schema):  # objects that are missing in all of the first rows
                        if pa.types.is_null(field.type):
                            schema = schema.set(j, field.with_type(pa.string()))
                waiting.append(pa.RecordBatch.from_pandas(frame, schema=schema, preserve_index=False))
            else:
                waiting.append(as_batch(chunk, names))
            if sum(batch.num_rows for batch in waiting) >= _CHUNK_ROWS:
                flush()

        yield append
        flush()


_SINKS: dict[str, Callable[..., contextlib.AbstractContextManager[_Append]]] = {
    ".parquet": _parquet,
    ".npy": _npy,
    ".npz": _npz,
}


def _all_numbers(frame: Any) -> bool:
    from pandas.api.types import is_float_dtype, is_integer_dtype

    return all(is_integer_dtype(dtype) or is_float_dtype(dtype) for dtype in frame.dtypes)


def _all_digits(frame: Any) -> bool:
    """Whether all values are numbers, or codes of digits: then a first line is no header without names."""
    from pandas.api import types

    others = [j for j in range(frame.shape[1]) if not _all_numbers(frame.iloc[:, [j]])]
    texts = [frame.iloc[:, j].dropna() for j in others]
    return all(types.is_string_dtype(text.dtype) and text.map(_is_code).all() for text in texts)


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and is_number(value)


def _as_array(frame: Any) -> Any:
    """The numbers of a DataFrame in a type that can hold all its columns, nullable ones as floats."""
    types = [dtype if isinstance(dtype, np.dtype) else np.dtype(np.float64) for dtype in frame.dtypes]
    wide = np.result_type(*types)
    columns = [column.to_numpy(dtype=wide, na_value=np.nan) for _, column in frame.items()]
    return np.stack(columns, axis=1)
