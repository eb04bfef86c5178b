r"""What do simpler laws say of rows with missing values? Densities and draws, in closed form.

Rows are two arrays: numbers x (n, p), NaN where missing, and codes c (n, q) of categories, -1 where missing.

**Mixture**: components with weights :math:`w_k`, Gaussian numbers and independent categories,

.. math::  p(x, c) = \sum_k w_k \, N(x; \mu_k, \Sigma_k) \prod_j \pi_{kj}(c_j).

What is missing is left out of each component; given the rest, weights are those of the components that
explain it, and numbers are conditional Gaussians. A kernel density estimate is one with a component a row.

**Gaussian copula**: each column is a monotone map of a normal variable, and these are jointly normal.
A column of numbers has the distribution function of its kernel density estimate; a category has an interval
of the normal variable, larger the more frequent it is, the order of categories being that of their shares.
The probability of an interval given the rest is averaged over draws within it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

__all__ = ["Copula", "Law", "Mixture", "PerClass", "fit_copula", "fit_product_mixture"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]
Rows = tuple[Floats, Codes]

_LOG_2PI = np.log(2 * np.pi)
_WITHIN = 64  # draws within the intervals of categories, for a density
_GRID = 2_000
_LARGEST = 8.0  # normal scores beyond which nothing is told apart


class Law(Protocol):
    """A law of rows."""

    def log_density(self, x: Floats, c: Codes) -> Floats:
        """Return the log-density of what is not missing, shape (n,)."""
        ...

    def fill(self, x: Floats, c: Codes, random: np.random.Generator) -> Rows:
        """Return the rows with what is missing drawn from its law given the rest."""
        ...


def patterns(x: Floats, c: Codes) -> list[tuple[NDArray[np.bool_], NDArray[np.intp]]]:
    """Return each pattern of numbers that are there, shape (p,), with the rows that have it."""
    distinct, which = np.unique(~np.isnan(x), axis=0, return_inverse=True)
    return [(pattern, np.flatnonzero(which.ravel() == i)) for i, pattern in enumerate(distinct)]


def pick(log_p: Floats, random: np.random.Generator) -> NDArray[np.intp]:
    """Draw a number for each row of unnormalised log-probabilities (n, k)."""
    ends = np.exp(log_p - log_p.max(axis=1, keepdims=True)).cumsum(axis=1)
    return (random.random((len(ends), 1)) * ends[:, -1:] > ends).sum(axis=1)


@dataclass(frozen=True)
class Mixture:
    """See the file's first lines.

    Attributes
    ----------
    log_weights : ndarray of shape (K,)
    means : ndarray of shape (K, p)
    covariances : ndarray of shape (K, p, p), or float
        A float is the variance of all numbers in all components.
    tables : sequence of ndarray of shape (K, k_j)
        Log-probabilities of the categories of each column.
    """

    log_weights: Floats
    means: Floats
    covariances: Floats | float
    tables: Sequence[Floats]

    def log_density(self, x: Floats, c: Codes) -> Floats:
        return logsumexp(self._joint(x, c), axis=1)

    def fill(self, x: Floats, c: Codes, random: np.random.Generator) -> Rows:
        chosen = pick(self._joint(x, c), random)
        filled, codes = x.copy(), c.copy()
        for there, rows in patterns(x, c):
            if not there.all():
                for k in np.unique(chosen[rows]):
                    some = rows[chosen[rows] == k]
                    mean, root = self._given(k, there, x[some])
                    noise = random.standard_normal(mean.shape)
                    filled[np.ix_(some, ~there)] = mean + (
                        noise * root if np.ndim(root) == 0 else noise @ root.T
                    )
        for j, table in enumerate(self.tables):
            gaps = c[:, j] < 0
            codes[gaps, j] = pick(table[chosen[gaps]], random)
        return filled, codes

    def mean(self, x: Floats, c: Codes) -> tuple[Floats, list[Floats]]:
        """Return numbers filled by their means given the rest, and probabilities of categories."""
        log_p = self._joint(x, c)
        share = np.exp(log_p - logsumexp(log_p, axis=1, keepdims=True))
        filled = x.copy()
        for there, rows in patterns(x, c):
            if there.all():
                continue
            if np.ndim(self.covariances) == 0:
                filled[np.ix_(rows, ~there)] = share[rows] @ self.means[:, ~there]
                continue
            means = [self._given(k, there, x[rows])[0] for k in range(len(self.means))]
            filled[np.ix_(rows, ~there)] = np.einsum("nk,knj->nj", share[rows], np.stack(means))
        return filled, [share @ np.exp(table) for table in self.tables]

    def _joint(self, x: Floats, c: Codes) -> Floats:
        """Return log-probabilities of row and component, shape (n, K)."""
        total = self.log_weights + self._numbers(x, c)
        for j, table in enumerate(self.tables):
            known = np.flatnonzero(c[:, j] >= 0)
            total[known] += table[:, c[known, j]].T
        return total

    def _numbers(self, x: Floats, c: Codes) -> Floats:
        if np.ndim(self.covariances) == 0:
            there = ~np.isnan(x)
            z = np.nan_to_num(x)
            far = (z**2).sum(1)[:, None] - 2 * z @ self.means.T + there @ (self.means**2).T
            volume = there.sum(1)[:, None] * (_LOG_2PI + np.log(self.covariances))
            return -0.5 * (np.maximum(far, 0) / self.covariances + volume)
        value = np.zeros((len(x), len(self.means)))
        for there, rows in patterns(x, c):
            if there.any():
                for k, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
                    value[rows, k] = _log_normal(
                        x[np.ix_(rows, there)] - mean[there], covariance[np.ix_(there, there)]
                    )
        return value

    def _given(self, k: int, there: NDArray[np.bool_], x: Floats) -> tuple[Floats, Floats | float]:
        """Return means (n, m) of the missing numbers in a component, and a root of their covariance."""
        if np.ndim(self.covariances) == 0:
            return np.tile(self.means[k, ~there], (len(x), 1)), self.covariances**0.5
        return _conditional(self.means[k], self.covariances[k], there, x[:, there])


def _log_normal(x: Floats, covariance: Floats) -> Floats:
    root = np.linalg.cholesky(covariance)
    z = solve_triangular(root, x.T, lower=True)
    return -0.5 * ((z**2).sum(0) + x.shape[1] * _LOG_2PI) - np.log(np.diag(root)).sum()


def _conditional(
    mean: Floats, covariance: Floats, there: NDArray[np.bool_], x: Floats
) -> tuple[Floats, Floats]:
    """Return means (n, m) given x (n, o) of those that are there, and a root of the covariance."""
    across = covariance[np.ix_(~there, there)]
    slope = np.linalg.solve(covariance[np.ix_(there, there)], across.T).T if there.any() else across
    rest = covariance[np.ix_(~there, ~there)] - slope @ across.T
    values, vectors = np.linalg.eigh((rest + rest.T) / 2)
    return mean[~there] + (x - mean[there]) @ slope.T, vectors * np.sqrt(np.maximum(values, 0))


def fit_product_mixture(
    x: Floats, c: Codes, sizes: Sequence[int], components: int, ridge: float, seed: int
) -> Mixture:
    """Fit a mixture of Gaussian numbers and categories by expectation and maximisation.

    Parameters
    ----------
    x, c : ndarray of shape (n, p), (n, q)
        Whole rows, standardised.
    sizes : sequence of int
        Numbers of categories.
    components : int
    ridge : float
        Added to all variances.
    seed : int
    """
    from sklearn.cluster import KMeans

    p = x.shape[1]
    hot = [np.eye(k)[c[:, j]] for j, k in enumerate(sizes)]
    start = KMeans(components, n_init=1, random_state=seed).fit_predict(np.hstack([x, *hot]))
    share, last = np.eye(components)[start], -np.inf
    for _ in range(200):
        weight = share.sum(axis=0) + 1e-9
        means = share.T @ x / weight[:, None]
        covariances = np.empty((components, p, p))
        for k in range(components):
            around = x - means[k]
            covariances[k] = (share[:, k, None] * around).T @ around / weight[k] + ridge * np.eye(p)
        tables = [np.log((share.T @ h + h.mean(0)) / (weight[:, None] + 1)) for h in hot]
        law = Mixture(np.log(weight / weight.sum()), means, covariances, tables)
        joint = law._joint(x, c)
        whole = logsumexp(joint, axis=1)
        share = np.exp(joint - whole[:, None])
        if whole.mean() - last < 1e-4:
            break
        last = whole.mean()
    return law


# --- copula ----------------------------------------------------------------------------------------------


class Margin:
    """The distribution of a column of numbers: a kernel density estimate, on a grid.

    Parameters
    ----------
    x : ndarray of shape (n,)
    """

    def __init__(self, x: Floats) -> None:
        from sklearn.model_selection import GridSearchCV
        from sklearn.neighbors import KernelDensity

        some = np.random.default_rng(0).permutation(x)[:1_000]
        spread = min(x.std(), stats.iqr(x) / 1.349 or np.inf) * len(some) ** -0.2
        search = GridSearchCV(KernelDensity(), {"bandwidth": spread * np.geomspace(0.2, 1.2, 5)}, cv=3)
        width = search.fit(some[:, None]).best_params_["bandwidth"] * (len(x) / len(some)) ** -0.2
        inner = np.quantile(x, np.linspace(0, 1, _GRID // 2))
        outer = np.linspace(x.min() - 8 * width, x.max() + 8 * width, _GRID // 2)
        grid = np.unique(np.concatenate([inner, outer]))
        z = (grid[:, None] - x[np.linspace(0, len(x) - 1, min(len(x), 2_000)).astype(int)]) / width
        score = stats.norm.ppf(np.clip(stats.norm.cdf(z).mean(1), 1e-15, 1 - 1e-15))
        rising = np.flatnonzero(np.diff(np.maximum.accumulate(score), prepend=-np.inf) > 1e-9)
        self.grid, self.score = grid[rising], score[rising]

    def forward(self, x: Floats) -> tuple[Floats, Floats]:
        """Return normal scores, and the logarithm of their slope; beyond the grid the last slope holds."""
        slopes = np.diff(self.score) / np.diff(self.grid)
        cell = np.clip(np.searchsorted(self.grid, x) - 1, 0, len(slopes) - 1)
        z = self.score[cell] + (x - self.grid[cell]) * slopes[cell]
        return z, np.log(slopes[cell])

    def backward(self, z: Floats) -> Floats:
        """Return the numbers of normal scores."""
        slopes = np.diff(self.grid) / np.diff(self.score)
        cell = np.clip(np.searchsorted(self.score, z) - 1, 0, len(slopes) - 1)
        return self.grid[cell] + (z - self.score[cell]) * slopes[cell]


class Cells:
    """Intervals of a normal variable, one for each category, the most frequent one first.

    Parameters
    ----------
    c : ndarray of shape (n,)
    k : int
    """

    def __init__(self, c: Codes, k: int) -> None:
        shares = (np.bincount(c, minlength=k) + 0.5) / (len(c) + 0.5 * k)
        self.order = np.argsort(-shares, kind="stable")
        self.place = np.argsort(self.order)
        self.ends = np.concatenate([[0.0], np.cumsum(shares[self.order])])
        self.ends[-1] = 1.0

    def forward(self, c: Codes, random: np.random.Generator) -> tuple[Floats, Floats]:
        """Return normal scores drawn within the intervals, and the logarithms of these' probabilities."""
        low, high = self.ends[self.place[c]], self.ends[self.place[c] + 1]
        u = low + (high - low) * random.random(c.shape)
        return np.clip(stats.norm.ppf(u), -_LARGEST, _LARGEST), np.log(high - low)

    def backward(self, z: Floats) -> Codes:
        """Return the categories of normal scores."""
        place = np.searchsorted(self.ends[1:-1], stats.norm.cdf(z))
        return self.order[place]


@dataclass(frozen=True)
class Copula:
    """See the file's first lines."""

    margins: Sequence[Margin]
    cells: Sequence[Cells]
    correlation: Floats

    def log_density(self, x: Floats, c: Codes) -> Floats:
        random, p = np.random.default_rng(0), len(self.margins)
        draws = []
        for _ in range(_WITHIN if self.cells else 1):
            z, volume = self._scores(x, c, random)
            # Of an interval the draws are uniform in u: there the copula itself is the density.
            volume[:, p:] += 0.5 * (z[:, p:] ** 2 + _LOG_2PI)
            value = np.nansum(volume, axis=1)
            for there, rows in patterns(z, c):
                if there.any():
                    value[rows] += _log_normal(z[np.ix_(rows, there)], self.correlation[np.ix_(there, there)])
            draws.append(value)
        return logsumexp(draws, axis=0) - np.log(len(draws))

    def fill(self, x: Floats, c: Codes, random: np.random.Generator) -> Rows:
        z, _ = self._scores(x, c, random)
        for there, rows in patterns(z, c):
            if not there.all():
                mean, root = _conditional(
                    np.zeros(len(there)), self.correlation, there, z[np.ix_(rows, there)]
                )
                z[np.ix_(rows, ~there)] = mean + random.standard_normal(mean.shape) @ root.T
        filled, codes, p = x.copy(), c.copy(), len(self.margins)
        for j, margin in enumerate(self.margins):
            gaps = np.isnan(x[:, j])
            filled[gaps, j] = margin.backward(z[gaps, j])
        for j, cells in enumerate(self.cells):
            gaps = c[:, j] < 0
            codes[gaps, j] = cells.backward(z[gaps, p + j])
        return filled, codes

    def _scores(self, x: Floats, c: Codes, random: np.random.Generator) -> Rows:
        """Return normal scores (n, p + q), NaN where missing, and logarithms of slopes and probabilities."""
        z = np.full((len(x), len(self.margins) + len(self.cells)), np.nan)
        volume = z.copy()
        for j, margin in enumerate(self.margins):
            known = ~np.isnan(x[:, j])
            z[known, j], volume[known, j] = margin.forward(x[known, j])
        for j, cells in enumerate(self.cells, start=len(self.margins)):
            codes = c[:, j - len(self.margins)]
            z[codes >= 0, j], volume[codes >= 0, j] = cells.forward(codes[codes >= 0], random)
        return z, volume


def fit_copula(x: Floats, c: Codes, sizes: Sequence[int], seed: int) -> Copula:
    """Fit a Gaussian copula to whole rows; its correlations are shrunk (Ledoit & Wolf 2004)."""
    from sklearn.covariance import ledoit_wolf

    margins = [Margin(column) for column in x.T]
    cells = [Cells(column, k) for column, k in zip(c.T, sizes, strict=True)]
    law = Copula(margins, cells, np.eye(len(margins) + len(cells)))
    random = np.random.default_rng(seed)
    z = np.concatenate([law._scores(x, c, random)[0] for _ in range(8 if cells else 1)])
    covariance, _ = ledoit_wolf(z)
    spread = np.sqrt(np.diag(covariance))
    return Copula(margins, cells, covariance / np.outer(spread, spread))


# --- one law for each class ------------------------------------------------------------------------------


@dataclass(frozen=True)
class PerClass:
    """The laws of numbers in each category of the one column of categories."""

    log_shares: Floats
    laws: Sequence[Law]

    def log_density(self, x: Floats, c: Codes) -> Floats:
        joint = self._joint(x)
        known = np.take_along_axis(joint, np.maximum(c, 0), axis=1)[:, 0]
        return np.where(c[:, 0] >= 0, known, logsumexp(joint, axis=1))

    def fill(self, x: Floats, c: Codes, random: np.random.Generator) -> Rows:
        codes = np.where(c[:, 0] >= 0, c[:, 0], pick(self._joint(x), random))
        filled = x.copy()
        for k, law in enumerate(self.laws):
            rows = codes == k
            if rows.any():
                filled[rows] = law.fill(x[rows], c[rows][:, :0], random)[0]
        return filled, codes[:, None]

    def _joint(self, x: Floats) -> Floats:
        nothing = np.empty((len(x), 0), dtype=np.intp)
        return self.log_shares + np.stack([law.log_density(x, nothing) for law in self.laws], axis=1)
