"""How does a process end when it gets a signal? At the next good moment, whoever says so.

Ctrl-C sends SIGINT, a scheduler SIGTERM or SIGUSR1, a terminal that is closed SIGHUP. The exit code is 128
plus the number of the signal, as shells and schedulers expect. An ignored signal, as under nohup, stays
ignored.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

__all__ = ["Stopped", "exit_code", "noted", "stop_by_signals", "stopped_by", "words_of"]

_NAMES = ("SIGTERM", "SIGHUP", "SIGUSR1")
_OTHERS = tuple(number for name in _NAMES if (number := getattr(signal, name, None)) is not None)


class Stopped(KeyboardInterrupt):
    """The process was stopped by the signal ``number``, such as ``signal.SIGTERM``."""

    def __init__(self, text: str = "", number: int = signal.SIGINT) -> None:
        super().__init__(text)
        self.number = int(number)


def stopped_by(stop: BaseException) -> int:
    """Return the number of the signal behind a KeyboardInterrupt."""
    return int(getattr(stop, "number", signal.SIGINT))


def exit_code(stop: BaseException) -> int:
    """Return the exit code of a process that ends for a KeyboardInterrupt: 130, 143, 129 or 138."""
    return 128 + stopped_by(stop)


def words_of(number: int) -> str:
    """Return how it is said that a signal ended something."""
    return "Interrupted" if number == signal.SIGINT else f"Stopped by {signal.Signals(number).name}"


def _raise(number: int, frame: FrameType | None) -> None:
    raise Stopped(words_of(number), number)


@contextlib.contextmanager
def stop_by_signals() -> Iterator[None]:
    """Have SIGTERM, SIGHUP and SIGUSR1 raise :class:`Stopped` while the block runs, as Ctrl-C does."""
    with contextlib.ExitStack() as held:
        if threading.current_thread() is threading.main_thread():
            for number in _OTHERS:
                before = signal.getsignal(number)
                if before is signal.SIG_DFL:
                    signal.signal(number, _raise)
                    held.callback(signal.signal, number, before)
        yield


@contextlib.contextmanager
def noted() -> Iterator[Callable[[], int]]:
    """Give what returns the number of the first signal that said to stop, 0 before one did.

    Ctrl-C is noted always, the others where the program has no handler of its own for them. The
    second signal raises :class:`Stopped` at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    seen: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            raise Stopped(words_of(number), number)
        seen.append(number)

    with contextlib.ExitStack() as held:
        for number in (signal.SIGINT, *_OTHERS):
            before = signal.getsignal(number)
            if number == signal.SIGINT or before in (signal.SIG_DFL, _raise):
                signal.signal(number, note)
                held.callback(signal.signal, number, before)
        yield lambda: seen[0] if seen else 0
