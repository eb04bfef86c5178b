"""How are points drawn? As clouds, on axes that the data sets, in the colours of their labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.data.conditions import Numbers
from diffuscope.modalities.figures import Figures
from diffuscope.modalities.points.generator import PointGenerator
from diffuscope.model import ORIGIN
from diffuscope.plots import plot_dataset, plot_samples
from diffuscope.plots.colours import ByClass, ByNumber, Colours
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

    def _colours(self, labels: NDArray[Any] | None) -> Colours | None:
        """Return the colours of points with such labels: of their classes, or of the first number."""
        label_type = self.generator.label_type
        if labels is None or label_type is None:
            return None
        if isinstance(label_type, Numbers):
            return ByNumber(labels[:, 0], label_type.names[0], label_type.low[0], label_type.high[0])
        return ByClass(labels, self.generator.classes)

    @property
    def _own(self) -> Colours | None:
        """The colours of the data that is shown."""
        labels = None if self.data is None else self.data.labels
        return None if labels is None else self._colours(labels[: len(self.shown)])

    def sampled(self) -> tuple[int, Request]:
        """Return how many samples are drawn, with labels as they come in the data, where it has some."""
        n, request = super().sampled()
        if self.data is None or self.generator.label_type is None:
            return n, request
        return n, Request(condition=self.data.labels_like(n, np.random.default_rng(0)))

    def draw_data(self) -> Figure:
        """Draw the data."""
        return plot_dataset(self.shown, self.model.columns, self._own)

    def draw_samples(
        self, samples: Points, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw samples beside the data."""
        columns, n = self.model.columns, len(samples)
        condition = None if request is None or request.condition is None else request.condition[:n]
        colours = self._colours(condition)
        if self.data is None:
            return plot_dataset(samples, columns, colours)
        own = None if self.data.labels is None else self._colours(self.data.labels[: min(n, len(self.shown))])
        both = None if own is None or colours is None else (own, colours)
        return plot_samples(self.shown[:n], samples, columns, caption, both)
