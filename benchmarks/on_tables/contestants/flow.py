r"""Densities by a neural spline flow of ``zuko`` (Durkan, Bekasov, Murray & Papamakarios 2019).

Numbers are made tame by :math:`z = \operatorname{arsinh}((x - m) / s)`, whose slope is counted. Integers,
and the codes of categories in the order of their frequency, are spread over unit intervals; the
probability of one is the mean of the density over its interval. Training stops when rows left out no
longer gain.
"""

from __future__ import annotations

import copy
import time

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from on_tables.contestants.base import Contestant
from on_tables.contestants.plain import Plain

__all__ = ["Flow"]

Floats = NDArray[np.float64]

_SPREADINGS = 16
_BATCH = 256
_PATIENCE = 15


class Flow(Contestant):
    """Three autoregressive spline transforms."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        import torch
        import zuko

        torch.set_num_threads(1)
        torch.manual_seed(seed)
        begun = time.perf_counter()
        self.plain, self.random = Plain(table), np.random.default_rng(seed)
        x, c = self.plain.whole(table)
        self.spread = np.array(
            [name in self.plain.integers for name in self.plain.numbers] + [True] * c.shape[1]
        )
        x = np.column_stack([x, c]).astype(float)
        self.middle = np.median(x, axis=0)
        quarters = np.quantile(x, [0.1, 0.9], axis=0)
        self.scale = np.maximum((quarters[1] - quarters[0]) / 2, np.maximum(x.std(axis=0) / 10, 1e-9))
        order = self.random.permutation(len(x))
        fit, left = x[order[len(x) // 10 :]], x[order[: len(x) // 10]]
        z_left = torch.from_numpy(self._tame(left)[0]).float()
        self.flow = zuko.flows.NSF(x.shape[1], transforms=3, hidden_features=(128, 128))
        optimiser = torch.optim.AdamW(self.flow.parameters(), lr=1e-3, weight_decay=1e-3)
        best, kept, since = np.inf, self.flow.state_dict(), 0
        self.epochs = 0
        while since < _PATIENCE and time.perf_counter() - begun < seconds:
            self.epochs += 1
            for rows in np.array_split(self.random.permutation(len(fit)), max(len(fit) // _BATCH, 1)):
                z = torch.from_numpy(self._tame(fit[rows])[0]).float()
                loss = -self.flow().log_prob(z).mean()
                optimiser.zero_grad()
                loss.backward()
                torch.nn.utils.clip_grad_norm_(self.flow.parameters(), 5.0)
                optimiser.step()
            with torch.no_grad():
                value = float(-self.flow().log_prob(z_left).mean())
            since += 1
            if value < best:
                best, kept, since = value, copy.deepcopy(self.flow.state_dict()), 0
        self.flow.load_state_dict(kept)

    def _tame(self, x: Floats) -> tuple[Floats, Floats]:
        """Return tame numbers (n, d), with what is discrete spread, and the logarithm of the slope (n,)."""
        noise = (self.random.random(x.shape) - 0.5) * self.spread
        u = (x + noise - self.middle) / self.scale
        slope = -np.log(self.scale).sum() - 0.5 * np.log1p(u**2).sum(axis=1)
        return np.arcsinh(u), slope

    def log_density(self, frame: pd.DataFrame) -> Floats:
        import torch

        x = np.column_stack(self.plain.whole(frame)).astype(float)
        logs = []
        with torch.no_grad():
            for _ in range(_SPREADINGS if self.spread.any() else 1):
                z, slope = self._tame(x)
                logs.append(self.flow().log_prob(torch.from_numpy(z).float()).double().numpy() + slope)
        answer: Floats = logsumexp(logs, axis=0) - np.log(len(logs))
        return answer

    def note(self) -> str:
        return f"{self.epochs} epochs"
