"""Which numbers is a model conditioned on, in which units, and which are asked for?

An angle, a dose, a size, or a vector of k numbers such as an embedding. A network sees each of them less its
mean, over its deviation; NaN stands for none.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from diffuscope.data.conditions.classes import EACH, as_array
from diffuscope.errors import InputError

__all__ = ["Numbers", "numbers_of"]

_MOST = 4096  # numbers of one point
_BEYOND = 0.1  # of the range of the data: farther out of it a value is warned of
_NEVER = 1_000.0  # ranges: farther out it is refused

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Name = Annotated[str, Field(max_length=1000)]


class Numbers(BaseModel):
    """Numbers that a model is conditioned on; as labels, values (n, k) in the units of the data, float64."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    names: Annotated[tuple[_Name, ...], Field(min_length=1, max_length=_MOST)]
    """What they are called, k names."""
    mean: tuple[_Finite, ...]
    """Of each in the data."""
    deviation: tuple[_Positive, ...]
    """Of each in the data."""
    low: tuple[_Finite, ...]
    """The least value of each in the data."""
    high: tuple[_Finite, ...]
    """The largest value of each in the data."""

    @model_validator(mode="after")
    def _check(self) -> Numbers:
        if {len(self.mean), len(self.deviation), len(self.low), len(self.high)} != {len(self.names)}:
            raise ValueError("There must be as many means, deviations and ends as names")
        return self

    @property
    def arguments(self) -> dict[str, int]:
        """Arguments of a network that is conditioned on them, by name."""
        return {"conditions": len(self.names)}

    @property
    def none(self) -> float:
        """What stands in the place of the numbers of a point without any."""
        return float("nan")

    @property
    def turn(self) -> int:
        """How many samples take all values in turn: any number does."""
        return 1

    def encode(self, labels: NDArray[Any]) -> NDArray[np.float32]:
        """Return values (n, k) in the units of the network."""
        values = (np.asarray(labels, dtype=np.float64) - self.mean) / self.deviation
        return np.ascontiguousarray(values, dtype=np.float32)

    def read(self, value: Any, n: int, unit: str = "points") -> NDArray[np.float64]:
        """Return the values (n, k) that are asked for n samples.

        One for all: a number, k numbers, or text such as ``"0.3"`` or ``"0.1,0.9"``; one for each: an array
        (n,) of one number or (n, k); or ``"each"``: the first number from its least to its largest value, the
        others at their means. InputError for other shapes, text, and values that are not finite; a warning
        for values far out of those of the data.
        """
        if isinstance(value, str) and value == EACH:
            return self.spread(n)[0]
        found, k = _floats(value.split(",") if isinstance(value, str) else value), len(self.names)
        if found is None or not np.isfinite(found).all():
            raise InputError(
                f"{_short(value)} is no value of {self._called}.",
                f"Give {'a finite number' if k == 1 else f'{k:,} finite numbers'}.",
            )
        rows = found.reshape(-1, 1) if k == 1 and found.ndim <= 1 else np.atleast_2d(found)
        if rows.shape not in ((1, k), (n, k)):
            raise InputError(
                f"Got values of shape {found.shape} for {n:,} {unit}; the model takes {self._called}.",
                f"Give {'one number' if k == 1 else f'{k:,} numbers'} for all, or an array of ({n}, {k}).",
            )
        self._warn(rows)
        return np.array(np.broadcast_to(rows, (n, k)))

    def spread(self, n: int) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return n values (n, k), the first number from end to end, the others at their means; titles."""
        values = np.tile(np.array(self.mean), (n, 1))
        values[:, 0] = np.linspace(self.low[0], self.high[0], n) if n > 1 else self.mean[0]
        return values, tuple(f"{value:.3g}" for value in values[:, 0])

    def columns(self, labels: NDArray[Any], name: str) -> dict[str, NDArray[np.float64]]:
        """Return the values (n, k) as columns of a table by their own names."""
        return dict(zip(self.names, np.asarray(labels, dtype=np.float64).T, strict=True))

    def note(self, labels: NDArray[Any]) -> str:
        """Say what the values of the data are."""
        parts = zip(self.names, self.low, self.high, strict=True)
        some = [f"{name} between {low:.4g} and {high:.4g}" for name, low, high in parts]
        more = [f"{len(some) - 10:,} more"] * (len(some) > 10)
        listed = "; ".join([*some[:10], *more])
        return f"Conditioned on {len(some):,} number{'s' * (len(some) > 1)}: {listed}."

    @property
    def _called(self) -> str:
        names = ", ".join(self.names[:5]) + ", ..." * (len(self.names) > 5)
        return names if len(self.names) == 1 else f"{len(self.names):,} numbers ({names})"

    def _warn(self, rows: NDArray[np.float64]) -> None:
        """Warn of values that are far out of those of the data; InputError where none is near."""
        low, high = np.array(self.low), np.array(self.high)
        never = _NEVER * (high - low)
        out = (rows < low - never) | (rows > high + never)
        if out.any():
            i, j = np.argwhere(out)[0]
            name, value = self.names[j], rows[i, j]
            raise InputError(
                f"{name} = {value:.4g} is nowhere near the data, {low[j]:.4g} to {high[j]:.4g}.",
                "Choose a value in this range.",
            )
        room = _BEYOND * (high - low)
        out = (rows < low - room) | (rows > high + room)
        if out.any():
            i, j = np.argwhere(out)[0]
            warnings.warn(
                f"{self.names[j]} = {rows[i, j]:.4g} is far out of the data, {low[j]:.4g} to {high[j]:.4g}: "
                "nothing is known of samples there.",
                UserWarning,
                stacklevel=6,
            )


def numbers_of(
    values: Any, n: int, where: str, names: Sequence[str] | None = None
) -> tuple[NDArray[np.float64], Numbers]:
    """Return the numbers (n, k) of n points, and their units; ``names`` are k, y or y0, y1, ... by default.

    InputError where there are none for each point, or some are missing, infinite, text, or all the same.
    Messages call them ``where``.
    """
    found = _floats(values)
    if found is None:
        raise InputError(f"{where} are no numbers.", "Give numbers, or classes: data.condition = 'classes'.")
    rows = found[:, None] if found.ndim == 1 else found
    if rows.ndim != 2 or len(rows) != n or not 1 <= rows.shape[1] <= _MOST:
        raise InputError(
            f"{where} have shape {found.shape}; there are {n:,} points.",
            f"Give one number for each point, or a row of k, at most {_MOST:,}.",
        )
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise InputError(
            f"{where} are missing or infinite in {int(bad.sum()):,} rows, the first of them row "
            f"{int(bad.argmax())}.",
            "Leave these rows out.",
        )
    k = rows.shape[1]
    default = ("y",) if k == 1 else tuple(f"y{j}" for j in range(k))
    called = default if names is None else tuple(names)
    low, high = rows.min(axis=0), rows.max(axis=0)
    if not (high > low).all():
        name = called[int(np.argmin(high > low))]
        raise InputError(f"{where} have one value, {low.min():g}, in {name!r}.", "Leave it out.")
    units = (rows.mean(axis=0), rows.std(axis=0), low, high)
    mean, deviation, least, most = (tuple(map(float, part)) for part in units)
    return rows, Numbers(names=called, mean=mean, deviation=deviation, low=least, high=most)


def _floats(values: Any) -> NDArray[np.float64] | None:
    """Return numbers as an array, None where they are none: truth values, text, ragged rows."""
    try:
        found = as_array(values)
        return None if found.dtype.kind in "bcmM" else np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
