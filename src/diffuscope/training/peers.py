"""Which of the other processes is lost? Each of them counts on, in a store that all can read.

A connection that breaks does not say whose it was, and a process that is stopped breaks none. A thread of
each process raises its own counter twice a second; one that stands still belongs to a process that is lost.
One that ends because of an error of its own says why before it goes.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from diffuscope.errors import RunError

__all__ = ["Peers"]

_EVERY = 0.5  # seconds between two counts
_WATCHED = 1.6  # seconds within which a living process has counted on
_HINT = (
    "Start all again with --resume, or with --resume auto under torchrun --max-restarts: they go on from the "
    "last checkpoint."
)


class Peers:
    """The processes that train together, as they are seen from one of them.

    Parameters
    ----------
    store : torch.distributed.Store
        Reached by all processes.
    rank, size : int
        Of this process, and how many there are.
    timeout : float
        Seconds without an answer after which a process is lost.
    """

    def __init__(self, store: Any, rank: int, size: int, timeout: float) -> None:
        self.rank, self.size, self.timeout = rank, size, timeout
        self._store, self._ended = store, threading.Event()
        self._seen = {other: (-1, time.monotonic()) for other in range(size) if other != rank}
        store.set_timeout(timedelta(seconds=5))
        self._count(rank, 1)
        self._thread = threading.Thread(target=self._go_on, args=(store.clone(),), daemon=True)
        self._thread.start()

    def _go_on(self, store: Any) -> None:
        while not self._ended.wait(_EVERY):
            try:
                store.add(f"alive/{self.rank}", 1)
            except RuntimeError:  # the process that has the store is gone: the next exchange says so
                return

    def _count(self, rank: int, more: int = 0) -> int:
        return int(self._store.add(f"alive/{rank}", more))

    def close(self) -> None:
        """Count no more."""
        self._ended.set()

    def leave(self, why: str = "", lost: Sequence[int] = ()) -> None:
        """Say to the others that this process ends: for an error of its own, or as these are lost."""
        with contextlib.suppress(RuntimeError):
            self._store.set(f"left/{self.rank}", json.dumps({"why": why, "lost": list(lost)}))

    def silent(self) -> list[int]:
        """Return who has not counted on for the timeout; called again and again while waiting."""
        now = time.monotonic()
        found = []
        for other, (count, since) in self._seen.items():
            latest = self._count(other)
            if latest != count:
                self._seen[other] = (latest, now)
            elif now - since > self.timeout:
                found.append(other)
        return found

    def departed(self) -> bool:
        """Whether another process said that it ends."""
        return any(self._store.check([f"left/{other}"]) for other in self._seen)

    def error(self, why: str = "it ended, or does not answer") -> RunError:
        """Return what is said when another process is lost: which, and how to go on."""
        own = f"Process {self.rank} of {self.size}"
        try:
            others = [other for other in range(self.size) if other != self.rank]
            before = [self._count(other) for other in others]
            time.sleep(_WATCHED)
            after = [self._count(other) for other in others]
            left = {other: self._word(other) for other in others if self._store.check([f"left/{other}"])}
        except RuntimeError:  # the store is with process 0, or with torchrun on its machine
            lost, words = [0], []
        else:
            pairs = zip(others, before, after, strict=True)
            still = {other for other, one, two in pairs if one == two and other not in left}
            lost = sorted(still.union(*(word["lost"] for word in left.values())) - {self.rank})
            words = [f"process {other}: {word['why']}" for other, word in left.items() if word["why"]]
        self.leave(lost=lost)
        if words and not lost:
            return RunError(f"{own} ends with {'; '.join(words)}", _HINT)
        named = " and ".join(map(str, lost))
        who = f"process{'es' * (len(lost) > 1)} {named}" if lost else "another one"
        return RunError(f"{own} lost {who}: {why}.", _HINT)

    def _word(self, rank: int) -> dict[str, Any]:
        word: dict[str, Any] = json.loads(self._store.get(f"left/{rank}"))
        return word
