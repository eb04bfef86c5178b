"""How does a table come out of a file.

One reader per format turns bytes into values and names; :func:`as_table` checks that they are numbers,
:mod:`~diffuscope.data.columnar.typed_reading` takes them as they are. Files are foreign: nothing here ever
unpickles, and a parser's complaint becomes a :class:`FormatError` that names the file.
"""

from __future__ import annotations

import csv
import difflib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from diffuscope.data.columnar.arrays import Columns, Table, as_table
from diffuscope.errors import FormatError, InputError

__all__ = ["READABLE", "TABLES", "check_suffix", "other_separators", "read_raw", "read_table"]

READABLE = (".csv", ".tsv", ".parquet", ".npy", ".npz")
TABLES = (".csv", ".tsv", ".parquet")
"""Those whose columns may be of any kind."""

# How well-known files begin, to say what a misnamed one is.
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a .npy array",
    b"PK": "a zip archive (.npz, .xlsx and others)",
    b"PAR1": "a Parquet table",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"\x80": "a Python pickle, which is never opened because it could run code",
}


def read_table(path: str | os.PathLike[str]) -> tuple[Table, Columns]:
    """Read a table of numbers.

    Parameters
    ----------
    path : str or path
        A .csv or .tsv file in UTF-8, with or without a header; a .parquet file; a .npy array of shape
        (n,) or (n, d); or a .npz archive with one array, or an array ``x`` (and the names of its columns
        as ``columns``), or several 1-D arrays of one length, which are the columns.

    Returns
    -------
    x : ndarray of shape (n, d), float64
    columns : tuple of str or None
        Names of the columns, where the file has them.

    Raises
    ------
    InputError
        When the file is not there, its format is unknown, or its values cannot be modelled.
    FormatError
        When the file is corrupt, truncated or not what its suffix says.
    """
    values, columns = read_raw(Path(path), typed=False)
    return as_table(values, str(path), columns)


def read_raw(path: Path, typed: bool) -> tuple[Any, Columns]:
    """Read what a file holds, as an array or a DataFrame, and the names beside it.

    Parameters
    ----------
    path : Path
    typed : bool
        Whether integers and truth values with holes are to be such, in pandas' nullable types, and words
        like "NA" in columns of text to be text; else they are floats, objects and holes.

    Raises
    ------
    InputError, FormatError
        See :func:`read_table`.
    """
    suffix = check_suffix(path, READABLE, "read")
    if path.is_dir():
        raise InputError(
            f"{path} is a folder.", f"Give one file ({', '.join(READABLE)}); images are not supported yet."
        )
    try:
        with path.open("rb") as handle:
            start = handle.read(8)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", _neighbour_hint(path)) from None
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if not start:
        raise InputError(f"{path} is empty.", "Write at least two rows of numbers into it.")
    return _READERS[suffix](path, typed)


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


def _neighbour_hint(path: Path) -> str:
    near: list[str] = []
    if path.parent.is_dir():
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.iterdir()], n=1)
    return f"Did you mean {near[0]!r}?" if near else "Check the path."


# --- readers -----------------------------------------------------------------------------------------------


def _read_csv(path: Path, typed: bool) -> tuple[Any, Columns]:
    return _read_text(path, ",", typed)


def _read_tsv(path: Path, typed: bool) -> tuple[Any, Columns]:
    return _read_text(path, "\t", typed)


def _read_text(path: Path, separator: str, typed: bool) -> tuple[Any, Columns]:
    import pandas as pd

    # The header is read below, so that pandas neither renames doubles nor makes an index of a column.
    options: dict[str, Any] = {
        "header": None,
        "sep": separator,
        "skipinitialspace": True,
        "low_memory": False,
    }
    if _version(pd) < (3, 1):  # from then on it reads every float exactly and asks not to be told to
        options["float_precision"] = "round_trip"
    skipped = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            records = csv.reader(handle, delimiter=separator, skipinitialspace=True)
            first = next((cells for cells in records if any(map(str.strip, cells))), None)
            if first is None:
                raise InputError(f"{path} is empty.", "Write at least two rows of numbers into it.")
            _check_separator(path, first, separator)
            columns = None
            if all(map(_is_number, first)):
                handle.seek(0)
            else:
                columns = _header(path, first)
                skipped = records.line_num
            if not typed:
                frame = pd.read_csv(handle, **options)
            else:
                frame = pd.read_csv(handle, dtype_backend="numpy_nullable", **options)
                words: list[Any] = [j for j in frame if pd.api.types.is_string_dtype(frame[j].dtype)]
                if words:  # once more, for in text "NA" is a word
                    handle.seek(0)
                    for _ in range(skipped):
                        handle.readline()
                    as_it_is: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_values": [""]}
                    frame[words] = pd.read_csv(handle, usecols=words, **as_it_is, **options)
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
    return frame, columns


def _version(module: ModuleType) -> tuple[int, ...]:
    return tuple(map(int, module.__version__.split(".")[:2]))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


_SEPARATORS = {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars"}


def other_separators(first: Sequence[str], separator: str) -> list[str]:
    """Return what seems to separate the first line of a text file, one cell to a reader, if anything does."""
    if len(first) != 1:
        return []
    found = [name for other, name in _SEPARATORS.items() if other != separator and other in first[0]]
    words = first[0].split()
    return found or ["spaces"] * (len(words) > 1 and all(map(_is_number, words)))


def _check_separator(path: Path, first: list[str], separator: str) -> None:
    found = other_separators(first, separator)
    if found:
        wanted = _SEPARATORS[separator]
        raise FormatError(
            f"{path} looks separated by {found[0]}, not by {wanted}.",
            f"Save it with {wanted} between the values and a point as the decimal sign.",
        )


def _header(path: Path, first: list[str]) -> tuple[str, ...]:
    columns = tuple(map(str.strip, first))
    if "" in columns:
        raise InputError(
            f"Column {columns.index('')} (counted from 0) of {path} has no name.",
            "Drop it if it numbers the rows (pandas: to_csv(..., index=False)), else give it a name.",
        )
    return columns


def _ragged(message: str, skipped: int) -> str:
    """The parser's complaint about a row that is too long, its line counted from the start of the file."""
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if match is None:
        return message.strip().rstrip(".")
    return f"line {int(match[2]) + skipped} has {match[3]} values where {match[1]} are expected"


def _read_parquet(path: Path, typed: bool) -> tuple[Any, Columns]:
    import pyarrow.parquet as pq

    _check_magic(path, "a Parquet table", b"PAR1")
    try:
        with pq.ParquetFile(path) as file:
            # pandas would read two columns of one name, but nobody could tell them apart.
            names = file.schema_arrow.names
            frame = _to_pandas(file.read(), typed) if len(set(names)) == len(names) else None
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _foreign(path, "a readable Parquet table", "Write the file again.", error) from error
    if frame is None:
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(
            f"{path} has several columns named {', '.join(map(repr, twice))}.", "Rename or drop one."
        )
    return frame, None


def _to_pandas(table: Any, typed: bool) -> Any:
    """Return an Arrow table as a DataFrame; ``typed``: integers and truth values with holes as such."""
    import pandas as pd
    import pyarrow as pa

    frame = table.to_pandas()
    for field in table.schema if typed else ():
        if field.name not in frame:  # an index
            continue
        column, kind = table[field.name], field.type
        if pa.types.is_date(kind):
            column = column.cast(pa.timestamp("ms")).cast(pa.timestamp("us"))
            frame[field.name] = column.to_pandas().set_axis(frame.index)
        elif pa.types.is_decimal(kind):
            frame[field.name] = column.cast(pa.float64()).to_pandas().set_axis(frame.index)
        elif column.null_count and (pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            name = "boolean" if pa.types.is_boolean(kind) else str(kind).replace("int", "Int")
            made: Any = pd.api.types.pandas_dtype(name.replace("uI", "UI"))
            frame[field.name] = pd.Series(made.__from_arrow__(column), index=frame.index)
    return frame


def _read_npy(path: Path, typed: bool) -> tuple[Any, Columns]:
    _check_magic(path, "a .npy array", b"\x93NUMPY")
    try:
        return np.load(path, allow_pickle=False), None
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _unreadable_array(path, str(path), error) from error


def _read_npz(path: Path, typed: bool) -> tuple[Any, Columns]:
    _check_magic(path, "a .npz archive", b"PK\x03\x04", b"PK\x05\x06")  # the second: no entry
    try:
        # np.load leaves a file that it opens itself open when the archive is damaged.
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as archive:
            # Beside an array x, other entries (labels, settings) are not the table's.
            wanted = [name for name in archive.files if name in ("x", "columns") or "x" not in archive.files]
            parts = {name: archive[name] for name in wanted}
            if not all(isinstance(part, np.ndarray) for part in parts.values()):
                raise ValueError("an entry is no array")  # numpy gives the bytes of such an entry
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise _unreadable_array(path, f"an array in {path}", error) from error
    if "x" in parts:
        names = parts.get("columns")
        return parts["x"], None if names is None else tuple(map(str, names.ravel().tolist()))
    if not parts:
        raise InputError(
            f"{path} is empty: it holds no array.", "Save the data as its array x: np.savez(path, x=x)."
        )
    if len(parts) == 1:
        return next(iter(parts.values())), None
    shapes = {name: part.shape for name, part in parts.items()}
    if len(set(shapes.values())) > 1 or any(len(shape) != 1 for shape in shapes.values()):
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise InputError(
            f"The arrays in {path} do not make one table: {listed}.",
            "Save the table as x of shape (n, d), or one 1-D array per column, all of one length.",
        )
    import pandas as pd

    return pd.DataFrame(parts), None


def _check_magic(path: Path, wanted: str, *magic: bytes) -> None:
    with path.open("rb") as handle:
        if not handle.read(8).startswith(magic):
            raise _foreign(path, wanted, "Give the file the suffix of its format, or convert it.")


def _unreadable_array(path: Path, which: str, error: Exception) -> FormatError:
    if "Object arrays" in str(error):
        return FormatError(
            f"{which} holds Python objects, which are never unpickled because they could run code.",
            "Save plain numbers: np.save(path, x.astype(float)).",
        )
    return _foreign(path, "a whole NumPy file", "It may be truncated: write or copy it again.", error)


def _foreign(path: Path, wanted: str, hint: str, error: Exception | None = None) -> FormatError:
    """The error for a file that is not what it is taken for, with what it looks like if that can be told."""
    with path.open("rb") as handle:
        start = handle.read(8)
    looks = next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)
    if looks is not None and error is None:
        return FormatError(f"{path} is not {wanted}; it looks like {looks}.", hint)
    reason = "" if error is None or not str(error) else f": {str(error).splitlines()[0].rstrip('.')}"
    return FormatError(f"{path} is not {wanted}{reason}.", hint)


_READERS: dict[str, Callable[[Path, bool], tuple[Any, Columns]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".npz": _read_npz,
}
