"""How are images shown: side by side on a sheet, each pixel as a square, with words at the edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffuscope.errors import InputError
from diffuscope.plots.style import INK, MUTED, new_figure

__all__ = ["plot_sheet", "tiled"]

_SIDE_INCHES = 0.72  # of an image, at least
_WIDEST_INCHES = 24.0
_GAP = 0.08  # between images, in their widths


def tiled(images: NDArray[Any], columns: int, gap: int = 1) -> NDArray[np.uint8]:
    """Put images on a white sheet, row by row.

    Parameters
    ----------
    images : ndarray of shape (n, channels, height, width)
        Values 0 to 255; what lies beyond is cut. One channel is grey, three are red, green and blue.
    columns : int
    gap : int
        White pixels between two.

    Returns
    -------
    ndarray of shape (height of the sheet, width of the sheet, 3), uint8

    Raises
    ------
    InputError
        When there are no images, or of another number of channels.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise InputError(
            f"Images of shape {images.shape} cannot be shown.", "Give (n, 1 or 3, height, width), n above 0."
        )
    n, _, height, width = images.shape
    rows = math.ceil(n / columns)
    shown = np.round(np.nan_to_num(images.astype(np.float32), nan=0.0, posinf=255.0, neginf=0.0))
    shown = np.clip(shown, 0, 255).astype(np.uint8)
    shown = np.broadcast_to(shown, (n, 3, height, width)).transpose(0, 2, 3, 1)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(shown):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


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
    longest = max((len(name) for name in row_titles), default=0)
    figure = new_figure(
        columns * side + 0.08 * longest + 0.1, rows * side * height / width + 0.3 + 0.3 * (title is not None)
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
