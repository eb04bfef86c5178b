"""How do points travel to a page, and how wide are they shown there?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["STEPS", "middle_and_spread", "quantised"]

STEPS = 32767


def quantised(x: NDArray[Any]) -> tuple[bytes, float]:
    """Return points of any shape as 16-bit integers in units of scale / 32767, and that scale.

    They are only looked at: the error is a hundredth of a pixel.
    """
    scale = float(np.abs(x).max(initial=0.0)) or 1.0
    return np.round(x / scale * STEPS).astype("<i2").tobytes(), scale


def middle_and_spread(x: Tensor) -> tuple[Tensor, float]:
    """Return the mean (d,) of points (n, d), and their deviation from it over all columns, 1 for a point."""
    middle = x.mean(0)
    return middle, float((x - middle).square().mean().sqrt()) or 1.0
