"""How are batches of large data made? Rows are read where they lie, and brought to the units of the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.conditions.dropping import dropped
from diffuscope.data.stored import Stored, held_of
from diffuscope.transfers import upload

__all__ = ["StoredRows"]

_RESIDENT = 2**31  # bytes, in the units of the model, that an accelerator keeps by itself


class StoredRows:
    """Rows of large data as a :class:`~diffuscope.training.BatchSource`, in the units of the model.

    Each batch is read where it lies and encoded, so memory does not grow with the number of rows. An
    accelerator keeps all of them, where they are few enough.

    Parameters
    ----------
    stored : Stored
    encode : callable
        Brings rows (k, d) to the units of the model, a float32 tensor (k, ...).
    shape : tuple of int
        Of a point of the model.
    device : torch.device
    labels : ndarray of shape (m,), int64, or (m, k), float32, or None
        Of all rows, in the units of the network.
    none : float
        What takes the place of a label that is dropped: the label of the unconditional model.
    drop_labels : float
        Share of the points whose label is dropped.
    """

    def __init__(
        self,
        stored: Stored,
        encode: Callable[[NDArray[Any]], Tensor],
        shape: tuple[int, ...],
        device: torch.device,
        labels: NDArray[Any] | None = None,
        none: float = 0,
        drop_labels: float = 0.0,
    ) -> None:
        self.stored, self.shape, self.device = stored, shape, device
        self.none, self.drop_labels = none, drop_labels
        self._encode, self._labels = encode, labels
        self._resident: Tensor | None = None
        if device.type != "cpu" and 4 * len(stored.values) * int(np.prod(shape)) <= _RESIDENT:
            self._resident = torch.empty((len(stored.values), *shape), device=device)
            for start, rows in stored.blocks():
                self._resident[start : start + len(rows)] = encode(rows).to(device)

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def resident(self) -> bool:
        """Whether rows are in memory where they are wanted; else they are read for each batch."""
        return self._resident is not None

    @property
    def labelled(self) -> bool:
        """Whether points have labels."""
        return self._labels is not None

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor | None]:
        """Return points (k, ...) at ``index`` and their labels, some of them dropped."""
        x, label = self.as_they_are(index)
        if label is not None:
            label = dropped(label, self.none, self.drop_labels, generator)
        return x, label

    def as_they_are(self, index: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return points at ``index`` and their labels, nothing drawn."""
        return self.at(self.stored.places(index.cpu().numpy()))

    def at(self, at: NDArray[np.int64]) -> tuple[Tensor, Tensor | None]:
        """Return points at rows (k,), counted among all, and their labels."""
        if self._resident is not None:
            x = self._resident[upload(torch.from_numpy(at), self.device)]
        else:
            x = upload(self._encode(self.stored.at(at)), self.device)
        label = None if self._labels is None else upload(torch.from_numpy(self._labels[at]), self.device)
        return x, label

    def only(self, index: Tensor) -> StoredRows:
        """Return the points at ``index`` alone, in their order; no row is copied."""
        others = np.ones(len(self), dtype=bool)
        others[index.cpu().numpy()] = False
        return self.without(self.stored.places(np.flatnonzero(others)))

    def without(self, rows: NDArray[np.int64]) -> StoredRows:
        """Return all points but some (k,), which are counted among all rows; no row is copied."""
        chosen = StoredRows.__new__(StoredRows)
        chosen.__dict__.update(self.__dict__)
        chosen.stored = self.stored.without(rows)
        return chosen

    def some(self, seed: int) -> Tensor:
        """Return the points that are fitted to: as many as are held, drawn by the seed."""
        at = held_of(len(self), int(np.prod(self.shape)), seed)
        return self.as_they_are(torch.from_numpy(at))[0]

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate, of the points that are fitted to."""
        return float(self.some(0).nan_to_num().abs().max())
