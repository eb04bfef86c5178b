"""What went wrong, where, and what to do about it.

Every error that a user can cause is a :class:`DiffuscopeError`; the command line prints its two
sentences and exits with its ``exit_code``, the Python interface raises it as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["DiffuscopeError", "FormatError", "InputError", "RunError", "unknown_name"]


class DiffuscopeError(Exception):
    """Base of all errors that are the user's to mend.

    Parameters
    ----------
    what : str
        What is wrong, and where.
    hint : str, optional
        What to do about it, as a full sentence.
    """

    exit_code = 1

    def __init__(self, what: str, hint: str | None = None) -> None:
        self.what = what
        self.hint = hint
        super().__init__(what if hint is None else f"{what}\n{hint}")


class InputError(DiffuscopeError, ValueError):
    """An argument or a data set that cannot be used as it is (exit code 2)."""

    exit_code = 2


class FormatError(DiffuscopeError, ValueError):
    """A file that is corrupt, truncated or not what it is taken for (exit code 2)."""

    exit_code = 2


class RunError(DiffuscopeError, RuntimeError):
    """A run that failed on the way: non-finite loss, no space left, no permission (exit code 1)."""

    exit_code = 1


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that is not in a registry, with the nearest one that is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    return InputError(f"There is no {kind} named {name!r}.", f"{guess}Known: {', '.join(names)}.")
