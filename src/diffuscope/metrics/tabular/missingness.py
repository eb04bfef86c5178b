r"""Are values missing as often, together, and beside the same other values as in real rows?

With :math:`m_i` the share of rows that lack column i, and all means over columns with missing values:

* **rates**: the mean of :math:`|m_i - m'_i|`;
* **together**: the mean over pairs of columns of :math:`|c_{ik} - c'_{ik}|`, with the covariance
  :math:`c_{ik} = P(i, k\ \text{missing}) - m_i m_k`. It is 0 where columns lack values independently of each
  other, whatever the rates;
* **beside other values**: the mean over pairs of columns of :math:`\sum_b |c_{ib} - c'_{ib}|`, with
  :math:`c_{ib} = P(i\ \text{missing}, b) - P(i\ \text{missing}) P(b)` among the rows where column j has a
  value, and b the fifths of its values, or its nine most common categories and the rest.

A difference is named where it is significant at the 1% level after Bonferroni's correction, by a normal test
of all rows (the variance of a covariance is the mean of :math:`(M - m)^2 (B - p)^2` less its square, taken
of real and synthetic rows together, as if they had one law), and not negligible: a rate that differs by 0.5%
of the rows, a covariance by 0.2% of them, with 2% of those that have the other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics import Measured
from diffuscope.metrics.tabular.splits import Splits, relate_few
from diffuscope.metrics.tabular.tables import Column, Floats, Table, made_not_real, shown_level

__all__ = ["Beside", "Missingness", "Rate", "Together", "measure_missing"]

_FIFTHS = 5
_CATEGORIES = 9
_LEVEL = 0.01
_LEAST_RATE, _LEAST_COVARIANCE, _LEAST_SHARE = 0.005, 0.002, 0.02
_MOST = 20_000  # rows of each for tests
_LISTED = 20
_FEWEST = 20  # rows with a value, for a covariance
_EXPECTED = 5.0  # rows, for a normal test


class Rate(NamedTuple):
    """How often a column is missing; ``off`` where synthetic rows differ significantly."""

    column: Name
    real: float
    synthetic: float
    off: bool


class Together(NamedTuple):
    """Shares of rows in which two columns are both missing."""

    one: Name
    other: Name
    real: float
    synthetic: float


class Beside(NamedTuple):
    """Shares of the rows with certain values of a column, in words, in which another one is missing."""

    column: Name
    other: Name
    where: str
    real: float
    synthetic: float


@dataclass(frozen=True)
class Missingness:
    """How values are missing, in real rows and in synthetic ones.

    Attributes
    ----------
    rates : tuple of Rate
        Of each column with missing values, worst first.
    together, beside : tuple of Together, of Beside
        What differs significantly, worst first, at most twenty each.
    """

    rates: tuple[Rate, ...]
    together: tuple[Together, ...]
    beside: tuple[Beside, ...]

    @property
    def off(self) -> bool:
        """Whether anything differs significantly."""
        return bool(self.together or self.beside or any(rate.off for rate in self.rates))

    def line(self) -> str:
        """Return what was found in one sentence."""
        said = [
            f"{str(rate.column)!r} is missing in {made_not_real(rate.synthetic, rate.real)}"
            for rate in self.rates
            if rate.off
        ][:1]
        for pair in self.together[:1]:
            names = f"{str(pair.one)!r} and {str(pair.other)!r}"
            said.append(f"{names} are missing together in {made_not_real(pair.synthetic, pair.real)}")
        for b in self.beside[:1]:
            shares = made_not_real(b.synthetic, b.real)
            said.append(f"where {b.where}, {str(b.column)!r} is missing in {shares}")
        return f"Missing values: {'; '.join(said) or 'where and as often as in real rows'}."

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            name: [{key: _plain(value) for key, value in entry._asdict().items()} for entry in entries]
            for name, entries in asdict(self).items()
        }


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | float | bool) else str(value)


def measure_missing(splits: Splits) -> tuple[dict[str, Measured], Missingness] | None:
    """Measure how values are missing; None for tables without missing values.

    ``missing_together`` and ``missing_beside`` are omitted where no pair of columns can have them.
    """
    real = Table(splits.train.columns, np.concatenate([splits.train.codes, splits.unseen.codes]))
    synthetic = splits.synthetic
    lacking = np.flatnonzero((real.codes < 0).any(axis=0) | (synthetic.codes < 0).any(axis=0))
    if not len(lacking):
        return None
    bins = _Bins(real)
    compared: dict[str, Callable[[Table, Table], float]] = {
        "missing_rates": lambda x, y: float(np.abs(_rates(x, lacking) - _rates(y, lacking)).mean()),
        "missing_together": lambda x, y: _mean_together(x, y, lacking),
        "missing_beside": lambda x, y: bins.mean_beside(x, y, lacking),
    }
    if len(lacking) < 2:
        del compared["missing_together"]
    if not bins.usable(lacking).any():
        del compared["missing_beside"]
    values, floors, factor = splits.compare(
        lambda x, y: np.array([distance(x, y) for distance in compared.values()])
    )
    metrics = {name: relate_few(values[:, k], floors[:, k], factor) for k, name in enumerate(compared)}
    some = [table.some(_MOST, splits.seed, "missing", k) for k, table in enumerate((real, synthetic))]
    rates = _compare_rates(real, synthetic, lacking)
    together = _differ_together(some[0], some[1], lacking) if "missing_together" in compared else ()
    beside = bins.differ_beside(some[0], some[1], lacking) if "missing_beside" in compared else ()
    return metrics, Missingness(rates, together, beside)


# --- rates ------------------------------------------------------------------------------------------------


def _rates(table: Table, lacking: NDArray[np.intp]) -> Floats:
    return np.asarray((table.codes[:, lacking] < 0).mean(axis=0))


def _compare_rates(real: Table, synthetic: Table, lacking: NDArray[np.intp]) -> tuple[Rate, ...]:
    was, made = _rates(real, lacking), _rates(synthetic, lacking)
    pooled = (was * len(real) + made * len(synthetic)) / (len(real) + len(synthetic))
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / len(real) + 1 / len(synthetic)))
    off = _significant((made - was) / error, len(lacking)) & (np.abs(made - was) >= _LEAST_RATE)
    order = np.argsort(-(np.abs(made - was) + off), kind="stable")
    return tuple(
        Rate(real.columns[lacking[k]].name, float(was[k]), float(made[k]), bool(off[k])) for k in order
    )


def _significant(z: Floats, tests: int) -> NDArray[np.bool_]:
    """Return which of many normal tests are significant together."""
    from scipy.special import ndtri

    return np.asarray(np.abs(z) > -ndtri(_LEVEL / max(tests, 1) / 2))


# --- missing together -------------------------------------------------------------------------------------


def _mean_together(x: Table, y: Table, lacking: NDArray[np.intp]) -> float:
    apart = [_both(table, lacking)[1] for table in (x, y)]
    upper = np.triu_indices(len(lacking), 1)
    return float(np.abs(apart[0] - apart[1])[upper].mean())


def _both(table: Table, lacking: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """Return the shares of rows that lack both of two columns, and their covariances, each (k, k)."""
    holes = (table.codes[:, lacking] < 0).astype(np.float64)
    both, rates = holes.T @ holes / len(table), holes.mean(axis=0)
    return both, both - np.outer(rates, rates)


def _differ_together(real: Table, synthetic: Table, lacking: NDArray[np.intp]) -> tuple[Together, ...]:
    (was, one), (made, other) = _both(real, lacking), _both(synthetic, lacking)
    n, m = len(real), len(synthetic)
    pooled = (was * n + made * m) / (n + m)
    variance = _variance(pooled, np.diag(pooled)[:, None], np.diag(pooled)[None]) * (1 / n + 1 / m)
    upper = np.triu(np.ones(was.shape, dtype=bool), 1)
    apart = np.where(upper, other - one, 0.0)
    z = _quotient(apart, np.sqrt(variance))
    off = _significant(z, int(upper.sum())) & (np.abs(apart) >= _LEAST_COVARIANCE)
    off &= np.abs(made - was) >= _LEAST_RATE
    names = [real.columns[j].name for j in lacking]
    return tuple(
        Together(names[i], names[k], float(was[i, k]), float(made[i, k]))
        for i, k in _worst(np.where(off, np.abs(apart), 0.0))
    )


def _quotient(one: Floats, other: Floats) -> Floats:
    """Return one / other, 0 where the other is 0."""
    return np.asarray(np.divide(one, other, out=np.zeros_like(one), where=other > 0))


def _variance(both: Floats, m: Floats, p: Floats) -> Floats:
    """Return the variance of (M - m)(B - p) of truth values, given P(M, B), m = P(M) and p = P(B)."""
    c = both - m * p
    square = (
        both * (1 - m) ** 2 * (1 - p) ** 2
        + (m - both) * (1 - m) ** 2 * p**2
        + (p - both) * m**2 * (1 - p) ** 2
        + (1 - m - p + both) * m**2 * p**2
    )
    return np.asarray(np.maximum(square - c**2, 0.0))


def _worst(size: Floats) -> Iterator[tuple[int, int]]:
    """Yield the places of the largest entries above 0, at most twenty."""
    order = np.argsort(-size, axis=None, kind="stable")[:_LISTED]
    for i, k in zip(*np.unravel_index(order, size.shape), strict=True):
        if size[i, k] > 0:
            yield int(i), int(k)


# --- missing beside other values --------------------------------------------------------------------------


class _Bins:
    """The values of all columns in few bins: fifths of real rows, or the most common categories."""

    def __init__(self, real: Table) -> None:
        self.columns = real.columns
        self.edges = [_edges(column, real.codes[:, j]) for j, column in enumerate(real.columns)]
        self.counts = np.array([len(edges) + 1 for edges in self.edges])
        self.first = np.concatenate([[0], np.cumsum(self.counts)])
        self.of = np.repeat(np.arange(len(self.columns)), self.counts)  # the column of each bin

    def usable(self, lacking: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which columns (d,) each that lacks values is looked at beside, (k, d)."""
        return np.asarray((self.counts > 1) & (lacking[:, None] != np.arange(len(self.counts))))

    def tally(self, table: Table, lacking: NDArray[np.intp]) -> tuple[Floats, Floats, Floats, Floats]:
        """Count rows for each column that lacks values (k,) and each bin (B,), among those where both apply.

        Returns rows that have the bin's column (B,), of these those in the bin (B,), those that lack the
        column (k, B), and those that do both (k, B).
        """
        inside = np.zeros((len(table), int(self.first[-1])), dtype=np.float32)
        rows = np.arange(len(table))
        for j, edges in enumerate(self.edges):
            codes = table.codes[:, j]
            there = codes >= 0
            places = self.first[j] + np.searchsorted(edges, codes[there], side="left")
            inside[rows[there], places] = 1
        holes = (table.codes[:, lacking] < 0).astype(np.float32)
        both = (holes.T @ inside).astype(np.float64)
        size = inside.sum(axis=0, dtype=np.float64)
        have = np.add.reduceat(size, self.first[:-1])[self.of]
        lack = np.add.reduceat(both, self.first[:-1], axis=1)[:, self.of]
        return have, size, lack, both

    def covariance(self, table: Table, lacking: NDArray[np.intp]) -> Floats:
        """Return the covariances of missing values with bins, (k, B); 0 where few rows have them."""
        return self._covariance(*self.tally(table, lacking))

    def _covariance(self, have: Floats, size: Floats, lack: Floats, both: Floats) -> Floats:
        n = np.maximum(have, 1.0)
        return np.asarray(np.where(have >= _FEWEST, both / n - lack * size / n**2, 0.0))

    def mean_beside(self, x: Table, y: Table, lacking: NDArray[np.intp]) -> float:
        """Return the mean over pairs of columns of the summed differences of covariances."""
        apart = np.abs(self.covariance(x, lacking) - self.covariance(y, lacking))
        pairs = np.add.reduceat(apart, self.first[:-1], axis=1)
        return float(pairs[self.usable(lacking)].mean())

    def differ_beside(self, real: Table, synthetic: Table, lacking: NDArray[np.intp]) -> tuple[Beside, ...]:
        """Return the pairs of columns that differ significantly, each by its worst bin."""
        tallies = [self.tally(table, lacking) for table in (real, synthetic)]
        have, size, lack, both = (x + y for x, y in zip(*tallies, strict=True))
        m, p = lack / np.maximum(have, 1), size / np.maximum(have, 1)
        (n, rows, _, holes), (n_made, rows_made, _, holes_made) = tallies
        smaller = np.minimum(n, n_made)
        usable = np.minimum(m, 1 - m) * np.minimum(p, 1 - p) * smaller >= _EXPECTED
        usable &= self.usable(lacking)[:, self.of]
        one, other = (self._covariance(*tally) for tally in tallies)
        apart = np.where(usable, other - one, 0.0)
        per_row = 1 / np.maximum(n, 1) + 1 / np.maximum(n_made, 1)
        variance = _variance(both / np.maximum(have, 1), m, p) * per_row
        z = _quotient(apart, np.sqrt(variance))
        off = _significant(z, int(usable.sum())) & (np.abs(apart) >= _LEAST_COVARIANCE)
        was, made = holes / np.maximum(rows, 1), holes_made / np.maximum(rows_made, 1)
        off &= np.abs(made - was) >= _LEAST_SHARE
        worst = np.where(off, np.abs(apart), 0.0)
        pairs = np.maximum.reduceat(worst, self.first[:-1], axis=1)
        listed = []
        for i, j in _worst(pairs):
            b = int(self.first[j] + worst[i, self.first[j] : self.first[j + 1]].argmax())
            listed.append(
                Beside(
                    self.columns[lacking[i]].name,
                    self.columns[j].name,
                    self.named(j, b - int(self.first[j])),
                    float(was[i, b]),
                    float(made[i, b]),
                )
            )
        return tuple(listed)

    def named(self, j: int, b: int) -> str:
        """Return the values of a bin in words."""
        column, edges = self.columns[j], self.edges[j]
        name = f"{str(column.name)!r}"
        if not column.ordered:
            rest = b == len(edges) and len(column.levels) > len(edges) + 1
            return f"{name} is rare" if rest else f"{name} is {shown_level(column, b)}"
        if b == 0:
            return f"{name} is at most {shown_level(column, edges[0])}"
        low = shown_level(column, edges[b - 1])
        if b == len(edges):
            return f"{name} is above {low}"
        return f"{name} is above {low}, at most {shown_level(column, edges[b])}"


def _edges(column: Column, codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the last codes of all bins but the last."""
    there = codes[codes >= 0]
    if not column.ordered:
        return np.arange(min(int(there.max(initial=0)), _CATEGORIES))
    if not len(there):
        return np.arange(0)
    cuts = np.quantile(there, np.arange(1, _FIFTHS) / _FIFTHS, method="inverted_cdf")
    return np.unique(cuts[cuts < there.max()]).astype(np.intp)
