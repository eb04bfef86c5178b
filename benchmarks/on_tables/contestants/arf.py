"""Synthetic rows by ``arfpy``: adversarial random forests (Watson, Blesch, Kapar & Wright 2023)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from on_tables.contestants.base import Contestant
from on_tables.contestants.plain import Plain

__all__ = ["Arf"]


class Arf(Contestant):
    """Thirty trees, as they come; what is missing is said by columns of categories."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        from arfpy import arf

        np.random.seed(seed)
        self.plain = Plain(table)
        x, c = self.plain.whole(table)
        made = {f"x{j}": x[:, j] for j in range(x.shape[1])}
        for j in range(c.shape[1]):
            made[f"c{j}"] = pd.Categorical([str(code) for code in c[:, j]])
        self.model = arf.arf(pd.DataFrame(made), verbose=False, random_state=seed)
        self.model.forde()

    def sample(self, n: int) -> pd.DataFrame:
        rows = self.model.forge(n).reset_index(drop=True)
        p = len(self.plain.numbers)
        x = rows[[f"x{j}" for j in range(p)]].to_numpy(dtype=float)
        codes = [rows[f"c{j}"].astype(str).astype(float).astype(int) for j in range(len(self.plain.sizes))]
        c = np.stack(codes, axis=1).astype(np.intp) if codes else np.empty((len(x), 0), dtype=np.intp)
        return self.plain.back(x, c)
