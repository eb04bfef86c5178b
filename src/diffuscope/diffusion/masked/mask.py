"""Which coordinates of points are known, and which are absent?"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Mask"]


class Mask(NamedTuple):
    """The state of coordinates (n, d): ``known`` and ``absent``, bool, are never both true.

    ``value`` has the clean values of the known coordinates, and any finite values elsewhere.
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
        return Mask(*(part[index] for part in self))
