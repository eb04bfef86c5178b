"""How does a table come out of a spreadsheet (.xlsx), and go into one?

The first sheet is the table. Its cells are read as the texts that a program would write for them, and
recognised as those of a text file; formats of cells are kept beside them. Formulas are never run: their last
values are read, and no text that is written is taken for one. This needs openpyxl.
"""

from __future__ import annotations

import contextlib
import datetime
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from diffuscope.data.bounds import check_zip
from diffuscope.data.columnar.arrays import Columns
from diffuscope.data.columnar.foreign import check_magic, foreign
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions
from diffuscope.data.columnar.text import is_number
from diffuscope.errors import DiffuscopeError, InputError

__all__ = ["MOST_ROWS", "check_installed", "read_sheet", "sheet"]

MOST_ROWS = 2**20
"""That a sheet can have, its header among them."""
_FORMATS = {"d": "dd", "m": "mm", "Y": "yyyy", "y": "yy", "H": "hh", "I": "hh", "M": "mm", "S": "ss"}
_FORMATS |= {"p": "AM/PM", "b": "mmm", "B": "mmmm", "f": "000", "3f": "000"}
_EPOCH = datetime.datetime(1980, 1, 1)


def check_installed() -> Any:
    """Return openpyxl, or raise an InputError where it is not installed."""
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            "Spreadsheets (.xlsx) need openpyxl, which is not installed.",
            "Install it: pip install 'diffuscope[excel]'; or use .csv.",
        ) from None
    return openpyxl


def read_sheet(path: Path, options: FileOptions) -> tuple[list[Any], Columns, list[str]]:
    """Return the columns of the first sheet as Arrow arrays of texts, their names, and their cells' formats.

    Raises an InputError where the sheet is empty, a column has no name or openpyxl is not installed, a
    FormatError where the file is damaged.
    """
    import pyarrow as pa

    openpyxl = check_installed()
    check_magic(path, "a spreadsheet", b"PK\x03\x04")
    try:
        check_zip(path)
        with contextlib.closing(openpyxl.load_workbook(path, read_only=True, data_only=True)) as book:
            rows = [list(row) for row in book.worksheets[0].iter_rows()]
        texts = [[_text(cell.value) for cell in row] for row in rows]
    except (DiffuscopeError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        raise foreign(path, "a whole spreadsheet", "Save it again, or as .csv.", error) from error
    kept = [i for i, row in enumerate(texts) if any(row)]
    if not kept:
        raise InputError(f"{path} is empty.", "Write a table into its first sheet.")
    width = max(j + 1 for i in kept for j, text in enumerate(texts[i]) if text)
    filled = [[*texts[i], *[""] * width][:width] for i in kept]
    columns = None
    if not all(is_number(text, options.decimal) for text in filled[0]):
        columns, filled, kept = tuple(map(str.strip, filled[0])), filled[1:], kept[1:]
        if "" in columns:
            raise InputError(
                f"Column {columns.index('')} (counted from 0) of {path} has no name.",
                "Give it a name in the first row, or drop it.",
            )
    if not filled:
        raise InputError(f"{path} has a header but no rows.", "Give at least two rows.")
    formats = [_format_of([rows[i][j] for i in kept if j < len(rows[i])]) for j in range(width)]
    return [pa.array(column, pa.large_string()) for column in zip(*filled, strict=True)], columns, formats


def _text(value: Any) -> str:
    """Return what a program would write for the value of a cell."""
    if value is None:
        return ""
    if isinstance(value, datetime.datetime):
        return value.date().isoformat() if value.time() == datetime.time() else value.isoformat()
    return repr(value) if isinstance(value, float) else str(value)


def _format_of(cells: Sequence[Any]) -> str:
    found = next((cell.number_format for cell in cells if cell.value is not None), "General")
    return "" if found in ("General", None) or len(found) > 200 else str(found)


@contextlib.contextmanager
def sheet(
    handle: IO[bytes], columns: Columns, schemas: Sequence[ColumnSchema | None]
) -> Iterator[Callable[[Any], None]]:
    """Write a header and then rows, a DataFrame or an array at a time; equal rows are equal bytes."""
    openpyxl = check_installed()
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.writer.excel import ExcelWriter

    book = openpyxl.Workbook(write_only=True)
    page = book.create_sheet("Sheet1")
    if columns is not None:
        page.append([_plain_text(WriteOnlyCell(page), name) for name in columns])

    def append(chunk: Any) -> None:
        import pandas as pd

        frame = chunk if isinstance(chunk, pd.DataFrame) else pd.DataFrame(chunk)
        series = [_values(column) for _, column in frame.items()]
        formats = [
            _cell_format(schema, column) for schema, (_, column) in zip(schemas, frame.items(), strict=True)
        ]
        for row in zip(*series, strict=True):
            cells = []
            for value, form in zip(row, formats, strict=True):
                cell: Any = WriteOnlyCell(page)
                if isinstance(value, str):
                    _plain_text(cell, value)
                elif isinstance(value, float):  # in all its digits, of which openpyxl drops one
                    cell._value, cell.data_type = repr(value), "n"
                elif value is not None:
                    cell.value = value
                if value is not None and not isinstance(value, str) and form:
                    cell.number_format = form
                cells.append(cell)
            page.append(cells)

    try:
        yield append
        book.properties.created = book.properties.modified = _EPOCH
        with _Archive(handle, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
            ExcelWriter(book, archive).save()
    finally:
        if not page.closed:
            page.close()


class _Archive(zipfile.ZipFile):
    """A zip archive whose entries have no time."""

    def writestr(self, name: Any, data: Any, *_: Any) -> None:
        entry = zipfile.ZipInfo(name if isinstance(name, str) else name.filename)
        super().writestr(entry, data, zipfile.ZIP_DEFLATED)

    def write(self, filename: Any, arcname: Any = None, *_: Any) -> None:
        self.writestr(str(arcname or filename), Path(filename).read_bytes())


def _plain_text(cell: Any, text: str) -> Any:
    """Put text into a cell, also such as a spreadsheet would take for a formula."""
    from openpyxl.utils.exceptions import IllegalCharacterError

    try:
        cell.value = text
    except (IllegalCharacterError, ValueError) as error:
        raise InputError(
            f"The text {text!r} cannot be written into a spreadsheet.", "Write .csv or .parquet."
        ) from error
    cell.data_type = "s"
    return cell


def _values(column: Any) -> list[Any]:
    """Return the values of a column as Python's, None where one is missing."""
    from pandas.api import types

    if types.is_datetime64_any_dtype(column.dtype):
        naive = column.dt.tz_convert("UTC").dt.tz_localize(None) if column.dt.tz is not None else column
        return [None if value is None or value != value else value for value in naive.dt.to_pydatetime()]
    plain = [value.item() if hasattr(value, "item") else value for value in column.tolist()]
    missing = column.isna().tolist()
    number = types.is_numeric_dtype(column.dtype)
    return [
        None if gap else value if number or isinstance(value, bool) else str(value)
        for value, gap in zip(plain, missing, strict=True)
    ]


def _cell_format(schema: ColumnSchema | None, column: Any) -> str:
    """Return the format of a column's cells: its own, or what looks like the form in which it was read."""
    from pandas.api import types

    is_time = types.is_datetime64_any_dtype(column.dtype)
    if schema is not None and schema.cell_format:
        return schema.cell_format
    if is_time:
        form = "" if schema is None else schema.date_format
        if form:
            return re.sub(r"%-?(3f|\w)", lambda match: _FORMATS[match[1]], form)
        times = column.dropna()
        return "yyyy-mm-dd" if (times == times.dt.normalize()).all() else "yyyy-mm-dd hh:mm:ss"
    if schema is None or not types.is_numeric_dtype(column.dtype) or not schema.has_form:
        return ""
    digits = "#,##0" if schema.thousands else "0"
    least = schema.decimals[0] if schema.decimals else 0
    most = schema.decimals[1] if schema.decimals else 0
    digits += f".{'0' * least}{'#' * (most - least)}" if most else ""
    before, behind = (f'"{text}"' if text else "" for text in (schema.prefix, schema.suffix))
    return f"{before}{digits}{behind}"
