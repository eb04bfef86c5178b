"""The section ``[data]`` of a recipe: where data comes from. Each kind of data adds settings of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["MOST_POINTS", "DataSection"]

MOST_POINTS = 10**8
"""Of a built-in set, or of a random subset."""


class DataSection(BaseModel):
    """What every kind of data has."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    categorical: ClassVar[bool] = False
    """Whether coordinates may be those of categories (:class:`diffuscope.diffusion.masked.Choices`)."""
    kind: str
    """A name in :data:`diffuscope.data.kinds.KINDS`."""
    source: Annotated[str, Field(max_length=10_000)] | None = None
    """Name of a built-in set or path; None: data that was passed from Python."""
    size: Annotated[int, Field(ge=1, le=MOST_POINTS)] | None = None
    """Number of points of a built-in set or a function that draws them, or of a random subset of images."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that a network can be conditioned on."""
        return ()
