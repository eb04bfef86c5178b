"""How is the studio opened? A free port of this machine, a token, a browser."""

from __future__ import annotations

import asyncio
import secrets
import socket
import webbrowser
from collections.abc import Callable

from diffuscope.errors import InputError, RunError
from diffuscope.studio.engine import Studio
from diffuscope.studio.first import first_payload
from diffuscope.translations import LANGUAGES
from diffuscope.viewer.shell import live_page

__all__ = ["run_studio"]


def run_studio(
    source: str,
    recipe: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    browser: bool = True,
    language: str = "",
    say: Callable[[str], None] = print,
) -> None:
    """Serve the studio until it is interrupted; ``say`` is told its address.

    An address that is taken or not this machine's is a RunError; an unknown language, or all addresses at
    once, an InputError.
    """
    if language not in ("", *LANGUAGES):
        raise InputError(f"There is no language {language!r}.", "Choose en or zh.")
    if host in ("", "0.0.0.0"):
        what = "The studio listens on one address of this machine, by which pages then call it."
        raise InputError(what, "Give that address, such as --host 192.168.1.5.")
    place = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        place.bind((host, port))
        place.listen(64)  # whoever comes before the server is ready waits
    except OSError as error:
        place.close()
        what = f"Cannot listen on {host}:{port}: {error.strerror}."
        raise RunError(what, "Choose another --port, or none.") from error
    found = place.getsockname()[1]
    token = secrets.token_urlsafe(32)
    page, policy = live_page(language)
    payload = first_payload(source, recipe)
    first = page if payload is None else live_page(language, payload)[0]
    address = f"http://{host}:{found}/#token={token}"

    async def serve() -> None:
        studio = Studio(source, recipe)
        await studio.start()  # first of all: it takes seconds to load torch
        try:
            say(address)
            if browser:
                webbrowser.open(address)
            import uvicorn

            from diffuscope.studio.server import MOST_BYTES, make_app

            def current() -> str:
                return first if studio.state == "starting" else page

            config = uvicorn.Config(
                make_app(studio, token, current, policy, host, lambda: found),
                log_level="warning",
                ws="websockets-sansio",
                ws_max_size=MOST_BYTES,
                ws_per_message_deflate=False,
            )
            await uvicorn.Server(config).serve(sockets=[place])
        finally:
            await studio.stop()  # where the server never ran, and so did not end it

    try:
        asyncio.run(serve())
    finally:
        place.close()
