"""Images: read, kept as bytes, made batches of, written.

Batches and the codec are imported on first use: they need torch, the names of the sets do not.
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
    from diffuscope.data.images.batches import ImageRows
    from diffuscope.data.images.codec import to_model, to_pixels

__all__ = [
    "IMAGE_SETS",
    "USUAL_RECIPES",
    "ImageData",
    "ImageRows",
    "ImageSet",
    "ImageWriter",
    "are_images",
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
    from diffuscope.data.images import batches, codec

    return getattr(batches if hasattr(batches, name) else codec, name)
