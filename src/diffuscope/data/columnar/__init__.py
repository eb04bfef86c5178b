"""Tables in files: numbers or columns of any kind, read, checked and written in pieces."""

from __future__ import annotations

from diffuscope.data.columnar.foreign import suffix_of
from diffuscope.data.columnar.formulas import Formulas
from diffuscope.data.columnar.reading import READABLE, TABLES, RowsFile, open_rows, read_rows, read_table
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, read_types
from diffuscope.data.columnar.writing import (
    WRITABLE,
    TableWriter,
    check_writable,
    numbered,
    write_filled,
    write_rows,
    write_table,
)

__all__ = [
    "READABLE",
    "TABLES",
    "WRITABLE",
    "ColumnSchema",
    "FileOptions",
    "Formulas",
    "RowsFile",
    "TableWriter",
    "check_writable",
    "numbered",
    "open_rows",
    "read_rows",
    "read_table",
    "read_types",
    "suffix_of",
    "write_filled",
    "write_rows",
    "write_table",
]
