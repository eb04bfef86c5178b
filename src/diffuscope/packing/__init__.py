"""How does data of any kind and size become files that are read where they lie? It is packed, once."""

from __future__ import annotations

from diffuscope.packing.entry import pack

__all__ = ["pack"]
