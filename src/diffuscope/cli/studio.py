"""``diffuscope studio``: a page on this machine in which a training is watched while it runs."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated

from typer import Argument, Option

from diffuscope.cli.common_options import say
from diffuscope.errors import InputError
from diffuscope.terminal import echo

_LOCAL = ("127.0.0.1", "localhost")


def studio(
    source: Annotated[
        str, Argument(metavar="[DATA|RUN]", help="A built-in set, a file of points, or a run directory.")
    ] = "s_curve",
    recipe: Annotated[str | None, Option(help="Recipe. [default: that of the data]")] = None,
    port: Annotated[int, Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 0,
    host: Annotated[
        str, Option(help="Address to listen on; any but 127.0.0.1 opens it to others.")
    ] = "127.0.0.1",
    browser: Annotated[bool, Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
    language: Annotated[str, Option(help="en or zh. [default: the browser's]")] = "",
) -> None:
    """Watch a training live: open a page that trains at once, asks and compares."""
    for name in ("starlette", "uvicorn", "websockets"):
        if find_spec(name) is None:
            what = f"The studio needs {name}, which is not installed."
            raise InputError(what, "Install it: pip install 'diffuscope[studio]'.")
    from diffuscope.studio.launch import run_studio

    if host not in _LOCAL:
        say(f"Warning: others can reach {host}. Whoever has the address with its token can use the studio.")
    run_studio(
        source,
        recipe,
        host=host,
        port=port,
        browser=browser,
        language=language,
        say=lambda address: echo(f"{address}\nStop it with Ctrl-C."),
    )
