"""What is a column that a model can learn, whatever it holds?

It has a ``width``, the number of coordinates that stand for a value, and three maps: ``encode`` from
values to coordinates, ``decode`` back, and ``log_volume``, which turns a density of coordinates into one
of values: log p(value) = log p(coordinates) + log_volume(value).
"""

from __future__ import annotations

import json
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from diffuscope.data.tables.dtypes import Kind, damaged, kind_of_dtype, named_dtype

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Column", "DtypeName", "Floats", "Name", "Plain", "Text", "share_of_new"]

Floats = NDArray[np.float64]
Text = Annotated[str, Field(max_length=1_000_000)]
Name = Annotated[int, Field(ge=-(2**63), lt=2**63)] | Text
"""Of a column; its position where it has none."""


def _known_dtype(name: str) -> str:
    if kind_of_dtype(name) is None or len(name) > 200:
        raise ValueError("no type of columns")
    if name != "category":
        named_dtype(name)
    return name


DtypeName = Annotated[str, AfterValidator(_known_dtype)]


class Plain(BaseModel):
    """What is plain data through and through: numbers, text, lists, objects."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[Any, ...]:
        # The fields alone: what is cached beside them may be arrays.
        return tuple(getattr(self, name) for name in type(self).model_fields)

    def to_json(self) -> dict[str, Any]:
        """Return the content as plain data; :meth:`from_json` undoes it."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Read what :meth:`to_json` gave, strictly; a FormatError says what does not fit."""
        try:
            # By way of text: whatever has no text is no plain data, and lists count as tuples.
            return cls.model_validate_json(json.dumps(data, allow_nan=False))
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            why = str(error)
            if isinstance(error, ValidationError):
                first = error.errors(include_url=False, include_input=False)[0]
                why = f"{'.'.join(map(str, first['loc'])) or 'the top'}: {first['msg']}"
            raise damaged(why) from error


def share_of_new(rows: Floats, times: NDArray[np.intp]) -> float:
    r"""Return how probable it is that the next value is none of those seen.

    Value i was seen ``times`` i, which counts as so many ``rows``. By Good's estimate it is the share of rows
    whose value was seen once (Biometrika 40, 1953); of n rows, of which s are such, it is
    :math:`(s + 1) / (n + 2)` here, so that it is neither 0 nor 1.
    """
    return float((rows[times == 1].sum() + 1) / (rows.sum() + 2))


class Column(Plain):
    """A column as it was when it was fitted: its name, the name of its type, whether a value was missing."""

    kinds: ClassVar[tuple[Kind, ...]]  # of types that such a column can have

    name: Name
    dtype: DtypeName
    missing: bool

    @model_validator(mode="after")
    def _check_dtype(self) -> Self:
        if kind_of_dtype(self.dtype) not in self.kinds:
            raise ValueError(f"{self.dtype} is no type of such a column")
        return self

    @property
    def width(self) -> int:
        """Number of coordinates."""
        return 1

    @property
    def spreads(self) -> bool:
        """Whether a value stands for more than one point, so that ``within`` matters."""
        return False

    @abstractmethod
    def encode(self, values: pd.Series[Any], within: Floats | None = None) -> Floats:
        """Return the coordinates of values (n,), shape (n, width), NaN where the value is missing.

        Of the points that mean a value, ``within`` (n,) takes the one at that share of their probability,
        between 0 and 1: uniform draws dequantise, and the middle is the default. Raises an InputError when a
        value cannot be one of this column's.
        """

    @abstractmethod
    def decode(self, coordinates: Floats) -> pd.Series[Any]:
        """Return the values of coordinates (n, width), in the column's type; missing where one is NaN."""

    def numbers(self, coordinates: Floats) -> Floats:
        """Return the values of coordinates (n, width) as numbers (n,), NaN where missing.

        Those of categories are their numbers in the order of their codes, those of times are seconds.
        """
        values: Floats = self.decode(coordinates).to_numpy(dtype=np.float64, na_value=np.nan)
        return values

    def unclipped(self, coordinates: Floats) -> Floats:
        """Return what :meth:`numbers` returns, for values beyond the observed range as well."""
        return self.numbers(coordinates)

    def of_numbers(self, numbers: Floats, within: Floats | None = None) -> Floats:
        """Return the coordinates (n, width) of what :meth:`numbers` returns, see :meth:`encode`."""
        import pandas as pd

        return self.encode(pd.Series(numbers), within)

    def as_given(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Return values (n,) that rows are drawn given, as they are, in the column's type.

        Raises an InputError when one cannot be this column's, or is so far out that nothing is known there.
        """
        return self.decode(self.encode(values))

    def is_new(self, values: pd.Series[Any]) -> NDArray[np.bool_]:
        """Return which values (n,) could be this column's, but are categories that were not seen in it."""
        return np.zeros(len(values), dtype=bool)

    def log_volume(self, values: pd.Series[Any]) -> Floats:
        """Return log |d coordinate / d value|, shape (n,); 0 where the value is missing.

        Where categories are among the values, it is the log-probability that one is new for a new one, and
        that it is not for others.
        """
        return np.zeros(len(values))

    def _about(self) -> str:
        return f"width={self.width}"

    def __repr__(self) -> str:
        missing = ", with missing values" if self.missing else ""
        return f"{type(self).__name__}({self.name!r}, {self.dtype}, {self._about()}{missing})"

    __str__ = __repr__
