"""How are images drawn? On sheets; of a model with labels a column for each class, or along a number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.conditions import Numbers
from diffuscope.data.images import ImageData
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.modalities.figures import Figures
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.modalities.images.sheets import Sheets, bytes_of
from diffuscope.plots import State, plot_sheet
from diffuscope.request import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ImageFigures"]

_COLUMNS = 8
_ROWS = 8
_SHOWN = _COLUMNS * _ROWS
_SHOWN_ROWS = 6
Pixels = NDArray[np.uint8]


class ImageFigures(Figures):
    """Draws a model of images."""

    measured = "distance of features"
    generator: ImageGenerator

    @cached_property
    def shown(self) -> Pixels:
        """Some images, of all classes in turn, or in columns of rising numbers."""
        assert isinstance(self.data, ImageData)
        data = self.data
        order = np.random.default_rng(self.model.recipe.seed).permutation(len(data.x))
        if data.numbers is not None and data.labels is not None:
            rising = order[np.argsort(data.labels[order, 0], kind="stable")]
            some = rising[np.linspace(0, len(rising) - 1, min(_SHOWN, len(rising))).round().astype(np.intp)]
            rows = -(-len(some) // _COLUMNS)
            order = np.concatenate([some[row::rows] for row in range(rows)])
        elif data.labels is not None:  # as many of each class as of the others, in turn
            of = data.labels[order]
            turn = np.zeros(len(of), dtype=np.int64)
            for label in np.unique(of):
                turn[of == label] = np.arange(np.count_nonzero(of == label))
            order = order[np.lexsort((of, turn))]
        return np.ascontiguousarray(data.pixels[order[:_SHOWN]])

    @property
    def limits(self) -> None:
        """A sheet has no axes."""
        return None

    @cached_property
    def columns(self) -> tuple[NDArray[Any], tuple[str, ...]]:
        """The labels that are shown, a column each, and titles: classes, or numbers over their range."""
        label_type = self.generator.label_type
        if label_type is None:
            return np.zeros(0), ()
        return label_type.spread(_COLUMNS if isinstance(label_type, Numbers) else 2 * _COLUMNS)

    def sampled(self) -> tuple[int, Request]:
        """Return a sheet of samples, with all labels that are shown in turn."""
        labels, _ = self.columns
        n = (len(labels) or _COLUMNS) * _ROWS
        return n, Request(condition=labels[np.arange(n) % len(labels)] if len(labels) else None)

    def draw_data(self) -> Figure:
        """Draw some of the data."""
        return _sheet(self.shown)

    def draw_states(self, states: Sequence[State], label: str = "") -> Figure:
        """Draw how some images come out of noise."""
        return self.draw_forward(states)

    def draw_forward(self, states: Sequence[State]) -> Figure:
        """Draw how some images turn into noise: a row each, moments side by side."""
        rows = np.stack([state.x[:_SHOWN_ROWS] for state in states], axis=1)
        images = rows.reshape(-1, *rows.shape[2:])
        # Columns of small images are narrow: a label of mathtext breaks before its time.
        titles = [state.label.replace(r",\ ", ",$\n$") for state in states]
        return plot_sheet(images, len(states), title=self.rescaled, column_titles=titles)

    def draw_samples(
        self, samples: Any, caption: str | None = None, request: Request | None = None
    ) -> Figure:
        """Draw samples; those with all labels in turn as a column for each."""
        in_turn = request is not None and self._in_turn(request.condition)
        return _sheet(samples, self.columns[1] if in_turn else (), caption)

    def _in_turn(self, given: NDArray[Any] | None) -> bool:
        """Whether labels of samples are all that are shown in turn."""
        labels, _ = self.columns
        n = len(labels)
        return n > 0 and given is not None and np.array_equal(given, labels[np.arange(len(given)) % n])

    @property
    def bytes_shown(self) -> float:
        """As many as noise takes."""
        return bytes_of(self.model.shape)

    def watched(self, states: Sequence[SamplingState], request: Request) -> Sheets:
        """Return sheets of images, a column for each label where these come in turn."""
        moments = np.stack([self._shown(state.x, state.level) for state in states])
        n, given = moments.shape[1], request.condition
        labels, titles = self.columns
        in_turn = self._in_turn(given)
        columns = len(labels) if in_turn else min(_COLUMNS, n)
        real = self.shown[:n] if self.data is not None else moments[0][:0]
        return Sheets(moments, real, columns, titles if in_turn else ())


def _sheet(images: NDArray[Any], titles: Sequence[str] = (), title: str | None = None) -> Figure:
    """Show images, a column for each title where there are some."""
    return plot_sheet(images, len(titles) or min(_COLUMNS, len(images)), title=title, column_titles=titles)
