r"""How do data, trajectories and samples look?

Pictures that one would put in a talk, from plain arrays of points (n, d), for any d:

    d = 1  a histogram;     d = 2  the points;     d > 2  the points on the first two principal axes.

Panels that belong together share fixed axes. They follow one rule (:func:`axis_limits`): everything is
in view, unless that would make the data itself tiny, as noise of unit variance does to small data. Then
the noise runs off the panel and the data keep more than half of its width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.plots.ink import Limits, dot_radius, histogram, ink_level, ramp
from diffuscope.plots.speech import word
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, NOISE, square_panels
from diffuscope.plots.view import BINS, State, View, as_points, view_of

Points = NDArray[np.floating[Any]]
CLASSES = (
    *("#2b6cb8", "#e08214", "#1b9e77", "#8b3fa8", "#d8442f"),
    *("#8c6d31", "#4bb3d3", "#c44e93", "#6b6b6b", "#a6a61e"),
)
_NAMED = 14  # classes in a legend

_ENOUGH = 0.9  # share of the samples that axes must show


def draw_points(ax: Axes, x: ArrayLike, *, color: str = DATA, view: View | None = None) -> Artist:
    """Draw points (n, d) into ``ax``: a histogram, a scatter or a projected scatter.

    Points that are not finite are counted in a corner. By default the view is that of the points themselves.
    """
    view = view or view_of([State(as_points(x), "", 0.0)])
    points = view.projection.transform(x)
    finite = np.isfinite(points).all(axis=1)
    lost = len(points) - int(finite.sum())
    points = points[finite]
    ax.set_xlim(*view.limits[0])
    artist: Artist
    if points.shape[1] == 1:
        density = histogram(points, view.limits, BINS)
        edges = np.linspace(*view.limits[0], BINS + 1)
        artist = ax.stairs(density, edges, fill=True, color=color, alpha=0.85, linewidth=0)
        ax.set_ylim(0, view.top)
    else:
        artist = _scatter(ax, points, view.limits, color)
        ax.set_ylim(*view.limits[1])
    ax.set_box_aspect(1)  # limits are square wherever the scales allow it, so this is the equal aspect
    if lost:
        ax.text(0.03, 0.03, f"{lost:,} not finite", transform=ax.transAxes, color=NOISE, fontsize=7)
    return artist


Classes = tuple[NDArray[np.int64], Sequence[str]]
"""Classes (n,) of points, numbered from 0, and their names."""


def draw_classes(ax: Axes, x: ArrayLike, classes: Classes, *, view: View) -> None:
    """Draw points (n, d) into ``ax`` in the colours of their classes; on one axis, a line each."""
    labels, names = classes
    points = view.projection.transform(x)
    finite = np.isfinite(points).all(axis=1)
    points, own = points[finite], np.asarray(labels)[finite]
    colors = np.array([CLASSES[i % len(CLASSES)] for i in range(len(names))])
    ax.set_xlim(*view.limits[0])
    if points.shape[1] == 1:
        edges = np.linspace(*view.limits[0], BINS + 1)
        top = view.top
        for i, color in enumerate(colors):
            density = histogram(points[own == i], view.limits, BINS) if (own == i).any() else np.zeros(BINS)
            top = max(top, 1.05 * float(density.max()))
            ax.stairs(density, edges, color=color, linewidth=1.2)
        ax.set_ylim(0, top)
    else:
        side = float(min(ax.get_window_extent().width, ax.get_window_extent().height))
        diameter = 2 * dot_radius(len(points), side) * 72 / ax.figure.dpi
        order = np.random.default_rng(0).permutation(len(points))  # no class lies on top of the others
        ax.scatter(
            points[order, 0],
            points[order, 1],
            s=diameter**2,
            c=colors[own[order]],
            linewidths=0,
            alpha=0.8,
            rasterized=True,
        )
        ax.set_ylim(*view.limits[1])
    ax.set_box_aspect(1)


def _class_legend(figure: Figure, names: Sequence[str]) -> None:
    """Name the colours below the panels, as many as find room."""
    shown = list(names[:_NAMED])
    colors = [CLASSES[i % len(CLASSES)] for i in range(len(shown))]
    handles = [Line2D([], [], marker="o", linestyle="", color=color) for color in colors]
    if len(names) > len(shown):
        handles.append(Line2D([], [], linestyle=""))
        shown.append(f"and {len(names) - len(shown):,} more")
    place: Any = "outside upper center"
    figure.legend(handles, shown, loc=place, ncols=min(5, len(shown)), frameon=False, fontsize=8)


def plot_dataset(
    x: ArrayLike, columns: Sequence[str] | None = None, classes: Classes | None = None
) -> Figure:
    """Show a data set (n, d), with the names of its columns where there are some, coloured by class."""
    view = view_of([State(as_points(x), "", 0.0)])
    figure, panels = square_panels(1, 1, 4.6, around=0.45 if classes is None else 0.75)
    if classes is None:
        draw_points(panels[0, 0], x, view=view)
    else:
        draw_classes(panels[0, 0], x, classes, view=view)
        _class_legend(figure, classes[1])
    _ticks(panels[0, 0], view.projection.names(columns))
    return figure


def plot_forward_grid(
    states: Sequence[State], reference: ArrayLike | None = None, caption: str | None = None
) -> Figure:
    """Show the forward process, a panel a state, five to a row, all on the same axes.

    The ``reference`` (n, d), sets the view and has to be recognisable: by default the sharpest state. The
    caption stands below the panels.
    """
    view = view_of(states, reference)
    columns = min(5, len(states))
    figure, panels = square_panels(-(-len(states) // columns), columns, 2.0, around=0.2 + 0.2 * bool(caption))
    _draw_states(panels.ravel(), states, NOISE, view)
    _caption(figure, caption)
    return figure


def plot_walk_rows(
    rows: Sequence[tuple[str, Sequence[State]]],
    reference: ArrayLike | None = None,
    caption: str | None = None,
) -> Figure:
    """Show one sampling trajectory a row, from noise to data, each with a label such as ``"epoch 1000"``.

    The axes are fixed along a row. With a ``reference`` (n, d), the data, they are those of all rows, but for
    rows that would end outside of them: those fit what is shown, and a frame shows where the data is.
    The caption stands below the rows.
    """
    if not rows:
        raise InputError("Nothing to plot: no rows were given.", "Give at least one row of states.")
    shared = None
    if reference is not None:
        shared = view_of([state for _, states in rows for state in states], reference)
    across = max(len(states) for _, states in rows)
    figure, panels = square_panels(len(rows), across, 1.45, around=0.2 + 0.2 * bool(caption))
    for (name, states), line in zip(rows, panels, strict=True):
        view = shared or view_of(states)
        if reference is not None and view.shows(states[-1].x) < _ENOUGH:
            view = view_of(states, reference, states[-1].x)
            _frame_data(line, reference, view)
        _draw_states(line, states, GENERATED, view)
        line[0].set_ylabel(name, color=INK, fontsize=10)
    _caption(figure, caption)
    return figure


def plot_samples(
    real: ArrayLike,
    generated: ArrayLike,
    columns: Sequence[str] | None = None,
    caption: str | None = None,
    classes: tuple[Classes, Classes] | None = None,
) -> Figure:
    """Show data (n, d) beside generated samples (m, d) on the same axes, which the data set.

    Both are coloured by their classes where these are given.
    The caption is what a metric says, for example ``"sliced Wasserstein 1.14 × floor"``.
    """
    view = view_of([State(as_points(real), "", 0.0), State(as_points(generated), "", 1.0)], real)
    around = 0.45 + 0.2 * bool(caption) + 0.3 * (classes is not None)
    figure, panels = square_panels(1, 2, 3.9, around=around)
    sides = (real, DATA, "data"), (generated, GENERATED, "generated")
    for i, (ax, (x, color, name)) in enumerate(zip(panels[0], sides, strict=True)):
        if classes is None:
            draw_points(ax, x, color=color, view=view)
        else:
            draw_classes(ax, x, classes[i], view=view)
        ax.set_title(word(name), color=color, fontsize=12)
        _ticks(ax, view.projection.names(columns))
    panels[0, 1].set_ylabel("")
    if classes is not None:
        _class_legend(figure, classes[0][1])
    _caption(figure, caption)
    return figure


def _caption(figure: Figure, caption: str | None) -> None:
    if caption:
        figure.supxlabel(caption, color=INK, fontsize=10)


def _frame_data(panels: NDArray[Any], reference: ArrayLike, view: View) -> None:
    """Draw a frame around where the data is, on axes that are wider than it."""
    points = view.projection.transform(reference)
    low, high = np.quantile(points, [0.001, 0.999], axis=0)
    for ax in panels:
        if points.shape[1] == 1:
            ax.axvspan(low[0], high[0], color=DATA, alpha=0.3, linewidth=0, zorder=3)
        else:
            sides = high - low
            frame = Rectangle((low[0], low[1]), sides[0], sides[1], fill=False, edgecolor=DATA, linewidth=1.2)
            ax.add_patch(frame).set_zorder(3)


def _scatter(ax: Axes, points: Points, limits: Limits, color: str) -> Artist:
    """Opaque discs, dark where they crowd, the crowded ones on top."""
    box = ax.get_window_extent()
    side = float(min(box.width, box.height))
    grid = max(32, round(side))
    level = ink_level(points, limits, (grid, grid))
    (left, right), (low, high) = limits
    across = (points[:, 0] - left) * (grid / (right - left))
    down = (high - points[:, 1]) * (grid / (high - low))
    row, column = np.clip([down, across], 0, grid - 1).astype(np.intp)
    at = level[row, column]
    order = np.argsort(at, kind="stable")
    diameter = 2 * dot_radius(len(points), side) * 72 / ax.figure.dpi
    return ax.scatter(
        points[order, 0],
        points[order, 1],
        s=diameter**2,
        c=at[order],
        cmap=ListedColormap(ramp(color, 256)),
        vmin=0,
        vmax=1,
        linewidths=0,
        rasterized=True,  # an SVG with 10,000 circles is slow to open
    )


def _draw_states(panels: NDArray[Any], states: Sequence[State], color: str, view: View) -> None:
    for ax, state in zip(panels, states, strict=False):
        draw_points(ax, state.x, color=color, view=view)
        ax.set_title(state.label, color=INK, fontsize=11, pad=4)
    for ax in panels[len(states) :]:
        ax.set_visible(False)


def _ticks(ax: Axes, names: Sequence[str]) -> None:
    """A few quiet ticks and the names of the axes."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    ax.tick_params(colors=MUTED, labelsize=8, length=3, color=FAINT)
    ax.set_xlabel(names[0], color=INK, fontsize=9)
    ax.set_ylabel(names[1] if len(names) > 1 else "density", color=INK, fontsize=9)
