"""What is every page made of? Our own script and style, a policy that lets nothing else run, and data.

The script is in it deflated, as text, and a loader of a few lines unpacks it: so a page is half as large.
Nothing here needs torch or a run: the studio serves its page at once.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["live_page", "render"]

_FOLDER = Path(__file__).parent


def render(data: Any, policy: str, **values: Any) -> str:
    """Return the page with ``data``, which becomes JSON; the other values are escaped."""
    page: str = _template().render(
        policy=policy,
        style=_safe(_part("viewer.css")),
        packed=_safe(_packed()),
        loader=_safe(_part("loader.js")),
        data=_safe(_json(data)),
        **values,
    )
    return page


def live_page(language: str = "", first: dict[str, Any] | None = None) -> tuple[str, str]:
    """Return a page that asks a studio for all it shows, and its policy; "" is the browser's language.

    ``first`` is what the page trains by itself until the studio answers.
    """
    own = policy("connect-src 'self'")
    data = {"live": True, "language": language, "first": first}
    page = render(data, own, language=language, title="Studio", picture="")
    return page, own


@cache
def policy(more: str = "") -> str:
    """Return a page's policy: its own scripts and style by their digests, workers made of the script."""

    def digest(name: str) -> str:
        value = base64.b64encode(hashlib.sha256(_part(name).encode()).digest()).decode("ascii")
        return f"'sha256-{value}'"

    scripts = f"{digest('loader.js')} {digest('viewer.js')}"

    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; img-src data:; worker-src blob:; "
        f"style-src {digest('viewer.css')}; script-src {scripts} 'wasm-unsafe-eval'"
        + (f"; {more}" if more else "")
    )


def _json(value: Any) -> str:
    """Return JSON that can stand inside an element of a page: nothing in it begins a tag."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _part(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


@cache
def _packed() -> str:
    """Return the script as the loader reads it."""
    return base64.b64encode(zlib.compress(_part("viewer.js").encode(), 9)).decode("ascii")


def _safe(text: str) -> Any:
    """Mark text as one that needs no escaping: our own script and style, and JSON without tags."""
    from markupsafe import Markup

    return Markup(text)


@cache
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html")
