"""What is a set of images? A data set like any other, whose points are bytes of shape (C, H, W)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset

__all__ = ["ImageData"]


@dataclass(frozen=True, eq=False, repr=False)
class ImageData(Dataset):
    """Images, with classes if they have some.

    Attributes
    ----------
    x : ndarray of shape (n, channels, height, width), uint8
        In memory, or mapped from a file.
    held_out : ImageData or None
        Images of the same kind to test with, where they come with the data.
    """

    kind: ClassVar[str] = "images"

    held_out: ImageData | None = field(default=None, kw_only=True)

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The images as what they are: ``x``, whose type says numbers of any kind."""
        return cast("NDArray[np.uint8]", self.x)
