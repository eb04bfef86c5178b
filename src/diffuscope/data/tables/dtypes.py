"""Which types of columns can be modelled, and what are they called in a file?

A type is written as a short name, so that a table can be made of the same types by who has only the
name: numpy's own name (``int16``, ``object``), pandas' (``Int16``, ``boolean``), ``category``,
``datetime64[us, Europe/Berlin]``, ``period[M]``, ``string[python]`` and ``str[pyarrow]`` with their storage,
and ``arrow:`` before Arrow's name (``arrow:int16``, ``arrow:timestamp[us, tz=UTC]``).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from diffuscope.errors import FormatError

__all__ = ["Kind", "damaged", "dtype_name", "kind_of_dtype", "named_dtype", "time_unit", "time_zone"]

Kind = Literal["number", "integer", "boolean", "category", "datetime", "other", "object", "empty"]

_ZONE = r"[A-Za-z0-9_+\-/:]{1,64}"
_TIMES = rf"datetime64\[(s|ms|us|ns)(?:, ({_ZONE}))?\]|arrow:timestamp\[(s|ms|us|ns)(?:, tz=({_ZONE}))?\]"
_KINDS: dict[Kind, str] = {
    "number": r"float16|[fF]loat(32|64)|arrow:(halffloat|float|double)",
    "integer": r"(int|uint|Int|UInt|arrow:int|arrow:uint)(8|16|32|64)",
    "boolean": r"bool|boolean|arrow:bool",
    "category": r"category|(str|string)\[(python|pyarrow)\]|arrow:(large_)?string",
    "datetime": rf"{_TIMES}|arrow:date32\[day\]|arrow:date64\[ms\]",
    # Decimal numbers, durations and periods, which columns of other types stand for.
    "other": r"timedelta64\[(s|ms|us|ns)\]|arrow:duration\[(s|ms|us|ns)\]|period\[[A-Za-z0-9\-]{1,32}\]|"
    r"arrow:decimal128\([0-9]{1,2}, ?-?[0-9]{1,2}\)",
    "object": "object",
    "empty": "arrow:null",
}


def dtype_name(dtype: Any) -> str:
    """Return the name of a pandas or numpy dtype; any text where it is none that can be modelled."""
    import pandas as pd

    if isinstance(dtype, pd.StringDtype):
        return f"{'string' if dtype.na_value is pd.NA else 'str'}[{dtype.storage}]"
    if isinstance(dtype, pd.ArrowDtype):
        return f"arrow:{dtype.pyarrow_dtype}"
    return "category" if isinstance(dtype, pd.CategoricalDtype) else str(dtype)


def kind_of_dtype(name: str) -> Kind | None:
    """Return which kind of column a type makes; None where it cannot be modelled or written down."""
    return next((kind for kind, pattern in _KINDS.items() if re.fullmatch(pattern, name)), None)


def named_dtype(name: str) -> Any:
    """Return the dtype of a name; a FormatError where there is no such type."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    try:
        if kind_of_dtype(name) is None:
            raise ValueError(name)
        if name.startswith("str["):
            return pd.StringDtype(name[4:-1], na_value=np.nan)
        if not name.startswith("arrow:"):
            return pd.api.types.pandas_dtype(name)
        if name.startswith("arrow:timestamp"):
            return pd.ArrowDtype(pa.timestamp(time_unit(name), time_zone(name)))
        if name.startswith("arrow:decimal128"):
            digits, places = map(int, re.findall(r"-?\d+", name.removeprefix("arrow:decimal128")))
            return pd.ArrowDtype(pa.decimal128(digits, places))
        return pd.ArrowDtype(pa.type_for_alias(name.removeprefix("arrow:")))
    except (TypeError, ValueError, KeyError) as error:  # a zone that there is not
        raise damaged(f"unknown type {name!r}") from error


def damaged(why: str) -> FormatError:
    """Return the error of a saved description that cannot be read."""
    return FormatError(
        f"The saved description of the table is damaged: {why}.", "Restore a copy, or fit and save again."
    )


def time_unit(name: str) -> str:
    """Return the unit in which a type of times counts."""
    match = re.fullmatch(_TIMES, name)
    if match is None:
        return "ms" if name == "arrow:date64[ms]" else "s"
    return str(match[1] or match[3])


def time_zone(name: str) -> str | None:
    """Return the zone of a type of times; None where it has none."""
    match = re.fullmatch(_TIMES, name)
    return None if match is None else match[2] or match[4]
