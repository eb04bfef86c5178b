"""How do columns and their dependence look in a report? Real rows are filled, synthetic ones are a line.

Each picture comes with words: for who cannot see it, and for the numbers in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffuscope.metrics.tabular.associations import Associations
from diffuscope.metrics.tabular.tables import Floats
from diffuscope.plots.facets import Facet, facets_of
from diffuscope.plots.fonts import families, plain
from diffuscope.plots.pairs import draw_column
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, NOISE, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Drawing", "draw_columns", "draw_distances", "draw_matrices", "draw_shares"]

_MOST_ASSOCIATED = 36


class Drawing(NamedTuple):
    """A figure with its title and caption."""

    figure: Figure
    title: str
    caption: str


def draw_columns(real: Any, synthetic: Any, seed: int = 0) -> list[Drawing]:
    """Draw each column of two tables, in the order of the first."""
    facets = facets_of(real, synthetic, list(real.columns), seed)
    return [Drawing(_column(facet), str(facet.name), _shares(facet)) for facet in facets]


@contextlib.contextmanager
def _axes(width: float, height: float) -> Iterator[tuple[Figure, Any]]:
    """Give a small figure and its axes, in fonts that have all characters."""
    from matplotlib import rc_context

    with rc_context({"font.family": list(families())}):
        figure = new_figure(width, height)
        figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
        yield figure, figure.subplots()


def _column(facet: Facet) -> Figure:
    longest = max(map(len, facet.drawn_labels), default=0)
    upright = longest * len(facet.labels) > 36
    with _axes(3.0, 1.2 + (0.06 * longest if upright else 0.0)) as (figure, ax):
        ax.set(xlim=facet.limits, yticks=[])
        draw_column(ax, facet)
        facet.tick(ax.xaxis, 4)
        ax.spines["bottom"].set_color(FAINT)
        ax.tick_params(axis="x", colors=MUTED, color=FAINT, labelsize=7, length=2, rotation=90 * upright)
    return figure


def _shares(facet: Facet) -> str:
    """Return the frequencies of the categories as text."""
    if not facet.named:
        return ""
    return "; ".join(
        f"{label}: real {real:.1%}, synthetic {synthetic:.1%}"
        for label, real, synthetic in zip(facet.labels, facet.shares(0), facet.shares(1), strict=True)
    )


def draw_distances(own: Floats, unseen: Floats) -> Drawing | None:
    """Draw the distances of held-out rows (filled) and synthetic rows to the nearest training row."""
    high = float(max(np.quantile(own, 0.995), np.quantile(unseen, 0.995)))
    if high <= 0:
        return None
    values = (np.minimum(unseen, high), np.minimum(own, high))
    unmoved = (np.zeros(len(unseen)), np.zeros(len(own)))
    facet = Facet("distance", "number", values, (0.0, high), [], False, unmoved)
    medians = f"medians: held-out rows {np.median(unseen):.3g}, synthetic rows {np.median(own):.3g}"
    return Drawing(_column(facet), "Distance to the nearest training row", medians)


def draw_shares(title: str, shares: Sequence[tuple[str, float, float]]) -> Drawing:
    """Draw shares of real rows (filled) and of synthetic rows (a line), one below the other, by name."""
    names = [plain(name, 28) for name, _, _ in shares]
    at = np.arange(len(shares))
    real, synthetic = (np.array([entry[k] for entry in shares], dtype=np.float64) for k in (1, 2))
    with _axes(5.2, 0.45 + 0.24 * len(shares)) as (figure, ax):
        ax.barh(at, 100 * real, 0.72, color=DATA, alpha=0.45, linewidth=0)
        for k, share in enumerate(100 * synthetic):
            ax.plot([share, share], [k - 0.42, k + 0.42], color=GENERATED, linewidth=2, solid_capstyle="butt")
        ax.set_xlim(0, 108 * max(1e-3, float(real.max()), float(synthetic.max())))
        ax.set_ylim(len(shares) - 0.45, -0.55)
        ax.set_yticks(at, names)
        ax.xaxis.set_major_formatter("{x:g}%")
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(FAINT)
        ax.tick_params(colors=MUTED, color=FAINT, labelsize=8, length=2)
        ax.tick_params(axis="y", labelcolor=INK, length=0)
    caption = "; ".join(f"{name}: real {was:.1%}, synthetic {made:.1%}" for name, was, made in shares)
    return Drawing(figure, title, caption)


def draw_matrices(associations: Associations) -> list[Drawing]:
    """Draw two matrices: real below and synthetic above the diagonal; and their difference.

    Of more than 36 columns those are shown whose associations are strongest or differ most.
    """
    real, synthetic = associations.real, associations.synthetic
    away = 1 - np.eye(len(real))
    score = ((np.maximum(np.abs(real), np.abs(synthetic)) + np.abs(real - synthetic)) * away).sum(axis=1)
    shown = np.sort(np.argsort(-score, kind="stable")[:_MOST_ASSOCIATED])
    names = [associations.names[k] for k in shown]
    real, synthetic = (matrix[np.ix_(shown, shown)] for matrix in (real, synthetic))
    furthest = "; ".join(
        f"{a} and {b}: real {was:.2f}, synthetic {made:.2f}" for a, b, was, made in associations.furthest()
    )
    both = np.tril(real, -1) + np.triu(synthetic, 1)
    apart = np.tril(synthetic - real, -1)
    halves = "Real rows below the diagonal, synthetic rows above it."
    scale = f"Synthetic minus real, on the same scale. {furthest}".rstrip()
    return [
        Drawing(_matrix(both, names), "Associations", halves),
        Drawing(_matrix(apart, names), "Difference", scale),
    ]


def _matrix(matrix: Floats, names: list[str]) -> Figure:
    from matplotlib.colors import LinearSegmentedColormap

    side = 1.4 + 0.16 * len(names)
    with _axes(side, side) as (figure, ax):
        colors = LinearSegmentedColormap.from_list("sign", [NOISE, "white", DATA])
        ax.imshow(matrix, cmap=colors, vmin=-1, vmax=1)
        ax.axline((0, 0), slope=1, color=FAINT, linewidth=0.8)
        ax.spines[:].set(color=FAINT, linewidth=0.8)
        ticks = [plain(name) for name in names]
        ax.set_xticks(range(len(names)), ticks, rotation=90)
        ax.set_yticks(range(len(names)), ticks)
        ax.tick_params(length=0, labelcolor=MUTED, labelsize=7, top=False, labeltop=True, labelbottom=False)
    return figure
