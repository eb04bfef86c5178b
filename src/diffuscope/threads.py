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
_own = threading.local()  # of a thread of a pool: events that say that nobody waits for it


def side_by_side(
    do: Callable[[_T], _S],
    pieces: Iterable[_T],
    device: torch.device | None = None,
    workers: int | None = None,
    *,
    ahead: bool = False,
) -> Iterator[_S]:
    """Yield ``do(piece)`` for all pieces in order, in parallel on a CPU, sequentially on an accelerator.

    Pieces are consumed lazily, so that memory does not grow with their number. An exception of ``do`` is
    raised in its turn; pieces that have not started by then are cancelled. ``do`` should release Python's
    global interpreter lock, as array operations do. ``workers`` of them run at a time, by default as many as
    torch has threads; a single one runs in the thread that asks, with the number of threads that it has,
    unless it is to work ``ahead`` of what is asked for, beside that thread.
    """
    import torch

    threads, single = torch.get_num_threads(), workers == 1 or (device is not None and device.type != "cpu")
    if single and not ahead:
        yield from map(do, pieces)
        return
    workers, rest = 1 if single else workers or threads, iter(pieces)
    ended = threading.Event()
    all_ended = (*getattr(_own, "ended", ()), ended)  # of this piece, and of those that it is a part of

    def begin() -> None:
        torch.set_num_threads(threads if single else 1)
        _own.ended = all_ended

    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        waiting = deque(pool.submit(do, piece) for piece in itertools.islice(rest, 2 * workers))
        try:
            while waiting:
                yield waiting.popleft().result()
                waiting.extend(pool.submit(do, piece) for piece in itertools.islice(rest, 1))
        finally:
            ended.set()
            for future in waiting:
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
    ended: tuple[threading.Event, ...] = getattr(_own, "ended", ())
    for part in parts:
        if any(one.is_set() for one in ended):
            raise CancelledError
        yield part
