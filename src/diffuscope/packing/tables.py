"""How does a table of any size become an Arrow file? Piece by piece, each in the types of the first."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
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

    for piece in pieces:
        if hasattr(piece, "iloc"):
            yield pa.Table.from_pandas(piece.rename(columns=str), preserve_index=False)
        elif isinstance(piece, pa.RecordBatch):
            yield pa.Table.from_batches([piece])
        else:
            yield pa.table(piece)


def rows_of(rows: Iterable[Any]) -> Iterator[Any]:
    """Yield rows, each a mapping of names to values, as Arrow tables."""
    import pyarrow as pa

    rows = iter(rows)
    while some := list(itertools.islice(rows, _ROWS)):
        yield pa.Table.from_pylist(some)


def write_table(path: Path, tables: Iterable[Any], where: str) -> tuple[int, tuple[str, ...]]:
    """Write Arrow tables as one Arrow file that is not compressed; return number of rows, and the columns.

    The types are those of the first table; an InputError where a later one has others.
    """
    import pyarrow as pa

    tables = iter(tables)
    first = next(tables, None)
    if first is None or not first.num_columns:
        raise InputError(f"{where} has no rows.", "Give at least two.")
    schema = _plain(first.schema)
    n = 0
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        for table in itertools.chain([first], tables):
            if table.column_names != schema.names:
                raise InputError(
                    f"Row {n:,} (counted from 0) of {where} has other columns: "
                    f"{', '.join(table.column_names[:8])}.",
                    "Give every row the same columns.",
                )
            try:
                same = table.cast(schema)
            except (pa.ArrowException, ValueError) as error:
                said = str(error).splitlines()[0].rstrip(".")
                raise InputError(
                    f"From row {n:,} on {where} has values of another type: {said}.",
                    "Say what the column is: --types NAME=KIND.",
                ) from error
            writer.write_table(same, max_chunksize=_ROWS)
            n += len(same)
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
