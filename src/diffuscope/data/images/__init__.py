"""Images: read, kept as bytes, shown to a network, written.

What shows them to a network is imported when it is first used: it needs torch, the names of the sets do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffuscope.data.images.builtin import IMAGE_SETS, USUAL_RECIPES, ImageSet
from diffuscope.data.images.dataset import ImageData
from diffuscope.data.images.loading import are_images, load_images
from diffuscope.data.images.nearest import nearest
from diffuscope.data.images.reading import read_image, read_mask
from diffuscope.data.images.writing import ImageWriter, check_image_target, save_grid, save_images

if TYPE_CHECKING:
    from diffuscope.data.images.pixels import ImageRows, as_bytes, to_model, to_pixels

__all__ = [
    "IMAGE_SETS",
    "USUAL_RECIPES",
    "ImageData",
    "ImageRows",
    "ImageSet",
    "ImageWriter",
    "are_images",
    "as_bytes",
    "check_image_target",
    "load_images",
    "nearest",
    "read_image",
    "read_mask",
    "save_grid",
    "save_images",
    "to_model",
    "to_pixels",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from diffuscope.data.images import pixels

    return getattr(pixels, name)
