r"""How do pixels become the model's units? Value v becomes :math:`(v - 127.5) / 127.5`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling

__all__ = ["PixelCodec", "to_model", "to_pixels"]

_HALF = 127.5


def to_model(pixels: Tensor) -> Tensor:
    """Bring pixels, uint8 of any shape, to -1 to 1, float32."""
    return (pixels.float() - _HALF) / _HALF


def to_pixels(x: Tensor) -> NDArray[np.uint8]:
    """Bring -1 to 1 to pixels, the nearest that there are."""
    values = (x.float() * _HALF + _HALF).round().clamp(0, 255)
    return values.to(torch.uint8).cpu().numpy()


@dataclass(frozen=True)
class PixelCodec:
    """The map of pixels, 0 to 255, to -1 to 1, for images of a shape (channels, height, width)."""

    kind: ClassVar[str] = "images"
    columns: ClassVar[None] = None

    shape: tuple[int, int, int]

    def encode(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Return images (n, channels, height, width), uint8, as float32 in -1 to 1."""
        return to_model(torch.from_numpy(np.require(pixels, requirements="W")))  # a file's are read-only

    def decode(self, x: Tensor) -> NDArray[np.uint8]:
        """Return images of the model as the nearest pixels, uint8."""
        return to_pixels(x)

    def log_abs_det_jacobian(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """Return log |d model units / d values|, shape (n,): the same everywhere."""
        return np.full(len(pixels), -math.prod(self.shape) * math.log(_HALF))

    @property
    def affine(self) -> Scaling:
        """Return the same map for rows of pixels (n, d)."""
        d = math.prod(self.shape)
        return Scaling(np.full(d, _HALF), np.full(d, _HALF))

    def to_json(self) -> dict[str, Any]:
        """Return the codec as plain data."""
        return {"shape": list(self.shape)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PixelCodec:
        """Read what :meth:`to_json` gave, or raise a ValueError."""
        shape = data["shape"]
        if not isinstance(shape, list) or len(shape) != 3 or not all(type(s) is int for s in shape):
            raise ValueError("it has no shape of images")
        if shape[0] not in (1, 2, 3, 4) or not all(1 <= side <= 2**12 for side in shape):
            raise ValueError("its images are of a shape that cannot be")
        return cls((shape[0], shape[1], shape[2]))
