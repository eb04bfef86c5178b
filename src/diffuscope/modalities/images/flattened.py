"""How are images diagnosed? As the points that they are, rows of pixels; only distances are of features."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.data.images import ImageData, as_bytes
from diffuscope.diffusion.denoiser import Denoiser

__all__ = ["FlatNetwork", "as_rows", "flat_data", "flat_denoiser", "flat_pixels", "flat_scaling"]


class FlatNetwork(nn.Module):
    """A network of images, asked with rows of pixels.

    Parameters
    ----------
    network : nn.Module
        Maps (n, channels, height, width), (n,) to the shape of the images.
    shape : tuple of int
        (channels, height, width).
    """

    def __init__(self, network: nn.Module, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map rows (n, d) to rows."""
        answer: Tensor = self.network(x.reshape(-1, *self.shape), condition)
        return answer.flatten(1)


def flat_denoiser(denoiser: Denoiser, shape: tuple[int, ...]) -> Denoiser:
    """Return a denoiser of images as one of rows of pixels, with the same weights."""
    return Denoiser(
        FlatNetwork(denoiser.network, shape),
        denoiser.schedule,
        denoiser.prediction,
        denoiser.sigma_data,
        denoiser.conditioning,
    )


def flat_scaling(scaling: Scaling) -> Scaling:
    """Return the scaling of rows of pixels."""
    return Scaling(scaling.shift.ravel(), scaling.scale.ravel())


def flat_data(data: ImageData) -> Dataset:
    """Return images as rows of pixels; nothing is copied."""
    return Dataset(
        data.name, data.pixels.reshape(len(data.x), -1), None, None, {**data.source, "kind": "file"}
    )


def flat_pixels(points: NDArray[np.floating], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return rows of pixels (n, d) as images, the nearest that there are."""
    assert points.shape[1] == math.prod(shape)
    return as_bytes(points).reshape(-1, *shape)


def as_rows(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return images as rows of numbers."""
    return images.reshape(len(images), -1).astype(np.float64)
