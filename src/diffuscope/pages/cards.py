"""How does a result look in a notebook? As a card: a title, a few facts, a table, a picture, notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from diffuscope.pages.rendering import fragment, png_address
from diffuscope.translations import term

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["card"]

_DPI = 80


def card(
    title: str,
    facts: Sequence[tuple[str, str]] = (),
    head: Sequence[str] = (),
    rows: Sequence[Sequence[str]] = (),
    picture: Figure | None = None,
    notes: Sequence[str] = (),
    details: str = "",
) -> str:
    """Return the HTML of a card, for a ``_repr_html_``; ``details`` is text that is shown on a click.

    ``facts`` are names with a text each, ``head`` and ``rows`` a table.
    """
    return fragment(
        "diffuscope.pages",
        "card.html",
        heading=term(title),
        facts=[(term(name), text) for name, text in facts if text],
        head=[term(name) for name in head],
        rows=rows,
        picture=None if picture is None else png_address(picture, _DPI),
        notes=[note for note in notes if note],
        details=details,
    )
