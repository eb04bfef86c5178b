"""How was each column of a table taken? One line for each, and what a later file is read by."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.columnar.printing import cells_of
from diffuscope.data.columnar.recognition import ReadColumn
from diffuscope.data.columnar.schema import ColumnSchema, FileOptions, Kind
from diffuscope.data.tables.columns.categories import Boolean, Category
from diffuscope.data.tables.columns.computed import Computed
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.data.tables.columns.dates import DateTime
from diffuscope.data.tables.columns.fitting import AnyColumn
from diffuscope.data.tables.columns.identifiers import Identifier
from diffuscope.data.tables.columns.labels import Labels
from diffuscope.data.tables.columns.numeric import Integer, Number
from diffuscope.data.tables.rows import RowCodec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["described"]

_MANY = 100  # rows from which integers that all differ may be identifiers
_LISTED = 60  # characters of categories that are named
_OF_LABELS: dict[str, Kind] = {"integer": "integer", "number": "number", "boolean": "boolean", "time": "date"}


def described(
    frame: pd.DataFrame, read: Sequence[ReadColumn], rows: RowCodec, options: FileOptions
) -> tuple[ColumnSchema, ...]:
    """Return the schemas of columns as they were ``read``, each with a line about how it was taken.

    ``frame`` holds all of them, ``rows`` those that are modelled.
    """
    columns: dict[Any, AnyColumn] = {column.name: column for column in rows.all_columns}
    found = []
    for name, one in zip(frame.columns, read, strict=True):
        schema, column = one.schema, columns.get(name)
        if column is None:
            found.append(schema.model_copy(update={"about": "left out"}))
            continue
        computed = "computed of other columns" if isinstance(column, Computed) else ""
        column = column.inner if isinstance(column, Computed) else column
        is_class = rows.classes is not None and name == rows.target_name
        if one.values is None:  # it had a type of its own, which text has not
            schema = schema.model_copy(update={"kind": _kind(column, is_class, schema.kind)})
        if isinstance(column, Identifier):
            schema = schema.model_copy(update={"kind": "id"})
        said = options.kind_of(name) is not None
        about = [_about(column, frame[name], schema, said), _holes(frame[name], one, column)]
        about += [computed, *one.remarks]
        found.append(schema.model_copy(update={"about": "; ".join(filter(None, about))}))
    return tuple(found)


def _kind(column: AnyColumn, is_class: bool, otherwise: Kind) -> Kind:
    """Return as what the cells of a text file are to be read, to be values of a column."""
    if is_class:
        return "integer"
    labels: Labels | None = None
    if isinstance(column, Category):
        labels = column.labels
    if isinstance(column, Constant):
        labels = column.value
    if labels is not None:
        return _OF_LABELS.get(labels.kind, "category")
    kinds: dict[type, Kind] = {Number: "number", Integer: "integer", Boolean: "boolean", DateTime: "date"}
    kinds[Identifier] = "id"
    return kinds.get(type(column), otherwise)


def _about(column: AnyColumn, values: pd.Series[Any], schema: ColumnSchema, said: bool) -> str:
    """Return kind, and range or categories, of a column."""
    if isinstance(column, Identifier):
        out, kept = (f"--types {shlex.quote(f'{column.name}={kind}')}" for kind in ("ignored", "category"))
        return (
            f"identifier, not modelled: samples have made-up ones, such as {column.made(1).iloc[0]}; "
            f"to leave it out: {out}" + ("" if said else f", to model it: {kept}")
        )
    if isinstance(column, Constant):
        return "empty" if column.value is None else f"always {column.value.index[0]}"
    if isinstance(column, Boolean):
        return f"true or false, {column.codes.shares[1]:.0%} true"
    if isinstance(column, Category):
        labels = list(map(str, column.labels.index.tolist()))
        listed = ", ".join(labels)
        few = f": {listed}" if len(listed) <= _LISTED else ""
        return f"category, {len(labels):,}{few or ' different'}"
    present = values.dropna().reset_index(drop=True)
    ends = present.iloc[[int(present.argmin()), int(present.argmax())]]
    ends = ends.reset_index(drop=True)
    low, high = cells_of(ends, schema)
    if isinstance(column, Number) and column.decimals is None and not schema.has_form:
        low, high = (f"{end:.6g}" for end in ends)
    kind = column.kind.removesuffix("time")
    if kind == "date" and schema.date_format and not re.search("%-?d", schema.date_format):
        kind = "time"  # of the day
    own = ""
    countable = isinstance(column, Integer) and not said and not schema.has_form
    if countable and len(present) >= _MANY and present.is_unique:
        own = f"; all differ, if an identifier: --types {shlex.quote(f'{column.name}=id')}"
    return f"{kind}, {low} to {high}{own}"


def _holes(values: pd.Series[Any], read: ReadColumn, column: AnyColumn) -> str:
    """Return how many values are missing, and by which words; in text these may have been values."""
    n = int(np.count_nonzero(values.isna().to_numpy()))
    by = ", ".join(map(repr, read.words[:5]))
    if by and isinstance(column, Category | Constant):
        by += "; if values: --missing ''"
    return f"{n:,} missing" + f" ({by})" * bool(by) if n else ""
