r"""What are image networks built of? Blocks conditioned on the noise level, attention, resampling.

All modules map (n, channels, height, width); resampling changes height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import (
    interpolate,
    pixel_shuffle,
    pixel_unshuffle,
    scaled_dot_product_attention,
    silu,
)

__all__ = [
    "ConvNeXtBlock",
    "LinearAttention",
    "PixelDown",
    "PixelUp",
    "ResNetBlock",
    "SelfAttention",
    "StridedDown",
    "StridedUp",
    "groups_for",
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


class ResNetBlock(nn.Module):
    r"""Residual block of two convolutions, the second conditioned on the level by scale and shift.

    .. math::
        h = W_1\, \mathrm{silu}(\mathrm{norm}(x)), \qquad
        y = S x + W_2\, \mathrm{silu}\bigl((1 + a(e))\, \mathrm{norm}(h) + b(e)\bigr)

    Group norm (Wu & He 2018); scale and shift of Dhariwal & Nichol (2021, appendix). :math:`W_2` is zero at
    the start.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    embedding : int
        Width of e.
    dropout : float
        Dropout probability before :math:`W_2`.
    """

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm_1 = nn.GroupNorm(groups_for(inputs), inputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulation = nn.Linear(embedding, 2 * outputs)
        self.norm_2 = nn.GroupNorm(groups_for(outputs), outputs)
        self.dropout = nn.Dropout(dropout)
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

    After Liu et al. (2022), with 3 × 3 convolutions instead of 1 × 1: depthwise 7 × 7, the
    embedding added to every channel, norm, 3 × 3 to ``factor`` times as many channels, GELU, norm, 3 × 3
    back.

    Parameters
    ----------
    inputs, outputs : int
        Channels.
    embedding : int
        Width of the embedding; 0: none.
    dropout : float
    factor : int
    """

    def __init__(
        self, inputs: int, outputs: int, embedding: int, dropout: float = 0.0, factor: int = 2
    ) -> None:
        super().__init__()
        self.modulation = nn.Sequential(nn.GELU(), nn.Linear(embedding, inputs)) if embedding else None
        self.depthwise = nn.Conv2d(inputs, inputs, 7, padding=3, groups=inputs)
        self.rest = nn.Sequential(
            nn.GroupNorm(1, inputs),
            nn.Conv2d(inputs, factor * outputs, 3, padding=1),
            nn.GELU(),
            nn.GroupNorm(1, factor * outputs),
            nn.Dropout(dropout),
            nn.Conv2d(factor * outputs, outputs, 3, padding=1),
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

    Parameters
    ----------
    channels, heads, head_width : int
    groups : int
        Of the group norm of the input.
    zero : bool
        Whether the output layer starts as zero.
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
        q, k, v = _split(self.qkv(self.norm(x)), self.heads)
        mixed = scaled_dot_product_attention(q, k, v).transpose(-1, -2)
        return x + self.out(mixed.reshape(x.shape[0], -1, *x.shape[2:]))  # type: ignore[no-any-return]


class LinearAttention(nn.Module):
    r"""Attention whose cost is linear in the number of positions (Shen et al. 2021).

    .. math::  y = (\mathrm{softmax}_{places}(k)^T v)^T \,\mathrm{softmax}_{channels}(q) / \sqrt{width}

    Parameters
    ----------
    channels, heads, head_width, groups : int
        As of :class:`SelfAttention`.
    """

    def __init__(self, channels: int, heads: int, head_width: int, groups: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * heads * head_width, 1, bias=False)
        self.out = nn.Sequential(nn.Conv2d(heads * head_width, channels, 1), nn.GroupNorm(1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        q, k, v = _split(self.qkv(self.norm(x)), self.heads)
        q = q.softmax(dim=-1) / q.shape[-1] ** 0.5
        context = k.softmax(dim=-2).transpose(-1, -2) @ v
        mixed = (q @ context).transpose(-1, -2)
        return x + self.out(mixed.reshape(x.shape[0], -1, *x.shape[2:]))  # type: ignore[no-any-return]


def _split(qkv: Tensor, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Split (n, 3 * heads * width, h, w) into three of shape (n, heads, positions, width)."""
    n, channels, height, width = qkv.shape
    parts = qkv.reshape(n, 3, heads, channels // (3 * heads), height * width).transpose(-1, -2)
    q, k, v = parts.unbind(1)
    return q, k, v


class StridedDown(nn.Conv2d):
    """Halve height and width by a convolution of stride 2."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 3, stride=2, padding=1)


class StridedUp(nn.Module):
    """Double height and width by nearest-neighbour upsampling, then a convolution (Odena et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, 2h, 2w)."""
        return self.conv(interpolate(x, scale_factor=2.0, mode="nearest"))  # type: ignore[no-any-return]


class PixelDown(nn.Module):
    """Halve height and width by pixel unshuffle, then a 1 × 1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, 2h, 2w) to (n, outputs, h, w)."""
        return self.conv(pixel_unshuffle(x, 2))  # type: ignore[no-any-return]


class PixelUp(nn.Module):
    """Double height and width by a 1 × 1 convolution, then pixel shuffle (Shi et al. 2016)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, 4 * outputs, 1)
        with torch.no_grad():  # the four pixels of a square start equal: no checkerboard
            for parameter in self.conv.parameters():
                parameter.copy_(parameter[::4].repeat_interleave(4, dim=0))

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, 2h, 2w)."""
        return pixel_shuffle(self.conv(x), 2)
