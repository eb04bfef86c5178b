"""What of a column that has one value, or none?

It needs no coordinate: its width is 0, and what is decoded is the value again.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import pydantic
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Column, Floats, Name
from diffuscope.data.tables.columns.labels import Labels
from diffuscope.data.tables.columns.numeric import as_finite
from diffuscope.data.tables.dtypes import Kind, dtype_name, kind_of_dtype, named_dtype
from diffuscope.data.tables.values import (
    as_ticks,
    as_truths,
    as_whole,
    is_present,
    label,
    restore,
    restore_ticks,
    shown,
)
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Constant"]


class Constant(Column):
    """A column with one distinct value, or with none: then ``value`` is None.

    ``all_labels`` are all categories of a categorical's type, ``new`` is the probability of another value.
    """

    kinds = ("number", "integer", "boolean", "category", "datetime", "object", "empty")
    kind: Literal["constant"] = "constant"
    value: Labels | None
    all_labels: Labels | None = None
    ordered: bool = False
    new: Annotated[float, pydantic.Field(gt=0, lt=1)] = 1e-3

    @pydantic.model_validator(mode="after")
    def _check(self) -> Self:
        if self.value is not None and len(self.value.index) != 1:
            raise ValueError("a constant has one value")
        if (self.all_labels is None) == (self.dtype == "category"):
            raise ValueError("a categorical, and nothing else, has all_labels")
        if self.value is not None and self.all_labels is not None:
            if self.all_labels.find(self.value.index)[0] < 0:
                raise ValueError("all_labels must hold the value")
        elif self.value is not None and self.value.kind == "time" and self.value.dtype != self.dtype:
            raise ValueError("the value must be of the column's type")
        try:
            self.decode(np.empty((1, 0)))
        except (TypeError, ValueError, OverflowError, ArithmeticError) as error:
            raise ValueError(f"the value does not suit the column's type: {error}") from error
        return self

    @classmethod
    def fit(cls, values: pd.Series[Any], name: Name, kind: Kind) -> Self:
        """Fit to values (n,), at most one of them distinct."""
        present = is_present(values)
        dtype = dtype_name(values.dtype)
        all_labels = Labels.of(values.cat.categories, name) if dtype == "category" else None
        ordered = bool(values.cat.ordered) if dtype == "category" else False
        value = None if kind == "empty" else _label_of(values[present].iloc[:1], name, kind)
        return cls(
            name=name,
            dtype=dtype,
            missing=not present.all(),
            value=value,
            all_labels=all_labels,
            ordered=ordered,
            new=1 / (int(present.sum()) + 2),
        )

    @property
    def width(self) -> int:
        """Number of coordinates: 0."""
        return 0

    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return no coordinates, shape (n, 0); an InputError where a value is another."""
        other = self.is_new(values)
        if other.any():
            row = int(np.argmax(other))
            was = "missing" if self.value is None else shown(self.value.index[0])
            raise InputError(
                f"{label(self.name)} was {was} in every row when the table was fitted, and is "
                f"{shown(values.iloc[row])} in row {row} (counted from 0).",
                "Fit on a table in which it varies, or remove the column.",
            )
        return np.empty((len(values), 0))

    def is_new(self, values: pd.Series[Any]) -> NDArray[np.bool_]:
        """Return which values (n,) are others than the one that was seen."""
        other = np.array(is_present(values))
        if self.value is not None:
            other[other] = ~self._is_the_same(values[other])
        return other

    def log_volume(self, values: pd.Series[Any]) -> Floats:
        """Return the log-probability that a value is new, or is not (n,); 0 where it is missing."""
        logs = np.where(self.is_new(values), math.log(self.new), math.log1p(-self.new))
        return np.where(is_present(values), logs, 0.0)

    def _is_the_same(self, values: pd.Series[Any]) -> NDArray[np.bool_]:
        assert self.value is not None
        value = self.value.values[0]
        if self.value.kind == "number":
            return np.asarray(as_finite(values, self.name) == value)
        if self.value.kind == "integer" and self.all_labels is None:
            return np.asarray(as_whole(values, self.name)[0] == value, dtype=bool)
        if self.value.kind == "boolean" and self.all_labels is None:
            return np.asarray(as_truths(values, self.name) == value)
        if self.value.kind == "time" and self.all_labels is None:
            return np.asarray(as_ticks(values, self.name, self.dtype, local=False) == value)
        return np.asarray(values.astype(object).isin(self.value.index.tolist()), dtype=bool)

    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the value once for each row of coordinates (n, 0)."""
        import pandas as pd

        n = len(coordinates)
        if self.all_labels is not None:
            place = -1 if self.value is None else int(self.all_labels.find(self.value.index)[0])
            return self.all_labels.categorical(np.full(n, place), self.ordered)
        if kind_of_dtype(self.dtype) == "datetime":
            ticks = np.iinfo(np.int64).min if self.value is None else self.value.values[0]
            return restore_ticks(np.full(n, ticks, dtype=np.int64), self.dtype, local=False)
        if self.value is None:
            column = pd.Series([None] * n, dtype=object)
            return column if self.dtype == "object" else column.astype(named_dtype(self.dtype))
        values = np.full(n, self.value.index[0], dtype=object)
        return restore(values, np.ones(n, dtype=bool), self.dtype, self.name)

    def _about(self) -> str:
        return "missing" if self.value is None else shown(self.value.index[0])


def _label_of(values: pd.Series[Any], name: Name, kind: Kind) -> Labels:
    """Return the label of the one value in a column."""
    import pandas as pd

    if kind == "number":
        return Labels(kind="number", dtype="float64", values=tuple(as_finite(values, name).tolist()))
    if kind == "integer":
        return Labels(kind="integer", dtype="object", values=tuple(map(int, as_whole(values, name)[0])))
    if kind == "boolean":
        return Labels(kind="boolean", dtype="object", values=tuple(map(bool, as_truths(values, name))))
    if kind == "datetime":
        return Labels.of(pd.Index(values), name)
    if values.dtype == "category":
        return Labels.of(values.cat.categories[values.cat.codes.to_numpy()], name)
    return Labels.of(pd.Index(values.tolist(), dtype=object), name)
