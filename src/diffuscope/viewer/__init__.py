"""How is a model of points watched? In a page that computes by itself: one file, or shown in a notebook.

The page is written in TypeScript, in ``web/`` of the repository; ``make web`` builds ``viewer.js`` and
``viewer.css`` from there.
"""

from __future__ import annotations

from diffuscope.viewer.page import View
from diffuscope.viewer.payload import LANGUAGES, payload

__all__ = ["LANGUAGES", "View", "payload"]
