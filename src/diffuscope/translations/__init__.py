"""How does the program speak another language? Its texts are English, and translated where they leave it.

They leave it for a person: on a terminal, in a figure, on a page, in what an object says of itself. Files of
numbers and settings, and all names and paths, stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cache
from typing import Literal, get_args

from diffuscope.translations.catalogue import CATALOGUES, SIGNS, Catalogue, read_catalogue

__all__ = ["LANGUAGES", "VARIABLE", "Language", "choose", "chosen", "joined", "language", "term", "translate"]

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
VARIABLE = "DIFFUSCOPE_LANG"
_chosen: str | None = None


def choose(name: str | None) -> None:
    """Speak one of ``LANGUAGES`` from now on; None: what the environment variable names."""
    global _chosen
    _chosen = name


def chosen() -> str | None:
    """Return the language that was chosen, if one was."""
    return _chosen


def language() -> Language:
    """Return the language of messages, figures and pages: "en" or "zh"."""
    return "zh" if (_chosen or os.environ.get(VARIABLE, "")) == "zh" else "en"


def translate(text: object) -> str:
    """Return a text in the language that is spoken; what the catalogue does not know stays as it is.

    A text of one word stays too, since it may be a name that somebody gave: see :func:`term`.
    """
    said = str(text)
    name = language()
    return said if name == "en" else _catalogue(name).translate(said)


def term(word: str) -> str:
    """Return a word or words of the program's own, such as a heading, in the language that is spoken."""
    name = language()
    return word if name == "en" else _catalogue(name).term(word)


def joined(parts: Iterable[str], sign: str) -> str:
    """Return texts, each translated, with ", " or ": " between them as the language writes it."""
    return (sign if language() == "en" else SIGNS[sign]).join(map(translate, parts))


@cache
def _catalogue(name: str) -> Catalogue:
    return Catalogue(read_catalogue(CATALOGUES / f"{name}.po"))
