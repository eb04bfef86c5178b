"""What does a studio of the S-curve train first? The page begins with it, while Python is being loaded.

It stands in first.json, so that nothing need load torch. A test holds that file to what a session says;
``python -m diffuscope.studio.first`` writes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffuscope._version import __version__

__all__ = ["first_payload", "payload_of_session"]

_FILE = Path(__file__).with_name("first.json")
_SOURCE, _RECIPES = "s_curve", (None, "fast")


def first_payload(source: str, recipe: str | None) -> dict[str, Any] | None:
    """Return what a page needs to train by itself, or None where it has to wait for Python."""
    if source != _SOURCE or recipe not in _RECIPES:
        return None
    return {"version": __version__, **json.loads(_FILE.read_text("utf-8"))}


def payload_of_session() -> dict[str, Any]:
    """Return what a session says of it, but for the version."""
    from diffuscope.studio.plane_session import PlaneSession

    session = PlaneSession(lambda message: None, lambda wait: None)
    session.open(_SOURCE, None)
    payload: dict[str, Any] = session.on_hello(None)["payload"]
    return {key: value for key, value in payload.items() if key != "version"}


if __name__ == "__main__":
    _FILE.write_text(json.dumps(payload_of_session(), indent=1) + "\n", "utf-8")
