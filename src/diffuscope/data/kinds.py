"""Which kinds of data are there? A kind is a section of the recipe, a codec, and a modality.

Nothing is imported until a kind is used: a run on points never loads what tables need.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffuscope.data.base import Codec
from diffuscope.data.section import DataSection
from diffuscope.errors import unknown_name

__all__ = ["KINDS", "Kind", "codec_from_json", "codec_to_json", "section_of"]


@dataclass(frozen=True)
class Kind:
    """Where the parts of a kind are, each as ``module:name``."""

    section: str
    """A subclass of :class:`~diffuscope.data.section.DataSection`."""
    codec: str
    """A class with the methods of :class:`~diffuscope.data.base.Codec` and ``from_json``."""
    modality: str
    """An instance of :class:`diffuscope.modalities.base.Modality`."""

    def load(self, part: str) -> Any:
        """Import a part: "section", "codec" or "modality"."""
        module, _, name = getattr(self, part).partition(":")
        return getattr(importlib.import_module(module), name)


KINDS: dict[str, Kind] = {
    "points": Kind(
        "diffuscope.data.points.section:PointsSection",
        "diffuscope.data.points.codec:PointsCodec",
        "diffuscope.modalities.points.modality:POINTS",
    ),
    "table": Kind(
        "diffuscope.data.tables.section:TableSection",
        "diffuscope.data.tables.rows:RowCodec",
        "diffuscope.modalities.tables.modality:TABLE",
    ),
    "images": Kind(
        "diffuscope.data.images.section:ImagesSection",
        "diffuscope.data.images.codec:PixelCodec",
        "diffuscope.modalities.images.modality:IMAGES",
    ),
}
"""By name, in the order in which they are tried for a source."""


def kind_of(name: str) -> Kind:
    """Return a kind by its name, or raise an InputError."""
    if name not in KINDS:
        raise unknown_name("kind of data", name, KINDS)
    return KINDS[name]


def section_of(name: str) -> type[DataSection]:
    """Return the class of a kind's section ``[data]``."""
    section: type[DataSection] = kind_of(name).load("section")
    return section


def codec_to_json(codec: Codec) -> dict[str, Any]:
    """Return a codec as plain data, with its kind."""
    return {"kind": codec.kind, **codec.to_json()}


def codec_from_json(data: Mapping[str, Any]) -> Codec:
    """Read what :func:`codec_to_json` gave; errors are those of the codec's own ``from_json``."""
    content = dict(data)
    codec: Codec = kind_of(str(content.pop("kind", None))).load("codec").from_json(content)
    return codec
