"""The U-Net of "The Annotated Diffusion Model" (Rogge & Rasul 2022), which the tutorial refers to.

Two ConvNeXt blocks and linear attention at each resolution, softmax attention in the middle, one skip
connection at each resolution but the highest. It is kept unchanged as a baseline; zero initialisation, skip
connections for every block and class conditioning are in :mod:`diffuscope.networks.unet`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Conditioning
from diffuscope.errors import InputError
from diffuscope.networks.blocks import ConvNeXtBlock, ImageNetwork, LinearAttention, SelfAttention
from diffuscope.networks.embeddings import Sinusoids, shared
from diffuscope.networks.unet import Padded, Shape, check_channels

__all__ = ["AnnotatedUNet"]

_HEADS, _HEAD_WIDTH = 4, 32


class AnnotatedUNet(ImageNetwork):
    """ConvNeXt blocks with linear attention, conditioned on the time.

    With its default settings and images of 1 × 28 × 28, it has 2,996,315 parameters.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of the images.
    classes : int
        Must be 0: class conditioning is not supported.
    width : int
        "dim"; the first convolution has two thirds of it.
    multipliers : sequence of int
        Channels at each resolution, as multiples of ``width``.
    conditioning : {"time", "log_snr"}
    """

    def __init__(
        self,
        shape: Shape,
        classes: int = 0,
        width: Annotated[int, Field(ge=8, le=1024)] = 28,
        multipliers: tuple[Annotated[int, Field(ge=1, le=16)], ...] = (1, 2, 4),
        conditioning: Conditioning = "time",
    ) -> None:
        super().__init__()
        if classes:
            raise InputError(
                'The network "annotated_unet" does not support class conditioning.',
                'Set data.labels = false, or choose network.name = "unet".',
            )
        check_channels([width * multiplier for multiplier in multipliers])
        self.conditioning, self.classes = conditioning, 0
        channels, e = shape[0], 4 * width
        self.padded = Padded(shape[1], shape[2], 2 ** (len(multipliers) - 1))
        sizes = [width // 3 * 2, *(width * multiplier for multiplier in multipliers)]
        self.input = nn.Conv2d(channels, sizes[0], 7, padding=3)
        self.time = nn.Sequential(
            Sinusoids(2 * (width // 2)), nn.Linear(2 * (width // 2), e), nn.GELU(), nn.Linear(e, e)
        )
        self.down = nn.ModuleList([_Level(before, after, e) for before, after in pairwise(sizes)])
        self.smaller = nn.ModuleList([nn.Conv2d(own, own, 4, 2, 1) for own in sizes[1:-1]])
        last = sizes[-1]
        first, attention = (
            ConvNeXtBlock(last, last, e),
            SelfAttention(last, _HEADS, _HEAD_WIDTH, 1, zero=False),
        )
        self.middle = nn.ModuleList([first, attention, ConvNeXtBlock(last, last, e)])
        back = sizes[:0:-1]
        self.up = nn.ModuleList([_Level(2 * before, after, e) for before, after in pairwise(back)])
        self.larger = nn.ModuleList([nn.ConvTranspose2d(own, own, 4, 2, 1) for own in back[1:]])
        self.output = nn.Sequential(ConvNeXtBlock(width, width, 0), nn.Conv2d(width, channels, 1))

    def forward(self, x: Tensor, condition: Tensor, label: Tensor | None = None) -> Tensor:
        """Map images (n, c, h, w) at times (n,) to the same shape."""
        e = self.time(shared(condition))
        h = self.input(self.padded(x))
        kept = []
        for i, level in enumerate(self.down):
            h = level(h, e)
            kept.append(h)
            if i < len(self.smaller):
                h = self.smaller[i](h)
        first, attention, second = self.middle
        h = second(attention(first(h, e)), e)
        for level, larger in zip(self.up, self.larger, strict=True):
            h = larger(level(torch.cat([h, kept.pop()], dim=1), e))
        return self.padded.back(self.output(h))


class _Level(nn.Module):
    """Two blocks and linear attention at one resolution."""

    def __init__(self, inputs: int, outputs: int, embedding: int) -> None:
        super().__init__()
        self.first = ConvNeXtBlock(inputs, outputs, embedding)
        self.second = ConvNeXtBlock(outputs, outputs, embedding)
        self.attention = LinearAttention(outputs, _HEADS, _HEAD_WIDTH, groups=1)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        return self.attention(self.second(self.first(x, e), e))  # type: ignore[no-any-return]
