r"""Does each column have the values that it should, as often as it should?

Numbers, integers and times: the largest difference of probability over half-lines (Kolmogorov), each taken
with and without the missing values, so that those count as a value that is beyond either end:

.. math::  D = \max_{x,\; b \in \{0, 1\}} |b\,(m - m') + P(X \le x) - P(X' \le x)|,

m the share of missing values; :math:`|m - m'|` itself is among them. Categories and truth values: total
variation, :math:`\frac12 \sum_c |p_c - p'_c|`, missing being one of the c. Both are shares of rows, from 0 to
1, and do not change where a number is shown in other units or on another scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffuscope.fidelity.tables import Floats, Table

__all__ = ["column_distances", "missing_share"]


def column_distances(one: Table, other: Table) -> Floats:
    """Return the distance of every column, shape (d,), between two tables that were read together."""
    return np.array(
        [
            _distance(one.codes[:, j], other.codes[:, j], len(column.levels), column.ordered)
            for j, column in enumerate(one.columns)
        ]
    )


def _distance(one: NDArray[np.intp], other: NDArray[np.intp], levels: int, ordered: bool) -> float:
    apart = _shares(one, levels) - _shares(other, levels)  # missing first
    if not ordered:
        return float(np.abs(apart).sum() / 2)
    with_missing = np.cumsum(apart)  # its first entry is m - m'
    return float(max(np.abs(with_missing).max(), np.abs(with_missing - apart[0]).max()))


def _shares(codes: NDArray[np.intp], levels: int) -> Floats:
    return np.bincount(codes + 1, minlength=levels + 1) / len(codes)


def missing_share(table: Table) -> Floats:
    """Return the share of missing values of every column, shape (d,)."""
    return np.asarray((table.codes < 0).mean(axis=0))
