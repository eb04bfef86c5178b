"""What of a column that is computed of others, such as a total?

A model does not learn it, so its width is 0. What it is in a row is known once the other columns are
(:mod:`diffuscope.data.tables.constraints`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Column, Floats
from diffuscope.data.tables.columns.cast import Cast
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.numeric import Integer, Number, precision_of
from diffuscope.data.tables.dtypes import named_dtype, time_unit
from diffuscope.data.tables.values import label, restore, restore_ticks
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Computed", "in_type", "is_within", "tolerance"]

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_DAY = 86_400
_MISSING = np.iinfo(np.int64).min


class Computed(Column):
    """A column that is computed of others; ``inner`` is what it would be by itself.

    ``follows`` says that it was missing in the rows, and only those, in which one of the others was.
    """

    kinds = ("number", "integer", "datetime", "other", "object")
    kind: Literal["computed"] = "computed"
    inner: Annotated[Number | Integer | DateTime | Cast, Field(discriminator="kind")]
    follows: bool

    @model_validator(mode="after")
    def _check(self) -> Self:
        own = (self.name, self.dtype, self.missing)
        if own != (self.inner.name, self.inner.dtype, self.inner.missing):
            raise ValueError("a computed column has the name and type of what it is")
        return self

    @classmethod
    def of(cls, column: Any, follows: bool, text: str) -> Self:
        """Make one of a column that was fitted; an InputError where it holds no varying numbers or times."""
        odd = isinstance(column, Cast) and (column.form == "period" or not column.width)
        if odd or not isinstance(column, Number | Integer | DateTime | Cast):
            raise InputError(
                f"The constraint {text!r} computes {column.name!r}, which is {column!r}.",
                "A column that is computed holds numbers, times or durations that vary.",
            )
        return cls(
            name=column.name, dtype=column.dtype, missing=column.missing, inner=column, follows=follows
        )

    @property
    def width(self) -> int:
        """Number of coordinates: 0."""
        return 0

    @property
    def holds_missing(self) -> bool:
        """Whether its type can say that a value is missing."""
        made = named_dtype(self.dtype)
        return not (isinstance(made, np.dtype) and made.kind in "iub")

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return no coordinates, shape (n, 0)."""
        return np.empty((len(values), 0))

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return a value of its type for each row of coordinates (n, 0), before it is computed."""
        return self.inner.decode(np.zeros((len(coordinates), self.inner.width)))

    def as_given(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Raise an InputError: rows cannot be drawn given what is computed of them."""
        raise InputError(
            f"{label(self.name)} is computed of other columns, so rows cannot be drawn given its value.",
            "Give values of the other columns.",
        )

    def _about(self) -> str:
        return f"computed, {self.inner!r}"


def in_type(column: Number | Integer | DateTime | Cast, x: Floats) -> pd.Series[Any]:
    """Return numbers x (n,), of times and durations days, in a column's type and rounded as its values are.

    NaN is missing; an InputError where the type cannot say so.
    """
    present = np.isfinite(x)
    if isinstance(column, Number):
        most = float(np.finfo(precision_of(column.dtype)).max)
        x = np.clip(x if column.decimals is None else np.round(x, column.decimals), -most, most) + 0.0
        return restore(np.where(present, x, np.nan), present, column.dtype, column.name)
    if isinstance(column, Integer):
        whole = np.rint(np.where(present, x, 0.0))
        if column.dtype == "object":
            return restore(np.array([int(one) for one in whole], object), present, "object", column.name)
        limits = np.iinfo(precision_of(column.dtype))
        exact = np.array([min(max(int(one), limits.min), limits.max) for one in whole], dtype=limits.dtype)
        return restore(exact, present, column.dtype, column.name)
    if isinstance(column, DateTime):
        ticks = np.where(present, x, 0.0) * (_DAY * _PER_SECOND[time_unit(column.dtype)])
        low, step = (0, 1) if column.local else (column.low, column.step)
        steps = np.rint((np.clip(ticks, -(2.0**62), 2.0**62) - low) / step).astype(np.int64)
        whole = low + steps * step
        return restore_ticks(np.where(present, whole, _MISSING), column.dtype, local=False)
    if column.form == "duration":
        x = x * (_DAY * _PER_SECOND[column.tick] / column.unit)
    inner = column.inner
    assert isinstance(inner, Number | DateTime)
    return column.from_plain(in_type(inner, x))


def tolerance(column: Number | Integer | DateTime | Cast) -> float:
    """Return by how much rounding moves a value of a column, in its numbers, of times and durations days."""
    if isinstance(column, Number):
        return 0.0 if column.decimals is None else 0.5 * 10.0**-column.decimals
    if isinstance(column, Integer):
        return 0.5
    if isinstance(column, DateTime):
        return 0.5 * column.step / (_DAY * _PER_SECOND[time_unit(column.dtype)])
    inner = column.inner
    assert isinstance(inner, Number | DateTime)
    per_day = _DAY * _PER_SECOND[column.tick] / column.unit if column.form == "duration" else 1.0
    return tolerance(inner) / per_day


def is_within(column: Any, values: pd.Series[Any]) -> NDArray[np.bool_]:
    """Return which values (n,) of a column lie in the range that was seen; missing ones do."""
    if isinstance(column, Computed):
        column = column.inner
    while isinstance(column, Cast):
        values, column = column.to_plain(values), column.inner
    if isinstance(column, Number):
        x = values.to_numpy(dtype=np.float64, na_value=np.nan)
        slack = 1e-6 * (column.high - column.low)
        return np.asarray(~((x < column.low - slack) | (x > column.high + slack)))
    if isinstance(column, Integer | DateTime):
        steps = column.steps(values)
        return np.asarray(~((steps < -0.5) | (steps > column.span + 0.5)))
    return np.ones(len(values), dtype=bool)
