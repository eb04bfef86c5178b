"""The two ends of every scale: perfect memory for synthetic rows, column means for holes."""

from __future__ import annotations

import numpy as np
import pandas as pd

from on_tables.contestants.base import Contestant, is_number

__all__ = ["Means", "Memory"]


class Memory(Contestant):
    """Training rows, drawn again without putting back as long as there are enough."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        self.table, self.random = table, np.random.default_rng(seed)

    def sample(self, n: int) -> pd.DataFrame:
        rows = self.random.choice(len(self.table), n, replace=n > len(self.table))
        return self.table.iloc[rows].reset_index(drop=True)


class Means(Contestant):
    """The mean of numbers and times, the most frequent category."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        self.answer = {
            name: column.mean()
            if is_number(column) or pd.api.types.is_datetime64_any_dtype(column)
            else column.mode().iloc[0]
            for name, column in table.items()
            if column.notna().any()
        }

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame:
        return frame.fillna(self.answer)
