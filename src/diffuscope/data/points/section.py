"""The section ``[data]`` of a recipe for points."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from diffuscope.data.section import ConditionedSection

__all__ = ["PointsSection", "ScalingKind"]

ScalingKind = Literal["standard", "divide", "none"]


class PointsSection(ConditionedSection):
    """Where points come from, and how they are scaled."""

    kind: Literal["points"] = "points"
    noise: float | None = None
    """Standard deviation of the noise of a built-in set; None: its default."""
    scaling: ScalingKind = "standard"
    """``standard``: mean 0 and standard deviation 1 per column; ``divide``: by ``divisor``; or unchanged."""
    origin: str | None = None
    """Name of a built-in set or path of the points from which a flow starts, "custom" where they were passed
    from Python; None: it starts from noise."""
    divisor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """What ``divide`` divides by."""
    target: str | tuple[str, ...] | None = None
    """Column of a file, or of ``metadata.csv`` in a folder of images, or array of a .npz archive, with the
    labels, or several columns with numbers, also as text with commas; None: ``y`` or ``labels`` of an
    archive, where it has one, and of a folder its subfolders."""
