"""How does a table come out of a file?

One reader a format turns bytes into values and names. :func:`read_table` checks that they are numbers;
:func:`read_rows` takes each column in its own type, and :func:`open_rows` also says how each was read. Files
are foreign: nothing here ever unpickles, and a parser's complaint becomes a :class:`FormatError` that names
the file.

Text files do not say what their columns are. Here a column is what all its cells are
(:mod:`~diffuscope.data.columnar.recognition`): numbers in any usual form, truth values, dates, codes or text.
Words such as ``NA`` are missing values in all of them.
"""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diffuscope.data.bounds import check_entries, check_npy, check_regular, check_unpacked, check_zip
from diffuscope.data.columnar.arrays import (
    Columns,
    Table,
    as_table,
    check_names,
    names_of,
    native,
    two_dimensional,
)
from diffuscope.data.columnar.foreign import (
    check_magic,
    check_suffix,
    folder_kind,
    foreign,
    start_of,
    validated,
)
from diffuscope.data.columnar.recognition import ReadColumn, read_columns
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, schema_of
from diffuscope.data.columnar.spreadsheets import read_sheet
from diffuscope.data.columnar.text import (
    SEPARATORS,
    Source,
    blanks_before,
    cells_of,
    is_spaced,
    read_cells,
    text_pieces,
)
from diffuscope.data.columnar.typed import typed_column
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.files import is_utf8

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "READABLE",
    "TABLES",
    "RowsFile",
    "array_of",
    "as_typed",
    "open_rows",
    "read_rows",
    "read_table",
    "text_frames",
]

TABLES = (*SEPARATORS, ".xlsx", ".parquet", ".arrow", ".feather")
"""Those whose columns may be of any kind."""
READABLE = (*TABLES, ".npy", ".npz")


@dataclass(frozen=True)
class RowsFile:
    """The rows of a file, how each column was read, and of a text file the cells as texts, and its text."""

    frame: pd.DataFrame
    columns: tuple[ReadColumn, ...]
    cells: pd.DataFrame | None
    source: Source | None = None

    @property
    def modelled(self) -> pd.DataFrame:
        """The rows without the columns that are left out of a model."""
        return self.frame[
            [name for name, one in zip(self.frame, self.columns, strict=True) if not one.schema.is_left_out]
        ]

    @property
    def schema(self) -> tuple[ColumnSchema, ...]:
        """How each column was read."""
        return tuple(one.schema for one in self.columns)


def read_table(path: str | os.PathLike[str]) -> tuple[Table, Columns]:
    """Read a table of numbers: x of shape (n, d), float64, and the names of its columns or None.

    The file is a .csv or .tsv in UTF-8, with or without a header, or either in .gz; an .xlsx; a .parquet; a
    .npy array of shape (n,) or (n, d); or a .npz archive with one array, or an array ``x`` (and names
    ``columns``), or several 1-D arrays of one length, which are the columns. Raises an InputError where there
    is no such file or its values cannot be modelled, a FormatError where it is corrupt or not what its suffix
    says.
    """
    file = _read(Path(path), FileOptions())
    return as_table(file.values, str(path), file.names)


def read_rows(
    path: str | os.PathLike[str], options: FileOptions | None = None, known: Iterable[ColumnSchema] = ()
) -> pd.DataFrame:
    """Read a table with its columns as they are, from a file that :func:`read_table` reads.

    Columns are numbered from 0 where the file has no names. A text file has a header unless its first line is
    all numbers; its columns become int64, float64, bool, str and datetime64 (in UTC where the cells have
    zones). Arrays and Parquet files keep their types. Integers and truth values with missing ones are Int8 to
    UInt64 and boolean. ``options`` say what is not to be recognised, and columns that are ``known`` are read
    as they were in another file; those that they leave out are not returned. Raises as :func:`read_table`
    does, and where two columns have one name, or a cell is not of the kind that its column is said to have.
    """
    return open_rows(path, options, known).modelled


def open_rows(
    path: str | os.PathLike[str], options: FileOptions | None = None, known: Iterable[ColumnSchema] = ()
) -> RowsFile:
    """Read a table as :func:`read_rows` does, with all columns, and how each of them was read."""
    import pandas as pd

    options, known = options or FileOptions(), tuple(known)
    file = _read(Path(path), options, known)
    values = file.values
    if isinstance(values, pd.DataFrame):
        frame = values.reset_index(drop=True)
    elif values.dtype.names is not None and values.ndim == 1:
        frame = pd.DataFrame({name: native(values[name]) for name in values.dtype.names})
    else:
        frame = pd.DataFrame(native(two_dimensional(values, str(path))))
    columns = names_of(frame) if file.names is None else file.names
    n, d = frame.shape
    check_names(columns, d, str(path))
    frame.columns = pd.RangeIndex(d) if columns is None else pd.Index(columns)
    if not n or not d:
        raise InputError(f"{path} is empty: {n} rows, {d} columns.", "Give at least one row.")
    if file.columns is not None and not known:
        options.check_names(frame.columns, str(path))
    if file.columns is not None:
        return RowsFile(frame, file.columns, file.cells, file.source)
    return as_typed(frame, options, known, str(path))


def text_frames(path: Path, options: FileOptions | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a text file of any size, in pieces.

    What a column is, the first piece says, which has about 30 million characters: a cell that is something
    else is an InputError.
    """
    import pandas as pd

    options, suffix = options or FileOptions(), check_suffix(path, tuple(SEPARATORS), "read")
    try:
        check_regular(path)
        path.stat()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.", "Check the path.") from error
    known: tuple[ColumnSchema, ...] = ()
    for text in text_pieces(path, suffix, options):
        cells, names, source = cells_of(text, path, suffix, options)
        file = _from_cells(path, cells, names, None, options, known, source)
        frame = file.values.reset_index(drop=True)
        frame.columns = pd.RangeIndex(frame.shape[1]) if names is None else pd.Index(names)
        if not known:
            options.check_names(frame.columns, str(path))
        assert file.columns is not None
        whole = RowsFile(frame, file.columns, None)
        known = known or whole.schema
        yield whole.modelled


def as_typed(
    frame: pd.DataFrame,
    options: FileOptions,
    known: Iterable[ColumnSchema] = (),
    where: str = "The table",
) -> RowsFile:
    """Return a table whose columns have types, in the types that they are said to have."""
    import pandas as pd

    if not known:
        options.check_names(frame.columns, where)
    schemas, read, columns = schema_of(known), [], []
    for name in frame.columns:
        values, one = typed_column(frame[name], name, options, schemas.get(str(name)), where)
        columns.append(values)
        read.append(one)
    if options.types:
        frame = pd.concat(columns, axis=1).set_axis(frame.columns, axis=1)
    return RowsFile(frame, tuple(read), None)


@dataclass(frozen=True)
class _File:
    """What a file holds: an array or a DataFrame, and of a text file how its columns were read."""

    values: Any
    names: Columns
    columns: tuple[ReadColumn, ...] | None = None
    cells: Any = None
    source: Source | None = None


def _read(path: Path, options: FileOptions, known: Iterable[ColumnSchema] = ()) -> _File:
    """Return what a file holds, and the names beside it."""
    suffix = check_suffix(path, READABLE, "read")
    if path.is_dir():
        raise InputError(
            f"Cannot read {path}: {folder_kind(path)}.", f"Give one file ({', '.join(READABLE)})."
        )
    try:
        check_regular(path)
        start = start_of(path)
    except FileNotFoundError:
        near: list[str] = []
        if path.parent.is_dir():
            near = difflib.get_close_matches(path.name, [file.name for file in path.parent.iterdir()], n=1)
        raise InputError(
            f"There is no file {path}.", f"Did you mean {near[0]!r}?" if near else "Check the path."
        ) from None
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if not start:
        raise InputError(f"{path} is empty.", "Write at least two rows of numbers into it.")
    if suffix in SEPARATORS:
        cells, names, source = read_cells(path, suffix, options)
        return _from_cells(path, cells, names, None, options, known, source)
    if suffix == ".xlsx":
        return _from_cells(path, *read_sheet(path, options), options, known)
    readers = {
        ".parquet": _read_parquet,
        ".arrow": _read_arrow,
        ".feather": _read_arrow,
        ".npy": _read_npy,
        ".npz": _read_npz,
    }
    return _File(*readers[suffix](path))


def _from_cells(
    path: Path,
    cells: list[Any],
    columns: Columns,
    formats: list[str] | None,
    options: FileOptions,
    known: Iterable[ColumnSchema],
    source: Source | None = None,
) -> _File:
    """Return the values that columns of texts mean; ``source`` is the text of a text file."""
    import pandas as pd
    import pyarrow as pa

    check_names(columns, len(cells), str(path))
    names: Any = range(len(cells)) if columns is None else columns
    read = read_columns(list(zip(names, cells, strict=True)), options, known, str(path))
    if formats is not None:
        read = [one.formatted(form) for one, form in zip(read, formats, strict=True)]
    table = pa.table({str(j): one.values for j, one in enumerate(read)})
    frame = to_pandas(table).set_axis(pd.RangeIndex(len(cells)), axis=1)
    texts = None
    if source is not None:
        if not known and is_spaced(source.body, source.separator):
            read = [
                replace(one, schema=one.schema.model_copy(update={"blanks": blanks}))
                for one, blanks in zip(read, blanks_before(source, len(cells)), strict=True)
            ]
        texts = pa.table({str(j): column for j, column in enumerate(cells)}).to_pandas()
        texts.columns = pd.RangeIndex(len(cells))
    return _File(frame, columns, tuple(read), texts, source)


def _read_parquet(path: Path) -> tuple[Any, Columns]:
    import pyarrow.parquet as pq

    check_magic(path, "a Parquet table", b"PAR1")
    try:
        with pq.ParquetFile(path if is_utf8(path) else io.BytesIO(path.read_bytes())) as file:
            check_parquet(path, file.metadata)
            check_columns(path, file.schema_arrow.names)
            return to_pandas(file.read()), None
    except (DiffuscopeError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise foreign(path, "a readable Parquet table", "Write the file again.", error) from error


def _read_arrow(path: Path) -> tuple[Any, Columns]:
    import pyarrow as pa

    check_magic(path, "an Arrow table", b"ARROW1")
    try:
        with pa.memory_map(str(path)) if is_utf8(path) else pa.BufferReader(path.read_bytes()) as source:
            file = pa.ipc.open_file(source)
            check_columns(path, file.schema.names)
            return to_pandas(validated(path, file.read_all())), None
    except (DiffuscopeError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise foreign(path, "a readable Arrow table", "Write the file again.", error) from error


def check_columns(path: Path, names: list[str]) -> None:
    """Raise an InputError where several columns have one name: nobody could tell them apart."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        listed = ", ".join(map(repr, twice))
        raise InputError(f"{path} has several columns named {listed}.", "Rename or drop one.")


def check_parquet(path: Path, about: Any) -> None:
    """Raise a FormatError where a file declares far more rows, or bytes, than it can hold."""
    packed = path.stat().st_size
    groups = [about.row_group(i).total_byte_size for i in range(about.num_row_groups)]
    check_unpacked(path, packed, sum(groups))
    check_unpacked(path, packed, 8 * about.num_rows * max(1, about.num_columns))


def to_pandas(table: Any) -> Any:
    """Return an Arrow table as a DataFrame; integers and truth values with missing ones in nullable types."""
    import pandas as pd
    import pyarrow as pa

    frame = table.to_pandas()
    for field in table.schema:
        column, kind = table[field.name], field.type
        if field.name not in frame:  # an index
            continue
        if pa.types.is_date(kind):
            frame[field.name] = column.cast(pa.timestamp("ms")).cast(pa.timestamp("us")).to_pandas().array
        elif pa.types.is_decimal(kind):
            frame[field.name] = column.cast(pa.float64()).to_pandas().array
        elif column.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            name = "boolean" if pa.types.is_boolean(kind) else str(kind).replace("int", "Int")
            made: Any = pd.api.types.pandas_dtype(name.replace("uI", "UI"))
            frame[field.name] = made.__from_arrow__(column)
    return frame


def _read_npy(path: Path) -> tuple[Any, Columns]:
    return array_of(path), None


def array_of(path: Path, mmap_mode: Literal["r"] | None = None) -> Any:
    """Return the array of a .npy file, read or mapped; a FormatError where it is damaged, or has objects."""
    check_magic(path, "a .npy array", b"\x93NUMPY")
    with path.open("rb") as handle:
        check_npy(handle, path.stat().st_size, str(path))
    try:
        return np.load(path, mmap_mode=mmap_mode, allow_pickle=False)
    except MemoryError:
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _unreadable_array(path, str(path), error) from error


def _read_npz(path: Path) -> tuple[Any, Columns]:
    check_magic(path, "a .npz archive", b"PK\x03\x04", b"PK\x05\x06")  # the second: no entry
    try:
        check_zip(path)
        # np.load leaves a file that it opens itself open when the archive is damaged.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            # Beside an array x, other entries (labels, settings) are not the table's.
            entries = [name for name in archive.files if name in ("x", "columns") or "x" not in archive.files]
            check_entries(path, entries)
            parts = {name: archive[name] for name in entries}
            if not all(isinstance(part, np.ndarray) for part in parts.values()):
                raise ValueError("an entry is not an array")  # numpy gives the bytes of such an entry
    except (DiffuscopeError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _unreadable_array(path, f"an array in {path}", error) from error
    if "x" in parts:
        names = parts.get("columns")
        return parts["x"], None if names is None else tuple(map(str, names.ravel().tolist()))
    if not parts:
        raise InputError(
            f"{path} is empty: it contains no array.", "Save the data as its array x: np.savez(path, x=x)."
        )
    if len(parts) == 1:
        return next(iter(parts.values())), None
    shapes = {name: part.shape for name, part in parts.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(
            f"The arrays in {path} do not form one table: {listed}.",
            "Save the table as x of shape (n, d), or one 1-D array per column, all of one length.",
        )
    import pandas as pd

    return pd.DataFrame(parts), None


def _unreadable_array(path: Path, which: str, error: Exception) -> FormatError:
    if "Object arrays" in str(error) or "Python objects" in str(error):
        return FormatError(
            f"{which} contains Python objects; unpickling them could execute code.",
            "Save plain numbers: np.save(path, x.astype(float)).",
        )
    return foreign(path, "a whole NumPy file", "It may be truncated: write or copy it again.", error)
