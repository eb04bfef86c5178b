"""How do columns and their dependence look on a page, as numbers that a template puts into place?

A page draws by itself: bars and lines are plain SVG and CSS, so that they have the reader's font, follow
light and dark, are sharp in print and need nothing from anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from diffuscope.metrics.tabular.associations import Associations
from diffuscope.metrics.tabular.tables import Floats
from diffuscope.plots.facets import Facet, facets_of

__all__ = ["Bar", "Cell", "Drawing", "Matrix", "Steps", "draw_columns", "draw_distances", "draw_matrices"]

WIDTH, HEIGHT = 240.0, 84.0
_TOP = 6.0
_BINS = 40
_MOST_ASSOCIATED = 36


@dataclass(frozen=True)
class Steps:
    """Two histograms over one axis, as SVG paths in a box of ``WIDTH`` by ``HEIGHT``.

    Attributes
    ----------
    real, synthetic : str
        The filled area, and the line.
    ticks : list of (float, str)
        Where they are across, and what they say.
    """

    real: str
    synthetic: str
    ticks: list[tuple[float, str]]


@dataclass(frozen=True)
class Bar:
    """A value of a category, with the share of rows that have it, in percent of the longest bar."""

    label: str
    real: float
    synthetic: float
    said: str


@dataclass(frozen=True)
class Drawing:
    """A column: steps, or bars of a category."""

    steps: Steps | None = None
    bars: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Cell:
    """A square of a matrix: its place, how strong its colour is, its sign, and what it means."""

    row: int
    column: int
    strength: float
    positive: bool
    said: str


@dataclass(frozen=True)
class Matrix:
    """A matrix of associations of some columns.

    Attributes
    ----------
    title, about : str
    cells : list of Cell
        Those that are not nothing.
    """

    title: str
    about: str
    cells: list[Cell]


def draw_columns(real: Any, synthetic: Any, seed: int = 0) -> list[Drawing]:
    """Return a drawing of each column of two tables, in the order of the first."""
    return [_draw_column(facet) for facet in facets_of(real, synthetic, list(real.columns), seed)]


def _draw_column(facet: Facet) -> Drawing:
    if not facet.named:
        return Drawing(steps=_steps(*facet.values, facet.edges(), facet.limits, facet.ticks(4)))
    names = [*facet.labels, "(missing)"]
    shares = [np.append(facet.shares(which), facet.missing(which)) for which in (0, 1)]
    longest = max(1e-12, *(float(share.max()) for share in shares))
    bars = [
        Bar(name, 100 * r / longest, 100 * s / longest, f"{name}: real {r:.1%}, synthetic {s:.1%}")
        for name, r, s in zip(names, shares[0].tolist(), shares[1].tolist(), strict=True)
    ]
    if not max(bars[-1].real, bars[-1].synthetic):
        bars.pop()
    return Drawing(bars=tuple(bars))


def _steps(
    one: Floats,
    other: Floats,
    edges: Floats,
    limits: tuple[float, float],
    ticks: Sequence[tuple[float, str]],
) -> Steps:
    """Return histograms of shares of all rows, missing ones included."""
    low, high = limits
    across = (np.clip(edges, low, high) - low) * (WIDTH / (high - low))
    shares = [np.histogram(x[np.isfinite(x)], edges)[0] / max(len(x), 1) for x in (one, other)]
    top = max(1e-12, *(float(share.max()) for share in shares))
    heights = [HEIGHT - share * ((HEIGHT - _TOP) / top) for share in shares]
    paths = [_path(across, height) for height in heights]
    return Steps(paths[0], paths[1], [((v - low) * (WIDTH / (high - low)), said) for v, said in ticks])


def _path(across: Floats, height: Floats) -> str:
    words = [f"M{across[0]:.1f} {HEIGHT:g}"]
    for right, up in zip(across[1:], height, strict=True):
        words.append(f"V{up:.1f}H{right:.1f}")
    return "".join([*words, f"V{HEIGHT:g}"])


def draw_distances(own: Floats, unseen: Floats) -> Steps | None:
    """Return histograms of the distances of unseen and of synthetic rows to the nearest training row."""
    high = float(max(np.quantile(own, 0.995), np.quantile(unseen, 0.995)))
    if high <= 0:
        return None
    ticks = [(high * k / 4, f"{high * k / 4:.2g}") for k in range(5)]
    edges = np.linspace(0, high, _BINS + 1)
    return _steps(np.minimum(unseen, high), np.minimum(own, high), edges, (0.0, high), ticks)


def draw_matrices(associations: Associations) -> tuple[list[str], list[Matrix]]:
    """Return names and two matrices: real below and synthetic above the diagonal; and their difference.

    Of more than 36 columns those are shown whose associations are strongest or differ most.
    """
    real, synthetic = associations.real, associations.synthetic
    away = 1 - np.eye(len(real))
    score = ((np.maximum(np.abs(real), np.abs(synthetic)) + np.abs(real - synthetic)) * away).sum(axis=1)
    shown = np.sort(np.argsort(-score, kind="stable")[:_MOST_ASSOCIATED])
    names = [associations.names[k] for k in shown]
    real, synthetic = (matrix[np.ix_(shown, shown)] for matrix in (real, synthetic))
    both = np.tril(real, -1) + np.triu(synthetic, 1)
    p = range(len(names))
    said = [
        [f"{names[i]} and {names[j]}: real {real[i, j]:.2f}, synthetic {synthetic[i, j]:.2f}" for j in p]
        for i in p
    ]
    apart = np.tril(synthetic - real, -1)
    return names, [
        Matrix("Associations", "Real rows below the diagonal, synthetic rows above it.", _cells(both, said)),
        Matrix(
            "Difference",
            "Synthetic less real, on the same scale.",
            _cells(apart, said),
        ),
    ]


def _cells(matrix: Floats, said: list[list[str]]) -> list[Cell]:
    return [
        Cell(int(i), int(j), round(min(1.0, abs(float(matrix[i, j]))), 3), bool(matrix[i, j] > 0), said[i][j])
        for i, j in zip(*np.nonzero(np.abs(matrix) >= 0.01), strict=True)
    ]
