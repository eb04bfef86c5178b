"""What is a set of images? A data set like any other, whose points are bytes of shape (C, H, W)."""

from __future__ import annotations

import hashlib
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
    labels : ndarray of shape (n,), int64, or None
        0 to the number of classes - 1.
    classes : tuple of str
        Their names; empty where there are no labels.
    held_out : ImageData or None
        Images of the same kind to test with, where they come with the data.
    notes : tuple of str
        What was done to the images that one would want to know: sizes, modes, what was left out.
    """

    kind: ClassVar[str] = "images"

    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    held_out: ImageData | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The images as what they are: ``x``, whose type says numbers of any kind."""
        return cast("NDArray[np.uint8]", self.x)

    def labels_like(self, n: int, random: np.random.Generator) -> NDArray[np.int64] | None:
        """Return classes of n images, as mixed as those of the data; None where there are no labels."""
        return None if self.labels is None else self.labels[random.integers(len(self.labels), size=n)]

    def digest(self) -> str:
        """Of the images and their labels, hexadecimal."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x).data)
        if self.labels is not None:
            digest.update(self.labels.tobytes())
        return digest.hexdigest()
