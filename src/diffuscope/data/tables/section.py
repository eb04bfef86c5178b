"""The section ``[data]`` of a recipe for tables."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from diffuscope.data.columnar.schema import ColumnSchema, FileOptions
from diffuscope.data.section import DataSection

__all__ = ["TableSection"]


class TableSection(FileOptions, DataSection):
    """Where a table comes from, how its file is read, and which of its columns is the target."""

    categorical: ClassVar[bool] = True

    kind: Literal["table"] = "table"
    noise: float | None = None
    """Standard deviation of the noise of a built-in set; None: its default."""
    target: str | None = None
    """Column that rows can be conditioned on as ``y``."""
    categories: Literal["onehot", "bits"] = "onehot"
    """How categories are encoded as coordinates."""
    refine: bool = True
    """Whether samples are refined: exact relations, and trees that tell them from the data."""
    constraints: Annotated[tuple[Annotated[str, Field(max_length=1000)], ...], Field(max_length=1000)] = ()
    """Relations between columns that hold in every row, such as start < end or total == a + b."""
    columns: Annotated[tuple[ColumnSchema, ...], Field(max_length=100_000)] = ()
    """How each column was taken: training writes it, and later files are read by it."""
