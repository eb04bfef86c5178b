"""What do the cells of a column of text mean: numbers, truth values, dates, or text?

A text file does not say. A column is what all its cells are, once those that mean a missing value are taken
out: one rule for all columns. Digits of which some begin with a zero are codes, and stay text. What was
recognised is a :class:`ColumnSchema`, by which the same column of another file is read, and written, in the
same way.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from diffuscope.data.columnar.dates import (
    find_date_format,
    find_date_formats,
    iso_form,
    looks_like_a_date,
    parse_any,
)
from diffuscope.data.columnar.numbers import decimals_of, exponents_of, find_number_form, parse_number
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, Name, schema_of
from diffuscope.errors import InputError

__all__ = ["ReadColumn", "plain_text", "read_columns"]

_FIRST = 100  # distinct cells that are tried before all are
_STRAY = 0.2  # share of text below which a column looks like one of numbers
_TRUE = ("true", "yes", "y", "t", "1")
_FALSE = ("false", "no", "n", "f", "0")


@dataclass(frozen=True)
class ReadColumn:
    """A column as it was read: an Arrow array of n values, and what is to be said of it.

    ``words`` are those that were taken for missing values. Of a column whose cells have several readings
    ``is_ambiguous``; ``decimal`` and ``day_first`` are what its cells prove of the file.
    """

    values: Any
    schema: ColumnSchema
    remarks: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_ambiguous: bool = False
    decimal: str | None = None
    day_first: bool | None = None
    warning: str = ""

    def formatted(self, cell_format: str) -> ReadColumn:
        """Return the column with the format of a spreadsheet's cells."""
        return replace(self, schema=self.schema.model_copy(update={"cell_format": cell_format}))


@dataclass(frozen=True)
class _Hints:
    """What other columns of the file prove."""

    decimal: str | None = None
    day_first: bool | None = None


def read_columns(
    cells: Sequence[tuple[Name, Any]],
    options: FileOptions,
    known: Iterable[ColumnSchema] = (),
    where: str = "The file",
) -> list[ReadColumn]:
    """Read columns, each a name and an Arrow array of texts, by what is ``known`` of them, or by recognition.

    Raises an InputError where a cell is not of the kind that its column is known, or said, to have.
    """
    schemas = schema_of(known)
    read = []
    for name, texts in cells:
        column = _Column(name, texts, options, where)
        schema = schemas.get(str(name))
        read.append(column.recognised(_Hints()) if schema is None else column.known(schema))
    decimals = {one.decimal for one in read if one.decimal is not None}
    orders = {one.day_first for one in read if one.day_first is not None}
    hints = _Hints(decimals.pop() if len(decimals) == 1 else None, orders.pop() if len(orders) == 1 else None)
    for j, (name, texts) in enumerate(cells):
        guessed = read[j].is_ambiguous or (hints.decimal == "," and read[j].schema.kind == "number")
        if guessed and str(name) not in schemas and read[j].decimal is None:
            read[j] = _Column(name, texts, options, where).recognised(hints)
        if read[j].warning:
            warnings.warn(read[j].warning, UserWarning, stacklevel=2)
    return read


def plain_text(text: str, schema: ColumnSchema, options: FileOptions) -> str:
    """Return a value in the form of a column as a program writes it; other texts as they are."""
    import pyarrow as pa

    if schema.zone or not (schema.has_form or schema.date_format or schema.words):
        return text
    try:
        cells = [(schema.name, pa.array([text], pa.large_string()))]
        value = read_columns(cells, options, [schema])[0].values[0].as_py()
    except InputError:
        return text
    return text if value is None else str(value)


class _Column:
    """The cells of one column."""

    def __init__(self, name: Name, cells: Any, options: FileOptions, where: str) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        self.name, self.options, self.where = name, options, where
        trimmed = pc.utf8_trim_whitespace(cells)
        words = pa.array(options.missing_words, trimmed.type)
        holes = pc.fill_null(pc.is_in(trimmed, words), True)
        nothing = pa.scalar(None, trimmed.type)
        self.text = pc.if_else(holes, nothing, cells)
        self.trimmed = pc.if_else(holes, nothing, trimmed)
        found = (
            pc.value_counts(trimmed.filter(holes).drop_null()).to_pylist() if self.trimmed.null_count else []
        )
        found.sort(key=lambda entry: -entry["counts"])
        self.words = tuple(entry["values"] for entry in found if entry["values"])
        self.hole = found[0]["values"] if found else ""
        self.unclear: tuple[str, ...] = ()  # two dates of which one has two readings

    # --- what is known -------------------------------------------------------------------------------------

    def known(self, schema: ColumnSchema) -> ReadColumn:
        """Read the column as another file's of the same name was read."""
        import pyarrow as pa

        kind = schema.kind
        if kind in ("category", "id", "text", "ignored"):
            values = self.text
        elif kind == "boolean":
            values = self._truths(schema.words)
        elif kind == "date":
            values = self._dates(schema)
        else:
            values = None if schema.has_form else self._plain_number(True)
            values = self._formed(schema) if values is None else values
        if values is None:
            raise self._unlike(schema)
        if values.null_count == len(values) and kind in ("integer", "number"):
            values = values.cast(pa.float64())
        return ReadColumn(values, schema, words=self.words)

    def _unlike(self, schema: ColumnSchema) -> InputError:
        form = f" ({schema.date_format})" if schema.date_format else ""
        what = {"date": f"dates{form}", "boolean": "truth values"}.get(schema.kind, f"{schema.kind}s")
        row, text = self._first_unlike(schema)
        said = self.options.kind_of(self.name) is not None
        return InputError(
            f"{self.where} has {text!r} in row {row} (counted from 0) of the column {self.name!r}, which is "
            f"{'said to have' if said else 'read as'} {what}.",
            f"Correct it, name it as missing (--missing {shlex.quote(text)}), or say what the column is "
            f"(--types {shlex.quote(f'{self.name}=category')}).",
        )

    def _first_unlike(self, schema: ColumnSchema) -> tuple[int, str]:
        """Return row and text of the first cell that is not of a schema."""
        for row, text in enumerate(self.trimmed.to_pylist()):
            if text is None:
                continue
            one = _Column(self.name, self.trimmed.slice(row, 1), self.options, self.where)
            with contextlib.suppress(InputError):
                if schema.kind == "boolean":
                    fits = one._truths(schema.words)
                elif schema.kind == "date":
                    fits = one._dates(schema)
                else:
                    fits = one._formed(schema)
                if fits is not None:
                    continue
            return row, text
        return 0, ""

    # --- what is recognised --------------------------------------------------------------------------------

    def recognised(self, hints: _Hints) -> ReadColumn:
        """Read the column as what all its cells are."""
        import pyarrow as pa

        said = self.options.kind_of(self.name)
        if said is None and isinstance(self.options.date_format, dict) and self.options.format_of(self.name):
            said = "date"
        if said is not None:
            return self._said(said, hints)
        if self.trimmed.null_count == len(self.trimmed):
            return self._as(self.trimmed.cast(pa.float64()), "number")
        if self._all(r"^\d+$") and self._any(r"^0\d"):
            return self._as(self.text, "category", remarks=("codes with leading zeros, kept as text",))
        for attempt in (self._as_number, self._as_truths, self._as_date):
            found = attempt(hints)
            if found is not None:
                return found
        if self.unclear:
            return self._as(self.text, "category", is_ambiguous=True, warning=self._of_unclear_dates())
        return self._as(self.text, "category", remarks=self._nearly_numbers())

    def _said(self, kind: str, hints: _Hints) -> ReadColumn:
        """Read the column as the user says."""
        import pyarrow as pa

        found = None
        if kind in ("category", "id", "text", "ignored"):
            return self._as(self.text, kind)
        if self.trimmed.null_count == len(self.trimmed):
            return self._as(self.trimmed.cast(pa.float64()), "number")
        if kind in ("number", "integer"):
            found = self._as_number(hints)
            if kind == "number" and found is not None and found.schema.kind == "integer":
                schema = found.schema.model_copy(update={"kind": "number", "decimals": (0, 0)})
                found = replace(found, values=found.values.cast(pa.float64()), schema=schema)
            if kind == "integer" and found is not None and found.schema.kind == "number":
                found = None
        elif kind == "boolean":
            found = self._as_truths(hints) or self._as_words()
        elif kind == "date":
            found = self._as_date(hints)
        if found is None:
            raise self._unlike(ColumnSchema(name=self.name, kind=kind))  # type: ignore[arg-type]
        return found

    def _as(self, values: Any, kind: str, form: ColumnSchema | None = None, **more: Any) -> ReadColumn:
        changes: dict[str, Any] = {"name": self.name, "kind": kind, "hole": self.hole}
        if kind == "integer":
            changes["decimals"] = None
        schema = ColumnSchema(name=self.name, kind="text") if form is None else form
        return ReadColumn(values, schema.model_copy(update=changes), words=self.words, **more)

    def _as_number(self, hints: _Hints) -> ReadColumn | None:
        import pyarrow as pa

        options = self.options
        by_point = options.decimal != "," and options.thousands != "."
        unclear = hints.decimal == "," and self._any(r"\.") and self._all(r"^[-+]?[1-9]\d{0,2}(\.\d{3})*$")
        if (by_point and not unclear) or not self._any(r"\."):
            values = self._plain_number(options.kind_of(self.name) is not None)
            if values is not None:
                whole = pa.types.is_integer(values.type)
                decimals, exponent = (0, 0) if whole else decimals_of(self.trimmed.drop_null()), ""
                if decimals is None and self._any("[eE]"):
                    exponent, decimals = exponents_of(self._distinct())
                form = ColumnSchema(name=self.name, kind="number", decimals=decimals, exponent=exponent)
                proven = "." if not whole and not unclear and self._begins_with_decimals() else None
                return self._as(values, "integer" if whole else "number", form, decimal=proven)
            if self._all(r"^[-+]?\d+$"):  # beyond 64 bits
                return None
        texts = self._distinct()
        found = find_number_form(texts[:_FIRST], options.decimal, options.thousands, hints.decimal)
        found = found and find_number_form(texts, options.decimal, options.thousands, hints.decimal)
        values = None if found is None else self._formed(found.form)
        if found is None or values is None:
            # A sign that is said of all columns does not hold of those whose cells contradict it.
            plain = None if by_point else self._plain_number(False)
            return None if plain is None else self._as(plain, "number")
        remarks = [f"written as {max(texts[:_FIRST], key=len)!r}"]
        if found.is_ambiguous:
            mark = {"": found.form.decimal}.get(found.form.thousands, found.form.thousands)
            sign, other = ("thousands", "decimals") if found.form.thousands else ("decimals", "thousands")
            point = mark if found.form.thousands else {",": ".", ".": ","}[mark]
            remarks.append(f"{mark!r} taken for {sign}; if for {other}: --decimal '{point}'")
        return self._as(
            values,
            "integer" if pa.types.is_integer(values.type) else "number",
            found.form,
            remarks=tuple(remarks),
            is_ambiguous=found.is_ambiguous,
            decimal=found.decides,
        )

    def _as_truths(self, hints: _Hints) -> ReadColumn | None:
        if not self._all("^(?i:true|false)$"):
            return None
        texts = sorted(self._distinct(), key=str.lower)
        words = (texts[0], texts[1]) if [text.lower() for text in texts] == ["false", "true"] else None
        form = ColumnSchema(name=self.name, kind="boolean", words=words)
        return self._as(self._truths(words), "boolean", form)

    def _as_words(self) -> ReadColumn | None:
        """Read two words, such as yes and no, as truth values."""
        texts = self._distinct()
        no = [text for text in texts if text.lower() in _FALSE]
        yes = [text for text in texts if text.lower() in _TRUE]
        if len(no) > 1 or len(yes) > 1 or len(texts) != len(no) + len(yes):
            return None
        words = (no[0], yes[0]) if len(texts) == 2 else None
        form = ColumnSchema(name=self.name, kind="boolean", words=words)
        return self._as(self._truths(words), "boolean", form)

    def _as_date(self, hints: _Hints) -> ReadColumn | None:
        given = self.options.format_of(self.name)
        if given is not None:
            values = self._parsed_dates([given])
            if values is not None:
                form = ColumnSchema(name=self.name, kind="date", date_format=given)
                return self._as(values, "date", form)
        values = self._iso_dates()
        if values is not None:
            written, zone = iso_form(self._distinct())
            form = ColumnSchema(name=self.name, kind="date", date_format=written, zone=zone)
            return self._as(values, "date", form)
        texts = self._distinct()
        found = find_date_format(texts, hints.day_first)
        if found is None:
            return self._as_mixed_dates(texts, hints, given)
        values, remarks = self._parsed_dates([found.format]), [f"written as {texts[0]!r}"]
        if found.others:
            order = {"d": "day", "m": "month", "y": "year", "Y": "year"}[found.format.replace("%-", "%")[1]]
            other = shlex.quote(f"{self.name}={found.others[0]}")
            remarks.append(f"taken to have the {order} first; if not: --date-format {other}")
        return self._as(
            values,
            "date",
            ColumnSchema(name=self.name, kind="date", date_format=found.format),
            remarks=tuple(remarks),
            is_ambiguous=bool(found.others),
            day_first=found.day_first,
        )

    def _as_mixed_dates(self, texts: list[str], hints: _Hints, given: str | None) -> ReadColumn | None:
        """Read dates that are written in several ways; None where it is not clear how."""
        if not all(map(looks_like_a_date, texts[:_FIRST])):
            return None
        forms, self.unclear = find_date_formats(texts, hints.day_first, given)
        values = self._parsed_dates(forms) if forms else None
        if values is not None:
            form = ColumnSchema(
                name=self.name, kind="date", date_format=forms[0], other_formats=tuple(forms[1:])
            )
            return self._as(
                values, "date", form, remarks=(f"written in {len(forms)} ways: {', '.join(forms)}",)
            )
        return None

    def _of_unclear_dates(self) -> str:
        """Say that dates are read as text, and how to change that."""
        first, second = self.unclear
        example = shlex.quote(f"{self.name}=%d/%m/%Y")
        return (
            f"The column {self.name!r} has dates written in several ways, such as {first!r} and {second!r}, "
            "and it is not clear which number is the day: it is read as text. Say the format of the former, "
            f"such as --date-format {example}."
        )

    def _nearly_numbers(self) -> tuple[str, ...]:
        """Say so where nearly all cells of a column of text are numbers."""
        import pyarrow.compute as pc

        numbers = pc.match_substring_regex(self.trimmed, r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$")
        strays = self.trimmed.filter(pc.invert(numbers)).drop_null()
        present = len(self.trimmed) - self.trimmed.null_count
        if not 0 < len(strays) < _STRAY * present:
            return ()
        word = strays[0].as_py()[:40]
        cells = "one cell" if len(strays) == 1 else f"{len(strays):,} cells"
        return (f"numbers but for {cells} such as {word!r}; if missing: --missing {shlex.quote(word)}",)

    # --- cells as values -----------------------------------------------------------------------------------

    def _plain_number(self, said: bool) -> Any:
        """Return the values of numbers as programs write them; None where they are none.

        Integers beyond 64 bits are numbers only where that is ``said``.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        plain = pc.replace_substring_regex(self.trimmed, r"^\+", "")
        if self._all(r"^[-+]?\d+$"):
            for whole in (pa.int64(), pa.uint64()):
                with contextlib.suppress(pa.ArrowInvalid):
                    return plain.cast(whole)
            return _floats(plain) if said else None
        return _floats(plain)

    def _formed(self, form: ColumnSchema) -> Any:
        """Return the values of numbers in a form; None where a cell has another."""
        import pyarrow as pa

        coded = self.trimmed.dictionary_encode()
        values = [parse_number(text, form) for text in coded.dictionary.to_pylist()]
        if any(value is None for value in values):
            return None
        whole = all(isinstance(value, int) and abs(value) < 2**63 for value in values)
        kind = pa.int64() if whole and form.kind == "integer" else pa.float64()
        return pa.array(
            [value if whole else float(value) for value in values if value is not None], kind
        ).take(coded.indices)

    def _truths(self, words: tuple[str, str] | None) -> Any:
        """Return truth values; None where a cell is neither word."""
        import pyarrow as pa

        coded = self.trimmed.dictionary_encode()
        values = []
        for text in coded.dictionary.to_pylist():
            if words is not None and text in words:
                values.append(text == words[1])
            elif text.lower() in (*_TRUE, *_FALSE):
                values.append(text.lower() in _TRUE)
            else:
                return None
        return pa.array(values, pa.bool_()).take(coded.indices)

    def _dates(self, schema: ColumnSchema) -> Any:
        """Return times in the formats of a schema, or by ISO 8601; None where a cell is neither."""
        forms = [schema.date_format, *schema.other_formats] if schema.date_format and not schema.zone else []
        values = self._parsed_dates(forms) if forms else None
        return self._iso_dates() if values is None else values

    def _parsed_dates(self, forms: Sequence[str]) -> Any:
        import pyarrow as pa

        coded = self.trimmed.dictionary_encode()
        times = parse_any(coded.dictionary.to_pylist(), forms)
        if times.isna().any():
            return None
        return pa.array(times.to_numpy()).take(coded.indices)

    def _iso_dates(self) -> Any:
        import pyarrow as pa

        for zone in (None, "UTC"):
            for unit in ("us", "ns"):
                with contextlib.suppress(pa.ArrowInvalid):
                    self.trimmed.drop_null()[:_FIRST].cast(
                        pa.timestamp(unit, zone)
                    )  # to fail takes a while a cell
                    return self.trimmed.cast(pa.timestamp(unit, zone))
        return None

    def _begins_with_decimals(self) -> bool:
        """Whether points among the first cells are no separators of thousands."""
        return any(
            re.search(r"\.(\d{1,2}|\d{4,})$", text or "") for text in self.trimmed[:_FIRST].to_pylist()
        )

    def _distinct(self) -> list[str]:
        found: list[str] = self.trimmed.drop_null().unique().to_pylist()
        return found

    def _all(self, pattern: str) -> bool:
        import pyarrow.compute as pc

        first = self.trimmed[:_FIRST]
        return all(
            pc.all(pc.match_substring_regex(part, pattern)).as_py() is not False
            for part in (first, self.trimmed)
        )

    def _any(self, pattern: str) -> bool:
        import pyarrow.compute as pc

        return bool(pc.any(pc.match_substring_regex(self.trimmed, pattern)).as_py())


def _floats(plain: Any) -> Any:
    import pyarrow as pa

    with contextlib.suppress(pa.ArrowInvalid):
        plain.drop_null()[:_FIRST].cast(pa.float64())
        return plain.cast(pa.float64())
    return None
