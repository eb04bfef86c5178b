"""Which law is a drawing? Strokes of Gaussian ink: a point of a stroke, evenly along it, plus noise.

Single points have as much ink as a stroke of half a unit. Such a law has an exact denoiser and a floor.
Strokes of two colours are of two classes.
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

__all__ = ["CLASSES", "drawn_data", "drawn_law", "laws_of_classes"]

CLASSES = ("blue", "amber")
"""The names of the colours that one draws with."""

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
    ends, _ = _segments(strokes)

    def draw(n: int, seed: int) -> Array:
        return _drawn(strokes, noise, n, seed)[0]

    return CurveOracle([_piece(row) for row in ends], noise, draw)


def laws_of_classes(strokes: Strokes, noise: float, classes: Sequence[int]) -> list[CurveOracle]:
    """Return the law of each class, 0, 1, ...; ``classes`` are those of the strokes."""
    return [
        drawn_law([stroke for stroke, own in zip(strokes, classes, strict=True) if own == k], noise)
        for k in range(len(set(classes)))
    ]


def drawn_data(
    strokes: Strokes, noise: float, n: int, seed: int, classes: Sequence[int] | None = None
) -> Dataset:
    """Return points of a drawing as data, with fresh ones.

    Parameters
    ----------
    strokes : sequence of sequences of (x, y)
    noise : float
        The deviation of the ink, above 0.
    n, seed : int
        Number of points, and their seed.
    classes : sequence of int, optional
        The class of each stroke, 0 or 1: of its colour.
    """

    def draw(count: int, seed: int) -> Array:
        return _drawn(strokes, noise, count, seed)[0]

    x, stroke = _drawn(strokes, noise, n, seed + 1)
    source = {"kind": "callable", "name": "drawn", "size": n, "seed": seed}
    if classes is None:
        return Dataset("drawn", x, None, draw, source)
    labels = np.asarray(classes, dtype=np.int64)[stroke]
    return Dataset("drawn", x, None, draw, source, labels=labels, classes=CLASSES)


def _drawn(strokes: Strokes, noise: float, n: int, seed: int) -> tuple[Array, NDArray[np.int64]]:
    """Return points (n, 2), and of which stroke each is."""
    ends, of_stroke = _segments(strokes)
    random = np.random.default_rng([seed, 0xD4A3])
    chosen = random.choice(len(ends), n, p=ends[:, 4] / ends[:, 4].sum())
    part = random.random((n, 1))
    centre = ends[chosen, :2] + part * (ends[chosen, 2:4] - ends[chosen, :2])
    return np.asarray(centre + noise * random.standard_normal((n, 2))), of_stroke[chosen]


def _segments(strokes: Strokes) -> tuple[Array, NDArray[np.int64]]:
    """Return the straight pieces (k, 5), both ends and the length of each, and of which stroke they are."""
    rows, of_stroke = [], []
    for i, stroke in enumerate(strokes):
        points = [(float(x), float(y)) for x, y in stroke]
        pieces = [(a, b) for a, b in pairwise(points) if a != b] or [(points[0], points[0])]
        rows += [(*a, *b, math.dist(a, b) or _DOT) for a, b in pieces]
        of_stroke += [i] * len(pieces)
    return np.array(rows), np.array(of_stroke)


def _piece(row: Array) -> Piece:
    start, end, length = row[:2], row[2:4], float(row[4])

    def along(z: Array) -> Array:
        return np.asarray(start + (z / length)[:, None] * (end - start))

    return _Segment(0.0, length, along, np.ones_like, float(np.linalg.norm(end - start)) / length)
