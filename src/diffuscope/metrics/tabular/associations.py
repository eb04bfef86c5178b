r"""Do columns depend on each other as they should?

A matrix of the association of every two columns, each from the rows where both have a value:

* numbers, integers, times and truth values with each other: the correlation r of normal scores
  :math:`\Phi^{-1}((\text{rank} - \frac12)/n)`, from -1 to 1. It keeps its sign, so that a dependence that
  is turned around is seen;
* one of those and a category: the correlation ratio η, from 0 to 1, of normal scores,
  :math:`\eta^2 = 1 - (1 - \mathrm{SS_{between}}/\mathrm{SS_{total}}) \frac{n - 1}{n - k}` for k categories
  (Kelley 1935, Eq. 1: without the bias that many categories make);
* two categories: Cramér's V with Bergsma's (2013, Eq. 4 to 6) correction of the same bias.

**Missing values**: a column that lacks 1% to 99% of its values in the training rows has a second one that
says whether they are missing, so that it is seen where rows lack them. Categories beyond the 50 that are
most common among training rows count as one. Where a column does not vary its associations are 0.

What is measured is the mean of :math:`|a_{ij} - a'_{ij}|` over all pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffuscope.metrics.tabular.tables import Floats, Table

__all__ = ["Associations", "Associator"]

_MOST_LEVELS = 50
_RARE = 0.01
_LEAST_ROWS = 5


@dataclass(frozen=True)
class Associations:
    """How strongly columns depend on each other: in training rows and in synthetic ones, shape (p, p).

    The names are those of columns, and ``"NAME is missing"``.
    """

    names: tuple[str, ...]
    real: Floats
    synthetic: Floats

    def furthest(self, most: int = 3) -> list[tuple[str, str, float, float]]:
        """Return the pairs that differ most, by name, with the real and the synthetic association."""
        apart = np.triu(np.abs(self.real - self.synthetic), 1)
        order = np.argsort(-apart, axis=None, kind="stable")[:most]
        return [
            (self.names[i], self.names[j], float(self.real[i, j]), float(self.synthetic[i, j]))
            for i, j in zip(*np.unravel_index(order, apart.shape), strict=True)
            if apart[i, j] > 0
        ]


class Associator:
    """The associations of a table's columns, as matrices; training rows say which have missing values."""

    def __init__(self, train: Table) -> None:
        grouped = np.array([column.kind == "category" for column in train.columns])
        missing = (train.codes < 0).mean(axis=0)
        self._scored, self._grouped = np.flatnonzero(~grouped), np.flatnonzero(grouped)
        self._lacking = np.flatnonzero((missing >= _RARE) & (missing <= 1 - _RARE))
        # Columns in their own order, then those that say what is missing.
        last = np.full(len(self._lacking), len(grouped))
        self._order = np.argsort(np.concatenate([self._scored, last, self._grouped]), kind="stable")
        names = [str(column.name) for column in train.columns]
        self.names = tuple(names + [f"{names[j]} is missing" for j in self._lacking])

    def __call__(self, table: Table) -> Floats:
        """Return the associations of a table, shape (p, p), in the order of :attr:`names`."""
        scores, present = self._scores(table)
        groups = [_Groups(table.codes[:, j]) for j in self._grouped]
        k, p = scores.shape[1], len(self.names)
        found = np.zeros((p, p))
        found[:k, :k] = _correlations(scores, present)
        for a, group in enumerate(groups):
            found[k + a, :k] = found[:k, k + a] = _correlation_ratios(group, scores, present)
            for b in range(a):
                found[k + a, k + b] = found[k + b, k + a] = _cramers_v(group, groups[b])
        np.fill_diagonal(found, 1.0)
        return np.asarray(found[np.ix_(self._order, self._order)])

    def difference(self, one: Table, other: Table) -> float:
        """Return the mean absolute difference of associations over all pairs of columns."""
        apart = np.abs(self(one) - self(other))
        return float(apart[np.triu_indices(len(apart), 1)].mean())

    def _scores(self, table: Table) -> tuple[Floats, Floats]:
        """Return normal scores (n, k), 0 where missing, and 1 where they are present."""
        from scipy.special import ndtri

        columns = np.hstack([table.codes[:, self._scored], table.codes[:, self._lacking] < 0])
        scores = np.zeros(columns.shape)
        for k, codes in enumerate(columns.T):
            counts = np.bincount(codes + 1)
            counts[0] = 0
            n = max(int(counts.sum()), 1)
            ranks = (np.cumsum(counts) - counts / 2) / n  # the middle of those that are equal
            scores[:, k] = np.where(codes < 0, 0.0, ndtri(np.clip(ranks, 0.5 / n, 1 - 0.5 / n))[codes + 1])
        return scores, (columns >= 0).astype(np.float64)


class _Groups:
    """A category's rows, with the rare ones as one."""

    def __init__(self, codes: NDArray[np.intp]) -> None:
        self.codes = np.minimum(codes, _MOST_LEVELS)
        self.present = self.codes >= 0


def _correlations(scores: Floats, present: Floats) -> Floats:
    """Return the correlations of columns (n, k) over the rows where both are present, shape (k, k)."""
    n = present.T @ present
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (scores.T @ present) / n  # [i, j]: of i where j is present
        variance = (np.square(scores).T @ present) / n - np.square(mean)
        r = ((scores.T @ scores) / n - mean * mean.T) / np.sqrt(variance * variance.T)
    usable = (n >= _LEAST_ROWS) & (np.minimum(variance, variance.T) > 1e-12)
    return np.where(usable, np.clip(r, -1, 1), 0.0)


def _correlation_ratios(group: _Groups, scores: Floats, present: Floats) -> Floats:
    """Return η of each column of scores (n, k), shape (k,)."""
    if not group.present.any():
        return np.zeros(scores.shape[1])
    both = present * group.present[:, None]
    inside = scores * both
    indicators = (group.codes[:, None] == np.arange(group.codes.max() + 1)).astype(np.float64)
    counts, sums = indicators.T @ both, indicators.T @ inside  # (categories, k)
    n, k = counts.sum(axis=0), (counts > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        centre = np.square(sums.sum(axis=0)) / n
        between = np.where(counts > 0, np.square(sums) / counts, 0.0).sum(axis=0) - centre
        total = np.square(inside).sum(axis=0) - centre
        eta_squared = 1 - (1 - between / total) * (n - 1) / (n - k)
    usable = (n >= _LEAST_ROWS) & (n > k) & (k > 1) & (total > 1e-12 * np.maximum(n, 1))
    return np.asarray(np.sqrt(np.clip(np.where(usable, eta_squared, 0.0), 0, 1)))


def _cramers_v(one: _Groups, other: _Groups) -> float:
    both = one.present & other.present
    n = int(both.sum())
    if n < _LEAST_ROWS:
        return 0.0
    width = int(other.codes.max()) + 1
    cells = np.bincount(one.codes[both] * width + other.codes[both], minlength=(one.codes.max() + 1) * width)
    table = cells.reshape(-1, width) / n
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    r, c = table.shape
    if min(r, c) < 2:
        return 0.0
    expected = table.sum(axis=1)[:, None] * table.sum(axis=0)
    phi = float((np.square(table) / expected).sum() - 1)
    phi = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    least = min(rows, columns) - 1
    return float(np.sqrt(min(1.0, phi / least))) if least > 0 else 0.0
