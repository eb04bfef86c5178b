"""How do tests ask a session? Without a process: its commands are a list that it works through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffuscope.errors import InputError
from diffuscope.studio.frames import decode, encode
from diffuscope.studio.session import Session


class Client:
    """Asks a session that ``make(send, next_command)`` returns.

    ``sent`` is what it has sent since the last question; ``during`` are commands that come while it works.
    """

    def __init__(self, make: Callable[..., Session]) -> None:
        self.sent: list[dict[str, Any]] = []
        self.commands: list[dict[str, Any]] = []
        self.during: list[dict[str, Any]] = []
        self.session: Any = make(lambda message: self.sent.append(decode(encode(message))), self._next)

    def _next(self, wait: bool) -> dict[str, Any] | None:
        waiting = self.commands if wait else self.during
        return waiting.pop(0) if waiting else None

    def ask(self, question: str, ask: Any = None) -> Any:
        """Return the answer; what is sent as an error is raised."""
        self.sent.clear()
        self.commands.append({"id": 1, "question": question, "ask": ask})
        self.session.serve()
        (answer,) = [message for message in self.sent if message.get("id") == 1]
        if "error" in answer:
            raise InputError(answer["error"])
        return answer["answer"]
