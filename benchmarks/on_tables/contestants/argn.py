"""TabularARGN by ``mostlyai-engine``: autoregressive networks over discretised columns (Tiwald 2025)."""

from __future__ import annotations

import pandas as pd

from on_tables.contestants.base import Contestant, is_number

__all__ = ["Argn"]

_DRAWS = 10


class Argn(Contestant):
    """As it comes, but for the protection of rare values, which would be held against it here."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        import torch
        from mostlyai.engine import TabularARGN

        torch.set_num_threads(1)
        self.table, self.dtypes = table, table.dtypes
        self.model = TabularARGN(
            max_training_time=seconds / 60, value_protection=False, device="cpu", random_state=seed
        ).fit(self._plain(table))

    @staticmethod
    def _plain(table: pd.DataFrame) -> pd.DataFrame:
        made = table.copy()
        for name in table.select_dtypes("category"):
            made[name] = made[name].astype(object)
        return made

    def sample(self, n: int) -> pd.DataFrame:
        return self._typed(self.model.sample(n))

    def _typed(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return rows in types that a file can hold."""
        made = {}
        for name, dtype in self.dtypes.items():
            if isinstance(dtype, pd.CategoricalDtype):
                made[name] = rows[name].astype(object).where(rows[name].notna(), None).astype(dtype)
            elif pd.api.types.is_datetime64_any_dtype(dtype):
                made[name] = pd.to_datetime(rows[name])
            else:
                made[name] = pd.to_numeric(rows[name]).astype("Float64").astype(float)
        return pd.DataFrame(made).reset_index(drop=True)

    def impute(self, frame: pd.DataFrame) -> pd.DataFrame:
        n, many = len(frame), pd.concat([frame] * _DRAWS, ignore_index=True)
        filled = self._typed(self.model.impute(self._plain(many)))  # all draws at once: patterns are shared
        draws = [filled.iloc[k * n : (k + 1) * n].reset_index(drop=True) for k in range(_DRAWS)]
        made = {}
        for name in self.dtypes.index:
            values = pd.concat([draw[name] for draw in draws], axis=1)
            column = frame[name].reset_index(drop=True)
            if is_number(column) or pd.api.types.is_datetime64_any_dtype(column):
                answer = values.mean(axis=1)
            else:
                answer = values.astype(object).mode(axis=1)[0].astype(self.dtypes[name])
            made[name] = column.where(column.notna(), answer)
        return pd.DataFrame(made)
