r"""How do the data, the walk and the samples look?

Pictures that one would put in a talk, from plain arrays of points (n, d), for any d:

    d = 1  a histogram;     d = 2  the points;     d > 2  the points on the first two principal axes.

Panels that belong together share fixed axes. They follow one rule (:func:`axis_limits`): everything is
in view, unless that would make the data itself tiny, as noise of unit variance does to small data. Then
the noise runs off the panel and the data keep more than half of its width.

Every function returns a :class:`matplotlib.figure.Figure` and leaves pyplot alone.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from diffuscope._ink import Limits, dot_radius, histogram, ink_level, ramp
from diffuscope._view import BINS, Projection, State, View, as_points, axis_limits, view_of
from diffuscope.errors import InputError
from diffuscope.files import atomic_write

__all__ = [
    "DATA",
    "GENERATED",
    "NOISE",
    "Limits",
    "Projection",
    "State",
    "View",
    "axis_limits",
    "draw_points",
    "plot_dataset",
    "plot_forward_grid",
    "plot_loss",
    "plot_samples",
    "plot_schedule",
    "plot_walk_rows",
    "save_figure",
    "view_of",
]

DATA = "#2b6cb8"  # the three hues keep their meaning in every picture and animation
NOISE = "#d8442f"
GENERATED = "#8b3fa8"
INK = "#262626"
MUTED = "#8a8a8a"
FAINT = "#dcdcdc"

DPI = 110
SUFFIXES = (".png", ".svg", ".pdf")

Points = NDArray[np.floating[Any]]


def draw_points(
    ax: Axes,
    x: ArrayLike,
    *,
    color: str = DATA,
    view: View | None = None,
) -> Artist:
    """Draw points (n, d) into ``ax``: a histogram, a scatter or a projected scatter.

    Parameters
    ----------
    ax : matplotlib Axes
    x : array_like of shape (n, d)
        Points that are not finite are left out, and counted in a corner of the panel.
    color : str, default DATA
        The hue; where points crowd they get darker.
    view : View, optional
        The axes, as :func:`view_of` finds them. By default those of the points themselves.

    Returns
    -------
    matplotlib Artist
        The points or the histogram.
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


def plot_dataset(x: ArrayLike, columns: Sequence[str] | None = None, title: str | None = None) -> Figure:
    """Show a data set (n, d), with the names of its columns where there are some."""
    view = view_of([State(as_points(x), "", 0.0)])
    figure, panels = _panels(1, 1, 4.6, around=0.5 if title else 0.2)
    draw_points(panels[0, 0], x, view=view)
    _ticks(panels[0, 0], view.projection.names(columns))
    _heading(figure, title)
    return figure


def plot_forward_grid(
    states: Sequence[State],
    title: str | None = None,
    *,
    color: str = NOISE,
    reference: ArrayLike | None = None,
) -> Figure:
    """Show the first steps of the noising, five to a row, all on the same axes.

    Parameters
    ----------
    states : sequence of State
        As many panels.
    title : str, optional
    color : str, default NOISE
    reference : array_like of shape (n, d), optional
        The data: they set the view and have to be recognisable. By default the sharpest state.
    """
    view = view_of(states, reference)
    columns = min(5, len(states))
    figure, panels = _panels(-(-len(states) // columns), columns, 2.0, around=0.5 if title else 0.2)
    _draw_states(panels.ravel(), states, color, view)
    _heading(figure, title)
    return figure


def plot_walk_rows(
    rows: Sequence[tuple[str, Sequence[State]]],
    title: str | None = None,
    *,
    color: str = GENERATED,
    reference: ArrayLike | None = None,
) -> Figure:
    """Show one reverse walk a row, for example after 1000, 2000, ... epochs.

    The axes are fixed along a row. With a ``reference``, every row has the same ones.

    Parameters
    ----------
    rows : sequence of (str, sequence of State)
        Row label, such as ``"epoch 1000"``, and its states from noise to data.
    title : str, optional
    color : str, default GENERATED
    reference : array_like of shape (n, d), optional
        The data, which then set the axes for all rows.
    """
    if not rows:
        raise InputError("There is nothing to draw: no rows were given.", "Give at least one row of states.")
    shared = None
    if reference is not None:
        shared = view_of([state for _, states in rows for state in states], reference)
    figure, panels = _panels(
        len(rows), max(len(states) for _, states in rows), 1.45, around=0.5 if title else 0.2
    )
    for (name, states), line in zip(rows, panels, strict=True):
        _draw_states(line, states, color, shared or view_of(states))
        line[0].set_ylabel(name, color=INK, fontsize=10)
    _heading(figure, title)
    return figure


def plot_samples(
    real: ArrayLike,
    generated: ArrayLike,
    columns: Sequence[str] | None = None,
    caption: str | None = None,
    title: str | None = None,
) -> Figure:
    """Show data (n, d) beside generated samples (m, d) on the same axes, which the data set.

    Parameters
    ----------
    real, generated : array_like of shape (n, d) and (m, d)
    columns : sequence of str, optional
        The names of the columns.
    caption : str, optional
        What a metric says, for example ``"sliced Wasserstein 1.14 × floor"``.
    title : str, optional
    """
    view = view_of([State(as_points(real), "", 0.0), State(as_points(generated), "", 1.0)], real)
    figure, panels = _panels(1, 2, 3.9, around=0.45 + 0.3 * bool(title) + 0.2 * bool(caption))
    for ax, x, color, name in zip(
        panels[0], (real, generated), (DATA, GENERATED), ("data", "generated"), strict=True
    ):
        draw_points(ax, x, color=color, view=view)
        ax.set_title(name, color=color, fontsize=12)
        _ticks(ax, view.projection.names(columns))
    panels[0, 1].set_ylabel("")
    if caption:
        figure.supxlabel(caption, color=INK, fontsize=10)
    _heading(figure, title)
    return figure


def plot_loss(
    steps: ArrayLike, losses: ArrayLike, title: str | None = None, *, perfect: float | None = None
) -> Figure:
    """Show the loss of each step, thin, and its running mean.

    Parameters
    ----------
    steps, losses : array_like of shape (n,)
        Losses that are not finite are left out.
    title : str, optional
    perfect : float, optional
        The loss of a perfect denoiser, which is not zero: drawn as the floor that it is.
    """
    at, loss = np.asarray(steps, dtype=np.float64).ravel(), np.asarray(losses, dtype=np.float64).ravel()
    if len(at) != len(loss):
        raise InputError(f"There are {len(at)} steps and {len(loss)} losses.", "Give one loss for each step.")
    keep = np.isfinite(at) & np.isfinite(loss)
    at, loss = at[keep], loss[keep]
    if not len(at):
        raise InputError("There is nothing to draw: no loss is finite.", "Look for the step that diverged.")
    figure, ax = _chart(6.4, 3.6)
    smooth = _running_mean(loss, max(1, len(loss) // 50))
    thin = max(1, len(loss) // 5_000)  # more than a few points a pixel only cost time
    ax.plot(at[::thin], loss[::thin], color=DATA, alpha=0.3, linewidth=0.6)
    ax.plot(at, smooth, color=DATA, linewidth=1.8, label="running mean")
    if perfect is not None:
        ax.axhline(perfect, color=INK, linewidth=1.2, linestyle=(0, (5, 3)), label="perfect denoiser")
        ax.legend(frameon=False, labelcolor=INK, fontsize=9)
    if loss.min() > 0 and smooth.max() > 5 * smooth.min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("step", color=INK)
    ax.set_ylabel("loss", color=INK)
    ax.margins(x=0.01)
    _heading(figure, title)
    return figure


def plot_schedule(alpha_bar: ArrayLike, title: str | None = None) -> Figure:
    r"""Show how much signal is left at each step, and what sampling should start from.

    Parameters
    ----------
    alpha_bar : array_like of shape (T,)
        :math:`\bar\alpha_t` for t = 1 ... T, in [0, 1]. The signal-to-noise ratio is
        :math:`\bar\alpha_t / (1 - \bar\alpha_t)`.
    title : str, optional
    """
    kept = np.asarray(alpha_bar, dtype=np.float64).ravel()
    if not len(kept) or not ((kept >= 0) & (kept <= 1)).all():
        raise InputError("A schedule's alpha_bar lies in [0, 1] and has at least one step.")
    t = np.arange(1, len(kept) + 1)
    figure, (left, right) = _chart(8.4, 3.4, panels=2)
    left.plot(t, kept, color=DATA, linewidth=2, label=r"$\bar{\alpha}_{t}$  (signal)")
    left.plot(t, 1 - kept, color=NOISE, linewidth=2, label=r"$1-\bar{\alpha}_{t}$  (noise)")
    left.set_ylim(-0.03, 1.03)
    left.legend(frameon=False, labelcolor=INK, fontsize=9)
    with np.errstate(divide="ignore"):
        snr = kept / (1 - kept)
    drawn = (snr > 0) & np.isfinite(snr)  # a logarithmic axis has no place for the others
    right.plot(t[drawn], snr[drawn], color=INK, linewidth=2)
    right.axhline(1, color=MUTED, linewidth=0.8, linestyle=(0, (5, 3)))
    right.set_yscale("log")
    right.plot(t[-1:], snr[-1:], "o", color=NOISE, markersize=6)
    right.set_title(rf"SNR$(t)$;  at the end {snr[-1]:.3g}", color=INK, fontsize=11)
    left.set_title(r"$q(\mathbf{x}_{t}\mid\mathbf{x}_{0})$", color=INK, fontsize=11)
    for ax in (left, right):
        ax.set_xlabel("$t$", color=INK)
        ax.margins(x=0.02)
    _heading(figure, title)
    return figure


def save_figure(fig: Figure, path: str | os.PathLike[str], *, dpi: float = 160) -> None:
    """Write a figure as .png, .svg or .pdf, whole or not at all.

    Raises
    ------
    InputError
        Where the suffix is another one.
    RunError
        Where the file cannot be written.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"Cannot write a picture as {Path(path).name!r}.", f"Known: {', '.join(SUFFIXES)}.")
    with atomic_write(path) as temporary:
        # Without a date the same figure gives the same bytes.
        undated: dict[str, Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix, {})
        fig.savefig(temporary, format=suffix[1:], dpi=dpi, metadata=undated, bbox_inches="tight")


class _Picture(Figure):
    """A figure that a notebook shows even where pyplot was never imported."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png")
        return buffer.getvalue()


def _scatter(ax: Axes, points: Points, limits: Limits, color: str) -> Artist:
    """Opaque discs, dark where they crowd, the crowded ones on top."""
    box = ax.get_window_extent()
    side = float(min(box.width, box.height))
    grid = max(32, round(side))
    level = ink_level(points, limits, (grid, grid))
    (left, right), (low, high) = limits
    column = np.clip((points[:, 0] - left) * (grid / (right - left)), 0, grid - 1).astype(np.intp)
    row = np.clip((high - points[:, 1]) * (grid / (high - low)), 0, grid - 1).astype(np.intp)
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


def _panels(rows: int, columns: int, inches: float, around: float = 0.2) -> tuple[Figure, NDArray[Any]]:
    """Square empty panels of so many inches in a faint frame, with room above and below them all."""
    figure = _Picture(figsize=(columns * inches + 0.35, rows * (inches + 0.25) + around), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.03, h_pad=0.03, wspace=0.03, hspace=0.03)
    panels = figure.subplots(rows, columns, squeeze=False)
    for ax in panels.ravel():
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set(color=FAINT, linewidth=0.8)
    return figure, panels


def _chart(width: float, height: float, panels: int = 1) -> tuple[Figure, Any]:
    """Axes for curves, light enough to leave the stage to them."""
    figure = _Picture(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(MUTED)
        ax.tick_params(colors=MUTED, labelsize=9, which="both")
        ax.grid(color=FAINT, linewidth=0.6)
        ax.set_axisbelow(True)
    return figure, axes[0] if panels == 1 else axes


def _ticks(ax: Axes, names: Sequence[str]) -> None:
    """A few quiet ticks and the names of the axes."""
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(colors=MUTED, labelsize=8, length=3, color=FAINT)
    ax.set_xlabel(names[0], color=INK, fontsize=9)
    ax.set_ylabel(names[1] if len(names) > 1 else "density", color=INK, fontsize=9)


def _heading(figure: Figure, title: str | None) -> None:
    if title:
        figure.suptitle(title, color=INK, fontsize=13)


def _running_mean(values: Points, window: int) -> Points:
    """Mean over the last ``window`` values, over fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[start]) / (end - start))
