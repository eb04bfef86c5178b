"""Who may ask, and how do answers reach a page that is slow, sleeps, or comes again?

The server listens on this machine only. A page is let in by a token in the fragment of its address, which
leaves the browser but once: it is exchanged for a cookie of this port. Host and Origin must be this server's,
in requests and in upgrades, so that no other page and no other name can reach it. Messages are bounded in
size and number.

Answers are all sent. Of the pictures of a training only the latest waits: one is sent when the page has
drawn the last (a *credit*), so that a slow page holds up neither training nor memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import struct
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from diffuscope.studio.engine import Studio

__all__ = ["MOST_BYTES", "make_app"]

MOST_BYTES = 2**18  # of a message from a page
_MOST_OPEN = 64  # questions of a page that wait for answers
_MOST_A_SECOND = 200
_MOST_LATE = 64 * 2**20  # bytes that wait for a page


class _Page:
    """One open page: what waits to be sent to it, and what it may still ask."""

    def __init__(self, studio: Studio, socket: WebSocket) -> None:
        self.studio, self.socket = studio, socket
        self.queue: list[str | bytes] = []
        self.bytes = 0
        self.picture: bytes | None = None
        self.credit = 1
        self.open = 0
        self.news = asyncio.Event()
        self.tokens, self.filled = float(_MOST_A_SECOND), time.monotonic()

    def tell(self, head: dict[str, Any]) -> None:
        self._put(json.dumps(head))

    def answer(self, own: int, head: dict[str, Any], body: bytes) -> None:
        self.open -= 1
        text = json.dumps({**head, "id": own}, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        self._put(struct.pack("<I", len(text)) + text + body)

    def _put(self, message: str | bytes) -> None:
        if self.bytes > _MOST_LATE:  # it sleeps: what there is, is told when it comes again
            return
        self.queue.append(message)
        self.bytes += len(message)
        self.news.set()

    def show(self, message: bytes) -> None:
        """Keep the latest picture until the page has drawn the last one."""
        self.picture = message
        self.news.set()

    async def send(self) -> None:
        """Send what waits, for as long as the page is there."""
        while True:
            await self.news.wait()
            self.news.clear()
            while self.queue:
                message = self.queue.pop(0)
                self.bytes -= len(message)
                if isinstance(message, bytes):
                    await self.socket.send_bytes(message)
                else:
                    await self.socket.send_text(message)
            if self.picture is not None and self.credit > 0:
                self.credit -= 1
                picture, self.picture = self.picture, None
                await self.socket.send_bytes(picture)

    def too_much(self) -> bool:
        """Whether the page floods: a bucket of tokens that fills again with time."""
        now = time.monotonic()
        self.tokens = min(_MOST_A_SECOND, self.tokens + (now - self.filled) * _MOST_A_SECOND)
        self.filled = now
        self.tokens -= 1
        return self.tokens < 0

    def read(self, text: str) -> None:
        """Take a message of the page; one that is not valid is answered with an error."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self.tell({"refused": "A message must be a JSON object."})
            return
        if message.get("credit") == 1:
            self.credit = min(2, self.credit + 1)
            self.news.set()
            return
        own = message.get("id")
        if not isinstance(own, int) or isinstance(own, bool) or not 0 <= own < 2**53:
            self.tell({"refused": "A question needs a number."})
        elif self.open >= _MOST_OPEN:
            self.tell({"id": own, "error": "Too many questions are open."})
        elif self.studio.state != "open":
            self.tell({"id": own, "error": "The engine is not there."})
        else:
            self.open += 1
            self.studio.ask(self, own, message.get("question"), message.get("ask"))


class _Guard:
    """Lets through only what is meant for this server, by name and by origin."""

    def __init__(self, app: ASGIApp, names: Callable[[], set[str]]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        names = self.names()
        origins = {f"http://{name}" for name in names}
        origin = headers.get(b"origin")
        needed = scope["type"] == "websocket" or scope["method"] != "GET"
        good = headers.get(b"host") in names and (origin in origins if origin or needed else True)
        if good:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it was accepted: 403
        else:
            await PlainTextResponse("This is not the address of this server.", 403)(scope, receive, send)


def make_app(
    studio: Studio, token: str, page: Callable[[], str], policy: str, host: str, port: Callable[[], int]
) -> ASGIApp:
    """Return the application that serves a page to whoever has the token, and ends a ``studio`` that runs.

    ``page`` gives the page as it is to be now, ``port`` the port once it is known.
    """
    session = secrets.token_urlsafe(32)
    left = [token]  # it is good for one exchange

    def cookie() -> str:
        return f"diffuscope-{port()}"

    def names() -> set[str]:
        found = {"127.0.0.1", "localhost", host}
        return {f"{name}:{port()}" for name in found}

    def known(cookies: dict[str, str]) -> bool:
        return hmac.compare_digest(cookies.get(cookie(), "").encode(), session.encode())

    def headers(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = f"{policy}; frame-ancestors 'none'"
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        response.headers["Cache-Control"] = "no-store"
        return response

    async def index(request: Request) -> Response:
        return headers(HTMLResponse(page()))

    async def enter(request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > 200:
                return headers(PlainTextResponse("too long", 413))
        if not left or not hmac.compare_digest(body, left[0].encode()):
            return headers(PlainTextResponse("This token is not valid.", 403))
        left.clear()
        response = headers(PlainTextResponse("welcome"))
        response.set_cookie(cookie(), session, httponly=True, samesite="strict", path="/")
        return response

    async def watch(socket: WebSocket) -> None:
        if not known(socket.cookies):
            await socket.close(1008)
            return
        await socket.accept()
        me = _Page(studio, socket)
        studio.pages.add(me)
        if studio.state == "open":
            me.tell({"opened": True})
        elif studio.state == "ended":
            me.tell({"failed": (studio.trouble or {}).get("failed", "The engine has ended.")})
        sending = asyncio.create_task(me.send())
        try:
            while True:
                text = await socket.receive_text()
                if len(text) > MOST_BYTES or me.too_much():
                    await socket.close(1008)
                    return
                me.read(text)
        except (WebSocketDisconnect, KeyError):  # KeyError: a binary message
            return
        finally:
            studio.leave(me)
            sending.cancel()
            with contextlib.suppress(asyncio.CancelledError, RuntimeError, WebSocketDisconnect):
                await sending

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await studio.stop()

    routes = [
        Route("/", index),
        Route("/enter", enter, methods=["POST"]),
        WebSocketRoute("/watch", watch),
    ]
    return _Guard(Starlette(routes=routes, lifespan=lifespan), names)
