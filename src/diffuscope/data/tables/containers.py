"""How are rows handed back as the kind of table that came in?

With the same names and types. Arrays of floats come back as float64, arrays of other types in their own,
as long as that can hold the values: where it cannot, in the next wider one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

import numpy as np
from pydantic import Field, model_validator

from diffuscope.data.tables.columns.base import Name, Plain, Text
from diffuscope.data.tables.values import kind_of
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LABELS", "Container"]

Names = Annotated[tuple[Name, ...], Field(min_length=1, max_length=100_000)]
_ShortTexts = Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Field(max_length=100_000)]
_Labels = Literal["range", "str", "string", "object", "int64"]
LABELS = get_args(_Labels)
_TYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f(?:2|4|8|12|16)|O|[US]\d{1,6}|M8\[\w{1,12}\])")


class Container(Plain):
    """Which kind of table it was, and how to make one like it.

    ``names`` are the columns' positions where they had none. ``labels`` is pandas' type of the names; "range"
    where the columns have no names. ``types`` is numpy's type of the array, or of each field of a structured
    one; ``enums`` are the columns that are polars' ``Enum``.
    """

    kind: Literal["pandas", "polars", "arrow", "numpy", "structured", "list"]
    names: Names
    labels: _Labels = "range"
    types: _ShortTexts = ()
    enums: Annotated[tuple[Text, ...], Field(max_length=100_000)] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        expected: dict[str, set[type]] = {"range": {int}, "int64": {int}, "object": {int, str}}
        kinds = {str} if self.kind in ("polars", "arrow", "structured") else expected.get(self.labels, {str})
        if not {type(name) for name in self.names} <= kinds:
            raise ValueError("names are not of the table's type of names")
        if self.labels == "range" and self.names != tuple(range(len(self.names))):
            raise ValueError("columns without names are numbered from 0")
        if len(self.types) != {"numpy": 1, "structured": len(self.names)}.get(self.kind, 0):
            raise ValueError("arrays, and nothing else, have types")
        try:
            known = all(_TYPE.fullmatch(name) and np.dtype(name) for name in self.types)
        except TypeError:
            known = False
        if not known:
            raise ValueError("no type of arrays")
        if not set(self.enums) <= (set(self.names) if self.kind == "polars" else set()):
            raise ValueError("no columns of a polars table")
        return self

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

    def widened(self, names: Sequence[Name], dtype: str) -> Container:
        """Return the container with further columns of a numpy type behind its own."""
        labels: str = "object" if self.labels == "int64" else self.labels
        types = self.types + ((dtype,) * len(names) if self.kind == "structured" else ())
        every = (*self.names, *names)
        return self.model_copy(update={"names": every, "labels": labels, "types": types})

    def assemble(self, columns: Sequence[pd.Series[Any]], index: Any = None) -> Any:
        """Return a table of this kind made of columns of one length, in the order of the names.

        A pandas table gets the ``index``, by default a new one from 0. Raises an InputError when that is of
        another length, or polars is not installed and the table was polars'.
        """
        frame = self._pandas(columns, index)
        if self.kind == "pandas":
            return frame
        if self.kind in ("polars", "arrow"):
            return self._arrow(frame)
        if self.kind == "structured":
            types = [_type_for([column], np.dtype(t)) for column, t in zip(columns, self.types, strict=True)]
            rows = np.empty(len(frame), dtype=list(zip(map(str, self.names), types, strict=True)))
            for j, name in enumerate(rows.dtype.names or ()):
                rows[name] = _in_type(columns[j], rows.dtype[name])
            return rows
        dtype = np.dtype(self.types[0] if self.types else object)
        dtype = _type_for(columns, np.dtype(np.float64) if dtype.kind == "f" else dtype)
        array = np.empty((len(frame), len(columns)), dtype=dtype)
        for j, column in enumerate(columns):
            array[:, j] = _in_type(column, dtype)
        return array.tolist() if self.kind == "list" else array

    def _pandas(self, columns: Sequence[pd.Series[Any]], index: Any) -> pd.DataFrame:
        import pandas as pd

        frame = pd.concat([column.reset_index(drop=True) for column in columns], axis=1)
        if self.labels == "range":
            frame.columns = pd.RangeIndex(len(self.names))
        else:
            frame.columns = pd.Index(self.names, dtype=self.labels)
        if index is not None:
            if len(index) != len(frame):
                raise InputError(
                    f"An index of {len(index)} entries does not match {len(frame)} rows.", "Give one per row."
                )
            frame.index = index
        return frame

    def _arrow(self, frame: pd.DataFrame) -> Any:
        import pyarrow as pa

        frame.columns = [str(name) for name in self.names]
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        if self.kind == "arrow":
            return table
        try:
            import polars as pl
        except ImportError:
            raise InputError(
                "The table was a polars DataFrame, and polars is not installed.",
                "Install it: pip install polars.",
            ) from None

        enums = {name: pl.Enum(frame[name].cat.categories.tolist()) for name in self.enums}
        return pl.DataFrame(pl.from_arrow(table)).cast(enums)


def _type_for(columns: Sequence[pd.Series[Any]], dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type of an array that is to hold columns: ``dtype`` wherever that can."""
    kinds = {kind_of(column, 0) for column in columns}
    anything = np.dtype(object)
    if dtype.kind in "US":
        if not kinds <= {"category", "empty"}:
            return anything
        longest = max((len(text) for column in columns for text in column.dropna().unique()), default=1)
        return np.promote_types(dtype, f"{dtype.kind}{longest}")
    if dtype.kind in "Mm":
        return dtype if all(column.dtype.kind == dtype.kind for column in columns) else anything
    if dtype.kind == "O" or not kinds <= {"number", "integer", "boolean", "empty"}:
        return anything
    if dtype.kind == "f":
        plain: list[Any] = [getattr(column.dtype, "numpy_dtype", column.dtype) for column in columns]
        return dtype if all(np.can_cast(own, dtype) for own in plain) else np.dtype(np.float64)
    if kinds & {"number", "empty"} or any(column.isna().any() for column in columns):
        return np.dtype(np.float64)
    if kinds == {"boolean"}:
        return dtype
    low, high = min(int(column.min()) for column in columns), max(int(column.max()) for column in columns)
    for wide in (dtype, np.dtype(np.int64), np.dtype(np.uint64)):
        if wide.kind in "iu" and np.iinfo(wide).min <= low and high <= np.iinfo(wide).max:
            return wide
    return anything


def _in_type(column: pd.Series[Any], dtype: np.dtype[Any]) -> Any:
    """Return a column as an array of a type that can hold it."""
    if dtype.kind == "f":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if dtype.kind in "US":  # missing text is no text
        return column.where(column.notna(), "" if dtype.kind == "U" else b"").to_numpy(dtype=object)
    return column.to_numpy()
