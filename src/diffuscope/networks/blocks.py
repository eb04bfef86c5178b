"""What are image networks built of? Blocks conditioned on the noise level, attention, resampling.

All modules map (n, channels, height, width); resampling changes height and width.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

__all__ = [
    "ConvNeXtBlock",
    "Dropout",
    "ImageNetwork",
    "LinearAttention",
    "ResNetBlock",
    "SelfAttention",
    "groups_for",
    "pixel_down",
    "pixel_up",
    "strided_down",
    "strided_up",
    "zeroed",
]

_MOST_GROUPS = 32
_LEAST_GROUP = 8  # channels


def groups_for(channels: int) -> int:
    """Return the number of groups for group norm: at most 32, of at least 8 channels each."""
    groups = max(1, min(_MOST_GROUPS, channels // _LEAST_GROUP))
    while channels % groups:
        groups -= 1
    return groups


def zeroed(layer: nn.Module) -> nn.Module:
    """Return the layer with all weights set to zero, so that its residual branch starts as zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Dropout(nn.Dropout):
    """Dropout that draws from a generator of its own, where it has one; the numbers are those of torch's.

    Where x is ``own`` rows of a batch of which other processes have the rest, ``own`` of the draws for the
    whole batch are taken, so that they do not depend on the number of processes.
    """

    generator: torch.Generator | Callable[[], torch.Generator] | None = None  # or that of this thread
    own: range | None = None
    whole: int = 0  # rows of the batch

    def forward(self, x: Tensor) -> Tensor:
        """Zero some entries of x (n, ...), and scale the others up, in training."""
        if self.generator is None or not self.training or not self.p:
            return super().forward(x)
        return x * self.kept(x)

    def kept(self, x: Tensor) -> Tensor:
        """Draw the factors, the shape of x, that x (n, ...) is multiplied by in training."""
        shared = self.own is not None and len(x) == len(self.own)
        kept = x.new_empty(self.whole, *x.shape[1:]) if shared else torch.empty_like(x)
        generator = self.generator() if callable(self.generator) else self.generator
        kept.bernoulli_(1 - self.p, generator=generator)
        if shared and self.own is not None:
            kept = kept[self.own.start :: self.own.step][: len(x)]
        return kept.div(1 - self.p)


class ImageNetwork(nn.Module):
    """A network of images; what it makes of one depends on no other: parts of a batch can run in parallel."""

    kind = "image"
    per_example = True


class ResNetBlock(nn.Module):
    r"""Residual block of two convolutions, the second conditioned on the level by scale and shift.

    .. math::
        h = W_1\, \mathrm{silu}(\mathrm{norm}(x)), \qquad
        y = S x + W_2\, \mathrm{silu}\bigl((1 + a(e))\, \mathrm{norm}(h) + b(e)\bigr)

    Group norm (Wu & He 2018); scale and shift of Dhariwal & Nichol (2021, appendix). :math:`W_2` is zero at
    the start, with dropout before it.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups_for(inputs), inputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_2 = nn.GroupNorm(groups_for(outputs), outputs)
        self.dropout = Dropout(dropout)
        self.conv_2 = zeroed(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.straight = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """Map (n, inputs, h, w) and embeddings (n or 1, embedding) to (n, outputs, h, w)."""
        h = self.conv_1(silu(self.norm_1(x)))
        scale, shift = self.modulation(e)[:, :, None, None].chunk(2, dim=1)
        h = self.norm_2(h) * (1 + scale) + shift
        return self.straight(x) + self.conv_2(self.dropout(silu(h)))  # type: ignore[no-any-return]


class ConvNeXtBlock(nn.Module):
    r"""A wide depthwise convolution and two others, as in the annotated diffusion model.

    After Liu et al. (2022), with 3 × 3 convolutions instead of 1 × 1: depthwise 7 × 7, the embedding (unless
    its width is 0) added to every channel, norm, 3 × 3 to twice as many channels, GELU, norm, 3 × 3 back.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.modulation = nn.Sequential(nn.GELU(), nn.Linear(embedding, inputs)) if embedding else None
        self.depthwise = nn.Conv2d(inputs, inputs, 7, padding=3, groups=inputs)
        self.rest = nn.Sequential(
            nn.GroupNorm(1, inputs),
            nn.Conv2d(inputs, 2 * outputs, 3, padding=1),
            nn.GELU(),
            nn.GroupNorm(1, 2 * outputs),
            Dropout(dropout),
            nn.Conv2d(2 * outputs, outputs, 3, padding=1),
        )
        self.straight = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """Map (n, inputs, h, w) and embeddings (n or 1, embedding) to (n, outputs, h, w)."""
        h = self.depthwise(x)
        if self.modulation is not None and e is not None:
            h = h + self.modulation(e)[:, :, None, None]
        return self.straight(x) + self.rest(h)  # type: ignore[no-any-return]


class SelfAttention(nn.Module):
    """Softmax attention among all positions of an image, with a residual connection.

    ``groups`` are those of the group norm of the input; with ``zero`` the output layer starts as zero.
    """

    def __init__(self, channels: int, heads: int, head_width: int, groups: int, zero: bool = True) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * head_width, 1, bias=False)
        out = nn.Conv2d(heads * head_width, channels, 1)
        self.out = zeroed(out) if zero else out

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        parts = self.qkv(self.norm(x)).unflatten(1, (3, self.heads, -1)).flatten(-2).transpose(-1, -2)
        mixed = self.mixed(*parts.unbind(1)).transpose(-1, -2)
        return x + self.out(mixed.reshape(x.shape[0], -1, *x.shape[2:]))  # type: ignore[no-any-return]

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the values mixed by attention; all of shape (n, heads, positions, width)."""
        return scaled_dot_product_attention(q, k, v)


class LinearAttention(SelfAttention):
    r"""Attention whose cost is linear in the number of positions (Shen et al. 2021).

    .. math::  y = (\mathrm{softmax}_{places}(k)^T v)^T \,\mathrm{softmax}_{channels}(q) / \sqrt{width}
    """

    def __init__(self, channels: int, heads: int, head_width: int, groups: int) -> None:
        super().__init__(channels, heads, head_width, groups, zero=False)
        self.out = nn.Sequential(self.out, nn.GroupNorm(1, channels))

    def mixed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the values mixed by attention; all of shape (n, heads, positions, width)."""
        q = q.softmax(dim=-1) / q.shape[-1] ** 0.5
        return q @ (k.softmax(dim=-2).transpose(-1, -2) @ v)


def strided_down(inputs: int, outputs: int) -> nn.Module:
    """Halve height and width by a convolution of stride 2."""
    return nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)


def strided_up(inputs: int, outputs: int) -> nn.Module:
    """Double height and width by nearest-neighbour upsampling, then a convolution (Odena et al. 2016)."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    return nn.Sequential(OrderedDict(larger=nn.Upsample(scale_factor=2.0), conv=conv))


def pixel_down(inputs: int, outputs: int) -> nn.Module:
    """Halve height and width by pixel unshuffle, then a 1 × 1 convolution."""
    return nn.Sequential(OrderedDict(smaller=nn.PixelUnshuffle(2), conv=nn.Conv2d(4 * inputs, outputs, 1)))


def pixel_up(inputs: int, outputs: int) -> nn.Module:
    """Double height and width by a 1 × 1 convolution, then pixel shuffle (Shi et al. 2016)."""
    conv = nn.Conv2d(inputs, 4 * outputs, 1)
    with torch.no_grad():  # the four pixels of a square start equal: no checkerboard
        for parameter in conv.parameters():
            parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))
    return nn.Sequential(OrderedDict(conv=conv, larger=nn.PixelShuffle(2)))
