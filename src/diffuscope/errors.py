"""What is wrong, where, and how can it be fixed?"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable

from diffuscope.translations import translate
from diffuscope.words import in_python

__all__ = [
    "DiffuscopeError",
    "FormatError",
    "InputError",
    "LostError",
    "RunError",
    "foreseen",
    "listed",
    "nearest",
    "unknown_column",
    "unknown_name",
]

_MOST_NAMES, _LONGEST = 10_000, 200  # that are compared: it takes a time that grows with both


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

    Examples
    --------
    >>> import diffuscope
    >>> try:
    ...     diffuscope.load_dataset("mons")
    ... except diffuscope.DiffuscopeError as error:
    ...     said = error.what
    >>> said
    "There is no data set named 'mons'."
    """

    exit_code = 1

    def __init__(self, what: str, hint: str | None = None, python: str | None = None) -> None:
        self.what, self.hint, self._python = what, hint, python
        said = in_python(hint) if python is None and hint is not None else python
        super().__init__(what if said is None else f"{what}\n{said}")

    def __str__(self) -> str:
        if self.hint is None and self._python is None:
            return translate(self.what)
        hint = in_python(translate(self.hint)) if self._python is None else translate(self._python)
        return f"{translate(self.what)}\n{hint}"


class InputError(DiffuscopeError, ValueError):
    """An argument or a data set that is not valid (exit code 2)."""

    exit_code = 2


class FormatError(DiffuscopeError, ValueError):
    """A file that is corrupt, truncated or of another format (exit code 2)."""

    exit_code = 2


class RunError(DiffuscopeError, RuntimeError):
    """A run that failed: non-finite loss, no space left, no permission (exit code 1)."""

    exit_code = 1


class LostError(RunError):
    """Another process of the same training is lost; each of those that are left says so."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> InputError:
    """Return the error for a name that is not in a registry; it suggests the nearest known name."""
    names = sorted(known)
    hint = f"{nearest(name, names)}Known: {listed(names, most=100)}."
    return InputError(f"There is no {kind} named {name!r}.", hint)


def unknown_column(name: object, known: Iterable[object], what: str = "There is no column {}.") -> InputError:
    """Return the error for a column that there is not; ``what`` says it, with the name in its place."""
    names = [str(one) for one in known]
    hint = f"{nearest(str(name), names)}Columns: {listed(map(repr, names))}."
    return InputError(what.format(repr(name)), hint)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``"Did you mean 'x'? "`` for the known name that is most like another; "" where none is."""
    names = list(known)[:_MOST_NAMES]
    near = difflib.get_close_matches(name[:_LONGEST], names, n=1, cutoff=0.5)
    if not near:  # a name in other letters, as people type them
        near = [one for one in names if one.casefold() == name.casefold()][:1]
    return f"Did you mean {near[0]!r}? " if near else ""


def listed(names: Iterable[str], most: int = 20) -> str:
    """Return names as a list, of which the last are counted where there are many."""
    every = list(names)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more


def foreseen(error: BaseException) -> DiffuscopeError | None:
    """Return what the system, or a limit of Python, refused as an error in words; None for any other.

    Such errors can come from anywhere: no memory, no space, a path that is too long, text that is nested too
    deeply.
    """
    said = " ".join(str(error).split())
    if isinstance(error, DiffuscopeError):
        return error
    if isinstance(error, MemoryError) or _is_lack_of_memory(error, said):
        detail = f": {said}" if said and "llocat" in said else ""
        return RunError(
            f"There is not enough memory{detail.rstrip('.')}.",
            "Choose fewer or smaller data, a smaller network or batch, or fewer samples or steps.",
        )
    if isinstance(error, RecursionError):
        return FormatError("The input is nested too deeply.", "Make it flatter.")
    if isinstance(error, UnicodeEncodeError) and "surrogates" in said:
        return InputError(
            "A name or a path is not valid UTF-8, and has to be stored as text.",
            "Rename the file or folder.",
        )
    if isinstance(error, ValueError) and "integer string conversion" in said:
        return InputError("A number has far too many digits.", "Write a number of at most 18 digits.")
    if isinstance(error, OSError) and error.strerror:
        names = [str(name)[:300] for name in (error.filename, error.filename2) if name is not None]
        where = f"{' and '.join(names)}: " if names else ""
        given = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
        if given or error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return InputError(f"{where}{error.strerror}.", "Give another path.")
        return RunError(f"{where}{error.strerror}.", "Check the path, its permissions and the free space.")
    return None


def _is_lack_of_memory(error: BaseException, said: str) -> bool:
    """Whether torch or Arrow have no memory: they have errors of their own for it."""
    named = type(error).__name__ in ("OutOfMemoryError", "ArrowMemoryError")
    words = ("can't allocate memory", "out of memory", "malloc of size", "std::bad_alloc", "overflow storage")
    return named or (isinstance(error, RuntimeError | OSError) and any(word in said for word in words))
