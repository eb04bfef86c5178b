"""Into which parts is a batch divided, and how are they summed? The same on any number of processes.

A sum of floating-point numbers depends on its order. So the parts of a batch follow from the recipe and the
network alone, each is computed on one thread, and their gradients are summed in the order of a binary tree:
((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)). A process that computes neighbours sums whole branches of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from diffuscope.networks import NETWORKS

__all__ = ["PartSum", "branches", "is_divisible", "number_of_parts", "own_parts", "part_bounds"]

_MOST = 8
_WORK = 2**27  # examples times weights that are worth a part
_PIXELS = 16  # for each of these once: most weights of a U-Net are applied to few of the pixels


def is_divisible(network: nn.Module) -> bool:
    """Whether examples do not depend on each other in a network, as it may say: ``per_example = True``."""
    return type(network) in NETWORKS.values() or bool(getattr(network, "per_example", False))


def number_of_parts(network: nn.Module, batch_size: int, shape: Sequence[int], accumulate: int = 1) -> int:
    """Return the number of parts of a batch of points of a shape: a power of two; 1 for small networks.

    It is at most 8, unless ``accumulate`` asks for more, and does not depend on that below.
    """
    if not is_divisible(network):
        return 1
    weights = sum(parameter.numel() for parameter in network.parameters())
    places = max(1, math.prod(shape[1:]) // _PIXELS) if len(shape) > 1 else 1
    worth = min(batch_size * weights * places // _WORK, _MOST, batch_size)
    if worth < 2:
        return 1
    if accumulate > _MOST:
        worth = max(worth, min(accumulate, batch_size))
    return 1 << (worth.bit_length() - 1)


def part_bounds(n: int, parts: int) -> list[slice]:
    """Return which of n examples belong to each of the parts; of few examples some parts have none."""
    return [slice(i * n // parts, (i + 1) * n // parts) for i in range(parts)]


def own_parts(rank: int, size: int, parts: int) -> range:
    """Return the parts that a process computes: neighbours, about as many as any other has."""
    return range(rank * parts // size, (rank + 1) * parts // size)


def branches(parts: range) -> list[tuple[int, int]]:
    """Return the largest whole branches of the tree that neighbouring parts make up, as (level, index)."""
    found: list[tuple[int, int]] = []
    start = parts.start
    while start < parts.stop:
        level = (start & -start).bit_length() - 1 if start else parts.stop.bit_length()
        while start + 2**level > parts.stop:
            level -= 1
        found.append((level, start >> level))
        start += 2**level
    return found


class PartSum:
    """Sums vectors of parts, which are added from left to right, in the order of the tree.

    ``nodes`` are the branches so far: (level, index) and the sum, from left to right. Sums are written into
    the vectors that were added.
    """

    def __init__(self) -> None:
        self.nodes: list[tuple[int, int, Tensor]] = []

    def add(self, level: int, index: int, vector: Tensor) -> None:
        """Add the sum of a branch; a part is a branch of level 0."""
        while self.nodes and index % 2 and self.nodes[-1][:2] == (level, index - 1):
            vector = self.nodes.pop()[2].add_(vector)
            level, index = level + 1, index // 2
        self.nodes.append((level, index, vector))

    @property
    def total(self) -> Tensor:
        """The sum of all parts, once all were added."""
        ((_, _, vector),) = self.nodes
        return vector
