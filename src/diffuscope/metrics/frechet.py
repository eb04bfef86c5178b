r"""How far apart are two clouds of features, each approximated by a Gaussian?

The Fréchet distance of N(μ_a, Σ_a) and N(μ_b, Σ_b), squared (Dowson and Landau 1982; as a measure of
images in the features of a network: Heusel et al. 2017, Eq. 6):

.. math::  F = |μ_a - μ_b|^2 + \operatorname{tr} Σ_a + \operatorname{tr} Σ_b
               - 2 \operatorname{tr} (Σ_a^{1/2} Σ_b Σ_a^{1/2})^{1/2}

With :math:`Σ_a = A^T A` and :math:`Σ_b = B^T B` the last trace is the sum of the singular values of
:math:`A B^T`. Roots of rounded eigenvalues, which lose half of the digits, and inverses are avoided:
covariances may be singular, as with fewer points than features.

For finite clouds the distance is biased upwards, even for equal distributions. The bias is about
:math:`c / n` once n is several times the number of features (Chong and Forsyth 2020, Section 3), where c
depends on the distribution. There are two remedies: compare with real clouds of the same size, as
:mod:`~diffuscope.metrics.floor` does, or extrapolate to n = ∞ in :math:`1/n`, as
:func:`extrapolated_frechet` does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from diffuscope.errors import InputError
from diffuscope.metrics.clouds import Points, checked_pair

__all__ = ["extrapolated_frechet", "frechet_distance"]

_SIZES = 8  # along 1/n, from a quarter of the points to all of them


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """Return the squared Fréchet distance of two clouds, in the units of the features squared.

    Results are comparable for equal n and m only. With no more points than features the covariance is mostly
    noise, and so is the distance.
    """
    a, b = checked_pair(x, y, least=2)
    middle = b.mean(axis=0)
    return _frechet(a - middle, b - middle)


def extrapolated_frechet(x: ArrayLike, y: ArrayLike, seed: int = 0) -> float:
    """Return the squared Fréchet distance extrapolated to infinitely many points.

    Distances of subsets of n points are fitted by a line in 1/n, which is evaluated at 0. For equal
    distributions about half of the results are negative. Clouds need at least eight points for each feature:
    for fewer the bias is not linear in 1/n. The order of the points is random.
    """
    a, b = checked_pair(x, y, least=2)
    f = a.shape[1]
    most = min(len(a), len(b))
    if most < 8 * f:
        raise InputError(
            f"Clouds of {len(a)} and {len(b)} points are too small for an extrapolation in {f} features.",
            f"Give at least {8 * f} points each.",
        )
    middle = b.mean(axis=0)
    random = np.random.default_rng((seed, 3))
    a, b = (cloud[random.permutation(len(cloud))] - middle for cloud in (a, b))
    inverse = np.linspace(1 / most, 4 / most, _SIZES)
    values = []
    for n in np.rint(1 / inverse).astype(int):
        parts = [slice(i * n, (i + 1) * n) for i in range(most // n)]
        values.append(np.mean([_frechet(a[part], b[part]) for part in parts]))
    return float(np.polynomial.Polynomial.fit(inverse, values, 1)(0.0))


def _frechet(a: Points, b: Points) -> float:
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    root_a, root_b = _root(a - mean_a), _root(b - mean_b)
    common = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    spread = np.square(root_a).sum() + np.square(root_b).sum()
    return float(np.square(mean_a - mean_b).sum() + max(0.0, spread - 2 * common))


def _root(centred: Points) -> Points:
    """Return A of shape (min(n, f), f) with :math:`A^T A` the covariance of centred points (n, f)."""
    return np.asarray(np.linalg.qr(centred, mode="r") / np.sqrt(len(centred) - 1))
