"""Which simpler methods take part in ``tables.py``, fitted with the care of a good user?

What a method leaves to its user is chosen by rows left out:

* **Gaussian mixture**: number of components, kind of covariance and ridge; in each class where there is one
  column of categories, with categories in its components where there are several;
* **kernel density**: bandwidth, and how far a category is smeared over the others (Aitchison & Aitken 1976);
* **Gaussian copula**: each column's bandwidth; in each class where there is one column of categories;
* **training rows**, drawn again: what perfect memory and no understanding would give.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from on_tables.contestant import Contestant, Design
from on_tables.laws import (
    Codes,
    Copula,
    Floats,
    Law,
    Mixture,
    PerClass,
    fit_copula,
    fit_product_mixture,
)

__all__ = ["GaussianCopula", "GaussianMixtures", "KernelDensity", "TrainingRows", "folds_of"]

_SEARCHED = 4_000
_SPREADINGS = 16
_STARTS = 3
_COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
_RIDGES = (1e-6, 1e-3, 1e-2, 3e-2, 0.1, 0.3)


class ByLaw(Contestant):
    """A law of numbers and codes."""

    law: Law

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        self.design = Design(train)
        x, c = self.design.encode(train, np.random.default_rng(seed))
        self.law = self.learn(x, c, self.design.sizes, seed)

    def learn(self, x: Floats, c: Codes, sizes: list[int], seed: int) -> Law:
        raise NotImplementedError

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        return self.design.decode(*self.law.fill(*self.design.blank(n), np.random.default_rng(seed)))

    def log_density(self, frame: pd.DataFrame) -> Floats:
        """An integer's probability is the density's mean over the numbers that round to it."""
        random = np.random.default_rng(0)
        times = _SPREADINGS if self.design.integers else 1
        logs = [self.law.log_density(*self.design.encode(frame, random)) for _ in range(times)]
        return logsumexp(logs, axis=0) - np.log(times) - np.log(self.design.scale).sum()

    def draws(self, frame: pd.DataFrame, n: int, seed: int) -> list[pd.DataFrame]:
        random = np.random.default_rng(seed)
        x, c = self.design.encode(frame)
        # All at once: what a pattern of missing values needs is computed once.
        x, c = self.law.fill(np.tile(x, (n, 1)), np.tile(c, (n, 1)), random)
        parts = zip(np.split(x, n), np.split(c, n), strict=True)
        return [self.design.decode(*part) for part in parts]


class ByMixture(ByLaw):
    """A mixture, whose conditional means are known."""

    law: Mixture

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        x, c = self.design.encode(frame)
        filled, shares = self.law.mean(x, c)
        codes = [np.where(c[:, j] >= 0, c[:, j], share.argmax(1)) for j, share in enumerate(shares)]
        made = self.design.decode(filled, np.stack(codes, 1) if codes else c)
        for name in self.design.integers:
            j = self.design.numbers.index(name)
            made[name] = filled[:, j] * self.design.scale[j] + self.design.shift[j]
        return made


def folds_of(n: int, seed: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return rows to fit and rows to compare by: five parts in turn, one of many rows."""
    order = np.random.default_rng(seed).permutation(n)[:_SEARCHED]
    parts = np.array_split(order, 5)
    turns = range(5 if n < 1_000 else 1)
    return [(np.concatenate(parts[:i] + parts[i + 1 :]), parts[i]) for i in turns]


class GaussianMixtures(ByMixture):
    """See the file's first lines."""

    def learn(self, x: Floats, c: Codes, sizes: list[int], seed: int) -> Mixture:
        self.chosen: list[str] = []
        if len(sizes) == 0 or (len(sizes) == 1 and x.shape[1]):
            return self._in_classes(x, c[:, 0] if sizes else np.zeros(len(x), dtype=int), sizes, seed)

        def fit(rows: NDArray[np.intp], components: int, kind: str, ridge: float, start: int = 0) -> Mixture:
            return fit_product_mixture(x[rows], c[rows], sizes, components, ridge, seed + start)

        def value(fitted: Mixture, rows: NDArray[np.intp]) -> float:
            return float(fitted.log_density(x[rows], c[rows]).mean())

        return self._search(len(x), ("full",), (1e-4, 1e-2) if x.shape[1] else (1e-4,), fit, value, seed)

    def _in_classes(self, x: Floats, y: Codes, sizes: list[int], seed: int) -> Mixture:
        """Fit scikit-learn's mixture to the rows of each class."""
        from sklearn.mixture import GaussianMixture

        p, logs, means, covariances, which = x.shape[1], [], [], [], []
        kinds = ("full", "tied", "diag") if len(x) < 3_000 else ("full",)
        ridges = _RIDGES if len(x) < 3_000 else _RIDGES[:1]
        for k in range(sizes[0] if sizes else 1):
            own = x[y == k]

            def fit(
                rows: NDArray[np.intp],
                components: int,
                kind: str,
                ridge: float,
                start: int = 0,
                own: Floats = own,
            ) -> GaussianMixture:
                model = GaussianMixture(
                    components, covariance_type=kind, reg_covar=ridge, random_state=seed + start
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # not converged: its likelihood counts all the same
                    return model.fit(own[rows])

            def value(fitted: Any, rows: NDArray[np.intp], own: Floats = own) -> float:
                return float(fitted.score(own[rows]))

            model = self._search(len(own), kinds, ridges, fit, value, seed)
            share = (len(own) + 0.5) / (len(x) + 0.5 * max(sizes or [1]))
            logs.append(np.log(model.weights_) + np.log(share))
            means.append(model.means_)
            covariances.append(_full(model, p))
            which += [k] * len(model.weights_)
        eye = np.eye(max(sizes or [1]))[which]
        tables = [np.log(np.maximum(eye, 1e-12))] if sizes else []
        return Mixture(np.concatenate(logs), np.vstack(means), np.vstack(covariances), tables)

    def _search(
        self,
        n: int,
        kinds: tuple[str, ...],
        ridges: tuple[float, ...],
        fit: Callable[..., Any],
        value: Callable[[Any, NDArray[np.intp]], float],
        seed: int,
    ) -> Any:
        """Return the fit to all rows of what is best for rows left out."""
        folds, best, chosen = folds_of(n, seed), -np.inf, None
        for kind in kinds:
            for ridge in ridges:
                worse, own = 0, -np.inf
                for components in _COMPONENTS:
                    if worse == 2 or components * 5 > len(folds[0][0]):
                        break
                    score = np.mean([value(fit(a, components, kind, ridge), b) for a, b in folds])
                    worse, own = (worse + 1, own) if score <= own else (0, score)
                    if score > best:
                        best, chosen = score, (components, kind, ridge)
        assert chosen is not None
        self.chosen.append(f"{chosen[0]} {chosen[1]} {chosen[2]:g}")
        fits = (fit(np.arange(n), *chosen, start) for start in range(_STARTS))
        return max(fits, key=lambda made: value(made, np.arange(n)))

    def settings(self) -> str:
        return "; ".join(self.chosen)


def _full(model: Any, p: int) -> Floats:
    """Return the covariances of scikit-learn's mixture, shape (K, p, p)."""
    k, own = len(model.weights_), model.covariances_
    return {
        "full": lambda: own,
        "tied": lambda: np.tile(own, (k, 1, 1)),
        "diag": lambda: own[:, :, None] * np.eye(p),
    }[model.covariance_type]()


class KernelDensity(ByMixture):
    """See the file's first lines."""

    def learn(self, x: Floats, c: Codes, sizes: list[int], seed: int) -> Mixture:
        p, best, chosen = x.shape[1], -np.inf, None
        order = np.random.default_rng(seed).permutation(len(x))[: _SEARCHED // 2]
        folds = [(order[a], order[b]) for a, b in folds_of(len(order), seed)]
        scott = len(order) ** (-1 / (p + 4))
        widths = scott * np.geomspace(0.1, 1.5, 12) if p else (1.0,)
        for width in widths:
            for smear in (0.01, 0.03, 0.1, 0.2, 0.4) if sizes else (0.0,):
                laws = [(self._law(x[a], c[a], sizes, width, smear), b) for a, b in folds]
                value = np.mean([law.log_density(x[b], c[b]).mean() for law, b in laws])
                if value > best:
                    best, chosen = value, (width, smear)
        assert chosen is not None
        width, smear = chosen
        # The best bandwidth falls with the number of rows as Scott's does.
        width *= (len(x) / len(order)) ** (-1 / (p + 4))
        self.chosen = f"bandwidth {width:.2g} σ, smear {smear:g}"
        return self._law(x, c, sizes, width, smear)

    @staticmethod
    def _law(x: Floats, c: Codes, sizes: list[int], width: float, smear: float) -> Mixture:
        tables = []
        for j, k in enumerate(sizes):
            hot = np.eye(k)[c[:, j]]
            tables.append(np.log((1 - smear) * hot + smear * (hot.mean(0) + 1e-6) / (1 + k * 1e-6)))
        return Mixture(np.full(len(x), -np.log(len(x))), x, width**2, tables)

    def settings(self) -> str:
        return self.chosen


class GaussianCopula(ByLaw):
    """See the file's first lines."""

    def learn(self, x: Floats, c: Codes, sizes: list[int], seed: int) -> Copula | PerClass:
        if len(sizes) != 1:
            return fit_copula(x, c, sizes, seed)
        counts = np.bincount(c[:, 0], minlength=sizes[0])
        laws = [fit_copula(x[c[:, 0] == k], c[:0, :0], [], seed) for k in range(sizes[0])]
        return PerClass(np.log((counts + 0.5) / (counts + 0.5).sum()), laws)


class TrainingRows(Contestant):
    """Draws without putting back as long as there are enough."""

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        self.train = train

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        rows = np.random.default_rng(seed).choice(len(self.train), n, replace=n > len(self.train))
        return self.train.iloc[rows].reset_index(drop=True)
