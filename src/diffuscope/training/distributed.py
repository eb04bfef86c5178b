"""How do several processes train one model? Each computes parts of every batch; the first decides all else.

``torchrun``, or a scheduler, sets rank and size in the environment; in a single process nothing here has an
effect. Gradients go over NCCL between GPUs, all else over gloo between CPUs.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from diffuscope.errors import InputError, LostError
from diffuscope.training.parts import PartSum, branches, own_parts
from diffuscope.training.peers import Peers, meet

__all__ = ["TIMEOUT", "World", "join_world"]

TIMEOUT = "DIFFUSCOPE_TIMEOUT"
"""The environment variable with the seconds without an answer after which a process counts as lost."""

_TIMEOUT = 300.0
_FOR_EVER = timedelta(days=30)
_SHORTEST, _LONGEST = 1e-4, 0.02  # seconds between two looks whether the others have come
_LOOK = 1.0  # seconds between two looks whether they live


@dataclass(frozen=True)
class World:
    """The processes that train together: index of this one, and their number. Only rank 0 writes files.

    ``control`` is the group of flags and barriers, on which one may wait for as long as the others live.
    """

    rank: int = 0
    size: int = 1
    control: Any = None
    peers: Peers | None = None

    @property
    def is_main(self) -> bool:
        """Whether this process writes files, decides and shows progress."""
        return self.rank == 0

    def begin_sum(self, x: Tensor) -> Callable[[], None]:
        """Begin to sum ``x`` over all processes, in place; what is returned waits for the end of it."""
        with self._others():
            work = dist.all_reduce(x, async_op=True)

        def finish() -> None:
            with self._others():
                work.wait()

        return finish

    def sum_parts(self, own: PartSum, parts: int, like: Tensor) -> Tensor:
        """Return the sum of vectors of all parts, of which each process added its own, in their order.

        Each process sums a slice of the vectors of all, then all get all slices. Vectors have the shape (m,)
        and the type of ``like``.
        """
        if self.size == 1:
            return own.total
        layout = [branches(own_parts(rank, self.size, parts)) for rank in range(self.size)]
        width = -(-len(like) // self.size)
        mine = layout[self.rank]
        padded = like.new_zeros(len(mine), self.size * width)
        for row, (_, _, vector) in zip(padded, own.nodes, strict=True):
            row[: len(like)] = vector
        send = padded.view(len(mine), self.size, width).transpose(0, 1).flatten()
        counts = [len(nodes) * width for nodes in layout]
        received, whole = like.new_empty(sum(counts)), like.new_empty(self.size * width)
        with self._others():
            dist.all_to_all_single(received, send, counts, [len(mine) * width] * self.size)
        total = PartSum()
        nodes = itertools.chain.from_iterable(layout)
        for (level, index), piece in zip(nodes, received.view(-1, width), strict=True):
            total.add(level, index, piece)
        with self._others():
            dist.all_gather(list(whole.view(self.size, width)), total.total)
        return whole[: len(like)]

    def copy_first_(self, x: Tensor) -> None:
        """Overwrite ``x`` with that of the first process, in place."""
        if self.size > 1:
            with self._others():
                dist.broadcast(x.detach(), 0)

    def agree(self, *numbers: int) -> list[int]:
        """Return the largest of each number over all processes; one may wait for as long as they live."""
        if self.size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.int64)
        with self._others():
            work = dist.all_reduce(values, dist.ReduceOp.MAX, group=self.control, async_op=True)
            self._wait_for(work)
        return [int(value) for value in values]

    def text(self, said: str = "") -> str:
        """Return a text of the first process in all of them."""
        if self.size == 1:
            return said
        data = torch.tensor(list(said.encode() if self.is_main else b""), dtype=torch.uint8)
        (length,) = self.agree(len(data))
        data = data if self.is_main else torch.zeros(length, dtype=torch.uint8)
        with self._others():
            self._wait_for(dist.broadcast(data, 0, group=self.control, async_op=True))
        return bytes(data.tolist()).decode()

    def wait(self) -> None:
        """Wait for all processes, for as long as they live."""
        self.agree(0)
        if self.peers is not None:
            self.peers.passed()

    def leave(self, error: BaseException) -> None:
        """Say to the others why this process ends, where they do not do so by themselves."""
        if self.peers is not None:
            self.peers.leave(str(getattr(error, "what", None) or error or type(error).__name__))

    def _wait_for(self, work: Any) -> None:
        """Wait for an exchange of the control group; an error where a process has not lived for a while."""
        pause, looked = _SHORTEST, time.monotonic()
        while not work.is_completed():
            time.sleep(pause)
            pause = min(1.1 * pause, _LONGEST)
            if self.peers is not None and time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                if self.peers.silent():
                    raise TimeoutError
                if self.peers.departed():
                    raise self.peers.error()
        work.wait()

    @contextlib.contextmanager
    def _others(self) -> Iterator[None]:
        """Say in words that another process is gone, or does not answer."""
        try:
            yield
        except (RuntimeError, TimeoutError) as error:
            if isinstance(error, LostError):
                raise
            if self.peers is None:
                raise
            late = isinstance(error, TimeoutError) or "imed out" in str(error)
            raise self.peers.error(late) from error


def join_world(device: torch.device) -> World:
    """Join the processes that ``torchrun`` started, if it did; between GPUs each has one of its own."""
    if not dist.is_available() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    return _joined() or _join(device, _timeout())


_worlds: list[World] = []  # the one that this process joined


def _joined() -> World | None:
    return _worlds[0] if _worlds and dist.is_initialized() else None


def _join(device: torch.device, timeout: float) -> World:
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    limit, cuda = timedelta(seconds=timeout), device.type == "cuda"
    if cuda:
        torch.cuda.set_device(device)
    if dist.is_initialized():  # by the program that calls
        store = dist.distributed_c10d._get_default_store()
        rank, size = dist.get_rank(), dist.get_world_size()
    else:
        try:
            store, rank, size = next(iter(rendezvous("env://", timeout=limit)))
            store = PrefixStore(meet(store, rank, size, timeout), store)
            dist.init_process_group(
                "nccl" if cuda else "gloo",
                store=PrefixStore("gradients", store),
                rank=rank,
                world_size=size,
                timeout=limit,
                device_id=device if cuda else None,
            )
        except (RuntimeError, ValueError, TimeoutError) as error:
            raise LostError(
                f"The other processes were not found within {timeout:g} seconds.",
                "Start all of them with torchrun, with the same --rdzv-endpoint, or set RANK, WORLD_SIZE, "
                "MASTER_ADDR and MASTER_PORT for each.",
            ) from error
    control = dist.new_group(backend="gloo", timeout=_FOR_EVER)
    peers = Peers(PrefixStore("diffuscope", store), rank, size, timeout)
    # A process that ends while the group's threads run may be aborted.
    atexit.register(_leave_all, peers)
    _worlds[:] = [World(rank, size, control, peers)]
    return _worlds[0]


def _leave_all(peers: Peers) -> None:
    """End the groups with the process; where another is lost at once, as gloo waits for what it sends."""
    peers.close()
    if peers.lost:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(1)
    if dist.is_initialized():
        dist.destroy_process_group()


def _timeout() -> float:
    """Return after how many seconds without an answer a process counts as lost."""
    said = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(said) if said else _TIMEOUT
    except ValueError:
        seconds = 0.0
    if not 2 <= seconds <= 10**6:
        raise InputError(f"{TIMEOUT}={said!r} is not a number of seconds from 2 up.", f"Set {TIMEOUT}=300.")
    return seconds
