"""How are points loaded of which not all can be held? One pass over all rows, and some that are held.

The pass checks the values, finds the rows that are far out of what is held, and takes the digest of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset
from diffuscope.data.bounds import check_npy
from diffuscope.data.columnar.arrays import Columns, as_numbers, check_block, check_varied
from diffuscope.data.columnar.pieces import open_pieces
from diffuscope.data.conditions import Labels, named_columns
from diffuscope.data.spread import far_out, limits
from diffuscope.data.stored import Scratch, Stored, held_of, is_large, let_go
from diffuscope.errors import InputError

__all__ = ["gathered", "large_array", "load_large", "mapped"]

_PIECE = 2**22  # bytes of a file


def mapped(path: Path) -> NDArray[Any] | None:
    """Return the numbers (n, d) of a large .npy file, mapped; None where it is small, or has others.

    A FormatError where it is no whole file.
    """
    if path.suffix.lower() != ".npy" or not path.is_file():
        return None
    with path.open("rb") as file:
        if file.read(6) != b"\x93NUMPY":
            return None  # whoever reads it says so
        file.seek(0)
        check_npy(file, path.stat().st_size, str(path))
    try:
        return large_array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError):
        return None


def large_array(values: Any) -> NDArray[Any] | None:
    """Return an array of numbers as one of shape (n, d), if it is large; None for all else."""
    if not isinstance(values, np.ndarray) or isinstance(values, np.ma.MaskedArray):
        return None
    if values.dtype.kind not in "biuf" or values.dtype.itemsize > 8 or values.ndim not in (1, 2):
        return None
    rows = values[:, None] if values.ndim == 1 else values
    return rows if is_large(*rows.shape) else None


def gathered(
    path: Path, target: str | Sequence[str] | None
) -> tuple[NDArray[Any], Columns, Any, tuple[str, ...] | None] | None:
    """Return the numbers (n, d) of a large table in a file, their columns, the labels, and what these are.

    Numbers are copied once, into a file that is mapped. None where the table is small, or is a .npy file.
    """
    pieces = open_pieces(path) if path.suffix.lower() != ".npy" else None
    if pieces is None or pieces.names is None:
        return None
    called = None if target is None else tuple(named_columns(target, pieces.names))
    columns = tuple(name for name in pieces.names if name not in (called or ()))
    scratch, labels = Scratch(len(columns), np.float64), []
    for frame in pieces.frames():
        scratch.append(as_numbers(frame[list(columns)], str(path), columns))
        if called is not None:
            labels.append(frame[called[0] if len(called) == 1 else list(called)].to_numpy())
    return scratch.rows(), columns, np.concatenate(labels) if labels else None, called


def load_large(
    values: NDArray[Any],
    columns: Columns,
    name: str,
    where: str,
    seed: int,
    source: dict[str, Any],
    labelled: Labels,
    path: Path | None = None,
) -> Dataset:
    """Return large points (n, d) as a data set; rows that are far out are left out.

    ``path`` is that of their file, whose digest becomes a part of the ``source``. Raises an InputError where
    values are missing, infinite or too large, or a column has one value.
    """
    n, d = values.shape
    plain = Stored(values, n, "", held_of(n, d, seed))
    x = np.ascontiguousarray(plain.at(plain.held), dtype=np.float64)
    check_block(x, columns, where)  # before limits are taken of it
    low, high = limits(x)
    least, most = np.full(d, np.inf), np.full(d, -np.inf)
    digest = hashlib.sha256()
    whole = values.flags.c_contiguous and (path is None or path.suffix.lower() == ".npy")
    left_out: list[NDArray[np.int64]] = []
    if path is not None and whole:
        start = _offset(path, values)
        with path.open("rb") as file:
            digest.update(file.read(start))
    for first, block in plain.blocks():
        a, b = check_block(block, columns, where, first)
        least, most = np.minimum(least, a), np.maximum(most, b)
        if (a < low).any() or (b > high).any():
            beyond = ((block < low) | (block > high)).any(axis=1)
            left_out.append(first + np.flatnonzero(beyond))
        if path is None or whole:
            digest.update(np.ascontiguousarray(block).data)
    if path is not None:
        with path.open("rb") as file:
            file.seek(start + values.nbytes if whole else 0)
            while piece := file.read(_PIECE):
                digest.update(piece)
        source = {**source, "sha256": digest.hexdigest()}
    check_varied(least, most, columns, where)
    check_varied(x.min(axis=0), x.max(axis=0), columns, f"Of {len(x):,} rows drawn of {n:,}, {where}")
    out = np.concatenate([*left_out, np.empty(0, dtype=np.int64)])
    notes = [f"{n:,} rows, read where they lie; what is fitted and measured looks at {len(x):,} of them."]
    if len(out):
        if len(out) > n // 2:
            raise InputError(f"{where} has {len(out):,} rows that are far out.", "Scale its columns.")
        notes += far_out(x, columns)
        one = "1 row is" if len(out) == 1 else f"{len(out):,} rows are"
        notes.append(f"{one} left out of training and of what samples are compared with.")
        kept = ~np.isin(plain.held, out)
        plain = Stored(values, n, "", plain.held[kept])
        x = x[kept]
    labels = labelled.labels
    digest.update(np.ascontiguousarray(out).data)
    if labels is not None:
        digest.update(np.ascontiguousarray(labels).data)
    stored = Stored(values, n, digest.hexdigest(), plain.held, labels, out)
    let_go(values)
    own = None if labels is None else labels[stored.held]
    about: dict[str, Any] = {**labelled._asdict(), "labels": own}
    return Dataset(name, x, columns, None, source, notes=tuple(notes), stored=stored, **about)


def _offset(path: Path, values: NDArray[Any]) -> int:
    """Return where the values of a .npy file begin."""
    with path.open("rb") as file:
        check_npy(file, path.stat().st_size, str(path))
        return file.tell()
