"""How do times become a coordinate, and back?

As integers: counts of the resolution observed, the longest of day, hour, half and quarter of an hour, ten
and five minutes, minute, second, millisecond, microsecond and the type's own unit that divides all values.
So whole days stay whole days. Nothing outside the observed range is decoded. Weekdays, days of the month,
months and times of day come out as often as they were (:mod:`.rhythm`).

Times with a zone are counted in UTC, unless all of them are midnights by the clock on the wall: then it is
the days on the wall that are counted, whatever their length. Where times are finer than 2⁻⁴⁸ of their
range, a float cannot tell them apart, and the next coarser resolution is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Floats, Name
from diffuscope.data.tables.columns.numeric import MOST_STEPS, Lattice, steps_from
from diffuscope.data.tables.columns.rhythm import Rhythm
from diffuscope.data.tables.columns.rhythm_fit import day_rhythm
from diffuscope.data.tables.columns.transform_fit import fit_line
from diffuscope.data.tables.columns.weights import evenly
from diffuscope.data.tables.dtypes import dtype_name, time_unit, time_zone
from diffuscope.data.tables.values import as_ticks, restore_ticks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DateTime"]

_MISSING = np.iinfo(np.int64).min
_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
_RESOLUTIONS = (86_400, 3_600, 1_800, 900, 600, 300, 60, 1)  # in seconds


class DateTime(Lattice):
    """A column of times; see the module's docstring.

    ``low`` is the earliest time, in ticks of the type's unit since 1970, and ``step`` the resolution, in
    ticks. Where ``local``, days are counted by the clock on the wall.
    """

    kinds = ("datetime",)
    kind: Literal["datetime"] = "datetime"
    low: Annotated[int, Field(gt=-(2**63), lt=2**63)]
    step: Annotated[int, Field(ge=1, le=86_400 * 10**9)]
    local: bool

    @model_validator(mode="after")
    def _check(self) -> Self:
        import pyarrow as pa

        high = self.low + self.span * self.step
        if high >= 2**63:
            raise ValueError("the range must be one of times")
        try:
            restore_ticks(np.array([self.low, high]), self.dtype, self.local)
        except (ArithmeticError, ValueError, pa.ArrowException) as error:
            raise ValueError(f"the range must be one of times: {error}") from error
        return self

    @classmethod
    def fit(cls, values: pd.Series[Any], name: Name, seed: int = 0, weights: Floats | None = None) -> Self:
        """Fit to values (n,), two of them distinct."""
        dtype = dtype_name(values.dtype)
        per_second = _UNITS[time_unit(dtype)]
        for local in (True, False) if time_zone(dtype) is not None else (False,):
            every = as_ticks(values, name, dtype, local)
            present = every != _MISSING
            ticks = every[present]
            if not (ticks % (86_400 * per_second)).any():
                break
        low, high = int(ticks.min()), int(ticks.max())
        step = _resolution(ticks, low, high, per_second)
        steps = np.rint(steps_from(ticks, low) / step)
        weights = None if weights is None else weights[present]
        rhythm = _rhythm(evenly(steps, weights), low, step, 86_400 * per_second)
        return cls(
            name=name,
            dtype=dtype,
            missing=len(ticks) < len(values),
            low=low,
            step=step,
            local=local,
            span=max((high - low) // step, 1),
            line=fit_line(steps, 1.0, seed, rhythm=rhythm, weights=weights),
        )

    def steps(self, values: pd.Series[Any]) -> Floats:
        """Return times as steps from the earliest (n,), NaN where missing."""
        ticks = as_ticks(values, self.name, self.dtype, self.local)
        steps = np.full(len(ticks), np.nan)
        present = ticks != _MISSING
        steps[present] = steps_from(ticks[present], self.low) / self.step
        return steps

    def _as_is(self, values: pd.Series[Any]) -> pd.Series[Any]:
        return restore_ticks(as_ticks(values, self.name, self.dtype, self.local), self.dtype, self.local)

    def numbers(self, coordinates: Floats) -> Floats:
        """Return the times of coordinates (n, 1) in seconds since 1970, by the clock on the wall."""
        steps, present = self._decode_steps(coordinates)
        return np.where(present, self.seconds(steps.astype(np.float64)), np.nan)

    def unclipped(self, coordinates: Floats) -> Floats:
        """Return seconds of coordinates (n, 1), beyond the observed range as well."""
        return self.seconds(self._steps_unclipped(coordinates))

    def seconds(self, steps: Floats) -> Floats:
        """Return steps from the earliest (n,) in seconds since 1970, by the clock on the wall."""
        seconds: Floats = (self.low + steps * self.step) / _UNITS[time_unit(self.dtype)]
        return seconds

    def of_numbers(self, numbers: Floats, within: Floats | None = None) -> Floats:
        """Return the coordinates (n, 1) of seconds since 1970, by the clock on the wall."""
        steps = np.rint((numbers * _UNITS[time_unit(self.dtype)] - self.low) / self.step)
        return self.of_steps(steps, within)

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the times of coordinates (n, 1)."""
        steps, present = self._decode_steps(coordinates)
        ticks = np.where(present, self.low + steps * self.step, _MISSING)
        return restore_ticks(ticks, self.dtype, self.local)

    def _about(self) -> str:
        return f"{self.span + 1} steps of {self.step} {time_unit(self.dtype)}, {self.line.kind}"


def _rhythm(steps: Floats, low: int, step: int, day: int) -> Rhythm | None:
    """Return the rhythm of times, steps (n,) from ``low`` on; these, and a day, are in ticks."""
    if day % step or low % step:
        return None
    return day_rhythm(steps.astype(np.int64), low // step, day // step)


def _resolution(ticks: NDArray[np.int64], low: int, high: int, per_second: int) -> int:
    """Return the longest resolution that divides all ticks and tells no more than 2⁴⁸ apart."""
    units = [seconds * per_second for seconds in _RESOLUTIONS]
    units += [per_second // part for part in (10**3, 10**6, 10**9) if per_second >= part]
    divides = [unit for unit in units if not (ticks % unit).any()]
    fine = divides[0] if divides else 1
    coarse = [unit for unit in units if (high - low) // unit <= MOST_STEPS]
    return max(fine, coarse[-1])
