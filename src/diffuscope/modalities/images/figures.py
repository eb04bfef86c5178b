"""How are images drawn? On sheets; of a model with classes a column for each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.images import ImageData
from diffuscope.modalities.figures import Figures
from diffuscope.modalities.images.generator import ImageGenerator
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
        """Some images, of all classes."""
        assert isinstance(self.data, ImageData)
        data = self.data
        order = np.random.default_rng(self.model.recipe.seed).permutation(len(data.x))
        if data.labels is not None:  # as many of each class as of the others, in turn
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

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes that are shown, a column each."""
        return self.generator.classes[: 2 * _COLUMNS]

    def sampled(self) -> tuple[int, Request]:
        """Return a sheet of samples, of all classes in turn."""
        classes = len(self.classes)
        n = (classes or _COLUMNS) * _ROWS
        return n, Request(condition=np.arange(n) % classes if classes else None)

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
        """Draw samples; those of all classes in turn as a column for each."""
        labels = None if request is None else request.condition
        n = len(self.classes)
        in_turn = n > 0 and labels is not None and bool((labels == np.arange(len(labels)) % n).all())
        return _sheet(samples, self.classes if in_turn else (), caption)


def _sheet(images: NDArray[Any], classes: Sequence[str] = (), title: str | None = None) -> Figure:
    """Show images; those of all classes in turn as a column for each."""
    columns = min(len(classes), 2 * _COLUMNS) or min(_COLUMNS, len(images))
    return plot_sheet(images, columns, title=title, column_titles=classes)
