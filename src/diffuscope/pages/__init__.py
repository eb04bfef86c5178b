"""How do results become HTML? As a page by itself, or as what a notebook shows, in one look."""

from __future__ import annotations

from diffuscope.pages.cards import card
from diffuscope.pages.rendering import fragment, image_address, page, png_address

__all__ = ["card", "fragment", "image_address", "page", "png_address"]
