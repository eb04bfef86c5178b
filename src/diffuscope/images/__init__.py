"""Images: read, kept as bytes, shown to a network, written."""

from __future__ import annotations

from diffuscope.images.data import ImageData
from diffuscope.images.loading import are_images, load_images
from diffuscope.images.nearest import nearest
from diffuscope.images.reading import read_image, read_mask
from diffuscope.images.rows import ImageRows, as_bytes, to_model, to_pixels
from diffuscope.images.sets import IMAGE_SETS, USUAL_RECIPES, ImageSet
from diffuscope.images.writing import ImageWriter, check_image_target, save_grid, save_images

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
