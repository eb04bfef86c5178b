r"""Does each column have the right marginal distribution?

Numbers, integers and times: the largest difference of cumulative probabilities (Kolmogorov–Smirnov), with the
missing values counted below or above all others:

.. math::  D = \max_{x,\; b \in \{0, 1\}} |b\,(m - m') + P(X \le x) - P(X' \le x)|,

with m the fraction of missing values, so that D is at least :math:`|m - m'|`. Categories and booleans: total
variation, :math:`\frac12 \sum_c |p_c - p'_c|`, with missing as one of the categories. Both are fractions of
rows, from 0 to 1, and invariant under monotone transformations of numbers.

Whether a column differs significantly is tested on all rows: by the Kolmogorov–Smirnov test (Smirnov 1948),
which is exact for numbers without ties and conservative otherwise, its p-value doubled for b; by Pearson's χ²
test, in which categories with fewer than five expected rows are merged.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffuscope.metrics.tabular.tables import Floats, Table

__all__ = ["column_distances", "column_p_values"]


def column_distances(one: Table, other: Table) -> Floats:
    """Return the distance of each column, shape (d,), between two tables that were read together."""
    found = []
    for j, column in enumerate(one.columns):
        mine, others = _counts(one, other, j)
        apart = mine / len(one) - others / len(other)
        if column.ordered:
            with_missing = np.cumsum(apart)  # its first entry is m - m'
            found.append(max(np.abs(with_missing).max(), np.abs(with_missing - apart[0]).max()))
        else:
            found.append(np.abs(apart).sum() / 2)
    return np.array(found)


def _counts(one: Table, other: Table, j: int) -> NDArray[np.intp]:
    """Return the counts of a column's levels in both tables, missing first, shape (2, levels + 1)."""
    width = len(one.columns[j].levels) + 1
    return np.stack([np.bincount(table.codes[:, j] + 1, minlength=width) for table in (one, other)])


def column_p_values(one: Table, other: Table) -> Floats:
    """Return the p-value of each column for equal distributions, shape (d,)."""
    n, m = len(one), len(other)
    found = []
    for j, (column, distance) in enumerate(zip(one.columns, column_distances(one, other), strict=True)):
        if column.ordered:
            from scipy.special import kolmogorov

            found.append(min(1.0, 2 * float(kolmogorov(distance * np.sqrt(n * m / (n + m))))))
        else:
            found.append(_chi_square(_counts(one, other, j)))
    return np.array(found)


def _chi_square(counts: NDArray[np.intp]) -> float:
    """Return the p-value of two rows of counts; rare categories are merged."""
    from scipy.stats import chi2_contingency

    few = counts.sum(axis=0) * counts.sum(axis=1).min() < 5 * counts.sum()
    kept = np.column_stack([counts[:, ~few], counts[:, few].sum(axis=1)])
    kept = kept[:, kept.sum(axis=0) > 0]
    return float(chi2_contingency(kept, correction=False).pvalue) if kept.shape[1] > 1 else 1.0
