"""How is a table drawn? Pairs of its columns; and its coordinates, where they turn into noise and back."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.tables import TableData, read_frame
from diffuscope.errors import InputError
from diffuscope.modalities.figures import Figures
from diffuscope.plots import plot_dataset, plot_pairs
from diffuscope.request import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["TableFigures"]

Points = NDArray[np.float64]


class TableFigures(Figures):
    """Draws a model of a table."""

    measured = "sliced Wasserstein distance of coordinates"
    sample_files = ("samples.png", "pairs.png")

    @cached_property
    def shown(self) -> Points:
        """Coordinates of some rows, 0 where a value is missing."""
        assert isinstance(self.data, TableData)
        return self.data.filled[: self.sampled()[0]]

    def encoded(self, shown: Points) -> Tensor:
        """Return the coordinates as they are."""
        return torch.from_numpy(shown).float()

    def display(self, x: Tensor) -> Points:
        """Return coordinates."""
        return x.double().cpu().numpy()

    @property
    def limits(self) -> Points | None:
        """The coordinates of the data set the axes."""
        return None if self.data is None else self.shown

    def draw_data(self) -> Figure:
        """Draw the coordinates of the data."""
        return plot_dataset(self.shown, None)

    def draw_samples(
        self, samples: Any, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw synthetic rows beside real ones, pairs of columns."""
        if not isinstance(self.data, TableData):
            raise InputError(
                "The figure compares samples with the training rows, which are not available.",
                "Pass them: diffuscope.load(path, data=...).",
            )
        hidden = list(self.data.rows.identifiers)
        synthetic = read_frame(samples).data.drop(columns=hidden)
        return plot_pairs(self.data.frame.drop(columns=hidden), synthetic)
