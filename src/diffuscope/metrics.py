r"""How far are samples from data, and how far would perfect samples be?

A distance between finite samples is never zero: two independent draws of the same law differ too. That
is the **floor**. A metric is reported as value, floor and their ratio; a ratio of 1 cannot be told
from the truth.

Sliced Wasserstein-2 distance (Bonneel et al. 2015, Definition 3), over directions θ on the sphere:

.. math::  SW_2^2(X, Y) = E_\theta\; W_2^2(\theta^T X, \theta^T Y)

where in one dimension :math:`W_2` pairs sorted values.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError

__all__ = ["Measured", "against_floor", "sliced_wasserstein"]

_T_975 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}

Points = NDArray[np.floating[Any]]


def sliced_wasserstein(x: ArrayLike, y: ArrayLike, n_projections: int = 512, seed: int = 0) -> float:
    """Return the sliced Wasserstein-2 distance between two clouds, in their units.

    Parameters
    ----------
    x, y : array_like of shape (n, d) and (m, d)
        Unequal sizes are compared at the quantiles of the smaller cloud.
    n_projections : int
        Directions; with d = 1 there is only one.
    seed : int
        Of the directions.

    Raises
    ------
    InputError
        When the clouds differ in dimension, are empty or not finite.
    """
    a, b = np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise InputError(
            f"Clouds of shapes {a.shape} and {b.shape} cannot be compared.",
            "Give two arrays of shape (n, d) with the same d.",
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("A cloud has values that are not finite.", "Remove them, or mend what made them.")
    d = a.shape[1]
    directions = np.random.default_rng(seed).standard_normal((1 if d == 1 else n_projections, d))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    if len(a) > len(b):
        a, b = b, a
    total = 0.0
    for block in np.array_split(directions.astype(np.float32), math.ceil(len(directions) / 64)):
        low, high = np.sort(block @ a.T, axis=1), np.sort(block @ b.T, axis=1)
        if len(a) != len(b):
            high = _at_quantiles(high, len(a))
        total += float(np.square(low - high, dtype=np.float64).mean(axis=1).sum())
    return math.sqrt(total / len(directions))


def _at_quantiles(rows: Points, n: int) -> Points:
    """Return the ``n`` mid-quantiles of each sorted row (k, m), shape (k, n)."""
    at = (np.arange(n) + 0.5) / n * rows.shape[1] - 0.5
    low = np.clip(np.floor(at).astype(int), 0, rows.shape[1] - 2)
    part = (at - low).astype(rows.dtype)
    return np.asarray(rows[:, low] * (1 - part) + rows[:, low + 1] * part)


@dataclass(frozen=True)
class Measured:
    """A metric with its floor.

    Attributes
    ----------
    value, floor : float
        Mean distance generated to real, and real to real, in the units of the metric.
    ratio : float
        ``value / floor``.
    low, high : float
        95% interval of the ratio, over fresh generated and real draws (Student's t, delta method).
    """

    value: float
    floor: float
    ratio: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def against_floor(
    distance: Callable[[Points, Points], float],
    generated: Sequence[Points],
    real: Sequence[Points],
    floor_pairs: Sequence[tuple[Points, Points]],
) -> Measured:
    """Measure a distance and its floor.

    Parameters
    ----------
    distance : callable
        Maps two clouds to a number.
    generated, real : sequence of arrays
        Independent draws, compared one with one.
    floor_pairs : sequence of pairs of arrays
        Pairs of independent real draws of the same sizes.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # sorting lets go of Python's lock
        values = list(pool.map(lambda pair: distance(*pair), zip(generated, real, strict=True)))
        floors = list(pool.map(lambda pair: distance(*pair), floor_pairs))
    value, floor = float(np.mean(values)), float(np.mean(floors))
    ratio = value / floor
    spread = ratio * math.hypot(_relative_error(values), _relative_error(floors))
    return Measured(value, floor, ratio, max(0.0, ratio - spread), ratio + spread)


def _relative_error(values: Sequence[float]) -> float:
    """Return half the 95% interval of the mean of ``values``, relative to it."""
    n = len(values)
    if n < 2:
        return math.inf
    t = _T_975.get(n - 1, 1.96 + 2.4 / (n - 1))
    return float(t * np.std(values, ddof=1) / math.sqrt(n) / np.mean(values))
