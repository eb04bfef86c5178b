r"""How are numbers and labels embedded for a network?

Numbers as Fourier features, :math:`[\cos(2\pi F c), \sin(2\pi F c)]`; a class as a learned vector; a label
of k numbers y as :math:`V\, \mathrm{silu}(U\, [y, \cos(2\pi F y), \sin(2\pi F y)])`, V zero at the start. No
label has a learned vector as well, so that one network is conditional and unconditional.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffuscope.errors import InputError
from diffuscope.networks.blocks import zeroed

__all__ = ["FourierFeatures", "Sinusoids", "label_embedding", "shared"]

_FREQUENCIES = 16  # of a label of numbers


def shared(condition: Tensor) -> Tensor:
    """Return the single entry of a condition (n,) that was expanded from one, else the condition itself.

    In sampling all points are at one level, which then needs to be embedded only once.
    """
    return condition[:1] if condition.stride(0) == 0 else condition


def label_embedding(classes: int, conditions: int, width: int, std: float = 0.0) -> nn.Module | None:
    """Return what maps labels, or None for none, to vectors (n or 1, width); None where there are no labels.

    Labels are ``classes``, (n,), int64, whose vectors have the deviation ``std`` at the start, or numbers,
    (n, ``conditions``). InputError where there are both.
    """
    if classes and conditions:
        raise InputError("A network is conditioned on classes or on numbers, not on both.", "Set one to 0.")
    if conditions:
        return _NumberEmbedding(conditions, width)
    return _ClassEmbedding(classes, width, std) if classes else None


class _ClassEmbedding(nn.Embedding):
    """A vector for each class, and one more, the last, for none."""

    def __init__(self, classes: int, width: int, std: float) -> None:
        super().__init__(classes + 1, width)
        if std:
            nn.init.normal_(self.weight, std=std)
        else:
            nn.init.zeros_(self.weight)

    def forward(self, label: Tensor | None) -> Tensor:
        if label is None:
            label = torch.full((1,), self.num_embeddings - 1, device=self.weight.device)
        return super().forward(label)


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


class _NumberEmbedding(nn.Module):
    """A vector for k numbers of mean 0 and deviation 1; NaN among them says that there are none."""

    def __init__(self, k: int, width: int) -> None:
        super().__init__()
        # A direction of k numbers is as long as one number: its waves resolve differences of a tenth.
        self.features = FourierFeatures(_FREQUENCIES, 0.5 / math.sqrt(k), k)
        first = nn.Linear(k + 2 * _FREQUENCIES, width)
        self.layers = nn.Sequential(first, nn.SiLU(), zeroed(nn.Linear(width, width)))
        self.none = nn.Parameter(torch.zeros(width))

    def forward(self, label: Tensor | None) -> Tensor:
        if label is None:
            return self.none[None]
        y = label.to(self.none.dtype)
        given = y.isfinite().all(dim=1, keepdim=True)
        y = torch.where(given, y, 0.0)
        e = self.layers(torch.cat([y, self.features(y)], dim=1))
        return torch.where(given, e, self.none)
