"""How is a model watched? In a page that computes by itself, or shows samples on their way from noise.

The page is written in TypeScript, in ``web/`` of the repository; ``make web`` builds ``viewer.js`` and
``viewer.css`` from there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffuscope.viewer.contents import payload as payload
    from diffuscope.viewer.page import View as View

__all__ = ["View", "payload"]


def __getattr__(name: str) -> Any:
    # Loaded when they are used: the studio serves its page without torch.
    if name == "View":
        from diffuscope.viewer.page import View

        return View
    if name == "payload":
        from diffuscope.viewer.contents import payload

        return payload
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
