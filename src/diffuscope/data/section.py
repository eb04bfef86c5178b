"""The section ``[data]`` of a recipe: where data comes from. Each kind of data adds settings of its own."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from diffuscope.data.conditions import Kind, LabelType, Numbers, label_type_of

__all__ = ["MOST_POINTS", "ConditionedSection", "DataSection"]

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
    def label_type(self) -> LabelType | None:
        """What a network is conditioned on as a whole, if anything."""
        return None


class ConditionedSection(DataSection):
    """Data whose points may have labels: classes, or numbers that were measured."""

    labels: bool = True
    """Whether the model is conditioned on the labels of points or images that have some."""
    condition: Kind | None = None
    """What labels are: ``classes``, or ``numbers``; None: numbers where some are not whole, or there are
    several for a point."""
    classes: tuple[str, ...] = ()
    """The names of the classes."""
    numbers: Numbers | None = None
    """The names of the numbers, with the mean, the deviation and the ends of each in the data."""

    @property
    def label_type(self) -> LabelType | None:
        """What a network is conditioned on as a whole, if anything."""
        return label_type_of(self.classes, self.numbers)
