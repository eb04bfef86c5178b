"""How does one thing that is wrong look? The steps of a sampler, the values of a column, two tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from diffuscope.plots.fonts import families, plain
from diffuscope.plots.speech import said, word
from diffuscope.plots.style import DATA, GENERATED, INK, MUTED, NOISE, chart, note
from diffuscope.translations.display import broken

_MOST_NAME = 44  # characters of a line
_UNSEEN = 0.002  # of the values, that an axis may leave out at either end


def plot_steps(
    ratio: ArrayLike,
    weights: tuple[ArrayLike, ArrayLike],
    noise: tuple[ArrayLike, ArrayLike, ArrayLike],
) -> Figure:
    """Draw what steps of a sampler do beside what is right.

    Parameters
    ----------
    ratio : array_like of shape (k,)
        σ/α of the levels from which the steps lead.
    weights : (array_like, array_like), each of shape (k,)
        The weight of the data estimate in each step, as it is and as it should be.
    noise : (array_like, array_like, array_like), each of shape (k,)
        The deviation of the noise of each step, as it is, and the least and the most that is right.
    """
    figure, (left, right) = chart(8.0, 3.2, panels=2)
    r = np.asarray(ratio, dtype=np.float64)
    own, due = (np.asarray(values, dtype=np.float64) for values in weights)
    added, least, most = (np.asarray(values, dtype=np.float64) for values in noise)
    at = np.arange(len(r))
    names = [
        "∞" if not np.isfinite(value) else f"{value:,.2g}" if value < 100 else f"{value:,.0f}" for value in r
    ]
    for ax, title in ((left, "weight of the data estimate x̂_0"), (right, "deviation of the noise")):
        ax.set_xticks(at, names)
        ax.set_xlim(-0.5, len(r) - 0.5)
        ax.set_xlabel("step from σ/α", color=INK)
        ax.set_title(title, color=INK, fontsize=11)
    for ax, low, high in ((left, due, due), (right, least, np.where(np.isfinite(most), most, least))):
        for i in at:
            ax.plot([i - 0.36, i + 0.36], [low[i]] * 2, color=DATA, linewidth=2)
            if high[i] > low[i]:
                ax.fill_between([i - 0.36, i + 0.36], low[i], high[i], color=DATA, alpha=0.25, linewidth=0)
    left.plot(at, own, color=GENERATED, linestyle="none", marker="o", markersize=6, label="this sampler")
    right.plot(at, added, color=GENERATED, linestyle="none", marker="o", markersize=6)
    left.plot([], [], color=DATA, linewidth=2, label="right, by the levels")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK, fontsize=9)
    return figure


def plot_values(
    edges: ArrayLike, counts: ArrayLike, name: str, marks: Sequence[tuple[float, str]], band: Any = None
) -> Figure:
    """Draw how often values come, on a logarithmic scale, with marks at some of them.

    Parameters
    ----------
    edges, counts : array_like of shape (k + 1,), (k,)
        Of the bins.
    name : str
        Whose values they are.
    marks : sequence of (float, str)
        Values, and what is to be said of each.
    band : (float, float), optional
        Between which half of the values lie.
    """
    from matplotlib import rc_context

    with rc_context({"font.family": list(families())}):
        figure, ax = chart(5.6, 2.8)
        bins, heights = np.asarray(edges, dtype=np.float64), np.asarray(counts, dtype=np.float64)
        ax.bar(bins[:-1], heights, np.diff(bins), align="edge", color=DATA, alpha=0.6, linewidth=0)
        ax.set_yscale("log")
        ax.set_ylim(0.6, max(2.0, float(heights.max())) * 6)
        if band is not None:
            ax.axvspan(*band, color=MUTED, alpha=0.3, linewidth=0)
        values = [value for value, _ in marks]
        low, high = min(bins[0], *values), max(bins[-1], *values)
        room = 0.04 * (high - low) or 1.0
        ax.set_xlim(low - room, high + room)
        for i, (value, words) in enumerate(marks):
            ax.axvline(value, color=NOISE, linewidth=1.4)
            right = value > (low + high) / 2
            top = (value, ax.get_ylim()[1])
            style: dict[str, Any] = {"ha": "right" if right else "left", "va": "top", "fontsize": 9}
            note(ax, plain(said(words), 40), top, (-5 if right else 5, -3 - 13 * i), color=NOISE, **style)
        ax.set_xlabel(plain(name, _MOST_NAME), color=INK)
        ax.set_ylabel(word("count"), color=INK)
    return figure


Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def plot_differences(panels: Sequence[tuple[str, Pair, Pair]], labels: tuple[str, str]) -> Figure:
    """Draw in what two tables differ: columns by their distribution functions, pairs of columns as points.

    Parameters
    ----------
    panels : sequence of (str, (real, real), (made, made))
        What differs, in words, and the values of two columns: rows of real data of shape (n,), and of the
        other table of shape (m,). Where the second column is empty there is one column only.
    labels : (str, str)
        What the rows of the one table are called, and those of the other.
    """
    from matplotlib import rc_context

    with rc_context({"font.family": list(families())}):
        figure, axes = chart(3.4 * len(panels) + 0.4, 3.3, panels=len(panels))
        for ax, (words, real, made) in zip(np.atleast_1d(axes), panels, strict=True):
            draw = _points if len(real[1]) else _distributions
            draw(ax, real, made)
            title = "\n".join(plain(line, _MOST_NAME) for line in broken(said(words), 36)[:3])
            ax.set_title(title, color=INK, fontsize=9.5)
        for color, name in zip((DATA, GENERATED), labels, strict=True):
            axis = np.atleast_1d(axes)[0]
            axis.plot([], [], color=color, linewidth=3, label=plain(name, 30))
        figure.legend(loc="outside lower center", ncols=2, frameon=False, labelcolor=INK, fontsize=9)
    return figure


def _distributions(ax: Axes, real: Pair, made: Pair) -> None:
    """Draw the share of rows up to each value."""
    for values, color in ((real[0], DATA), (made[0], GENERATED)):
        x = np.sort(values)
        ax.step(x, np.arange(1, len(x) + 1) / len(x), where="post", color=color, linewidth=1.8)
    ax.set_xlim(*_reach(real[0], made[0]))
    ax.set_ylim(0, 1)
    ax.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    ax.set_ylabel("rows up to a value", color=INK)


def _points(ax: Axes, real: Pair, made: Pair) -> None:
    for (x, y), color in ((real, DATA), (made, GENERATED)):
        ax.scatter(x, y, s=7, color=color, alpha=0.5, linewidth=0)
    ax.set_xlim(*_reach(real[0], made[0]))
    ax.set_ylim(*_reach(real[1], made[1]))


def _reach(real: NDArray[np.float64], made: NDArray[np.float64]) -> tuple[float, float]:
    """Return an axis with the real values, and others as far as the same width beyond them."""
    (low, high), (first, last) = (np.quantile(x, [_UNSEEN, 1 - _UNSEEN]) for x in (real, made))
    width = (high - low) or 1.0
    low, high = max(min(low, first), low - width), min(max(high, last), high + width)
    return float(low - 0.04 * width), float(high + 0.04 * width)
