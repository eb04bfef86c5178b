"""What do users call a table, as one kind of object?

Tables are pandas, polars and Arrow ones (any object that offers Arrow's ``__arrow_c_stream__``, or the
older ``__dataframe__``), numpy arrays of shape (n, d) of any type, structured arrays, and lists of rows.
Inside they are a pandas frame whose columns are views of what was given wherever pandas can view it: an
array of bools, integers or floats in the machine's byte order is not copied, be it in a file
(``np.memmap``), read-only or in Fortran's order; text, dates in days, objects in lists, long doubles and
foreign byte orders are copied once.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from diffuscope.data.columnar.arrays import native
from diffuscope.data.tables.containers import LABELS, Container
from diffuscope.data.tables.dtypes import dtype_name, kind_of_dtype
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Frame", "read_frame"]

_HINT = "Give a DataFrame, an array of shape (n, d) or a list of rows."


@dataclass(frozen=True)
class Frame:
    """A table that somebody gave; ``data`` is never to be written to, ``index`` is that of a pandas table."""

    data: pd.DataFrame
    container: Container
    index: Any = None

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.data)

    def column(self, j: int) -> pd.Series[Any]:
        """Return column j, counted from 0; a NaN that is not marked as missing is, in a copy."""
        column = self.data.iloc[:, j]
        if isinstance(column.dtype, np.dtype) or kind_of_dtype(dtype_name(column.dtype)) != "number":
            return column
        unmarked = np.isnan(column.to_numpy(dtype=np.float64, na_value=0.0))
        return column.mask(unmarked) if unmarked.any() else column


def read_frame(table: Any) -> Frame:
    """Read a table of any kind, see the module's docstring.

    Raises an InputError when it is sparse, ragged, empty, not of two dimensions, complex, or has several
    columns of one name.
    """
    frame = _read(table)
    n, d = frame.data.shape
    if d == 0:
        raise InputError(
            f"The table has no columns: 0 feature(s) (shape=({n}, 0)) while a minimum of 1 is required.",
            "Give at least one column.",
        )
    if n == 0:
        raise InputError(
            f"The table has no rows: 0 sample(s) (shape=(0, {d})) while a minimum of 1 is required.",
            "Give at least one row.",
        )
    return frame


def _read(table: Any) -> Frame:
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(table, pandas.DataFrame):
        return _from_pandas(table)
    if pandas is not None and isinstance(table, pandas.Series):
        raise InputError("A Series is one column, not a table.", "Use series.to_frame().")
    sparse = sys.modules.get("scipy.sparse")
    if (sparse is not None and sparse.issparse(table)) or type(table).__module__.startswith("sparse."):
        raise InputError(
            "The table is sparse, and a diffusion model needs every value.", "Make it dense: table.toarray()."
        )
    if isinstance(table, list | tuple):
        return _from_list(table)
    if hasattr(table, "__arrow_c_stream__") or hasattr(table, "__dataframe__"):
        return _from_arrow(table)
    if not hasattr(table, "__array__"):
        raise InputError(f"A table cannot be read from {type(table).__name__!r}.", _HINT)
    return _from_array(table)


def _from_pandas(table: pd.DataFrame) -> Frame:
    columns = table.columns
    numbered = columns.dtype.kind in "iu" and bool((columns == np.arange(len(columns))).all())
    if numbered or not len(columns):
        names: tuple[Any, ...] = tuple(range(len(columns)))
        labels = "range"
    else:
        names = tuple(int(name) if isinstance(name, np.integer) else name for name in columns)
        labels = str(columns.dtype) if str(columns.dtype) in LABELS else "object"
    odd = [name for name in names if isinstance(name, bool) or not isinstance(name, str | int)]
    if odd:
        raise InputError(
            f"Column names must be text or integers, and {odd[0]!r} is neither.",
            "Rename them: table.columns = table.columns.map(str).",
        )
    _check_names(names)
    container = Container.model_construct(kind="pandas", names=names, labels=labels)
    return Frame(table, container, table.index)


def _check_names(names: Sequence[Any]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InputError(
            f"The table has several columns named {', '.join(map(repr, twice[:5]))}.",
            "Rename or drop one of them.",
        )
    for name in names:
        if isinstance(name, str) and not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise InputError(
                    f"The column name {name!r} is not valid text.", "Rename the column."
                ) from None


def _from_arrow(table: Any) -> Frame:
    import pandas as pd
    import pyarrow as pa

    kind: Literal["polars", "arrow"] = "arrow"
    enums: tuple[str, ...] = ()
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(table, polars.DataFrame | polars.Series | polars.LazyFrame):
        if not isinstance(table, polars.DataFrame):
            raise InputError(
                f"A polars {type(table).__name__} is not a table.",
                "Use series.to_frame() or frame.collect().",
            )
        kind = "polars"
        enums = tuple(name for name, dtype in table.schema.items() if isinstance(dtype, polars.Enum))
    try:
        if hasattr(table, "__arrow_c_stream__"):
            arrow = pa.table(table)
        else:
            from pyarrow.interchange import from_dataframe

            arrow = from_dataframe(table)
    except (TypeError, ValueError, NotImplementedError, RuntimeError, pa.ArrowException) as error:
        raise InputError(f"A table cannot be read from {type(table).__name__!r}: {error}.", _HINT) from error
    names = tuple(arrow.column_names)
    _check_names(names)
    plain = pa.schema([_plain(field) for field in arrow.schema])
    frame = arrow.cast(plain).to_pandas(
        types_mapper=lambda t: None if pa.types.is_dictionary(t) else pd.ArrowDtype(t)
    )
    container = Container.model_construct(kind=kind, names=names, labels="object", enums=enums)
    return Frame(frame, container)


def _plain(field: Any) -> Any:
    """Return the field with text in the layout that pandas knows."""
    import pyarrow as pa

    if str(field.type) == "string_view":
        return field.with_type(pa.large_string())
    if pa.types.is_dictionary(field.type) and str(field.type.value_type) == "string_view":
        return field.with_type(pa.dictionary(field.type.index_type, pa.large_string(), field.type.ordered))
    return field


def _from_array(table: Any) -> Frame:
    try:
        array = np.ma.asanyarray(table) if isinstance(table, np.ma.MaskedArray) else np.asarray(table)
    except (TypeError, ValueError, RuntimeError) as error:  # a tensor on a GPU, or with a gradient
        raise InputError(f"A table cannot be read from {type(table).__name__!r}: {error}.", _HINT) from error
    if array.dtype.names is not None and array.ndim == 1:
        return _from_structured(array)
    if array.ndim != 2:
        raise InputError(
            f"Expected a table of two dimensions, got {array.ndim}: shape {array.shape}.",
            "Reshape your data: array.reshape(-1, 1) if it is one column, "
            "array.reshape(1, -1) if it is one row.",
        )
    named = array.dtype.kind != "T"  # text of any length has a type without a name
    types = (array.dtype.str,) if named else ("O",)
    return _of_block(array, Container.model_construct(kind="numpy", names=(), types=types))


def _of_block(array: Any, container: Container) -> Frame:
    import pandas as pd

    plain = _for_pandas(array)
    frame = pd.DataFrame(plain, dtype=object if plain.dtype == object else None, copy=False)
    return Frame(frame, container.model_copy(update={"names": tuple(range(frame.shape[1]))}))


def _for_pandas(array: Any) -> Any:
    """Return an array that pandas can hold, a view of the one given where that is one."""
    kind = array.dtype.kind
    if kind == "c":
        raise InputError("Complex data not supported.", "Give real and imaginary parts as two columns.")
    if kind == "V":
        raise InputError(f"Values of the type {array.dtype} cannot be modelled.", _HINT)
    if kind == "M" and np.datetime_data(array.dtype)[0] in ("ps", "fs", "as", "generic"):
        raise InputError(f"Times of the type {array.dtype} are not supported.", "Use astype('M8[ns]').")
    array = native(array)
    if isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(array)
        if not mask.any():
            return array.data
        if kind in "fM":
            return array.filled(np.nan if kind == "f" else np.datetime64("NaT"))
        plain = array.data.astype(object)
        plain[mask] = None
        return plain
    return array


def _from_structured(array: Any) -> Frame:
    import pandas as pd

    names = array.dtype.names
    for name in names:
        if array.dtype[name].shape or array.dtype[name].names:
            raise InputError(
                f"The field {name!r} contains arrays, not values.", "Use one field for each value."
            )
    plain = {name: _for_pandas(array[name]) for name in names}
    columns = {
        name: pd.Series(values, dtype=object if values.dtype == object else None, copy=False)
        for name, values in plain.items()
    }
    types = tuple(array.dtype[name].str for name in names)
    container = Container.model_construct(kind="structured", names=names, labels="object", types=types)
    return Frame(pd.DataFrame(columns, copy=False), container)


def _from_list(rows: Sequence[Any]) -> Frame:
    if not rows:
        raise InputError("The table has no rows: 0 sample(s) while a minimum of 1 is required.", _HINT)
    odd = next((row for row in rows if not _is_row(row)), None)
    if odd is not None:
        raise InputError(
            f"Expected a list of rows, and {odd!r} is not a row.",
            "Reshape your data: one list per row, [[1, 'a'], [2, 'b']].",
        )
    lengths = {len(row) for row in rows}
    if len(lengths) > 1:
        short, long = min(lengths), max(lengths)
        where = next(i for i, row in enumerate(rows) if len(row) != len(rows[0]))
        raise InputError(
            f"The rows do not have the same length: from {short} to {long} values, first in row {where} "
            "(counted from 0).",
            "Give every row the same number of values, None where one is missing.",
        )
    array = np.empty((len(rows), lengths.pop()), dtype=object)
    for i, row in enumerate(rows):
        values = row.tolist() if hasattr(row, "tolist") else list(row)
        odd = next((one for one in values if isinstance(one, list | tuple | dict | set | np.ndarray)), None)
        if odd is not None:
            raise InputError(
                f"Row {i} (counted from 0) contains a {type(odd).__name__}, not a value.",
                "Give each of its values a column of its own.",
            )
        array[i] = values
    return _of_block(array, Container.model_construct(kind="list", names=()))


def _is_row(row: Any) -> bool:
    alike = hasattr(row, "__len__") and not isinstance(row, str | bytes | dict | set)
    return alike and getattr(row, "ndim", 1) > 0
