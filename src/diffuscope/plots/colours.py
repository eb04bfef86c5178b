"""In which colours are points drawn of which more is known? Of their class, or of a number along a scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from diffuscope.plots.ink import dot_radius, histogram
from diffuscope.plots.style import INK, MUTED
from diffuscope.plots.view import BINS, View

__all__ = ["CLASSES", "ByClass", "ByNumber", "Colours"]

CLASSES = (
    *("#2b6cb8", "#e08214", "#1b9e77", "#8b3fa8", "#d8442f"),
    *("#8c6d31", "#4bb3d3", "#c44e93", "#6b6b6b", "#a6a61e"),
)
_NAMED = 14  # classes in a legend
_SCALE = "viridis"
_PARTS = 5  # of the range of a number, a line each on one axis


class Colours(Protocol):
    """The colours of points."""

    def draw(self, ax: Axes, x: ArrayLike, view: View) -> None:
        """Draw points (n, d) into ``ax``; on one axis, lines."""

    def explain(self, figure: Figure) -> None:
        """Say above the panels what the colours mean."""


@dataclass(frozen=True)
class ByClass:
    """Classes (n,) of points, numbered from 0, and their names."""

    labels: NDArray[np.int64]
    names: Sequence[str]

    def draw(self, ax: Axes, x: ArrayLike, view: View) -> None:
        """Draw points in the colours of their classes."""
        colors = np.array([CLASSES[i % len(CLASSES)] for i in range(len(self.names))])
        labels = np.asarray(self.labels)
        _draw(ax, x, colors[labels], [(labels == i, color) for i, color in enumerate(colors)], view)

    def explain(self, figure: Figure) -> None:
        """Name the colours, as many as find room."""
        shown = list(self.names[:_NAMED])
        colors = [CLASSES[i % len(CLASSES)] for i in range(len(shown))]
        handles = [Line2D([], [], marker="o", linestyle="", color=color) for color in colors]
        if len(self.names) > len(shown):
            handles.append(Line2D([], [], linestyle=""))
            shown.append(f"and {len(self.names) - len(shown):,} more")
        place: Any = "outside upper center"
        figure.legend(handles, shown, loc=place, ncols=min(5, len(shown)), frameon=False, fontsize=8)


@dataclass(frozen=True)
class ByNumber:
    """A number (n,) of each point, what it is called, and the ends of its scale."""

    values: NDArray[np.float64]
    name: str
    low: float
    high: float

    def draw(self, ax: Axes, x: ArrayLike, view: View) -> None:
        """Draw points in the colours of their numbers; on one axis those of each fifth of the range."""
        scale = self._scale
        share = np.clip((np.asarray(self.values) - self.low) / (self.high - self.low), 0, 1)
        part = np.minimum((share * _PARTS).astype(np.intp), _PARTS - 1)
        middles = self.low + (np.arange(_PARTS) + 0.5) / _PARTS * (self.high - self.low)
        lines = [(part == i, scale.to_rgba(middle)) for i, middle in enumerate(middles)]
        _draw(ax, x, scale.to_rgba(self.values), lines, view)

    def explain(self, figure: Figure) -> None:
        """Draw the scale."""
        panels: Any = figure.axes
        bar = figure.colorbar(self._scale, ax=panels, location="top", shrink=0.6, aspect=40)
        bar.set_label(self.name, color=INK, fontsize=9)
        bar.ax.tick_params(colors=MUTED, labelsize=8, length=3)

    @property
    def _scale(self) -> ScalarMappable:
        return ScalarMappable(Normalize(self.low, self.high), colormaps[_SCALE])


def _draw(
    ax: Axes, x: ArrayLike, colors: NDArray[Any], lines: Sequence[tuple[NDArray[np.bool_], Any]], view: View
) -> None:
    """Draw points in colours (n, ...), on one axis a line for each part (n,) of them in its colour."""
    points = view.projection.transform(x)
    finite = np.isfinite(points).all(axis=1)
    ax.set_xlim(*view.limits[0])
    if points.shape[1] == 1:
        edges = np.linspace(*view.limits[0], BINS + 1)
        top = view.top
        for part, color in lines:
            own = points[part & finite]
            density = histogram(own, view.limits, BINS) if len(own) else np.zeros(BINS)
            top = max(top, 1.05 * float(density.max()))
            ax.stairs(density, edges, color=color, linewidth=1.2)
        ax.set_ylim(0, top)
    else:
        points, colors = points[finite], colors[finite]
        side = float(min(ax.get_window_extent().width, ax.get_window_extent().height))
        diameter = 2 * dot_radius(len(points), side) * 72 / ax.figure.dpi
        order = np.random.default_rng(0).permutation(len(points))  # no colour lies on top of the others
        ax.scatter(
            points[order, 0],
            points[order, 1],
            s=diameter**2,
            c=colors[order],
            linewidths=0,
            alpha=0.8,
            rasterized=True,
        )
        ax.set_ylim(*view.limits[1])
    ax.set_box_aspect(1)
