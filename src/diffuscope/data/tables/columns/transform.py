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
or an end's, so that the inverse is well conditioned. Beyond the last knots the tails of :mod:`.tails` go on
with the slope there; without one g is linear.

A value that is repeated more often than chance would have it (:mod:`.atoms`) is an *atom*: all z between
Φ⁻¹(share below it) and Φ⁻¹(share not above it) mean that value. Decoding gives exactly it; encoding gives
the middle of them by probability, or, with a ``within`` in (0, 1), the one at that share of the probability.
Of z ~ N(0, 1) each atom gets its share of the rows, and the numbers between two atoms the share of the rows
that lie there; where there are none, a small one. The map is C¹ but at the ends of atoms.
Atoms at an end of the column reach to z = ±6, so that values beyond the end all but never come out.

On a lattice (integers, dates, prices with two decimals) a value stands for the cell of half a step to
either side. An atom is the whole of its cell there, and two atoms may touch.
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
from diffuscope.data.tables.columns.rhythm import Rhythm
from diffuscope.data.tables.columns.tails import (
    LEAST_RATIO,
    MOST_RATIO,
    Tail,
    depth_at_z,
    hazard,
    z_at_depth,
)

__all__ = ["MOST_ATOMS", "Line", "Quantiles", "Standard", "atom_ends"]

MOST_ATOMS = 20_000
_END = 6.0  # how far in z an atom at the end of a column reaches
_MOST = np.finfo(np.float64).max
_LOG_2 = math.log(2)
_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)


class Standard(Plain):
    """The map x = shift + scale z, both in the units of the column."""

    kind: Literal["standard"] = "standard"
    shift: float
    scale: float = Field(gt=0)

    @property
    def fineness(self) -> float:
        """How much narrower than the mean the narrowest cell of a lattice is: 1 times."""
        return 1.0

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
    """A map through knots (z, x) and atoms, see the module's docstring.

    ``counts`` are the rows of each atom, ``between`` those below the first, between each two, and above the
    last, at least a part of one where there is room. ``step`` is the lattice's, 0 where there is none. With a
    ``rhythm`` the knots and tails are in its units.
    Two knots of one x are an atom as well.
    """

    kind: Literal["quantiles"] = "quantiles"
    z: tuple[Annotated[float, Field(ge=-40, le=40)], ...] = Field(max_length=5000)
    x: tuple[float, ...] = Field(max_length=5000)
    atoms: tuple[float, ...] = Field(default=(), max_length=MOST_ATOMS)
    counts: tuple[Annotated[float, Field(gt=0)], ...] = Field(default=(), max_length=MOST_ATOMS)
    between: tuple[Annotated[float, Field(ge=0)], ...] = Field(default=(), max_length=MOST_ATOMS + 1)
    step: float = Field(default=0.0, ge=0)
    below: Tail | None = None
    above: Tail | None = None
    rhythm: Rhythm | None = None

    @model_validator(mode="after")
    def _check(self) -> Quantiles:
        if len(self.z) != len(self.x):
            raise ValueError("as many z as x are needed")
        if len(self.counts) != len(self.atoms) or len(self.between) != len(self.atoms) + bool(self.atoms):
            raise ValueError("as many counts as atoms are needed, and one more between")
        if len(self.z) + 2 * len(self.atoms) < 2:
            raise ValueError("two knots are needed")
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = self._raw_ends
            if not math.isfinite(high - low) or not high > low:
                raise ValueError("the knots' range must be a number above 0")
            dz, dx, same = np.diff(self._z), np.diff(self._x), np.diff(self._x) == 0
        if not (dx >= 0).all() or not (dz > 0).all() or (same[1:] & same[:-1]).any():
            raise ValueError("knots must rise")
        if not (dx[~same] > 1e-300).all() or not (dz > 1e-13).all() or not (self._cell[same]).all():
            raise ValueError("knots are too close")
        if not all(tail.leaves_room(x, side, self._exponent) for side, _, x, tail in self._tails):
            raise ValueError("a tail must end beyond the knots")
        return self

    @cached_property
    def _raw_ends(self) -> tuple[float, float]:
        """The least and the greatest x of all knots and atoms, cells included."""
        half = self.step / 2
        lows = self._stretched(np.array(self.atoms[:1], dtype=np.float64) - half)
        highs = self._stretched(np.array(self.atoms[-1:], dtype=np.float64) + half)
        return min([*self.x[:1], *lows.tolist()]), max([*self.x[-1:], *highs.tolist()])

    @property
    def fineness(self) -> float:
        """How much narrower than the mean the narrowest cell of a lattice is."""
        return 1.0 if self.rhythm is None else self.rhythm.fineness

    def _stretched(self, x: Floats) -> Floats:
        """Return x as the knots have it."""
        return x if self.rhythm is None else self.rhythm.stretch(x)

    @cached_property
    def _exponent(self) -> int:
        """Of the power of two in whose units x is, so that nothing overflows."""
        return math.frexp(max(map(abs, self._raw_ends)))[1]

    @cached_property
    def _knots(self) -> tuple[Floats, Floats, NDArray[np.intp]]:
        """All knots z and x (k,) in their order, and the atom that each segment is (k - 1,), or -1.

        The atoms of knots that fall together count as none: their value is the knots' x.
        """
        z, x = np.array(self.z, dtype=np.float64), np.array(self.x, dtype=np.float64)
        starts = np.full(len(z), -1)
        if self.atoms:
            m, atoms = len(self.atoms), np.array(self.atoms)
            z_ends = atom_ends(np.array(self.counts), np.array(self.between))
            x_ends = self._stretched(np.stack([atoms - self.step / 2, atoms + self.step / 2], 1).ravel())
            begin = np.stack([np.arange(m), np.full(m, -1)], 1).ravel()
            touch = np.flatnonzero(np.array(self.between)[1:-1] == 0)  # atom i and the next share a knot
            begin[2 * touch + 1] = touch + 1
            kept = np.ones(2 * m, dtype=bool)
            kept[2 * touch + 2] = False
            z, x = np.concatenate([z, z_ends[kept]]), np.concatenate([x, x_ends[kept]])
            starts = np.concatenate([starts, begin[kept]])
        order = np.argsort(z, kind="stable")
        return z[order], np.asarray(np.ldexp(x[order], -self._exponent)), starts[order][:-1]

    @cached_property
    def _x(self) -> Floats:
        return self._knots[1]

    @cached_property
    def _z(self) -> Floats:
        return self._knots[0]

    @cached_property
    def _cell(self) -> NDArray[np.bool_]:
        """Which segments are atoms, shape (k - 1,)."""
        return np.asarray((self._knots[2] >= 0) | (np.diff(self._x) == 0))

    @cached_property
    def _steps(self) -> tuple[Floats, Floats]:
        """The steps of z and x between the knots, shape (k - 1,) each."""
        return np.diff(self._z), np.diff(self._x)

    @cached_property
    def _ends(self) -> tuple[Floats, Floats]:
        """The slopes at the ends of every segment over its secant; 1 where the map has an end there."""
        step, rise = self._steps
        m = rise / step
        ratios = np.ones((2, len(m)))
        inner = ~self._cell[:-1] & ~self._cell[1:]
        m_0, m_1, s_0, s_1 = m[:-1][inner], m[1:][inner], step[:-1][inner], step[1:][inner]
        w_0, w_1 = 2 * s_1 + s_0, s_1 + 2 * s_0
        least = np.minimum(m_0, m_1)  # everything over the lesser secant: no overflow
        d = np.minimum((w_0 + w_1) / (w_0 * (least / m_0) + w_1 * (least / m_1)), 2.0)
        ratios[1, :-1][inner] = d * (least / m_0)
        ratios[0, 1:][inner] = d * (least / m_1)
        for side, z_joint, joint, tail in self._tails:  # the slope of the tail, where there is one
            k = 0 if side < 0 else -1
            if not self._cell[k]:
                slope = tail.slope(joint, self._exponent) * hazard(z_joint, side)
                ratios[min(side + 1, 1), k] = min(max(slope / m[k], LEAST_RATIO), MOST_RATIO)
        return ratios[0], ratios[1]

    @property
    def _tails(self) -> list[tuple[int, float, float, Tail]]:
        """Of each tail that there is its side, -1 or 1, the joint z and x, and itself."""
        ends = ((-1, 0, self.below), (1, -1, self.above))
        return [(side, float(self._z[k]), float(self._x[k]), t) for side, k, t in ends if t is not None]

    @cached_property
    def _outer(self) -> tuple[float, float]:
        """The slopes dx/dz beyond the two ends; next to an atom that of the whole column."""
        step, rise = self._steps
        mean = float((self._x[-1] - self._x[0]) / (self._z[-1] - self._z[0]))
        below, above = (mean if self._cell[k] else float(rise[k] / step[k]) for k in (0, -1))
        return below, above

    def _segment(self, knots: Floats, values: Floats) -> NDArray[np.intp]:
        return np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)

    def backward(self, z: Floats) -> Floats:
        """Return x of z, shape (n,); a z between the ends of an atom gives exactly its value."""
        k = self._segment(self._z, z)
        step, rise = self._steps[0][k], self._steps[1][k]
        s = np.clip((z - self._z[k]) / step, 0.0, 1.0)
        late = s > 0.5  # from the nearer end, which keeps all digits of values near zero
        s = np.clip(np.where(late, (self._z[k + 1] - z) / step, s), 0.0, 1.0)
        distance = rise * _hermite(s, *self._seen_from(late, k))
        x = np.where(late, self._x[k + 1] - distance, self._x[k] + distance)
        x += self._outer[0] * np.minimum(z - self._z[0], 0) + self._outer[1] * np.maximum(z - self._z[-1], 0)
        for side, z_joint, joint, tail in self._tails:
            there = side * z > side * z_joint
            x[there] = tail.at_depth(depth_at_z(z[there], z_joint, side), joint, side, self._exponent)
        with np.errstate(over="ignore"):
            x = np.clip(np.ldexp(x, self._exponent), -_MOST, _MOST)
        if self.rhythm is not None:
            x = self.rhythm.shrink(x)
        atom = np.where((z >= self._z[0]) & (z <= self._z[-1]), self._knots[2][k], -1)
        here = atom >= 0
        x[here] = np.array(self.atoms)[atom[here]]
        return x

    def forward(self, x: Floats, within: Floats | None = None) -> Floats:
        """Return z of x, shape (n,); at an atom at the share ``within`` (n,) of its probability.

        On a lattice it is the place of x in the atom's cell that chooses the share.
        """
        u = np.ldexp(self._stretched(x), -self._exponent)
        k, late, s = self._place(u)
        distance = self._steps[0][k] * s
        z = np.where(late, self._z[k + 1] - distance, self._z[k] + distance)
        z += np.minimum(u - self._x[0], 0) / self._outer[0] + np.maximum(u - self._x[-1], 0) / self._outer[1]
        for side, z_joint, joint, tail in self._tails:
            there = side * u > side * joint
            z[there] = z_at_depth(tail.depth(u[there], joint, side, self._exponent), z_joint, side)
        if self.step:
            cell = self._cell[k] & (u >= self._x[0]) & (u <= self._x[-1])
            share = np.where(late, 1 - s, s)
        else:
            atom = self._atom_of(u)
            cell, k = atom >= 0, np.maximum(atom, 0)
            share = np.full(len(u), 0.5) if within is None else within
        k = k[cell]
        z[cell] = _at_share(self._z[k], self._z[k + 1], share[cell])
        return z

    def _place(self, u: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_], Floats]:
        """Return each value's segment, whether its end is nearer, and how far from that it is, 0 to 1."""
        k = self._segment(self._x, u)
        rise = self._steps[1][k]
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
        atoms = np.flatnonzero(self._steps[1] == 0)
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
        step, rise = self._steps[0][k], self._steps[1][k]
        slope = np.where(rise == 0, 1.0, rise) / step * _hermite_slope(s, *self._seen_from(late, k))
        slope = np.where(u < self._x[0], self._outer[0], np.where(u > self._x[-1], self._outer[1], slope))
        logs = -np.log(slope) - self._exponent * _LOG_2
        for side, z_joint, joint, tail in self._tails:
            there = side * u > side * joint
            depth = tail.depth(u[there], joint, side, self._exponent)
            own = tail.log_density(depth, joint, self._exponent)
            logs[there] = log_ndtr(-side * z_joint) + own - _log_normal(z_at_depth(depth, z_joint, side))
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
    found = share.copy()
    left = np.flatnonzero((a != 1) | (b != 1))  # with both it is a line
    share, a, b, s = share[left], a[left], b[left], share[left]
    low, high = np.zeros_like(share), np.ones_like(share)
    for _ in range(80):
        miss = _hermite(s, a, b) - share
        low, high = np.where(miss <= 0, s, low), np.where(miss >= 0, s, high)
        slope = _hermite_slope(s, a, b)
        better = s - miss / np.where(slope > 0, slope, 1.0)
        better = np.where((slope > 0) & (better >= low) & (better <= high), better, 0.5 * (low + high))
        going = np.abs(better - s) > 4e-16 * better
        found[left] = better
        share, a, b, low, high, s = (part[going] for part in (share, a, b, low, high, better))
        left = left[going]
        if not left.size:
            break
    return found


def atom_ends(counts: Floats, between: Floats) -> Floats:
    """Return the ends in z of atoms with such counts (m,), and ``between`` (m + 1,) rows around; (2 m,).

    Of z ~ N(0, 1) each has its share. The least atom of a column reaches down to -6, the greatest up to 6.
    """
    masses = np.empty(2 * len(counts) + 1)
    masses[1::2], masses[::2] = counts, between
    below, above = np.cumsum(masses)[:-1], np.cumsum(masses[::-1])[::-1][1:]
    total = masses.sum()
    z = np.asarray(np.where(below < above, ndtri(below / total), -ndtri(above / total)))
    if between[0] == 0:
        z[0] = -_END
    if between[-1] == 0:
        z[-1] = _END
    return z


def _at_share(low: Floats, high: Floats, share: Floats) -> Floats:
    """Return the z at a share of the probability between low and high, within them; shape (n,)."""
    flip = low > 0  # where Φ is near 0 it has more digits
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    part = np.where(flip, 1 - share, share)
    z = ndtri(ndtr(a) + part * (ndtr(b) - ndtr(a)))
    return np.asarray(np.clip(np.where(flip, -z, z), low, np.nextafter(high, low)))


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
