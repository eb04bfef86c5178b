"""How are batches of points with labels made? Some lose their label, for classifier-free guidance."""

from __future__ import annotations

import torch
from torch import Tensor

from diffuscope.data.conditions.dropping import dropped
from diffuscope.transfers import upload

__all__ = ["LabelledPoints"]


class LabelledPoints:
    """Points with labels as a :class:`~diffuscope.training.BatchSource`, in memory on the device.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        In the units of the model.
    labels : Tensor of shape (n,), int64, or (n, k), float32
        Classes, or numbers in the units of the network.
    none : float
        What takes the place of a label that is dropped: the label of the unconditional model.
    drop_labels : float
        Share of the points whose label is dropped.
    """

    def __init__(self, x: Tensor, labels: Tensor, none: float, drop_labels: float = 0.0) -> None:
        self.x, self.labels, self.none, self.drop_labels = x, labels, none, drop_labels
        self.shape, self.device = tuple(x.shape[1:]), x.device

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return points (n, d) at ``index`` and their labels (n, ...), some of them dropped."""
        x, label = self.as_they_are(index)
        return x, dropped(label, self.none, self.drop_labels, generator)

    def as_they_are(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return points at ``index`` and their labels, nothing drawn."""
        at = upload(index, self.device)
        return self.x[at], self.labels[at]

    def only(self, index: Tensor) -> LabelledPoints:
        """Return the points at ``index`` alone, copied."""
        return LabelledPoints(*self.as_they_are(index), self.none, self.drop_labels)

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate."""
        return self.x.abs().max().item()
