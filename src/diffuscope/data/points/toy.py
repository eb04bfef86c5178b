"""Which two-dimensional point sets are built in, and which law generates each of them.

Every set is a random centre plus i.i.d. Gaussian noise,

    x = c(z) + noise · ε,   ε ~ N(0, I_2),   so   p(x) = E_z[ N(x; c(z), noise² I) ],

where the latent z (an angle, a radius, a component) and the curve c are written in each function's
docstring. Diffusing x_t = α x + σ ε keeps that form, with centre α c(z) and variance (α noise)² + σ²,
so exact densities and denoisers are one integral over z away.

The functions draw from a ``numpy.random.RandomState``, because its streams are frozen across numpy's
versions, and scikit-learn draws from one too: its ``s_curve`` and ``swiss_roll`` are these, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["POINT_SETS", "PointSet", "draw_points"]

Points = npt.NDArray[np.float64]

# Spawn key of the stream of fresh draws, which keeps it apart from the training set of an equal seed.
FRESH_DRAWS = 0xD1FF


@dataclass(frozen=True)
class PointSet:
    """A built-in point set.

    Attributes
    ----------
    function : callable
        ``function(n, noise, random) -> (n, 2)`` float64, with ``random`` a ``RandomState``.
    noise : float
        Default standard deviation of the Gaussian noise, in the units of the points.
    description : str
        One line on what the set looks like.
    size : int
        Default number of points of a training set.
    """

    function: Callable[[int, float, np.random.RandomState], Points]
    noise: float
    description: str
    size: int = 10_000


def draw_points(name: str, noise: float, n: int, seed: int) -> Points:
    """Fresh points of ``name``, shape (n, 2), independent of every training set, equal seeds included."""
    sequence = np.random.SeedSequence(seed, spawn_key=(FRESH_DRAWS,))
    return POINT_SETS[name].function(n, noise, np.random.RandomState(np.random.MT19937(sequence)))


def s_curve(n: int, noise: float, random: np.random.RandomState) -> Points:
    """The letter S, scikit-learn's ``make_s_curve`` seen from the side (its columns 0 and 2).

    t ~ U(-3π/2, 3π/2),   c(t) = (sin t, sign(t) (cos t - 1)):  two arcs of unit radius that
    meet in the origin.
    The speed |c'(t)| is 1, so points lie evenly along the curve.
    """
    t = 3.0 * np.pi * (random.uniform(size=n) - 0.5)
    return _side_view(np.stack([np.sin(t), np.sign(t) * (np.cos(t) - 1.0)]), noise, random)


def swiss_roll(n: int, noise: float, random: np.random.RandomState) -> Points:
    """A rolled-up sheet, scikit-learn's ``make_swiss_roll`` seen from the side (its columns 0 and 2).

    t ~ U(3π/2, 9π/2),   c(t) = (t cos t, t sin t):  a spiral whose turns are 2π apart.
    """
    t = 1.5 * np.pi * (1.0 + 2.0 * random.uniform(size=n))
    return _side_view(np.stack([t * np.cos(t), t * np.sin(t)]), noise, random)


def moons(n: int, noise: float, random: np.random.RandomState) -> Points:
    """Two interleaving half circles, the curves of scikit-learn's ``make_moons``.

    k ~ U{0, 1},   t ~ U(0, π),   c(0, t) = (cos t, sin t),   c(1, t) = (1 - cos t, 1/2 - sin t).

    scikit-learn spaces t evenly, so that two of its sets share their centres; here t is drawn, because
    a fresh draw must be independent of the last and a distance between two draws must show their scatter.
    """
    t = random.uniform(0.0, np.pi, n)
    inner = random.randint(0, 2, n).astype(bool)
    upper = np.stack([np.cos(t), np.sin(t)], axis=1)  # (n, 2)
    centres = np.where(inner[:, None], [1.0, 0.5] - upper, upper)
    return _with_noise(centres, noise, random)


def circles(n: int, noise: float, random: np.random.RandomState) -> Points:
    """Two rings about the origin, the curves of scikit-learn's ``make_circles`` with ``factor=0.5``.

    r ~ U{1/2, 1},   t ~ U(0, 2π),   c(r, t) = r (cos t, sin t).

    As in :func:`moons`, t is drawn where scikit-learn spaces it evenly.
    """
    t = random.uniform(0.0, 2.0 * np.pi, n)
    r = np.where(random.randint(0, 2, n).astype(bool), 1.0, 0.5)
    return _with_noise(_polar(r, t), noise, random)


def eight_gaussians(n: int, noise: float, random: np.random.RandomState) -> Points:
    """Eight round Gaussians on a ring of radius 2√2.

    k ~ U{0, …, 7},   c(k) = 2√2 (cos kπ/4, sin kπ/4).

    The radius and the default noise 1/(2√2) are those of Grathwohl et al., FFJORD (2019).
    """
    k = random.randint(0, 8, n)
    return _with_noise(_polar(2.0 * np.sqrt(2.0), k * (np.pi / 4.0)), noise, random)


def checkerboard(n: int, noise: float, random: np.random.RandomState) -> Points:
    """The eight dark squares of a 4 × 4 board on [-4, 4)², each of side 2.

    c ~ U(dark squares):  density 1/32 where floor(c_1 / 2) + floor(c_2 / 2) is even, 0 elsewhere.

    The default noise is 0, which leaves the edges sharp; noise > 0 blurs them.
    """
    column = random.randint(0, 4, n)
    # Of the four rows of a column two are dark: those with the column's parity.
    row = 2 * random.randint(0, 2, n) + column % 2
    corners = 2.0 * np.stack([column, row], axis=1) - 4.0  # (n, 2)
    return _with_noise(corners + random.uniform(0.0, 2.0, (n, 2)), noise, random)


def pinwheel(n: int, noise: float, random: np.random.RandomState) -> Points:
    """Five arms that bend as they leave the centre.

    k ~ U{0, …, 4},   r ~ N(1, 0.3²),   θ = -(2πk/5 + exp(r)/4),   c(k, r) = 2r (cos θ, sin θ).

    The arms are those of Johnson et al., *Composing graphical models with neural networks* (2016), in
    the scale of FFJORD (2019). There the noise acts across the arm only; here it is round.
    """
    k = random.randint(0, 5, n)
    r = 1.0 + 0.3 * random.standard_normal(n)
    theta = -(2.0 * np.pi / 5.0 * k + 0.25 * np.exp(r))
    return _with_noise(_polar(2.0 * r, theta), noise, random)


def two_spirals(n: int, noise: float, random: np.random.RandomState) -> Points:
    """Two spirals, each the other turned by half a turn about the origin.

    s ~ U{-1, 1},   t = 3π√u with u ~ U(0, 1),   c(s, t) = s t/3 (-cos t, sin t).

    The root makes t's density 2t/(3π)², which spreads points nearly evenly along the arms. FFJORD (2019)
    also shifts each centre by a uniform jitter of width 1/6; it is left out so that the noise is Gaussian.
    """
    t = 3.0 * np.pi * np.sqrt(random.uniform(0.0, 1.0, n))
    sign = 2.0 * random.randint(0, 2, n) - 1.0
    centres = (sign * t / 3.0)[:, None] * np.stack([-np.cos(t), np.sin(t)], axis=1)
    return _with_noise(centres, noise, random)


def _side_view(centres: Points, noise: float, random: np.random.RandomState) -> Points:
    """Add noise to centres (2, n) as scikit-learn does to its sheets, whose depth is not seen; (n, 2)."""
    n = centres.shape[1]
    random.uniform(size=n)  # the depth
    eps = random.standard_normal((3, n))[[0, 2]]
    return np.ascontiguousarray((centres + noise * eps).T)


def _polar(r: npt.ArrayLike, theta: npt.ArrayLike) -> Points:
    return np.stack([r * np.cos(theta), r * np.sin(theta)], axis=1, dtype=np.float64)


def _with_noise(centres: Points, noise: float, random: np.random.RandomState) -> Points:
    return np.asarray(centres + noise * random.standard_normal(centres.shape), dtype=np.float64)


POINT_SETS: dict[str, PointSet] = {
    "s_curve": PointSet(s_curve, 0.1, "the letter S, two arcs of unit radius"),
    "swiss_roll": PointSet(swiss_roll, 0.5, "a spiral of one and a half turns, radius 5 to 14"),
    "moons": PointSet(moons, 0.1, "two interleaving half circles"),
    "circles": PointSet(circles, 0.08, "two rings about one centre, radii 0.5 and 1"),
    "eight_gaussians": PointSet(eight_gaussians, 0.5 / np.sqrt(2.0), "eight round clusters on a ring"),
    "checkerboard": PointSet(checkerboard, 0.0, "the dark squares of a 4 by 4 board, sharp edges"),
    "pinwheel": PointSet(pinwheel, 0.2, "five bent arms around a centre"),
    "two_spirals": PointSet(two_spirals, 0.1, "two intertwined spiral arms"),
}
