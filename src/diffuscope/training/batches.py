"""What is the next batch? Rows selected by index from resident data, drawn a chunk at a time.

A chunk is a sequence of batches whose indices, times and noise are drawn together, so that a step does not
pay for it. Each chunk has its own random stream, so that a run can resume at the start of any chunk without
the state of a generator.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.seeds import permuted, stream, stream_seed
from diffuscope.transfers import upload

__all__ = ["BatchSource", "Batches", "Chunk", "Noise", "Origin", "Paired", "Resident"]

_NUMBERS_PER_CHUNK = 2**14
_NUMBERS_ON_DEVICE, _STEPS_ON_DEVICE = 2**20, 64  # of a chunk whose noise is drawn there
_DRAWN = 1_000_000  # points whose order is drawn; of more it is computed
_PIECE = 2**14  # places of an order that are computed together
_EVEN = 4096  # points that stand for weighted ones


class BatchSource(Protocol):
    """Training data in the units of the model: points of this shape, returned on this device."""

    shape: tuple[int, ...]
    device: torch.device

    def __len__(self) -> int:
        """Return the number of points."""

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return points (n, ...) and their classes (n,), if any; augmentation is drawn here."""

    def as_they_are(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return points (n, ...) and their classes (n,), if any, without augmentation."""

    def only(self, index: Tensor) -> BatchSource:
        """Return the points at ``index`` alone."""

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate."""


class Resident:
    """Points (n, ...) held in memory on the device, which may have weights (n,) above 0."""

    def __init__(self, x: Tensor, weights: Tensor | None = None) -> None:
        self.x, self.shape, self.device = x, tuple(x.shape[1:]), x.device
        self.weights = None if weights is None else weights.double().cpu()

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, None]:
        """Return the points at ``index``, where they have no weights; nothing is random.

        Weights are laid end to end and cut into n equal parts, and ``index`` are parts: of each a place is
        drawn, and the point whose weight lies there is taken. So points are taken as often as their weights
        say, and an epoch takes each one as often as it should within two.
        """
        if self.weights is not None:
            jitter = torch.rand(len(index), generator=generator, dtype=torch.float64)
            index = _under(self.weights, (index + jitter) / len(self))
        return self.x[upload(index, self.device)], None

    def as_they_are(self, index: Tensor) -> tuple[Tensor, None]:
        """Return the points at ``index``; of points with weights at least 4096, as often as these say."""
        if self.weights is not None:
            count = max(len(index), _EVEN)
            index = index[_under(self.weights[index], (torch.arange(count) + 0.5) / count)]
        return self.x[upload(index, self.device)], None

    def only(self, index: Tensor) -> Resident:
        """Return the points at ``index`` alone, copied."""
        own = None if self.weights is None else self.weights[index]
        return Resident(self.x[index.to(self.device)], own)

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate."""
        return self.x.abs().max().item()


def _under(weights: Tensor, levels: Tensor) -> Tensor:
    """Return which of weights (n,), laid end to end, lies at levels (m,) from 0 to 1 of their sum."""
    total = weights.cumsum(0)
    return torch.searchsorted(total, levels.double() * total[-1], right=True).clamp_max(len(weights) - 1)


class Chunk(NamedTuple):
    """Data x_0 (n, ...), noise, levels (n,) and classes of consecutive batches, the first at ``first_step``.

    Batch i is ``bounds[i]:bounds[i + 1]``.
    """

    first_step: int
    x_0: Tensor
    eps: Tensor
    level: NoiseLevel
    bounds: list[int]
    label: Tensor | None


class Noise(Protocol):
    """What takes the place of Gaussian noise: the points from which a flow starts."""

    def __call__(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Return one for each of the points at ``index`` (n,), shape (n, ...)."""


@dataclass(frozen=True)
class Origin:
    """Points z (m, ...), of which any is taken for any."""

    z: Tensor

    def __call__(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Draw with replacement."""
        return self.z[upload(torch.randint(len(self.z), (len(index),), generator=generator), self.z.device)]


@dataclass(frozen=True)
class Paired:
    """Points z (n, ...), each of which belongs to one of the data."""

    z: Tensor

    def __call__(self, index: Tensor, generator: torch.Generator) -> Tensor:
        """Take those at the same places; nothing is drawn."""
        return self.z[upload(index, self.z.device)]


@dataclass(frozen=True)
class Batches:
    """The batches of a training run; both orders visit each point once an epoch.

    ``shuffled``: the last batch of an epoch may be smaller; ``stream``: every batch is full and may continue
    into the next epoch. ``noise`` takes the place of Gaussian noise, if given. With ``on_device`` Gaussian
    noise is drawn where the source is, in chunks of their own length; what says which rows are taken, and at
    which times, is little, and always drawn on the CPU.
    """

    source: BatchSource
    schedule: Schedule
    times: Times
    batch_size: int
    order: Literal["shuffled", "stream"]
    seed: int
    noise: Noise | None = None
    on_device: bool = False

    @property
    def steps_per_epoch(self) -> int:
        """Batches that see each point once."""
        return math.ceil(len(self.source) / self.batch_size)

    @property
    def read(self) -> bool:
        """Whether points have to be read for each batch, where they lie."""
        return not getattr(self.source, "resident", True)

    @property
    def chunk_steps(self) -> int:
        """Batches in a full chunk: enough to make drawing cheap, few enough to stay small in memory."""
        numbers = self.batch_size * math.prod(self.source.shape)
        steps = max(1, _NUMBERS_PER_CHUNK // numbers)
        if self.on_device:
            steps = max(1, min(_NUMBERS_ON_DEVICE // numbers, _STEPS_ON_DEVICE))
        return min(steps, self.steps_per_epoch) if self.order == "shuffled" else steps

    def chunks(self, start: int, stop: int) -> Iterator[Chunk]:
        """Yield the chunks from that of step ``start``, whole, up to but without step ``stop``.

        Chunks of shuffled batches end with their epoch; all end at ``stop``.
        """
        period = self.steps_per_epoch if self.order == "shuffled" else self.chunk_steps
        step = start - start % period % self.chunk_steps
        while step < stop:
            steps = min(self.chunk_steps, period - step % period, stop - step)
            generator = stream(self.seed, "chunk", step)
            index, sizes = self._indices(step, steps)
            # All batches of a chunk are full except the last of an epoch: draw its times separately.
            full = sizes.count(self.batch_size)
            t = [self.times.draw(self.schedule, full, self.batch_size, generator).flatten()]
            t += [self.times.draw(self.schedule, 1, size, generator)[0] for size in sizes[full:]]
            eps = self._noise(step, index, generator)
            x_0, label = self.source.take(index, generator)
            bounds = [0, *itertools.accumulate(sizes)]
            yield Chunk(step, x_0, eps, self.schedule(torch.cat(t)), bounds, label)
            step += steps

    def _noise(self, step: int, index: Tensor, generator: torch.Generator) -> Tensor:
        """Return the noise of the points at ``index`` (n,), of the chunk that begins with a step."""
        shape, device = (len(index), *self.source.shape), self.source.device
        if self.on_device and self.noise is None:
            own = stream(self.seed, "noise", step, device=device)
            return torch.randn(shape, generator=own, device=device, dtype=torch.float32)
        eps = torch.randn(shape, generator=generator, dtype=torch.float32)
        return upload(eps, device) if self.noise is None else self.noise(index, generator)

    def _indices(self, step: int, steps: int) -> tuple[Tensor, list[int]]:
        """Return which points the batches take, one after the other, and their sizes."""
        n, b = len(self.source), self.batch_size
        if self.order == "shuffled":
            epoch, within = divmod(step, self.steps_per_epoch)
            index = _order(n, self.seed, epoch, within * b, min(n, (within + steps) * b))
            return index, [min(b, n - (within + i) * b) for i in range(steps)]
        first, last = step * b, (step + steps) * b
        epochs = range(first // n, (last - 1) // n + 1)
        parts = [
            _order(n, self.seed, epoch, max(first - epoch * n, 0), min(last - epoch * n, n))
            for epoch in epochs
        ]
        return torch.cat(parts), [b] * steps


def _order(n: int, seed: int, epoch: int, start: int, stop: int) -> Tensor:
    """Return which of n points stand at the places from ``start`` to ``stop`` in the order of an epoch.

    Orders of many points are computed (:func:`diffuscope.seeds.permuted`), those of few are drawn.
    """
    if n <= _DRAWN:
        return _permutation(n, seed, epoch)[start:stop]
    pieces = range(start // _PIECE, (stop - 1) // _PIECE + 1)
    return torch.cat([_computed(n, seed, epoch, piece) for piece in pieces])[start - pieces[0] * _PIECE :][
        : stop - start
    ]


@lru_cache(maxsize=2)
def _computed(n: int, seed: int, epoch: int, piece: int) -> Tensor:
    places = np.arange(piece * _PIECE, min((piece + 1) * _PIECE, n))
    return torch.from_numpy(permuted(places, n, stream_seed(seed, "epoch", epoch)))


@lru_cache(maxsize=2)
def _permutation(n: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(n, generator=stream(seed, "epoch", epoch))
