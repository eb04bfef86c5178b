"""How are values written as the cells of a text file?

In text floats have a point or an exponent and the shortest digits that give the same float again; truth
values are True and False, times ISO 8601, in UTC where they have a zone; text is quoted where it must be. A
missing value is an empty cell, and nan where there is no header that could tell the first row from one. A
column with a schema is written as that says, in the form in which it was read.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.columnar.arrays import Columns, is_frame, names_of
from diffuscope.data.columnar.dates import write_dates, write_zoned
from diffuscope.data.columnar.foreign import suffix_of
from diffuscope.data.columnar.formulas import Formulas, is_text
from diffuscope.data.columnar.numbers import write_numbers
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, schema_of
from diffuscope.data.columnar.text import Source, cell, encoder, is_compressed, meant, separator_of
from diffuscope.errors import InputError
from diffuscope.files import atomic_write

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["as_batch", "cells_of", "text_rows", "write_cells"]

_CHUNK_ROWS = 1 << 18


@contextlib.contextmanager
def text_rows(
    handle: IO[bytes],
    suffix: str,
    columns: Columns,
    schema: Mapping[str, ColumnSchema],
    options: FileOptions,
) -> Iterator[Callable[[Any], None]]:
    """Write rows of text; arrays are printed by Arrow, in the fewest digits of a float."""
    from pyarrow import csv as arrow_csv

    separator = separator_of(suffix, options)
    write = _text_sink(handle, suffix, separator, columns, options)
    layout = arrow_csv.WriteOptions(include_header=False, delimiter=separator)

    def append(chunk: Any) -> None:
        if is_frame(chunk):
            write(_lines(chunk, separator, columns is not None, schema))
            return
        batch = as_batch(chunk.astype(np.int8) if chunk.dtype == bool else chunk, None)
        printed = io.BytesIO()
        arrow_csv.write_csv(batch, printed, write_options=layout)
        write(printed.getvalue().decode())

    yield append
    write(None)


def _text_sink(
    handle: IO[bytes],
    suffix: str,
    separator: str,
    columns: Columns,
    options: FileOptions,
    header: str = "",
) -> Callable[[str | None], None]:
    """Write the header; return what writes pieces of text, encoded and compressed, and ends with None.

    ``header`` is the text of another file's, which is written in place of the names.
    """
    encoded = encoder(options)
    # A compressed file has no time, so that equal tables are equal bytes.
    packed = gzip.GzipFile("", "wb", 6, handle, mtime=0) if is_compressed(suffix) else None
    target: Any = handle if packed is None else packed

    def write(text: str | None) -> None:
        try:
            target.write(encoded.encode(text or "", final=text is None))
        except UnicodeError as error:
            raise InputError(
                f"A text cannot be written in the encoding {options.encoding}: {error}.",
                "Write .parquet, or train with --encoding utf-8.",
            ) from error
        if text is None and packed is not None:
            packed.close()

    if header:
        write(header)
    elif columns is not None:
        write(separator.join(cell(name, separator) for name in columns) + "\n")
    return write


def write_cells(
    path: str | os.PathLike[str],
    cells: pd.DataFrame,
    values: pd.DataFrame,
    filled: pd.DataFrame,
    schema: Sequence[ColumnSchema],
    options: FileOptions,
    source: Source | None = None,
    formulas: Formulas | None = None,
) -> None:
    """Write a text file letter for letter, but for cells that were ``filled`` (n, d), whose values are new.

    ``cells`` (n, d) are the texts that were read, in the columns of ``values``, from the ``source``: with the
    same separator as there, cells have their blanks and quotes, and lines their ends.
    """
    suffix, columns = suffix_of(Path(path)), names_of(values)
    separator, schemas = separator_of(suffix, options), schema_of(schema)
    empty = "nan" if columns is None else '""' if cells.shape[1] == 1 else ""
    same = source is not None and source.separator == separator
    rows, ends = source.rows() if source is not None and same else ([], [])
    if len(rows) != len(cells):  # a file that readers take apart in another way
        rows, ends, same = [[]] * len(cells), ["\n"] * len(cells), False
    written = []
    for j, name in enumerate(values.columns):
        texts = [
            row[j]
            if j < len(row) and meant(row[j]).strip() == text.strip()
            else cell(text, separator) or empty
            for row, text in zip(rows, cells.iloc[:, j].tolist(), strict=True)
        ]
        holes = np.flatnonzero(filled.iloc[:, j].to_numpy(dtype=bool))
        if holes.size:
            made = _cells(values.iloc[holes, j], separator, schemas.get(str(name)))
            for row, text in zip(holes.tolist(), made, strict=True):
                texts[row] = text
        if formulas is not None and is_text(schemas.get(str(name))):
            for row, raw in enumerate(texts):
                if (text := meant(raw)) != (safe := formulas.cell(text, name)):
                    texts[row] = cell(safe, separator)
        written.append(texts)
    header = source.header if source is not None and same else ""
    if formulas is not None and columns is not None and columns != (names := tuple(formulas.names(columns))):
        header, columns = "", names
    with atomic_write(Path(path)) as temporary, temporary.open("wb") as handle:
        append = _text_sink(handle, suffix, separator, columns, options, header)
        for start in range(0, len(cells), _CHUNK_ROWS):
            here = slice(start, start + _CHUNK_ROWS)
            lines = zip(*(texts[here] for texts in written), strict=True)
            append("".join(separator.join(row) + end for row, end in zip(lines, ends[here], strict=True)))
        append(None)


def _lines(frame: pd.DataFrame, separator: str, named: bool, schema: Mapping[str, ColumnSchema]) -> str:
    """Return the rows of a DataFrame as lines of text; ``named``: the file has a header."""
    empty = "nan" if not named else '""' if frame.shape[1] == 1 else ""  # no line may be empty
    cells = []
    for name, column in frame.items():
        form = schema.get(str(name))
        texts = _cells(column, separator, form)
        missing = cell(form.hole, separator, form.blanks) if form is not None and form.hole else empty
        for row in np.flatnonzero(column.isna().to_numpy()).tolist():
            texts[row] = missing
        cells.append(texts)
    return "".join(f"{separator.join(row)}\n" for row in zip(*cells, strict=True))


def _cells(column: pd.Series[Any], separator: str, form: ColumnSchema | None = None) -> list[str]:
    """Return the cells of a column; anything where a value is missing."""
    from pandas.api import types

    dtype: Any = column.dtype
    if form is not None and form.blanks and separator:
        plain = form.model_copy(update={"blanks": ""})
        return [cell(text, separator, form.blanks) for text in _cells(column, "", plain)]
    texts = None if form is None else _in_form(column, form)
    if texts is not None:
        return [cell(text, separator) for text in texts]
    if types.is_float_dtype(dtype):
        plain = getattr(dtype, "numpy_dtype", dtype)
        floats = column.to_numpy(dtype=plain, na_value=np.nan)
        # The shortest digits among floats of this size; those of float64 are Python's.
        return list(map(repr, floats.tolist()) if plain.itemsize == 8 else map(str, floats))
    if types.is_datetime64_any_dtype(dtype):  # no finer than they are, days where all are midnights
        zoned, zone = column.dt.tz is not None, (form and form.zone) or "+00:00"
        times = (write_zoned(column, zone) if zoned else column).to_numpy()
        times = times.astype("M8[us]") if times.dtype.kind != "M" else times
        known = times[~np.isnat(times)]
        units = ["s" if zoned else "D", "s", "ms", "us"]
        unit: Any = next((unit for unit in units if (known.astype(f"M8[{unit}]") == known).all()), "ns")
        return [f"{time}{zone * zoned}" for time in np.datetime_as_string(times, unit=unit).tolist()]
    texts = list(map(str, column.tolist()))
    plain_text = types.is_bool_dtype(dtype) or types.is_integer_dtype(dtype)
    return texts if plain_text or not separator else [cell(text, separator) for text in texts]


def cells_of(column: pd.Series[Any], form: ColumnSchema | None = None) -> list[str]:
    """Return values (n,) as texts in the form in which their column was read."""
    return _cells(column, "", form)


def _in_form(column: pd.Series[Any], form: ColumnSchema) -> list[str] | None:
    """Return values in the form in which their column was read; None where that says nothing of them."""
    from pandas.api import types

    dtype = column.dtype
    if form.words is not None and types.is_bool_dtype(dtype):
        return [
            form.words[value is True or value == 1]
            for value in column.astype(object).where(column.notna(), False)
        ]
    if (
        form.date_format
        and types.is_datetime64_any_dtype(dtype)
        and bool(form.zone) == (column.dt.tz is not None)
    ):
        times = write_zoned(column, form.zone) if form.zone else column
        texts = write_dates(times.astype(object).where(times.notna(), None).tolist(), form.date_format)
        return [f"{text}{form.zone}" for text in texts]
    if types.is_bool_dtype(dtype) or form.kind not in ("number", "integer"):
        return None
    if types.is_float_dtype(dtype) and (form.has_form or form.exponent or form.decimals is not None):
        return write_numbers(column.to_numpy(dtype=np.float64, na_value=np.nan), form)
    if types.is_integer_dtype(dtype) and (form.has_form or form.exponent or form.kind == "number"):
        whole = column.astype(object).where(column.notna(), 0).to_numpy(dtype=object)
        return write_numbers(whole, form)
    return None


def as_batch(chunk: Any, columns: Sequence[str] | None) -> Any:
    """Return an array as an Arrow record batch; half and long floats widen to what Arrow prints."""
    import pyarrow as pa

    if chunk.dtype.kind == "f" and chunk.dtype.itemsize not in (4, 8):
        chunk = chunk.astype(np.float32 if chunk.dtype.itemsize < 4 else np.float64)
    chunk = np.asfortranarray(chunk, dtype=chunk.dtype.newbyteorder("="))  # every column becomes contiguous
    names = columns or [f"x{j}" for j in range(chunk.shape[1])]
    arrays: Any = list(chunk.T)
    if chunk.dtype.kind in "iuf":  # from the bytes, since ``pa.array`` imports pandas
        kind, n = pa.from_numpy_dtype(chunk.dtype), len(chunk)
        arrays = [pa.Array.from_buffers(kind, n, [None, pa.py_buffer(column)]) for column in chunk.T]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))
