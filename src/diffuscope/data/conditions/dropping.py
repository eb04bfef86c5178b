"""How does a network learn to answer without a label? In training those of some points are dropped."""

from __future__ import annotations

import torch
from torch import Tensor

from diffuscope.transfers import upload

__all__ = ["dropped"]


def dropped(label: Tensor, none: float, share: float, generator: torch.Generator) -> Tensor:
    """Return labels (n, ...) of which a random share is ``none``; nothing is drawn where that is 0."""
    if not share:
        return label
    silent = torch.rand(len(label), generator=generator) < share
    return label.masked_fill(upload(silent, label.device).reshape(-1, *[1] * (label.ndim - 1)), none)
