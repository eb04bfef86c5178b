"""How do many images become one: side by side, each pixel as a square, with names of classes on request.

A name stands where it says most: above a column or beside a row whose images are all of one class, and below
each image where neither is so.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = ["MOST_SHEET_PIXELS", "as_sheet", "check_sheet", "tiled"]

MOST_SHEET_PIXELS = 2**26
_ENLARGED_PIXELS = 2**24  # a sheet is not enlarged beyond
_SIDE = 96  # pixels to which small images are enlarged, about
_LETTER, _LINE = 11, 16  # pixels of a letter, and of a line of them
_WIDEST = 160  # pixels of a name beside a row
_WHITE: Any = {"mode": "constant", "constant_values": 255}


def tiled(images: NDArray[Any], columns: int, gap: int = 1) -> NDArray[np.uint8]:
    """Put images on a white sheet, row by row.

    Parameters
    ----------
    images : ndarray of shape (n, channels, height, width)
        Values 0 to 255; what lies beyond is cut. One channel is grey, three are red, green and blue; of two
        and four the last is alpha, and they are shown over white.
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
    if images.ndim != 4 or images.shape[1] not in (1, 2, 3, 4) or not len(images):
        raise InputError(
            f"Images of shape {images.shape} cannot be shown.",
            "Give (n, channels, height, width), n above 0, of 1 to 4 channels.",
        )
    images = over_white(images)
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


def over_white(images: NDArray[Any]) -> NDArray[Any]:
    """Return images (n, 2 or 4, height, width) over white, without alpha; others as they are."""
    if images.shape[1] in (1, 3):
        return images
    values = np.nan_to_num(images.astype(np.float32), nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255)
    alpha = values[:, -1:] / 255
    return np.asarray(values[:, :-1] * alpha + 255 * (1 - alpha))


def check_sheet(n: int, height: int, width: int) -> None:
    """Raise an InputError unless n images of this size go on one sheet."""
    if n * (height + 1) * (width + 1) > MOST_SHEET_PIXELS:
        raise InputError(
            f"A sheet of {n:,} images of {height} × {width} pixels is too large: more than "
            f"{MOST_SHEET_PIXELS:,} pixels.",
            "Write them to a folder (a name without suffix) or to .npz, or fewer.",
        )


def as_sheet(
    images: NDArray[np.uint8],
    columns: int | None = None,
    class_names: Sequence[str] = (),
    *,
    labels: NDArray[Any] | None = None,
    scale: int | None = None,
) -> NDArray[np.uint8]:
    """Put images on one sheet, small ones enlarged by a whole factor; a single image stays as it is.

    Parameters
    ----------
    images : ndarray of shape (n, channels, height, width), uint8
    columns : int, optional
        By default one for each class, where there are names of classes and images are of all in turn; else
        about as many as rows.
    class_names : sequence of str
        Without labels: of images that are of all classes in turn; they are not written.
    labels : ndarray of shape (n,), int, optional
        The class of each, whose name is written beside it.
    scale : int, optional
        How many times larger each image is shown; by default so that it is about 96 pixels large.

    Returns
    -------
    ndarray of shape (height of the sheet, width of the sheet, 3), uint8

    Raises
    ------
    InputError
        When there are no images, too many, or of another number of channels.
    """
    for what, number in (("columns", columns), ("scale", scale)):
        if number is not None and number < 1:
            raise InputError(
                f"{what} must be at least 1, not {number}.", "Give a whole number of at least 1."
            )
    n, height, width = len(images), *images.shape[-2:]
    check_sheet(n, height * (scale or 1), width * (scale or 1))
    in_turn = labels is None or np.array_equal(labels, np.arange(n) % max(len(class_names), 1))
    columns = min(columns or (len(class_names) if in_turn else 0) or math.ceil(math.sqrt(n)), max(n, 1))
    if scale is None:
        scale = 1 if n == 1 and labels is None else max(1, _SIDE // max(height, width))
        pixels = math.ceil(n / columns) * (height + 1) * columns * (width + 1)
        while scale > 1 and pixels * scale**2 > _ENLARGED_PIXELS:
            scale -= 1
    if labels is None:
        return _enlarged(tiled(images, columns), scale)
    return _with_names(images, columns, scale, [_name(class_names[label], label) for label in labels])


def _enlarged(sheet: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    return sheet.repeat(scale, axis=0).repeat(scale, axis=1)


def _with_names(
    images: NDArray[np.uint8], columns: int, scale: int, names: Sequence[str]
) -> NDArray[np.uint8]:
    """Return a sheet with names above columns, beside rows, or else below each image."""
    n, height, width = len(images), *(side * scale for side in images.shape[2:])
    down, across = height + scale, width + scale  # from one image to the next
    if all(len(set(names[i::columns])) == 1 for i in range(columns)):
        sheet = np.pad(_enlarged(tiled(images, columns), scale), ((_LINE, 0), (0, 0), (0, 0)), **_WHITE)
        return _written(sheet, [(i * across + width // 2, 0, width, "ma", names[i]) for i in range(columns)])
    firsts = range(0, n, columns)
    if all(len(set(names[i : i + columns])) == 1 for i in firsts):
        sheet = _enlarged(tiled(images, columns), scale)
        margin = math.ceil(max(_font().getlength(_shortened(names[i], _WIDEST)) for i in firsts)) + 6
        sheet = np.pad(sheet, ((0, max(0, _LINE - len(sheet))), (margin, 0), (0, 0)), **_WHITE)
        middles = (i // columns * down + height // 2 for i in firsts)
        return _written(
            sheet, [(margin - 4, y, _WIDEST, "rm", names[i]) for i, y in zip(firsts, middles, strict=True)]
        )
    large = images.repeat(scale, axis=2).repeat(scale, axis=3)
    large = np.pad(large, ((0, 0), (0, 0), (0, _LINE), (0, 0)), **_WHITE)
    places = [
        (i % columns * across + width // 2, i // columns * (down + _LINE) + height, width, "ma", name)
        for i, name in enumerate(names)
    ]
    return _written(tiled(large, columns, scale), places)


def _written(sheet: NDArray[np.uint8], places: Sequence[tuple[int, int, int, str, str]]) -> NDArray[np.uint8]:
    """Write texts on a sheet; a place is x, y, how wide the text may be, and what of it is at x and y."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(sheet)
    draw = ImageDraw.Draw(image)
    for x, y, width, anchor, text in places:
        draw.text((x, y), _shortened(text, width), fill=(0, 0, 0), font=_font(), anchor=anchor)
    return np.array(image)


@functools.cache
def _font() -> FreeTypeFont:
    """Return the font that comes with matplotlib: the same everywhere, with more letters than Pillow's."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), _LETTER)


def _name(text: str, number: int) -> str:
    """Return a name in one line; the number of the class where the font lacks a letter of it."""
    missing = bytes(_font().getmask("\uffff"))
    text = " ".join(text.split())
    drawn = all(c == " " or bytes(_font().getmask(c)) != missing for c in text)
    return text if text and drawn else f"class {number}"


def _shortened(text: str, width: int) -> str:
    """Return as much of a text as is so many pixels wide."""
    if _font().getlength(text) <= width:
        return text
    while text and _font().getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
