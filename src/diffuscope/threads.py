"""How is work in pieces shared among the cores? Each piece on one thread, so that none waits for another.

Threads within a product of small matrices cost more than they gain, and where other programs are at work
they wait for one another at every step. Pieces do not; and what one comes to depends on no number of cores.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

__all__ = ["side_by_side"]

_T = TypeVar("_T")
_S = TypeVar("_S")


def side_by_side(
    do: Callable[[_T], _S], pieces: Iterable[_T], device: torch.device | None = None
) -> Iterator[_S]:
    """Yield ``do(piece)`` for all pieces, in their order; on an accelerator one after another.

    Pieces are taken only as they are needed, so that memory stays flat however many there are. What ``do``
    raises is raised here, once its turn has come, and what has not begun by then never does.

    Parameters
    ----------
    do : callable
        Must let go of Python's lock to gain anything, as operations on arrays do.
    pieces : iterable
    device : torch.device, optional
        Where the work is done; the CPU by default.
    """
    import torch

    if device is not None and device.type != "cpu":
        yield from map(do, pieces)
        return
    workers, rest = torch.get_num_threads(), iter(pieces)
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        ahead = deque(pool.submit(do, piece) for piece in itertools.islice(rest, 2 * workers))
        try:
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(do, piece) for piece in itertools.islice(rest, 1))
        finally:
            for future in ahead:
                future.cancel()
