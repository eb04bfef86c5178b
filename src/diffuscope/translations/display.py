"""How wide is a text where every character has the same width, and where do its lines break?

A Chinese character is two columns wide, and a line may end after any; not before a full stop or the like.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata

from diffuscope.translations import translate

__all__ = ["broken", "fill", "ljust", "rjust", "width", "wrap"]

_NARROW = re.compile(r"[\x00-\u02ff\u0370-\u0482]*")  # what has nothing that is two columns wide
_PIECES = re.compile(r"[^\s\u2e80-\uffef]+|\s+|[\u2e80-\uffef]")
_NOT_FIRST = set("，。；：！？、）】》”’%")
_NOT_LAST = set("（【《“‘")


def width(text: str) -> int:
    """Return how many columns a text takes."""
    if _NARROW.fullmatch(text):
        return len(text)
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def ljust(text: str, columns: int) -> str:
    """Return a text with spaces behind it, so that it takes so many columns."""
    return text + " " * (columns - width(text))


def rjust(text: str, columns: int) -> str:
    """Return a text with spaces before it, so that it takes so many columns."""
    return " " * (columns - width(text)) + text


def wrap(text: str, columns: int, indent: str = "") -> list[str]:
    """Return a text in the chosen language as lines of at most so many columns, each with an indent."""
    return broken(translate(text), columns, indent)


def broken(text: str, columns: int, indent: str = "") -> list[str]:
    """Return a text as it is as lines of at most so many columns, each with an indent."""
    if _NARROW.fullmatch(text) or not _has_wide(text):
        return textwrap.wrap(text, columns, initial_indent=indent, subsequent_indent=indent)
    lines, line, taken = [], "", width(indent)
    for piece in _pieces(" ".join(text.split())):
        wide = width(piece)
        if line and taken + wide > columns:
            lines.append(indent + line.rstrip())
            line, taken = "", width(indent)
        if line or not piece.isspace():
            line, taken = line + piece, taken + wide
    return [*lines, indent + line.rstrip()] if line.strip() else lines


def fill(text: str, columns: int) -> str:
    """Return a text in the chosen language, broken into lines of at most so many columns."""
    return "\n".join(wrap(text, columns))


def _has_wide(text: str) -> bool:
    return any(_columns(character) > 1 for character in text)


def _pieces(text: str) -> list[str]:
    """Return what is not divided: words, and characters with the signs that stay beside them."""
    pieces: list[str] = []
    for piece in _PIECES.findall(text):
        sticks = pieces and (piece[0] in _NOT_FIRST or pieces[-1][-1] in _NOT_LAST)
        if sticks and not pieces[-1].isspace():
            pieces[-1] += piece
        else:
            pieces.append(piece)
    return pieces
