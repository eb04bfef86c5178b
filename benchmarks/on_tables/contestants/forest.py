"""Holes by boosted trees, column by column, in rounds: missForest, with gradient boosting for random forests.

Training rows and incomplete ones are one table. Holes begin as medians and most frequent categories. Then
each incomplete column in turn, the one with the fewest holes first, is predicted from all others by trees
fitted to the rows that have it; and so again, until the change between rounds grows (Stekhoven & Bühlmann
2012). Categories of more than 12 values are predicted by a random forest, of which gradient boosting
would need a tree a value.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from on_tables.contestants.base import Contestant
from on_tables.contestants.plain import Plain

__all__ = ["MissForest"]

_ROUNDS = 4
_MOST_BOOSTED = 12


class MissForest(Contestant):
    """See the file's first lines."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        self.table, self.seed, self.seconds = table, seed, seconds
        self.plain = Plain(table)
        self.rounds = 0

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame:
        plain, begun = self.plain, time.perf_counter()
        parts = [plain.partial(rows) for rows in (self.table, frame)]
        p, q = len(plain.numbers), len(plain.others)
        z = np.vstack([np.column_stack([x, c[:, :q].astype(float)]) for x, c in parts])
        z[:, p:][z[:, p:] < 0] = np.nan
        holes = np.isnan(z)
        z = self._started(z, p)
        order = [j for j in np.argsort(holes.sum(axis=0)) if holes[:, j].any() and not holes[:, j].all()]
        last = np.inf
        for self.rounds in range(1, _ROUNDS + 1):
            old = z.copy()
            for j in order:
                if time.perf_counter() - begun > self.seconds / 2 and self.rounds > 1:
                    break
                z[holes[:, j], j] = self._predicted(z, j, ~holes[:, j], j >= p)
            change = float(np.mean((z != old)[:, p:])) if q else 0.0
            scale = np.nanstd(z[:, :p], axis=0) + 1e-12
            change += float(np.mean(((z - old)[:, :p] / scale) ** 2)) if p else 0.0
            if change >= last or time.perf_counter() - begun > self.seconds / 2:
                break
            last = change
        rows = z[len(self.table) :]
        filled = plain.back(rows[:, :p], rows[:, p:].astype(np.intp), holes=False)
        filled.index = frame.index
        return _kept(frame, filled)

    def _started(self, z: NDArray[np.float64], p: int) -> NDArray[np.float64]:
        """Fill holes by medians and most frequent categories."""
        made = z.copy()
        for j in range(z.shape[1]):
            own = z[~np.isnan(z[:, j]), j]
            if len(own):
                made[np.isnan(z[:, j]), j] = (
                    np.median(own) if j < p else np.bincount(own.astype(int)).argmax()
                )
            else:
                made[:, j] = 0.0
        return made

    def _predicted(
        self, z: NDArray[np.float64], j: int, there: NDArray[np.bool_], is_class: bool
    ) -> NDArray[np.float64]:
        """Return column j of the rows that do not have it."""
        from sklearn.ensemble import (
            HistGradientBoostingClassifier,
            HistGradientBoostingRegressor,
            RandomForestClassifier,
        )

        x, y = np.delete(z, j, axis=1), z[:, j]
        count = len(np.unique(y[there]))
        settings = {"max_iter": 60, "early_stopping": False, "random_state": self.seed}
        if count == 1:
            return np.full((~there).sum(), y[there][0])
        if not is_class:
            trees = HistGradientBoostingRegressor(**settings)
        elif count <= _MOST_BOOSTED:
            trees = HistGradientBoostingClassifier(**settings)
        else:
            trees = RandomForestClassifier(50, min_samples_leaf=2, random_state=self.seed)
        answer: NDArray[np.float64] = trees.fit(x[there], y[there]).predict(x[~there])
        return answer

    def note(self) -> str:
        return f"{self.rounds} rounds"


def _kept(frame: pd.DataFrame, filled: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with what they have, and the rest filled."""
    made = {name: frame[name].where(frame[name].notna(), filled[name]) for name in frame}
    return pd.DataFrame(made)
