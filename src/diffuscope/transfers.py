"""How do numbers travel between a CPU and a GPU? Through pinned memory, while both go on with their work.

A copy from or to memory that the system may move waits for all that the GPU has to do, and the CPU waits with
it. One of pinned memory is queued like any other operation. On other devices copies are plain ones.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Reading", "upload"]


def upload(x: Tensor, device: torch.device) -> Tensor:
    """Return ``x`` on a device; from a CPU to a GPU nothing waits for it."""
    if device.type == "cuda" and x.device.type == "cpu":
        return x.pin_memory().to(device, non_blocking=True)
    return x.to(device)


class Reading:
    """A tensor on its way to the CPU, which is asked for later: ``reading()`` waits for it alone."""

    def __init__(self, x: Tensor) -> None:
        self._x, self._arrived = x.detach(), None
        if x.device.type == "cuda":
            self._x = torch.empty(x.shape, dtype=x.dtype, pin_memory=True).copy_(self._x, non_blocking=True)
            self._arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._arrived.record(torch.cuda.current_stream(x.device))

    def __call__(self) -> Tensor:
        """Return the tensor on the CPU."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._x.cpu()
