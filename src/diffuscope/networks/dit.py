r"""A diffusion transformer: image patches as tokens, conditioned on level and class by adaLN-zero.

.. math::
    h &\leftarrow h + g_1(e) \odot \mathrm{attention}\bigl((1 + a_1(e))\, \mathrm{norm}(h) + b_1(e)\bigr) \\
    h &\leftarrow h + g_2(e) \odot \mathrm{MLP}\bigl((1 + a_2(e))\, \mathrm{norm}(h) + b_2(e)\bigr)

The gates g are zero at the start, so that every block starts as the identity (Peebles & Xie 2023, section 3).
Positions are encoded by fixed two-dimensional sines and cosines.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, scaled_dot_product_attention

from diffuscope.diffusion.denoiser import Conditioning
from diffuscope.errors import InputError
from diffuscope.networks.blocks import Dropout, ImageNetwork, zeroed
from diffuscope.networks.embeddings import Sinusoids
from diffuscope.networks.unet import ImageEmbedding, Padded, Shape

__all__ = ["DiT"]


class DiT(ImageNetwork):
    """A small diffusion transformer. Images are padded internally to whole patches.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) of the images.
    classes : int
        Number of classes; 0: unconditional.
    conditions : int
        How many numbers there are to condition on in place of classes; 0: none.
    width : int
        Width of a token; a multiple of 4 and of ``heads``.
    depth, heads : int
        Blocks, and attention heads in each.
    patch : int
        Height and width of a patch.
    embedding : int
        Width of the embedding of level and class; 0: ``width``.
    dropout : float
    conditioning : {"log_snr", "time"}
        How the noise level is given.
    """

    def __init__(
        self,
        shape: Shape,
        classes: int = 0,
        width: Annotated[int, Field(ge=8, le=4096)] = 128,
        depth: Annotated[int, Field(ge=1, le=64)] = 6,
        heads: Annotated[int, Field(ge=1, le=64)] = 4,
        patch: Annotated[int, Field(ge=1, le=32)] = 2,
        embedding: Annotated[int, Field(ge=0, le=8192)] = 0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        conditioning: Conditioning = "log_snr",
        conditions: int = 0,
    ) -> None:
        super().__init__()
        if width % heads or width % 4:
            raise InputError(
                f"width = {width} must be a multiple of 4 and of heads = {heads}.",
                f"Choose heads = 4 and width = {max(8, width // 4 * 4)}.",
            )
        self.conditioning, self.patch = conditioning, patch
        self.classes, self.conditions = classes, conditions
        channels, height, _ = shape
        self.padded = Padded(height, shape[2], patch)
        self.size = (self.padded.height // patch, self.padded.width // patch)
        e = embedding or width
        self.embedding = ImageEmbedding(e, classes, conditioning, conditions)
        self.input = nn.Linear(channels * patch**2, width)
        self.places: Tensor
        encode = Sinusoids(width // 2)
        down, across = torch.meshgrid(*map(torch.arange, self.size), indexing="ij")
        places = torch.cat([encode(down.flatten()), encode(across.flatten())], dim=1)[None]
        self.register_buffer("places", places)
        self.blocks = nn.ModuleList([_Block(width, heads, e, dropout) for _ in range(depth)])
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zeroed(nn.Linear(e, 2 * width))
        self.output = zeroed(nn.Linear(width, channels * patch**2))

    def forward(self, x: Tensor, condition: Tensor, label: Tensor | None = None) -> Tensor:
        """Map images (n, c, h, w) at levels (n,), with labels, (n,) or (n, k), or without, to their shape."""
        e = self.embedding(condition, label)
        patches = pixel_unshuffle(self.padded(x), self.patch)
        h = self.input(patches.flatten(2).transpose(1, 2)) + self.places
        for block in self.blocks:
            h = block(h, e)
        scale, shift = self.modulation(e)[:, None].chunk(2, dim=2)
        patches = self.output(self.norm(h) * (1 + scale) + shift).transpose(1, 2)
        return self.padded.back(pixel_shuffle(patches.unflatten(2, self.size), self.patch))


class _Block(nn.Module):
    """Attention and an MLP of four times the width, each with a gate."""

    def __init__(self, width: int, heads: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = zeroed(nn.Linear(embedding, 6 * width))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), Dropout(dropout), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor, e: Tensor) -> Tensor:
        """Map tokens (n, positions, width), conditioned on (n or 1, embedding)."""
        a_1, b_1, g_1, a_2, b_2, g_2 = self.modulation(e)[:, None].chunk(6, dim=2)
        parts = self.qkv(self.norm(h) * (1 + a_1) + b_1).unflatten(2, (3, self.heads, -1))
        mixed = scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4)).transpose(1, 2)
        h = h + g_1 * self.out(mixed.flatten(2))
        return h + g_2 * self.mlp(self.norm(h) * (1 + a_2) + b_2)  # type: ignore[no-any-return]
