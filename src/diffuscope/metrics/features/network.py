"""Which network computes features of images? A small CNN, fast on a CPU, for 8 to 64 pixels and more.

Convolutions of 3 by 3 with batch norm, each halving the image until it is a few pixels wide, then average
pooling to 3 by 3 and two linear layers; the features are the activations between these two. Pooling to a grid
keeps positions: global pooling could not distinguish a shirt from its mirror image.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["FEATURES", "FeatureNetwork"]

FEATURES = 64
_GRID = 3
_FIRST, _WIDEST = 16, 96
_LARGE = 32  # above that the first layer halves as well, which keeps the cost of large images down


class FeatureNetwork(nn.Module):
    """A classifier of images of shape (C, H, W), whose penultimate activations are features."""

    unit: Tensor

    def __init__(self, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        channels, side = shape[0], min(shape[1:])
        layers: list[nn.Module] = []
        width = _FIRST
        if side > _LARGE:
            layers += [*_layer(channels, width, kernel=5, stride=2), nn.ReLU()]
            channels, side = width, side // 2
        while side >= 2 * _GRID:
            layers += [*_layer(channels, width), nn.MaxPool2d(2), nn.ReLU()]
            channels, side, width = width, side // 2, min(2 * width, _WIDEST)
        layers += [*_layer(channels, width), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.neck = nn.Linear(width * _GRID**2, FEATURES)
        self.head = nn.Linear(FEATURES, classes)
        self.register_buffer("unit", torch.ones(()))  # root mean square of a feature of training images

    def activations(self, x: Tensor) -> Tensor:
        """Return the inputs of the head, (n, f), for images (n, C, H, W) in [-1, 1]."""
        pooled = functional.adaptive_avg_pool2d(self.body(x), _GRID)
        return functional.relu(self.neck(pooled.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Return a logit for each class, (n, k), for images (n, C, H, W) in [-1, 1]."""
        return self.head(self.activations(x))  # type: ignore[no-any-return]


def _layer(channels: int, width: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(width)]
