"""What does a classifier say of images? Which class each is, and features in which images can be compared.

Distances of pixels see what people do not (a shift by one pixel) and miss what they do (a sleeve too many).
Features of a network that has learned to tell classes apart are what such images are compared in.
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
    """Whatever images can be measured in."""

    def features(self, images: Images, /) -> NDArray[np.float32]:
        """Return the features (n, f) of images (n, C, H, W)."""
        ...


class Judged(NamedTuple):
    """Features (n, f) and probabilities of classes (n, k) of images."""

    features: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True)
class Classifier:
    """A trained network and what it was trained on.

    Attributes
    ----------
    network : FeatureNetwork
        On the CPU, in evaluation mode.
    shape : tuple of int
        (C, H, W) of the images that it takes.
    classes : tuple of str
    labelled : bool
        Whether these are the classes of the data. Without labels it has learned to tell groups and turns
        apart: its features serve, its probabilities say nothing that anyone has asked.
    """

    network: FeatureNetwork = field(repr=False)
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    labelled: bool = True

    def judge(self, images: Images) -> Judged:
        """Return features and probabilities at once; memory beside them stays flat for any number.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, C, H, W)
            May be a memory map.

        Raises
        ------
        InputError
            When the images are not of the shape that it takes.
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

    def accuracy(self, images: Images, labels: NDArray[np.integer]) -> float:
        """Return the share of images (n, C, H, W) whose label (n,) is the most probable class."""
        return float((self.probabilities(images).argmax(axis=1) == np.asarray(labels)).mean())


def checked_images(images: Images, shape: Sequence[int] | None = None) -> Images:
    """Return images as they are, if they are images.

    Raises
    ------
    InputError
        When they are not uint8 of shape (n, C, H, W), or an image is not of ``shape``.
    """
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        kind = f"{images.dtype} of shape {images.shape}" if isinstance(images, np.ndarray) else type(images)
        raise InputError(f"These are not images: {kind}.", "Give uint8 of shape (n, C, H, W).")
    if 0 in images.shape[1:] or (shape is not None and images.shape[1:] != tuple(shape)):
        wanted = "at least one pixel" if shape is None else f"shape {tuple(shape)} (C, H, W)"
        raise InputError(
            f"Images of shape {images.shape[1:]} are not what is expected.", f"Give images of {wanted}."
        )
    return images


def to_network(images: Images) -> Tensor:
    """Return images as the network sees them: float32 in [-1, 1]."""
    return torch.from_numpy(np.array(images)).float().div_(127.5).sub_(1)
