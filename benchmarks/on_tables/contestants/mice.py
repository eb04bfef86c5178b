"""Holes by ``miceforest``: chained equations with LightGBM and predictive mean matching, five data sets."""

from __future__ import annotations

import numpy as np
import pandas as pd

from on_tables.contestants.base import Contestant
from on_tables.contestants.plain import Plain

__all__ = ["MiceForest"]

_SETS, _ROUNDS = 5, 3


class MiceForest(Contestant):
    """The mean, or the most frequent category, of five data sets after three rounds each."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        self.table, self.seed = table, seed
        self.plain = Plain(table)

    def _coded(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return rows as floats and codes, which the package can read whatever they were."""
        x, c = self.plain.partial(frame)
        made = {f"x{j}": x[:, j] for j in range(x.shape[1])}
        for j in range(len(self.plain.others)):
            codes = np.where(c[:, j] < 0, np.nan, c[:, j])
            made[f"c{j}"] = pd.Categorical(codes, categories=np.arange(self.plain.sizes[j], dtype=float))
        return pd.DataFrame(made)

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame:
        import miceforest

        both = self._coded(pd.concat([self.table, frame], ignore_index=True))
        # Logits of sure categories are infinite; those are drawn by their probabilities instead of matched.
        matched = {name: "normal" if name.startswith("x") else "fast" for name in both}
        kernel = miceforest.ImputationKernel(
            both,
            num_datasets=_SETS,
            mean_match_strategy={name: matched[name] for name in both if both[name].isna().any()},
            random_state=self.seed,
            save_all_iterations_data=False,
        )
        kernel.mice(_ROUNDS, num_iterations=50, num_threads=1, verbose=False)
        draws = [kernel.complete_data(dataset=k).iloc[len(self.table) :] for k in range(_SETS)]
        p, q = len(self.plain.numbers), len(self.plain.others)
        x = np.mean([draw.iloc[:, :p].to_numpy(dtype=float) for draw in draws], axis=0)
        made = self.plain.back(x, np.zeros((len(x), len(self.plain.sizes)), dtype=np.intp), holes=False)
        for j, name in enumerate(self.plain.others):
            codes = np.stack([draw.iloc[:, p + j].to_numpy(dtype=float) for draw in draws]).astype(int)
            best = np.array([np.bincount(column).argmax() for column in codes.T])
            values = np.array(self.plain.values[name], dtype=object)
            made[name] = pd.Series(values[np.minimum(best, len(values) - 1)], dtype=self.plain.dtypes[name])
        assert q == len(self.plain.others)
        made.index = frame.index
        return pd.DataFrame({name: frame[name].where(frame[name].notna(), made[name]) for name in frame})
