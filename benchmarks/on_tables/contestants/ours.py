"""The estimator, as it comes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffuscope import DiffusionModel
from on_tables.contestants.base import Contestant

__all__ = ["Diffusion"]

_DRAWS = 10


class Diffusion(Contestant):
    """DiffusionModel with no setting but its time; holes are filled by the mean of 10 draws."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        self.seed = seed
        self.model = DiffusionModel(random_state=seed, device="cpu", max_seconds=seconds).fit(table)

    def sample(self, n: int) -> pd.DataFrame:
        rows: pd.DataFrame = self.model.sample(n, random_state=self.seed)
        return rows

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame:
        filled: pd.DataFrame = self.model.impute(frame, n_draws=_DRAWS, average=True, random_state=self.seed)
        return filled

    def log_density(self, frame: pd.DataFrame) -> NDArray[np.float64]:
        return self.model.score_samples(frame)

    def note(self) -> str:
        return f"{self.model.n_iter_} steps, the best {self.model.best_iter_}"
