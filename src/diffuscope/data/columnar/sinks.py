"""How do chunks of rows become bytes of a file? A sink per format, which holds one chunk at a time."""

from __future__ import annotations

import io
import zipfile
from typing import IO, Any, Protocol

import numpy as np

from diffuscope.data.columnar.arrays import Columns, is_frame
from diffuscope.data.columnar.texts import cell_of, text_of

__all__ = ["CHUNK_ROWS", "SINKS", "Sink", "all_numbers"]

CHUNK_ROWS = 1 << 18  # 4 MiB of float64 pairs: large enough for speed, small enough for any machine

Chunk = Any  # an array of numbers or a DataFrame, of shape (m, d)


class Sink(Protocol):
    """Where chunks go; the handle is its owner's to close."""

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None: ...

    def append(self, chunk: Chunk) -> None:
        """Write rows (m, n_columns), of the types that the first ones had."""

    def close(self) -> None:
        """Write what comes after the last row."""


class _NpySink:
    """The header of the whole array, then the rows as they come."""

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None:
        self._handle = handle
        self._shape = (n_rows, n_columns)
        self._started = False

    def append(self, chunk: Chunk) -> None:
        chunk = _as_array(chunk) if is_frame(chunk) else chunk
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
    """Rows of text; of points pyarrow prints the shortest digits that give the same float again."""

    separator = ","

    def __init__(self, handle: IO[bytes], n_rows: int, n_columns: int, columns: Columns) -> None:
        self._handle = handle
        self._writer: Any = None
        self._named = columns is not None
        if columns is not None:
            header = self.separator.join(cell_of(name, self.separator) for name in columns)
            handle.write(f"{header}\n".encode())

    def append(self, chunk: Chunk) -> None:
        if is_frame(chunk):
            self._handle.write(text_of(chunk, self.separator, self._named))
            return
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
        self._schema: Any = None
        self._writer: Any = None
        self._waiting: list[Any] = []

    def append(self, chunk: Chunk) -> None:
        self._waiting.append(self._typed_batch(chunk) if is_frame(chunk) else _batch(chunk, self._columns))
        if sum(batch.num_rows for batch in self._waiting) >= CHUNK_ROWS:
            self._flush()

    def _typed_batch(self, frame: Any) -> Any:
        """The columns of a DataFrame as an Arrow record batch of the first one's schema."""
        import pyarrow as pa

        frame = frame.set_axis(list(self._columns or [f"x{j}" for j in range(frame.shape[1])]), axis=1)
        if self._schema is None:
            schema = pa.Schema.from_pandas(frame, preserve_index=False)
            for j, field in enumerate(schema):  # objects that are missing in all of the first rows
                if pa.types.is_null(field.type):
                    schema = schema.set(j, field.with_type(pa.string()))
            self._schema = schema
        return pa.RecordBatch.from_pandas(frame, schema=self._schema, preserve_index=False)

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


def all_numbers(frame: Any) -> bool:
    """Whether all columns of a DataFrame are integers or floats."""
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    return all(
        is_numeric_dtype(dtype) and not is_bool_dtype(dtype) and not is_complex_dtype(dtype)
        for dtype in frame.dtypes
    )


def _as_array(frame: Any) -> Any:
    """The numbers of a DataFrame in a type that can hold all its columns, nullable ones as floats."""
    types = [dtype if isinstance(dtype, np.dtype) else np.dtype(np.float64) for dtype in frame.dtypes]
    wide = np.result_type(*types)
    if wide.kind != "f":
        return frame.to_numpy(dtype=wide)
    columns = [column.to_numpy(dtype=wide, na_value=np.nan) for _, column in frame.items()]
    return np.stack(columns, axis=1)


SINKS: dict[str, type[Sink]] = {
    ".csv": _CsvSink,
    ".tsv": _TsvSink,
    ".parquet": _ParquetSink,
    ".npy": _NpySink,
    ".npz": _NpzSink,
}
