"""What is the next batch? Rows selected by index from resident data, drawn a chunk at a time.

A chunk is a sequence of batches whose indices, times and noise are drawn together, so that a step does not
pay for it. Each chunk has its own random stream, so that a run can resume at the start of any chunk without
the state of a generator.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.seeds import stream

__all__ = ["BatchSource", "Batches", "Chunk", "Resident"]

_NUMBERS_PER_CHUNK = 2**14


class BatchSource(Protocol):
    """Where training data is taken from, in the units of the model.

    Attributes
    ----------
    shape : tuple of int
        Of one point.
    device : torch.device
        Device of the returned points.
    """

    shape: tuple[int, ...]
    device: torch.device

    def __len__(self) -> int:
        """Return the number of points."""
        ...

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return points (n, ...) and their classes (n,), if any; augmentation is drawn here."""
        ...

    def as_they_are(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return points (n, ...) and their classes (n,), if any, without augmentation."""
        ...

    def only(self, index: Tensor) -> BatchSource:
        """Return the points at ``index`` alone."""
        ...

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate."""
        ...


class Resident:
    """Points (n, ...) held in memory on the device."""

    def __init__(self, x: Tensor) -> None:
        self.x, self.shape, self.device = x, tuple(x.shape[1:]), x.device

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, None]:
        """Return the points at ``index``; nothing is random."""
        return self.as_they_are(index)

    def as_they_are(self, index: Tensor) -> tuple[Tensor, None]:
        """Return the points at ``index``."""
        return self.x[index.to(self.device)], None

    def only(self, index: Tensor) -> Resident:
        """Return the points at ``index`` alone, copied."""
        return Resident(self.as_they_are(index)[0])

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate."""
        return self.x.abs().max().item()


class Chunk(NamedTuple):
    """Some consecutive batches with their noise.

    Attributes
    ----------
    first_step : int
        Step of the first batch.
    x_0, eps : Tensor of shape (n, ...)
        Data and noise of all batches, one after the other.
    level : NoiseLevel of shape (n,)
    bounds : list of int
        Batch i is ``bounds[i]:bounds[i + 1]``.
    label : Tensor of shape (n,), int64, or None
        The classes for the network.
    """

    first_step: int
    x_0: Tensor
    eps: Tensor
    level: NoiseLevel
    bounds: list[int]
    label: Tensor | None = None


@dataclass(frozen=True)
class Batches:
    """The batches of a training run.

    Parameters
    ----------
    source : BatchSource
    schedule, times
        The distribution of noise levels.
    batch_size : int
    order : {"shuffled", "stream"}
        Both visit each point once an epoch. ``shuffled``: the last batch of an epoch may be smaller;
        ``stream``: every batch is full and may continue into the next epoch.
    seed : int
    """

    source: BatchSource
    schedule: Schedule
    times: Times
    batch_size: int
    order: Literal["shuffled", "stream"]
    seed: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches that see each point once."""
        return math.ceil(len(self.source) / self.batch_size)

    @property
    def chunk_steps(self) -> int:
        """Batches in a full chunk: enough to make drawing cheap, few enough to stay small in memory."""
        steps = max(1, _NUMBERS_PER_CHUNK // (self.batch_size * math.prod(self.source.shape)))
        return min(steps, self.steps_per_epoch) if self.order == "shuffled" else steps

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Yield the chunks from step ``start``, the first of a chunk, up to but without step ``stop``.

        Chunks of shuffled batches end with their epoch; all end at ``stop``.
        """
        period = self.steps_per_epoch if self.order == "shuffled" else self.chunk_steps
        step = start
        while step < stop:
            steps = min(self.chunk_steps, period - step % period, stop - step)
            yield self._chunk(step, steps)
            step += steps

    def _chunk(self, step: int, steps: int) -> Chunk:
        generator = stream(self.seed, "chunk", step)
        index, sizes = self._indices(step, steps)
        # All batches of a chunk are full except the last of an epoch: draw its times separately.
        full = [size for size in sizes if size == self.batch_size]
        t = [self.times.draw(self.schedule, len(full), self.batch_size, generator).flatten()]
        t += [self.times.draw(self.schedule, 1, size, generator)[0] for size in sizes[len(full) :]]
        eps = torch.randn((len(index), *self.source.shape), generator=generator)
        times = torch.cat(t)
        bounds = [0, *torch.tensor(sizes).cumsum(0).tolist()]
        x_0, label = self.source.take(index, generator)
        return Chunk(step, x_0, eps.to(self.source.device), self.schedule(times), bounds, label)

    def _indices(self, step: int, steps: int) -> tuple[Tensor, list[int]]:
        """Return which points the batches take, one after the other, and their sizes."""
        n, b = len(self.source), self.batch_size
        if self.order == "shuffled":
            epoch, within = divmod(step, self.steps_per_epoch)
            index = _permutation(n, self.seed, epoch)[within * b : (within + steps) * b]
            return index, [min(b, n - (within + i) * b) for i in range(steps)]
        first, last = step * b, (step + steps) * b
        epochs = range(first // n, (last - 1) // n + 1)
        index = torch.cat([_permutation(n, self.seed, epoch) for epoch in epochs])
        return index[first - epochs[0] * n :][: last - first], [b] * steps


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=stream(seed, "epoch", epoch))
