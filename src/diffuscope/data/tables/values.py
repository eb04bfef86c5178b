"""How do values come out of a column, as numbers with a mark where one is missing, and go back into one?

Missing are NaN, None, ``pd.NA`` and ``NaT``. A masked array or an Arrow array knows NaN and missing apart;
here both are missing.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.data.tables.dtypes import (
    Kind,
    dtype_name,
    kind_of_dtype,
    named_dtype,
    time_unit,
    time_zone,
)
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Form",
    "as_durations",
    "as_floats",
    "as_ticks",
    "as_truths",
    "as_whole",
    "form_of",
    "is_present",
    "kind_of",
    "label",
    "restore",
    "restore_decimals",
    "restore_durations",
    "restore_periods",
    "restore_ticks",
    "shown",
]

_OBJECTS: dict[str, Kind] = {
    **dict.fromkeys(["string", "bytes"], "category"),
    **dict.fromkeys(["floating", "mixed-integer-float"], "number"),
    "integer": "integer",
    "boolean": "boolean",
    "empty": "empty",
    **dict.fromkeys(["decimal", "timedelta", "period"], "number"),
    "date": "datetime",
}
Form = Literal["decimal", "duration", "period", "date"]
_FORMS: dict[str, Form] = {
    "decimal": "decimal",
    "arrow:decimal": "decimal",
    "timedelta": "duration",
    "arrow:duration": "duration",
    "period": "period",
    "date": "date",
}
_HINTS = {
    "complex": "Give real and imaginary parts as two columns.",
    "datetime": "Convert them to times: pd.to_datetime(column).",
    "time": "Convert them to numbers, for example seconds since midnight.",
    "interval": "Convert them to categories: column.astype(str).",
    "sparse": "Convert it to dense: column.sparse.to_dense().",
    "binary": "Convert it to text, or remove the column.",
    "dictionary": "Convert it to a categorical: column.astype('category').",
    **dict.fromkeys(["dict", "struct", "map<"], "Give each field its own column: pd.json_normalize(column)."),
    **dict.fromkeys(
        ["list", "tuple", "array", "set"],
        "Give each value a column of its own, pd.DataFrame(column.tolist()), or what matters of it, such as "
        "its length or mean; a series for each row cannot be modelled as one value.",
    ),
}


def label(name: Name) -> str:
    """Return what messages call a column, at their beginning."""
    return f"Column {name!r}"


def shown(value: Any) -> str:
    """Return a value as messages show it."""
    return repr(value.item() if isinstance(value, np.generic) else value)[:100]


def kind_of(column: pd.Series[Any], name: Name) -> Kind:
    """Return which kind a column is, "empty" where all its values are missing.

    Raises an InputError when its type cannot be modelled, or its values are of several types.
    """
    import pandas as pd

    kind = kind_of_dtype(dtype_name(column.dtype))
    if kind != "object":
        if kind is not None:
            kind = "number" if kind == "other" else kind
            return kind if bool(column.notna().any()) else "empty"
        raise _refused(str(column.dtype), name)
    inferred = pd.api.types.infer_dtype(column, skipna=True)
    if inferred in _OBJECTS:
        return _OBJECTS[inferred]
    if inferred.startswith("mixed") or inferred == "unknown-array":
        types = sorted({type(value).__name__ for value in column[column.notna()]})
        if len(types) > 1:
            raise InputError(
                f"{label(name)} has values of several types: {', '.join(types[:5])}.",
                "Convert them to one type, for example with column.astype(str).",
            )
        inferred = types[0]
    raise _refused(inferred, name)


def form_of(column: pd.Series[Any]) -> Form | None:
    """Return which of the types that are turned into plain ones a column has; None for all others."""
    import pandas as pd

    word = dtype_name(column.dtype)
    if word == "object":
        word = pd.api.types.infer_dtype(column, skipna=True)
        return _FORMS.get(word) if word in ("decimal", "timedelta", "date") else None
    if kind_of_dtype(word) != "other":
        return None
    return next(form for start, form in _FORMS.items() if word.startswith(start))


def _refused(what: str, name: Name) -> InputError:
    known = next((hint for word, hint in _HINTS.items() if word in what.lower()), None)
    if what.startswith("datetime64["):
        known = "Give it a zone that has a name: column.dt.tz_convert('Europe/Berlin'), or 'UTC'."
    return InputError(
        f"{label(name)} is of the type {what}, which cannot be modelled.",
        known or "Give numbers, truth values, text, categories or times made of it, or remove the column.",
    )


def is_present(column: pd.Series[Any]) -> NDArray[np.bool_]:
    """Return where a column has a value, shape (n,)."""
    return np.asarray(column.notna(), dtype=bool)


def as_floats(column: pd.Series[Any], name: Name) -> NDArray[np.float64]:
    """Return numbers and truth values as float64 (n,), NaN where missing; an InputError for others.

    Durations are seconds, and periods their ordinal numbers.
    """
    if kind_of(column, name) not in ("number", "integer", "boolean", "empty"):
        raise _unlike(column, name, "numbers")
    if isinstance(column.dtype, np.dtype) and column.dtype != object:
        with np.errstate(over="ignore"):
            return column.to_numpy().astype(np.float64)
    present = is_present(column)
    x = np.full(len(column), np.nan)
    form = form_of(column)
    if form == "duration":
        ticks, _, tick = as_durations(column)
        return np.where(present, ticks / {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[tick], np.nan)
    if form == "period":
        return np.where(present, column.array.asi8, np.nan)
    if form == "decimal":
        x[present] = [float(value) for value in column[present]]
        return x
    try:
        if column.dtype == object:
            x[present] = column.to_numpy()[present].astype(np.float64)
        else:
            x[present] = column[present].to_numpy(dtype=np.float64)
    except OverflowError:  # an int beyond 1e308
        raise InputError(f"{label(name)} has integers beyond 1e308.", "Remove the column.") from None
    return x


def as_whole(column: pd.Series[Any], name: Name) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the whole numbers (m,) of a column, as int64, uint64 or objects, and where they are (n,).

    Raises an InputError when the column holds something else.
    """
    present = is_present(column)
    kind = kind_of(column, name)
    if kind == "integer":
        if column.dtype == object:
            whole = np.array([int(value) for value in column[present]], dtype=object)
            with_sign = bool(len(whole)) and min(whole) >= -(2**63) and max(whole) < 2**63
            return whole.astype(np.int64) if with_sign else whole, present
        unsigned = "uint" in dtype_name(column.dtype).lower()
        return column[present].to_numpy(dtype=np.uint64 if unsigned else np.int64), present
    x = as_floats(column, name)[present]
    odd = np.flatnonzero(~(np.floor(x) == x) | np.isinf(x))
    if odd.size:
        raise InputError(
            f"{label(name)} had only integers, and {x[odd[0]]:g} is not one "
            f"(row {int(np.flatnonzero(present)[odd[0]])}, counted from 0).",
            "Round it, or fit on a table whose column has floats.",
        )
    return (
        x.astype(np.int64) if not (np.abs(x) >= 2**62).any() else np.array([int(v) for v in x], object)
    ), present


def as_truths(column: pd.Series[Any], name: Name) -> NDArray[np.intp]:
    """Return 1 for true (or 1), 0 for false (or 0), -1 where missing (n,); an InputError for others."""
    x = as_floats(column, name)
    present = ~np.isnan(x)
    odd = np.flatnonzero(present & (x != 0) & (x != 1))
    if odd.size:
        raise InputError(f"{label(name)} had only booleans, and {x[odd[0]]:g} is not one.")
    return np.where(present, x == 1, -1).astype(np.intp)


def as_ticks(column: pd.Series[Any], name: Name, dtype: str, local: bool) -> NDArray[np.int64]:
    """Return times (n,) as counts of the unit of ``dtype`` since 1970; the least int64 where missing.

    Where ``local``, they are counted by the clock on the wall in the zone of ``dtype``, else by UTC. Raises
    an InputError when the column holds something else, or one has a zone and the other none.
    """
    import pandas as pd

    kind, unit, zone = kind_of(column, name), time_unit(dtype), time_zone(dtype)
    if kind == "empty":
        return np.full(len(column), np.iinfo(np.int64).min)
    if kind != "datetime":
        raise _unlike(column, name, "times")
    own = dtype_name(column.dtype)
    times: Any = column
    if own == "object":  # dates
        own, times = "datetime64[us]", pd.Series(pd.to_datetime(column)).astype("datetime64[us]")
    if (time_zone(own) is None) != (zone is None):
        raise InputError(
            f"{label(name)} is {own}, and was {dtype} when fitted: only one has a time zone.",
            "Use column.dt.tz_localize(zone), or tz_localize(None).",
        )
    if own.startswith("arrow:"):
        own_zone = time_zone(own)
        times = times.astype(f"datetime64[{time_unit(own)}{', ' + own_zone if own_zone else ''}]")
    try:
        times = times.dt.as_unit(unit)
    except pd.errors.OutOfBoundsDatetime as error:
        raise InputError(f"{label(name)} has times that {dtype} cannot represent: {error}.") from error
    if zone is not None:
        times = times.dt.tz_convert(zone if local else "UTC").dt.tz_localize(None)
    return np.asarray(times.to_numpy().astype(f"M8[{unit}]").view(np.int64))


def as_durations(column: pd.Series[Any]) -> tuple[NDArray[np.int64], NDArray[np.bool_], Any]:
    """Return durations (n,) as counts of a tick, where they are present, and the tick: s, ms, us or ns."""
    import pandas as pd

    own, present = dtype_name(column.dtype), is_present(column)
    if own == "object":
        column = pd.Series(pd.to_timedelta(column))
        own = dtype_name(column.dtype)
    tick = own[own.index("[") + 1 : -1]
    if own.startswith("arrow:"):
        column = column.astype(named_dtype(f"timedelta64[{tick}]"))
    return column.to_numpy().astype(f"m8[{tick}]").view(np.int64), present, tick


def _unlike(column: pd.Series[Any], name: Name, what: str) -> InputError:
    value = next(iter(column[column.notna()]), None)
    return InputError(
        f"{label(name)} had {what} when the table was fitted; now it is {column.dtype}, e.g. {shown(value)}.",
        "Convert the columns to these types.",
    )


def restore(values: NDArray[Any], present: NDArray[np.bool_], dtype: str, name: Name) -> pd.Series[Any]:
    """Return a column of the type ``dtype`` with the values where present, missing elsewhere.

    Raises an InputError when values are missing and the type cannot say so.
    """
    import pandas as pd

    made, whole = named_dtype(dtype), bool(present.all())
    if not whole and isinstance(made, np.dtype) and made.kind in "iub":
        raise InputError(
            f"{label(name)} has no value in row {int(np.argmin(present))} (counted from 0), "
            f"and its type {dtype} does not support missing values.",
            "Give a point with all its coordinates.",
        )
    if dtype == "object":
        column = pd.Series(values.astype(object), dtype=object)
        if not whole:
            column[~present] = np.nan if values.dtype.kind == "f" else None
        return column
    if not whole and values.dtype.kind in "iub":
        values = np.where(present, values, values.dtype.type(0))
    column = pd.Series(values, dtype=object if values.dtype == object else None).astype(made)
    if not whole:
        column[~present] = np.nan if isinstance(made, np.dtype) and made.kind == "f" else None
    return column


def restore_decimals(x: NDArray[np.float64], places: int, dtype: str) -> pd.Series[Any]:
    """Return decimal numbers of the type ``dtype`` for floats (n,), missing where NaN.

    They have so many places.
    """
    import pandas as pd
    import pyarrow as pa

    step, exact = Decimal(1).scaleb(-places), Context(prec=400, rounding=ROUND_HALF_EVEN)
    values: list[Decimal | None] = []
    for value in x.tolist():
        short = None if value != value else Decimal(value).quantize(step, context=exact)
        values.append(short)
    if dtype == "object":
        return pd.Series(values, dtype=object)
    array = pa.array(values, type=named_dtype(dtype).pyarrow_dtype)
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


def restore_durations(x: NDArray[np.float64], unit: int, tick: str, dtype: str) -> pd.Series[Any]:
    """Return durations of the type ``dtype`` for counts (n,) of so many ticks, missing where NaN."""
    import pandas as pd
    import pyarrow as pa

    missing = np.iinfo(np.int64).min
    with np.errstate(invalid="ignore"):
        ticks = np.where(np.isnan(x), 0, np.clip(np.rint(x * unit), -(2.0**62), 2.0**62)).astype(np.int64)
    durations = np.where(np.isnan(x), missing, ticks).view(f"m8[{tick}]")
    if dtype.startswith("arrow:"):
        array = pa.array(durations).cast(named_dtype(dtype).pyarrow_dtype)
        return pd.Series(pd.arrays.ArrowExtensionArray(array))
    column = pd.Series(durations)
    if dtype != "object":
        return column.astype(named_dtype(dtype))
    plain = [
        None if gap else value.to_pytimedelta() for gap, value in zip(column.isna(), column, strict=True)
    ]
    return pd.Series(plain, dtype=object)


def restore_periods(x: NDArray[np.float64], dtype: str) -> pd.Series[Any]:
    """Return periods of the type ``dtype`` for their ordinal numbers (n,), missing where NaN."""
    import pandas as pd

    whole = np.where(np.isnan(x), np.iinfo(np.int64).min, np.rint(np.nan_to_num(x))).astype(np.int64)
    index: Any = pd.PeriodIndex
    return pd.Series(index.from_ordinals(whole, freq=named_dtype(dtype).freq))


def restore_ticks(ticks: NDArray[np.int64], dtype: str, local: bool) -> pd.Series[Any]:
    """Return times of the type ``dtype`` for counts of its unit; undoes :func:`as_ticks`.

    A time that a change of the clock skips becomes the next that there is, one that it repeats the first.
    """
    import pandas as pd
    import pyarrow as pa

    unit, zone = time_unit(dtype), time_zone(dtype)
    times = pd.Series(ticks.view(f"M8[{unit}]"))
    if zone is not None and local:
        first = np.ones(len(times), dtype=bool)
        times = times.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    elif zone is not None:
        times = times.dt.tz_localize("UTC").dt.tz_convert(zone)
    if not dtype.startswith("arrow:"):
        return times
    made = named_dtype(dtype)
    plain = times if zone is None else times.dt.tz_convert("UTC").dt.tz_localize(None)
    array = pa.array(plain.to_numpy().astype(f"M8[{unit}]")).cast(made.pyarrow_dtype)
    return pd.Series(pd.arrays.ArrowExtensionArray(array))
