"""Which of the other processes is lost? Each of them counts on, in a store that all can read.

A connection that breaks does not say whose it was, and a process that is stopped breaks none. A thread of
each process raises its own counter twice a second; one that stands still belongs to a process that is lost.
One that ends because of an error of its own says why before it goes.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

from diffuscope.errors import LostError

__all__ = ["Peers", "meet"]

_EVERY = 0.5  # seconds between two counts
_WATCHED = 1.6  # seconds within which a living process has counted on
_PASSING = 5.0  # seconds
_HINT = (
    "Start all again with --resume, or with --resume auto under torchrun --max-restarts: they go on from the "
    "last checkpoint."
)


class Peers:
    """The processes that work together, as they are seen from one of them.

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
        self.lost = False  # whether one of them is
        self._waits = self._came = 0
        self._hint = _HINT
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

    @contextlib.contextmanager
    def hinting(self, hint: str) -> Iterator[None]:
        """Say another hint than that of a training while the block runs."""
        before, self._hint = self._hint, hint
        try:
            yield
        finally:
            self._hint = before

    def come(self) -> None:
        """Say to the others that this process has come to the next work that is shared."""
        self._came += 1
        self._store.add(f"came/{self.rank}", 1)

    def check_all_came(self) -> None:
        """Raise a LostError where others have not come to the same work."""
        late = [other for other in self._seen if int(self._store.add(f"came/{other}", 0)) < self._came]
        if late:
            self.lost = True
            self.leave(lost=late)
            named = " and ".join(map(str, late))
            raise LostError(
                f"Process {named} of {self.size} did not come to what is shared within {self.timeout:g} "
                f"seconds, and process {self.rank} did.",
                "Call what is shared in all processes, or outside of diffuscope.sharing().",
            )

    def passed(self) -> None:
        """Have the first process wait, for seconds at most, until all others are past the same point.

        It may end thereafter, and a connection that it closes disturbs nobody.
        """
        self._waits += 1
        with contextlib.suppress(RuntimeError):
            if self.rank:
                self._store.add(f"passed/{self._waits}", 1)
                return
            begun = time.monotonic()
            while time.monotonic() - begun < _PASSING:
                if int(self._store.add(f"passed/{self._waits}", 0)) >= self.size - 1:
                    return
                time.sleep(0.01)

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

    def error(self, late: bool = False) -> LostError:
        """Return what is said when another process is lost: which, and how to go on.

        ``late``: it did not answer for the timeout.
        """
        self.lost = True
        others = [other for other in range(self.size) if other != self.rank]
        words: dict[int, str] = {}
        alone = False  # this process holds the first place, and the store is with torchrun, which ended
        try:
            before = [self._count(other) for other in others]
            time.sleep(_WATCHED)
            after = [self._count(other) for other in others]
            left = {other: self._word(other) for other in others if self._store.check([f"left/{other}"])}
        except RuntimeError:  # the store is with process 0, or with torchrun on its machine
            lost, alone = [0], self.rank == 0
        else:
            pairs = zip(others, before, after, strict=True)
            still = {other for other, one, two in pairs if one == two and other not in left}
            lost = sorted(still.union(*(word["lost"] for word in left.values())) - {self.rank})
            words = {other: word["why"] for other, word in left.items() if word["why"]}
        self.leave(lost=lost)
        if self.rank == 0:
            self.linger(_WATCHED, lost)
        rank, size, named = self.rank, self.size, " and ".join(map(str, lost))
        if alone:
            what = f"Process {rank} of {size} lost torchrun, or what else started it."
        elif words and not lost:
            other, why = next(iter(words.items()))
            what = f"Process {rank} of {size} ends, as process {other} did: {why}"
        elif not lost:
            what = f"Process {rank} of {size} lost another one."
        elif late:
            what = f"Process {rank} of {size} lost process {named}: no answer for {self.timeout:g} seconds."
        else:
            what = f"Process {rank} of {size} lost process {named}: it ended, or does not answer."
        return LostError(what, self._hint)

    def linger(self, seconds: float, lost: Sequence[int] = ()) -> None:
        """Wait, for seconds at most, until the others have said that they end too, but those that are lost.

        The first process may have the store in which they read.
        """
        end = time.monotonic() + seconds
        with contextlib.suppress(RuntimeError):
            while time.monotonic() < end:
                if all(self._store.check([f"left/{other}"]) for other in self._seen if other not in lost):
                    return
                time.sleep(0.05)

    def _word(self, rank: int) -> dict[str, Any]:
        word: dict[str, Any] = json.loads(self._store.get(f"left/{rank}"))
        return word


def meet(store: Any, rank: int, size: int, timeout: float) -> str:
    """Return a word that the processes have in common, and no earlier start has, in whose store they may be.

    Each says a word of its own, which the first one answers until all have heard it. TimeoutError where some
    do not come.
    """
    own, end = secrets.token_hex(8), time.monotonic() + timeout
    while time.monotonic() < end:
        if rank:
            store.set(f"meet/{rank}", own)
            if store.check([f"answer/{rank}"]):
                heard, word = store.get(f"answer/{rank}").decode().split()
                if heard == own:
                    store.set(f"{word}/{rank}", "1")
                    return str(word)
        else:
            for other in range(1, size):
                if store.check([f"meet/{other}"]):
                    store.set(f"answer/{other}", f"{store.get(f'meet/{other}').decode()} {own}")
            if all(store.check([f"{own}/{other}"]) for other in range(1, size)):
                return own
        time.sleep(0.02)
    raise TimeoutError
