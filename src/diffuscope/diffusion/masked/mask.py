"""What is known of points, and what is left out?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Mask"]


class Mask(NamedTuple):
    """What is known of points, and what is left out.

    Attributes
    ----------
    value : Tensor of shape (n, d)
        Clean values, where they are known; anything finite elsewhere.
    known, absent : Tensor of shape (n, d), bool
        Never both.
    """

    value: Tensor
    known: Tensor
    absent: Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> Mask:
        """All coordinates are noisy."""
        none = torch.zeros_like(like, dtype=torch.bool)
        return cls(torch.zeros_like(like), none, none)

    def at(self, index: Tensor | slice) -> Mask:
        """Return what is given of the points at ``index``."""
        return Mask(self.value[index], self.known[index], self.absent[index])
