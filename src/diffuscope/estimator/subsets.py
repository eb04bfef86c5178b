"""Which rows of a large table are trained on, and which are shown? A random part, by their weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import _safe_indexing

from diffuscope.data.tables.columns.weights import even_places

__all__ = ["SHOWN_ROWS", "at_most", "rows_at", "shown_rows"]

SHOWN_ROWS = 2000

Floats = NDArray[np.float64]


def at_most(
    count: int, X: Any, y: Any, weights: Floats | None, n: int, seed: int
) -> tuple[Any, Any, Floats | None]:
    """Return a random subset of at most ``count`` rows, in their order, with their weights.

    A row is in it with a probability in proportion to its weight, or for sure; what it counts is divided by
    that.
    """
    if n <= count:
        return X, y, weights
    random = np.random.default_rng(seed)
    if weights is None:
        return rows_at(np.sort(random.choice(n, count, replace=False)), X, y, None)
    p = _inclusion(weights, count)
    order = random.permutation(n)
    ends = np.floor(np.cumsum(p[order]) + random.random())
    chosen = np.sort(order[np.diff(ends, prepend=0.0) > 0])
    X, y, weights = rows_at(chosen, X, y, weights)
    return X, y, weights / p[chosen]


def _inclusion(weights: Floats, count: int) -> Floats:
    """Return probabilities (n,), in proportion to weights, or 1, that sum to ``count``."""
    sure = np.zeros(len(weights), dtype=bool)
    while True:
        left = count - sure.sum()
        p = np.where(sure, 1.0, weights * left / weights[~sure].sum())
        if not (p > 1).any():
            return p
        sure |= p >= 1


def rows_at(chosen: NDArray[np.intp], X: Any, y: Any, weights: Floats | None) -> tuple[Any, Any, Any]:
    """Return some rows, their targets and their weights."""
    y = None if y is None else _safe_indexing(y, chosen)
    return _safe_indexing(X, chosen), y, None if weights is None else weights[chosen]


def shown_rows(X: Any, weights: Floats | None, n: int, seed: int) -> Any:
    """Return at most 2,000 rows that look like the training table, weighted ones as often as they count."""
    if weights is None:
        return at_most(SHOWN_ROWS, X, None, None, n, seed)[0]
    order = np.random.default_rng(seed).permutation(n)
    return _safe_indexing(X, order[even_places(weights[order], min(n, SHOWN_ROWS))])
