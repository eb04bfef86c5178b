"""What is the next batch? Index selections from data that stays in memory, drawn a chunk at a time.

A chunk is a run of batches whose indices, times and noise are drawn in one go, which takes the cost
of drawing out of the step. Each chunk has a random stream of its own, so that a run can go on at the
start of any chunk without carrying a generator's state along.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from diffuscope.losses import Times
from diffuscope.schedules import NoiseLevel, Schedule
from diffuscope.seeds import stream

__all__ = ["Batches", "Chunk"]

_NUMBERS_PER_CHUNK = 2**17


class Chunk(NamedTuple):
    """Some batches in a row, ready to be noised.

    Attributes
    ----------
    first_step : int
        Step of the first batch.
    x_0, eps : Tensor of shape (n, d)
        Data and noise of all batches, one after the other.
    level : NoiseLevel of shape (n,)
    bounds : list of int
        Batch i is ``bounds[i]:bounds[i + 1]``.
    """

    first_step: int
    x_0: Tensor
    eps: Tensor
    level: NoiseLevel
    bounds: list[int]


@dataclass(frozen=True)
class Batches:
    """The batches of a training run.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        The data, resident on the device.
    schedule, times
        Where noise levels come from.
    batch_size : int
    order : {"shuffled", "random"}
        Every point once an epoch (the last batch may be smaller), or draws with replacement.
    seed : int
    rank, world : int
        This process takes every ``world``-th example of each batch, from ``rank`` on: together the
        processes train on what one process alone would.
    """

    x: Tensor
    schedule: Schedule
    times: Times
    batch_size: int
    order: Literal["shuffled", "random"]
    seed: int
    rank: int = 0
    world: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Batches that see each point once."""
        return math.ceil(len(self.x) / self.batch_size)

    @property
    def chunk_steps(self) -> int:
        """Batches in a full chunk: enough to make drawing cheap, few enough to stay small in memory."""
        steps = max(1, _NUMBERS_PER_CHUNK // (self.batch_size * self.x[0].numel()))
        return min(steps, self.steps_per_epoch) if self.order == "shuffled" else steps

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Yield the chunks from step ``start``, the first of a chunk, up to before step ``stop``.

        Chunks of shuffled batches end with their epoch; all end at ``stop``.
        """
        period = self.steps_per_epoch if self.order == "shuffled" else self.chunk_steps
        step = start
        while step < stop:
            epoch, within = divmod(step, period)
            steps = min(self.chunk_steps, period - within, stop - step)
            yield self._chunk(step, epoch, within, steps)
            step += steps

    def _chunk(self, step: int, epoch: int, within: int, steps: int) -> Chunk:
        generator = stream(self.seed, "chunk", step)
        index, sizes = self._indices(epoch, within, steps, generator)
        # All batches of a chunk are full, but for the last of an epoch: draw that one's times apart.
        full = [size for size in sizes if size == self.batch_size]
        t = [self.times.draw(self.schedule, len(full), self.batch_size, generator).flatten()]
        t += [self.times.draw(self.schedule, 1, size, generator)[0] for size in sizes[len(full) :]]
        eps = torch.randn((len(index), *self.x.shape[1:]), generator=generator)
        times = torch.cat(t)
        bounds = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        if self.world > 1:
            mine = [torch.arange(a + self.rank, b, self.world) for a, b in itertools.pairwise(bounds)]
            bounds = [0, *torch.tensor([len(m) for m in mine]).cumsum(0).tolist()]
            keep = torch.cat(mine)
            index, eps, times = index[keep], eps[keep], times[keep]
        device = self.x.device
        return Chunk(step, self.x[index.to(device)], eps.to(device), self.schedule(times), bounds)

    def _indices(
        self, epoch: int, within: int, steps: int, generator: torch.Generator
    ) -> tuple[Tensor, list[int]]:
        n, b = len(self.x), self.batch_size
        if self.order == "random":
            return torch.randint(0, n, (steps * b,), generator=generator), [b] * steps
        first, last = within * b, min((within + steps) * b, n)
        index = _permutation(n, self.seed, epoch)[first:last]
        return index, [min(b, n - (within + i) * b) for i in range(steps)]


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=stream(seed, "epoch", epoch))
