"""How are the questions of a page answered? One after the other, by a session: of what is shown, in Python.

A session sends answers, and reports of what goes on meanwhile. It never names a path, a module or code that
a page gave.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from diffuscope.errors import DiffuscopeError
from diffuscope.studio.requests import PageRequest, read_request

__all__ = ["Next", "Send", "Session"]

Send = Callable[[dict[str, Any]], None]
Next = Callable[[bool], "dict[str, Any] | None"]


class Session(ABC):
    """Answers questions with ``send``; ``next_command(wait)`` gives the next one, or None."""

    requests: ClassVar[Mapping[str, type[PageRequest]]]

    def __init__(self, send: Send, next_command: Next) -> None:
        self.send, self.next_command = send, next_command
        self.later: dict[str, Any] | None = None  # a command that comes before the next one

    def serve(self) -> None:
        """Answer until there are no more commands."""
        while True:
            command = self.later or self.next_command(True)
            self.later = None
            if command is None:
                return
            self.handle(command)

    def handle(self, command: dict[str, Any]) -> None:
        """Answer one command; what is wrong with it is sent as an error."""
        identity = command.get("id")
        try:
            request = read_request(command.get("question"), command.get("ask"), self.requests)
            self.answer(command, request)
        except DiffuscopeError as error:
            self.send({"id": identity, "error": error.what})
        except (ValueError, RuntimeError, ArithmeticError) as error:
            self.send({"id": identity, "error": f"{type(error).__name__}: {error}"})

    def answer(self, command: dict[str, Any], request: Any) -> None:
        """Send the answer to a request, which is valid: that of the method of its name."""
        found = getattr(self, f"on_{command['question']}")(request)
        self.send({"id": command.get("id"), "answer": found})

    @abstractmethod
    def on_hello(self, _: Any) -> dict[str, Any]:
        """Return all that a page that comes has to know."""
