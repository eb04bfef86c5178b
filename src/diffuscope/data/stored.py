"""How is data used of which not all can be held? All rows stay where they lie; some, drawn by seed, are held.

Whatever is fitted or measured looks at the rows that are held: codec, factors, real clouds, a diagnosis.
Training alone sees all of them. They are an array that is mapped into memory, or one that somebody passed.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import RunError
from diffuscope.files import cache_folder, check_writable_folder, remove_abandoned, temporary_prefix

__all__ = ["HELD_ROWS", "Scratch", "Stored", "held_of", "is_large", "let_go"]

HELD_ROWS, _HELD_NUMBERS = 200_000, 2**24
"""Rows of large data that are held, and their numbers, at most."""
_LARGE_ROWS, _LARGE_NUMBERS = 1_000_000, 2**25
_FEWEST_HELD = 1_000
_BLOCK = 2**20  # numbers that are looked at together
_MAPPED = 2**29  # bytes of a file that may count as this process's memory


def is_large(n: int, d: int) -> bool:
    """Whether so many rows of so many columns are more than is held."""
    return n > _LARGE_ROWS or n * d > _LARGE_NUMBERS


def held_of(n: int, d: int, seed: int) -> NDArray[np.int64]:
    """Return which of n rows of d columns are held, in their order: as many as may be, drawn by the seed."""
    from diffuscope.seeds import permuted, stream_seed  # with torch

    most = min(n, HELD_ROWS, max(_FEWEST_HELD, _HELD_NUMBERS // max(1, d)))
    return np.sort(permuted(np.arange(most), n, stream_seed(seed, "held")))


def let_go(rows: NDArray[Any]) -> None:
    """Have what was read of a mapped file no longer count as this process's memory; nothing is lost by it.

    The system still holds what it has room for. Arrays that are in memory stay as they are.
    """
    owner: object = rows
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED") and not rows.flags.writeable:
        owner.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True, eq=False, repr=False)
class Stored:
    """All rows of large data.

    Attributes
    ----------
    source : ndarray of shape (m, d), or callable
        Mapped or in memory, never to be written to; or what makes such an array, once it is asked for.
    total : int
        The number m of rows.
    digest : str
        Of all that the rows are, hexadecimal.
    held : ndarray of shape (h,), int64, ascending
        Which rows are held as the ``x`` of a data set.
    labels : ndarray of shape (m,) or (m, k), or None
    left_out : ndarray of int64, ascending
        Rows that do not count. The others are numbered from 0 to n - 1.
    """

    source: NDArray[Any] | Callable[[], NDArray[Any]]
    total: int
    digest: str
    held: NDArray[np.int64]
    labels: NDArray[Any] | None = None
    left_out: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return self.total - len(self.left_out)

    @cached_property
    def values(self) -> NDArray[Any]:
        """All rows (m, d)."""
        return self.source() if callable(self.source) else self.source

    def places(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where rows (k,), counted without those that are left out, stand among all."""
        if not len(self.left_out):
            return index
        before = self.left_out - np.arange(len(self.left_out))  # rows that count before each of these
        return index + np.searchsorted(before, index, side="right")

    def without(self, rows: NDArray[np.int64]) -> Stored:
        """Return the rows without some (k,), counted among all."""
        return replace(self, source=self.values, left_out=np.union1d(self.left_out, rows).astype(np.int64))

    def at(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return rows (k,), counted among all, (k, d) in memory.

        Those of a large file are read one by one: the system may map megabytes around each that is looked up.
        """
        values, place = self.values, self._place
        if place is None:
            return np.take(values, rows, axis=0)
        file, start = place
        size, step, read = values.shape[1] * values.itemsize, values.strides[0], os.pread
        parts = [read(file, size, start + step * row) for row in rows.tolist()]
        found = np.frombuffer(b"".join(parts), values.dtype)
        return found.reshape(len(rows), values.shape[1])

    @cached_property
    def _place(self) -> tuple[int, int] | None:
        """The open file of a large mapped array, and where in it the array begins; None for all others."""
        values, owner = self.values, self.values
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        name = getattr(owner, "filename", None)
        plain = values.strides[1] == values.itemsize and values.strides[0] > 0 and hasattr(os, "pread")
        if name is None or values.nbytes <= _MAPPED or not plain or not isinstance(owner.base, mmap.mmap):
            return None
        try:
            file = os.open(name, os.O_RDONLY)
        except OSError:
            return None
        weakref.finalize(self, os.close, file)
        return file, int(owner.offset + values.ctypes.data - owner.ctypes.data)

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield all rows, those that are left out among them, in blocks with the number of their first."""
        size = max(1, _BLOCK // max(1, self.values.shape[1]))
        for start in range(0, len(self.values), size):
            yield start, self.values[start : start + size]
            if self.values.nbytes > _MAPPED:
                let_go(self.values)


class Scratch:
    """A file for rows (n, d), which is removed when nobody uses them any more, or with the process.

    A RunError where there is too little space.
    """

    def __init__(self, d: int, dtype: Any = np.float32) -> None:
        self._d, self._dtype, self._n = d, np.dtype(dtype), 0
        folder: Path | None = None  # that of the system for temporary files
        with contextlib.suppress(OSError, RuntimeError, RunError):
            cache = cache_folder() / "rows"
            cache.mkdir(parents=True, exist_ok=True)
            check_writable_folder(cache)
            remove_abandoned(cache, below=False)
            folder = cache
        handle, self._path = tempfile.mkstemp(dir=folder, prefix=temporary_prefix(), suffix=".rows")
        self._file = os.fdopen(handle, "wb")
        self._end = weakref.finalize(self, _discard, self._file, self._path)  # where no rows come of it

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows (k, d) behind those that are there."""
        try:
            self._file.write(np.ascontiguousarray(rows, dtype=self._dtype).data)
        except OSError as error:
            raise RunError(
                f"Not enough disk space for the rows in the units of the model: {error.strerror}.",
                "Free some space, or set XDG_CACHE_HOME to a folder on a larger disk.",
            ) from error
        self._n += len(rows)

    def rows(self) -> NDArray[Any]:
        """Return all rows, mapped; nothing may be appended afterwards."""
        self._file.close()
        self._end.detach()
        rows = np.memmap(self._path, self._dtype, "r", shape=(self._n, self._d))
        weakref.finalize(rows, _remove, self._path)
        return rows


def _discard(file: IO[bytes], path: str) -> None:
    with contextlib.suppress(OSError):  # the disk may be full
        file.close()
    _remove(path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()
