"""Which kind of column is this one?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field, ValidationError

from diffuscope.data.tables.columns.base import Floats, Name
from diffuscope.data.tables.columns.cast import Cast
from diffuscope.data.tables.columns.categories import Boolean, Category, Coding
from diffuscope.data.tables.columns.computed import Computed
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.identifiers import Identifier, is_identifier
from diffuscope.data.tables.columns.numeric import Integer, Number
from diffuscope.data.tables.values import as_floats, form_of, kind_of, label
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["AnyColumn", "fit_column"]

AnyColumn = Annotated[
    Number | Integer | Boolean | Category | DateTime | Cast | Constant | Identifier | Computed,
    Field(discriminator="kind"),
]
_ON_A_LINE: dict[str, type[Number | Integer | DateTime]] = {
    "number": Number,
    "integer": Integer,
    "datetime": DateTime,
}


def fit_column(
    values: pd.Series[Any],
    name: Name,
    categories: Coding = "onehot",
    seed: int = 0,
    said: str | None = None,
    weights: Floats | None = None,
) -> AnyColumn:
    """Fit the kind of column that suits values (n,); messages call it ``name``.

    Floats make a :class:`Number`, integers an :class:`Integer`, truth values a :class:`Boolean`, text, bytes
    and categoricals a :class:`Category`, times a :class:`DateTime`, decimal numbers, durations, periods and
    dates a :class:`Cast`; objects are looked at. A column with one distinct value or none is a
    :class:`Constant`, text of which (nearly) every row has its own an :class:`Identifier`. What is ``said``
    of a column, "id", "category" or anything else, is not to be recognised. The seed chooses the rows that
    the map is fitted to, of more than 200,000. ``weights`` (n,) say what each row counts: shares and
    quantiles are weighted, and which values are heaps is told by numbers of rows alone. Raises an InputError
    when the column cannot be modelled.
    """
    kind, form = kind_of(values, name), form_of(values)
    try:
        if said == "id" and kind != "empty":
            return Identifier.fit(values, name)
        if form is not None:
            return Cast.fit(values, name, form, seed, weights)
        if kind == "empty" or _is_constant(values, name, kind):
            return Constant.fit(values, name, kind)
        if kind in _ON_A_LINE:
            return _ON_A_LINE[kind].fit(values, name, seed, weights)
        if kind == "boolean":
            return Boolean.fit(values, name, categories, weights)
        if said is None and is_identifier(values, name):
            return Identifier.fit(values, name)
        return Category.fit(values, name, categories, said == "category", weights)
    except ValidationError as error:  # half a surrogate in a text, for one
        why = error.errors(include_url=False, include_input=False)[-1]["msg"]
        raise InputError(
            f"{label(name)} cannot be saved: {why}.", "Clean its values, or remove the column."
        ) from error


def _is_constant(values: pd.Series[Any], name: Name, kind: str) -> bool:
    if kind in ("number", "boolean"):
        x = as_floats(values, name)
        return bool(np.fmin.reduce(x) == np.fmax.reduce(x))
    present = values[values.notna()]
    if kind == "integer":  # Arrow compares no integer beyond int64
        return bool(present.min() == present.max())
    return bool((present == present.iloc[0]).all())
