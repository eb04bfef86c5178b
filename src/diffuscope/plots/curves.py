"""How does the loss go over training?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, INK, chart, heading

__all__ = ["plot_loss"]

Values = NDArray[np.floating[Any]]


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
        raise InputError("Nothing to plot: no loss is finite.", "Find the step at which the loss diverged.")
    figure, ax = chart(6.4, 3.6)
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
    heading(figure, title)
    return figure


def _running_mean(values: Values, window: int) -> Values:
    """Mean over the last ``window`` values, over fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[start]) / (end - start))
