"""The estimator, as it comes; and with categories coded as bits."""

from __future__ import annotations

from typing import Any

import pandas as pd

from diffuscope import DiffusionModel
from diffuscope.errors import InputError
from on_tables.contestant import Contestant
from on_tables.laws import Floats

__all__ = ["Diffusion", "DiffusionBits"]


class Diffusion(Contestant):
    """DiffusionModel as it comes.

    Parameters
    ----------
    **settings
        Of the estimator, to try others.
    """

    def __init__(self, **settings: Any) -> None:
        self.given = settings

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        self.model = DiffusionModel(random_state=seed, device="cpu", **self.given).fit(train)

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        return self.model.sample(n, random_state=seed)

    def log_density(self, frame: pd.DataFrame) -> Floats | None:
        try:
            return self.model.score_samples(frame)
        except InputError:  # bits have no probabilities
            return None

    def draws(self, frame: pd.DataFrame, n: int, seed: int) -> list[pd.DataFrame]:
        filled = self.model.impute(frame, n_draws=n, random_state=seed)
        return [filled] if n == 1 else filled

    def settings(self) -> str:
        return f"{self.model.n_iter_} steps, the best {self.model.best_iter_}"


class DiffusionBits(Diffusion):
    """DiffusionModel with analog bits."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(categories="bits", **settings)
