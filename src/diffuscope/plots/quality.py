"""How good are samples, metric by metric, beside baselines? Ratios to the floor, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, GENERATED, INK, MUTED, NOISE, chart, note

if TYPE_CHECKING:
    from diffuscope.metrics import Measured

_MARKS = ((GENERATED, "o"), (MUTED, "s"), (NOISE, "D"), (DATA, "^"), (INK, "v"))
_APART = 0.17
_BEYOND = 5.0


def plot_quality(rows: Sequence[tuple[str, bool]], ratios: Mapping[str, Sequence[Measured | None]]) -> Figure:
    """Draw a row for each metric and a mark with its interval for each method.

    A row is a title and whether perfect samples reach 1 (the floor) or 0 ± 1. Of each method there is a
    measurement for each row, None where it has none.
    """
    if not rows or not ratios:
        raise InputError("Nothing to plot: no metric was measured.", "Give more samples.")
    figure, ax = chart(8.0, 1.1 + 0.46 * len(rows))
    middle = (len(ratios) - 1) / 2
    for k, (name, measured) in enumerate(ratios.items()):
        color, mark = _MARKS[min(k, len(_MARKS) - 1)]
        size = 6 if k == 0 else 4.5
        for i, m in enumerate(measured):
            y = i + (k - middle) * _APART
            if m is None:
                continue
            if m.ratio > _BEYOND:
                ax.plot(_BEYOND, y, ">", color=color, markersize=size, zorder=3)
                note(ax, f"{m.ratio:.3g}", (_BEYOND, y), (6, -3), color=color, fontsize=8)
                continue
            ax.plot([m.low, min(m.high, _BEYOND)], [y, y], color=color, linewidth=1.4, alpha=0.7)
            ax.plot(m.ratio, y, mark, color=color, markersize=size)
        ax.plot([], [], mark, color=color, label=name, markersize=size)
    for i, (_, reaches_floor) in enumerate(rows):
        low, high = (1.0, 1.0) if reaches_floor else (-1.0, 1.0)
        ax.fill_betweenx([i - 0.42, i + 0.42], low - 0.03, high + 0.03, color=MUTED, alpha=0.25, linewidth=0)
    ax.set_yticks(range(len(rows)), [title for title, _ in rows])
    ax.tick_params(axis="y", colors=INK, length=0, labelsize=10)
    ax.grid(axis="y", visible=False)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel("÷ floor  (grey: real data against real data)", color=INK)
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(ratios), frameon=False, labelcolor=INK)
    return figure
