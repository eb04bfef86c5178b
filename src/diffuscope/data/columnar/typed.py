"""What of a column that has a type already? It keeps it, unless something else is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffuscope.data.columnar.recognition import ReadColumn, read_columns
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, Kind, Name
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["typed_column"]


def typed_column(
    column: pd.Series[Any], name: Name, options: FileOptions, known: ColumnSchema | None, where: str
) -> tuple[pd.Series[Any], ReadColumn]:
    """Return a column in the type that it is said, or known, to have, and how it was read.

    Raises an InputError where a value has no such type.
    """
    import pandas as pd

    said = options.kind_of(name)
    is_text = column.dtype == object or isinstance(column.dtype, pd.StringDtype)
    if said is None or said in ("id", "text", "ignored"):
        kind: Any = said or _kind_of(column)
    elif is_text and said != "category" and pd.api.types.infer_dtype(column, skipna=True) == "string":
        return _from_text(column, name, options, said, where)
    else:
        kind = said
        try:
            column = _in_kind(column, said)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"The column {name!r} of {where} is {column.dtype}, and cannot be read as {said}: {error}.",
                f"Say what it is: --types {name}=KIND.",
            ) from error
    return column, ReadColumn(None, ColumnSchema(name=name, kind=kind) if known is None else known)


def _from_text(
    column: pd.Series[Any], name: Name, options: FileOptions, said: Kind, where: str
) -> tuple[pd.Series[Any], ReadColumn]:
    """Read a column of text as one of a text file."""
    import pyarrow as pa

    texts = pa.array(column.where(column.notna(), None), pa.large_string(), from_pandas=True)
    chosen = options.model_copy(update={"types": {str(name): said}})
    one = read_columns([(name, texts)], chosen, where=where)[0]
    values = one.values.to_pandas(integer_object_nulls=False)
    return values.set_axis(column.index), one


def _kind_of(column: pd.Series[Any]) -> Kind:
    from pandas.api import types

    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_integer_dtype(column.dtype):
        return "integer"
    if types.is_float_dtype(column.dtype):
        return "number"
    return "date" if types.is_datetime64_any_dtype(column.dtype) else "category"


def _in_kind(column: pd.Series[Any], kind: Kind) -> pd.Series[Any]:
    """Return typed values in another type; a TypeError or ValueError where that is not possible."""
    from pandas.api import types

    own = _kind_of(column)
    if own == kind or (kind == "category" and own in ("category", "boolean")):
        return column
    if kind == "category":
        return column.astype("category")
    if kind == "number" and own in ("integer", "boolean"):
        return column.astype("Float64" if types.is_extension_array_dtype(column.dtype) else "float64")
    if kind == "integer" and own in ("number", "boolean"):
        return column.astype("Int64")
    if kind == "boolean" and own == "integer":
        return column.astype("boolean")
    raise TypeError(f"its values are {own}")
