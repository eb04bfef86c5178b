"""How do gradients travel while the rest of them is computed? Layer by layer, from the last to the first."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator

from torch import Tensor

from diffuscope.training.distributed import World
from diffuscope.training.weights import FlatParameters

__all__ = ["Overlap"]

_NUMBERS = 2**21  # gradients that are sent together


class Overlap:
    """Sums the gradients of all processes, from the last weights to the first.

    A stretch of them is sent once all of it is there. The order is the same in all processes.
    """

    def __init__(self, flat: FlatParameters, world: World) -> None:
        self._flat, self._world = flat, world
        self._views = [grad for _, grad in flat.views]
        self._stretch: list[int] = []  # of each parameter
        self._bounds: list[list[int]] = []  # of each stretch, in the vector
        stop = flat.grad.numel()
        for view in reversed(self._views):
            if not self._bounds or self._bounds[-1][1] - self._bounds[-1][0] >= _NUMBERS:
                self._bounds.append([stop, stop])
            stop -= view.numel()
            self._bounds[-1][0] = stop
            self._stretch.insert(0, len(self._bounds) - 1)
        self._missing: list[int] = []
        self._finish: list[Callable[[], None]] = []
        self._share, self.begun = 1.0, False

    @contextlib.contextmanager
    def sending(self, share: float, add: bool) -> Iterator[None]:
        """Send the gradients that are computed in a block, times the share of this process.

        ``add`` adds them to those that are there.
        """
        self.begun, self._share = True, share
        self._missing = [self._stretch.count(i) for i in range(len(self._bounds))]
        if not add:
            self._flat.grad.zero_()  # also of weights that are not used
        hooks = [
            parameter.register_hook(functools.partial(self._keep, i))  # type: ignore[no-untyped-call]
            for i, parameter in enumerate(self._flat.parameters)
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _keep(self, i: int, gradient: Tensor) -> None:
        self._views[i].add_(gradient)
        self._missing[self._stretch[i]] -= 1
        while len(self._finish) < len(self._bounds) and self._missing[len(self._finish)] <= 0:
            self._send_next()

    def _send_next(self) -> None:
        start, stop = self._bounds[len(self._finish)]
        self._finish.append(self._world.begin_sum(self._flat.grad[start:stop].mul_(self._share)))

    def send(self, share: float) -> None:
        """Send what is left, times the share of this process, and wait for all of it."""
        self._share = share
        while len(self._finish) < len(self._bounds):
            self._send_next()
        for finish in self._finish:
            finish()
        self._finish.clear()
        self.begun = False
