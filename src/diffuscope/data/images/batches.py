"""How are batches of stored images made? In the units of the model, mirrored, and with labels dropped.

Images stay bytes where they are, in memory or in a file that is mapped into it, until a batch is drawn:
memory does not grow with their number, nor with how many of a file were seen. Which images are mirrored, and
which lose their label, is drawn with the batch.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.conditions.dropping import dropped
from diffuscope.data.images.codec import to_model
from diffuscope.data.stored import let_go
from diffuscope.transfers import upload

__all__ = ["ImageRows"]

_RESIDENT = 2**31  # bytes that an accelerator keeps by itself
_LET_GO = 2**27  # bytes of a mapped file that may count as this process's memory
_AROUND = 2**17  # bytes that the system maps beside an image that is read


class ImageRows:
    """Images as a :class:`~diffuscope.training.BatchSource`, in the units of the model.

    Parameters
    ----------
    pixels : ndarray of shape (n, channels, height, width), uint8
        In memory or mapped.
    labels : ndarray of shape (n,), int64, or (n, k), float32, or None
        Classes, or numbers in the units of the network.
    device : torch.device
    flip : bool
        Whether each is mirrored left to right with probability 1/2.
    none : float
        What takes the place of a label that is dropped: the label of the unconditional model.
    drop_labels : float
        Share of the images whose label is dropped.
    """

    def __init__(
        self,
        pixels: NDArray[np.uint8],
        labels: NDArray[np.int64] | NDArray[np.float32] | None,
        device: torch.device,
        flip: bool = False,
        none: float = 0,
        drop_labels: float = 0.0,
    ) -> None:
        self.shape = pixels.shape[1:]
        self.device = device
        self.flip, self.none, self.drop_labels = flip, none, drop_labels
        self._pixels, self._labels = pixels, labels
        self._index: NDArray[np.int64] | None = None
        self._resident: Tensor | None = None
        self._seen = 0  # bytes that were read since pages were let go of, at most
        if device.type != "cpu" and pixels.nbytes <= _RESIDENT:
            self._resident = torch.from_numpy(np.array(pixels)).to(device)

    def __len__(self) -> int:
        return len(self._pixels) if self._index is None else len(self._index)

    @property
    def resident(self) -> bool:
        """Whether images are in memory where they are wanted; else they are read for each batch."""
        return self._resident is not None

    def only(self, index: Tensor) -> ImageRows:
        """Return those at ``index`` alone; nothing is copied."""
        chosen = ImageRows.__new__(ImageRows)
        chosen.__dict__.update(self.__dict__)
        chosen._index = index.cpu().numpy()
        return chosen

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return images (n, channels, height, width), mirrored or not, and their labels."""
        x, label = self.as_they_are(index)
        if self.flip:
            mirrored = torch.rand(len(index), generator=generator) < 0.5
            x = torch.where(upload(mirrored, self.device)[:, None, None, None], x.flip(3), x)
        if label is not None:
            label = dropped(label, self.none, self.drop_labels, generator)
        return x, label

    def as_they_are(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return images at ``index`` and their labels, nothing drawn."""
        at = index.cpu().numpy() if self._index is None else self._index[index.cpu().numpy()]
        if self._resident is not None:
            pixels = self._resident[upload(torch.from_numpy(at), self.device)]
        else:
            pixels = upload(torch.from_numpy(self._read(at)), self.device)
        label = None if self._labels is None else upload(torch.from_numpy(self._labels[at]), self.device)
        return to_model(pixels), label

    def _read(self, at: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels = np.ascontiguousarray(self._pixels[at])
        self._seen += pixels.nbytes + len(at) * _AROUND
        if self._seen > _LET_GO:
            self._seen = 0
            let_go(self._pixels)
        return pixels

    def largest(self) -> float:
        """Return the largest absolute value: 1, whatever the images."""
        return 1.0
