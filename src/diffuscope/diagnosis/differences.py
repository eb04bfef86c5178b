"""In which columns and pairs do two tables differ most?"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from diffuscope.data.spread import centre_and_scale
from diffuscope.diagnosis.pictures import Difference
from diffuscope.diagnosis.subject import Points, Subject

__all__ = ["differences"]

_COLUMNS = 30  # of more, pairs are not looked at
_NAMED = 3


def differences(subject: Subject, real: Points, made: Points) -> list[Difference]:
    """Return in which columns and pairs two tables (n, d) differ most, beyond chance."""
    names: Any = subject.data.columns
    d = real.shape[1]
    named = names is not None and len(names) == d
    name = [repr(names[j]) if named else f"column {j + 1}" for j in range(d)]
    found: list[tuple[float, str, tuple[int, ...]]] = []
    _, spread = centre_and_scale(real)
    se = np.sqrt(1 / len(real) + 1 / len(made))
    for j in range(d):
        if not spread[j] > 0:
            continue
        shift = (made[:, j].mean() - real[:, j].mean()) / spread[j]
        ratio = made[:, j].std() / spread[j]
        distance = _kolmogorov(real[:, j], made[:, j]) / se
        if distance > 2.0:
            what = f"{name[j]} is {'higher' if shift > 0 else 'lower'} by {abs(shift):.2g} deviations"
            if abs(ratio - 1) > abs(shift):
                what = f"{name[j]} has {ratio:.2g} times its deviation"
            elif abs(shift) < 0.05:
                what = f"{name[j]} has another shape"
            found.append((distance, what, (j,)))
    if 1 < d <= _COLUMNS:
        with np.errstate(divide="ignore", invalid="ignore"):  # columns of one value
            a, b = (np.nan_to_num(np.atleast_2d(np.corrcoef(part, rowvar=False))) for part in (real, made))
        for i, j in combinations(range(d), 2):
            step = abs(
                np.arctanh(np.clip(b[i, j], -0.9999, 0.9999)) - np.arctanh(np.clip(a[i, j], -0.9999, 0.9999))
            )
            if step / se > 5.0:
                words = f"the correlation of {name[i]} and {name[j]} is {b[i, j]:.2f}, not {a[i, j]:.2f}"
                found.append((step / se, words, (i, j)))
    found.sort(reverse=True)
    return [Difference.of(words, columns, real, made) for _, words, columns in found[:_NAMED]]


def _kolmogorov(a: Points, b: Points) -> float:
    """Return the largest difference of two distribution functions."""
    every = np.concatenate([a, b])
    one = np.searchsorted(np.sort(a), every, side="right") / len(a)
    other = np.searchsorted(np.sort(b), every, side="right") / len(b)
    return float(np.abs(one - other).max())
