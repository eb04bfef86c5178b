"""The section ``[data]`` of a recipe for points."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from diffuscope.data.section import DataSection

__all__ = ["PointsSection", "ScalingKind"]

ScalingKind = Literal["standard", "divide", "none"]


class PointsSection(DataSection):
    """Where points come from, and how they are scaled."""

    kind: Literal["points"] = "points"
    noise: float | None = None
    """Noise of a built-in set, in its units; None: its own default."""
    scaling: ScalingKind = "standard"
    """``standard``: mean 0 and deviation 1 per column; ``divide``: by ``divisor``; or as it is."""
    divisor: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
