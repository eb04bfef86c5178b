"""Which law is a drawing? Strokes of Gaussian ink: a point of a stroke, evenly along it, plus noise.

Single points have as much ink as a stroke of half a unit. Such a law has an exact denoiser and a floor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset
from diffuscope.oracle import CurveOracle
from diffuscope.oracle.curve import Piece

__all__ = ["drawn_data", "drawn_law"]

Array = NDArray[np.float64]
Strokes = Sequence[Sequence[tuple[float, float]]]

_DOT = 0.5
_FEW = 3  # nodes more than one for each spacing


@dataclass(frozen=True)
class _Segment(Piece):
    """A short straight piece: a few nodes are enough."""

    def rule(self, spacing: float) -> tuple[Array, Array]:
        """Return points (m, 2) and weights (m,)."""
        length = self.speed * (self.stop - self.start)
        nodes, weights = np.polynomial.legendre.leggauss(math.ceil(math.pi / 2 * length / spacing) + _FEW)
        half = (self.stop - self.start) / 2
        return self.curve(self.start + half * (nodes + 1)), half * weights


def drawn_law(strokes: Strokes, noise: float) -> CurveOracle:
    """Return the law of strokes, each of at least one point, with ink of a deviation above 0."""
    ends = np.array([(*a, *b, _length(a, b)) for a, b in _segments(strokes)])  # (k, 5)

    def draw(n: int, seed: int) -> Array:
        random = np.random.default_rng([seed, 0xD4A3])
        chosen = ends[random.choice(len(ends), n, p=ends[:, 4] / ends[:, 4].sum())]
        part = random.random((n, 1))
        centre = chosen[:, :2] + part * (chosen[:, 2:4] - chosen[:, :2])
        return np.asarray(centre + noise * random.standard_normal((n, 2)))

    return CurveOracle([_piece(row) for row in ends], noise, draw)


def drawn_data(law: CurveOracle, n: int, seed: int, name: str) -> Dataset:
    """Return points of a law as data, with fresh ones."""

    def draw(count: int, seed: int) -> Array:
        return law.draw(count, seed).numpy()

    return Dataset(
        name, draw(n, seed + 1), None, draw, {"kind": "callable", "name": name, "size": n, "seed": seed}
    )


def _segments(strokes: Strokes) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    pairs = [pair for stroke in strokes for pair in pairwise(stroke)]
    pairs = [(a, b) for a, b in pairs if a != b]
    return pairs + [(stroke[0], stroke[0]) for stroke in strokes if len(set(stroke)) == 1]


def _length(a: tuple[float, float], b: tuple[float, float]) -> float:
    return math.dist(a, b) or _DOT


def _piece(row: Array) -> Piece:
    start, end, length = row[:2], row[2:4], float(row[4])

    def along(z: Array) -> Array:
        return np.asarray(start + (z / length)[:, None] * (end - start))

    return _Segment(0.0, length, along, np.ones_like, float(np.linalg.norm(end - start)) / length)
