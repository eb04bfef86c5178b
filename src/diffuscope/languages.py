"""Which language is spoken? The one that was chosen, else that of DIFFUSCOPE_LANG, else English.

The command line also looks at the locale.
"""

from __future__ import annotations

from collections.abc import Mapping

from diffuscope.errors import InputError
from diffuscope.translations import LANGUAGES, VARIABLE, choose

__all__ = ["language_of", "set_language"]


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

    Examples
    --------
    >>> import diffuscope
    >>> diffuscope.set_language("zh")  # messages, figures and pages
    >>> diffuscope.set_language(None)
    """
    choose(None if name is None else _known(name))


def language_of(environment: Mapping[str, str]) -> str:
    """Return the language that an environment asks for: by DIFFUSCOPE_LANG, else by its locale.

    Raises an InputError where DIFFUSCOPE_LANG names a language that there is not.
    """
    if environment.get(VARIABLE):
        return _known(environment[VARIABLE])
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environment.get(variable):
            return "zh" if environment[variable].lower().startswith("zh") else "en"
    return "en"


def _known(name: str) -> str:
    if name not in LANGUAGES:
        raise InputError(f"There is no language {name!r}.", f"Choose {' or '.join(LANGUAGES)}.")
    return name
