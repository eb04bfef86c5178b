r"""Does each column have the values that it should, as often as it should?

Numbers, integers and times: the largest difference of probability over half-lines (Kolmogorov), each taken
with and without the missing values, so that those count as a value that is beyond either end:

.. math::  D = \max_{x,\; b \in \{0, 1\}} |b\,(m - m') + P(X \le x) - P(X' \le x)|,

m the share of missing values; :math:`|m - m'|` itself is among them. Categories and truth values: total
variation, :math:`\frac12 \sum_c |p_c - p'_c|`, missing being one of the c. Both are shares of rows, from 0 to
1, and do not change where a number is shown in other units or on another scale.

Whether a column differs at all is asked of all rows at once: by Kolmogorov's law of the distance (Smirnov
1948), which is exact for numbers that never repeat and cautious for others, its p-value doubled for b; by
Pearson's χ² of the shares, in which categories of fewer than five expected rows count as one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffuscope.metrics.tabular.tables import Floats, Table

__all__ = ["column_distances", "column_p_values", "missing_share"]


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


def column_p_values(one: Table, other: Table) -> Floats:
    """Return how probable columns of one law are to differ as much, shape (d,)."""
    n, m = len(one), len(other)
    found = []
    for j, (column, distance) in enumerate(zip(one.columns, column_distances(one, other), strict=True)):
        if column.ordered:
            from scipy.special import kolmogorov

            found.append(min(1.0, 2 * float(kolmogorov(distance * np.sqrt(n * m / (n + m))))))
        else:
            counts = [np.bincount(t.codes[:, j] + 1, minlength=len(column.levels) + 1) for t in (one, other)]
            found.append(_chi_square(np.stack(counts)))
    return np.array(found)


def _chi_square(counts: NDArray[np.intp]) -> float:
    """Return the p-value of two rows of counts; columns of few rows are one."""
    from scipy.stats import chi2_contingency

    few = counts.sum(axis=0) * counts.sum(axis=1).min() < 5 * counts.sum()
    kept = np.column_stack([counts[:, ~few], counts[:, few].sum(axis=1)])
    kept = kept[:, kept.sum(axis=0) > 0]
    return float(chi2_contingency(kept, correction=False).pvalue) if kept.shape[1] > 1 else 1.0


def missing_share(table: Table) -> Floats:
    """Return the share of missing values of every column, shape (d,)."""
    return np.asarray((table.codes < 0).mean(axis=0))
