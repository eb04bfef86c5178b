"""Which values are black and white in images of more than 8 bits? One range for a whole set.

An image of 8 bits says it: 0 and 255. Others do not: 12 bits of a camera come in files of 16, and numbers
from 0 to 1, from -1 to 1 or from 0 to 255 as floats. Where each image had a range of its own, equal values
would become unequal greys; where one is guessed too small, bright parts would be cut off. So the range is
found of all images together, said, and may be given.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

__all__ = ["Range", "checked_range", "range_note", "to_bytes", "usual_range"]

Range = tuple[float, float]
_BITS = (8, 10, 12, 14, 16)


def checked_range(given: Any) -> Range | None:
    """Return a range of two finite numbers, the smaller first; None stays. InputError for anything else."""
    if given is None:
        return None
    try:
        low, high = map(float, given)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(
            f"range = {given!r} is not two numbers, the smaller first.",
            "Give the values that are black and white, such as 0,4095 (--range LOW,HIGH).",
        )
    return low, high


def usual_range(low: float, high: float, whole: bool) -> Range:
    """Return the range of images whose values reach from ``low`` to ``high``.

    Whole numbers are of 8, 10, 12, 14 or 16 bits, numbers with fractions from 0 to 1, from -1 to 1 or from 0
    to 255, where that is what they fill; else the range is their own.
    """
    if whole and low >= 0 and high > 1:
        for bits in _BITS:
            if high <= 2**bits - 1:
                return 0.0, float(2**bits - 1)
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    if low >= -1 and high <= 1:
        return -1.0, 1.0
    if low >= 0 and 128 <= high <= 255:
        return 0.0, 255.0
    least = min(low, 0.0) if high > 0 else low
    return (least, high) if high > least else (least, least + 1.0)


def to_bytes(values: NDArray[Any], limits: Range) -> NDArray[np.uint8]:
    """Return values as grey levels 0 to 255 of a range; those beyond it are its ends, NaN is black."""
    low, high = limits
    part = (np.nan_to_num(values.astype(np.float64), nan=low, posinf=high, neginf=low) - low) / (high - low)
    return np.round(part.clip(0, 1) * 255).astype(np.uint8)


def range_note(limits: Range, low: float, high: float, lost: int, given: bool) -> str:
    """Say which range was taken for values from ``low`` to ``high``; ``lost`` of them are no numbers."""
    black, white = limits
    text = f"Values reach from {low:g} to {high:g}; {black:g} is black and {white:g} white"
    text += "." if given else ", which --range LOW,HIGH changes."
    if low < black or high > white:
        text += " Those beyond are clipped."
    if lost:
        text += f" {lost:,} values are not finite, and taken as the ends."
    return text + " Models of images have 256 levels of each channel."
