"""How are points drawn? As clouds, on axes that the data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.modalities.figures import Figures
from diffuscope.model import ORIGIN
from diffuscope.plots import plot_dataset, plot_samples
from diffuscope.request import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PointFigures"]

Points = NDArray[np.float64]


class PointFigures(Figures):
    """Draws a model of points."""

    @property
    def limits(self) -> Points | None:
        """The data sets the axes, and the points from which a flow starts, if it does."""
        if self.data is None:
            return None
        shown, origin = self.encoded(self.shown), self.model.extras.get(ORIGIN)
        both = shown if origin is None else torch.cat([shown, origin.cpu()[: len(shown)]])
        return self.display(both).astype(np.float64)

    def draw_data(self) -> Figure:
        """Draw the data."""
        return plot_dataset(self.shown, self.model.columns)

    def draw_samples(
        self, samples: Points, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw samples beside the data."""
        if self.data is None:
            return plot_dataset(samples, self.model.columns)
        return plot_samples(self.shown[: len(samples)], samples, self.model.columns, caption)
