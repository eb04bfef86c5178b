"""Which cells of a text file would a spreadsheet run? Text that begins as a formula does.

A .csv file does not say that ``=HYPERLINK(...)`` is text, and a spreadsheet that opens it runs it. Such cells
come from the data: a model draws the categories that it has seen. They are counted, and written with an
apostrophe before them where that is asked for, so that spreadsheets show them as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from diffuscope.data.columnar.schema import ColumnSchema
from diffuscope.data.columnar.text import is_number
from diffuscope.errors import listed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Formulas", "is_formula", "is_text"]

_STARTS = ("=", "+", "-", "@", "\t", "\r", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # also in full width
_NUMBERS = ("number", "integer", "boolean", "date")


def is_formula(text: str) -> bool:
    """Whether a spreadsheet would take a text for a formula; numbers are none."""
    return len(text) > 1 and text.startswith(_STARTS) and not is_number(text)


class Formulas:
    """Counts such cells by column as they are written, and makes them text if ``safe``."""

    def __init__(self, safe: bool = False) -> None:
        self.safe, self.found = safe, Counter[str]()

    def names(self, names: Iterable[str]) -> list[str]:
        """Return the names of columns as they are written."""
        return [self._cell(name, "the names of columns") for name in names]

    def cell(self, text: str, name: object) -> str:
        """Return a cell of a column of text as it is written."""
        return self._cell(text, repr(name))

    def frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return a table as it is written: its columns of text looked through."""
        from pandas.api import types

        made = frame
        for j, name in enumerate(frame.columns):
            column = frame.iloc[:, j]
            if types.is_numeric_dtype(column.dtype) or types.is_datetime64_any_dtype(column.dtype):
                continue
            values: list[Any] = column.tolist()
            texts = {value for value in values if isinstance(value, str) and is_formula(value)}
            if not texts:
                continue
            self.found[repr(name)] += sum(isinstance(value, str) and value in texts for value in values)
            if self.safe:
                made = made.copy() if made is frame else made
                kept = [f"'{one}" if isinstance(one, str) and one in texts else one for one in values]
                made[name] = _like(column, kept)
        return made

    def note(self) -> str | None:
        """Return what is said of the cells that were found, if any."""
        if not self.found:
            return None
        count = sum(self.found.values())
        cells = f"{count:,} {'cell' if count == 1 else 'cells'} of {listed(self.found, most=5)}"
        what = f"{cells} would be run as formulas by a spreadsheet"
        if self.safe:
            return f"{what}, and have an apostrophe before them."
        return f"{what}; --safe-csv writes an apostrophe before them."

    def _cell(self, text: str, where: str) -> str:
        if not is_formula(text):
            return text
        self.found[where] += 1
        return f"'{text}" if self.safe else text


def is_text(schema: ColumnSchema | None) -> bool:
    """Whether the cells of a column in a file are texts and not numbers in some form."""
    return schema is None or schema.kind not in _NUMBERS


def _like(column: pd.Series[Any], values: list[Any]) -> Any:
    """Return values as a column of objects with the index of another."""
    import pandas as pd

    return pd.Series(values, index=column.index, dtype=object)
