"""How is work distributed over the CPU's cores? In pieces, each on one thread.

Several threads within a product of small matrices cost more than they gain, and wait for each other at every
step. Independent pieces do not, and their results do not depend on the number of cores.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch

__all__ = ["ahead", "going_on", "side_by_side"]

_T = TypeVar("_T")
_S = TypeVar("_S")
_own = threading.local()  # of a thread of a pool: what says that nobody waits for it


def side_by_side(
    do: Callable[[_T], _S],
    pieces: Iterable[_T],
    device: torch.device | None = None,
    workers: int | None = None,
) -> Iterator[_S]:
    """Yield ``do(piece)`` for all pieces in order, in parallel on a CPU, sequentially on an accelerator.

    Pieces are consumed lazily, so that memory does not grow with their number. An exception of ``do`` is
    raised in its turn; pieces that have not started by then are cancelled. ``do`` should release Python's
    global interpreter lock, as array operations do. ``workers`` of them run at a time, by default as many as
    torch has threads; a single one runs in the thread that asks, with the number of threads that it has.
    """
    import torch

    if workers == 1 or (device is not None and device.type != "cpu"):
        yield from map(do, pieces)
        return
    workers, rest = workers or torch.get_num_threads(), iter(pieces)
    ended = threading.Event()

    def begin() -> None:
        torch.set_num_threads(1)
        _own.ended = ended

    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        ahead = deque(pool.submit(do, piece) for piece in itertools.islice(rest, 2 * workers))
        try:
            while ahead:
                yield ahead.popleft().result()
                ahead.extend(pool.submit(do, piece) for piece in itertools.islice(rest, 1))
        finally:
            ended.set()
            for future in ahead:
                future.cancel()


def ahead(items: Iterable[_T]) -> Iterator[_T]:
    """Yield items, each but the first made by a thread while the one before is worked on."""
    rest = iter(items)
    yield from itertools.islice(rest, 1)
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(list, itertools.islice(rest, 1))
        while found := coming.result():
            coming = pool.submit(list, itertools.islice(rest, 1))
            yield from found


def going_on(parts: Iterable[_T]) -> Iterator[_T]:
    """Yield the parts of a long piece, as long as the result of the piece is waited for.

    After an exception, such as Ctrl-C, the piece ends with the part that it is in: with CancelledError.
    """
    ended: threading.Event | None = getattr(_own, "ended", None)
    for part in parts:
        if ended is not None and ended.is_set():
            raise CancelledError
        yield part
