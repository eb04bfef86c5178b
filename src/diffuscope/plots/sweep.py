"""Which settings are good? The distance of each trial over its floor, against each of its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, FAINT, INK, MUTED, NOISE, charts, heading

__all__ = ["plot_sweep"]

_STATES = {"trained": ("o", DATA), "stopped": ("x", NOISE)}
_MOST, _FEW = 12, 6  # settings, and values that are each named


def plot_sweep(
    trials: Sequence[Mapping[str, Any]], keys: Sequence[str], logarithmic: Sequence[str], title: str
) -> Figure:
    """Show a chart for each setting; trials that were stopped are marked as such, where they stood then."""
    good = [one for one in trials if one["ratio"] is not None]
    if not good:
        raise InputError("Nothing to plot: every trial failed.", "See the errors in the table.")
    keys = list(keys)[:_MOST]
    columns = min(3, len(keys))
    rows = -(-len(keys) // columns)
    figure, axes = charts(rows, columns, 3.4 * columns + 0.8, 2.8 * rows + 0.6)
    for ax, key in zip(axes, keys, strict=False):
        values = [one[key] for one in good]
        numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        places: Sequence[Any] = values
        if not numeric:
            names = list(dict.fromkeys(map(str, values)))
            places = [names.index(str(value)) for value in values]
            ax.set_xticks(range(len(names)), names)
        elif key in logarithmic:
            ax.set_xscale("log")
        elif len(set(values)) <= _FEW:
            ax.set_xticks(sorted(set(values)))
        ax.set_yscale("log")
        for state, (marker, color) in _STATES.items():
            own = [i for i, one in enumerate(good) if one["state"] == state]
            x, y = [places[i] for i in own], [good[i]["ratio"] for i in own]
            ends = [
                [good[i]["ratio"] - good[i]["low"] for i in own],
                [good[i]["high"] - good[i]["ratio"] for i in own],
            ]
            ax.errorbar(x, y, yerr=ends, fmt=marker, color=color, ecolor=FAINT, markersize=5, linewidth=1)
        ax.axhline(1, color=INK, linewidth=1.0, zorder=1.5)
        ax.set_xlabel(key, color=INK)
    for ax in axes[::columns]:
        ax.set_ylabel("sliced Wasserstein distance / floor", color=INK)
    for ax in axes[len(keys) :]:
        ax.set_visible(False)
    shown = [state for state in _STATES if any(one["state"] == state for one in good)]
    handles = [
        Line2D([], [], linestyle="", marker=_STATES[state][0], color=_STATES[state][1], label=state)
        for state in shown
    ]
    axes[0].legend(handles=handles, frameon=False, fontsize=8, labelcolor=MUTED)
    heading(figure, title)
    return figure
