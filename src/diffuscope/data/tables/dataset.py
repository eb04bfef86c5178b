"""How is a table a data set like any other? Its points are the coordinates of its rows."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset, describe_file
from diffuscope.data.columnar import ColumnSchema, FileOptions, RowsFile, open_rows, suffix_of
from diffuscope.data.columnar.pieces import Pieces, open_pieces
from diffuscope.data.columnar.reading import as_typed
from diffuscope.data.packs import content_of, read_pack
from diffuscope.data.stored import Scratch, Stored, held_of
from diffuscope.data.tables.columns.base import Name
from diffuscope.data.tables.columns.categories import Coding
from diffuscope.data.tables.description import described
from diffuscope.data.tables.frames import read_frame
from diffuscope.data.tables.rows import RowCodec
from diffuscope.errors import InputError
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FEWEST_ROWS", "TableData", "few_rows_note", "load_table"]

FEWEST_ROWS = 20
"""Rows from which something of their law can be learned, and measured."""


def few_rows_note(n: int) -> str | None:
    """Return a warning where a table of n rows is too small to learn from; None where it is not."""
    if n >= FEWEST_ROWS:
        return None
    return (
        f"The table has {n} rows, too few to learn how they are distributed: samples may repeat real values, "
        f"and are not private. Give at least {FEWEST_ROWS} rows, better hundreds."
    )


@dataclass(frozen=True, eq=False, repr=False)
class TableData(Dataset):
    """Rows of a table, as points: ``rows`` says what the coordinates ``x`` (n, D) mean.

    They are NaN where a value is missing. ``features`` and ``target`` are as they were given, ``schema`` says
    how each column was taken, ``weights`` (n,) what each row counts, None where all count alike.
    """

    kind: ClassVar[str] = "table"

    rows: RowCodec
    features: Any
    target: Any = None
    schema: tuple[ColumnSchema, ...] = ()
    weights: NDArray[np.float64] | None = None

    @property
    def filled(self) -> NDArray[np.float64]:
        """The coordinates, 0 where a value is missing."""
        filled: NDArray[np.float64] = np.nan_to_num(self.x) if np.isnan(self.x).any() else self.x
        return filled

    @classmethod
    def of_points(cls, points: Dataset, *, rows: RowCodec | None = None, **settings: Any) -> TableData:
        """Make one of points, whose law stays known where it was."""
        made = cls.of(points.x, name=points.name, source=points.source, rows=rows, **settings)
        return made if points.draw is None else replace(made, draw=_in_coordinates(points.draw, made.rows))

    @property
    def frame(self) -> pd.DataFrame:
        """The whole table, the target in its place, as a pandas frame with an index of its own."""
        frame = read_frame(self.features).data.reset_index(drop=True)
        if self.rows.target_at is not None:
            frame.insert(self.rows.target_at, self.target.name, self.target.reset_index(drop=True))
        return frame

    @classmethod
    def of(
        cls,
        X: Any,
        y: Any = None,
        *,
        name: str = "table",
        source: dict[str, Any] | None = None,
        categories: Coding = "onehot",
        seed: int = 0,
        rows: RowCodec | None = None,
        target_at: int | None = None,
        said: Mapping[Name, str] | None = None,
        weights: NDArray[np.float64] | None = None,
        constraints: Sequence[str] = (),
    ) -> TableData:
        """Make one of a table and a target, see :meth:`RowCodec.fit`; ``rows`` where they are fitted already.

        The seed is that of the dequantisation, and of what ``rows`` are fitted to.
        """
        if rows is None:
            rows = RowCodec.fit(
                X,
                y,
                categories=categories,
                seed=seed,
                target_at=target_at,
                said=said,
                weights=weights,
                constraints=constraints,
            )
        x = rows.encode(X, y, dequantise=True, seed=seed)
        source = {"kind": "array", "shape": list(x.shape)} if source is None else source
        return cls(name, x, None, None, source, rows, X, y, weights=weights)


def load_table(
    source: Any,
    *,
    target: Name | None = None,
    categories: Coding = "onehot",
    seed: int = 0,
    rows: RowCodec | None = None,
    options: FileOptions | None = None,
    known: tuple[ColumnSchema, ...] = (),
    constraints: Sequence[str] = (),
) -> TableData:
    """Turn ``source`` into rows of a table, of which the column ``target`` is y.

    The source is a .csv, .tsv (also .gz), .xlsx, .parquet, .npy or .npz file; whatever
    :func:`~diffuscope.data.tables.frames.read_frame` reads; or a Dataset of points. ``options`` say how a
    file is read, and what its columns are; columns that are ``known`` are read as in another file.
    ``constraints`` are relations between columns, see :mod:`~diffuscope.data.tables.constraints`. Raises an
    InputError or FormatError when there is no such file or column, or the table cannot be modelled.
    """
    if isinstance(source, Dataset):
        return TableData.of_points(
            source, categories=categories, seed=seed, rows=rows, constraints=constraints
        )
    options = options or FileOptions()
    is_path = isinstance(source, str | os.PathLike)
    file: RowsFile | None = None
    pieces: Pieces | None = None
    if is_path:
        named = Path(source)
        path = content_of(named)
        pieces = open_pieces(path)
        if pieces is None:
            file = open_rows(path, options, known)
        else:
            held = held_of(pieces.n, len(pieces.names or ()) or 1, seed)
            file = as_typed(pieces.rows(held), options, known, str(path))
        table, name = file.modelled, named.name[: len(named.name) - len(suffix_of(named))]
        if path == named:
            described_as = describe_file(path)
        else:
            described_as = {"kind": "file", "path": str(named), "sha256": read_pack(named).digest}
    else:
        frame = read_frame(source)
        if options.types or frame.container.kind == "pandas":
            file = as_typed(frame.data, options)
        table = file.modelled if file is not None and (target is not None or options.types) else source
        table = frame.data if file is None and target is not None else table
        name = "table"
        described_as = {"kind": "array", "shape": [frame.n, len(frame.container.names)]}
    y = at = None
    try:
        if target is not None:
            table, y, at = RowCodec.split(table, target)
        data = TableData.of(
            table,
            y,
            name=name,
            source=described_as,
            target_at=at,
            categories=categories,
            seed=seed,
            rows=rows,
            said=_said(options, table, target),
            constraints=constraints,
        )
    except InputError as error:
        where = str(source) if is_path else "The table"
        raise InputError(f"{where} cannot be used for training: {error.what}", error.hint) from error
    note = few_rows_note(len(data.x))
    if rows is None and note is not None:
        warnings.warn(note, UserWarning, stacklevel=2)
    if pieces is not None and file is not None:
        encoded = partial(_encoded, pieces, data.rows, file.schema, options, str(source), target, seed)
        about = [described_as["sha256"], data.rows.model_dump_json(), seed]
        digest = hashlib.sha256(json.dumps(about).encode()).hexdigest()
        said = f"{pieces.n:,} rows, encoded once; what is fitted and measured looks at {len(held):,} of them."
        data = replace(data, stored=Stored(encoded, pieces.n, digest, held), notes=(*data.notes, said))
    if file is None:
        return data
    return replace(data, schema=described(file.frame, file.columns, data.rows, options))


def _encoded(
    pieces: Pieces,
    rows: RowCodec,
    known: tuple[ColumnSchema, ...],
    options: FileOptions,
    where: str,
    target: Name | None,
    seed: int,
) -> NDArray[np.float32]:
    """Return the coordinates (n, D) of all rows of a large table, in a file that is mapped.

    Categories that are not among the rows that are held count as missing.
    """
    scratch, new = Scratch(rows.width), Counter[str]()
    plain = options.model_copy(update={"types": None}) if known else options
    for i, frame in enumerate(pieces.frames()):
        table, y = as_typed(frame, plain, known, where).modelled, None
        if target is not None:
            table, y, _ = RowCodec.split(table, target)
        own = stream_seed(seed, "piece", i)
        try:
            x = rows.encode(table, y, dequantise=True, seed=own)
        except InputError:  # as a rule for a new category
            try:
                x = rows.encode(table, y, dequantise=True, seed=own, new_as_missing=True)
            except InputError as error:
                raise InputError(f"{where} cannot be used for training: {error.what}", error.hint) from error
            new.update(rows.new_categories(table, y))
        scratch.append(x)
    if new:
        some = ", ".join(f"{name} ({count:,})" for name, count in new.most_common(5))
        warnings.warn(
            f"Values that are too rare to be among the rows that are looked at count as missing: {some}.",
            UserWarning,
            stacklevel=2,
        )
    return scratch.rows()


def _said(options: FileOptions, table: Any, target: Name | None) -> dict[Name, str]:
    """Return what was said of the columns of a table, and of its target, by their names."""
    names = [*getattr(table, "columns", ()), *([] if target is None else [target])]
    kinds = {name: options.kind_of(name) for name in names}
    return {name: kind for name, kind in kinds.items() if kind is not None}


def _in_coordinates(draw: Callable[[int, int], Any], rows: RowCodec) -> Callable[[int, int], Any]:
    return lambda n, seed: np.ascontiguousarray(rows.encode(draw(n, seed)))
