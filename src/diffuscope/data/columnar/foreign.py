"""What is a file that is not what its name says?"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffuscope.data.packs import is_pack, read_pack
from diffuscope.errors import FormatError, InputError

__all__ = ["check_magic", "check_suffix", "folder_kind", "foreign", "start_of", "suffix_of", "validated"]

# How well-known files begin, to say what a misnamed one is.
_MAGIC = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x93NUMPY": "a .npy array",
    b"PK": "a zip archive (.npz, .xlsx and others)",
    b"PAR1": "a Parquet table",
    b"ARROW1": "an Arrow table",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls)",
    b"\x80": "a Python pickle, which is never opened because it could execute code",
}


def start_of(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as handle:
        return handle.read(8)


def suffix_of(path: Path) -> str:
    """Return the suffix of a table in lower case; of a compressed one .csv.gz."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def check_suffix(path: Path, known: Sequence[str], verb: str) -> str:
    """The lower-case suffix of ``path`` if it is in ``known``, else an InputError that names the nearest."""
    suffix = suffix_of(path)
    if suffix in known:
        return suffix
    if path.is_dir():
        raise InputError(
            f"Cannot {verb} {path}: {folder_kind(path)}.", f"Give one file ({', '.join(known)})."
        )
    near = difflib.get_close_matches(suffix, known, n=1, cutoff=0.5)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    what = f"there is no table format named {suffix!r}" if suffix else "the name has no suffix"
    if verb == "read" and not suffix and not path.exists():
        what = f"there is no such file or folder, and {what}"
    raise InputError(f"Cannot {verb} {path}: {what}.", f"{guess}Known: {', '.join(known)}.")


def validated(path: Path, table: Any) -> Any:
    """Return an Arrow table or batch that was mapped; a FormatError where its bytes point out of it."""
    try:
        table.validate(full=True)
    except ValueError as error:
        raise foreign(path, "a whole Arrow table", "Write the file again.", error) from error
    return table


def folder_kind(path: Path) -> str:
    """Return what a folder is that was given in place of a table."""
    if is_pack(path):
        return f"it is a pack of {read_pack(path).kind}"
    return "it is a run directory" if (path / "recipe.toml").is_file() else "it is a folder"


def check_magic(path: Path, expected: str, *magic: bytes) -> None:
    """Raise a FormatError unless a file begins with one of these bytes."""
    if not start_of(path).startswith(magic):
        raise foreign(path, expected, "Give the file the suffix of its format, or convert it.")


def foreign(path: Path, expected: str, hint: str, error: Exception | None = None) -> FormatError:
    """Return the error for a file of another format, with the format that it seems to have."""
    looks = next((name for magic, name in _MAGIC.items() if start_of(path).startswith(magic)), None)
    if looks is not None and error is None:
        return FormatError(f"{path} is not {expected}; it looks like {looks}.", hint)
    reason = "" if error is None or not str(error) else f": {str(error).splitlines()[0].rstrip('.')}"
    return FormatError(f"{path} is not {expected}{reason}.", hint)
