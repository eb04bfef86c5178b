"""What does a perfect model of a built-in point set predict?

The docstrings of the generators in :mod:`diffuscope.data.points.toy` define the distributions. Here they are
written for the oracles: clusters as a Gaussian mixture, a checkerboard as boxes, curves as smooth pieces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset
from diffuscope.data.points.toy import POINT_SETS, draw_points
from diffuscope.errors import InputError, unknown_name
from diffuscope.oracle.base import Oracle
from diffuscope.oracle.boxes import UniformBoxes
from diffuscope.oracle.curve import CurveOracle, Piece
from diffuscope.oracle.mixture import GaussianMixture

__all__ = ["oracle_for", "oracle_of"]

Array = NDArray[np.float64]

_PI = math.pi


def oracle_for(name: str, noise: float | None = None, resolution: float = 1.0) -> Oracle:
    """Return the oracle of a built-in point set, by its name in :data:`~diffuscope.data.points.POINT_SETS`.

    ``noise`` is the standard deviation of the set's noise, in the units of its points; the set's own by
    default. ``resolution`` is a factor on the number of components that approximate a curve; compare with 2
    for their error. An unknown name, or a noise that is negative or not finite, is an InputError.
    """
    if name not in POINT_SETS:
        raise unknown_name("data set", name, POINT_SETS)
    noise = POINT_SETS[name].noise if noise is None else float(noise)
    if not 0 <= noise < math.inf:
        raise InputError(f"noise must be finite and not negative, got {noise!r}.")
    if name == "eight_gaussians":
        angle = np.arange(8) * (_PI / 4)
        return GaussianMixture(2 * math.sqrt(2) * _stack(np.cos(angle), np.sin(angle)), noise**2)
    if name == "checkerboard":
        low = np.array([(2.0 * i - 4, 2.0 * j - 4) for i in range(4) for j in range(4) if (i + j) % 2 == 0])
        return UniformBoxes(low, low + 2, noise)
    return CurveOracle(_CURVES[name](), noise, partial(draw_points, name, noise), resolution)


def oracle_of(dataset: Dataset) -> Oracle:
    """Return the oracle of a built-in data set, in the units of its points; an InputError for all others."""
    if dataset.source.get("kind") != "builtin":
        raise InputError(
            f"The distribution of {dataset.name!r} is unknown, so it has no exact oracle.",
            "Use EmpiricalOracle(dataset.x), the exact denoiser of the points themselves.",
        )
    return oracle_for(dataset.source["name"], dataset.source["noise"])


def _s_curve() -> list[Piece]:
    def curve(sign: float, t: Array) -> Array:
        return _stack(np.sin(t), sign * (np.cos(t) - 1))

    return [
        Piece(-1.5 * _PI, 0.0, partial(curve, -1.0), np.ones_like, 1.0),
        Piece(0.0, 1.5 * _PI, partial(curve, 1.0), np.ones_like, 1.0),
    ]


def _swiss_roll() -> list[Piece]:
    def curve(t: Array) -> Array:
        return _stack(t * np.cos(t), t * np.sin(t))

    return [
        Piece(i * _PI, (i + 1) * _PI, curve, np.ones_like, math.hypot(1, (i + 1) * _PI))
        for i in (1.5, 2.5, 3.5)
    ]


def _moons() -> list[Piece]:
    def upper(t: Array) -> Array:
        return _stack(np.cos(t), np.sin(t))

    def lower(t: Array) -> Array:
        return np.array([1.0, 0.5]) - upper(t)

    return [Piece(0.0, _PI, curve, np.ones_like, 1.0) for curve in (upper, lower)]


def _circles() -> list[Piece]:
    def ring(r: float, t: Array) -> Array:
        return r * _stack(np.cos(t), np.sin(t))

    return [Piece(0.0, 2 * _PI, partial(ring, r), np.ones_like, r) for r in (0.5, 1.0)]


def _pinwheel() -> list[Piece]:
    # z is the standard normal of r = 1 + 0.3 z; beyond 6 lies 2e-9 of it
    def arm(k: int, z: Array) -> Array:
        r = 1 + 0.3 * z
        theta = -(2 * _PI / 5 * k + 0.25 * np.exp(r))
        return 2 * r[:, None] * _stack(np.cos(theta), np.sin(theta))

    def density(z: Array) -> Array:
        return np.exp(-0.5 * z**2)

    def speed(z: float) -> float:
        r = 1 + 0.3 * z
        return 0.6 * math.hypot(1, 0.25 * r * math.exp(r))

    edges = [-6.0, 0.0, 2.0, 3.0, 4.0, 5.0, 6.0]  # the arms turn ever faster
    return [
        Piece(a, b, partial(arm, k), density, max(speed(a), speed(b)))
        for k in range(5)
        for a, b in pairwise(edges)
    ]


def _two_spirals() -> list[Piece]:
    def arm(sign: float, t: Array) -> Array:
        return (sign * t / 3)[:, None] * _stack(-np.cos(t), np.sin(t))

    return [  # t = 3π√u with uniform u, whose density is in proportion to t
        Piece(i * _PI, (i + 1) * _PI, partial(arm, sign), np.positive, math.hypot(1, (i + 1) * _PI) / 3)
        for sign in (-1.0, 1.0)
        for i in range(3)
    ]


_CURVES: dict[str, Callable[[], list[Piece]]] = {
    "s_curve": _s_curve,
    "swiss_roll": _swiss_roll,
    "moons": _moons,
    "circles": _circles,
    "pinwheel": _pinwheel,
    "two_spirals": _two_spirals,
}


def _stack(x: Array, y: Array) -> Array:
    return np.stack([x, y], axis=-1)
