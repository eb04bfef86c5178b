r"""How is a number shown to a network? As waves: :math:`[\cos 2\pi f c, \sin 2\pi f c]`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["FourierFeatures"]


class FourierFeatures(nn.Module):
    """Cosines and sines at fixed frequencies drawn from N(0, std²) (Tancik et al. 2020, section 5).

    Parameters
    ----------
    n_frequencies : int
    std : float
        Spread of the frequencies: the larger, the finer the differences that can be told.
    """

    frequencies: Tensor

    def __init__(self, n_frequencies: int, std: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(n_frequencies) * std)

    def forward(self, c: Tensor) -> Tensor:
        """Map numbers (n,) to features (n, 2 * n_frequencies)."""
        phase = c[:, None] * self.frequencies * (2 * math.pi)
        return torch.cat([phase.cos(), phase.sin()], dim=1)
