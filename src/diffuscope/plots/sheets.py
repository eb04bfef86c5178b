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

__all__ = ["plot_sheet"]

_SIDE_INCHES = 0.72  # of an image, at least
_WIDEST_INCHES = 24.0
_GAP = 0.08  # between images, in their widths


def plot_sheet(
    images: NDArray[Any],
    columns: int,
    *,
    title: str | None = None,
    column_titles: Sequence[str] = (),
    row_titles: Sequence[str] = (),
) -> Figure:
    """Show images on a sheet.

    Parameters
    ----------
    images : ndarray of shape (n, channels, height, width)
        Values 0 to 255.
    columns : int
    title : str, optional
    column_titles, row_titles : sequence of str, optional
        What stands above columns and beside rows.
    """
    height, width = images.shape[2:]
    gap = max(1, round(_GAP * width))
    sheet = tiled(images, columns, gap)
    rows = math.ceil(len(images) / columns)
    side = min(_SIDE_INCHES, _WIDEST_INCHES / columns)
    lines = 1 + max((name.count("\n") for name in column_titles), default=0)
    longest = max((len(name) for name in row_titles), default=0)
    figure = new_figure(
        columns * side + 0.08 * longest + 0.1,
        rows * side * height / width + 0.15 + 0.15 * lines + 0.3 * (title is not None),
    )
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02)
    ax = figure.subplots()
    ax.imshow(sheet, interpolation="nearest")
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, colors=MUTED, labelsize=7.5, top=False, labeltop=True, bottom=False)
    ax.tick_params(axis="x", labelbottom=False)
    across, down = (
        np.arange(count) * (size + gap) + size / 2 - 0.5 for count, size in _places(images, columns)
    )
    ax.set_xticks(across[: len(column_titles)], list(column_titles)[:columns])
    ax.set_yticks(down[: len(row_titles)], list(row_titles)[:rows])
    if title:
        figure.suptitle(title, color=INK, fontsize=10)
    return figure


def _places(images: NDArray[Any], columns: int) -> tuple[tuple[int, int], tuple[int, int]]:
    height, width = images.shape[2:]
    return (columns, width), (math.ceil(len(images) / columns), height)
