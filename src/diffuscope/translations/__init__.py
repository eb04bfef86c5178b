"""In which language does the program speak? English, or another that there is a catalogue of.

Texts are written in English where they are made, and translated where they leave for a person: on a terminal,
in a figure, on a page, in what an object says of itself. Files of numbers and settings stay as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache

from diffuscope.translations.catalogue import CATALOGUES, Catalogue, read_catalogue

__all__ = ["LANGUAGES", "language", "language_of", "set_language", "term", "translate"]

LANGUAGES = ("en", "zh")
_VARIABLE = "DIFFUSCOPE_LANG"
_chosen: str | None = None


def set_language(name: str | None) -> None:
    """Choose the language of messages, figures and pages.

    Parameters
    ----------
    name : str or None
        "en" or "zh"; None: that of the environment variable DIFFUSCOPE_LANG, else English.

    Raises
    ------
    InputError
        If there is no such language.
    """
    global _chosen
    _chosen = None if name is None else _known(name)


def language() -> str:
    """Return the language of messages, figures and pages: "en" or "zh"."""
    if _chosen is not None:
        return _chosen
    name = os.environ.get(_VARIABLE, "")
    return name if name in LANGUAGES else "en"


def language_of(environment: Mapping[str, str]) -> str:
    """Return the language that an environment asks for: by DIFFUSCOPE_LANG, else by its locale.

    Raises an InputError where DIFFUSCOPE_LANG names a language that there is not.
    """
    if environment.get(_VARIABLE):
        return _known(environment[_VARIABLE])
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(variable):
            return "zh" if environment[variable].lower().startswith("zh") else "en"
    return "en"


def translate(text: object) -> str:
    """Return a text in the chosen language; what the catalogue does not know stays as it is.

    A text of one word stays too, since it may be a name that somebody gave: see :func:`term`.
    """
    said = str(text)
    name = language()
    return said if name == "en" else _catalogue(name).translate(said)


def term(word: str) -> str:
    """Return a word or words of the program's own, such as a heading, in the chosen language."""
    name = language()
    return word if name == "en" else _catalogue(name).term(word)


@cache
def _catalogue(name: str) -> Catalogue:
    return Catalogue(read_catalogue(CATALOGUES / f"{name}.po"))


def _known(name: str) -> str:
    if name not in LANGUAGES:
        from diffuscope.errors import InputError

        raise InputError(f"There is no language {name!r}.", f"Choose {' or '.join(LANGUAGES)}.")
    return name
