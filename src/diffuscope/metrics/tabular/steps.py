"""How do the numbers of a column look as numbers, and in which steps were they written down?

Numbers and integers are themselves, times are days since 1970. The step of a column is the largest that all
its values are a multiple of, up to a common shift: 1 for ages, 100 for incomes in hundreds, 0.01 for prices,
and 0 for values with more than six decimals.
"""

from __future__ import annotations

import numpy as np

from diffuscope.metrics.tabular.tables import Column, Floats

__all__ = ["numbers_of", "step_of"]

_DECIMALS = 6
_CLOSE = 1e-6  # of a step
_LARGEST = 2.0**52


def numbers_of(column: Column) -> Floats:
    """Return the levels of a column of numbers or times as numbers, and NaN at the end for code -1."""
    if column.kind == "datetime":
        levels = column.levels.astype("M8[us]").astype(np.int64) / 86_400e6
    else:
        levels = column.levels.astype(np.float64)
    return np.append(levels, np.nan)


def step_of(values: Floats) -> float:
    """Return the step of values (m,), all different and rising; 0 if they have none."""
    for decimals in range(_DECIMALS + 1):
        scaled = values * 10.0**decimals
        largest = float(np.abs(scaled).max(initial=0.0))
        if largest > _LARGEST:
            return 0.0
        whole = np.rint(scaled)
        apart = len(whole) < 2 or bool((np.diff(whole) > 0).all())
        if apart and np.abs(scaled - whole).max(initial=0.0) <= _CLOSE + 4 * np.spacing(largest):
            step = int(np.gcd.reduce((whole - whole[0]).astype(np.int64))) if len(whole) else 0
            return max(step, 1) / 10.0**decimals
    return 0.0
