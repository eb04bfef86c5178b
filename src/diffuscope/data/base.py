"""What do all kinds of data share? Points x of one shape, a source, fresh draws where the law is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Dataset", "describe_file"]

Columns = tuple[str, ...] | None
Table = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set as the rest of the package sees it.

    Attributes
    ----------
    name : str
        Name of the built-in set, stem of the file, "array", or name of the generator.
    x : ndarray of shape (n, d), float64, C-contiguous
        All finite, in the units of the source.
    columns : tuple of d str or None
        Names of the columns, where the source has them.
    draw : callable or None
        ``draw(n, seed) -> (n, d)``: fresh real points in the same units, independent of ``x`` also for
        an equal seed. None for finite data of one's own.
    source : dict
        Where the data came from, as plain JSON: its ``kind`` is "builtin" (with name, size, noise,
        seed), "file" (path as given, sha256), "array" (shape) or "callable" (name, size, seed). A random
        subset of a file or an array adds its size and seed.
    """

    name: str
    x: npt.NDArray[Any]
    columns: Columns
    draw: Callable[[int, int], Table] | None
    source: dict[str, Any]

    @property
    def filled(self) -> Table:
        """The points to be measured and shown: ``x``, with 0 where a coordinate of a table is missing."""
        return np.nan_to_num(self.x) if np.isnan(self.x).any() else self.x


def describe_file(path: Path) -> dict[str, Any]:
    """Return the ``source`` of a :class:`Dataset` that was read from a file."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"kind": "file", "path": str(path), "sha256": digest}
