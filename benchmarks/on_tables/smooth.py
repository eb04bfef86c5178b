"""Which densities can be compared? Those of tables without holes and heaps.

Measured values are rounded, and a law of numbers that stands on rounded ones has a density without bound.
So to every float a uniform number of the size of its last digit is added, once (Theis, van den Oord &
Bethge 2016, section 3.1): all methods then have densities of the same thing. Integers and categories
stay, and have probabilities. Times, and columns that are incomplete in more than one row of 20, are left
out, and so are rows with holes then.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["last_digit", "smoothed"]

_MOST_HOLES = 0.05


def smoothed(frame: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Return the rows and columns whose density can be compared."""
    random = np.random.default_rng(seed)
    names = [
        name
        for name, column in frame.items()
        if column.isna().mean() <= _MOST_HOLES
        and column.nunique() > 1
        and not pd.api.types.is_datetime64_any_dtype(column)
    ]
    made = frame[names].dropna().reset_index(drop=True)
    for name in made.select_dtypes("float"):
        x = made[name].to_numpy()
        made[name] = x + (random.random(len(x)) - 0.5) * last_digit(x)
    return made


def last_digit(x: NDArray[np.float64]) -> float:
    """Return the power of 10 to which at least 99% of the values are rounded; 0 where there is none."""
    units = (10.0**k for k in range(4, -9, -1))
    near = ((unit, np.isclose(x / unit, np.rint(x / unit), rtol=0, atol=1e-4)) for unit in units)
    near = ((unit, np.isclose(x / unit, np.rint(x / unit), rtol=0, atol=1e-4)) for unit in units)
    return next((unit for unit, is_near in near if is_near.mean() > 0.99), 0.0)
