"""Images: read, kept as bytes, shown to a network, written."""

from __future__ import annotations

from diffuscope.images.data import ImageData
from diffuscope.images.nearest import nearest
from diffuscope.images.reading import read_image, read_mask
from diffuscope.images.rows import ImageRows, to_model, to_pixels
from diffuscope.images.writing import ImageWriter, check_image_target, save_grid, save_images

__all__ = [
    "ImageData",
    "ImageRows",
    "ImageWriter",
    "check_image_target",
    "nearest",
    "read_image",
    "read_mask",
    "save_grid",
    "save_images",
    "to_model",
    "to_pixels",
]
