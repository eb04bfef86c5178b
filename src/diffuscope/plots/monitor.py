"""How does a training go, beside the least loss that it could have?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.plots.speech import word
from diffuscope.plots.style import DATA, GENERATED, INK, MUTED, NOISE, chart


def plot_monitor(
    steps: NDArray[np.float64],
    losses: NDArray[np.float64],
    history: Sequence[dict[str, Any]],
    floor: tuple[float, float, float],
) -> Figure:
    """Draw reported losses (n,) over their steps (n,), looks and the floor; and the last look by level.

    ``history`` are the records of looks, ``floor`` is the least loss with its bounds.
    """
    if not len(losses) and not history:
        raise InputError(
            "Nothing to plot: no loss was reported yet.", "Call the monitor in the training loop."
        )
    if not history:
        figure, left = chart(6.4, 3.8)
    else:
        figure, (left, right) = chart(9.6, 3.8, panels=2)
        _by_level(right, history[-1])
    _over_steps(left, steps, losses, history, floor)
    return figure


def _over_steps(
    ax: Axes,
    steps: NDArray[np.float64],
    losses: NDArray[np.float64],
    history: Sequence[dict[str, Any]],
    floor: tuple[float, float, float],
) -> None:
    if len(losses):
        ax.plot(steps, losses, color=MUTED, alpha=0.5, linewidth=0.6, label=word("reported"))
    at = [record["step"] for record in history]
    ax.axhspan(floor[1], floor[2], color=DATA, alpha=0.2, linewidth=0)
    ax.axhline(floor[0], color=DATA, linewidth=1.4, linestyle=(0, (5, 3)), label="the least possible")
    sources = (("measured", "loss", None, GENERATED), ("averaged weights", "loss", "averaged", INK))
    for label, name, part, color in (*sources, ("training rows", "loss", "trained", NOISE)):
        values = [
            (record if part is None else record[part] or {}).get(name, {}).get("value") for record in history
        ]
        known = [(s, v) for s, v in zip(at, values, strict=True) if v is not None]
        if known:
            ax.plot(
                *zip(*known, strict=True),
                color=color,
                marker="o",
                markersize=3.5,
                linewidth=1.4,
                label=word(label),
            )
    ax.set_xlabel(word("step"), color=INK)
    ax.set_ylabel(word("loss"), color=INK)
    shown = [*losses[len(losses) // 10 :].tolist(), *(record["loss"]["value"] for record in history)]
    if shown:
        ax.set_ylim(0, 1.1 * max(float(np.quantile(shown, 0.98)), floor[2]))
    ax.legend(frameon=False, fontsize=9, labelcolor=INK)


def _by_level(ax: Axes, record: dict[str, Any]) -> None:
    """Draw what is above the floor in each band; a band in which nothing is left is pale."""
    bands = [band for band in record["bands"] if band["from"] is not None and band["to"] is not None]
    for band in bands:
        middle = float(np.sqrt(band["from"] * band["to"]))
        excess, color = band["excess"], MUTED if band["done"] else NOISE
        ax.plot([band["from"], band["to"]], [excess["value"]] * 2, color=color, linewidth=3)
        ax.plot([middle, middle], [excess["low"], excess["high"]], color=color, linewidth=1.2)
        ax.plot([band["from"], band["to"]], [band["floor"]["value"]] * 2, color=DATA, linewidth=1.4)
    ax.set_xscale("log")
    ax.invert_xaxis()
    ax.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    ax.set_xlabel("σ/α: from noise to data", color=INK)
    ax.set_title("floor, and what is above it (grey: nothing to gain)", color=INK, fontsize=10)
    ax.set_ylim(bottom=0)
