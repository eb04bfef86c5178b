r"""How does something go with time: the loss over training, signal and noise over a schedule?"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, INK, MUTED, NOISE, chart, heading

__all__ = ["plot_loss", "plot_schedule"]

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
        raise InputError("There is nothing to draw: no loss is finite.", "Look for the step that diverged.")
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
    figure, (left, right) = chart(8.4, 3.4, panels=2)
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
    heading(figure, title)
    return figure


def _running_mean(values: Values, window: int) -> Values:
    """Mean over the last ``window`` values, over fewer at the start."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    end = np.arange(1, len(values) + 1)
    start = np.maximum(end - window, 0)
    return np.asarray((total[end] - total[start]) / (end - start))
