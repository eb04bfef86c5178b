"""How are points drawn? As clouds, on axes that the data sets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.modalities.figures import SHOWN, Figures
from diffuscope.plots import State, plot_dataset, plot_forward_grid, plot_samples, plot_walk_rows
from diffuscope.request import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PointFigures"]

Points = NDArray[np.float64]


class PointFigures(Figures):
    """Draws a model of points."""

    @cached_property
    def shown(self) -> Points:
        """Some of the data, in its units."""
        assert self.data is not None
        return self.data.x[:SHOWN]

    def encoded(self, shown: Points) -> Tensor:
        """Return some of the data in the units of the model."""
        encoded: Tensor = self.model.codec.encode(shown)
        return encoded

    @property
    def limits(self) -> Points | None:
        """The data sets the axes."""
        return None if self.data is None else self.display(self.encoded(self.shown)).astype(np.float64)

    def draw_data(self) -> Figure:
        """Draw the data."""
        return plot_dataset(self.shown, self.model.columns)

    def draw_states(self, states: Sequence[State], label: str = "") -> Figure:
        """Draw ten moments of a trajectory from noise in one row."""
        return plot_walk_rows([(label, states)], reference=self.limits)

    def draw_forward(self, states: Sequence[State]) -> Figure:
        """Draw ten moments of the forward process."""
        return plot_forward_grid(states, reference=self.limits)

    def draw_samples(
        self, samples: Points, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw samples beside the data."""
        if self.data is None:
            return plot_dataset(samples, self.model.columns)
        return plot_samples(self.shown[: len(samples)], samples, self.model.columns, caption)
