"""Where does the error come from? A waterfall from the floor to what one sees, and level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.metrics.floor import in_floors
from diffuscope.plots.levels import draw_levels
from diffuscope.plots.speech import said_in_lines, word
from diffuscope.plots.style import DATA, GENERATED, INK, MUTED, NOISE, chart, note

EXCESS, IRREDUCIBLE = "this network, beyond the least possible error", "the least possible error"
_TITLE = 34  # characters of a line


def plot_diagnosis(
    rows: Sequence[Any],
    *,
    levels: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
    bands: Sequence[Any] = (),
    finding: str | None = None,
) -> Figure:
    """Draw an error budget as a waterfall from top to bottom, and beside it the network's error by level.

    Parameters
    ----------
    rows : sequence of rows
        Each with a ``part``, its ``title`` and its ``share`` (``ratio``, ``low``, ``high``, in floors): the
        floor first, the total last where there is one. A pale part cannot be told from nothing.
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
        figure, left = chart(6.6, 4.0)
    else:
        figure, (left, right) = chart(11.0, 4.0, panels=2)
        ratio, excess, irreducible = levels
        draw_levels(right, ratio, [(EXCESS, excess)], (IRREDUCIBLE, irreducible), bands)
    _waterfall(left, rows)
    if finding:
        figure.supxlabel(said_in_lines(finding, 100), color=INK, fontsize=11)
    return figure


def _waterfall(ax: Axes, rows: Sequence[Any]) -> None:
    """Draw a bar for each row, from top to bottom, under the titles that the text has."""
    level, ends = 0.0, []
    for i, row in enumerate(rows):
        share = row.share
        whole = row.part in ("floor", "total")
        start = 0.0 if whole else level
        end = share.ratio if whole else level + share.ratio
        certain = whole or share.low > 0 or share.high < 0
        color = {"floor": DATA, "total": GENERATED}.get(row.part, NOISE if share.ratio >= 0 else DATA)
        ax.barh(i, end - start, left=start, height=0.66, color=color, alpha=0.9 if certain else 0.35)
        spread = [[share.ratio - share.low], [share.high - share.ratio]]
        ax.errorbar(end, i, xerr=spread, color=INK, linewidth=0.9, capsize=3, capthick=0.9)
        sign = "" if whole or share.ratio < 0 else "+"
        text = f"{sign}{in_floors(share.ratio)}".replace("-", "−")
        ends.append(max(start, end, end + spread[1][0]))
        note(ax, text, (ends[-1], i), (5, 0), va="center", color=INK, fontsize=10)
        if i + 1 < len(rows):
            ax.plot([end, end], [i + 0.33, i + 0.67], color=MUTED, linewidth=0.8)
        level = end
    ax.axvline(1, color=DATA, linewidth=0.9, linestyle=(0, (5, 3)), zorder=0)
    ax.set_yticks(range(len(rows)), [said_in_lines(word(row.title), _TITLE, 99) for row in rows])
    ax.tick_params(axis="y", colors=INK, length=0, labelsize=9)
    ax.grid(axis="y", visible=False)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    lows = [0.0, *(row.share.low for row in rows if row.part == "total")]
    ax.set_xlim(min(lows), max(ends) * 1.16)
    ax.set_xlabel("distance from real data, × floor", color=INK)
    ax.set_title("what each part adds  (1: as good as real data)", color=INK, fontsize=11)
