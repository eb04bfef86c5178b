"""How is the process that computes started, asked and heard? One for all pages that watch."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
from typing import Any, Protocol

__all__ = ["Studio", "Watcher"]

_PIPE = 2**26


class Watcher(Protocol):
    """An open page."""

    def tell(self, head: dict[str, Any]) -> None:
        """Send it plain data."""

    def answer(self, own: int, head: dict[str, Any], body: bytes) -> None:
        """Send it the answer to its own question of this number."""

    def show(self, message: bytes) -> None:
        """Send it a picture, unless a later one comes first."""


class Studio:
    """The engine's process, and the pages that watch."""

    def __init__(self, source: str, recipe: str | None) -> None:
        self.source, self.recipe = source, recipe
        self.pages: set[Watcher] = set()
        self.owners: dict[int, tuple[Watcher, int]] = {}
        self.count = 0
        self.child: asyncio.subprocess.Process | None = None
        self.state = "starting"
        self.trouble: dict[str, Any] | None = None

    async def start(self) -> None:
        """Start the engine, and listen to it."""
        self.child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "diffuscope.studio.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_PIPE,
            start_new_session=True,
        )
        self._write({"source": self.source, "recipe": self.recipe})
        self.listening = asyncio.create_task(self._listen())

    async def stop(self) -> None:
        """End the engine: its input ends, and if that is not enough, it is killed."""
        child = self.child
        assert child is not None
        assert child.stdin is not None
        self.listening.cancel()
        if child.returncode is not None:
            return
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 2)
        except TimeoutError:
            child.kill()
            await child.wait()

    def _write(self, command: dict[str, Any]) -> None:
        assert self.child is not None
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(command, separators=(",", ":")).encode() + b"\n")

    async def _listen(self) -> None:
        assert self.child is not None
        out = self.child.stdout
        assert out is not None
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                (length,) = struct.unpack("<I", await out.readexactly(4))
                self._pass_on(await out.readexactly(length))
        self.state = "ended"
        self.owners = {}
        for page in self.pages:
            page.tell({"failed": (self.trouble or {}).get("failed", "The engine has ended.")})

    def _pass_on(self, message: bytes) -> None:
        (length,) = struct.unpack_from("<I", message)
        head = json.loads(message[4 : 4 + length])
        if "progress" in head:
            for page in self.pages:
                page.show(message)
        elif "loss" in head or "work" in head:
            for page in self.pages:
                page.tell(head)
        elif "id" in head:
            owner = self.owners.pop(head["id"], None)
            if owner is not None:
                owner[0].answer(owner[1], head, message[4 + length :])
        elif "opened" in head:
            self.state = "open"
            for page in self.pages:
                page.tell({"opened": True})
        elif "failed" in head:
            self.trouble = head

    def ask(self, page: Watcher, own: int, question: Any, ask: Any) -> None:
        """Pass a question of a page to the engine."""
        self.count += 1
        self.owners[self.count] = (page, own)
        self._write({"id": self.count, "question": question, "ask": ask})

    def leave(self, page: Watcher) -> None:
        """Forget a page, and whose questions are open."""
        self.pages.discard(page)
        self.owners = {key: owner for key, owner in self.owners.items() if owner[0] is not page}
