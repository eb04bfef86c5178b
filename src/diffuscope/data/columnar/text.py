"""How do the cells of a text file come out of it, and go into one, as the texts that they are?

Arrow parses regular files; pandas those with spaces behind separators and rows that are too short, and it
says in which line a file is no table.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from diffuscope.data.bounds import check_unpacked, unzipped
from diffuscope.data.columnar.arrays import Columns
from diffuscope.data.columnar.foreign import foreign
from diffuscope.data.columnar.schema import FileOptions
from diffuscope.errors import FormatError, InputError

__all__ = [
    "SEPARATORS",
    "Source",
    "blanks_before",
    "cell",
    "cells_of",
    "encoder",
    "is_compressed",
    "is_number",
    "is_spaced",
    "meant",
    "other_separators",
    "read_cells",
    "separator_of",
    "text_pieces",
]

SEPARATORS = {".csv": ",", ".tsv": "\t", ".csv.gz": ",", ".tsv.gz": "\t"}
_SEPARATOR_NAMES = {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars", " ": "spaces"}
_QUOTED = re.compile(r'"[^"]*"')
_UNSAFE = re.compile(r'["\r\n]|^\s|\s$')
_PIECE, _LONGEST_ROW = 2**25, 2**28  # characters
_BREAKS = re.compile(r'["\r\n]')


class Source(NamedTuple):
    """The text of a file: the lines up to its header, if it has one, and the rows behind them."""

    header: str
    body: str
    separator: str

    def rows(self) -> tuple[list[list[str]], list[str]]:
        """Return the cells of each row letter for letter, with blanks and quotes, and the ends of lines."""
        mark, blanks = re.escape(self.separator), " " if self.separator == "\t" else " \t"
        pattern = re.compile(
            rf'([{blanks}]*"(?:[^"]|"")*"[^{mark}\r\n]*|[^{mark}\r\n]*)({mark}|\r\n|\r|\n|\Z)'
        )
        rows: list[list[str]] = []
        ends: list[str] = []
        row: list[str] = []
        for match in pattern.finditer(self.body):
            row.append(match[1])
            if match[2] == self.separator:
                continue
            if len(row) > 1 or row[0].strip():  # readers skip lines without anything
                rows.append(row)
                ends.append(match[2] or "\n")
            row = []
        return rows, ends


def meant(raw: str) -> str:
    """Return the text that a cell means, without the blanks before it and its quotes."""
    text = raw.lstrip(" \t")
    if not text.startswith('"'):
        return text
    end = text.rindex('"') if text.count('"') > 1 else len(text)
    return text[1:end].replace('""', '"') + text[end + 1 :]


def blanks_before(source: Source, width: int) -> list[str]:
    """Return what stands before every cell of each column that is not empty; nothing where that differs."""
    found: list[set[str]] = [set() for _ in range(width)]
    for row in source.rows()[0]:
        for seen, raw in zip(found, row, strict=False):
            text = raw.lstrip(" \t")
            if text and len(seen) < 2:
                seen.add(raw[: len(raw) - len(text)])
    return [seen.pop() if len(seen) == 1 else "" for seen in found]


def separator_of(suffix: str, options: FileOptions) -> str:
    """Return what separates values in files of a suffix: what was said of .csv, a tab in .tsv."""
    usual = SEPARATORS[suffix]
    return options.sep if options.sep is not None and usual == "," else usual


def is_compressed(suffix: str) -> bool:
    """Whether files of a suffix are compressed."""
    return suffix.endswith(".gz")


def read_cells(path: Path, suffix: str, options: FileOptions) -> tuple[list[Any], Columns, Source]:
    """Return the columns of a text file, each an Arrow array of texts, their names if any, and its text.

    A file has a header unless its first line is all numbers. A row that is too short has empty cells at its
    end. Raises an InputError where there is nothing in the file, or a column has no name; a FormatError where
    it is no text of its encoding, or no table.
    """
    return cells_of(_text(path, suffix, options), path, suffix, options)


def cells_of(text: str, path: Path, suffix: str, options: FileOptions) -> tuple[list[Any], Columns, Source]:
    """Return the columns of a text as :func:`read_cells` does those of a file, which messages name."""
    separator = separator_of(suffix, options)
    lines = io.StringIO(text, newline="")
    records = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        first = next((cells for cells in records if any(map(str.strip, cells))), None)
    except csv.Error as error:
        raise FormatError(f"{path} is not a table in text: {error}.", "Save it as CSV in UTF-8.") from error
    if first is None:
        raise InputError(f"{path} is empty.", "Write at least two rows of numbers into it.")
    if found := other_separators(first, separator):
        expected = _SEPARATOR_NAMES.get(separator, repr(separator))
        raise FormatError(
            f"{path} looks separated by {found[0]}, not by {expected}.",
            f"Save it with {expected} between the values and a point as the decimal sign, "
            "or, where it is learned as a table, say what separates them (--sep).",
        )
    columns, skipped, header = None, 0, ""
    if not all(is_number(text, options.decimal) for text in first):
        columns, skipped = tuple(map(str.strip, first)), records.line_num
        if "" in columns:
            raise InputError(
                f"Column {columns.index('')} (counted from 0) of {path} has no name.",
                "Drop it if it numbers the rows (pandas: to_csv(..., index=False)), else give it a name.",
            )
        header, text = text[: lines.tell()], text[lines.tell() :]
    if not text.strip("\r\n"):
        raise InputError(f"{path} has a header but no rows.", "Give at least two rows of numbers.")
    cells = _by_arrow(text, separator, len(first))
    cells = _by_pandas(text, separator, path, skipped) if cells is None else cells
    return cells, columns, Source(header, text, separator)


def text_pieces(path: Path, suffix: str, options: FileOptions) -> Iterator[str]:
    """Yield the text of a file in pieces that end with a row, the first line before each of them.

    That is a header, or an empty text where the first line is all numbers. Raises as :func:`read_cells` does.
    """
    encoding, packed = options.encoding or "utf-8-sig", path.stat().st_size
    opener: Any = gzip.open if is_compressed(suffix) else open
    with _as_text(path, encoding), opener(path, "rt", encoding=encoding, newline="") as file:
        header, piece, seen = None, "", 0
        while more := file.read(_PIECE):
            piece, seen = piece + more, seen + len(more)
            if is_compressed(suffix):
                check_unpacked(path, packed, seen)
            end = _end_of_rows(piece)
            if end == 0:
                if len(piece) > _LONGEST_ROW:
                    raise FormatError(
                        f"{path} has a row of more than {_LONGEST_ROW:,} characters.",
                        "A quote may be missing that ends a cell: put cells with a quote in quotes.",
                    )
                continue
            if header is None:
                first = _header(piece[:end], separator_of(suffix, options), options)
                if len(first) == end:
                    continue  # no row is whole yet
                header = first
                yield piece[:end]
            else:
                yield header + piece[:end]
            piece = piece[end:]
        if piece.strip("\r\n"):
            yield (header or "") + piece


@contextlib.contextmanager
def _as_text(path: Path, encoding: str) -> Iterator[None]:
    """Say what is wrong with a file that is no text in its encoding, no whole archive, or cannot be read."""
    try:
        yield
    except UnicodeError as error:
        name = encoding.removesuffix("-sig").upper()
        raise foreign(
            path, f"text in {name}", "Save it as CSV in UTF-8, or say its encoding (--encoding)."
        ) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise foreign(path, "a whole gzip file", "Compress or copy it again.", error) from error
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}.", "Check the path and its permissions."
        ) from error


def _end_of_rows(text: str) -> int:
    """Return where the last whole row of a text ends; 0 where there is none."""
    end, quotes = len(text), text.count('"')
    while (start := text.rfind("\n", 0, end)) >= 0:
        quotes -= text.count('"', start, end)
        if quotes % 2 == 0:  # else it is within a quoted cell
            return start + 1
        end = start
    return 0


def _header(text: str, separator: str, options: FileOptions) -> str:
    """Return the header of a text, with its line's end; nothing where it has none."""
    lines = io.StringIO(text, newline="")
    records = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    first = next((cells for cells in records if any(map(str.strip, cells))), [])
    if all(is_number(cell, options.decimal) for cell in first):
        return ""
    return text[: lines.tell()]


def _text(path: Path, suffix: str, options: FileOptions) -> str:
    """Return the text of a file."""
    encoding = options.encoding or "utf-8-sig"
    with _as_text(path, encoding):
        content = unzipped(path) if is_compressed(suffix) else path.read_bytes()
        text = content.decode(encoding)
    return text.removeprefix("\ufeff")


def _by_arrow(text: str, separator: str, width: int) -> list[Any] | None:
    """Return the columns of a regular file; None where Arrow would read other cells than pandas."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    if is_spaced(text, separator) or "\0" in text or text.count('"') % 2:  # Arrow takes an open quote
        return None
    names = [str(j) for j in range(width)]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(text.encode()),
            read_options=arrow_csv.ReadOptions(column_names=names, use_threads=False),
            parse_options=arrow_csv.ParseOptions(delimiter=separator, newlines_in_values='"' in text),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.large_string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, UnicodeError):
        return None
    return [column.combine_chunks() for column in table.columns] if table.num_rows else None


def is_spaced(text: str, separator: str) -> bool:
    """Whether blanks stand before some of the cells of a text."""
    outside = _QUOTED.sub("", text) if '"' in text else text
    blanks = " \t".replace(separator, "")
    return text[0] in blanks or any(
        mark + blank in outside for mark in (separator, "\n", "\r") for blank in blanks
    )


def _by_pandas(text: str, separator: str, path: Path, skipped: int) -> list[Any]:
    """Return the columns of any file that pandas can read; ``skipped`` lines were taken off its top."""
    import pandas as pd
    import pyarrow as pa

    try:
        frame = pd.read_csv(
            io.StringIO(text, newline=""),
            header=None,
            sep=separator,
            skipinitialspace=True,
            dtype=str,
            low_memory=False,
            keep_default_na=False,
            na_filter=False,
        )
        return [pa.array(frame[j].fillna(""), pa.large_string()) for j in frame]
    except (pd.errors.EmptyDataError, pd.errors.ParserError) as error:
        if text.count('"') % 2 and (not isinstance(error, pd.errors.ParserError) or "EOF" in str(error)):
            raise FormatError(
                f"{path} has a quote that begins a cell, and none that ends it.",
                "Close the quote, or write a quote that is a part of the text twice, in quotes.",
            ) from error
        if isinstance(error, pd.errors.ParserError):
            raise FormatError(
                f"{path} is not a regular table: {_ragged(str(error), skipped)}.",
                f"Give every row the same number of values, separated by {separator!r}.",
            ) from error
        raise InputError(f"{path} has a header but no rows.", "Give at least two rows of numbers.") from None
    except (UnicodeError, pa.ArrowException) as error:
        raise FormatError(f"{path} is not a table in text: {error}.", "Save it as CSV in UTF-8.") from error


def _ragged(message: str, skipped: int) -> str:
    """The parser's complaint about a row that is too long, its line counted from the start of the file."""
    match = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", message)
    if match is None:
        return message.strip().rstrip(".")
    return f"line {int(match[2]) + skipped} has {match[3]} values where {match[1]} are expected"


def is_number(text: str, decimal: str | None = None) -> bool:
    """Whether a cell of text is a number."""
    try:
        float(text if decimal != "," else text.replace(",", "."))
    except ValueError:
        return False
    return True


def other_separators(first: Sequence[str], separator: str) -> list[str]:
    """Return what seems to separate the first line of a text file, one cell to a reader, if anything does."""
    if len(first) != 1:
        return []
    others = {mark: name for mark, name in _SEPARATOR_NAMES.items() if mark not in (separator, " ")}
    found = [name for mark, name in others.items() if mark in first[0]]
    words = first[0].split()
    return found or ["spaces"] * (len(words) > 1 and all(map(is_number, words)))


def cell(text: str, separator: str, blanks: str = "") -> str:
    """Return text as a cell: in quotes where a reader would end it, or strip it, too early.

    Where ``blanks`` stand before the cells of its column, it is in quotes only if it has to be.
    """
    unsafe = _BREAKS if blanks else _UNSAFE
    if (separator and separator in text) or unsafe.search(text):
        text = '"' + text.replace('"', '""') + '"'
    return blanks + text


def encoder(options: FileOptions) -> codecs.IncrementalEncoder:
    """Return what encodes the pieces of one text file."""
    return codecs.getincrementalencoder(options.encoding or "utf-8")()
