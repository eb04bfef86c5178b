"""Which classes do labels mean?

Labels are whole numbers, truth values or text, one for each point. Classes are their distinct values in
order; a column of measurements is refused, as a class for each value would say nothing.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

__all__ = ["classes_of"]

_MOST = 1_000


def classes_of(values: Any, n: int, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the classes (n,) of labels, numbered from 0, and their names.

    InputError where labels are not one for each of n points, are missing, or are no classes. Messages call
    them ``where``.
    """
    found = _array(values)
    if found.shape == (n, 1):
        found = found[:, 0]
    if found.shape != (n,):
        raise InputError(
            f"{where} have shape {found.shape}; there are {n:,} points.", "Give one label for each point."
        )
    if found.dtype.kind == "O":
        missing = np.array([one is None or one != one for one in found.tolist()], dtype=bool)
        kinds = {type(one) for one in found[~missing].tolist()}
        numbers = all(issubclass(kind, int | float | np.number) for kind in kinds)
        if not missing.any():
            found = found.astype(np.float64) if numbers and bool not in kinds else found.astype(str)
    else:
        missing = np.isnan(found) if found.dtype.kind == "f" else np.zeros(n, dtype=bool)
    if missing.any():
        row = int(missing.argmax())
        raise InputError(
            f"{where} are missing in {int(missing.sum()):,} rows, the first of them row {row}.",
            "Leave these rows out, or give them a class of their own.",
        )
    if found.dtype.kind == "f":
        if not np.isfinite(found).all() or (found != np.round(found)).any() or np.abs(found).max() > 2**53:
            stray = float(found[~(np.isfinite(found) & (found == np.round(found)))][:1].sum())
            raise InputError(
                f"{where} are no classes: they have values such as {stray:g}.",
                "Give whole numbers or text; for a continuous target use a table: recipe='table', target=.",
            )
        found = found.astype(np.int64)
    if found.dtype.kind not in "biuUS":
        raise InputError(f"{where} have type {found.dtype}, not one of classes.", "Give numbers or text.")
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8", "replace")
    names, labels = np.unique(found, return_inverse=True)
    if len(names) > min(_MOST, max(2, n // 2)):
        raise InputError(
            f"{where} have {len(names):,} different values in {n:,} points: these are no classes.",
            f"Give at most {_MOST:,} classes; for a continuous target use a table: recipe='table', target=.",
        )
    order = sorted(range(len(names)), key=lambda i: _natural(names[i]))
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return place[labels.reshape(-1)], tuple(str(names[i]) for i in order)


def _array(values: Any) -> NDArray[Any]:
    """Return labels as an array, whatever holds them."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
    if hasattr(values, "to_numpy"):
        values = values.to_numpy()
    found = np.asarray(values)
    return found.astype(object) if found.dtype.kind == "O" else found


def _natural(name: Any) -> tuple[Any, ...]:
    """Return a sort key by which 10 comes after 9, numbers and text alike."""
    if not isinstance(name, str):
        return (0, name)
    return (
        1,
        *[(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)],
    )
