"""Which densities can be compared? Those of tables without holes and heaps.

Measured values are rounded, and a law of numbers that stands on values which come again and again has a
density without bound. So every float that comes more than once is spread uniformly over its cell, which
reaches halfway to the neighbouring values, once (Theis, van den Oord & Bethge 2016, section 3.1): all
methods then have densities of the same thing. Integers and categories stay, and have probabilities.
Times, and columns that are incomplete in more than one row of 20, are left out, and so are rows with
holes then.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["smoothed", "spread"]

_MOST_HOLES = 0.05


def smoothed(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return the rows and columns whose density can be compared."""
    random = np.random.default_rng(seed)
    names = [
        name
        for name, column in frame.items()
        if column.isna().mean() <= _MOST_HOLES and not pd.api.types.is_datetime64_any_dtype(column)
    ]
    made = frame[names].dropna().reset_index(drop=True)
    made = made[[name for name in made if made[name].nunique() > 1]]
    for name in made.select_dtypes("float"):
        made[name] = spread(made[name].to_numpy(), random)
    return made


def spread(x: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    """Return numbers (n,) of at least two different values, those that come again spread over their cells."""
    values, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    middles = (values[1:] + values[:-1]) / 2
    low = np.concatenate([[2 * values[0] - middles[0]], middles])
    high = np.concatenate([middles, [2 * values[-1] - middles[-1]]])
    drawn = low[which] + random.random(len(x)) * (high - low)[which]
    return np.where(counts[which] > 1, drawn, x)
