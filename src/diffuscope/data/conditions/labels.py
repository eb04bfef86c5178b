"""Are labels classes or numbers? Numbers if there are several for a point, or some are not whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.conditions.classes import Classes, as_array, classes_of
from diffuscope.data.conditions.numbers import Numbers, numbers_of
from diffuscope.errors import unknown_column

__all__ = ["Kind", "LabelType", "Labels", "label_type_of", "labels_of", "named_columns"]

Kind = Literal["classes", "numbers"]


class LabelType(Protocol):
    """What a model is conditioned on. Labels are (n,), int64, of classes, and (n, k), float64, of numbers."""

    @property
    def arguments(self) -> dict[str, int]:
        """Arguments of a network that is conditioned on it, which has them as attributes."""

    @property
    def none(self) -> float:
        """What stands in the place of the label of a point without one."""

    @property
    def turn(self) -> int:
        """How many samples take all values in turn."""

    def encode(self, labels: NDArray[Any], /) -> NDArray[Any]:
        """Return labels in the units of the network."""

    def read(self, value: Any, n: int, unit: str = "points") -> NDArray[Any]:
        """Return the labels that are asked for n samples; InputError where there are none such."""

    def spread(self, n: int) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Return at most n labels that show what there is, and their titles."""

    def columns(self, labels: NDArray[Any], name: str) -> dict[str, NDArray[Any]]:
        """Return labels as columns of a table, which ``name`` calls where they have no name."""

    def note(self, labels: NDArray[Any], /) -> str:
        """Say what the labels of the data are."""


class Labels(NamedTuple):
    """Labels of n points, and what they are: names of classes, or numbers with their units."""

    labels: NDArray[Any] | None = None
    classes: tuple[str, ...] = ()
    numbers: Numbers | None = None


def label_type_of(classes: tuple[str, ...], numbers: Numbers | None) -> LabelType | None:
    """Return the condition that there is, if any."""
    return Classes(classes) if classes else numbers


def labels_of(
    values: Any, n: int, where: str, kind: Kind | None = None, names: Sequence[str] | None = None
) -> Labels:
    """Read values, one or a row for each of n points, as classes or as numbers, as ``kind`` says.

    By default they are numbers if there are several for a point, or some are not whole. ``names`` are those
    of numbers. InputError where they are not what they should be; messages call them ``where``.
    """
    if (kind or _kind_of(values)) == "classes":
        return Labels(*classes_of(values, n, where))
    labels, numbers = numbers_of(values, n, where, names)
    return Labels(labels, (), numbers)


def named_columns(target: str | Sequence[str], names: Collection[str]) -> list[str]:
    """Return the columns that a target names: one, several, or several as one text with commas.

    InputError where one of them is not among ``names``.
    """
    if isinstance(target, str):
        target = [target] if target in names else [part.strip() for part in target.split(",")]
    for name in target:
        if name not in names:
            raise unknown_column(name, names)
    return list(target)


def _kind_of(values: Any) -> Kind:
    found = as_array(values)
    if found.ndim == 2 and found.shape[1] > 1:
        return "numbers"
    if found.dtype.kind == "O":
        some = [one for one in found.ravel().tolist() if one is not None]
        plain = all(isinstance(one, int | float | np.number) and not isinstance(one, bool) for one in some)
        if not plain:
            return "classes"
        found = np.array(some, dtype=np.float64)
    if found.dtype.kind != "f":
        return "classes"
    finite = found[np.isfinite(found)]
    return "numbers" if (finite != np.round(finite)).any() else "classes"
