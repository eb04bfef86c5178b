"""How do many images become one: side by side, each pixel as a square, without words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

__all__ = ["MOST_SHEET_PIXELS", "as_sheet", "check_sheet", "tiled"]

MOST_SHEET_PIXELS = 2**26
_ENLARGED_PIXELS = 2**24  # a sheet is not enlarged beyond
_SIDE = 96  # pixels to which small images are enlarged, about


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


def check_sheet(n: int, height: int, width: int) -> None:
    """Raise an InputError unless n images of this size go on one sheet."""
    if n * (height + 1) * (width + 1) > MOST_SHEET_PIXELS:
        raise InputError(
            f"A sheet of {n:,} images of {height} × {width} pixels is too large to look at: more than "
            f"{MOST_SHEET_PIXELS:,} pixels.",
            "Write them to a folder (a name without suffix) or to .npz, or fewer.",
        )


def as_sheet(
    images: NDArray[np.uint8], columns: int | None = None, class_names: Sequence[str] = ()
) -> NDArray[np.uint8]:
    """Put images on one sheet, small ones enlarged by a whole factor; a single image stays as it is.

    Parameters
    ----------
    images : ndarray of shape (n, 1 or 3, height, width), uint8
    columns : int, optional
        By default one for each class, where there are names of classes; else about as many as rows.
    class_names : sequence of str
        Of images that are of all classes in turn.

    Returns
    -------
    ndarray of shape (height of the sheet, width of the sheet, 3), uint8

    Raises
    ------
    InputError
        When there are no images, too many, or of another number of channels.
    """
    if columns is not None and columns < 1:
        raise InputError(f"A sheet of {columns} columns cannot be.", "Ask for at least 1.")
    n, height, width = len(images), *images.shape[-2:]
    check_sheet(n, height, width)
    columns = min(columns or len(class_names) or math.ceil(math.sqrt(n)), max(n, 1))
    sheet = tiled(images, columns)
    factor = 1 if n == 1 else max(1, _SIDE // max(height, width))
    while factor > 1 and sheet[..., 0].size * factor**2 > _ENLARGED_PIXELS:
        factor -= 1
    return sheet.repeat(factor, axis=0).repeat(factor, axis=1)
