r"""How far must mass be moved to turn one cloud into the other?

Wasserstein-2 distance, over all couplings γ of the two clouds (Peyré and Cuturi 2019, Eq. 2.15):

.. math::  W_2^2(X, Y) = \min_\gamma\; E_{(x, y) \sim \gamma} |x - y|^2

It is computed exactly by the network simplex of POT (Bonneel et al. 2011), at a cost of O(n³), on a
subsample. Sliced Wasserstein-2 distance (Bonneel et al. 2015, Definition 3), over directions θ on the sphere,
at a cost of O(n log n):

.. math::  SW_2^2(X, Y) = E_\theta\; W_2^2(\theta^T X, \theta^T Y)

where in one dimension :math:`W_2` pairs sorted values. Both are biased upwards for finite clouds, for which
the floor accounts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from diffuscope.metrics.clouds import Points, checked_pair, directions, projected, subsample

__all__ = ["sliced_wasserstein", "wasserstein"]


def sliced_wasserstein(x: ArrayLike, y: ArrayLike, n_projections: int | None = None, seed: int = 0) -> float:
    """Return the sliced Wasserstein-2 distance between two clouds, in their units.

    Unequal sizes are compared at the quantiles of the smaller cloud. By default the mean is over 128
    directions, orthogonal d at a time; with d = 2 over 32 at equal angles; with d = 1 there is only one.
    """
    a, b = checked_pair(x, y, dtype=np.float32)
    across = directions(a.shape[1], n_projections, seed).astype(np.float32)
    if len(a) > len(b):
        a, b = b, a
    total = 0.0
    for block in np.array_split(across, math.ceil(len(across) / 64)):
        low: Points = np.sort(projected(a, block), axis=1)
        high: Points = np.sort(projected(b, block), axis=1)
        if len(a) != len(b):
            high = _at_quantiles(high, len(a))
        total += float(np.square(low - high, dtype=np.float64).mean(axis=1).sum())
    return math.sqrt(total / len(across))


def _at_quantiles(rows: Points, n: int) -> Points:
    """Return the ``n`` mid-quantiles of each sorted row (k, m), shape (k, n)."""
    at = (np.arange(n) + 0.5) / n * rows.shape[1] - 0.5
    low = np.clip(np.floor(at).astype(int), 0, rows.shape[1] - 2)
    part = (at - low).astype(rows.dtype)
    return np.asarray(rows[:, low] * (1 - part) + rows[:, low + 1] * part)


def wasserstein(x: ArrayLike, y: ArrayLike, most_points: int = 1000, seed: int = 0) -> float:
    """Return the exact Wasserstein-2 distance between subsamples of two clouds, in their units.

    At most ``most_points`` of each are used: 1,000 take about 0.1 s, 2,000 five times as long.
    """
    import ot

    a, b = checked_pair(x, y)
    a, b = subsample(a, most_points, seed, 0), subsample(b, most_points, seed, 1)
    middle = b.mean(axis=0)  # far from 0 the expanded squares would round the differences away
    cost = ot.dist(a - middle, b - middle, metric="sqeuclidean")
    return math.sqrt(max(0.0, float(ot.emd2([], [], cost, numItermax=1_000_000))))
