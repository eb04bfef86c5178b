"""Which laws do the benchmarks know? The built-in sets, and four of 3 to 10 dimensions, with their densities.

``helix`` (3): a curve of two turns with noise. ``banana`` (4): a parabola with noise, beside a funnel, whose
last coordinate has a deviation that depends on the one before. ``tails`` (5): Student's t of 5 degrees of
freedom, correlated. ``chain`` (10): each coordinate is a sine of the one before, with noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_t

from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.oracle import CurveOracle, oracle_for
from diffuscope.oracle.curve import Piece

__all__ = ["LAWS", "SHARP", "Law"]

Points = NDArray[np.float64]

# Where models have much mass and the law next to none: beyond sharp edges, off thin sheets.
SHARP = ("checkerboard", "banana", "chain")


@dataclass(frozen=True)
class Law:
    """A law with a known density.

    Attributes
    ----------
    draw : callable
        ``draw(n, seed) -> (n, d)``, training points; those of other seeds are independent.
    log_density : callable
        ``log_density(x) -> (n,)``, in nats.
    """

    draw: Callable[[int, int], Points]
    log_density: Callable[[Points], Points]


def _built_in(name: str) -> Law:
    oracle = oracle_for(name)
    return Law(
        lambda n, seed: load_dataset(name, size=n, seed=seed).x, lambda x: oracle.log_density(x).numpy()
    )


def _helix() -> Law:
    noise = 0.08

    def curve(t: Points) -> Points:
        return np.stack([np.cos(t), np.sin(t), t / math.pi - 2], axis=-1)

    def draw(n: int, seed: int) -> Points:
        random = np.random.default_rng([seed, 1])
        return curve(random.uniform(0, 4 * math.pi, n)) + noise * random.standard_normal((n, 3))

    speed = math.hypot(1, 1 / math.pi)
    turns = [Piece(i * math.pi, (i + 1) * math.pi, curve, np.ones_like, speed) for i in range(4)]
    oracle = CurveOracle(turns, noise, draw)
    return Law(draw, lambda x: oracle.log_density(x).numpy())


def _banana() -> Law:
    def draw(n: int, seed: int) -> Points:
        a, b, c, d = np.random.default_rng([seed, 2]).standard_normal((4, n))
        return np.stack([a, a**2 + 0.3 * b, c, np.exp(0.7 * c) * d], axis=1)

    def log_density(x: Points) -> Points:
        a, b, c, d = x.T
        return _normal(a) + _normal(b, a**2, 0.3) + _normal(c) + _normal(d, 0.0, np.exp(0.7 * c))

    return Law(draw, log_density)


def _tails() -> Law:
    freedom, places = 5, np.arange(5)
    shape = 0.8 ** np.abs(places[:, None] - places)
    root = np.linalg.cholesky(shape)

    def draw(n: int, seed: int) -> Points:
        random = np.random.default_rng([seed, 3])
        normal = random.standard_normal((n, 5)) @ root.T
        return normal / np.sqrt(random.chisquare(freedom, (n, 1)) / freedom)

    return Law(draw, multivariate_t(np.zeros(5), shape, freedom).logpdf)


def _chain() -> Law:
    def draw(n: int, seed: int) -> Points:
        x = np.random.default_rng([seed, 4]).standard_normal((n, 10))
        for i in range(1, 10):
            x[:, i] = 1.5 * np.sin(1.5 * x[:, i - 1]) + 0.3 * x[:, i]
        return x

    def log_density(x: Points) -> Points:
        return _normal(x[:, 0]) + _normal(x[:, 1:], 1.5 * np.sin(1.5 * x[:, :-1]), 0.3).sum(axis=1)

    return Law(draw, log_density)


def _normal(x: Points, mean: Points | float = 0.0, std: Points | float = 1.0) -> Points:
    """Return the log-density of N(mean, std²)."""
    return -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi)


LAWS: dict[str, Callable[[], Law]] = {
    **{name: (lambda name=name: _built_in(name)) for name in POINT_SETS},
    "helix": _helix,
    "banana": _banana,
    "tails": _tails,
    "chain": _chain,
}
