r"""What does a row count that weighs more than others?

A row of the weight w counts as w rows do. Rows of unlike weights tell less of their law than as many of equal
ones: as much as :math:`(\sum w)^2 / \sum w^2` of these (Kish, "Survey Sampling", 1965, section 11.7).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

__all__ = ["effective_rows", "even_places", "evenly", "read_weights"]

_LEAST = 1e-9  # of the greatest weight, below which a row counts as none

Floats = NDArray[np.float64]


def read_weights(given: Any, n: int) -> Floats | None:
    """Read the weights of n rows, which are numbers of at least 0; None where all are alike.

    What comes back is 1 on average of the rows that count, and 0 where a weight is below a billionth of the
    greatest. Raises an InputError where there are not n, or one is negative or no number, or none is above 0.
    """
    if given is None:
        return None
    if isinstance(given, int | float | np.number):
        given = np.full(n, given)
    try:
        weights = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"sample_weight holds no numbers: {error}.", "Give one number per row.") from error
    if weights.shape != (n,):
        raise InputError(
            f"sample_weight has the shape {weights.shape}, and there are {n} rows of X: ({n},) is expected.",
            "Give one weight per row.",
        )
    odd = np.flatnonzero(~np.isfinite(weights) | (weights < 0))
    if odd.size:
        raise InputError(
            f"sample_weight has {weights[odd[0]]:g} in row {odd[0]} (counted from 0).",
            "Weights are finite numbers of at least 0.",
        )
    if not (weights > 0).any():
        raise InputError("All of sample_weight are zero, so no row counts.", "Give weights above 0.")
    weights = weights / weights.max()
    weights[weights < _LEAST] = 0.0
    if np.ptp(weights) == 0:
        return None
    mean = float(weights[weights > 0].mean())
    return np.asarray(weights / mean)


def effective_rows(weights: Floats | None, n: int) -> int:
    """Return as how many rows of equal weight n rows tell of their law; at least 2."""
    if weights is None:
        return n
    return max(round(float(weights.sum()) ** 2 / float((weights**2).sum())), min(2, n))


def even_places(weights: Floats, count: int) -> NDArray[np.intp]:
    """Return ``count`` places of weights (n,), rising, each as often as its weight says, up to one."""
    total = np.cumsum(weights)
    levels = (np.arange(count) + 0.5) / count * total[-1]
    places = np.searchsorted(total, levels, side="right")
    return np.asarray(np.minimum(places, len(weights) - 1), dtype=np.intp)


def evenly(x: NDArray[Any], weights: Floats | None) -> NDArray[Any]:
    """Return numbers x (n,) of equal weight that have the law of weighted ones, the outermost among them."""
    if weights is None:
        return x
    order = np.argsort(x, kind="stable")
    places = even_places(weights[order], effective_rows(weights, len(x)))
    places[[0, -1]] = 0, len(x) - 1
    return np.asarray(x[order[places]])
