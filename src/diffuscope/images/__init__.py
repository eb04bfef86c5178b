"""Images: read, kept as bytes, shown to a network, written."""

from __future__ import annotations

from diffuscope.images.data import ImageData
from diffuscope.images.rows import ImageRows, to_model, to_pixels

__all__ = ["ImageData", "ImageRows", "to_model", "to_pixels"]
