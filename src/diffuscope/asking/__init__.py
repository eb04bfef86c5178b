"""What can be asked of a model of a table? Rows, parts of rows, their density, what noise hides."""

from diffuscope.asking.rows import RowModel

__all__ = ["RowModel"]
