r"""How does the map of a column go on beyond its outermost knots?

With the tail of a generalised Pareto law (Pickands, "Statistical inference using extreme order statistics",
Ann. Statist. 3 (1975)). Beyond the last knot :math:`(z_J, x_J)` the share of rows above x is
:math:`\Phi(-z) = \Phi(-z_J)\, e^{-H}`, with :math:`y = x - x_J` and the depth

.. math::  H = \log(1 + \xi y / s) / \xi, \qquad\text{or } H = y / s \text{ where } \xi = 0,

so that densities fall as fast as those of the data: exponentially, or in a heavy tail by a power. Where the
column has an end b, no row is beyond it: :math:`H = -\log((b - x) / (b - x_J)) / \gamma`. At a depth of 20,
which no normal z has, such a tail gives up and falls off by its scale s, so that values beyond b have a
coordinate; none is decoded. The lower tail is the mirror image.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator
from scipy.special import log_ndtr, ndtri_exp

from diffuscope.data.tables.columns.base import Floats, Plain

__all__ = [
    "LEAST_POWER",
    "LEAST_RATIO",
    "MOST_RATIO",
    "MOST_SHAPE",
    "Tail",
    "depth_at_z",
    "hazard",
    "z_at_depth",
]

LEAST_RATIO, MOST_RATIO = 0.25, 2.0  # of the slope of a tail at its joint to the secant before it
LEAST_POWER, MOST_SHAPE = 0.1, 20.0  # of γ, and of either
_DEEP = 20.0
_MOST = 700.0  # exponents of e that a float64 holds


class Tail(Plain):
    """A tail in the units of the column: s, and ξ, or where there is an ``end`` b, γ."""

    scale: float = Field(gt=0)
    shape: float = Field(ge=0, le=MOST_SHAPE)
    end: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.end is not None and self.shape < LEAST_POWER:
            raise ValueError("the shape of a tail with an end is too small")
        return self

    def leaves_room(self, joint: float, side: int, exponent: int) -> bool:
        """Whether the end, if there is one, is beyond the joint."""
        return self.end is None or side * (float(np.ldexp(self.end, -exponent)) - joint) > 1e-300

    def depth(self, x: Floats, joint: float, side: int, exponent: int) -> Floats:
        """Return H of values (n,) beyond the joint, above it for the side 1, and below for -1.

        They and the joint are in units of 2 to the power ``exponent``.
        """
        scale = np.ldexp(self.scale, -exponent)
        if self.end is None:
            y = side * (x - joint) / scale
            return np.asarray(np.log1p(self.shape * y) / self.shape if self.shape else y)
        end = np.ldexp(self.end, -exponent)
        width = side * (end - joint)
        v = side * (end - x) / width
        least = np.exp(-self.shape * _DEEP)
        near = -np.log(np.maximum(v, least)) / self.shape
        return np.asarray(near + np.maximum(least - v, 0) * (width / scale))

    def at_depth(self, depth: Floats, joint: float, side: int, exponent: int) -> Floats:
        """Return the values (n,) at depths, not beyond the end; undoes :meth:`depth`."""
        if self.end is None:
            y = np.expm1(np.minimum(self.shape * depth, _MOST)) / self.shape if self.shape else depth
            return np.asarray(joint + side * np.ldexp(self.scale, -exponent) * y)
        end = float(np.ldexp(self.end, -exponent))
        v = np.exp(-self.shape * np.minimum(depth, _DEEP))
        past = np.maximum(depth - _DEEP, 0) * np.ldexp(self.scale, -exponent) / abs(end - joint)
        return np.asarray(end - side * np.maximum(v - past, 0) * abs(end - joint))

    def log_density(self, depth: Floats, joint: float, exponent: int) -> Floats:
        """Return the log-density of the tail's own law, shape (n,), per unit of the column."""
        log_scale = np.log(self.scale)
        if self.end is None:
            return np.asarray(-depth * (1 + self.shape) - log_scale)
        near = -depth * (1 - self.shape) - np.log(self.slope(joint, exponent)) - exponent * np.log(2)
        return np.asarray(np.where(depth <= _DEEP, near, -depth - log_scale))

    def slope(self, joint: float, exponent: int) -> float:
        """Return dx/dH at the joint, in units of 2 to the power ``exponent``."""
        if self.end is None:
            return float(np.ldexp(self.scale, -exponent))
        return self.shape * abs(float(np.ldexp(self.end, -exponent)) - joint)


def z_at_depth(depth: Floats, z_joint: float, side: int) -> Floats:
    """Return the coordinates z (n,) at depths beyond the joint."""
    return np.asarray(-side * ndtri_exp(log_ndtr(-side * z_joint) - depth))


def depth_at_z(z: Floats, z_joint: float, side: int) -> Floats:
    """Return the depths (n,) of coordinates beyond the joint."""
    return np.asarray(log_ndtr(-side * z_joint) - log_ndtr(-side * z))


def hazard(z_joint: float, side: int) -> float:
    """Return dH/dz at the joint."""
    t = -side * z_joint
    return float(np.exp(-0.5 * t * t - 0.5 * np.log(2 * np.pi) - log_ndtr(t)))
