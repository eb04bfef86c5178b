"""How are batches of points with classes made? Some lose their class, for classifier-free guidance."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LabelledPoints"]


class LabelledPoints:
    """Points with classes as a :class:`~diffuscope.training.BatchSource`, in memory on the device.

    Parameters
    ----------
    x : Tensor of shape (n, d)
        In the units of the model.
    labels : Tensor of shape (n,), int64
    classes : int
        How many there are; this number is the label of the unconditional model.
    drop_labels : float
        Share of the points whose label is dropped.
    """

    def __init__(self, x: Tensor, labels: Tensor, classes: int, drop_labels: float = 0.0) -> None:
        self.x, self.labels, self.classes, self.drop_labels = x, labels, classes, drop_labels
        self.shape, self.device = tuple(x.shape[1:]), x.device

    def __len__(self) -> int:
        return len(self.x)

    def take(self, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return points (n, d) at ``index`` and their labels (n,), some of them dropped."""
        x, label = self.as_they_are(index)
        if self.drop_labels:
            silent = torch.rand(len(index), generator=generator) < self.drop_labels
            label = label.masked_fill(silent.to(self.device), self.classes)
        return x, label

    def as_they_are(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return points at ``index`` and their labels, nothing drawn."""
        at = index.to(self.device)
        return self.x[at], self.labels[at]

    def only(self, index: Tensor) -> LabelledPoints:
        """Return the points at ``index`` alone, copied."""
        return LabelledPoints(*self.as_they_are(index), self.classes, self.drop_labels)

    def largest(self) -> float:
        """Return the largest absolute value of a coordinate."""
        return self.x.abs().max().item()
