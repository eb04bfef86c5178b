"""How does the least possible loss go over the noise levels?"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.plots.speech import word
from diffuscope.plots.style import DATA, GENERATED, INK, MUTED, chart, note


def plot_loss_floor(
    ratio: NDArray[np.float64],
    value: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    reported: tuple[float, float, float],
    method: str = "exact",
    losses: ArrayLike | None = None,
) -> Figure:
    """Draw the floor (k,) over σ/α (k,) with its interval, and the mean that a training reports.

    ``losses`` (k,) of a network are drawn above it. Levels without any signal are left out.
    """
    keep = np.isfinite(ratio)
    figure, ax = chart(6.4, 3.8)
    r = ratio[keep]
    ax.fill_between(r, low[keep], high[keep], color=DATA, alpha=0.2, linewidth=0)
    ax.plot(r, value[keep], color=DATA, linewidth=1.8)
    mean = reported[0]
    ax.axhline(mean, color=MUTED, linewidth=1.0, linestyle=(0, (5, 3)))
    if losses is not None:
        network = np.asarray(losses, dtype=np.float64).ravel()
        if network.shape != ratio.shape:
            raise InputError(
                f"There are {len(ratio)} levels and {len(network)} losses.", "Give one loss for each level."
            )
        ax.plot(r, network[keep], color=GENERATED, linewidth=1.8)
        note(ax, "this network", (r[0], network[keep][0]), (-4, 6), color=GENERATED, fontsize=9, ha="right")
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    what = "no network can do better" if method == "exact" else "between the bounds"
    note(ax, f"mean over all times: {mean:.4g}", (r[-1], mean), (0, 4), color=MUTED, fontsize=9, ha="left")
    ax.set_title(f"the floor of the loss: {what}", color=INK, fontsize=11)
    ax.set_xlabel("σ/α: from noise to data", color=INK)
    ax.set_ylabel(word("loss"), color=INK)
    ax.set_ylim(bottom=0)
    ax.margins(x=0.01)
    return figure
