"""How many training rows are like what is given? Counts of pairs of values tell it, and no row is kept.

Counted is how often a category of one column, or an eighth of its numbers, comes with one of another.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.view import View

__all__ = ["MOST_GIVEN", "NOTE", "Support", "fit_support"]

NOTE = "support"
_MOST_BINS = 160  # of all columns
_MOST_OF_NUMBERS, _MOST_OF_CATEGORIES = 8, 40  # bins of a column
_MOST_COUNTED, _BLOCK = 200_000, 2**14  # training rows
MOST_GIVEN = 20_000
"""Rows that are asked for that are looked at."""
_MOST_UNLIKE = 200  # of them, with bins that differ
_FEW, _FEW_OF_ALL = 10.0, 0.002  # rows that tell little: so many, or such a share

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Support:
    """Counts of training rows.

    Attributes
    ----------
    n : int
        Training rows.
    edges : tuple of (tuple of float or None)
        Of each column: upper ends of the bins of numbers, () where each number of a category is a bin, None
        where the column is not counted.
    first : tuple of int
        The number of the first bin of each column.
    counts : array (bins, bins)
        Rows that are in both.
    """

    n: int
    edges: tuple[tuple[float, ...] | None, ...]
    first: tuple[int, ...]
    counts: NDArray[np.int64]

    def bins(self, x: Floats) -> NDArray[np.intp]:
        """Return the bin of each number of rows (n, columns); -1 where it is missing or not counted."""
        found = np.full(x.shape, -1, dtype=np.intp)
        ends = (*self.first[1:], len(self.counts))
        for j, (edges, first, end) in enumerate(zip(self.edges, self.first, ends, strict=True)):
            if edges is None:
                continue
            known = ~np.isnan(x[:, j])
            values = x[known, j]
            place = np.searchsorted(edges, values) if edges else values.astype(np.intp)
            found[known, j] = np.where(place < end - first, first + place, -1)
        return found

    def fewest(self, x: Floats) -> tuple[int, list[int]] | None:
        """Return in how many training rows two values of rows (n, columns), NaN where unknown, come together.

        That is the fewest of all pairs, with the numbers of the two columns, or of the one that has a rare
        value. None where all have enough.
        """
        enough = min(_FEW, _FEW_OF_ALL * self.n)
        if enough < 1:
            return None  # each pair may be missing by chance
        found: tuple[int, list[int]] | None = None
        for bins in np.unique(self.bins(x), axis=0)[:_MOST_UNLIKE]:
            known = np.flatnonzero(bins >= 0)
            if len(known):
                among = self.counts[np.ix_(bins[known], bins[known])]
                i, j = divmod(int(among.argmin()), len(known))
                if among[i, j] < (enough if found is None else found[0]):
                    found = int(among[i, j]), sorted({int(known[i]), int(known[j])})
        return found

    def to_note(self) -> str:
        """Return the text that :meth:`from_note` reads."""
        upper = self.counts[np.triu_indices(len(self.counts))].tolist()
        return json.dumps({"n": self.n, "edges": self.edges, "first": self.first, "counts": upper})

    @classmethod
    def from_note(cls, text: str, columns: int) -> Support:
        """Read what :meth:`to_note` wrote; a ValueError says that it is damaged."""
        try:
            about = json.loads(text)
            edges = tuple(None if one is None else tuple(map(float, one)) for one in about["edges"])
            first, n = tuple(map(int, about["first"])), int(about["n"])
            upper = np.array(about["counts"], dtype=np.int64)
        except (KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"its counts of rows are damaged: {error}") from error
        size = round((np.sqrt(8 * upper.size + 1) - 1) / 2)
        fits = len(edges) == len(first) == columns and upper.shape == (size * (size + 1) // 2,)
        ends = (*first[1:], size)[:columns]
        in_order = fits and all(0 <= low <= high for low, high in zip(first, ends, strict=True))
        if not in_order or size > _MOST_BINS or (upper < 0).any():
            raise ValueError("its counts of rows do not fit its columns")
        counts = np.zeros((size, size), dtype=np.int64)
        counts[np.triu_indices(size)] = upper
        return cls(n, edges, first, np.maximum(counts, counts.T))


def fit_support(rows: RowCodec, points: Floats) -> Support:
    """Count the pairs of values of training rows with coordinates (n, D), of many of some all over."""
    view = View(rows)
    x = view.numbers(points[:: -(-len(points) // _MOST_COUNTED)])
    each = max(2, min(_MOST_OF_NUMBERS, _MOST_BINS // max(1, len(view.columns))))
    edges: list[tuple[float, ...] | None] = []
    first: list[int] = []
    size = 0
    for j, column in enumerate(view.columns):
        known, width = x[~np.isnan(x[:, j]), j], 0
        ends: tuple[float, ...] = ()
        if column.kind == "category":
            width = min(int(column.high) + 1, _MOST_OF_CATEGORIES)
        elif column.kind != "nothing" and len(known):
            cuts = np.unique(np.quantile(known, np.arange(1, each) / each))
            ends, width = tuple(cuts.tolist()), len(cuts) + 1
        if size + width > _MOST_BINS:
            width = 0
        edges.append(ends if width else None)
        first.append(size)
        size += width
    support = Support(len(x), tuple(edges), tuple(first), np.zeros((size, size), dtype=np.int64))
    for start in range(0, len(x), _BLOCK):
        bins = support.bins(x[start : start + _BLOCK])
        inside = np.zeros((len(bins), size), dtype=np.float32)  # exact for counts below 2**24
        at, of = np.nonzero(bins >= 0)
        inside[at, bins[at, of]] = 1
        support.counts[...] += (inside.T @ inside).astype(np.int64)
    return support
