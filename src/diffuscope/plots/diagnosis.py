"""Where does the error come from? A waterfall from the floor to what one sees, and level by level."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, FAINT, GENERATED, INK, MUTED, NOISE, chart

__all__ = ["plot_diagnosis"]

_NAMES = {
    "floor": "floor",
    "discretisation": "sampler\nsteps",
    "prior": "start",
    "finite_data": "training\nset",
    "network": "network",
    "rest": "your\nsampling code",
    "total": "total",
}


class _Share(Protocol):
    @property
    def ratio(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def high(self) -> float: ...


class _Row(Protocol):
    @property
    def part(self) -> str: ...
    @property
    def share(self) -> _Share: ...


class _Band(Protocol):
    @property
    def high(self) -> float: ...
    @property
    def low(self) -> float: ...
    @property
    def share(self) -> _Share: ...


def plot_diagnosis(
    rows: Sequence[_Row],
    *,
    levels: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
    bands: Sequence[_Band] = (),
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

    Raises
    ------
    InputError
        When there are no rows.
    """
    if not rows:
        raise InputError(
            "Nothing to plot: no measurement was possible.", "Fix the first finding, and diagnose again."
        )
    figure, axes = chart(9.6 if levels is not None else 6.0, 4.0, panels=1 if levels is None else 2)
    left = axes if levels is None else axes[0]
    _waterfall(left, rows)
    if levels is not None:
        _by_level(axes[1], *levels, bands)
    if finding:
        figure.supxlabel(textwrap.fill(finding, 100), color=INK, fontsize=11)
    return figure


def _waterfall(ax: Axes, rows: Sequence[_Row]) -> None:
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
        spread = (share.ratio - share.low, share.high - share.ratio)
        ax.errorbar(
            i, end, yerr=[[spread[0]], [spread[1]]], color=INK, linewidth=0.9, capsize=3, capthick=0.9
        )
        text = f"{share.ratio:.2f}" if whole else f"{share.ratio:+.2f}".replace("-", "−")
        tops.append(max(bottom, end, end + spread[1]))
        ax.annotate(
            text,
            (i, tops[-1]),
            xytext=(0, 4),
            textcoords="offset points",
            ha="center",
            color=INK,
            fontsize=10,
        )
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
    ax: Axes, ratio: NDArray[Any], excess: NDArray[Any], irreducible: NDArray[Any], bands: Sequence[_Band]
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
    _label(ax, "no denoiser can do better", (ratio[-1], irreducible[-1]), MUTED)
    _label(ax, "this network, on top of that", (ratio[-1], excess[-1]), GENERATED)
    if most > 0:
        worst = max(bands, key=lambda band: band.share.ratio)
        center = float(np.sqrt(worst.low * worst.high))
        ax.annotate(
            f"costs {worst.share.ratio:.2f} × floor",
            (center, low / 3),
            xytext=(0, 6),
            textcoords="offset points",
            color=NOISE,
            fontsize=9,
            ha="center",
        )
    ax.grid(color=FAINT, linewidth=0.6)


def _label(ax: Axes, text: str, at: tuple[float, float], color: str) -> None:
    """Write beside the right end of a line, readable on whatever is behind it."""
    box = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1.5}
    place: dict[str, Any] = {"xytext": (-2, 9), "textcoords": "offset points", "ha": "right"}
    ax.annotate(text, at, color=color, fontsize=9, bbox=box, **place)
