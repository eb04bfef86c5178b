"""How are rows handed back as the kind of table that came in?

With the same names and types. Arrays of floats come back as float64, arrays of other types in their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Container", "Name", "Text"]

Text = Annotated[str, Field(max_length=1_000_000)]
Name = Annotated[int, Field(ge=-(2**63), lt=2**63)] | Text
Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=100_000)]
_ShortTexts = Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Field(max_length=100_000)]


class Container(BaseModel):
    """Which kind of table it was, and how to make one like it.

    Attributes
    ----------
    kind : {"pandas", "polars", "arrow", "numpy", "structured", "list"}
    names : tuple of str or int
        Of the columns; their positions where they had no names.
    labels : str
        pandas' type of the names; "range" where the columns have no names, only numbers.
    types : tuple of str
        numpy's type of the array, or of each field of a structured one.
    enums : tuple of str
        The columns that are polars' ``Enum``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: Literal["pandas", "polars", "arrow", "numpy", "structured", "list"]
    names: Names
    labels: Literal["range", "str", "string", "object", "int64"] = "range"
    types: _ShortTexts = ()
    enums: Annotated[tuple[Text, ...], Field(max_length=100_000)] = ()

    @property
    def has_names(self) -> bool:
        """Whether the columns have names that mean something."""
        return self.kind in ("polars", "arrow", "structured") or (
            self.kind == "pandas" and self.labels != "range"
        )

    def ordered(self, order: Sequence[int]) -> Container:
        """Return the container with its columns in another order."""
        types = self.types
        if self.kind == "structured":
            types = tuple(types[j] for j in order)
        names = tuple(self.names[j] for j in order)
        return self.model_copy(update={"names": names, "types": types})

    def assemble(self, columns: Sequence[pd.Series[Any]], index: Any = None) -> Any:
        """Return a table of this kind made of columns, in the order of the names.

        Parameters
        ----------
        columns : sequence of pandas.Series
            All of one length.
        index : pandas.Index, optional
            Of a pandas table; a new one from 0 by default.
        """
        frame = self._pandas(columns, index)
        if self.kind == "pandas":
            return frame
        if self.kind in ("polars", "arrow"):
            return self._arrow(frame)
        if self.kind == "structured":
            rows = np.empty(len(frame), dtype=list(zip(map(str, self.names), self.types, strict=True)))
            for j, name in enumerate(rows.dtype.names or ()):
                rows[name] = _in_type(columns[j], rows.dtype[name])
            return rows
        dtype = np.dtype(self.types[0] if self.types else object)
        array = np.empty((len(frame), len(columns)), dtype=np.float64 if dtype.kind == "f" else dtype)
        for j, column in enumerate(columns):
            array[:, j] = _in_type(column, array.dtype)
        return array.tolist() if self.kind == "list" else array

    def _pandas(self, columns: Sequence[pd.Series[Any]], index: Any) -> pd.DataFrame:
        import pandas as pd

        frame = pd.concat([column.reset_index(drop=True) for column in columns], axis=1)
        if self.labels == "range":
            frame.columns = pd.RangeIndex(len(self.names))
        else:
            frame.columns = pd.Index(self.names, dtype=self.labels)
        if index is not None:
            frame.index = index
        return frame

    def _arrow(self, frame: pd.DataFrame) -> Any:
        import pyarrow as pa

        frame.columns = [str(name) for name in self.names]
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        if self.kind == "arrow":
            return table
        import polars as pl

        enums = {name: pl.Enum(frame[name].cat.categories.tolist()) for name in self.enums}
        return pl.DataFrame(pl.from_arrow(table)).cast(enums)  # type: ignore[arg-type]


def _in_type(column: pd.Series[Any], dtype: np.dtype[Any]) -> Any:
    """Return a column as an array of a type that can hold it."""
    if dtype.kind == "f" and column.dtype != object:
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if dtype.kind in "US":  # missing text is no text
        return (
            column.where(column.notna(), "" if dtype.kind == "U" else b"")
            .to_numpy(dtype=object)
            .astype(dtype)
        )
    if dtype.kind in "iub" and column.isna().any():
        raise InputError(
            f"A row has no value in a column, and an array of {dtype} cannot hold missing ones.",
            "Give points with all their coordinates, or fit on an array of floats.",
        )
    return column.to_numpy()
