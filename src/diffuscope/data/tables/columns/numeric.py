r"""How do numbers and integers become a coordinate each, and back?

Through a :mod:`~diffuscope.data.tables.columns.transform` z, standardising or by quantiles. Integers, and
floats that all have few decimals (prices; integers kept as floats because some are missing), lie on a lattice
of step h. A value v there stands for the cell [v - h/2, v + h/2]; spreading it uniformly over the cell
("dequantisation", Theis et al. 2016, section 3.1) gives the model a density to learn in place of spikes, and
the density at the cell times the cell's volume in z is the probability of v. What is decoded is the nearest
point of the lattice within the observed range; the first and the last cell reach to infinity.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Column, Floats, Name
from diffuscope.data.tables.columns.rhythm_fit import number_rhythm
from diffuscope.data.tables.columns.transform import Line
from diffuscope.data.tables.columns.transform_fit import fit_line
from diffuscope.data.tables.columns.weights import evenly
from diffuscope.data.tables.dtypes import dtype_name, named_dtype
from diffuscope.data.tables.values import as_floats, as_whole, label, restore
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_STEPS", "Integer", "Lattice", "Number", "as_finite", "precision_of", "steps_from"]

_MOST_DECIMALS = 6
_ODD = 0.005  # share of values that may have more decimals than the others
_MOST_OF_PRICES = 2
MOST_STEPS = 2**48  # steps that remain distinct in float64 after encoding and decoding
_LEAST_SCALE = 1e-305


def _inside(within: Floats, span: float) -> Floats:
    """Return offsets from the middle of a cell; so far from its ends that rounding leads to no other cell."""
    return (within - 0.5) * (1 - min(1e-9 + span * 2.0**-45, 0.5))


def _forward(line: Line, x: Floats, within: Floats | None = None) -> Floats:
    """Return the coordinates (n, 1) of numbers (n,); NaN where NaN, infinite where beyond a float."""
    z, present = np.full((len(x), 1), np.nan), ~np.isnan(x)
    with np.errstate(over="ignore"):
        z[present, 0] = line.forward(x[present], None if within is None else within[present])
    return z


def _backward(line: Line, coordinates: Floats) -> Floats:
    """Return the numbers (n,) of coordinates (n, 1), NaN where NaN."""
    x, present = np.full(len(coordinates), np.nan), ~np.isnan(coordinates[:, 0])
    with np.errstate(over="ignore"):
        x[present] = line.backward(coordinates[present, 0])
    return x


def refuse_far(name: Name, x: Floats, low: float, high: float, shown: Callable[[int], str]) -> None:
    """Raise an InputError where one of numbers (n,) is further beyond low or high than these are apart.

    ``shown`` returns how the message calls the n-th value, and the ends as -2 and -1.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        far = np.flatnonzero((x - high > high - low) | (low - x > high - low))
    if far.size:
        raise InputError(
            f"{label(name)} was fitted to values from {shown(-2)} to {shown(-1)}, and nothing is known of "
            f"{shown(int(far[0]))}.",
            "Give a value that is no further beyond one of them than they are apart.",
        )


class Lattice(Column):
    """A column of whole numbers of steps, 0 to ``span``; ``line`` maps steps to the coordinate."""

    span: Annotated[int, Field(ge=1, le=MOST_STEPS)]
    line: Line

    @property
    def spreads(self) -> bool:
        """Whether a value stands for more than one point: True."""
        return True

    @abstractmethod
    def steps(self, values: pd.Series[Any]) -> Floats:
        """Return values as steps from the least (n,), NaN where missing."""

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return coordinates (n, 1); whole floats count as integers, and times may have another unit."""
        return self.of_steps(self.steps(values), within)

    def of_steps(self, steps: Floats, within: Floats | None = None) -> Floats:
        """Return the coordinates (n, 1) of steps from the least (n,)."""
        z = _forward(
            self.line, steps if within is None else steps + _inside(within, self.span * self.line.fineness)
        )
        if np.isinf(z).any():
            far = steps[np.isinf(z[:, 0])][0]
            raise InputError(
                f"{label(self.name)} has a value far outside the fitted range ({far:g} steps from the "
                f"minimum; the range has {self.span}).",
                "Check the units.",
            )
        return z

    def as_given(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return given values (n,) as they are, see :meth:`Column.as_given`."""
        given = self._as_is(values)
        ends = self.decode(self.line.forward(np.array([0.0, self.span]))[:, None])
        shown = [str(value) for value in [*given.tolist(), *ends.tolist()]]
        refuse_far(self.name, self.steps(values), 0.0, self.span, shown.__getitem__)
        return given

    @abstractmethod
    def _as_is(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return values (n,) in the column's type, exactly."""

    def _steps_unclipped(self, coordinates: Floats) -> Floats:
        return np.rint(_backward(self.line, coordinates))

    def _decode_steps(self, coordinates: Floats) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        x = _backward(self.line, coordinates)
        present = ~np.isnan(x)
        return np.where(present, np.clip(np.rint(x), 0, self.span), 0).astype(np.int64), present

    def log_volume(self, values: pd.Series[Any]) -> Floats:
        """Return what makes the log-density of coordinates the log-probability of values, shape (n,)."""
        steps = np.rint(self.steps(values))
        present = ~np.isnan(steps)
        x = steps[present]
        low = np.where(x == 0, -np.inf, x - 0.5)
        high = np.where(x == self.span, np.inf, x + 0.5)
        logs = np.zeros(len(steps))
        logs[present] = self.line.log_cell(x, low, high)
        return logs

    def _about(self) -> str:
        return f"{self.span + 1} steps, {self.line.kind}"


class Integer(Lattice):
    """A column of integers from ``low`` on; see the module's docstring."""

    kinds = ("integer", "object")
    kind: Literal["integer"] = "integer"
    low: Annotated[int, Field(ge=-(10**308), le=10**308)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dtype != "object":
            limits = np.iinfo(precision_of(self.dtype))
            if self.low < limits.min or self.low + self.span > limits.max:
                raise ValueError(f"the range is beyond that of {self.dtype}")
        return self

    @classmethod
    def fit(cls, values: pd.Series[Any], name: Name, seed: int = 0, weights: Floats | None = None) -> Self:
        """Fit to values (n,), two of them distinct; an InputError where they span more than 2⁴⁸."""
        whole, present = as_whole(values, name)
        low, high = int(whole.min()), int(whole.max())
        if high - low > MOST_STEPS:
            short = [
                str(end) if end.bit_length() <= 64 else f"{'-' * (end < 0)}2^{end.bit_length()}"
                for end in (low, high)
            ]
            raise InputError(
                f"{label(name)} has integers from {short[0]} to {short[1]}: "
                "floats cannot represent them exactly.",
                "Remove the column if it is an identifier, or convert it to floats.",
            )
        steps = steps_from(whole, low)
        weights = None if weights is None else weights[present]
        rhythm = number_rhythm(evenly(steps, weights), 1.0, low)
        line = fit_line(steps, 1.0, seed, rhythm=rhythm, weights=weights)
        dtype, missing = dtype_name(values.dtype), not present.all()
        return cls(name=name, dtype=dtype, missing=missing, low=low, span=high - low, line=line)

    def steps(self, values: pd.Series[Any]) -> Floats:
        """Return integers as steps from the least (n,), NaN where missing."""
        whole, present = as_whole(values, self.name)
        steps = np.full(len(values), np.nan)
        steps[present] = steps_from(whole, self.low)
        return steps

    def _as_is(self, values: pd.Series[Any]) -> pd.Series[Any]:
        whole, present = as_whole(values, self.name)
        if self.dtype != "object" and len(whole):
            limits = np.iinfo(precision_of(self.dtype))
            if int(whole.min()) < limits.min or int(whole.max()) > limits.max:
                raise InputError(
                    f"{label(self.name)} is {self.dtype}, from {limits.min} to {limits.max}, and cannot be "
                    f"{int(whole.max()) if int(whole.max()) > limits.max else int(whole.min())}.",
                    "Give a value that it can be.",
                )
        every = np.zeros(len(values), dtype=whole.dtype)
        every[present] = whole
        return restore(every, present, self.dtype, self.name)

    def unclipped(self, coordinates: Floats) -> Floats:
        """Return the integers of coordinates (n, 1), beyond the observed range as well."""
        return float(self.low) + self._steps_unclipped(coordinates)

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the integers of coordinates (n, 1)."""
        steps, present = self._decode_steps(coordinates)
        if self.dtype == "object":
            whole: NDArray[Any] = np.array([self.low + step for step in steps.tolist()], dtype=object)
        else:
            offset = np.array([self.low % 2**64], dtype=np.uint64)  # sums of uint64 come round
            sums = offset + steps.astype(np.uint64)
            whole = sums if "uint" in self.dtype.lower() else sums.view(np.int64)
            whole = np.where(present, whole, whole.dtype.type(0))
        return restore(whole, present, self.dtype, self.name)


def steps_from(whole: NDArray[Any], low: int) -> Floats:
    """Return whole - low as floats; exact where it is below 2⁵³."""
    if whole.dtype == object:
        return np.array([float(value - low) for value in whole], dtype=np.float64)
    about = whole.astype(np.float64) - float(low)
    if abs(low) >= 2**64:
        return about
    exact = (whole.view(np.uint64) - np.array([low % 2**64], dtype=np.uint64)).view(np.int64)
    return np.where(np.abs(about) < 2**62, exact.astype(np.float64), about)


class Number(Column):
    """A column of floats; see the module's docstring.

    A float that 5% of the rows have (a zero-inflated column) is kept: values decoded near it become exactly
    it as often as it was seen, see :mod:`~diffuscope.data.tables.columns.transform`. Decoded values may lie
    beyond the observed range, ``low`` to ``high``, except on a lattice. All values but a few odd ones have at
    most ``decimals``, if that is at most 6 and floats of this size could have more.
    """

    kinds = ("number", "object")
    kind: Literal["number"] = "number"
    decimals: Annotated[int, Field(ge=0, le=_MOST_DECIMALS)] | None
    low: float
    high: float
    line: Line

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.low < self.high:
            raise ValueError("the range must be above 0")
        if self.decimals is not None and max(-self.low, self.high) > 2.0**53:
            raise ValueError("numbers of this size have no decimals")
        return self

    @classmethod
    def fit(cls, values: pd.Series[Any], name: Name, seed: int = 0, weights: Floats | None = None) -> Self:
        """Fit to values (n,), two of them distinct.

        Raises an InputError where one is infinite, or the range is beyond float64 or below 1e-305.
        """
        x = as_finite(values, name)
        present = ~np.isnan(x)
        x = x[present]
        low, high = float(x.min()), float(x.max())
        with np.errstate(over="ignore"):
            wide = not np.isfinite(np.float64(high) - np.float64(low))
        if wide or high - low < _LEAST_SCALE:
            raise InputError(
                f"{label(name)} has values from {low:g} to {high:g}, a range that float64 cannot represent.",
                "Divide the column by a power of ten." if wide else "Multiply the column by a power of ten.",
            )
        dtype = dtype_name(values.dtype)
        decimals = _decimals(x, precision_of(dtype))
        if decimals is not None:
            own = x.astype(precision_of(dtype))
            x = np.where(np.round(own, decimals) == own, x, np.round(x, decimals) + 0.0)
            low, high = float(x.min()), float(x.max())
        step = 0.0 if decimals is None else 10.0**-decimals
        prices = decimals is not None and decimals <= _MOST_OF_PRICES  # others are measurements
        weights = None if weights is None else weights[present]
        rhythm = number_rhythm(evenly(x, weights), step, 0) if prices else None
        line = fit_line(x, step, seed, precision_of(dtype), rhythm, weights)
        missing = not present.all()
        return cls(name=name, dtype=dtype, missing=missing, decimals=decimals, low=low, high=high, line=line)

    @property
    def spreads(self) -> bool:
        """Whether a value may stand for more than one point."""
        return self.decimals is not None or self.line.kind == "quantiles"

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return coordinates (n, 1), see :meth:`Column.encode`."""
        x = as_finite(values, self.name)
        moved = x
        if within is not None and self.decimals is not None:
            step = 10.0**-self.decimals
            moved = x + _inside(within, (self.high - self.low) / step * self.line.fineness) * step
        z = _forward(self.line, moved, within)
        if np.isinf(z).any():
            raise InputError(
                f"{label(self.name)} has the value {x[np.isinf(z[:, 0])][0]:g}, far outside the fitted range "
                f"({self.low:g} to {self.high:g}).",
                "Check the units.",
            )
        return z

    def as_given(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return given values (n,) as they are, see :meth:`Column.as_given`."""
        x = as_finite(values, self.name)
        every = [*x.tolist(), self.low, self.high]
        refuse_far(self.name, x, self.low, self.high, lambda i: f"{every[i]:g}")
        return restore(x, ~np.isnan(x), self.dtype, self.name)

    def unclipped(self, coordinates: Floats) -> Floats:
        """Return the floats of coordinates (n, 1), beyond the observed range as well."""
        x = _backward(self.line, coordinates)
        return x if self.decimals is None else np.round(x, self.decimals) + 0.0

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the floats of coordinates (n, 1)."""
        most = float(np.finfo(precision_of(self.dtype)).max)
        x = np.clip(_backward(self.line, coordinates), -most, most)
        present = ~np.isnan(x)
        if self.decimals is not None:
            x = np.clip(np.round(x, self.decimals), self.low, self.high) + 0.0  # no -0.0
        return restore(x, present, self.dtype, self.name)

    def log_volume(self, values: pd.Series[Any]) -> Floats:
        """Return log |dz/dx|, shape (n,), per unit of the column; 0 where missing.

        On a lattice that is the cell's volume over the step. At a value that is an atom, off a lattice,
        it makes the density the probability of exactly that value.
        """
        x = as_finite(values, self.name)
        present = ~np.isnan(x)
        here, logs = x[present], np.zeros(len(x))
        if self.decimals is None:
            logs[present] = self.line.log_slope(here)
            return logs
        step = 10.0**-self.decimals
        low = np.where(here <= self.low, -np.inf, here - step / 2)
        high = np.where(here >= self.high, np.inf, here + step / 2)
        logs[present] = self.line.log_cell(here, low, high) - np.log(step)
        return logs

    def _about(self) -> str:
        decimals = "" if self.decimals is None else f", {self.decimals} decimals"
        return f"{self.low:g} to {self.high:g}{decimals}, {self.line.kind}"


def as_finite(values: pd.Series[Any], name: Name) -> Floats:
    """Return numbers as floats (n,), NaN where missing; an InputError where one is infinite."""
    x = as_floats(values, name)
    bad = np.flatnonzero(np.isinf(x))
    if bad.size:
        raise InputError(
            f"{label(name)} has {bad.size} infinite value(s) (infinity, or beyond float64), "
            f"first in row {bad[0]} (counted from 0).",
            "Replace them by finite values, or by NaN for missing values.",
        )
    return x


def precision_of(dtype: str) -> Any:
    """Return the type of numpy that is as precise as a type; float64 for objects."""
    if dtype == "object":
        return np.float64
    made = named_dtype(dtype)
    plain: np.dtype[Any] = made if isinstance(made, np.dtype) else made.numpy_dtype
    return plain.type


def _decimals(x: Floats, precision: type[np.floating[Any]]) -> int | None:
    """Return how many decimals values have at most; None where more than 6, or where floats end there.

    One odd value in 200 may have more. Rows of one value count as a hundredth of all rows at most, so that
    the numbers beside very many zeros are not odd ones.
    """
    with np.errstate(over="ignore"):  # at the end of the floats there is no next one
        fine = 64 * float(np.spacing(precision(np.abs(x).max())))
    values, counts = np.unique(x.astype(precision), return_counts=True)
    counts = np.minimum(counts, max(1, len(x) // 100))
    few = _ODD * counts.sum()
    for decimals in range(_MOST_DECIMALS + 1):
        if 10.0**-decimals <= fine:
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            rounded = np.round(values, decimals)
            if counts[rounded != values].sum() <= few and rounded[0] < rounded[-1]:
                return decimals
    return None
