"""The section ``[data]`` of a recipe for tables."""

from __future__ import annotations

from typing import ClassVar, Literal

from diffuscope.data.section import DataSection

__all__ = ["TableSection"]


class TableSection(DataSection):
    """Where a table comes from, and which of its columns is the target."""

    categorical: ClassVar[bool] = True

    kind: Literal["table"] = "table"
    noise: float | None = None
    """Standard deviation of the noise of a built-in set; None: its default."""
    target: str | None = None
    """Column that rows can be conditioned on as ``y``."""
    categories: Literal["onehot", "bits"] = "onehot"
    """How categories are encoded as coordinates."""
