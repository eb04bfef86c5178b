"""How do decimal numbers, durations, periods and dates become coordinates, and come back in their type?

As the plain column that is nearest: decimals as floats, durations as numbers of the coarsest unit that
divides all of them, periods as their ordinal numbers, dates as times. What is decoded is turned back.
"""

from __future__ import annotations

import datetime
import decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from diffuscope.data.tables.columns.base import Column, Floats, Name
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.numeric import Number, refuse_far
from diffuscope.data.tables.dtypes import dtype_name, named_dtype
from diffuscope.data.tables.values import (
    Form,
    as_durations,
    as_floats,
    form_of,
    is_present,
    kind_of,
    label,
    restore_decimals,
    restore_durations,
    restore_periods,
    shown,
)
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cast"]

_RESOLUTIONS = (86_400, 3_600, 60, 1)  # in seconds
_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second


class Cast(Column):
    """A column of another type; ``inner`` is the plain one.

    ``places`` are the decimals of decimal numbers; ``tick`` and ``unit`` say that durations are counted in so
    many of s, ms, us or ns.
    """

    kinds = ("other", "object")
    kind: Literal["cast"] = "cast"
    form: Form
    inner: Annotated[Number | DateTime | Constant, Field(discriminator="kind")]
    places: Annotated[int, Field(ge=0, le=100)] = 0
    tick: Literal["s", "ms", "us", "ns"] = "us"
    unit: Annotated[int, Field(ge=1, lt=2**63)] = 1

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.form == "date") != (self.inner.kind == "datetime") and self.inner.kind != "constant":
            raise ValueError("dates, and nothing else, are times inside")
        try:
            self.decode(np.zeros((1, self.width)))
        except (ArithmeticError, TypeError, ValueError) as error:
            raise ValueError(f"the column does not suit its type: {error}") from error
        return self

    @classmethod
    def fit(
        cls, values: pd.Series[Any], name: Name, form: Form, seed: int = 0, weights: Floats | None = None
    ) -> Self:
        """Fit to values (n,) of the form, which may all be missing."""
        settings: dict[str, Any] = {"name": name, "dtype": dtype_name(values.dtype), "form": form}
        settings["missing"] = bool((~is_present(values)).any())
        if form == "decimal":
            settings["places"] = _places(values, settings["dtype"])
        if form == "duration":
            ticks, present, settings["tick"] = as_durations(values)
            settings["unit"] = _coarsest(ticks[present], settings["tick"])
        plain = cls.model_construct(**settings).to_plain(values)
        present = is_present(plain)
        inner: Number | DateTime | Constant
        if plain[present].nunique() < 2:
            inner = Constant.fit(plain, name, kind_of(plain, name))
        else:
            inner = (DateTime if form == "date" else Number).fit(plain, name, seed, weights)
        try:
            return cls(inner=inner, **settings)
        except ValidationError as error:
            why = error.errors(include_url=False, include_input=False)[-1]["msg"]
            raise InputError(f"{label(name)} cannot be modelled: {why}.", "Convert it to floats.") from error

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return self.inner.width

    @property
    def spreads(self) -> bool:
        """Whether a value stands for more than one point."""
        return self.inner.spreads

    def to_plain(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return values (n,) as the plain column has them; an InputError where they are something else."""
        import pandas as pd

        form, kind = form_of(values), kind_of(values, self.name)
        if kind == "empty":
            return pd.Series(np.full(len(values), np.nan))
        if self.form == "date" and kind == "datetime":
            return pd.Series(pd.to_datetime(values)).reset_index(drop=True) if form == "date" else values
        if self.form == "duration" and form == "duration":
            ticks, present, tick = as_durations(values)
            in_unit = _TICKS[tick] / _TICKS[self.tick] * self.unit
            return pd.Series(np.where(present, ticks / in_unit, np.nan))
        if form == self.form or (self.form == "decimal" and form is None and kind in ("number", "integer")):
            same = self.form != "period" or str(values.dtype) == self.dtype
            if same:
                return pd.Series(as_floats(values, self.name))
        value = next(iter(values[is_present(values)]), None)
        raise InputError(
            f"{label(self.name)} had values of the type {self.form} when the table was fitted; now it is "
            f"{values.dtype}, e.g. {shown(value)}.",
            "Convert the columns to these types.",
        )

    def from_plain(self, plain: pd.Series[Any]) -> pd.Series[Any]:
        """Return plain values (n,) in the column's type."""
        if self.form == "date":
            dates = plain.dt.date if hasattr(plain, "dt") and plain.dtype.kind == "M" else plain
            return dates.astype(object).where(plain.notna(), None)
        x = plain.to_numpy(dtype=np.float64, na_value=np.nan)
        if self.form == "decimal":
            return restore_decimals(x, self.places, self.dtype)
        if self.form == "duration":
            return restore_durations(x, self.unit, self.tick, self.dtype)
        return restore_periods(x, self.dtype)

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return coordinates (n, 1), see :meth:`Column.encode`."""
        return self.inner.encode(self.to_plain(values), within)

    def numbers(self, coordinates: Floats) -> Floats:
        """Return the numbers of the plain column, (n,)."""
        return self.inner.numbers(coordinates)

    def unclipped(self, coordinates: Floats) -> Floats:
        """Return the numbers of the plain column, beyond the observed range as well."""
        return self.inner.unclipped(coordinates)

    def of_numbers(self, numbers: Floats, within: Floats | None = None) -> Floats:
        """Return the coordinates (n, width) of numbers of the plain column."""
        return self.inner.of_numbers(numbers, within)

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the values of coordinates (n, 1)."""
        return self.from_plain(self.inner.decode(coordinates))

    def as_given(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return given values (n,) as they are, see :meth:`Column.as_given`."""
        import pandas as pd

        plain = self.to_plain(values)
        if isinstance(self.inner, Number):
            low, high = self.inner.low, self.inner.high
            every = [*values.tolist(), *self.from_plain(pd.Series([low, high])).tolist()]
            refuse_far(self.name, plain.to_numpy(), low, high, lambda i: str(every[i]))
        elif isinstance(self.inner, DateTime):
            self.inner.as_given(plain)
        else:
            self.inner.encode(plain)
        if form_of(values) == self.form and dtype_name(values.dtype) == self.dtype:
            return values.reset_index(drop=True)
        return self.from_plain(plain)

    def is_new(self, values: pd.Series[Any]) -> NDArray[np.bool_]:
        """Return which values (n,) are others than the one that was seen, where it was one."""
        return self.inner.is_new(self.to_plain(values))

    def log_volume(self, values: pd.Series[Any]) -> Floats:
        """Return log |dz/dx|, shape (n,), per unit of the plain column; 0 where missing."""
        return self.inner.log_volume(self.to_plain(values))

    def read(self, text: str) -> Any:
        """Return the value that a text means; a ValueError where it means none."""
        import pandas as pd

        if self.form == "decimal":
            try:
                return decimal.Decimal(text)
            except decimal.InvalidOperation as error:
                raise ValueError(text) from error
        if self.form == "duration":
            return pd.Timedelta(text)
        return (
            datetime.date.fromisoformat(text)
            if self.form == "date"
            else pd.Period(text, freq=named_dtype(self.dtype).freq)
        )

    def _about(self) -> str:
        return f"{self.form}, {self.inner!r}"


def _places(values: pd.Series[Any], dtype: str) -> int:
    """Return how many decimals values have at most, or their type has."""
    if dtype.startswith("arrow:"):
        return max(int(named_dtype(dtype).pyarrow_dtype.scale), 0)
    exponents = [value.as_tuple().exponent for value in values[is_present(values)]]
    return max((-e for e in exponents if isinstance(e, int)), default=0) if exponents else 0


def _coarsest(ticks: Any, tick: str) -> int:
    """Return the longest unit, in ticks, that divides all."""
    per_second = _TICKS[tick]
    units = [seconds * per_second for seconds in _RESOLUTIONS]
    units += [per_second // part for part in (10**3, 10**6) if per_second > part]
    return next((unit for unit in units if not (ticks % unit).any()), 1)
