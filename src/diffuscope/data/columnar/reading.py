"""How does a table come out of a file?

One reader a format turns bytes into values and names. :func:`read_table` checks that they are numbers;
:func:`read_rows` takes each column in its own type. Files are foreign: nothing here ever unpickles, and a
parser's complaint becomes a :class:`FormatError` that names the file.

Text files do not say what their columns are. Here a column is what all its cells are: integers, floats,
truth values (``True``, ``false``), times by ISO 8601 (``2020-03-29``, ``2020-03-29T12:30:00+02:00``), or else
text. An empty cell is missing, and in numbers and truth values ``NA``, ``nan``, ``null`` and their like are
as well; in text they are words.
"""

from __future__ import annotations

import contextlib
import csv
import difflib
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.columnar.arrays import (
    MISSING_WORDS,
    Columns,
    Table,
    as_table,
    check_names,
    names_of,
    native,
    two_dimensional,
)
from diffuscope.errors import FormatError, InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "READABLE",
    "SEPARATORS",
    "TABLES",
    "check_suffix",
    "is_number",
    "other_separators",
    "read_rows",
    "read_table",
]

READABLE = (".csv", ".tsv", ".parquet", ".npy", ".npz")
TABLES = (".csv", ".tsv", ".parquet")
"""Those whose columns may be of any kind."""
SEPARATORS = {".csv": ",", ".tsv": "\t"}

# How well-known files begin, to say what a misnamed one is.
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a .npy array",
    b"PK": "a zip archive (.npz, .xlsx and others)",
    b"PAR1": "a Parquet table",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"\x80": "a Python pickle, which is never opened because it could execute code",
}


def read_table(path: str | os.PathLike[str]) -> tuple[Table, Columns]:
    """Read a table of numbers: x of shape (n, d), float64, and the names of its columns or None.

    The file is a .csv or .tsv in UTF-8, with or without a header; a .parquet; a .npy array of shape (n,) or
    (n, d); or a .npz archive with one array, or an array ``x`` (and names ``columns``), or several 1-D arrays
    of one length, which are the columns. Raises an InputError where there is no such file or its values
    cannot be modelled, a FormatError where it is corrupt or not what its suffix says.
    """
    values, columns = _read(Path(path))
    return as_table(values, str(path), columns)


def read_rows(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a table with its columns as they are, from a file that :func:`read_table` reads.

    Columns are numbered from 0 where the file has no names. A text file has a header unless its first line is
    all numbers; its columns become int64, float64, bool, str and datetime64 (in UTC where the cells have
    zones). Arrays and Parquet files keep their types. Integers and truth values with missing ones are Int8 to
    UInt64 and boolean. Raises as :func:`read_table` does, and where two columns have one name.
    """
    import pandas as pd

    values, columns = _read(Path(path))
    if isinstance(values, pd.DataFrame):
        frame = values.reset_index(drop=True)
    elif values.dtype.names is not None and values.ndim == 1:
        frame = pd.DataFrame({name: native(values[name]) for name in values.dtype.names})
    else:
        frame = pd.DataFrame(native(two_dimensional(values, str(path))))
    columns = names_of(frame) if columns is None else columns
    n, d = frame.shape
    check_names(columns, d, str(path))
    frame.columns = pd.RangeIndex(d) if columns is None else pd.Index(columns)
    if not n or not d:
        raise InputError(f"{path} is empty: {n} rows, {d} columns.", "Give at least one row.")
    return frame


def _read(path: Path) -> tuple[Any, Columns]:
    """Return what a file holds, as an array or a DataFrame, and the names beside it."""
    suffix = check_suffix(path, READABLE, "read")
    if path.is_dir():
        raise InputError(
            f"{path} is a folder.", f"Give one file ({', '.join(READABLE)}); images are not supported yet."
        )
    try:
        start = _start(path)
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
        raise _empty(path)
    if suffix in SEPARATORS:
        return _read_text(path, SEPARATORS[suffix])
    return {".parquet": _read_parquet, ".npy": _read_npy, ".npz": _read_npz}[suffix](path)


def _empty(path: Path) -> InputError:
    return InputError(f"{path} is empty.", "Write at least two rows of numbers into it.")


def _start(path: Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(8)


def check_suffix(path: Path, known: Sequence[str], verb: str) -> str:
    """The lower-case suffix of ``path`` if it is in ``known``, else an InputError that names the nearest."""
    suffix = path.suffix.lower()
    if suffix in known:
        return suffix
    if path.is_dir():
        raise InputError(
            f"Cannot {verb} {path}: it is a folder.",
            f"Give one file ({', '.join(known)}); images are not supported yet.",
        )
    near = difflib.get_close_matches(suffix, known, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    what = f"there is no table format named {suffix!r}" if suffix else "the name has no suffix"
    raise InputError(f"Cannot {verb} {path}: {what}.", f"{guess}Known: {', '.join(known)}.")


def _read_text(path: Path, separator: str) -> tuple[Any, Columns]:
    import pandas as pd
    import pyarrow as pa

    # The header is read below, so that pandas neither renames doubles nor makes an index of a column.
    options: dict[str, Any] = {"header": None, "sep": separator, "skipinitialspace": True}
    # In text "NA" is a word.
    options |= {"low_memory": False, "keep_default_na": False, "na_values": [""]}
    version = tuple(map(int, pd.__version__.split(".")[:2]))
    if version < (3, 1):  # from then on it is deprecated, and so always
        options["float_precision"] = "round_trip"
    skipped = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            records = csv.reader(handle, delimiter=separator, skipinitialspace=True)
            first = next((cells for cells in records if any(map(str.strip, cells))), None)
            if first is None:
                raise _empty(path)
            if found := other_separators(first, separator):
                expected = _SEPARATOR_NAMES[separator]
                raise FormatError(
                    f"{path} looks separated by {found[0]}, not by {expected}.",
                    f"Save it with {expected} between the values and a point as the decimal sign.",
                )
            columns = None
            if all(map(is_number, first)):
                handle.seek(0)
            else:
                columns, skipped = tuple(map(str.strip, first)), records.line_num
                if "" in columns:
                    raise InputError(
                        f"Column {columns.index('')} (counted from 0) of {path} has no name.",
                        "Drop it if it numbers the rows (pandas: to_csv(..., index=False)), "
                        "else give it a name.",
                    )
            try:
                frame = pd.read_csv(handle, dtype_backend="pyarrow", **options)
            except OverflowError:  # an integer beyond 64 bits
                handle.seek(0)
                for _ in range(skipped):
                    handle.readline()
                frame = pd.read_csv(handle, dtype_backend="numpy_nullable", **options)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path} has a header but no rows.", "Give at least two rows of numbers.") from None
    except pd.errors.ParserError as error:
        raise FormatError(
            f"{path} is not a regular table: {_ragged(str(error), skipped)}.",
            f"Give every row the same number of values, separated by {separator!r}.",
        ) from error
    except UnicodeDecodeError as error:
        raise _foreign(path, "text in UTF-8", "Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise FormatError(f"{path} is not a table in text: {error}.", "Save it as CSV in UTF-8.") from error
    table = pa.table({str(j): _typed(pa.array(frame[j])) for j in frame})
    return _to_pandas(table).set_axis(frame.columns, axis=1), columns


def _typed(cells: Any) -> Any:
    """Return a column of a text file, an Arrow array, in the type that all its cells have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type)):
        return cells.cast(pa.float64()) if cells.null_count == len(cells) else cells
    missing = pa.scalar(None, cells.type)
    cells = pc.if_else(pc.equal(cells, ""), missing, cells)
    known = pc.if_else(pc.is_in(cells, pa.array(MISSING_WORDS, cells.type)), missing, cells)
    types = [pa.timestamp(unit, zone) for zone in (None, "UTC") for unit in ("us", "ns")]
    if known.null_count:  # numbers and truth values, which pandas took for text
        trimmed = pc.replace_substring_regex(known, r"^\s*\+?|\s+$", "")
        with contextlib.suppress(pa.ArrowInvalid):
            floats = trimmed.cast(pa.float64())  # no hexadecimal, which Arrow takes for integers
            whole = [] if known.null_count == len(known) else [pa.int64(), pa.uint64()]
            return _first_cast(trimmed, whole, floats)
        if pc.all(pc.match_substring_regex(trimmed, "^(?i:true|false)$")).as_py():
            return trimmed.cast(pa.bool_())
    return _first_cast(cells, types, cells)


def _first_cast(cells: Any, types: Iterable[Any], otherwise: Any) -> Any:
    """Return cells in the first of the types that all of them have."""
    import pyarrow as pa

    for kind in types:
        with contextlib.suppress(pa.ArrowInvalid):
            cells.drop_null()[:100].cast(kind)  # to fail takes a while a cell
            return cells.cast(kind)
    return otherwise


def is_number(cell: str) -> bool:
    """Whether a cell of text is a number."""
    with contextlib.suppress(ValueError):
        float(cell)
        return True
    return False


_SEPARATOR_NAMES = {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars"}


def other_separators(first: Sequence[str], separator: str) -> list[str]:
    """Return what seems to separate the first line of a text file, one cell to a reader, if anything does."""
    if len(first) != 1:
        return []
    found = [name for other, name in _SEPARATOR_NAMES.items() if other != separator and other in first[0]]
    words = first[0].split()
    return found or ["spaces"] * (len(words) > 1 and all(map(is_number, words)))


def _ragged(message: str, skipped: int) -> str:
    """The parser's complaint about a row that is too long, its line counted from the start of the file."""
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if match is None:
        return message.strip().rstrip(".")
    return f"line {int(match[2]) + skipped} has {match[3]} values where {match[1]} are expected"


def _read_parquet(path: Path) -> tuple[Any, Columns]:
    import pyarrow.parquet as pq

    _check_magic(path, "a Parquet table", b"PAR1")
    try:
        with pq.ParquetFile(path) as file:
            # pandas would read two columns of one name, but nobody could tell them apart.
            names = file.schema_arrow.names
            frame = _to_pandas(file.read()) if len(set(names)) == len(names) else None
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _foreign(path, "a readable Parquet table", "Write the file again.", error) from error
    if frame is None:
        twice = sorted({name for name in names if names.count(name) > 1})
        listed = ", ".join(map(repr, twice))
        raise InputError(f"{path} has several columns named {listed}.", "Rename or drop one.")
    return frame, None


def _to_pandas(table: Any) -> Any:
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
    _check_magic(path, "a .npy array", b"\x93NUMPY")
    try:
        return np.load(path, allow_pickle=False), None
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _unreadable_array(path, str(path), error) from error


def _read_npz(path: Path) -> tuple[Any, Columns]:
    _check_magic(path, "a .npz archive", b"PK\x03\x04", b"PK\x05\x06")  # the second: no entry
    try:
        # np.load leaves a file that it opens itself open when the archive is damaged.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            # Beside an array x, other entries (labels, settings) are not the table's.
            entries = [name for name in archive.files if name in ("x", "columns") or "x" not in archive.files]
            parts = {name: archive[name] for name in entries}
            if not all(isinstance(part, np.ndarray) for part in parts.values()):
                raise ValueError("an entry is not an array")  # numpy gives the bytes of such an entry
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


def _check_magic(path: Path, expected: str, *magic: bytes) -> None:
    if not _start(path).startswith(magic):
        raise _foreign(path, expected, "Give the file the suffix of its format, or convert it.")


def _unreadable_array(path: Path, which: str, error: Exception) -> FormatError:
    if "Object arrays" in str(error):
        return FormatError(
            f"{which} contains Python objects; unpickling them could execute code.",
            "Save plain numbers: np.save(path, x.astype(float)).",
        )
    return _foreign(path, "a whole NumPy file", "It may be truncated: write or copy it again.", error)


def _foreign(path: Path, expected: str, hint: str, error: Exception | None = None) -> FormatError:
    """Return the error for a file of another format, with the format that it seems to have."""
    looks = next((name for magic, name in _MAGIC.items() if _start(path).startswith(magic)), None)
    if looks is not None and error is None:
        return FormatError(f"{path} is not {expected}; it looks like {looks}.", hint)
    reason = "" if error is None or not str(error) else f": {str(error).splitlines()[0].rstrip('.')}"
    return FormatError(f"{path} is not {expected}{reason}.", hint)
