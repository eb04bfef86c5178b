r"""How are numbers shown to a network? As waves: :math:`[\cos(2\pi F c), \sin(2\pi F c)]`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierFeatures", "shared"]


def shared(condition: Tensor) -> Tensor:
    """Return the one entry of a condition (n,) that was expanded from it, else the condition itself.

    In sampling all points are at one level: what is made of it need not be made n times.
    """
    return condition[:1] if condition.stride(0) == 0 else condition


class FourierFeatures(nn.Module):
    """Cosines and sines at fixed frequencies drawn from N(0, std²) (Tancik et al. 2020, section 5).

    Parameters
    ----------
    n_frequencies : int
        Features come in pairs; 0 gives none.
    std : float
        Spread of the frequencies: the larger, the finer the differences that can be told.
    dimension : int
        Coordinates of what is shown.
    """

    frequencies: Tensor

    def __init__(self, n_frequencies: int, std: float = 1.0, dimension: int = 1) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(dimension, n_frequencies) * std)

    def forward(self, c: Tensor) -> Tensor:
        """Map numbers (n, dimension) to features (n, 2 * n_frequencies)."""
        phase = c @ self.frequencies * (2 * math.pi)
        return torch.cat([phase.cos(), phase.sin()], dim=1)
