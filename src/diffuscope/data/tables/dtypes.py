"""Which types of columns can be modelled, and what are they called in a file?

A type is written as a short name, so that a table can be made of the same types by who has only the
name: numpy's own name (``int16``, ``object``), pandas' (``Int16``, ``boolean``), ``category``,
``datetime64[us, Europe/Berlin]``, ``string[python]`` and ``str[pyarrow]`` with their storage, and
``arrow:`` before Arrow's name (``arrow:int16``, ``arrow:timestamp[us, tz=UTC]``).
"""

from __future__ import annotations

import re
from typing import Any, Literal

from diffuscope.errors import FormatError

__all__ = ["Kind", "dtype_name", "kind_of_dtype", "named_dtype", "time_unit", "time_zone"]

Kind = Literal["number", "integer", "boolean", "category", "datetime", "object", "empty"]

_KINDS: dict[str, Kind] = {
    **dict.fromkeys(["float16", "float32", "float64", "Float32", "Float64"], "number"),
    **dict.fromkeys([f"arrow:{name}" for name in ("halffloat", "float", "double")], "number"),
    **dict.fromkeys(
        [f"{sign}nt{bits}" for sign in ("i", "ui", "I", "UI") for bits in (8, 16, 32, 64)], "integer"
    ),
    **dict.fromkeys([f"arrow:{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)], "integer"),
    **dict.fromkeys(["bool", "boolean", "arrow:bool"], "boolean"),
    **dict.fromkeys(
        [f"{name}[{kept}]" for name in ("str", "string") for kept in ("python", "pyarrow")], "category"
    ),
    **dict.fromkeys(["category", "arrow:string", "arrow:large_string"], "category"),
    **dict.fromkeys(["arrow:date32[day]", "arrow:date64[ms]"], "datetime"),
    "object": "object",
    "arrow:null": "empty",
}
_ZONE = r"[A-Za-z0-9_+\-/:]{1,64}"
_TIMES = re.compile(
    rf"datetime64\[(s|ms|us|ns)(?:, ({_ZONE}))?\]|arrow:timestamp\[(s|ms|us|ns)(?:, tz=({_ZONE}))?\]"
)


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
    if name in _KINDS:
        return _KINDS[name]
    return "datetime" if _TIMES.fullmatch(name) else None


def named_dtype(name: str) -> Any:
    """Return the dtype of a name.

    Raises
    ------
    FormatError
        When there is no such type.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    if kind_of_dtype(name) is None:
        raise _unknown(name)
    if match := re.fullmatch(r"(str|string)\[(\w+)\]", name):
        return pd.StringDtype(match[2], **({"na_value": np.nan} if match[1] == "str" else {}))
    try:
        if not name.startswith("arrow:"):
            return pd.api.types.pandas_dtype(name)
        if name.startswith("arrow:timestamp"):
            return pd.ArrowDtype(pa.timestamp(time_unit(name), time_zone(name)))
        made = {"date32[day]": pa.date32, "date64[ms]": pa.date64, "halffloat": pa.float16, "null": pa.null}
        word = name.removeprefix("arrow:")
        return pd.ArrowDtype(made[word]() if word in made else pa.type_for_alias(word))
    except (TypeError, ValueError, KeyError) as error:  # a zone that there is not
        raise _unknown(name) from error


def time_unit(name: str) -> str:
    """Return the unit in which a type of times counts."""
    match = _TIMES.fullmatch(name)
    if match is None:
        return "ms" if name == "arrow:date64[ms]" else "s"
    return str(match[1] or match[3])


def time_zone(name: str) -> str | None:
    """Return the zone of a type of times; None where it has none."""
    match = _TIMES.fullmatch(name)
    return None if match is None else match[2] or match[4]


def _unknown(name: str) -> FormatError:
    return FormatError(f"There is no type of columns named {name!r}.", "Take another copy of what was saved.")
