"""How are points drawn? As clouds, on axes that the data sets, in the colours of their classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.modalities.figures import SHOWN, Figures
from diffuscope.modalities.points.generator import PointGenerator
from diffuscope.model import ORIGIN
from diffuscope.plots import plot_dataset, plot_samples
from diffuscope.request import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PointFigures"]

Points = NDArray[np.float64]


class PointFigures(Figures):
    """Draws a model of points."""

    generator: PointGenerator

    @property
    def limits(self) -> Points | None:
        """The data sets the axes, and the points from which a flow starts, if it does."""
        if self.data is None:
            return None
        shown, origin = self.encoded(self.shown), self.model.extras.get(ORIGIN)
        both = shown if origin is None else torch.cat([shown, origin.cpu()[: len(shown)]])
        return self.display(both).astype(np.float64)

    @property
    def _labels(self) -> NDArray[np.int64] | None:
        """The classes of the data that is shown, where the model is conditioned on them."""
        if self.data is None or self.data.labels is None or not self.generator.classes:
            return None
        return self.data.labels[:SHOWN]

    def sampled(self) -> tuple[int, Request]:
        """Return how many samples are drawn, with classes as they come in the data, where it has some."""
        if self.data is None or not self.generator.classes:
            return SHOWN, Request()
        return SHOWN, Request(condition=self.data.labels_like(SHOWN, np.random.default_rng(0)))

    def draw_data(self) -> Figure:
        """Draw the data."""
        own = self._labels
        return plot_dataset(
            self.shown, self.model.columns, None if own is None else (own, self.generator.classes)
        )

    def draw_samples(
        self, samples: Points, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw samples beside the data."""
        names, columns = self.generator.classes, self.model.columns
        condition: Any = None if request is None else request.condition
        classes = None if condition is None else (condition[: len(samples)], names)
        if self.data is None:
            return plot_dataset(samples, columns, classes)
        own, real = self._labels, self.shown[: len(samples)]
        both = None if own is None or classes is None else ((own[: len(samples)], names), classes)
        return plot_samples(real, samples, columns, caption, both)
