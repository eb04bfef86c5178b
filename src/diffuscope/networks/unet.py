r"""The U-Net of the DDPM lineage: down to few places and up again, with ways across at every size.

.. code-block:: text

    image → fold → conv ──────────────────────────────────────────→ norm, conv → unfold → image
                    └ blocks ─────────────────────────────→ blocks ┘
                        └ down, blocks ────→ blocks, up ┘
                             └ block, attention, block ┘

Ho et al. (2020, appendix B), with what has been learned since: scale and shift by the embedding, zeros where
a path begins (Dhariwal & Nichol 2021), pixels folded into channels before the first convolution, which costs
little of the picture and saves most of the work.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle, silu

from diffuscope.diffusion.denoiser import Conditioning
from diffuscope.errors import InputError
from diffuscope.networks.blocks import (
    ConvNeXtBlock,
    LinearAttention,
    PixelDown,
    PixelUp,
    ResNetBlock,
    SelfAttention,
    StridedDown,
    StridedUp,
    groups_for,
    zeroed,
)
from diffuscope.networks.embeddings import Sinusoids, shared

__all__ = ["ImageEmbedding", "Padded", "UNet", "check_channels"]

Shape = tuple[int, int, int]
_Few = Annotated[int, Field(ge=1, le=16)]
_Count = Annotated[int, Field(ge=0, le=64)]
_Share = Annotated[float, Field(ge=0, lt=1)]
_MOST_CHANNELS = 2**13
_WIDEST_HEAD = 512
_LARGEST_STRIDE = 64  # pixels, of images that are no larger
_BLOCKS: dict[str, type[ResNetBlock | ConvNeXtBlock]] = {"resnet": ResNetBlock, "convnext": ConvNeXtBlock}


class ImageEmbedding(nn.Module):
    """What a network of images is told: the noise level, and the class, as one vector.

    Parameters
    ----------
    width : int
        Of the vector.
    classes : int
        0: unconditional. The class of this number is "any".
    conditioning : {"log_snr", "time"}
        What the level is given as.
    """

    def __init__(self, width: int, classes: int, conditioning: Conditioning) -> None:
        super().__init__()
        self.classes, self.is_log_snr = classes, conditioning == "log_snr"
        features = 2 * max(8, width // 8)
        # log_snr / 8 lies in ±2.5, and what differs by a tenth of it is to be told apart.
        self.level = Sinusoids(features, 64.0, 0.25) if self.is_log_snr else Sinusoids(features)
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes + 1, width) if classes else None
        if self.label is not None:
            nn.init.normal_(self.label.weight, std=0.02)

    def forward(self, condition: Tensor, label: Tensor | None) -> Tensor:
        """Map levels (n,) and labels (n,) to vectors (n or 1, width)."""
        c = shared(condition).float()
        e: Tensor = self.layers(self.level(c / 8 if self.is_log_snr else c))
        if self.label is not None:
            everyone = torch.full((1,), self.classes, device=condition.device) if label is None else label
            e = e + self.label(everyone)
        return silu(e)


class Padded:
    """Images with as many pixels around that their sides are multiples of a number.

    Parameters
    ----------
    height, width : int
    multiple : int

    Raises
    ------
    InputError
        When nearly all would be padding: the number is above 64 and above both sides.
    """

    def __init__(self, height: int, width: int, multiple: int) -> None:
        most = max(_LARGEST_STRIDE, height, width)
        if multiple > most:
            raise InputError(
                f"Images of {height} × {width} cannot be made {multiple:,} times smaller.",
                f"Give fewer multipliers or a smaller patch: {most} times at most.",
            )
        down, across = (-height) % multiple, (-width) % multiple
        self.sides = (across // 2, across - across // 2, down // 2, down - down // 2)
        self.height, self.width = height + down, width + across

    def __call__(self, x: Tensor) -> Tensor:
        """Return images (n, c, h, w) with zeros around."""
        return pad(x, self.sides) if any(self.sides) else x

    def back(self, x: Tensor) -> Tensor:
        """Return the inner part again."""
        left, right, top, bottom = self.sides
        return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


class UNet(nn.Module):
    """A U-Net. Sides that its strides do not divide are padded inside.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of the images.
    classes : int
        Classes that it can be conditioned on; 0: none.
    width : int
        Channels at the largest size.
    multipliers : sequence of int
        Channels at each size, in widths; each size has half the height and width of the one before.
    blocks : int
        At each size on the way down; one more on the way up.
    block : {"resnet", "convnext"}
    attention : sequence of int
        Heights at which there is attention after each block. In the middle there always is.
    linear_attention : sequence of int
        Heights at which there is linear attention after each block.
    head_width : int
        Channels of a head of attention.
    patch : int
        Squares of so many pixels a side are folded into channels: 2 makes it four times as fast.
    resampling : {"strided", "pixel"}
        How sizes change: by convolutions of stride 2 and repetition, or by folding pixels into channels and
        back.
    embedding : int
        Width of the embedding of level and class; 0: four times ``width``.
    dropout : float
    conditioning : {"log_snr", "time"}
        What stands for the noise level.

    Attributes
    ----------
    per_example : bool
        Nothing that it says of one image depends on another: parts of a batch can be looked at side by side.

    Raises
    ------
    InputError
        When there is no image of a height at which attention is asked for, or channels do not fit.
    """

    per_example = True

    def __init__(
        self,
        shape: Shape,
        classes: int = 0,
        width: Annotated[int, Field(ge=8, le=2048)] = 64,
        multipliers: tuple[_Few, ...] = (1, 2),
        blocks: Annotated[int, Field(ge=1, le=16)] = 2,
        block: Literal["resnet", "convnext"] = "resnet",
        attention: tuple[_Count, ...] = (),
        linear_attention: tuple[_Count, ...] = (),
        head_width: Annotated[int, Field(ge=4, le=_WIDEST_HEAD)] = 32,
        patch: Annotated[int, Field(ge=1, le=16)] = 1,
        resampling: Literal["strided", "pixel"] = "strided",
        embedding: Annotated[int, Field(ge=0, le=8192)] = 0,
        dropout: _Share = 0.0,
        conditioning: Conditioning = "log_snr",
    ) -> None:
        super().__init__()
        self.conditioning, self.classes, self.patch = conditioning, classes, patch
        channels, height, _ = shape
        widths = [width * multiplier for multiplier in multipliers]
        check_channels(widths)
        self.padded = Padded(height, shape[2], patch * 2 ** (len(widths) - 1))
        heights = [self.padded.height // patch // 2**i for i in range(len(widths))]
        _check(widths, heights, attention, linear_attention, head_width)
        e = embedding or 4 * width
        self.embedding = ImageEmbedding(e, classes, conditioning)
        make, down = _BLOCKS[block], {"strided": StridedDown, "pixel": PixelDown}[resampling]
        up = {"strided": StridedUp, "pixel": PixelUp}[resampling]

        def level(inputs: Sequence[int], outputs: int, height: int) -> nn.ModuleList:
            made = nn.ModuleList()
            for count in inputs:
                layers: list[nn.Module] = [make(count, outputs, e, dropout)]
                if height in attention:
                    layers.append(_attention(SelfAttention, outputs, head_width))
                if height in linear_attention:
                    layers.append(_attention(LinearAttention, outputs, head_width))
                made.append(_Steps(layers))
            return made

        self.input = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)
        kept, last = [widths[0]], widths[0]
        self.down, self.smaller = nn.ModuleList(), nn.ModuleList()
        for i, (own, tall) in enumerate(zip(widths, heights, strict=True)):
            if i:
                self.smaller.append(down(last, own))
                kept.append(own)
                last = own
            self.down.append(level([last, *[own] * (blocks - 1)], own, tall))
            kept += [own] * blocks
        self.middle = nn.ModuleList(
            [
                make(last, last, e, dropout),
                _attention(SelfAttention, last, head_width),
                make(last, last, e, dropout),
            ]
        )
        self.up, self.larger = nn.ModuleList(), nn.ModuleList()
        for i, (own, tall) in reversed(list(enumerate(zip(widths, heights, strict=True)))):
            inputs = []
            for _ in range(blocks + 1):
                inputs.append(last + kept.pop())
                last = own
            self.up.append(level(inputs, own, tall))
            if i:
                self.larger.append(up(own, widths[i - 1]))
                last = widths[i - 1]
        self.norm = nn.GroupNorm(groups_for(last), last)
        self.output = zeroed(nn.Conv2d(last, channels * patch**2, 3, padding=1))

    def forward(self, x: Tensor, condition: Tensor, label: Tensor | None = None) -> Tensor:
        """Map images (n, c, h, w) at levels (n,), of classes (n,) or any, to the same shape."""
        e = self.embedding(condition, label)
        h = self.input(pixel_unshuffle(self.padded(x), self.patch))
        kept = [h]
        for i, blocks in enumerate(self.down):
            if i:
                h = self.smaller[i - 1](h)
                kept.append(h)
            for block in blocks.children():
                h = block(h, e)
                kept.append(h)
        first, attention, second = self.middle
        h = second(attention(first(h, e)), e)
        for i, blocks in enumerate(self.up):
            for block in blocks.children():
                h = block(torch.cat([h, kept.pop()], dim=1), e)
            if i < len(self.larger):
                h = self.larger[i](h)
        return self.padded.back(pixel_shuffle(self.output(silu(self.norm(h))), self.patch))


class _Steps(nn.Module):
    """A block, and what follows it that needs no embedding."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        x = self.layers[0](x, e)
        for layer in self.layers[1:]:
            x = layer(x)
        return x


def _attention(
    kind: type[SelfAttention | LinearAttention], channels: int, head_width: int
) -> SelfAttention | LinearAttention:
    return kind(channels, max(1, channels // head_width), min(head_width, channels), groups_for(channels))


def check_channels(widths: Sequence[int]) -> None:
    """Refuse a U-Net without any size, or with so many channels that no memory holds it.

    Raises
    ------
    InputError
    """
    if not widths or max(widths) > _MOST_CHANNELS:
        raise InputError(
            f"A U-Net with channels {list(widths)} cannot be made.",
            f"Give one multiplier or more, and at most {_MOST_CHANNELS:,} channels.",
        )


def _check(
    widths: Sequence[int],
    heights: Sequence[int],
    attention: Sequence[int],
    linear_attention: Sequence[int],
    head_width: int,
) -> None:
    for height in (*attention, *linear_attention):
        if height not in heights:
            raise InputError(
                f"No images in this U-Net are {height} high, where attention is asked for.",
                f"Its heights are {', '.join(map(str, heights))}.",
            )
    asked = {*attention, *linear_attention, heights[-1]}
    heads = [own for own, height in zip(widths, heights, strict=True) if height in asked]
    if any(own > head_width and own % head_width for own in heads):
        raise InputError(
            f"Heads of {head_width} channels do not divide {', '.join(map(str, heads))} channels.",
            f"Choose head_width = {_divisor(math.gcd(*heads))}, or another width.",
        )


def _divisor(number: int) -> int:
    """Return the largest divisor that a head may be wide."""
    return max(d for d in range(1, _WIDEST_HEAD + 1) if number % d == 0)
