"""How is a table a data set like any other? Its points are the coordinates of its rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.base import Dataset, describe_file
from diffuscope.data.columnar import read_rows
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.tables.columns.base import Name
from diffuscope.data.tables.columns.categories import Coding
from diffuscope.data.tables.frames import read_frame
from diffuscope.data.tables.rows import RowCodec
from diffuscope.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TableData", "load_table"]


@dataclass(frozen=True, eq=False)
class TableData(Dataset):
    """Rows of a table, as points.

    Attributes
    ----------
    rows : RowCodec
        What the coordinates ``x`` (n, D) mean. They are NaN where a value is missing.
    features, target : table of shape (n, d), array_like of shape (n,) or None
        As they were given.
    """

    rows: RowCodec
    features: Any
    target: Any = None

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
    ) -> TableData:
        """Make one of a table and a target.

        Parameters
        ----------
        X, y
            See :meth:`RowCodec.fit`.
        name, source
            See :class:`Dataset`.
        categories : {"onehot", "bits"}
        seed : int
            Of the dequantisation, and of what ``rows`` are fitted to.
        rows : RowCodec, optional
            What coordinates mean, where that is decided already.
        target_at : int, optional
            Where y stood in the table that it comes from.

        Raises
        ------
        InputError
            When they cannot be modelled.
        """
        if rows is None:
            rows = RowCodec.fit(X, y, categories=categories, seed=seed, target_at=target_at)
        x = rows.encode(X, y, dequantise=True, seed=seed)
        source = {"kind": "array", "shape": list(x.shape)} if source is None else source
        return cls(name, x, None, None, source, rows, X, y)


def load_table(
    source: Any,
    *,
    target: Name | None = None,
    categories: Coding = "onehot",
    size: int | None = None,
    noise: float | None = None,
    seed: int = 0,
    rows: RowCodec | None = None,
) -> TableData:
    """Turn ``source`` into rows of a table.

    Parameters
    ----------
    source : str, path, table or callable
        A .csv, .tsv, .parquet, .npy or .npz file; a DataFrame or whatever else
        :func:`~diffuscope.data.tables.frames.read_frame` reads; or what
        :func:`~diffuscope.data.columnar.load_dataset` makes points of.
    target : str or int, optional
        The column that is y.
    categories, rows
        See :meth:`TableData.of`.
    size, noise
        Of a built-in set or a function that draws points.
    seed : int

    Raises
    ------
    InputError, FormatError
        When there is no such file or column, or the table cannot be modelled.
    """
    is_path = isinstance(source, str | os.PathLike) and source not in POINT_SETS
    settings: dict[str, Any] = {"categories": categories, "seed": seed, "rows": rows}
    if is_path and Path(source).suffix:
        path = Path(source)
        table, name, described = read_rows(path), path.stem, describe_file(path)
    elif is_path or isinstance(source, str | Dataset) or callable(source):
        points = load_dataset(source, size=size, noise=noise, seed=seed)
        if target is not None:
            raise InputError("Points have no column to be the target.", "Leave the target out.")
        made = TableData.of(points.x, name=points.name, source=points.source, **settings)
        return made if points.draw is None else replace(made, draw=_in_coordinates(points.draw, made.rows))
    else:
        frame = read_frame(source)
        table = frame.data if target is not None else source
        name, described = "table", {"kind": "array", "shape": [frame.n, len(frame.container.names)]}
    y = at = None
    try:
        if target is not None:
            table, y, at = RowCodec.split(table, target)
        return TableData.of(table, y, name=name, source=described, target_at=at, **settings)
    except InputError as error:
        where = str(source) if is_path else "The table"
        raise InputError(f"{where} cannot be learned from: {error.what}", error.hint) from error


def _in_coordinates(draw: Callable[[int, int], Any], rows: RowCodec) -> Callable[[int, int], Any]:
    return lambda n, seed: np.ascontiguousarray(rows.encode(draw(n, seed)))
