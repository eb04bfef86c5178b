r"""A mixture of Gaussian numbers and independent categories: densities, holes and rows in closed form.

.. math::  p(x, c) = \sum_k w_k \, N(x; \mu_k, \Sigma_k) \prod_j \pi_{kj}(c_j).

It is fitted by expectation and maximisation; the number of components and the ridge are chosen by rows
left out. What is missing is left out of each component; given the rest, the weights are those of the
components that explain it, and numbers are conditional Gaussians.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from on_tables.contestants.base import Contestant
from on_tables.contestants.plain import Plain

__all__ = ["GaussianMixture", "Mixture", "fit_mixture"]

Floats = NDArray[np.float64]
Codes = NDArray[np.intp]

_LOG_2PI = np.log(2 * np.pi)
_COMPONENTS = (1, 2, 4, 8, 16, 32)
_RIDGES = (1e-4, 1e-2)
_SPREADINGS = 16


def _patterns(x: Floats) -> list[tuple[NDArray[np.bool_], Codes]]:
    """Return each pattern of numbers that are there, shape (p,), with the rows that have it."""
    distinct, which = np.unique(~np.isnan(x), axis=0, return_inverse=True)
    return [(pattern, np.flatnonzero(which.ravel() == i)) for i, pattern in enumerate(distinct)]


def _pick(log_p: Floats, random: np.random.Generator) -> Codes:
    """Draw a number for each row of unnormalised log-probabilities (n, k)."""
    ends = np.exp(log_p - log_p.max(axis=1, keepdims=True)).cumsum(axis=1)
    return (random.random((len(ends), 1)) * ends[:, -1:] > ends).sum(axis=1)


@dataclass(frozen=True)
class Mixture:
    """The law.

    Attributes
    ----------
    log_weights : array (K,)
    means : array (K, p)
    covariances : array (K, p, p)
    tables : sequence of arrays (K, k_j)
        Log-probabilities of the categories of each column.
    """

    log_weights: Floats
    means: Floats
    covariances: Floats
    tables: Sequence[Floats]

    def joint(self, x: Floats, c: Codes) -> Floats:
        """Return log-probabilities of row and component (n, K); NaN and -1 are marginalised out."""
        total = np.tile(self.log_weights, (len(x), 1))
        for there, rows in _patterns(x):
            if there.any():
                for k, (mean, covariance) in enumerate(zip(self.means, self.covariances, strict=True)):
                    around = x[np.ix_(rows, there)] - mean[there]
                    total[rows, k] += _log_normal(around, covariance[np.ix_(there, there)])
        for j, table in enumerate(self.tables):
            known = np.flatnonzero(c[:, j] >= 0)
            total[known] += table[:, c[known, j]].T
        return total

    def log_density(self, x: Floats, c: Codes) -> Floats:
        """Return the log-density of what is not missing, shape (n,)."""
        answer: Floats = logsumexp(self.joint(x, c), axis=1)
        return answer

    def draw(self, n: int, random: np.random.Generator) -> tuple[Floats, Codes]:
        """Draw n rows."""
        chosen = _pick(np.tile(self.log_weights, (n, 1)), random)
        x, c = np.empty((n, self.means.shape[1])), np.empty((n, len(self.tables)), dtype=np.intp)
        for k in np.unique(chosen):
            rows = np.flatnonzero(chosen == k)
            root = np.linalg.cholesky(self.covariances[k])
            x[rows] = self.means[k] + random.standard_normal((len(rows), x.shape[1])) @ root.T
        for j, table in enumerate(self.tables):
            c[:, j] = _pick(table[chosen], random)
        return x, c

    def mean(self, x: Floats, c: Codes) -> tuple[Floats, list[Floats]]:
        """Return numbers filled by their means given the rest, and probabilities of categories."""
        log_p = self.joint(x, c)
        share = np.exp(log_p - logsumexp(log_p, axis=1, keepdims=True))
        filled = x.copy()
        for there, rows in _patterns(x):
            if there.all():
                continue
            means = [self._given(k, there, x[rows]) for k in range(len(self.means))]
            filled[np.ix_(rows, ~there)] = np.einsum("nk,knj->nj", share[rows], np.stack(means))
        return filled, [share @ np.exp(table) for table in self.tables]

    def _given(self, k: int, there: NDArray[np.bool_], x: Floats) -> Floats:
        """Return means (n, m) of the missing numbers in a component."""
        mean, covariance = self.means[k], self.covariances[k]
        if not there.any():
            return np.tile(mean, (len(x), 1))
        across = covariance[np.ix_(there, ~there)]
        slope = np.linalg.solve(covariance[np.ix_(there, there)], across)
        answer: Floats = mean[~there] + (x[:, there] - mean[there]) @ slope
        return answer


def _log_normal(x: Floats, covariance: Floats) -> Floats:
    root = np.linalg.cholesky(covariance)
    z = solve_triangular(root, x.T, lower=True)
    answer: Floats = -0.5 * ((z**2).sum(0) + x.shape[1] * _LOG_2PI) - np.log(np.diag(root)).sum()
    return answer


def fit_mixture(
    x: Floats, c: Codes, sizes: Sequence[int], components: int, ridge: float, seed: int
) -> Mixture:
    """Fit a mixture by expectation and maximisation, from clusters.

    Parameters
    ----------
    x, c : arrays (n, p), (n, q)
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
    law = Mixture(np.zeros(1), np.zeros((1, p)), np.eye(p)[None], [])
    for _ in range(100):
        weight = share.sum(axis=0) + 1e-9
        means = share.T @ x / weight[:, None]
        covariances = np.empty((components, p, p))
        for k in range(components):
            around = x - means[k]
            covariances[k] = (share[:, k, None] * around).T @ around / weight[k] + ridge * np.eye(p)
        tables = [np.log((share.T @ h + h.mean(0)) / (weight[:, None] + 1)) for h in hot]
        law = Mixture(np.log(weight / weight.sum()), means, covariances, tables)
        joint = law.joint(x, c)
        whole = logsumexp(joint, axis=1)
        share = np.exp(joint - whole[:, None])
        if whole.mean() - last < 1e-3:
            break
        last = float(whole.mean())
    return law


class GaussianMixture(Contestant):
    """See the file's first lines; integers are spread over their unit interval."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        begun = time.perf_counter()
        self.plain, self.random = Plain(table), np.random.default_rng(seed)
        x, c = self.plain.whole(table)
        self.shift, self.scale = x.mean(0), np.where(x.std(0) > 0, x.std(0), 1.0)
        x = self._scaled(x, self.random)
        order = self.random.permutation(len(x))
        fit, left = order[len(x) // 5 :], order[: len(x) // 5]
        best, self.chosen = -np.inf, (1, _RIDGES[-1])
        for ridge in _RIDGES:
            own = -np.inf
            for components in _COMPONENTS:
                if components * 5 > len(fit) or time.perf_counter() - begun > seconds / 2:
                    break
                law = fit_mixture(x[fit], c[fit], self.plain.sizes, components, ridge, seed)
                value = float(law.log_density(x[left], c[left]).mean())
                if value > best:
                    best, self.chosen = value, (components, ridge)
                if value < own:
                    break
                own = value
        self.law = fit_mixture(x, c, self.plain.sizes, *self.chosen, seed)

    def _scaled(self, x: Floats, random: np.random.Generator) -> Floats:
        """Return numbers over their deviations, integers spread."""
        x = x.copy()
        for name in self.plain.integers:
            x[:, self.plain.numbers.index(name)] += random.random(len(x)) - 0.5
        return (x - self.shift) / self.scale

    def sample(self, n: int) -> pd.DataFrame:
        x, c = self.law.draw(n, self.random)
        return self.plain.back(x * self.scale + self.shift, c)

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame:
        x, c = self.plain.partial(frame)
        filled, shares = self.law.mean((x - self.shift) / self.scale, c)
        codes = c.copy()
        for j, gone in enumerate(self.plain.incomplete):
            known = shares[j][:, : self.plain.sizes[j] - gone]  # a hole is filled with a category
            codes[:, j] = np.where(c[:, j] < 0, known.argmax(axis=1), c[:, j])
        made = self.plain.back(filled * self.scale + self.shift, codes, holes=False)
        made.index = frame.index
        return pd.DataFrame({name: frame[name].where(frame[name].notna(), made[name]) for name in frame})

    def log_density(self, frame: pd.DataFrame) -> Floats:
        """An integer's probability is the density's mean over the numbers that round to it."""
        x, c = self.plain.partial(frame)
        random = np.random.default_rng(0)
        times = _SPREADINGS if self.plain.integers else 1
        logs = [self.law.log_density(self._scaled(x, random), c) for _ in range(times)]
        answer: Floats = logsumexp(logs, axis=0) - np.log(times) - np.log(self.scale).sum()
        return answer

    def note(self) -> str:
        return f"{self.chosen[0]} components, ridge {self.chosen[1]:g}"
