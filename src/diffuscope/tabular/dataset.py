"""How is a table a data set like any other? Its points are the coordinates of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from diffuscope.datasets import Dataset
from diffuscope.tabular.categories import Coding
from diffuscope.tabular.rows import RowCodec

__all__ = ["TableData"]


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

        Raises
        ------
        InputError
            When they cannot be modelled.
        """
        rows = RowCodec.fit(X, y, categories=categories, seed=seed) if rows is None else rows
        x = rows.encode(X, y, dequantise=True, seed=seed)
        source = {"kind": "array", "shape": list(x.shape)} if source is None else source
        return cls(name, x, None, None, source, rows, X, y)
