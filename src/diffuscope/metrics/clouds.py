"""Point clouds for metrics: validation, subsamples, and random directions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError

__all__ = ["Points", "checked_pair", "directions", "projected", "subsample"]

Points = NDArray[np.floating[Any]]


def checked_pair(
    x: ArrayLike, y: ArrayLike, least: int = 1, dtype: type[np.floating[Any]] = np.float64
) -> tuple[Points, Points]:
    """Return two clouds (n, d) and (m, d) as arrays, if they are valid and have ``least`` points each."""
    a, b = np.asarray(x, dtype=dtype), np.asarray(y, dtype=dtype)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or not len(a) or not len(b):
        raise InputError(
            f"Clouds of shapes {a.shape} and {b.shape} cannot be compared.",
            "Give two non-empty arrays of shape (n, d) with the same d.",
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InputError("A cloud has values that are not finite.", "Remove these points.")
    if min(len(a), len(b)) < least:
        raise InputError(
            f"Clouds of {len(a)} and {len(b)} points are too small for this metric.",
            f"Give at least {least} points each.",
        )
    return a, b


def subsample(x: Points, most: int, *seed: int) -> Points:
    """Return ``most`` rows of ``x`` (n, d) in random order, or ``x`` itself if it has no more."""
    if len(x) <= most:
        return x
    return np.asarray(x[np.random.default_rng(seed).permutation(len(x))[:most]])


def directions(d: int, n: int | None, seed: int) -> NDArray[np.float64]:
    """Return ``n`` directions over which a mean is taken, shape (n, d); by default 32 for d = 2, else 128.

    For d = 1 there is one. For d = 2 they lie at equal angles, the best rule for a periodic function: 32 give
    a sliced distance within 0.1%, 128 random ones within 2%. For more dimensions they come in orthogonal
    bases, whose mean varies less than that of independent ones (Rowland et al. 2019).
    """
    if d == 1:
        return np.ones((1, 1))
    if d == 2:
        count = n or 32
        angles = np.pi / count * (np.arange(count) + np.random.default_rng(seed).random())
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    n = n or 128
    size = min(d, n)
    bases = np.linalg.qr(np.random.default_rng(seed).standard_normal((-(-n // size), d, size)))[0]
    return np.asarray(bases.transpose(0, 2, 1).reshape(-1, d)[:n])


def projected(x: Points, across: Points) -> Points:
    """Return the coordinates of points x (n, d) along directions (k, d), shape (k, n).

    The product is torch's, which keeps to the threads of its caller. NumPy's takes all cores for each of many
    small products.
    """
    import torch

    product = torch.from_numpy(np.ascontiguousarray(across)) @ torch.from_numpy(np.ascontiguousarray(x)).T
    return np.asarray(product.numpy())
