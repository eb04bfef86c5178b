"""Which coordinates of points are known, and which are absent?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Mask"]


class Mask(NamedTuple):
    """Which coordinates of points are known, and which are absent.

    Attributes
    ----------
    value : Tensor of shape (n, d)
        Clean values of the known coordinates; any finite values elsewhere.
    known, absent : Tensor of shape (n, d), bool
        Never both true.
    """

    value: Tensor
    known: Tensor
    absent: Tensor

    @classmethod
    def all_noisy(cls, like: Tensor) -> Mask:
        """Return the mask without conditions, of the shape of ``like``: all coordinates are noisy."""
        none = torch.zeros_like(like, dtype=torch.bool)
        return cls(torch.zeros_like(like), none, none)

    def at(self, index: Tensor | slice) -> Mask:
        """Return the mask of the points at ``index``."""
        return Mask(self.value[index], self.known[index], self.absent[index])
