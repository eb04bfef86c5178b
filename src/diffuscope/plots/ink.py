"""How does a cloud of points become pixels, so that ten points and a million are both legible?

Every point leaves a small disc of ink. Ink adds up, and its colour depends only on the optical depth

    tau(pixel) = opacity(n) * sum_i disc(pixel - x_i),      level = tau / (1 + tau)  in [0, 1),

from white through the hue of the cloud to a dark shade of it. One number a pixel is all that there is:
the picture never saturates to a flat blob, needs no sorting of points, and its palette is exact.
"""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

Limits = tuple[tuple[float, float], ...]
"""``(low, high)`` for each drawn dimension (one or two), in the units of the points."""

_SHADE = 0.34  # the darkest ink keeps this much of the hue's brightness
_MID = 0.62  # the level at which the ink has exactly the hue


def ramp(color: str, levels: int) -> NDArray[np.float64]:
    """White, over ``color``, to a dark shade of it: (levels, 3) in [0, 1]."""
    hue = np.array(to_rgb(color))
    at = np.linspace(0.0, 1.0, levels)
    knots = np.stack([np.ones(3), hue, _SHADE * hue])
    return np.stack([np.interp(at, [0.0, _MID, 1.0], knots[:, c]) for c in range(3)], axis=1)


def dot_radius(n: int, size_px: float) -> float:
    """Radius of a point in pixels, in a panel of ``size_px`` pixels with ``n`` points."""
    few = np.clip(1.25 * (10_000 / max(n, 1)) ** 0.24, 0.9, 4.5)
    return float(few * (size_px / 430) ** 0.6)  # small panels need discs that are large for their size


def ink_level(x: NDArray[np.floating], limits: Limits, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Ink of points ``x`` (n, 2) on a grid of ``shape`` (height, width): levels in [0, 1), row 0 on top."""
    n = len(x)
    radius = dot_radius(n, min(shape))
    reach = int(np.ceil(radius + 0.5))
    at = np.arange(-reach, reach + 1)
    disc = np.clip(radius + 0.5 - np.hypot(at[:, None], at), 0.0, 1.0)  # its edge is smooth
    tau = 0.9 * min(1.0, (3_000 / max(n, 1)) ** 0.5) * _deposit(x, limits, shape, disc)
    return np.asarray(tau / (1.0 + tau))


def _deposit(
    x: NDArray[np.floating], limits: Limits, shape: tuple[int, int], kernel: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of ``kernel`` (k, k), k odd, centred on every point of ``x`` (n, 2) within ``limits``.

    Points fall between pixels: each shares its weight among its four neighbours (so that it moves
    smoothly from frame to frame), and one convolution draws the discs, whatever the number of points.
    """
    height, width = shape
    pad = len(kernel) // 2 + 1  # discs whose centre is just outside still reach in
    (left, right), (low, high) = limits
    u = (x[:, 0] - left) * (width / (right - left)) - 0.5 + pad
    v = (high - x[:, 1]) * (height / (high - low)) - 0.5 + pad
    rows, columns = height + 2 * pad, width + 2 * pad
    inside = (u >= 0) & (u < columns - 1) & (v >= 0) & (v < rows - 1)  # also drops non-finite points
    u, v = u[inside], v[inside]
    i, j = u.astype(np.intp), v.astype(np.intp)
    fu, fv = u - i, v - j
    at, size = j * columns + i, rows * columns
    mass = np.bincount(at, (1 - fu) * (1 - fv), size)
    mass += np.bincount(at + 1, fu * (1 - fv), size)
    mass += np.bincount(at + columns, (1 - fu) * fv, size)
    mass += np.bincount(at + columns + 1, fu * fv, size)
    grid = mass.reshape(rows, columns)
    ink = np.zeros(shape)
    for a, b in zip(*np.nonzero(kernel), strict=True):
        ink += kernel[a, b] * grid[a + 1 : a + 1 + height, b + 1 : b + 1 + width]
    return ink


def histogram(x: NDArray[np.floating], limits: Limits, bins: int) -> NDArray[np.float64]:
    """Density of ``x`` (n, 1) in ``bins`` equal bins: it integrates to the share of points within limits."""
    low, high = limits[0]
    values = x[np.isfinite(x[:, 0]), 0]
    counts, _ = np.histogram(values, bins=bins, range=(low, high))
    return np.asarray(counts / (max(len(values), 1) * (high - low) / bins))
