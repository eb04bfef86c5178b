"""Which classes do labels mean, and which are asked for?

Labels are whole numbers, truth values or text, one for each point. Classes are their distinct values in
order; a column of measurements is refused, as a class for each value would say nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError, unknown_name

__all__ = ["EACH", "Classes", "as_array", "classes_of"]

EACH = "each"
"""In place of a label: all classes in turn, or numbers along their range."""

_MOST = 1_000


@dataclass(frozen=True)
class Classes:
    """Classes that a model is conditioned on, by their names; as labels, numbers (n,) from 0, int64."""

    names: tuple[str, ...]

    @property
    def arguments(self) -> dict[str, int]:
        """Arguments of a network that is conditioned on them, by name."""
        return {"classes": len(self.names)}

    @property
    def none(self) -> int:
        """What stands in the place of the class of a point without one."""
        return len(self.names)

    @property
    def turn(self) -> int:
        """How many samples take all classes in turn."""
        return len(self.names)

    def encode(self, labels: NDArray[Any]) -> NDArray[np.int64]:
        """Return labels as they are."""
        return np.asarray(labels, dtype=np.int64)

    def read(self, value: Any, n: int, unit: str = "points") -> NDArray[np.int64]:
        """Return the classes (n,) that are asked for n samples.

        A value is a number from 0, a name, ``"each"`` (all classes in turn), or a sequence of n of them;
        where the names of classes are numbers, a number is a name. InputError where there are none such.
        """
        if isinstance(value, str) and value == EACH:
            return np.arange(n) % len(self.names)
        if isinstance(value, str) or np.ndim(value) == 0:
            return np.full(n, self._number(value))
        labels = np.array([self._number(one) for one in value], dtype=np.int64)
        if len(labels) != n:
            raise InputError(
                f"Got {len(labels)} labels for {n} {unit}.", "Give one label for all, or one for each."
            )
        return labels

    def spread(self, n: int) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        """Return the first classes, at most n, and their names."""
        return np.arange(min(n, len(self.names))), self.names[:n]

    def columns(self, labels: NDArray[Any], name: str) -> dict[str, NDArray[Any]]:
        """Return the names of classes (n,) as a column of a table."""
        return {name: np.array(self.names)[labels]}

    def note(self, labels: NDArray[Any]) -> str:
        """Say which classes the data has, and how many points each."""
        counts = np.bincount(labels, minlength=len(self.names)).tolist()
        some = [f"{name} ({count:,})" for name, count in zip(self.names, counts, strict=True)]
        more = f" and {len(some) - 10:,} more" * (len(some) > 10)
        return f"{len(some):,} class{'es' * (len(some) != 1)}: {', '.join(some[:10])}{more}."

    def _number(self, label: Any) -> int:
        """Return the number of a class by its name or its number."""
        if hasattr(label, "item"):  # of an array or a tensor
            label = label.item()
        numbered = any(name.lstrip("-").isdigit() for name in self.names)  # then a number is a name
        if isinstance(label, float) and label.is_integer():
            label = int(label)  # as where labels are 0.0 and 1.0
        if isinstance(label, str) or (isinstance(label, bool) or numbered):
            if str(label) in self.names:
                return self.names.index(str(label))
            if isinstance(label, str) and not (label.isdecimal() and len(label) <= 9):
                raise unknown_name("class", label, self.names)
        if isinstance(label, str) and not numbered:
            label = int(label)
        whole = isinstance(label, int) and not isinstance(label, bool)
        if numbered or not whole or not 0 <= label < len(self.names):
            names = ", ".join(self.names[:12]) + " and others" * (len(self.names) > 12)
            hint = (
                f"Choose {names}." if numbered else f"Choose 0 to {len(self.names) - 1}, or a name: {names}."
            )
            raise InputError(f"There is no class {label!r}: this model has {len(self.names)} classes.", hint)
        return int(label)


def classes_of(values: Any, n: int, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the classes (n,) of labels, numbered from 0, and their names.

    InputError where labels are not one for each of n points, are missing, or are no classes. Messages call
    them ``where``.
    """
    found = as_array(values)
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
                "Give whole numbers or text; for measured quantities set data.condition = 'numbers'.",
            )
        found = found.astype(np.int64)
    if found.dtype.kind not in "biuUS":
        raise InputError(f"{where} have type {found.dtype}, not one of classes.", "Give numbers or text.")
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8", "replace")
    names, labels = np.unique(found, return_inverse=True)
    if len(names) > (most := min(_MOST, max(2, n // 2))):
        raise InputError(
            f"{where} have {len(names):,} different values in {n:,} points: these are no classes.",
            f"Give at most {most:,}; for measured quantities set data.condition = 'numbers'.",
        )
    order = sorted(range(len(names)), key=lambda i: _natural(names[i]))
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    return place[labels.reshape(-1)], tuple(str(names[i]) for i in order)


def as_array(values: Any) -> NDArray[Any]:
    """Return values as an array, whatever holds them: a tensor on any device, a column of a table."""
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
