"""What does a classifier compute from images? Class probabilities, and features for comparing images.

Distances of pixels react to differences that people do not see (a shift by one pixel) and miss others (a
third sleeve). Images are therefore compared in the features of a network that was trained to classify them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.errors import InputError
from diffuscope.metrics.features.network import FEATURES, FeatureNetwork
from diffuscope.threads import side_by_side

__all__ = ["Classifier", "Extractor", "Images", "Judged", "checked_images", "to_network"]

Images = NDArray[np.uint8]

_BATCH = 256


class Extractor(Protocol):
    """A feature extractor for image metrics."""

    def features(self, images: Images, /) -> NDArray[np.float32]:
        """Return the features (n, f) of images (n, C, H, W)."""
        ...


class Judged(NamedTuple):
    """Features (n, f) and class probabilities (n, k) of images."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """A trained network on the CPU, with the shape (C, H, W) and the classes of its training data.

    One that is not ``labelled`` was trained to classify clusters and rotations: its features are useful, its
    probabilities are not.
    """

    network: FeatureNetwork = field(repr=False)
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    labelled: bool = True

    def judge(self, images: Images) -> Judged:
        """Return features and probabilities of images (n, C, H, W), uint8 and of ``shape``.

        They may be a memory map: other memory does not grow with their number.
        """
        images = checked_images(images, self.shape)

        def piece(start: int) -> tuple[Tensor, Tensor]:
            with torch.inference_mode():
                x = to_network(images[start : start + _BATCH])
                activations = self.network.activations(x)
                logits = self.network.head(activations)
                return activations / self.network.unit, logits.softmax(dim=1)

        pieces = list(side_by_side(piece, range(0, len(images), _BATCH)))
        if not pieces:
            return Judged(np.empty((0, FEATURES), np.float32), np.empty((0, len(self.classes)), np.float32))
        features, probabilities = (torch.cat(parts).numpy() for parts in zip(*pieces, strict=True))
        return Judged(features, probabilities)

    def features(self, images: Images) -> NDArray[np.float32]:
        """Return the features (n, f) of images (n, C, H, W), about 1 in size; see :meth:`judge`."""
        return self.judge(images).features

    def probabilities(self, images: Images) -> NDArray[np.float32]:
        """Return the probability of each class (n, k) for images (n, C, H, W); see :meth:`judge`."""
        return self.judge(images).probabilities


def checked_images(images: Images, shape: Sequence[int] | None = None) -> Images:
    """Return images unchanged, if they are uint8 of shape (n, C, H, W), each of ``shape``."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        kind = f"{images.dtype} of shape {images.shape}" if isinstance(images, np.ndarray) else type(images)
        raise InputError(f"These are not images: {kind}.", "Give an array of uint8 of shape (n, C, H, W).")
    if 0 in images.shape[1:] or (shape is not None and images.shape[1:] != tuple(shape)):
        expected = "at least one pixel" if shape is None else f"shape {tuple(shape)} (C, H, W)"
        raise InputError(
            f"Images of shape {images.shape[1:]} are not valid here.", f"Give images of {expected}."
        )
    return images


def to_network(images: Images) -> Tensor:
    """Return images as inputs of the network: float32 in [-1, 1]."""
    return torch.from_numpy(np.array(images)).float().div_(127.5).sub_(1)
