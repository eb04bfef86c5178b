"""How large may a foreign file become in memory? Not far larger than it is, and never without end.

A compressed file of some megabytes can unpack to as many gigabytes, and a header can declare more than there
is. Pipes and devices have no end, or never begin. All of this is looked at before anything is unpacked.
"""

from __future__ import annotations

import gzip
import io
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

import numpy as np

from diffuscope.errors import FormatError, InputError

__all__ = [
    "check_entries",
    "check_npy",
    "check_regular",
    "check_unpacked",
    "check_zip",
    "npy_header",
    "unzipped",
]

BOMB_BYTES, BOMB_RATIO = 2**28, 200  # so many bytes are not believed to come of so few
_MOST_ENTRIES = 100_000
_PIECE = 2**24
_MAGIC = b"\x93NUMPY"


def check_regular(path: Path, what: str = "file") -> None:
    """Raise an InputError if ``path`` is a pipe, a socket or a device."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise InputError(
            f"Cannot read {path}: it is not a regular {what}, but a pipe or a device.",
            "Write its content into a file first.",
        )


def check_unpacked(path: Path, packed: int, unpacked: int) -> None:
    """Raise a FormatError if so many bytes are not to be believed of so few."""
    if unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * max(packed, 1):
        raise FormatError(
            f"{path} would unpack {packed:,} bytes to {unpacked:,} or more.",
            "If this is intended, store it without compression.",
        )


def unzipped(path: Path) -> bytes:
    """Return the content of a .gz file, piece by piece, as long as it is to be believed."""
    packed, content = path.stat().st_size, io.BytesIO()
    with gzip.open(path) as file:
        while piece := file.read(_PIECE):
            content.write(piece)
            check_unpacked(path, packed, content.tell())
    return content.getvalue()


def check_zip(path: Path) -> None:
    """Raise a FormatError for an archive (.npz, .xlsx) whose entries unpack to far more than there is."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if len(entries) > _MOST_ENTRIES:
            raise FormatError(f"{path} has {len(entries):,} entries.", "Give an archive of a table.")
        check_unpacked(path, sum(one.compress_size for one in entries), sum(one.file_size for one in entries))
        for one in entries:
            check_unpacked(path, one.compress_size, one.file_size)


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type that a .npy stream declares; a ValueError where it is none."""
    version = np.lib.format.read_magic(file)
    form = np.lib.format
    read: Any = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
    shape, _, dtype = read(file)
    return tuple(shape), dtype


def check_npy(file: IO[bytes], size: int, where: str) -> None:
    """Raise a FormatError unless the ``size`` bytes of a .npy stream are enough for what its header says.

    The stream is at its start, and is left behind the header.
    """
    try:
        shape, dtype = npy_header(file)
    except FormatError:
        raise
    except Exception as error:  # damaged bytes make the parser raise nearly anything
        said = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise FormatError(f"{where} is not a whole NumPy file: {said}.", "Write it again.") from error
    declared = math.prod(shape) * dtype.itemsize
    if dtype.hasobject:
        return  # np.load refuses it in its own words
    if not dtype.itemsize or len(shape) > 8 or any(side < 0 for side in shape):
        raise FormatError(
            f"{where} has no usable values: shape {shape}, type {dtype}.", "Give numbers of shape (n, d)."
        )
    if declared > size:
        raise FormatError(
            f"{where} is not a whole NumPy file: its header declares {declared:,} bytes, it has {size:,}.",
            "Write or copy it again.",
        )


def check_entries(path: Path, names: Iterable[str]) -> None:
    """Raise a FormatError unless these arrays of a .npz archive hold what their headers say.

    Entries that are no arrays are let pass: who reads them says so.
    """
    with zipfile.ZipFile(path) as archive:
        there = set(archive.namelist())
        for name in names:
            if f"{name}.npy" not in there:
                continue
            with archive.open(f"{name}.npy") as entry:
                start = entry.read(len(_MAGIC))
                if start == _MAGIC:
                    entry.seek(0)
                    size = archive.getinfo(f"{name}.npy").file_size
                    check_npy(entry, size, f"{name}.npy in {path}")
