"""How are the values of categories, and constants, written down as plain data?"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import DtypeName, Name, Plain, Text
from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype, named_dtype
from diffuscope.data.tables.values import as_ticks, label, restore_ticks
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Labels"]

_Value = bool | Annotated[int, Field(ge=-(10**308), le=10**308)] | float | Text
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(["text", "bytes"], (str,)),
    **dict.fromkeys(["integer", "time"], (int,)),
    **dict.fromkeys(["number", "interval"], (int, float)),
    "boolean": (bool,),
}


class Labels(Plain):
    """Distinct values of one type.

    ``values`` has bytes as text in Latin-1, times in ticks since 1970 UTC, and of an interval its two ends in
    turn; ``closed`` says which ends belong to an interval.
    """

    kind: Literal["text", "bytes", "boolean", "integer", "number", "time", "interval"]
    dtype: DtypeName
    # More than a column can have: a categorical may have many that were not seen.
    values: tuple[_Value, ...] = Field(max_length=1_000_000)
    closed: Literal["left", "right", "both", "neither"] | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        allowed = _TYPES[self.kind]
        for value in self.values:
            if not isinstance(value, allowed) or (isinstance(value, bool) and self.kind != "boolean"):
                raise ValueError(f"a value is not of the kind {self.kind}")
        if (self.kind == "interval") != (self.closed is not None) or (
            self.kind == "interval" and len(self.values) % 2
        ):
            raise ValueError("intervals, and nothing else, have two ends and say which belong to them")
        if (self.kind == "time") != (kind_of_dtype(self.dtype) == "datetime"):
            raise ValueError("times, and nothing else, have a type of times")
        try:
            distinct = self.index.is_unique
        except (TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"values do not suit their type: {error}") from error
        if not distinct:
            raise ValueError("values must be distinct")
        return self

    @classmethod
    def of(cls, index: pd.Index[Any], name: Name) -> Self:
        """Write down the values of a pandas index; an InputError where their type has no plain form."""
        import pandas as pd

        if isinstance(index, pd.IntervalIndex) and index.left.dtype.kind in "if":
            ends = np.stack([index.left, index.right], 1).ravel()
            return cls(
                kind="interval", dtype=str(ends.dtype), values=tuple(ends.tolist()), closed=index.closed
            )
        dtype = dtype_name(index.dtype)
        if kind_of_dtype(dtype) == "datetime":
            ticks = as_ticks(pd.Series(index), name, dtype, local=False)
            return cls(kind="time", dtype=dtype, values=tuple(ticks.tolist()))
        plain: dict[str, Any] = {"number": float, "integer": int, "boolean": bool, "text": lambda text: text}
        plain["bytes"] = lambda value: value.decode("latin-1")
        known = kind_of_dtype(dtype)
        kind: Any = "text" if known == "category" else known
        if kind not in ("text", "number", "integer", "boolean"):
            kind = pd.api.types.infer_dtype(index, skipna=False)
            kind = {"string": "text", "floating": "number", "empty": "text"}.get(kind, kind)
        if known is None or kind not in plain:
            raise InputError(
                f"{label(name)} has categories of the type {dtype} ({kind}), which cannot be saved.",
                "Convert them to text: column.astype(str).",
            )
        return cls(kind=kind, dtype=dtype, values=tuple(map(plain[kind], index.tolist())))

    @cached_property
    def index(self) -> Any:
        """The values, in their type."""
        import pandas as pd

        if self.kind == "interval":
            ends = np.array(self.values, dtype=self.dtype).reshape(-1, 2)
            return pd.IntervalIndex.from_arrays(ends[:, 0], ends[:, 1], closed=self.closed or "right")
        if self.kind == "time":
            return pd.Index(restore_ticks(np.array(self.values, dtype=np.int64), self.dtype, local=False))
        values: list[Any] = list(self.values)
        if self.kind == "bytes":
            values = [value.encode("latin-1") for value in values]
        return pd.Index(values, dtype=named_dtype(self.dtype))

    def find(self, values: pd.Index[Any]) -> NDArray[np.intp]:
        """Return the places of values among these; -1 for those that are not there."""
        import pandas as pd

        return np.asarray(self.index.get_indexer(pd.Index(values)))

    def categorical(self, places: NDArray[np.intp], ordered: bool) -> pd.Series[Any]:
        """Return a categorical of these labels with the ones at places (n,), missing at -1."""
        import pandas as pd

        dtype = pd.CategoricalDtype(self.index, ordered=ordered)
        return pd.Series(pd.Categorical.from_codes(places, dtype=dtype))

    def __repr__(self) -> str:
        return f"Labels({self.dtype}, {len(self.index)} values)"
