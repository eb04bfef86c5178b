"""How do several processes train one model? Each on its part of every batch, summing gradients.

``torchrun`` sets rank and size in the environment; in a single process nothing here has an effect.
"""

from __future__ import annotations

import atexit
import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from diffuscope.errors import RunError

__all__ = ["World", "join_world"]


@dataclass(frozen=True)
class World:
    """The processes that train together: index of this one, and their number. Only rank 0 writes files."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.rank == 0

    def sum_(self, x: Tensor) -> None:
        """Sum ``x`` over all processes, in place; as all methods a RunError where another process is lost."""
        if self.size > 1:
            with self._others():
                dist.all_reduce(x)

    def copy_first_(self, x: Tensor) -> None:
        """Overwrite ``x`` with that of the first process, in place."""
        if self.size > 1:
            with self._others():
                dist.broadcast(x.detach(), 0)

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process."""
        if self.size == 1:
            return flag
        total = torch.tensor(float(flag), device="cuda" if dist.get_backend() == "nccl" else "cpu")
        self.sum_(total)
        return bool(total.item() > 0)

    def wait(self) -> None:
        """Wait for all processes."""
        if self.size > 1:
            with self._others():
                dist.barrier()

    @contextlib.contextmanager
    def _others(self) -> Iterator[None]:
        """Say in words that another process is gone, or does not answer."""
        try:
            yield
        except RuntimeError as error:
            raise RunError(
                f"Process {self.rank} of {self.size} lost another one: it ended, or does not answer.",
                "Look what it said, then start all again with --resume: they go on from the last checkpoint.",
            ) from error


def join_world(device: torch.device) -> World:
    """Join the processes that ``torchrun`` started, if it did."""
    if not dist.is_available() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        # A process that ends while the group's threads run may be aborted.
        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())
    return World(dist.get_rank(), dist.get_world_size())
