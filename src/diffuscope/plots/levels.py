"""How wrong is a network at each noise level, beside what is right there?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from diffuscope.errors import InputError
from diffuscope.plots.fonts import plain
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, NOISE, chart, note

Line = tuple[str, ArrayLike]  # what it is, and an error for each level
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": GENERATED, "linewidth": 2, "marker": "o", "markersize": 3.5},
    {"color": DATA, "linewidth": 2, "marker": "o", "markersize": 3.5},
)
_LIMIT: dict[str, Any] = {"color": MUTED, "linewidth": 1.4, "linestyle": (0, (5, 3))}


def plot_levels(
    ratio: ArrayLike, lines: Sequence[Line], limit: Line | None = None, bands: Sequence[Any] = ()
) -> Figure:
    """Draw errors by noise level.

    Parameters
    ----------
    ratio : array_like of shape (k,)
        σ/α of the levels; one without any signal is left out.
    lines : sequence of (str, array_like of shape (k,))
        The error of the network as it is, and of what would be right, if known; what is not finite is a gap.
    limit : (str, array_like of shape (k,)), optional
        What no or no simple denoiser can do better.
    bands : sequence of bands, optional
        Each with the σ/α of its ends, ``high`` and ``low``, and its ``share``: the darker the more it costs.
    """
    figure, ax = chart(5.6, 3.3)
    draw_levels(ax, ratio, lines, limit, bands)
    return figure


def draw_levels(
    ax: Axes, ratio: ArrayLike, lines: Sequence[Line], limit: Line | None = None, bands: Sequence[Any] = ()
) -> None:
    """Draw the same into axes."""
    at = np.asarray(ratio, dtype=np.float64)
    keep = np.isfinite(at)
    styled = [*zip(lines, _STYLES, strict=False)] + ([] if limit is None else [(limit, _LIMIT)])
    curves = [(words, np.asarray(error, dtype=np.float64)[keep], style) for (words, error), style in styled]
    every = np.concatenate([error for _, error, _ in curves])
    shown = every[np.isfinite(every) & (every > 0)]
    if not len(shown):
        raise InputError("Nothing to plot: no error is above 0.", "Diagnose again.")
    low, high = float(shown.min()) / 4, float(shown.max()) * 4
    most = max((band.share.ratio for band in bands), default=0.0)
    for band in bands:
        cost = max(band.share.ratio, 0.0) / most if most > 0 else 0.0
        ax.axvspan(band.low, band.high, color=NOISE, alpha=0.28 * cost, linewidth=0)
    for words, error, style in curves:
        positive = np.where(np.isfinite(error) & (error > 0), error, np.nan)
        ax.plot(at[keep], positive, label=plain(words, 60), **style)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.invert_xaxis()
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("σ/α: from noise to data", color=INK)
    ax.set_title("the network's error by noise level", color=INK, fontsize=11, pad=8 + 14 * len(curves))
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
        labelcolor=INK,
        fontsize=9,
        borderaxespad=0.2,
        labelspacing=0.2,
    )
    ax.set_ylim(low, high)
    if most > 0:
        worst = max(bands, key=lambda band: band.share.ratio)
        place = float(np.sqrt(worst.low * worst.high)), low
        note(ax, f"costs {most:.2f} × floor", place, (0, 6), color=NOISE, fontsize=9, ha="center")
    ax.grid(color=FAINT, linewidth=0.6)
