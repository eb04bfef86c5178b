r"""How are numbers embedded for a network? As Fourier features, :math:`[\cos(2\pi F c), \sin(2\pi F c)]`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierFeatures", "Sinusoids", "class_embedding", "class_of", "shared"]


def shared(condition: Tensor) -> Tensor:
    """Return the single entry of a condition (n,) that was expanded from one, else the condition itself.

    In sampling all points are at one level, which then needs to be embedded only once.
    """
    return condition[:1] if condition.stride(0) == 0 else condition


def class_embedding(classes: int, width: int) -> nn.Embedding | None:
    """Return an embedding of classes and of none of them, 0 at the start; None where there are no classes."""
    if not classes:
        return None
    embedding = nn.Embedding(classes + 1, width)
    nn.init.zeros_(embedding.weight)
    return embedding


def class_of(label: Tensor | None, classes: int, device: torch.device) -> Tensor:
    """Return labels (n,) as they are; without any the null class (1,), of the unconditional model."""
    return torch.full((1,), classes, device=device) if label is None else label


class FourierFeatures(nn.Module):
    """Cosines and sines at fixed frequencies drawn from N(0, std²) (Tancik et al. 2020, section 5).

    Each of ``n_frequencies`` has a cosine and a sine; a larger ``std`` resolves finer differences.
    """

    frequencies: Tensor

    def __init__(self, n_frequencies: int, std: float = 1.0, dimension: int = 1) -> None:
        super().__init__()
        frequencies = torch.empty(dimension, n_frequencies)
        if not frequencies.is_meta:  # there, normal_ would import the compiler: 0.8 s
            frequencies.normal_().mul_(std)
        self.register_buffer("frequencies", frequencies)

    def forward(self, c: Tensor) -> Tensor:
        """Map numbers (n, dimension) to features (n, 2 * n_frequencies)."""
        phase = c @ self.frequencies * (2 * math.pi)
        return torch.cat([phase.cos(), phase.sin()], dim=1)


class Sinusoids(nn.Module):
    r"""Sines and cosines at fixed angular frequencies, evenly spaced in their logarithm.

    Frequencies from 1 to 1/10000 are the positional encoding of Vaswani et al. (2017, section 3.5), which Ho
    et al. (2020) use for the time. The ``width`` is even, at least 4; frequencies are in radians per unit.
    """

    frequencies: Tensor

    def __init__(self, width: int, fastest: float = 1.0, slowest: float = 1e-4) -> None:
        super().__init__()
        steps = torch.linspace(math.log(fastest), math.log(slowest), width // 2)
        self.register_buffer("frequencies", steps.exp())

    def forward(self, c: Tensor) -> Tensor:
        """Map numbers (n,) to features (n, width)."""
        phase = c[:, None].to(self.frequencies.dtype) * self.frequencies
        return torch.cat([phase.sin(), phase.cos()], dim=1)
