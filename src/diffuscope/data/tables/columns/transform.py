r"""How do the numbers of a column become a variable that a diffusion model likes, and back?

By an increasing map x = g(z) of the real line; z is the coordinate that the model sees.

``Standard``. :math:`g(z) = \mathrm{shift} + \mathrm{scale}\, z`, with mean and standard deviation.

``Quantiles``. For columns that are skewed, heavy-tailed or often at one value: g runs through knots
:math:`(z_k, x_k)` with :math:`F(x_k) = \Phi(z_k)`, F the distribution of the column, so that z is normal.
Between the knots it is the monotone cubic of Fritsch and Butland, "A method for constructing local
monotone piecewise cubic interpolants", SIAM J. Sci. Stat. Comput. 5 (1984) ("PCHIP"): with the step
:math:`\Delta_k = z_{k+1} - z_k` and the secant :math:`m_k = (x_{k+1} - x_k) / \Delta_k` the slope at a
knot is

.. math::  d_k = \min\left( \frac{w_1 + w_2}{w_1/m_{k-1} + w_2/m_k},\; 2 m_{k-1},\; 2 m_k \right), \qquad
    w_1 = 2\Delta_k + \Delta_{k-1}, \; w_2 = \Delta_k + 2\Delta_{k-1}.

The bounds :math:`2m` are ours: with them the slope between two knots is nowhere below half the secant's
or an end's, so that the inverse is well conditioned. Beyond the last knots g is linear with the slope there.

A value that at least 5% of the rows have is an *atom*: z's between Φ⁻¹(share below it) and Φ⁻¹(share not
above it) all mean that value. Decoding gives exactly it; encoding gives the middle of them by probability,
or, with a ``within`` in (0, 1), the one at that share of the probability. The map is C¹ on either side.
Atoms at an end of the column reach to z = ±6, so that values beyond the end all but never come out.

On a lattice (integers, dates, prices with two decimals) a value stands for the cell of half a step to
either side, and atoms are cells like all others.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import log_ndtr, ndtr, ndtri

from diffuscope.data.tables.columns.base import Floats, Plain

__all__ = ["Line", "Quantiles", "Standard"]

_LOG_2 = math.log(2)
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


class Standard(Plain):
    """The map x = shift + scale z, both in the units of the column."""

    kind: Literal["standard"] = "standard"
    shift: float
    scale: float = Field(gt=0)

    def forward(self, x: Floats, within: Floats | None = None) -> Floats:
        """Return z of x, shape (n,)."""
        return (x - self.shift) / self.scale

    def backward(self, z: Floats) -> Floats:
        """Return x of z, shape (n,)."""
        return self.shift + self.scale * z

    def log_slope(self, x: Floats) -> Floats:
        """Return log dz/dx at x, shape (n,)."""
        return np.full(x.shape, -math.log(self.scale))

    def log_cell(self, x: Floats, low: Floats, high: Floats) -> Floats:
        """Return the logarithm of the volume of z per cell around x, shape (n,)."""
        step = np.where(np.isfinite(low), x - low, high - x) * 2
        return np.asarray(np.log(step) - math.log(self.scale))


class Quantiles(Plain):
    """A map through rising knots (z, x), see the module's docstring; two neighbours of one x are an atom."""

    kind: Literal["quantiles"] = "quantiles"
    z: tuple[Annotated[float, Field(ge=-40, le=40)], ...] = Field(min_length=2, max_length=1000)
    x: tuple[float, ...] = Field(min_length=2, max_length=1000)

    @model_validator(mode="after")
    def _check(self) -> Quantiles:
        if len(self.z) != len(self.x):
            raise ValueError("as many z as x are needed")
        if not math.isfinite(self.x[-1] - self.x[0]) or self.x[-1] == self.x[0]:
            raise ValueError("the knots' range must be a number above 0")
        atom, rises = np.diff(self.x) == 0, (np.sort(self.x) == self.x).all() and (np.diff(self.z) > 0).all()
        if not rises or (atom[1:] & atom[:-1]).any():
            raise ValueError("knots must rise")
        if not (np.diff(self._x)[~atom] > 1e-300).all() or not (np.diff(self.z) > 1e-6).all():
            raise ValueError("knots are too close")
        return self

    @cached_property
    def _exponent(self) -> int:
        """Of the power of two in whose units x is, so that nothing overflows."""
        return math.frexp(max(abs(self.x[0]), abs(self.x[-1])))[1]

    @cached_property
    def _x(self) -> Floats:
        return np.asarray(np.ldexp(np.array(self.x), -self._exponent))

    @cached_property
    def _z(self) -> Floats:
        return np.array(self.z)

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        """The slopes at the ends of every segment over its secant; 1 where the map has an end there."""
        step, rise = np.diff(self._z), np.diff(self._x)
        m = rise / step
        ratios = np.ones((2, len(m)))
        inner = (rise[:-1] > 0) & (rise[1:] > 0)
        m_0, m_1, s_0, s_1 = m[:-1][inner], m[1:][inner], step[:-1][inner], step[1:][inner]
        w_0, w_1 = 2 * s_1 + s_0, s_1 + 2 * s_0
        least = np.minimum(m_0, m_1)  # everything over the lesser secant: no overflow
        d = np.minimum((w_0 + w_1) / (w_0 * (least / m_0) + w_1 * (least / m_1)), 2.0)
        ratios[1, :-1][inner] = d * (least / m_0)
        ratios[0, 1:][inner] = d * (least / m_1)
        return ratios[0], ratios[1]

    @cached_property
    def _outer(self) -> tuple[float, float]:
        """The slopes dx/dz beyond the two ends; next to an atom that of the whole column."""
        step, rise = np.diff(self._z), np.diff(self._x)
        mean = float((self._x[-1] - self._x[0]) / (self._z[-1] - self._z[0]))
        below, above = (float(rise[k] / step[k]) or mean for k in (0, -1))
        return below, above

    def _segment(self, knots: Floats, values: Floats) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)

    def backward(self, z: Floats) -> Floats:
        """Return x of z, shape (n,); a z between the ends of an atom gives exactly its value."""
        k = self._segment(self._z, z)
        step, rise = np.diff(self._z)[k], np.diff(self._x)[k]
        s = np.clip((z - self._z[k]) / step, 0.0, 1.0)
        late = s > 0.5  # from the nearer end, which keeps all digits of values near zero
        s = np.clip(np.where(late, (self._z[k + 1] - z) / step, s), 0.0, 1.0)
        distance = rise * _hermite(s, *self._seen_from(late, k))
        x = np.where(late, self._x[k + 1] - distance, self._x[k] + distance)
        x += self._outer[0] * np.minimum(z - self._z[0], 0) + self._outer[1] * np.maximum(z - self._z[-1], 0)
        return np.ldexp(x, self._exponent)

    def forward(self, x: Floats, within: Floats | None = None) -> Floats:
        """Return z of x, shape (n,); at an atom at the share ``within`` (n,) of its probability."""
        u = np.ldexp(x, -self._exponent)
        k, late, s = self._place(u)
        distance = np.diff(self._z)[k] * s
        z = np.where(late, self._z[k + 1] - distance, self._z[k] + distance)
        z += np.minimum(u - self._x[0], 0) / self._outer[0] + np.maximum(u - self._x[-1], 0) / self._outer[1]
        k = self._atom_of(u)
        here = k >= 0
        if here.any():
            low, high = self._z[k[here]], self._z[k[here] + 1]
            share = 0.5 if within is None else within[here]
            inside = ndtri(ndtr(low) + share * (ndtr(high) - ndtr(low)))
            z[here] = np.clip(inside, low, np.nextafter(high, low))
        return z

    def _place(self, u: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_], Floats]:
        """Return each value's segment, whether its end is nearer, and how far from that it is, 0 to 1."""
        k = self._segment(self._x, u)
        rise = np.diff(self._x)[k]
        late = u - self._x[k] > 0.5 * rise
        distance = np.where(late, self._x[k + 1] - u, u - self._x[k])
        share = np.clip(distance / np.where(rise == 0, 1.0, rise), 0.0, 1.0)
        return k, late, _solve(share, *self._seen_from(late, k))

    def _seen_from(self, late: NDArray[np.bool_], k: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Return the slopes at the near and the far end of segments k."""
        begin, end = self._ends
        return np.where(late, end[k], begin[k]), np.where(late, begin[k], end[k])

    def _atom_of(self, u: Floats) -> NDArray[np.intp]:
        """Return the segment that is the atom at u; -1 where there is none. Shape (n,)."""
        atoms = np.flatnonzero(np.diff(self._x) == 0)
        if not atoms.size:
            return np.full(u.shape, -1)
        at = np.minimum(np.searchsorted(self._x[atoms], u), len(atoms) - 1)
        return np.where(self._x[atoms][at] == u, atoms[at], -1)

    def log_slope(self, x: Floats) -> Floats:
        r"""Return log dz/dx at x, shape (n,); at atoms what makes a density of z the probability of x.

        For an atom of mass P at the coordinate z this is :math:`\log P - \log \varphi(z)`: exact for
        a model whose density within the atom's interval goes as the normal one.
        """
        u = np.ldexp(x, -self._exponent)
        k, late, s = self._place(u)
        step, rise = np.diff(self._z)[k], np.diff(self._x)[k]
        slope = np.where(rise == 0, 1.0, rise) / step * _hermite_slope(s, *self._seen_from(late, k))
        slope = np.where(u < self._x[0], self._outer[0], np.where(u > self._x[-1], self._outer[1], slope))
        logs = -np.log(slope) - self._exponent * _LOG_2
        atom = self._atom_of(u)
        here = atom >= 0
        low, high = self._z[atom[here]], self._z[atom[here] + 1]
        logs[here] = _log_mass(low, high) - _log_normal(self.forward(x[here]))
        return logs

    def log_cell(self, x: Floats, low: Floats, high: Floats) -> Floats:
        r"""Return :math:`\log(\Phi(z_{high}) - \Phi(z_{low})) - \log \varphi(z)`, shape (n,).

        This volume makes the density at z the probability of the cell [low, high] around x; an end is
        infinite where the cell has no neighbour. In narrow cells it is :math:`\log(z_{high} - z_{low})`.
        """
        ends = (low, high)
        z = [np.where(np.isfinite(e), self.forward(np.where(np.isfinite(e), e, x)), e) for e in ends]
        return _log_mass(*z) - _log_normal(self.forward(x))


Line = Annotated[Standard | Quantiles, Field(discriminator="kind")]


def _hermite(s: Floats, a: Floats, b: Floats) -> Floats:
    """Return the cubic with H(0) = 0, H(1) = 1, H'(0) = a, H'(1) = b at s."""
    return s * (a + s * ((3 - 2 * a - b) + s * (a + b - 2)))


def _hermite_slope(s: Floats, a: Floats, b: Floats) -> Floats:
    return a + s * (2 * (3 - 2 * a - b) + 3 * s * (a + b - 2))


def _solve(share: Floats, a: Floats, b: Floats) -> Floats:
    """Return the s in [0, 1] with H(s) = share: Newton's steps, halving where they leave the bracket."""
    low, high = np.zeros_like(share), np.ones_like(share)
    s = share.copy()
    for _ in range(80):
        miss = _hermite(s, a, b) - share
        low, high = np.where(miss <= 0, s, low), np.where(miss >= 0, s, high)
        slope = _hermite_slope(s, a, b)
        better = s - miss / np.where(slope > 0, slope, 1.0)
        better = np.where((slope > 0) & (better >= low) & (better <= high), better, 0.5 * (low + high))
        change, s = np.abs(better - s), better
        if (change <= 4e-16 * s).all():
            break
    return s


def _log_normal(z: Floats) -> Floats:
    return -0.5 * z * z - _LOG_ROOT_2_PI


def _log_mass(low: Floats, high: Floats) -> Floats:
    """Return log(Φ(high) - Φ(low)), shape (n,), without loss of digits in the tails or in narrow cells."""
    low, high = np.where(low > 0, -high, low), np.where(low > 0, -low, high)
    width = high - low
    narrow = width < 1e-5  # there the midpoint's rule is right to 1e-11
    upper, lower = log_ndtr(high), log_ndtr(low)
    with np.errstate(divide="ignore", invalid="ignore"):
        wide = upper + np.log1p(-np.exp(np.where(narrow, -1.0, lower - upper)))
        return np.where(narrow, np.log(width) + _log_normal(0.5 * (low + high)), wide)
