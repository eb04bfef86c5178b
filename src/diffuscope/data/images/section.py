"""The section ``[data]`` of a recipe for images."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from diffuscope.data.section import ConditionedSection

__all__ = ["ImagesSection"]


class ImagesSection(ConditionedSection):
    """Where images come from, and how they are read."""

    kind: Literal["images"] = "images"
    image_size: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Height and width to which images of a folder are resized; None: a size that suits most of them."""
    channels: Literal[1, 2, 3, 4] | None = None
    """1 (grey), 3 (colour), 2 or 4 (the same with alpha); None: grey if all images are, over white."""
    skip_broken: bool = False
    """Whether unreadable files are skipped instead of raising an error."""
    range: tuple[float, float] | None = None
    """The values that are black and white, in images of more than 8 bits; None: found of all of them."""
    split: str | None = None
    """The subfolder to learn from, such as ``train``; None: that, where the subfolders are such parts."""
    flip: bool = False
    """Whether images are flipped horizontally at random in training."""
    target: str | tuple[str, ...] | None = None
    """Column of ``metadata.csv`` in a folder, or array of a .npz archive, with the labels, or several columns
    with numbers, also as text with commas; None: a folder's subfolders, an archive's ``labels`` or ``y``."""
