"""Images: read, kept as bytes, shown to a network, written."""

from __future__ import annotations

from diffuscope.images.data import ImageData
from diffuscope.images.rows import ImageRows

__all__ = ["ImageData", "ImageRows"]
