"""How are images shown: side by side on a sheet, each pixel as a square, with words at the edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffuscope.data.images.sheets import tiled
from diffuscope.plots.style import INK, MUTED, new_figure

_SIDE_INCHES = 0.72  # of an image, at least
_WIDEST_INCHES = 24.0
_GAP = 0.08  # between images, in their widths


def plot_sheet(
    images: NDArray[Any], columns: int, *, title: str | None = None, column_titles: Sequence[str] = ()
) -> Figure:
    """Show images (n, channels, height, width), values 0 to 255, row by row on a sheet."""
    height, width = images.shape[2:]
    gap = max(1, round(_GAP * width))
    rows = math.ceil(len(images) / columns)
    side = min(_SIDE_INCHES, _WIDEST_INCHES / columns)
    lines = 1 + max((name.count("\n") for name in column_titles), default=0)
    room = 0.15 + 0.15 * lines + 0.3 * (title is not None)
    figure = new_figure(columns * side + 0.1, rows * side * height / width + room, w_pad=0.02, h_pad=0.02)
    ax = figure.subplots()
    ax.imshow(tiled(images, columns, gap), interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=MUTED, labelsize=7.5, top=False, labeltop=True, bottom=False)
    ax.tick_params(axis="x", labelbottom=False)
    middles = np.arange(columns) * (width + gap) + width / 2 - 0.5
    ax.set_xticks(middles[: len(column_titles)], list(column_titles)[:columns])
    ax.set_yticks([])
    if title:
        figure.suptitle(title, color=INK, fontsize=10)
    return figure
