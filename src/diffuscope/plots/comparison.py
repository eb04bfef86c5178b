"""What does quality cost? Distance over its floor against evaluations of the network, a line for each pair.

A colour is a training, a marker and a dash a sampling configuration; where only one of the two varies, it has
the colours. Both axes are logarithmic: a line that falls straight buys quality at a fixed rate, and where
it levels off more steps buy none. The floor, at 1, is as far as data is from data.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from diffuscope.errors import InputError
from diffuscope.plots.style import DATA, GENERATED, INK, MUTED, NOISE, chart, heading, note

_COLORS = (DATA, NOISE, "#2f9e62", GENERATED, "#e0a100", "#1d9fb3", "#d6619f", "#7a6a53")
_STYLES: tuple[tuple[str, Any], ...] = (
    ("o", "solid"),
    ("s", (0, (5, 2))),
    ("^", (0, (1.2, 1.4))),
    ("D", (0, (5, 1.5, 1.2, 1.5))),
    ("v", (0, (8, 2))),
    ("P", (0, (3, 1, 1, 1, 1, 1))),
)

_LADDERS: tuple[Sequence[float], ...] = (
    (1,),
    (1, 3),
    (1, 2, 5),
    (1, 1.5, 2, 3, 5, 7),
    np.arange(1, 10, 0.5).tolist(),
    np.arange(1, 10, 0.1).tolist(),
)


class Line(NamedTuple):
    """One training with one sampling configuration, for k numbers of steps."""

    training: str  # empty where all lines have the same
    sampling: str
    evaluations: Sequence[float]  # of the network, for a point; rising
    ratio: Sequence[float]  # quality as a multiple of the floor
    low: Sequence[float]  # its 95% interval
    high: Sequence[float]
    seeds: Sequence[Sequence[float]]  # the ratio of each seed


def plot_comparison(lines: Sequence[Line], title: str | None = None) -> Figure:
    """Show quality against evaluations of the network, with bands over the seeds."""
    if not lines:
        raise InputError("Nothing to plot: no lines were given.", "Give at least one.")
    figure, ax = chart(7.6, 4.4)
    ax.set(xscale="log", yscale="log")
    _frame(ax, lines)  # first: a single point leaves matplotlib no limits to choose
    looks, handles = _looks(lines)
    for line, look in zip(lines, looks, strict=True):
        _draw(ax, line, *look)
    ax.axhline(1, color=INK, linewidth=1.1, zorder=1.5)
    style: dict[str, Any] = {"ha": "right", "va": "top", "fontsize": 8, "color": INK}
    note(ax, "floor: data against data", (1, 1), (-2, -3), xycoords=ax.get_yaxis_transform(), **style)
    ax.set_xlabel("evaluations of the network for a point", color=INK)
    ax.set_ylabel("sliced Wasserstein distance / floor", color=INK)
    if handles:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.02)}
        ax.legend(handles=handles, frameon=False, fontsize=9, labelcolor=INK, handlelength=2.8, **place)
    heading(figure, title)
    return figure


def _looks(lines: Sequence[Line]) -> tuple[list[tuple[str, str, Any]], list[Line2D]]:
    """Return colour, marker and dash of each line, and the handles of a legend that names each once."""
    trainings = list(dict.fromkeys(line.training for line in lines))
    samplings = list(dict.fromkeys(line.sampling for line in lines))
    colored = trainings if len(trainings) > 1 else samplings
    palette: Any = _COLORS
    if len(colored) > len(_COLORS):  # a range from dark to light
        palette = map(to_hex, colormaps["viridis"](np.linspace(0, 0.92, len(colored))))
    colors = dict(zip(colored, palette, strict=False))
    if len(trainings) > 1 and len(samplings) > 1:
        styles = dict(zip(samplings, itertools.cycle(_STYLES), strict=False))
        handles = [Line2D([], [], color=color, linewidth=3, label=name) for name, color in colors.items()]
        handles.append(Line2D([], [], linestyle="", label=" "))
        handles += [_handle(MUTED, *style, name) for name, style in styles.items()]
        return [(colors[line.training], *styles[line.sampling]) for line in lines], handles
    names = [line.training if len(trainings) > 1 else line.sampling for line in lines]
    looks = [(colors[name], *_STYLES[0]) for name in names]
    single = len(colored) == 1
    return looks, [] if single else [_handle(*look, name) for look, name in zip(looks, names, strict=True)]


def _handle(color: str, marker: str, dash: Any, name: str) -> Line2D:
    return Line2D([], [], color=color, marker=marker, linestyle=dash, linewidth=1.8, markersize=6, label=name)


def _draw(ax: Any, line: Line, color: str, marker: str, dash: Any) -> None:
    at = np.asarray(line.evaluations, dtype=np.float64)
    low = np.maximum(np.asarray(line.low, dtype=np.float64), 1e-6)  # 0 has no place on the axis
    if len(at) > 1:
        ax.fill_between(at, low, line.high, color=color, alpha=0.13, linewidth=0, zorder=2)
    else:
        ax.vlines(at, low, line.high, color=color, alpha=0.5, linewidth=1.2, zorder=2)
    for x, ratios in zip(at, line.seeds, strict=True):
        if len(ratios) > 1:
            ax.plot([x] * len(ratios), ratios, ".", color=color, alpha=0.4, markersize=3.5, zorder=2.5)
    edge = {"markeredgecolor": "white", "markeredgewidth": 0.9, "markersize": 6.5}
    ax.plot(at, line.ratio, color=color, linestyle=dash, linewidth=1.8, marker=marker, zorder=3, **edge)


def _frame(ax: Any, lines: Sequence[Line]) -> None:
    """Frame means and seeds, not bands: of two seeds they reach very far."""
    at = np.concatenate([line.evaluations for line in lines])
    shown = [1.0, *(r for line in lines for ratios in (line.ratio, *line.seeds) for r in ratios)]
    low, high = min(shown), max(shown)
    room = max((high / low) ** 0.07, 1.06)
    ax.set_ylim(low / room**1.6, high * room)
    wide = max((at.max() / at.min()) ** 0.05, 1.08)
    ax.set_xlim(at.min() / wide, at.max() * wide)
    for axis, (least, most) in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
        axis.set_major_locator(FixedLocator(_ticks(least, most)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axis.set_minor_formatter(NullFormatter())


def _ticks(least: float, most: float) -> list[float]:
    """Return round numbers between two bounds: finer ones where there is less between them."""
    decades = range(int(np.floor(np.log10(least))), int(np.ceil(np.log10(most))) + 1)
    ticks: list[float] = []
    for ladder in _LADDERS:
        ticks = [float(f"{m * 10.0**k:.10g}") for k in decades for m in ladder]
        ticks = [tick for tick in ticks if least <= tick <= most]
        if len(ticks) >= 4:
            break
    return ticks
