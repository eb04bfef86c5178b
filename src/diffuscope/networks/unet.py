r"""The U-Net of the DDPM lineage: downsampling and upsampling, with skip connections at every resolution.

.. code-block:: text

    image → fold → conv ──────────────────────────────────────────→ norm, conv → unfold → image
                    └ blocks ─────────────────────────────→ blocks ┘
                        └ down, blocks ────→ blocks, up ┘
                             └ block, attention, block ┘

Ho et al. (2020, appendix B), with later improvements: scale and shift by the embedding, zero initialisation
of residual branches (Dhariwal & Nichol 2021), and pixels folded into channels before the first convolution,
which saves most of the computation at little cost in quality.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pad, pixel_shuffle, pixel_unshuffle, silu

import diffuscope.networks.blocks as parts
from diffuscope.diffusion.denoiser import Conditioning
from diffuscope.errors import InputError
from diffuscope.networks.embeddings import Sinusoids, label_embedding, shared

__all__ = ["ImageEmbedding", "Padded", "UNet", "check_channels"]

Shape = tuple[int, int, int]
_Few = Annotated[int, Field(ge=1, le=16)]
_Count = Annotated[int, Field(ge=0, le=64)]
_Share = Annotated[float, Field(ge=0, lt=1)]
_MOST_CHANNELS = 2**13
_WIDEST_HEAD = 512
_LARGEST_STRIDE = 64  # pixels, of images that are no larger
_BLOCKS: dict[str, Callable[..., nn.Module]] = {
    "resnet": parts.ResNetBlock,
    "convnext": parts.ConvNeXtBlock,
}
_RESAMPLING = {
    "strided": (parts.strided_down, parts.strided_up),
    "pixel": (parts.pixel_down, parts.pixel_up),
}


class ImageEmbedding(nn.Module):
    """The conditioning of an image network: noise level and label as one vector.

    The number of ``classes`` is itself the null class; in their place there may be labels of so many numbers,
    ``conditions``; 0 of both: unconditional.
    """

    def __init__(self, width: int, classes: int, conditioning: Conditioning, conditions: int = 0) -> None:
        super().__init__()
        self.is_log_snr = conditioning == "log_snr"
        features = 2 * max(8, width // 8)
        # log_snr / 8 lies in ±2.5; differences of a tenth must be resolved.
        self.level = Sinusoids(features, 64.0, 0.25) if self.is_log_snr else Sinusoids(features)
        self.layers = nn.Sequential(nn.Linear(features, width), nn.SiLU(), nn.Linear(width, width))
        self.label = label_embedding(classes, conditions, width, std=0.02)

    def forward(self, condition: Tensor, label: Tensor | None) -> Tensor:
        """Map levels (n,) and labels (n,) or (n, k) to vectors (n or 1, width)."""
        c = shared(condition).float()
        e: Tensor = self.layers(self.level(c / 8 if self.is_log_snr else c))
        if self.label is not None:
            e = e + self.label(label)
        return silu(e)


class Padded:
    """Zero padding of images to a height and width that are multiples of a number.

    It may be at most 64, or the larger of both.
    """

    def __init__(self, height: int, width: int, multiple: int) -> None:
        most = max(_LARGEST_STRIDE, height, width)
        if multiple > most:
            raise InputError(
                f"Images of {height} × {width} cannot be downsampled by a factor of {multiple:,}.",
                f"Give fewer multipliers or a smaller patch; the factor may be at most {most}.",
            )
        down, across = (-height) % multiple, (-width) % multiple
        self.sides = (across // 2, across - across // 2, down // 2, down - down // 2)
        self.height, self.width = height + down, width + across

    def __call__(self, x: Tensor) -> Tensor:
        """Return images (n, c, h, w) with zero padding."""
        return pad(x, self.sides) if any(self.sides) else x

    def back(self, x: Tensor) -> Tensor:
        """Remove the padding."""
        left, right, top, bottom = self.sides
        return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


class UNet(parts.ImageNetwork):
    """A U-Net. Images are padded internally to a multiple of its total stride.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of the images.
    classes : int
        Number of classes; 0: unconditional.
    conditions : int
        How many numbers there are to condition on in place of classes; 0: none.
    width : int
        Channels at the highest resolution.
    multipliers : sequence of int
        Channels at each resolution, as multiples of ``width``; each halves height and width.
    blocks : int
        Blocks at each resolution of the down path; the up path has one more.
    block : {"resnet", "convnext"}
    attention : sequence of int
        Heights at which attention follows each block. The middle always has attention.
    linear_attention : sequence of int
        Heights at which linear attention follows each block.
    head_width : int
        Channels of an attention head.
    patch : int
        Side of the squares of pixels folded into channels; 2 makes it four times as fast.
    resampling : {"strided", "pixel"}
        By convolutions of stride 2 and nearest-neighbour upsampling, or by pixel unshuffle and shuffle.
    embedding : int
        Width of the embedding of level and class; 0: four times ``width``.
    dropout : float
    conditioning : {"log_snr", "time"}
        How the noise level is given.
    """

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
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.conditioning, self.patch = conditioning, patch
        self.classes, self.conditions = classes, conditions
        channels, height, _ = shape
        widths = [width * multiplier for multiplier in multipliers]
        check_channels(widths)
        self.padded = Padded(height, shape[2], patch * 2 ** (len(widths) - 1))
        heights = [self.padded.height // patch // 2**i for i in range(len(widths))]
        _check(widths, heights, attention, linear_attention, head_width)
        e = embedding or 4 * width
        self.embedding = ImageEmbedding(e, classes, conditioning, conditions)
        make, (down, up) = _BLOCKS[block], _RESAMPLING[resampling]

        def attend(kind: type[parts.SelfAttention], own: int) -> nn.Module:
            return kind(own, max(1, own // head_width), min(head_width, own), parts.groups_for(own))

        def level(inputs: Sequence[int], own: int, height: int) -> nn.ModuleList:
            made = nn.ModuleList()
            for count in inputs:
                layers = [make(count, own, e, dropout)]
                if height in attention:
                    layers.append(attend(parts.SelfAttention, own))
                if height in linear_attention:
                    layers.append(attend(parts.LinearAttention, own))
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
        first, attended = make(last, last, e, dropout), attend(parts.SelfAttention, last)
        self.middle = nn.ModuleList([first, attended, make(last, last, e, dropout)])
        self.up, self.larger = nn.ModuleList(), nn.ModuleList()
        for i, (own, tall) in reversed(list(enumerate(zip(widths, heights, strict=True)))):
            before = [last, *[own] * blocks]
            self.up.append(level([count + kept.pop() for count in before], own, tall))
            last = own
            if i:
                self.larger.append(up(own, widths[i - 1]))
                last = widths[i - 1]
        self.norm = nn.GroupNorm(parts.groups_for(last), last)
        self.output = parts.zeroed(nn.Conv2d(last, channels * patch**2, 3, padding=1))

    def forward(self, x: Tensor, condition: Tensor, label: Tensor | None = None) -> Tensor:
        """Map images (n, c, h, w) at levels (n,), with labels, (n,) or (n, k), or without, to their shape."""
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
    """A block, followed by layers without embedding."""

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        x = self.layers[0](x, e)
        for layer in self.layers[1:]:
            x = layer(x)
        return x


def check_channels(widths: Sequence[int]) -> None:
    """Check that a U-Net has a resolution, and not too many channels for memory."""
    if not widths or max(widths) > _MOST_CHANNELS:
        raise InputError(
            f"The channels {list(widths)} are not valid for a U-Net.",
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
                f"attention at height {height} is not possible: no resolution of this U-Net has that height.",
                f"Its heights are {', '.join(map(str, heights))}.",
            )
    attended = {*attention, *linear_attention, heights[-1]}
    heads = [own for own, height in zip(widths, heights, strict=True) if height in attended]
    if any(own > head_width and own % head_width for own in heads):
        largest = max(d for d in range(1, _WIDEST_HEAD + 1) if math.gcd(*heads) % d == 0)
        raise InputError(
            f"head_width = {head_width} does not divide the channels {', '.join(map(str, heads))}.",
            f"Choose head_width = {largest}, or another width.",
        )
