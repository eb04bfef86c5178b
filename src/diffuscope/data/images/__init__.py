"""Images: reading, storage as bytes, batches for training, writing."""

from __future__ import annotations

from diffuscope.data.images.builtin import IMAGE_SETS, USUAL_RECIPES, ImageSet
from diffuscope.data.images.dataset import ImageData
from diffuscope.data.images.loading import are_images, load_images
from diffuscope.data.images.nearest import nearest
from diffuscope.data.images.pixels import ImageRows, as_bytes, to_model, to_pixels
from diffuscope.data.images.reading import read_image, read_mask
from diffuscope.data.images.writing import ImageWriter, check_image_target, save_grid, save_images

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
