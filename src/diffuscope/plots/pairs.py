r"""Do synthetic rows look like real ones, two columns at a time?

A grid of all pairs of some columns. On the diagonal each column alone: real rows as a filled area, synthetic
rows as a line. Below it real rows, above it synthetic ones, with the other ones' outlines over them:

* two numbers (or times): the rows as ink; lines hold half and nine tenths of the other rows;
* a number and a category: a violin a category, half as wide where a category has a quarter of the rows;
* two categories: a square a pair, whose area is the share of rows.

Axes are those of the real rows. Numbers that are positive and span decades are shown by their logarithm.
Integers of few values are spread a little, so that rows do not hide each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.plots.facets import Facet, facets_of, telling_columns
from diffuscope.plots.fonts import families, plain
from diffuscope.plots.ink import ink_level, ramp
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, square_panels

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

_GRID = 60
_MASSES = (0.5, 0.9)


def plot_pairs(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    columns: Sequence[str | int] | None = None,
    most: int = 6,
    seed: int = 0,
) -> Figure:
    """Draw pairs of columns of real rows beside those of synthetic rows.

    Parameters
    ----------
    real, synthetic : DataFrame of shape (n, d) and (m, d)
        With columns of numbers, integers, truth values, categories or times; values may be missing. Of more
        than 20,000 rows as many are drawn.
    columns : sequence of str or int, optional
        Which to show. By default, of a table with more than ``most``, those that say most about the others
        in either table (by mutual information), in the order of the table.
    most : int
    seed : int
        Of the rows that are drawn, and how integers are spread.

    Raises
    ------
    InputError
        When there is no such column, or the tables do not have the same ones.
    """
    chosen = telling_columns(real, synthetic, most, seed) if columns is None else list(columns)
    if not chosen:
        raise InputError("Nothing to plot: no columns were given.", "Give at least one.")
    facets = facets_of(real, synthetic, chosen, seed)
    k = len(facets)
    inches = 4.2 if k == 1 else float(np.clip(9 / k, 1.4, 2.6))
    from matplotlib import rc_context

    with rc_context({"font.family": list(families())}):
        figure, panels = square_panels(k, k, inches, around=0.75)
        for i in range(k):
            for j in range(k):
                _panel(panels[i, j], facets, i, j)
        rooms = [_label(panels, i, facet, inches) for i, facet in enumerate(facets)]
        figure.align_labels()
        _legend(figure)
        beside, below = (max(room) for room in zip(*rooms, strict=True))
        figure.set_size_inches(k * (inches + 0.04) + beside, k * (inches + 0.04) + below + 0.4)
    return figure


def _panel(ax: Axes, facets: Sequence[Facet], i: int, j: int) -> None:
    """Draw column j to the right and column i upwards."""
    x, y = facets[j], facets[i]
    ax.set_box_aspect(1)
    ax.set_xlim(*x.limits)
    if i == j:
        draw_column(ax, x)
        return
    ax.set_ylim(*y.limits)
    own, other = (0, 1) if i > j else (1, 0)
    colors = (DATA, GENERATED)
    draw = {
        (False, False): _clouds,
        (True, True): _squares,
        (True, False): _violins,
        (False, True): _violins,
    }[x.named, y.named]
    draw(ax, x, y, own, other, (colors[own], colors[other]))


# --- one column --------------------------------------------------------------------------------------------


def draw_column(ax: Axes, facet: Facet) -> None:
    """Draw how often each value is there: real rows filled, synthetic ones as a line."""
    ax.spines[["top", "right", "left"]].set_visible(False)
    shares = []
    if facet.named:
        at = np.arange(len(facet.labels))
        shares = [facet.shares(which) for which in (0, 1)]
        ax.bar(at, shares[0], 0.8, color=DATA, alpha=0.45, linewidth=0)
        for k, share in enumerate(shares[1]):
            ax.plot([k - 0.4, k + 0.4], [share, share], color=GENERATED, linewidth=1.8, solid_capstyle="butt")
    else:
        edges = facet.edges()
        shares = [np.histogram(facet.present(which), edges)[0] / max(facet.n(which), 1) for which in (0, 1)]
        ax.stairs(shares[0], edges, fill=True, color=DATA, alpha=0.45, linewidth=0)
        ax.stairs(shares[1], edges, color=GENERATED, linewidth=1.3)
    ax.set_ylim(0, 1.18 * max(1e-9, *(float(s.max()) for s in shares)))
    missing = [facet.missing(which) for which in (0, 1)]
    if max(missing) > 0:
        corners = ((0.02, "left", DATA), (0.98, "right", GENERATED))
        for lacking, (across, side, color) in zip(missing, corners, strict=True):
            ax.text(
                across,
                0.98,
                f"{lacking:.0%} missing",
                transform=ax.transAxes,
                ha=side,
                va="top",
                color=color,
                size=6,
            )


# --- two columns -------------------------------------------------------------------------------------------


def _clouds(ax: Axes, x: Facet, y: Facet, own: int, other: int, colors: tuple[str, str]) -> None:
    points = x.both(y, own, spread=0.36)
    side = max(48, round(ax.get_window_extent().width * 2))
    if len(points):
        level = ink_level(points, (x.limits, y.limits), (side, side))
        ax.imshow(
            level,
            cmap=ListedColormap(ramp(colors[0], 256)),
            vmin=0,
            vmax=1,
            extent=(*x.limits, *y.limits),
            aspect="auto",
            interpolation="antialiased",
        )
    outline = _outline(x.both(y, other, spread=0.5), x, y)
    if outline is not None:
        centres_x, centres_y, density, levels = outline
        ax.contour(centres_x, centres_y, density, levels, colors=[colors[1]], linewidths=(0.8, 1.3))


def _outline(points: Floats, x: Facet, y: Facet) -> tuple[Floats, Floats, Floats, list[float]] | None:
    """Return a smooth density on a grid, and the levels that hold nine tenths and half of it."""
    from scipy.ndimage import gaussian_filter

    if len(points) < 10:
        return None
    edges = [np.linspace(*facet.limits, _GRID + 1) for facet in (x, y)]
    counts = np.histogram2d(points[:, 0], points[:, 1], bins=edges)[0].T
    spread = np.clip([0.7 * facet.bandwidth(len(points)) * _GRID for facet in (y, x)], 0.8, 6)
    density = gaussian_filter(counts, spread, mode="constant")
    ordered = np.sort(density, axis=None)[::-1]
    mass = np.cumsum(ordered)
    if mass[-1] <= 0:
        return None
    levels = sorted({float(ordered[np.searchsorted(mass, share * mass[-1])]) for share in _MASSES})
    centres = [(e[:-1] + e[1:]) / 2 for e in edges]
    return (centres[0], centres[1], density, levels) if levels[0] > 0 else None


def _style(color: str, filled: bool) -> dict[str, Any]:
    if filled:
        return {"facecolor": color, "alpha": 0.5, "linewidth": 0}
    return {"facecolor": "none", "edgecolor": color, "linewidth": 0.9}


def _violins(ax: Axes, x: Facet, y: Facet, own: int, other: int, colors: tuple[str, str]) -> None:
    upright = x.named
    group, number = (x, y) if upright else (y, x)
    grid = np.linspace(*number.limits, 121)
    for k in range(len(group.labels)):
        for which, color, filled in ((own, colors[0], True), (other, colors[1], False)):
            width = _width(group, number, which, k, grid)
            if width is None:
                continue
            fill = ax.fill_betweenx if upright else ax.fill_between
            fill(grid, k - width, k + width, **_style(color, filled))


def _width(group: Facet, number: Facet, which: int, k: int, grid: Floats) -> Floats | None:
    """Return half the width of a violin on a grid; its area goes by the share of rows, up to a power."""
    values, named = number.values[which] + 0.5 * number.spread[which], group.values[which]
    here = values[(named == k) & np.isfinite(values)]
    if len(here) < 3:
        return None
    step = grid[1] - grid[0]
    edges = np.append(grid - step / 2, grid[-1] + step / 2)
    from scipy.ndimage import gaussian_filter1d

    spread = float(np.clip(number.bandwidth(len(here), here) * len(grid), 1.0, 12))
    density = gaussian_filter1d(np.histogram(here, edges)[0].astype(float), spread)
    share = len(here) / max(group.n(which), 1)
    top = 0.44 * min(1.0, share**0.5 * len(group.labels) ** 0.25)
    width = np.asarray(density * (top / density.max()), dtype=np.float64) if density.max() > 0 else None
    if width is not None:
        width[width < 0.008] = np.nan
    return width


def _squares(ax: Axes, x: Facet, y: Facet, own: int, other: int, colors: tuple[str, str]) -> None:
    from matplotlib.patches import Rectangle

    tables = [x.table(y, which) for which in (own, other)]
    top = max(1e-12, *(float(table.max()) for table in tables))
    for table, color, filled in ((tables[0], colors[0], True), (tables[1], colors[1], False)):
        for a, b in zip(*np.nonzero(table), strict=True):
            side = 0.86 * float(np.sqrt(table[a, b] / top))
            ax.add_patch(Rectangle((a - side / 2, b - side / 2), side, side, **_style(color, filled)))


# --- around the panels -------------------------------------------------------------------------------------


def _label(panels: NDArray[Any], i: int, facet: Facet, inches: float) -> tuple[float, float]:
    """Name column i below its column of panels and beside its row; return the inches that this takes."""
    room = max(10, round(inches * 11))
    below, beside = panels[-1, i], panels[i, 0]
    few = max(3, round(1.7 * inches))
    facet.tick(below.xaxis, few)
    below.tick_params(axis="x", colors=MUTED, color=FAINT, labelsize=7, length=2)
    longest = max(map(len, facet.drawn_labels)) if facet.named else 5
    upright = facet.named and longest * len(facet.labels) > 12 * inches
    if upright:
        below.tick_params(axis="x", rotation=90)
    below.set_xlabel(plain(facet.name, room), color=INK, fontsize=9)
    beside.set_ylabel(plain(facet.name, room), color=INK, fontsize=9)
    if i > 0:
        facet.tick(beside.yaxis, few)
        beside.tick_params(axis="y", colors=MUTED, color=FAINT, labelsize=7, length=2)
    wide = 0.06 * longest
    return 0.35 + (wide if i > 0 else 0.0), 0.35 + (wide if upright else 0.12)


def _legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    where = (" (below)", " (above)") if len(figure.axes) > 1 else ("", "")
    handles: list[Any] = [
        Patch(color=color, alpha=0.6, label=f"{rows}{place}")
        for color, rows, place in zip((DATA, GENERATED), ("real rows", "synthetic rows"), where, strict=True)
    ]
    if len(figure.axes) > 1:
        handles.append(Line2D([], [], color=MUTED, linewidth=1, label="lines: the other ones"))
    figure.legend(
        handles=handles, loc="outside upper center", ncols=3, frameon=False, labelcolor=INK, fontsize=9
    )
