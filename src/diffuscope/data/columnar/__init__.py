"""Tables in files: numbers or columns of any kind, read, checked and written in pieces."""

from __future__ import annotations

from diffuscope.data.columnar.reading import READABLE, TABLES, read_rows, read_table
from diffuscope.data.columnar.writing import WRITABLE, TableWriter, check_writable, write_rows, write_table

__all__ = [
    "READABLE",
    "TABLES",
    "WRITABLE",
    "TableWriter",
    "check_writable",
    "read_rows",
    "read_table",
    "write_rows",
    "write_table",
]
