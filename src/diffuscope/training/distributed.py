"""How do several processes train one model? Each computes parts of every batch; the first decides all else.

``torchrun``, or a scheduler, sets rank and size in the environment; in a single process nothing here has an
effect. Gradients go over NCCL between GPUs, all else over gloo between CPUs. What is made in pieces, such as
samples, is shared in a block (:mod:`diffuscope.shares`).
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

from diffuscope.errors import InputError, LostError, RunError
from diffuscope.training.parts import PartSum, branches, own_parts
from diffuscope.training.peers import Peers, meet

__all__ = ["TIMEOUT", "World", "join_world"]

TIMEOUT = "DIFFUSCOPE_TIMEOUT"
"""The environment variable with the seconds without an answer after which a process counts as lost."""

_TIMEOUT = 300.0
_FOR_EVER = timedelta(days=30)
_SHORTEST, _LONGEST = 1e-4, 0.02  # seconds between two looks whether the others have come
_LOOK = 1.0  # seconds between two looks whether they live
_HEARD = 4.0  # seconds within which they have heard why one ends


@dataclass(frozen=True)
class World:
    """The processes that work together: index of this one, and their number. Only rank 0 writes files.

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

    def come(self, what: str) -> None:
        """Wait until all have come to the same work; an error where one came to other work, or does not."""
        if self.size == 1:
            return
        assert self.peers is not None
        with self._others():
            self.peers.come()
        came = [said.decode() for said in self.gather(what.encode(), 0, limited=True)]
        other = next((rank for rank, one in enumerate(came) if one != came[0]), None)
        if other is not None:
            raise RunError(
                f"Process 0 came to {came[0]}, and process {other} to {came[other]}.",
                "Call what is shared in all processes, in the same order and with the same arguments, or "
                "outside of diffuscope.sharing().",
            )

    def gather(self, data: bytes, place: int, limited: bool = False) -> list[bytes]:
        """Return what each process gives at the same place; one may wait for as long as the others live.

        Where it is ``limited`` a process that is late counts as lost, unless it has come.
        """
        heads = self._gather(torch.tensor([place, len(data)]), limited)
        if any(int(head[0]) != place for head in heads):
            raise RunError(
                "The processes no longer do the same.",
                "Call what is shared in all processes, in the same order and with the same arguments, or "
                "outside of diffuscope.sharing().",
            )
        lengths = [int(head[1]) for head in heads]
        own = torch.zeros(max(lengths), dtype=torch.uint8)
        if data:
            own[: len(data)] = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        parts = self._gather(own, limited)
        return [part[:length].numpy().tobytes() for part, length in zip(parts, lengths, strict=True)]

    def _gather(self, own: Tensor, limited: bool) -> list[Tensor]:
        parts = [torch.empty_like(own) for _ in range(self.size)]
        if len(own):
            with self._others():
                work = dist.all_gather(parts, own, group=self.control, async_op=True)
                self._wait_for(work, limited)
        return parts

    def wait(self) -> None:
        """Wait for all processes, for as long as they live."""
        self.agree(0)
        if self.peers is not None:
            self.peers.passed()

    def leave(self, error: BaseException) -> None:
        """Say to the others why this process ends, where they do not do so by themselves."""
        if self.peers is not None and not isinstance(error, LostError):
            self.peers.leave(str(getattr(error, "what", None) or error or type(error).__name__))
            if not self.is_main:  # torchrun stops all with the first that ends
                self.peers.linger(_HEARD)

    def _wait_for(self, work: Any, limited: bool = False) -> None:
        """Wait for an exchange of the control group; an error where a process has not lived for a while.

        Where it is ``limited``, also where one that lives has not come for as long.
        """
        pause, begun = _SHORTEST, time.monotonic()
        looked = begun
        while not work.is_completed():
            time.sleep(pause)
            pause = min(1.1 * pause, _LONGEST)
            if self.peers is not None and time.monotonic() - looked > _LOOK:
                looked = time.monotonic()
                if self.peers.silent():
                    raise TimeoutError
                if self.peers.departed():
                    raise self.peers.error()
                if limited and looked - begun > self.peers.timeout:
                    self.peers.check_all_came()
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


def join_world(device: torch.device, any_group: bool = False) -> World:
    """Join the processes that ``torchrun`` started, if it did; between GPUs each has one of its own.

    ``any_group``: also those of a group that the calling program began by itself.
    """
    if not dist.is_available():
        return World()
    if any_group and dist.is_initialized():
        return (_joined() or _join(device, _timeout())) if dist.get_world_size() > 1 else World()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
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
    began = dist.is_initialized()  # by the program that calls
    try:
        if began:
            store = dist.distributed_c10d._get_default_store()
            rank, size = dist.get_rank(), dist.get_world_size()
        else:
            store, rank, size = next(iter(rendezvous("env://", timeout=limit)))
        store = PrefixStore(meet(store, rank, size, timeout), store)
        if not began:
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
            "Call this in all of them."
            if began
            else "Start all of them with torchrun, with the same --rdzv-endpoint, or set RANK, WORLD_SIZE, "
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
