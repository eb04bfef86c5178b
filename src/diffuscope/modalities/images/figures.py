"""Which pictures does a run on images make? The data, its way into noise and back, and samples by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.images import ImageData
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.modalities.images.generator import ImageModel
from diffuscope.modalities.points.figures import forward_states, moving, reverse_row
from diffuscope.model import Model
from diffuscope.plots import GENERATED, NOISE, State, plot_loss, plot_sheet, save_figure
from diffuscope.plots.animation import save_animation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "SHOWN",
    "labels_shown",
    "plot_images",
    "plot_noising",
    "plot_walk",
    "sample_walk",
    "save_image_pictures",
    "some_images",
]

_COLUMNS = 8
_ROWS = 8
SHOWN = _COLUMNS * _ROWS
_SHOWN_ROWS = 6
Pixels = NDArray[np.uint8]


def labels_shown(model: Model) -> list[int] | None:
    """Return the classes of the images that are shown, a column each; None where there are none."""
    classes = model.recipe.data.classes
    return list(range(len(classes)))[: 2 * _COLUMNS] or None


def sample_walk(model: Model, seed: int) -> list[SamplingState]:
    """Sample for a sheet of images; where there are classes, a column for each."""
    labels = labels_shown(model)
    columns = _COLUMNS if labels is None else len(labels)
    return ImageModel(model).trajectory(
        columns * _ROWS, label=None if labels is None else labels * _ROWS, seed=seed
    )


def plot_images(images: NDArray[Any], classes: Sequence[str] = (), title: str | None = None) -> Figure:
    """Show images; those of all classes in turn as a column for each."""
    columns = min(len(classes), 2 * _COLUMNS) or min(_COLUMNS, len(images))
    return plot_sheet(images, columns, title=title, column_titles=classes)


def plot_noising(states: Sequence[State]) -> Figure:
    """Show how some images turn into noise, or noise into images: a row each, moments side by side."""
    rows = np.stack([state.x[:_SHOWN_ROWS] for state in states], axis=1)
    images = rows.reshape(-1, *rows.shape[2:])
    return plot_sheet(images, len(states), column_titles=[_in_lines(state.label) for state in states])


def _in_lines(label: str) -> str:
    """Break a label of mathtext before its time: columns of small images are narrow."""
    return label.replace(r",\ ", ",$\n$")


def plot_walk(model: Model, walk: Sequence[SamplingState]) -> Figure:
    """Show ten moments of a walk from noise."""
    return plot_noising(reverse_row(model, walk))


def save_image_pictures(
    model: Model, data: ImageData, folder: Path, ratio: float, metrics: Sequence[Mapping[str, float]]
) -> None:
    """Write all pictures of a finished run: figures/*.png, forward.gif, reverse.gif, one of both if asked.

    Parameters
    ----------
    model : Model
    data : ImageData
        What it was trained on.
    folder : Path
        The run directory.
    ratio : float
        The quality of its samples, for the caption.
    metrics : sequence of mappings
        The lines of metrics.jsonl.
    """
    seed, pictures, figures = model.recipe.seed, model.recipe.pictures, folder / "figures"
    shown = some_images(data, SHOWN, seed)
    save_figure(plot_images(shown), figures / "dataset.png")
    save_figure(plot_noising(forward_states(model, shown, pictures, 10, seed)), figures / "forward.png")
    walk = sample_walk(model, seed)
    save_figure(plot_walk(model, walk), figures / "reverse.png")
    samples = model.scaling.to_data(walk[-1].x)
    labels = labels_shown(model)
    classes = [] if labels is None else [model.recipe.data.classes[i] for i in labels]
    caption = f"distance of features {ratio:.2f} × floor"
    save_figure(plot_images(samples, classes, caption), figures / "samples.png")
    steps, losses = [line["step"] for line in metrics], [line["loss"] for line in metrics]
    save_figure(plot_loss(steps, losses), figures / "loss.png")

    forward = forward_states(model, shown, pictures, pictures.forward_frames, seed)
    reverse = moving(model, walk)
    there, back = pictures.forward_ms, pictures.reverse_ms
    save_animation(forward, folder / "forward.gif", frame_ms=there, color=NOISE)
    save_animation(reverse, folder / "reverse.gif", frame_ms=back, color=GENERATED)
    if pictures.joined:
        save_animation(forward + reverse, folder / "diffusion.gif", frame_ms=back)


def some_images(data: ImageData, n: int, seed: int) -> Pixels:
    """Return n of the images at random; of labelled ones as many of each class as of the others, in turn."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(data.x))
    if data.labels is not None:
        of = data.labels[order]
        turn = np.zeros(len(of), dtype=np.int64)
        for label in np.unique(of):
            turn[of == label] = np.arange(np.count_nonzero(of == label))
        order = order[np.lexsort((of, turn))]
    return np.ascontiguousarray(data.pixels[order[:n]])
