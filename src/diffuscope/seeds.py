"""Where does randomness come from? From one seed, through named streams.

A stream is a separate generator for one purpose and one point in time, such as ``("noise", 7)``. A run can be
repeated, or resumed in its middle, without the state of a generator: equal seeds and names give equal bytes.
Nothing is drawn from torch's own generator, which all threads share; what must be, such as the initial
weights of a module, is drawn by one thread at a time (:func:`alone`).
"""

from __future__ import annotations

import contextlib
import threading
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from diffuscope.errors import InputError

__all__ = ["RowStreams", "alone", "draws_itself", "permuted", "stream", "stream_seed"]

_ALONE = threading.RLock()
_CPU = torch.device("cpu")
_ROUNDS = 4  # even, so that both halves have their size again
_MIX = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9], dtype=np.uint64)  # of splitmix64 (Steele 2014)


def stream_seed(seed: int, *place: str | int) -> int:
    """Return the 64-bit seed of the stream at ``place``; a negative ``seed`` is an InputError."""
    if seed < 0:
        raise InputError(f"A seed must not be negative, got {seed}.", "Choose 0, for example.")
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in place]
    state = np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))  # torch takes signed seeds


def stream(seed: int, *place: str | int, device: torch.device | None = None) -> torch.Generator:
    """Return a fresh generator for the stream at ``place``, on a device, by default on the CPU.

    Devices of different kinds draw different numbers from equal seeds.
    """
    return torch.Generator(device or "cpu").manual_seed(stream_seed(seed, *place))


def permuted(positions: npt.NDArray[np.int64], n: int, key: int) -> npt.NDArray[np.int64]:
    """Return which of n things stand at ``positions`` (m,) of a random order, which is computed, not stored.

    The order is a bijection of 0 to n - 1: a Feistel network (Luby & Rackoff 1988) on as many bits as n - 1
    has, applied again wherever it leads beyond n (cycle walking, Black & Rogaway 2002). ``key`` is that of a
    stream (:func:`stream_seed`). So an order of 50 million rows costs no memory, and any part of it no more
    than the part.
    """
    bits = max(2, (n - 1).bit_length())
    low, high = bits // 2, bits - bits // 2
    keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)
    found = positions.astype(np.uint64)
    beyond: npt.NDArray[np.intp] | None = None  # those that still have to walk
    while True:
        x = found if beyond is None else found[beyond]
        sizes = (high, low)  # bits of the left and of the right half
        for one in keys:
            left, right = x >> np.uint64(sizes[1]), x & np.uint64((1 << sizes[1]) - 1)
            mixed = (right + one) * _MIX[0]
            mixed = (mixed ^ (mixed >> np.uint64(29))) * _MIX[1]
            left = left ^ ((mixed >> np.uint64(32)) & np.uint64((1 << sizes[0]) - 1))
            x = (right << np.uint64(sizes[0])) | left  # the halves change places, and so do their sizes
            sizes = sizes[1], sizes[0]
        if beyond is None:
            found = x
        else:
            found[beyond] = x
        left_over = np.flatnonzero(x >= n)
        if not len(left_over):
            return found.astype(np.int64)
        beyond = left_over if beyond is None else beyond[left_over]


@contextlib.contextmanager
def alone(seed: int) -> Iterator[None]:
    """Seed torch's own generators for a block, which one thread at a time runs; their state comes back."""
    with _ALONE, torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def draws_itself(device: torch.device) -> bool:
    """Whether a device draws the noise of its rows by itself: a GPU of CUDA."""
    return device.type == "cuda"


class RowStreams:
    """Noise of rows that depends on the seed and on the number of the row alone.

    Rows come in blocks of a fixed size, each with a stream of its own, which is always drawn whole: row i has
    the same noise among 8 rows and among 80,000, whatever the pieces are in which they are worked on. A GPU
    draws its rows' noise by itself, other numbers than a CPU: nothing is copied to it in a step.

    Parameters
    ----------
    seed : int
    start, count : int
        The first row, and how many there are; both whole multiples of ``block``.
    block : int
        Rows that share a stream.
    device : torch.device
        Where the noise is wanted.
    """

    def __init__(self, seed: int, start: int, count: int, block: int, device: torch.device = _CPU) -> None:
        self.block, self.device = block, device
        self._drawn_on = device if draws_itself(device) else _CPU
        places = range(start // block, start // block - (-count // block))
        self.generators = [stream(seed, "sample", place, device=self._drawn_on) for place in places]

    def normal(self, shape: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
        """Return the next standard normal numbers of all rows, of a shape (count, ...), on the device."""
        own, place = (self.block, *shape[1:]), self._drawn_on
        parts = [torch.randn(own, generator=one, dtype=dtype, device=place) for one in self.generators]
        return torch.cat(parts)[: shape[0]].to(self.device)
