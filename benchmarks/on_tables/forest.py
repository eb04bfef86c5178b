"""How good is ForestDiffusion, diffusion by boosted trees (Jolicoeur-Martineau et al. 2024)?

It is the peer that can be installed. It has the settings of its README as far as its time allows: fewer
copies of the rows, then fewer levels of noise, until a fit is expected to take at most ``SECONDS`` on one
core; where none of that is enough it is left out. It samples by its flow. Imputation would need a second
model, by its other process; that is left out::

    pip install --no-deps ForestDiffusion==1.0.6 xgboost-cpu lightgbm catboost six
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from on_tables.contestant import Contestant, Design

__all__ = ["SECONDS", "Forest", "TooSlow"]

SECONDS = 150.0

# Levels and copies, the README's first.
_SIZES = ((50, 100), (50, 20), (50, 5), (25, 20), (25, 5), (10, 5), (10, 2))
_TREES = 100


class TooSlow(Exception):  # noqa: N818 - no error of anybody's
    """A fit would take too long."""


class Forest(Contestant):
    """See the file's first lines."""

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        from ForestDiffusion import ForestDiffusionModel

        self.design = Design(train)
        x, c = self.design.encode(train)
        x = np.column_stack([x * self.design.scale + self.design.shift, c])
        p, d = len(self.design.numbers), len(self.design.numbers) + sum(self.design.sizes)
        self.chosen = next((one for one in _SIZES if _seconds(len(x), d, *one) <= SECONDS), None)
        if self.chosen is None:
            raise TooSlow(f"a fit would take {_seconds(len(x), d, *_SIZES[-1]):.0f} s at the least")
        two = [p + j for j, k in enumerate(self.design.sizes) if k == 2]
        more = [p + j for j, k in enumerate(self.design.sizes) if k > 2]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = ForestDiffusionModel(
                x,
                n_t=self.chosen[0],
                duplicate_K=self.chosen[1],
                bin_indexes=two,
                cat_indexes=more,
                int_indexes=[self.design.numbers.index(name) for name in self.design.integers],
                n_batch=0,
                n_jobs=1,
                nthread=1,
                seed=seed,
            )

    def sample(self, n: int, seed: int) -> pd.DataFrame:
        np.random.seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x = self.model.generate(batch_size=n)
        p = len(self.design.numbers)
        own = (x[:, :p] - self.design.shift) / self.design.scale
        return self.design.decode(own, np.rint(x[:, p:]).astype(int))

    def settings(self) -> str:
        return f"{self.chosen[0]} levels, {self.chosen[1]} copies" if self.chosen else ""


def _seconds(n: int, d: int, levels: int, copies: int) -> float:
    """Return about how long a fit takes, as measured on a core of an AMD EPYC."""
    return levels * d * _TREES * (1e-4 * d + 4e-9 * n * copies * d)
