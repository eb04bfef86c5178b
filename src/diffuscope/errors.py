"""What is wrong, where, and how can it be fixed?"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from diffuscope.words import in_python

__all__ = ["DiffuscopeError", "FormatError", "InputError", "RunError", "unknown_name"]


class DiffuscopeError(Exception):
    """Base class of all errors that the user can fix; the command line exits with their ``exit_code``.

    Parameters
    ----------
    what : str
        What is wrong, and where.
    hint : str, optional
        How to fix it, as a full sentence. Options are named as on the command line, ``--out``; as text the
        error names them as in Python, ``out=``.
    python : str, optional
        The hint in Python, where it is another.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str | None = None, python: str | None = None) -> None:
        self.what, self.hint = what, hint
        said = in_python(hint) if python is None and hint is not None else python
        super().__init__(what if said is None else f"{what}\n{said}")


class InputError(DiffuscopeError, ValueError):
    """An argument or a data set that is not valid (exit code 2)."""

    exit_code = 2


class FormatError(DiffuscopeError, ValueError):
    """A file that is corrupt, truncated or of another format (exit code 2)."""

    exit_code = 2


class RunError(DiffuscopeError, RuntimeError):
    """A run that failed: non-finite loss, no space left, no permission (exit code 1)."""

    exit_code = 1


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not in a registry; it suggests the nearest known name."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return InputError(f"There is no {kind} named {name!r}.", f"{guess}Known: {', '.join(names)}.")
