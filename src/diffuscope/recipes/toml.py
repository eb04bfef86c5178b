"""How is TOML of a stranger read? As values within bounds that are checked before it is parsed.

A few bytes can stand for much: each part of a dotted key is a table, each bracket a list in a list. So
length, depth and number of tables are counted in the text, in one pass over it, and the parser sees no text
beyond them. Whole numbers are those of TOML, of 64 bits.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffuscope.errors import FormatError, InputError

__all__ = ["check_tree", "parse_toml", "read_text", "read_value"]

MOST_CHARACTERS = 2**22
MOST_DEPTH = 16
MOST_TABLES = 250_000
_LONGEST_WORD = 4096
_LONGEST_VALUE = 2**16  # of a setting on the command line
_STRING = re.compile(  # also one that is not closed; nothing is tried twice
    r'#[^\n]*+|"""(?:[^"\\]++|\\.|"(?!""))*+(?:"{3,5})?|"(?:[^"\\\n]++|\\.)*+"?'
    r"|'''(?:[^']++|'(?!''))*+(?:'{3,5})?|'[^'\n]*+'?",
    re.DOTALL,
)
_PIECE = re.compile(r"[^=,{}\[\]\n]+|\[\[?|[{}\]]")


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """Return the values of a TOML text; ``where`` it comes from is what errors say.

    Text that is too long, nested too deeply or no TOML is a FormatError.
    """
    _check_text(text, where)
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for digits beyond Python's limit
        said = str(error).splitlines()[0].rstrip(".")
        raise FormatError(f"{where} is not valid TOML: {said}.", "Correct that line.") from error
    check_tree(tree, where)
    return tree


def read_value(text: str) -> Any:
    """Return the value of a setting that is given as TOML; bare words are text."""
    if len(text) > _LONGEST_VALUE:
        raise InputError(
            f"A setting of {len(text):,} characters is too long.", f"Write at most {_LONGEST_VALUE:,}."
        )
    try:
        _check_text(text, "The setting")
        value = tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, FormatError):
        return text
    except (ValueError, RecursionError) as error:
        what = f"{text[:40]!r} is not a valid setting: {error}."
        raise InputError(what, "Write a shorter value.") from error
    check_tree(value, "The setting")
    return value


def read_text(path: Path, what: str) -> str:
    """Return the text of a file that is no longer than a recipe may be; ``what`` it is in errors."""
    if path.exists() and not path.is_file():  # opening a pipe could wait for ever
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise InputError(f"Cannot read the {what} {path}: it is {kind}.", "Give a TOML file.")
    try:
        with path.open("rb") as file:
            content = file.read(4 * MOST_CHARACTERS + 1)
        if len(content) > 4 * MOST_CHARACTERS:
            raise _too_long(str(path))
        return content.decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"There is no {what} {path}.", "Check the path.") from None
    except UnicodeDecodeError as error:
        raise FormatError(f"{path} is not a text file.", "Give a TOML file.") from error
    except OSError as error:
        raise InputError(f"Cannot read the {what} {path}: {error.strerror}.", "Check the path.") from error


def check_tree(tree: Any, where: str) -> None:
    """Raise an InputError for whole numbers beyond 64 bits, depth, or text that cannot be stored."""
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, int):
            if not -(2**63) <= value < 2**63:
                raise InputError(f"{where} has a whole number beyond 64 bits.", "Write a smaller number.")
        elif isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise InputError(
                    f"{where} has text that is not valid UTF-8: {value}",
                    "A recipe stores it: rename the file or folder that it names.",
                ) from error
        elif isinstance(value, Mapping | list | tuple):
            if depth > MOST_DEPTH:
                raise InputError(f"{where} is nested more than {MOST_DEPTH} deep.", "Make it flatter.")
            inner = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
            waiting += [(one, depth + 1) for one in inner]


def _too_long(where: str) -> FormatError:
    return FormatError(
        f"{where} is longer than {MOST_CHARACTERS:,} characters, which no recipe is.", "Give a recipe."
    )


def _check_text(text: str, where: str) -> None:
    """Raise a FormatError for text whose values could be far larger than it is."""
    if len(text) > MOST_CHARACTERS:
        raise _too_long(where)
    depth = tables = 0
    for match in _PIECE.finditer(_STRING.sub("_", text)):
        piece = match[0]
        if piece[0] in "[{":
            depth += 1
            tables += 1
        elif piece in "]}":
            depth = max(0, depth - 1)
        else:
            dots = piece.count(".")
            tables += dots
            if len(piece) > _LONGEST_WORD and len(piece.strip()) > _LONGEST_WORD:
                raise FormatError(f"{where} has a word of {len(piece):,} characters.", "Shorten it.")
            if dots > MOST_DEPTH:
                raise _too_deep(where)
        if depth > MOST_DEPTH:
            raise _too_deep(where)
        if tables > MOST_TABLES:
            raise FormatError(f"{where} has more than {MOST_TABLES:,} tables and lists.", "Give a recipe.")


def _too_deep(where: str) -> FormatError:
    hint = "A recipe has sections and settings."
    return FormatError(f"{where} is nested more than {MOST_DEPTH} deep.", hint)
