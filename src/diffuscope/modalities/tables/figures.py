"""How is a table drawn? Pairs of its columns; and its coordinates, where they turn into noise and back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.tables import RowCodec, TableData, read_frame
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import InputError
from diffuscope.metrics.tabular.associations import Associator
from diffuscope.metrics.tabular.tables import read_tables
from diffuscope.modalities.figures import Figures
from diffuscope.modalities.watched import WatchedColumns
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
    estimates = False

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

    @property
    def bytes_shown(self) -> float:
        """Two bytes for each column."""
        assert isinstance(self.model.codec, RowCodec)
        return 2.0 * len(self.model.codec.all_columns)

    def watched(self, states: Sequence[SamplingState], request: Request) -> WatchedColumns:
        """Return the columns but identifiers of rows, the last of which are samples as they are given out."""
        rows, n = self.model.codec, len(states[0].x)
        assert isinstance(rows, RowCodec)
        tables = [rows.decode(self.display(state.x)) for state in states[:-1]]
        tables.append(self.generator.sample(n, request))
        frames = [read_frame(table).data.drop(columns=list(rows.identifiers)) for table in tables]
        if self.data is None:
            return WatchedColumns.of(frames[-1].iloc[:0], frames)
        assert isinstance(self.data, TableData)
        real = self.data.frame.drop(columns=list(rows.identifiers))
        both = read_tables({"real": real, "synthetic": frames[-1]})
        associate, d = Associator(both[0]), real.shape[1]
        matrices = [associate(table)[:d, :d] for table in both]
        return WatchedColumns.of(real, frames, (matrices[0], matrices[1]))
