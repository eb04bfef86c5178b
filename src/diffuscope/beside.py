"""How is something done beside other work? In a process of its own where one can be forked, else in a thread.

Drawing is mostly Python: a thread of it takes turns with everything else. A forked process has all that was
loaded already and takes a core of its own.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from diffuscope.errors import RunError
from diffuscope.files import BEAT

__all__ = ["Beside", "can_fork"]

Receive = Callable[[], Any]


class _GivenUp(BaseException):
    """The caller has an error of its own, and sends this in place of further values."""


def can_fork() -> bool:
    """Whether a process may be forked: on Linux, from one thread, with no accelerator or group in use.

    The thread that shows that a folder is locked does not count.
    """
    import torch

    return (
        sys.platform == "linux"
        and all(one.name in (BEAT, "MainThread") for one in threading.enumerate())
        and not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        and not (torch.distributed.is_available() and torch.distributed.is_initialized())
        and (os.cpu_count() or 1) > 1
    )


class Beside:
    """Runs ``do(receive)`` beside its caller, who sends it values; leaving the block waits for its end.

    ``receive()`` returns the values sent, in their order. An error of ``do`` is raised at the end of the
    block, unless the block has one of its own: then it ends where it waits for a value that does not come.
    Values and errors must be picklable.
    """

    def __init__(self, do: Callable[[Receive], None]) -> None:
        self._error: Future[None] = Future()
        self._process: Any = None
        if can_fork():
            context = multiprocessing.get_context("fork")
            self._ours, theirs = context.Pipe()
            self._process = context.Process(target=_child, args=(do, self._ours, theirs), daemon=True)
            with warnings.catch_warnings():  # from Python 3.12 on, of the idle threads of array libraries
                warnings.simplefilter("ignore", DeprecationWarning)
                self._process.start()
            theirs.close()
        else:
            self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
            self._thread = threading.Thread(target=self._run, args=(do,), daemon=True)
            self._thread.start()

    def _run(self, do: Callable[[Receive], None]) -> None:
        import torch

        torch.set_num_threads(1)  # of this thread
        try:
            _until_given_up(do, self._queue)
        except BaseException as error:
            self._error.set_exception(error)
        else:
            self._error.set_result(None)

    def send(self, value: Any) -> None:
        """Send a value; nothing happens where it has ended already, by an error that is raised later."""
        if self._process is None:
            self._queue.put(value)
            return
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._ours.send(value)

    def wait(self) -> None:
        """Wait for the end, and raise its error."""
        if self._process is None:
            self._error.result()
            return
        try:
            error = self._ours.recv()
        except (EOFError, ConnectionResetError):
            error = None
        self._process.join()
        if error is None and self._process.exitcode:
            error = RunError(
                f"The process that draws was ended, with exit code {self._process.exitcode}.",
                "Is there memory enough? Train without pictures, and draw them later.",
            )
        if error is not None:
            raise error

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.wait()
            return
        self.send(_GivenUp())
        (self._thread if self._process is None else self._process).join()


def _until_given_up(do: Callable[[Receive], None], inbox: queue.SimpleQueue[Any]) -> None:
    """Run it, until it asks for a value in vain."""

    def receive() -> Any:
        value = inbox.get()
        if isinstance(value, _GivenUp):
            raise value
        return value

    with contextlib.suppress(_GivenUp):
        do(receive)


def _child(do: Callable[[Receive], None], theirs: Connection, own: Connection) -> None:
    """Run in the forked process: end with the parent, however it ends."""
    import torch

    theirs.close()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):  # which reach both; the parent decides
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    torch.set_num_threads(1)
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                inbox.put(own.recv())
            except (EOFError, OSError):
                os._exit(1)  # the parent is gone

    threading.Thread(target=listen, daemon=True).start()
    try:
        _until_given_up(do, inbox)
    except Exception as error:
        own.send(error)
    else:
        own.send(None)
