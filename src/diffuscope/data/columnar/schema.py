"""What is said, and what is known, about a file of a table and its columns?

:class:`FileOptions` is what a user says where a file does not say it; :class:`ColumnSchema` how a column
was read, so that a later file is read in the same way and values are written in the form that they had.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer

from diffuscope.data.columnar.arrays import MISSING_WORDS
from diffuscope.errors import InputError, unknown_column

__all__ = ["KINDS", "ColumnSchema", "FileOptions", "Kind", "Name", "read_types", "schema_of"]

Name = int | Annotated[str, Field(max_length=1_000_000)]
"""Of a column; its position where it has none."""
Kind = Literal["number", "integer", "boolean", "category", "date", "text", "ignored", "id"]
"""What a column can be said to be; ``text`` and ``ignored`` are left out of the model."""
KINDS: tuple[str, ...] = get_args(Kind)

_Short = Annotated[str, Field(max_length=40)]
_Word = Annotated[str, Field(max_length=200)]
_TOKENS = re.compile(r"(?:[^%]|%-?[dmHI]|%[YyMSfpbB]|%3f)*")
SPACES = (" ", "\u00a0", "\u202f", "\u2009")
"""Ordinary, no-break, narrow no-break and thin."""


class FileOptions(BaseModel):
    """How a file of a table is to be read, where that is not left to recognition.

    They apply to .csv and .tsv (also in .gz) and, but for ``sep`` and ``encoding``, to .xlsx; ``types`` also
    to files whose columns have types.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    types: Annotated[dict[str, Kind], Field(max_length=100_000)] | None = None
    """Kinds of columns by their names: number, integer, boolean, category, date, id, text or ignored."""
    missing: Annotated[tuple[_Word, ...], Field(max_length=1000)] | None = None
    """Words for a missing value besides an empty cell; None: NA, N/A, NaN, null, None, ?, - and others."""
    decimal: Literal[".", ","] | None = None
    """The decimal sign; None: recognised in each column."""
    thousands: Literal[",", ".", " ", "'", "’", "none"] | None = None
    """The separator of thousands; None: recognised in each column."""
    date_format: _Word | dict[str, _Word] | None = None
    """Format of dates, such as %d/%m/%Y, for all columns or by their names; None: recognised."""
    sep: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """What separates the values of a .csv file; None: a comma."""
    encoding: _Short | None = None
    """Encoding of a text file; None: UTF-8."""

    @field_validator("encoding")
    @classmethod
    def _check_encoding(cls, value: str | None) -> str | None:
        try:
            "".encode(value or "utf-8")
        except (LookupError, ValueError):
            raise InputError(
                f"There is no encoding {value!r}.", "Use utf-8, latin-1, cp1252 or utf-16, for example."
            ) from None
        return value

    @field_validator("date_format")
    @classmethod
    def _check_formats(cls, value: Any) -> Any:
        for text in value.values() if isinstance(value, dict) else [value] if value else []:
            _check_format(text)
        return value

    @property
    def missing_words(self) -> list[str]:
        """All words that stand for a missing value, the empty one among them."""
        return ["", *(MISSING_WORDS if self.missing is None else self.missing)]

    def kind_of(self, name: Name) -> Kind | None:
        """Return the kind that was said of a column."""
        return (self.types or {}).get(str(name))

    def format_of(self, name: Name) -> str | None:
        """Return the format of dates that was given for a column."""
        if isinstance(self.date_format, dict):
            return self.date_format.get(str(name))
        return self.date_format

    def check_names(self, names: Iterable[Name], where: str) -> None:
        """Raise an InputError where an option names a column that there is not."""
        known = {str(name) for name in names}
        formats = self.date_format if isinstance(self.date_format, dict) else {}
        for name in [*(self.types or {}), *formats]:
            if name not in known:
                raise unknown_column(name, sorted(known), f"{_quoted(where)} has no column {{}}.")


class ColumnSchema(BaseModel):
    """How a column was read. ``about`` is what is printed: its range or categories, its holes, its form.

    A number is written as prefix, digits in groups of three between ``thousands``, ``decimal``, digits, and
    suffix; with at least and at most so many ``decimals``, None where they are those of a float. With an
    ``exponent``, such as e-05, ``decimals`` are those before it; where there are none, it is the way in which
    exponents are written that a float has. Dates have a ``date_format``, and a ``zone`` behind it; where they
    are written in several ``other_formats`` as well, each is read in the first that suits it. ``words`` are
    those for false and true, ``hole`` that for a missing value, ``blanks`` what stands before each cell, and
    ``cell_format`` is the format of a cell in a spreadsheet.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    kind: Kind
    about: Annotated[str, Field(max_length=10_000)] = ""
    prefix: _Short = ""
    suffix: _Short = ""
    thousands: Annotated[str, Field(max_length=1)] = ""
    decimal: Annotated[str, Field(min_length=1, max_length=1)] = "."
    decimals: tuple[Annotated[int, Field(ge=0, le=30)], Annotated[int, Field(ge=0, le=30)]] | None = None
    parentheses: bool = False
    """Whether a number below 0 stands in parentheses."""
    exponent: Annotated[str, Field(pattern=r"^([eE]\+?0{1,3})?$")] = ""
    """The exponent 0 with its letter, its sign if it has one, and at least so many digits: e+00, E0."""
    date_format: _Word = ""
    other_formats: Annotated[tuple[_Word, ...], Field(max_length=20)] = ()
    zone: Annotated[str, Field(pattern=r"^(Z|[+-]\d\d(:?\d\d)?)?$")] = ""
    words: tuple[_Word, _Word] | None = None
    hole: _Word = ""
    blanks: Annotated[str, Field(max_length=40, pattern=r"^[ \t]*$")] = ""
    cell_format: _Word = ""

    @field_validator("date_format", "other_formats")
    @classmethod
    def _check_date_format(cls, value: Any) -> Any:
        for text in value if isinstance(value, tuple) else [value] if value else []:
            _check_format(text)
        return value

    @model_serializer(mode="plain")
    def _briefly(self) -> dict[str, Any]:
        """Leave out what is as it is by default."""
        fields = type(self).model_fields
        kept = {key: getattr(self, key) for key in fields}
        return {key: value for key, value in kept.items() if value != fields[key].default}

    @property
    def is_left_out(self) -> bool:
        """Whether the column is no part of the model."""
        return self.kind in ("text", "ignored")

    @property
    def has_form(self) -> bool:
        """Whether its numbers are written otherwise than a program does it."""
        return bool(self.prefix or self.suffix or self.thousands or self.parentheses or self.decimal != ".")

    def line(self, width: int = 0) -> str:
        """Return what is printed of the column, its name padded to ``width``."""
        return f"{self.name!s:<{width}}  {self.about or self.kind}"


def _check_format(text: str) -> None:
    parts = re.findall(r"%-?(3f|\w)", text)
    if not _TOKENS.fullmatch(text) or not parts or len(set(parts)) < len(parts):
        raise InputError(
            f"{text!r} is not a format of dates.",
            "Write it with %d, %m, %Y (or %y, %b, %B) and %H, %I, %M, %S, %f, %p, each once: %d/%m/%Y.",
        )


def read_types(pairs: Iterable[str]) -> dict[str, str]:
    """Read ``COLUMN=KIND,COLUMN=KIND`` as a mapping; names may hold commas and equals signs."""
    found: dict[str, str] = {}
    pattern = re.compile(rf"\s*(.+?)\s*=\s*({'|'.join(KINDS)})\s*(?:,|$)", re.DOTALL)
    for text in pairs:
        at = 0
        while at < len(text):
            match = pattern.match(text, at)
            if match is None:
                raise InputError(
                    f"{text[at:]!r} is not of the form COLUMN=KIND.", f"Kinds: {', '.join(KINDS)}."
                )
            found[match[1]], at = match[2], match.end()
    return found


def _quoted(text: str) -> str:
    """Return text that ``str.format`` leaves as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def schema_of(columns: Iterable[ColumnSchema]) -> Mapping[str, ColumnSchema]:
    """Return the schemas by the names of their columns, as text."""
    return {str(column.name): column for column in columns}
