"""What there is to learn from: built-in point sets and tables of one's own, read, checked and written."""

from __future__ import annotations

from diffuscope.datasets.loading import Dataset, load_dataset
from diffuscope.datasets.points import POINT_SETS, PointSet
from diffuscope.datasets.rows import read_rows
from diffuscope.datasets.tables import READABLE, TABLES, read_table
from diffuscope.datasets.writing import WRITABLE, TableWriter, check_writable, write_rows, write_table

__all__ = [
    "POINT_SETS",
    "READABLE",
    "TABLES",
    "WRITABLE",
    "Dataset",
    "PointSet",
    "TableWriter",
    "check_writable",
    "load_dataset",
    "read_rows",
    "read_table",
    "write_rows",
    "write_table",
]
