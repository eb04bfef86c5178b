"""How does a table of any size become an Arrow file? Piece by piece, each in the types of the first."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from diffuscope.data.columnar.pieces import arrow_batches
from diffuscope.data.columnar.reading import text_frames
from diffuscope.data.columnar.schema import FileOptions
from diffuscope.errors import InputError

__all__ = ["frames_of", "rows_of", "tables_in", "write_table"]

_ROWS = 2**16  # of a record batch


def tables_in(path: Path, options: FileOptions) -> Iterator[Any]:
    """Yield the rows of a text, Parquet or Arrow file as Arrow tables."""
    import pyarrow as pa

    if path.suffix.lower() in (".parquet", ".arrow", ".feather"):
        yield from (pa.Table.from_batches([batch]) for batch in arrow_batches(path))
    else:
        yield from frames_of(text_frames(path, options))


def frames_of(pieces: Iterable[Any]) -> Iterator[Any]:
    """Yield pieces of a table, pandas or polars frames or Arrow tables and batches, as Arrow tables."""
    import pyarrow as pa

    n = 0
    for piece in pieces:
        with _as_input_error(n):
            if hasattr(piece, "iloc"):
                table = pa.Table.from_pandas(piece.rename(columns=str), preserve_index=False)
            elif isinstance(piece, pa.RecordBatch):
                table = pa.Table.from_batches([piece])
            else:  # of polars in types that Arrow casts
                table = piece.to_arrow() if hasattr(piece, "to_arrow") else pa.table(piece)
        n += len(table)
        yield table


@contextlib.contextmanager
def _as_input_error(n: int) -> Iterator[None]:
    """Raise what Arrow says of rows from ``n`` on as an InputError."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, TypeError, ValueError, AttributeError) as error:
        said = str(error.args[0] if error.args else error).splitlines()[0].rstrip(".")
        raise InputError(
            f"Rows from row {n:,} (counted from 0) on cannot be packed: {said}.",
            "Give mappings of names to values, or frames of pandas, polars or Arrow; in each column values "
            "of one type.",
        ) from error


def rows_of(rows: Iterable[Any]) -> Iterator[Any]:
    """Yield rows, each a mapping of names to values, as Arrow tables.

    The columns are those of the first row. What a later one lacks is missing; more is an InputError.
    """
    import pyarrow as pa

    rows, names, n = iter(rows), None, 0
    while some := list(itertools.islice(rows, _ROWS)):
        names = tuple(some[0]) if names is None else names
        known = set(names)
        for i, row in enumerate(some, start=n):
            if not isinstance(row, Mapping):
                raise InputError(f"Row {i:,} (counted from 0) is no mapping of names to values.")
            if not known.issuperset(row):
                more = ", ".join(str(name) for name in row if name not in known)
                raise InputError(
                    f"Row {i:,} (counted from 0) has columns that the first row has not: {more}.",
                    "Give the first row all columns, None where it has no value.",
                )
        with _as_input_error(n):
            table = pa.table({str(name): [row.get(name) for row in some] for name in names})
        n += len(some)
        yield table


def write_table(path: Path, tables: Iterable[Any], where: str) -> tuple[int, tuple[str, ...]]:
    """Write Arrow tables as one Arrow file that is not compressed; return number of rows, and the columns.

    The types are those of the first table; an InputError where a later one has others.
    """
    import pyarrow as pa

    tables = iter(tables)
    first = next(tables, None)
    if first is None or not first.num_columns:
        raise InputError(f"{where} has no rows.", "Give at least two.")
    if len(set(first.column_names)) < first.num_columns:
        raise InputError(f"{where} has several columns of one name.", "Rename or drop one of them.")
    schema = _plain(first.schema)
    n = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for table in itertools.chain([first], tables):
            if sorted(table.column_names) != sorted(schema.names):
                raise InputError(
                    f"Row {n:,} (counted from 0) of {where} has other columns: "
                    f"{', '.join(table.column_names[:8])}.",
                    "Give every row the same columns.",
                )
            try:
                same = table.select(schema.names).cast(schema)
            except (pa.ArrowException, ValueError) as error:
                said = str(error).splitlines()[0].rstrip(".")
                raise InputError(
                    f"From row {n:,} on {where} has values of another type: {said}.",
                    "Give values of one type, such as 2.0 beside 2.5; of a text file say what the column is: "
                    "--types NAME=KIND.",
                ) from error
            writer.write_table(same, max_chunksize=_ROWS)
            n += len(same)
    if not n:
        raise InputError(f"{where} has no rows.", "Give at least two.")
    return n, tuple(schema.names)


def _plain(schema: Any) -> Any:
    """Return a schema in which text of few values is text: later pieces may have more of them."""
    import pyarrow as pa

    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_null(kind):
            kind = pa.large_string()
        if pa.types.is_string(kind) or str(kind) == "string_view":
            kind = pa.large_string()  # of any length together
        fields.append(field.with_type(kind).with_nullable(True))
    return pa.schema(fields)
