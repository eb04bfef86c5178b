"""How are a few images compared, too few to train a classifier with? By their pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from diffuscope.metrics.features.classifier import Images, checked_images

__all__ = ["FEWEST", "PixelFeatures"]

FEWEST = 16
"""Images with which a classifier can be trained."""


class PixelFeatures:
    """Pixels as features, in units of the range of a pixel."""

    def features(self, images: Images) -> NDArray[np.float32]:
        """Return the pixels (n, C * H * W) of images (n, C, H, W), 0 to 1."""
        images = checked_images(images)
        return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)
