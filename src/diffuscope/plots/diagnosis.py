"""Where does the error come from? A waterfall from the floor to what one sees, and level by level."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, NOISE, chart, note

_NAMES = {
    "floor": "floor",
    "discretisation": "sampler\nsteps",
    "prior": "start",
    "finite_data": "training\nset",
    "network": "network",
    "rest": "your\nsampling code",
    "total": "total",
}


def plot_diagnosis(
    rows: Sequence[Any],
    *,
    levels: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
    bands: Sequence[Any] = (),
    finding: str | None = None,
) -> Figure:
    """Draw an error budget as a waterfall, and beside it the network's error by noise level.

    Parameters
    ----------
    rows : sequence of rows
        Each with a ``part`` and its ``share`` (``ratio``, ``low``, ``high``, in floors): the floor first, the
        total last where there is one. A pale part cannot be told from nothing.
    levels : (ratio, excess, irreducible), optional
        Arrays of shape (k,): σ/α, and the two errors of the network.
    bands : sequence of bands, optional
        Each with the σ/α of its ends, ``high`` and ``low``, and its ``share``.
    finding : str, optional
        What stands under it: the first finding's title.
    """
    if not rows:
        raise InputError(
            "Nothing to plot: no measurement was possible.", "Fix the first finding, and diagnose again."
        )
    if levels is None:
        figure, left = chart(6.0, 4.0)
    else:
        figure, (left, right) = chart(9.6, 4.0, panels=2)
        _by_level(right, *levels, bands)
    _waterfall(left, rows)
    if finding:
        figure.supxlabel(textwrap.fill(finding, 100), color=INK, fontsize=11)
    return figure


def _waterfall(ax: Axes, rows: Sequence[Any]) -> None:
    level = 0.0
    tops = []
    for i, row in enumerate(rows):
        share = row.share
        whole = row.part in ("floor", "total")
        bottom = 0.0 if whole else level
        end = share.ratio if whole else level + share.ratio
        certain = whole or share.low > 0 or share.high < 0
        color = {"floor": DATA, "total": GENERATED}.get(row.part, NOISE if share.ratio >= 0 else DATA)
        ax.bar(i, end - bottom, bottom=bottom, width=0.66, color=color, alpha=0.9 if certain else 0.35)
        spread = [[share.ratio - share.low], [share.high - share.ratio]]
        ax.errorbar(i, end, yerr=spread, color=INK, linewidth=0.9, capsize=3, capthick=0.9)
        text = f"{share.ratio:.2f}" if whole else f"{share.ratio:+.2f}".replace("-", "−")
        tops.append(max(bottom, end, end + spread[1][0]))
        note(ax, text, (i, tops[-1]), (0, 4), ha="center", color=INK, fontsize=10)
        if i + 1 < len(rows):
            ax.plot([i + 0.33, i + 0.67], [end, end], color=MUTED, linewidth=0.8)
        level = end
    ax.axhline(1, color=DATA, linewidth=0.9, linestyle=(0, (5, 3)), zorder=0)
    ax.set_xticks(range(len(rows)), [_NAMES.get(row.part, row.part) for row in rows])
    ax.tick_params(axis="x", colors=INK, length=0, labelsize=9)
    ax.grid(axis="x", visible=False)
    lows = [0.0, *(row.share.low for row in rows if row.part == "total")]
    ax.set_ylim(min(lows), max(tops) * 1.12)
    ax.set_ylabel("distance from real data, × floor", color=INK)
    ax.set_title("what each part adds  (1: as good as real data)", color=INK, fontsize=11)


def _by_level(
    ax: Axes, ratio: NDArray[Any], excess: NDArray[Any], irreducible: NDArray[Any], bands: Sequence[Any]
) -> None:
    most = max((band.share.ratio for band in bands), default=0.0)
    for band in bands:
        cost = max(band.share.ratio, 0.0) / most if most > 0 else 0.0
        ax.axvspan(band.low, band.high, color=NOISE, alpha=0.28 * cost, linewidth=0)
    ax.plot(ratio, irreducible, color=MUTED, linewidth=1.4, linestyle=(0, (5, 3)))
    ax.plot(ratio, excess, color=GENERATED, linewidth=2, marker="o", markersize=3.5)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.invert_xaxis()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set_xlabel("σ/α: from noise to data", color=INK)
    ax.set_title("the network's error by noise level", color=INK, fontsize=11)
    shown = excess[np.isfinite(excess) & (excess > 0)]
    low = float(min(shown.min(initial=1.0), irreducible.min()))
    high = float(max(shown.max(initial=0.0), irreducible.max()))
    ax.set_ylim(low / 3, high * 4)
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}  # readable on anything
    for text, line, color in (
        ("no denoiser can do better", irreducible, MUTED),
        ("this network, on top of that", excess, GENERATED),
    ):
        note(ax, text, (ratio[-1], line[-1]), (-2, 9), ha="right", color=color, fontsize=9, bbox=box)
    if most > 0:
        worst = max(bands, key=lambda band: band.share.ratio)
        at = float(np.sqrt(worst.low * worst.high)), low / 3
        note(ax, f"costs {most:.2f} × floor", at, (0, 6), color=NOISE, fontsize=9, ha="center")
    ax.grid(color=FAINT, linewidth=0.6)
