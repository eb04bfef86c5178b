"""``python -m diffuscope.studio.child``: the process that computes. Commands come as lines, answers go out.

The first line says what to open. Each answer is preceded by its length, four bytes.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import queue
import struct
import sys
import threading
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Serve until the input ends."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what anybody prints must not mix with answers
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    commands: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def read() -> None:
        with open(0, "rb", closefd=False) as lines:
            for line in lines:
                commands.put(json.loads(line))
        commands.put(None)

    threading.Thread(target=read, daemon=True).start()

    gc.disable()  # what modules make while they are loaded stays
    from diffuscope.errors import DiffuscopeError
    from diffuscope.studio.frames import encode
    from diffuscope.studio.opening import open_session

    def send(content: dict[str, Any]) -> None:
        message = encode(content)
        out.write(struct.pack("<I", len(message)) + message)
        out.flush()

    ended = False

    def next_command(wait: bool) -> dict[str, Any] | None:
        nonlocal ended
        try:
            command = None if ended else commands.get(block=wait)
        except queue.Empty:
            return None
        if command is None:
            ended = True
            if not wait:
                raise SystemExit  # in the middle of a training
        return command

    first = next_command(True)
    if first is None:
        return
    try:
        session = open_session(str(first["source"]), first.get("recipe"), send, next_command)
    except DiffuscopeError as error:
        send({"failed": error.what, "hint": error.hint})
        return
    gc.freeze()
    gc.enable()
    with contextlib.suppress(OSError, AttributeError):
        os.nice(5)  # the page and the rest of the machine come first
    send({"opened": True})
    session.serve()


if __name__ == "__main__":
    main()
