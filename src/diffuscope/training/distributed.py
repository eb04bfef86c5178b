"""How do several processes train one model? Each on its part of every batch, adding up gradients.

Under ``torchrun`` the environment says who one is; alone, everything here does nothing.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

__all__ = ["World", "join_world"]


@dataclass(frozen=True)
class World:
    """The processes that train together.

    Attributes
    ----------
    rank, size : int
        This process's place, and how many there are. Rank 0 alone writes files.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def sum_(self, x: Tensor) -> None:
        """Add up ``x`` over all processes, in place."""
        if self.size > 1:
            dist.all_reduce(x)

    def copy_first_(self, x: Tensor) -> None:
        """Overwrite ``x`` with that of the first process, in place."""
        if self.size > 1:
            dist.broadcast(x.detach(), 0)

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set in any process."""
        if self.size == 1:
            return flag
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        total = torch.tensor(float(flag), device=device)
        dist.all_reduce(total)
        return bool(total.item() > 0)

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.size > 1:
            dist.barrier()


def join_world(device: torch.device) -> World:
    """Join the processes that ``torchrun`` started, if it did."""
    if not dist.is_available() or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave)
    return World(dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    """Part from the others; a process that ends while its group's threads run may be aborted."""
    if dist.is_initialized():
        dist.destroy_process_group()
