"""How does the loss go over training?"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike

from diffuscope.errors import InputError
from diffuscope.plots.speech import word
from diffuscope.plots.style import DATA, INK, NOISE, chart


def plot_loss(steps: ArrayLike, losses: ArrayLike, floor: float | None = None) -> Figure:
    """Show the loss (n,) of each step (n,), thin, and its running mean. What is not finite is left out.

    ``floor`` is the irreducible loss, that of a perfect network: a dashed line.
    """
    at, loss = np.asarray(steps, dtype=np.float64).ravel(), np.asarray(losses, dtype=np.float64).ravel()
    if len(at) != len(loss):
        raise InputError(f"There are {len(at)} steps and {len(loss)} losses.", "Give one loss for each step.")
    keep = np.isfinite(at) & np.isfinite(loss)
    at, loss = at[keep], loss[keep]
    if not len(at):
        raise InputError("Nothing to plot: no loss is finite.", "Find the step at which the loss diverged.")
    figure, ax = chart(6.4, 3.6)
    total, end = np.cumsum(np.insert(loss, 0, 0.0)), np.arange(1, len(loss) + 1)
    start = np.maximum(end - max(1, len(loss) // 50), 0)
    smooth = (total[end] - total[start]) / (end - start)  # over fewer losses at the start
    thin = max(1, len(loss) // 5_000)  # more than a few points a pixel only cost time
    ax.plot(at[::thin], loss[::thin], color=DATA, alpha=0.3, linewidth=0.6)
    ax.plot(at, smooth, color=DATA, linewidth=1.8)
    if floor is not None:
        ax.axhline(floor, color=NOISE, linewidth=1.2, linestyle=(0, (4, 3)))
        text, place = f"irreducible loss {floor:.3g}", (0.99, floor)
        where = ax.get_yaxis_transform()  # x in widths of the axes, y in losses
        note = {"xytext": (0, -4), "textcoords": "offset points", "ha": "right", "va": "top"}
        ax.annotate(text, place, xycoords=where, color=NOISE, fontsize=9, annotation_clip=False, **note)
        ax.margins(y=0.14)  # room for it below the line
    lowest = smooth.min() if floor is None else min(smooth.min(), floor)
    if min(loss.min(), lowest) > 0 and smooth.max() > 5 * lowest:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(word("step"), color=INK)
    ax.set_ylabel(word("loss"), color=INK)
    ax.margins(x=0.01)
    return figure
