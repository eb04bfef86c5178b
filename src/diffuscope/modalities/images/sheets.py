"""How do images travel to a page? Side by side on a sheet, a picture for each moment, as WebP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.images.sheets import tiled
from diffuscope.modalities.watched import Watched

__all__ = ["Sheets", "bytes_of"]

_LOSSLESS = 32 * 32  # pixels of images that are kept as they are
_NOISE = 0.4  # bytes a pixel of noise takes otherwise
_QUALITY = 82
_GAP = 0.08  # between images, in widths


@dataclass(frozen=True)
class Sheets(Watched):
    """Images (k, n, channels, height, width), uint8, at k moments, beside real ones (m, ...)."""

    look: ClassVar[str] = "sheets"
    moments: NDArray[np.uint8]
    real: NDArray[np.uint8]
    columns: int
    titles: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return a picture of each moment, and how images lie on it."""
        height, width = self.moments.shape[-2:]
        return {
            "look": self.look,
            "n": self.moments.shape[1],
            "columns": self.columns,
            "titles": list(self.titles),
            "size": [width, height],
            "gap": self._gap,
            "states": [self._address(images) for images in self.moments],
            "real": self._address(self.real) if len(self.real) else None,
        }

    @property
    def _gap(self) -> int:
        return max(1, round(_GAP * int(self.moments.shape[-1])))

    def _address(self, images: NDArray[np.uint8]) -> str:
        """Return images on one sheet as the address of a picture."""
        from PIL import Image

        from diffuscope.pages import image_address

        sheet = Image.fromarray(tiled(images, self.columns, self._gap))
        small = _is_small(images.shape)
        return image_address(sheet, "webp", lossless=small, quality=100 if small else _QUALITY)


def _is_small(shape: tuple[int, ...]) -> bool:
    return shape[-2] * shape[-1] <= _LOSSLESS


def bytes_of(shape: tuple[int, ...]) -> float:
    """Return about how many bytes an image (channels, height, width) of noise takes on a sheet."""
    pixels = 1.2 * shape[-2] * shape[-1]  # with the gap
    return pixels * shape[0] if _is_small(shape) else _NOISE * pixels
