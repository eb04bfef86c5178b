"""Which methods that only fill missing values take part in ``tables.py``?

``KNNImputer`` and ``IterativeImputer`` of scikit-learn on numbers over their deviations and indicators of
categories: as they come, and with what they leave to their user chosen: how many neighbours, by rows left
out; trees in the place of linear regression. ``IterativeImputer`` learns its rounds from rows with missing
values. So it is fitted to the training rows and incomplete ones together, as one would do with one table.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd

from on_tables.contestant import Contestant, Design
from on_tables.laws import Floats
from on_tables.peers import folds_of

__all__ = ["Iterative", "IterativeTrees", "Nearest", "NearestDefault"]

_NEIGHBOURS = (3, 5, 10, 20, 40, 80)
_MOST_FOR_TREES = 2_000


def _unrounded(design: Design, hot: Floats) -> pd.DataFrame:
    """Return rows with integers as they are answered: a mean need not be one."""
    made = design.cool(hot)
    for name in design.integers:
        j = design.numbers.index(name)
        made[name] = hot[:, j] * design.scale[j] + design.shift[j]
    return made


class NearestDefault(Contestant):
    """KNNImputer: the mean of 5 neighbours."""

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        self.design = Design(train)
        self.imputer = self._learn(self.design.hot(train), seed)

    def _learn(self, hot: Floats, seed: int) -> Any:
        from sklearn.impute import KNNImputer

        return KNNImputer().fit(hot)

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        return _unrounded(self.design, self.imputer.transform(self.design.hot(frame)))


class Nearest(NearestDefault):
    """KNNImputer with as many neighbours as are best, the nearer ones counting more."""

    def _learn(self, hot: Floats, seed: int) -> Any:
        from sklearn.impute import KNNImputer

        fitted, left = folds_of(len(hot), seed)[0]
        holes = np.random.default_rng(seed).random((len(left), hot.shape[1])) < 0.3
        asked, losses = np.where(holes, np.nan, hot[left]), {}
        for k in _NEIGHBOURS:
            answer = KNNImputer(n_neighbors=k, weights="distance").fit(hot[fitted]).transform(asked)
            losses[k] = ((answer - hot[left])[holes] ** 2).mean()
        self.k = min(losses, key=losses.__getitem__)
        return KNNImputer(n_neighbors=self.k, weights="distance").fit(hot)

    def settings(self) -> str:
        return f"{self.k} neighbours"


class Iterative(Contestant):
    """IterativeImputer as it comes: Bayesian ridge regression of each column on the others."""

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        self.design, self.seed = Design(train), seed
        self.train = self.design.hot(train)

    def _fitted(self, hot: Floats, **options: Any) -> Any:
        from sklearn.experimental import enable_iterative_imputer  # noqa: F401
        from sklearn.impute import IterativeImputer

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # not converged
            return IterativeImputer(random_state=self.seed, **options).fit(np.vstack([self.train, hot]))

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        hot = self.design.hot(frame)
        return _unrounded(self.design, self._fitted(hot).transform(hot))

    def draws(self, frame: pd.DataFrame, n: int, seed: int) -> list[pd.DataFrame]:
        hot = self.design.hot(frame)
        imputer = self._fitted(hot, sample_posterior=True)
        return [self.design.cool(imputer.transform(hot)) for _ in range(n)]


class IterativeTrees(Iterative):
    """IterativeImputer with extremely randomised trees, of at most 2,000 rows, in three rounds."""

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        some = np.random.default_rng(seed).permutation(len(train))[:_MOST_FOR_TREES]
        super().fit(train.iloc[some], seed)

    def _fitted(self, hot: Floats, **options: Any) -> Any:
        from sklearn.ensemble import ExtraTreesRegressor

        trees = ExtraTreesRegressor(10, min_samples_leaf=2, max_features=0.3, random_state=self.seed)
        return super()._fitted(hot, estimator=trees, max_iter=3)

    def draws(self, frame: pd.DataFrame, n: int, seed: int) -> None:
        return None
