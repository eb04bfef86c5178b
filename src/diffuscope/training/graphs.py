"""How does a small network train on a GPU? Its step is recorded once, and replayed (CUDA graphs).

Launching an operation costs the CPU some microseconds, which is longer than a GPU needs for an operation of a
small network. A replay launches all operations of a step at once. They read and write the same memory every
time, so batches, the learning rate and the like are copied to where they were when the step was recorded.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from diffuscope.diffusion.losses import Examples

__all__ = ["RecordedStep"]

_WARM_UP = 3  # steps in which libraries choose their kernels and take their memory


class RecordedStep:
    """A step of training on batches of one size, which is recorded after the first few.

    ``step(batch, *numbers)`` takes it and returns the loss, shape (); numbers are tensors of shape (), such
    as the learning rate. It must work on the device alone, draw nothing, and write in place what it changes.
    """

    def __init__(self, step: Callable[..., Tensor], device: torch.device) -> None:
        self._step, self._device = step, device
        self._batch: Examples | None = None
        self._numbers: list[Tensor] = []
        self._taken = 0
        self._replay: Callable[[], None] | None = None
        self._loss = torch.zeros((), device=device)

    def __call__(self, batch: Examples, *numbers: float) -> Tensor:
        """Take the step; return the loss, shape ()."""
        if self._batch is None:
            self._batch = Examples(*map(_like, batch))
            self._numbers = [torch.empty((), device=self._device) for _ in numbers]
        for own, one in zip(self._batch, batch, strict=True):
            if own is not None and one is not None:
                own.copy_(one)
        for own, number in zip(self._numbers, numbers, strict=True):
            own.fill_(number)
        if self._replay is None and self._taken < _WARM_UP:
            self._taken += 1
            with _apart(self._device):
                return self._step(self._batch, *self._numbers).clone()
        if self._replay is None:
            self._replay = self._record()
        self._replay()
        return self._loss.clone()

    def _record(self) -> Callable[[], None]:
        """Return what takes the step on what lies in the memory of its batch, and writes the loss."""

        def take() -> None:
            self._loss.copy_(self._step(self._batch, *self._numbers))

        try:
            return _recorded(take)
        except RuntimeError as error:
            warnings.warn(f"A step could not be recorded as a CUDA graph: {error}", stacklevel=2)
            return take


def _like(x: Any) -> Any:
    return None if x is None else torch.empty_like(x)


def _recorded(work: Callable[[], None]) -> Callable[[], None]:
    """Record what the GPU has to do for ``work``, which it does not do yet; return what has it done."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may use the GPU meanwhile
        work()
    replay: Callable[[], None] = graph.replay
    return replay


@contextlib.contextmanager
def _apart(device: torch.device) -> Iterator[None]:
    """Queue what is done in the block apart from the rest, after what was queued and before what follows."""
    before, own = torch.cuda.current_stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    own.wait_stream(before)
    with torch.cuda.stream(own):
        yield
    before.wait_stream(own)
