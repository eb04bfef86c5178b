"""How are points drawn? As clouds, on axes that the data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffuscope.modalities.figures import Figures
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
        """The data sets the axes."""
        return None if self.data is None else self.display(self.encoded(self.shown)).astype(np.float64)

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
