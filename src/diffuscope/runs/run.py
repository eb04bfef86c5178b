"""What is left of a training? A run directory: recipe, model, metrics, summary, pictures.

    recipe.toml  model.safetensors  metrics.jsonl  summary.json  checkpoints/  figures/  *.gif

Nothing in it is code; opening someone else's run is safe.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from diffuscope.modalities.images.generator import ImageModel
from diffuscope.modalities.tables.generator import RowModel
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.base import Dataset
from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.data.columnar.arrays import names_of
from diffuscope.errors import FormatError, InputError
from diffuscope.data.images import ImageData, ImageWriter, check_image_target, load_images
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.diffusion.samplers import Sampler, SamplingState
from diffuscope.diffusion.schedules import Schedule
from diffuscope.data.tables import load_table, read_frame

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Run", "load"]

_WALKERS = 10_000


@dataclass
class Run:
    """A finished training run.

    Attributes
    ----------
    path : Path
        The run directory.
    model : Model
    """

    path: Path
    model: Model
    given_data: Dataset | None = None

    @property
    def recipe(self) -> Recipe:
        """The recipe that made the run."""
        return self.model.recipe

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the data's columns, where it had some."""
        return self.model.columns

    @property
    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` says: seconds, steps, seed, versions, quality."""
        return _read_json(self.path / "summary.json")

    @property
    def quality(self) -> float:
        """How far its samples are from data, as a multiple of how far data is from data (1: as good)."""
        try:
            return float(self.summary["quality"]["sliced_wasserstein"]["ratio"])
        except (KeyError, TypeError, ValueError) as error:
            raise FormatError(
                f"{self.path / 'summary.json'} does not say how good the samples are.",
                f"Measure them: diffuscope evaluate {self.path}.",
            ) from error

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The lines of ``metrics.jsonl``: step, epoch, loss, learning rate."""
        path = self.path / "metrics.jsonl"
        try:
            return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        except (OSError, ValueError, RecursionError) as error:
            raise FormatError(
                f"{path} cannot be read: {error}.", "Train the run again, or remove it."
            ) from error

    @cached_property
    def data(self) -> Dataset:
        """The data that the run was trained on.

        Raises
        ------
        InputError
            When it was handed over from Python, and this run was read from its directory.
        """
        if self.given_data is not None:
            return self.given_data
        section = self.recipe.data
        if section.source is None:
            raise InputError(
                f"The data of {self.path} was handed over from Python and is not kept in the run.",
                "Hand it over again: diffuscope.load(path, data=...).",
            )
        return _load_data(section.source, self.model)

    @property
    def table(self) -> RowModel:
        """What can be asked of a model of a table: samples of a class, holes, densities.

        Raises
        ------
        InputError
            When the run is one of points.
        """
        return RowModel(self.model)

    @property
    def images(self) -> ImageModel:
        """What can be asked of a model of images: images of a class, the rest of one, variants, ways.

        Raises
        ------
        InputError
            When the run is one of points or rows.
        """
        return ImageModel(self.model)

    def sample(self, n: int, **wanted: Any) -> Any:
        """Draw points, rows of a table, or images.

        Parameters
        ----------
        n : int
        **wanted
            Of :meth:`diffuscope.model.Model.sample`; for tables also ``y``, ``given`` and ``guidance`` of
            :meth:`diffuscope.DiffusionModel.sample`; for images ``label``, ``guidance`` and ``interval`` of
            :meth:`diffuscope.modalities.images.generator.ImageModel.sample`.

        Returns
        -------
        ndarray of shape (n, d) in the units of the data, or a table with the columns that it was trained on,
        or images of shape (n, channels, height, width), uint8
        """
        if self.model.is_of_images:
            return self.images.sample(n, **wanted)
        if self.model.rows is None:
            return self.model.sample(n, **wanted)
        return self.model.rows.join(*self.table.sample(n, with_target=True, **wanted))

    def log_density(self, x: NDArray[np.floating], **options: Any) -> NDArray[np.float64]:
        """Return log-densities (n,) in nats at points (n, d), in the units of the data.

        See :meth:`diffuscope.model.Model.log_density`; of rows ask :attr:`table`.
        """
        return self.model.log_density(x, **options)

    def sample_frame(self, n: int, **wanted: Any) -> pd.DataFrame:
        """Draw points as a DataFrame with the columns of the data."""
        import pandas as pd

        if self.model.is_of_images:
            raise InputError(
                "Images are no rows of a table.", "Take them as an array (sample), or write them (sample_to)."
            )
        if self.model.rows is not None:
            return read_frame(self.sample(n, **wanted)).data
        return pd.DataFrame(
            self.sample(n, **wanted), columns=None if self.columns is None else list(self.columns)
        )

    def sample_to(self, path: str | Path, n: int, *, reporter: Reporter | None = None, **wanted: Any) -> Path:
        """Write ``n`` points or rows to .npy, .npz, .csv, .tsv or .parquet; memory stays flat for any ``n``.

        Images go to .npy or .npz, into a folder (a name without suffix), or on one sheet (.png), see
        :class:`diffuscope.data.images.ImageWriter`; of classes that are asked for the labels are written too.

        Raises
        ------
        InputError
            When the format is not known, or the sampling cannot be had.
        """
        path = Path(path)
        if self.model.is_of_images:
            return self._images_to(path, n, reporter, wanted)
        check_writable(path)
        if self.model.rows is not None:
            return self._rows_to(path, n, reporter, wanted)
        batches = self.model.batches(n, **wanted)
        first = next(batches)  # whatever is wrong with the request shows before the file is begun
        with (
            (reporter or Reporter(False)).bar("sampling", n, "points") as bar,
            TableWriter(path, n, self.model.dimension, self.columns) as writer,
        ):
            writer.append(first)
            done = len(first)
            bar.update(done)
            for points in batches:
                writer.append(points)
                done += len(points)
                bar.update(done)
        return path

    def _rows_to(self, path: Path, n: int, reporter: Reporter | None, wanted: Mapping[str, Any]) -> Path:
        tables = (read_frame(table).data for table in self.table.tables(n, reporter=reporter, **wanted))
        first = next(tables)
        with TableWriter(path, n, first.shape[1], names_of(first)) as writer:
            for table in itertools.chain([first], tables):
                writer.append(table)
        return path

    def _images_to(self, path: Path, n: int, reporter: Reporter | None, wanted: Mapping[str, Any]) -> Path:
        check_image_target(path, (n, *self.model.shape))
        model = self.images
        batches = model.batches(n, **wanted)
        first = next(batches)
        labels, done = model.labels(wanted.get("label"), n), 0
        with (
            (reporter or Reporter(False)).bar("sampling", n, "images") as bar,
            ImageWriter(path, n, labels, model.classes) as writer,
        ):
            for images in itertools.chain([first], batches):
                writer.append(images)
                done += len(images)
                bar.update(done)
        return path

    def trajectory(self, n: int = _WALKERS, **wanted: Any) -> list[SamplingState]:
        """Return all states of a walk from noise to data; see :meth:`diffuscope.model.Model.walk`."""
        return self.model.trajectory(n, **wanted)

    def animate(
        self, path: str | Path, *, forward: bool = False, reverse: bool = True, seed: int = 0
    ) -> Path:
        """Write a .gif, .mp4 or .html of the forward walk, the reverse walk, or one after the other."""
        from diffuscope.modalities.images import figures as image_pictures
        from diffuscope.modalities.points import figures as pictures
        from diffuscope.plots.animation import save_animation
        from diffuscope.plots import GENERATED, NOISE

        section, of_images = self.recipe.pictures, self.model.is_of_images
        states = []
        if forward:
            frames = section.forward_frames
            states += pictures.forward_states(self.model, self._some_data(seed), section, frames, seed)
        if reverse:
            walk = image_pictures.sample_walk(self.model, seed) if of_images else self.trajectory(seed=seed)
            states += pictures.moving(self.model, walk)
        ms = section.reverse_ms if reverse else section.forward_ms
        color = GENERATED if reverse and not forward else NOISE
        reference = None if of_images else self._reference()
        save_animation(states, path, frame_ms=ms, color=color, reference=reference)
        return Path(path)

    def _some_data(self, seed: int) -> NDArray[Any]:
        """Return the data as it is shown: points, or some images of all classes."""
        if isinstance(self.data, ImageData):
            from diffuscope.modalities.images import figures as image_pictures

            return image_pictures.some_images(self.data, image_pictures.SHOWN, seed)
        return self.data.filled[:_WALKERS]

    def _reference(self) -> NDArray[np.float64] | None:
        """The data that set the axes of a picture, where they can be had."""
        try:
            return self.data.filled[:_WALKERS]
        except InputError:
            return None

    def plot_data(self) -> Figure:
        """Show the data."""
        from diffuscope.modalities.images import figures as image_pictures
        from diffuscope.plots import plot_dataset

        if self.model.is_of_images:
            return image_pictures.plot_images(self._some_data(0))
        return plot_dataset(self.data.filled[:_WALKERS], self.columns)

    def plot_forward(self, seed: int = 0) -> Figure:
        """Show ten steps of the noising."""
        from diffuscope.modalities.images import figures as image_pictures
        from diffuscope.modalities.points import figures as pictures
        from diffuscope.plots import plot_forward_grid

        states = pictures.forward_states(self.model, self._some_data(seed), self.recipe.pictures, 10, seed)
        if self.model.is_of_images:
            return image_pictures.plot_noising(states)
        return plot_forward_grid(states, reference=self._reference())

    def plot_walk(self, seed: int = 0) -> Figure:
        """Show ten moments of the reverse walk."""
        from diffuscope.modalities.images import figures as image_pictures
        from diffuscope.modalities.points import figures as pictures
        from diffuscope.plots import plot_walk_rows

        if self.model.is_of_images:
            return image_pictures.plot_walk(self.model, image_pictures.sample_walk(self.model, seed))
        row = pictures.reverse_row(self.model, self.trajectory(seed=seed))
        return plot_walk_rows([("", row)], reference=self._reference())

    def plot_samples(self, n: int = _WALKERS, **wanted: Any) -> Figure:
        """Show samples beside the data."""
        from diffuscope.modalities.images import figures as image_pictures
        from diffuscope.plots import plot_samples

        if self.model.is_of_images:
            return image_pictures.plot_images(self.sample(min(n, image_pictures.SHOWN), **wanted))
        return plot_samples(self.data.filled[:n], self.model.sample(n, **wanted), self.columns)

    def plot_loss(self) -> Figure:
        """Show the loss over the steps."""
        from diffuscope.plots import plot_loss

        lines = self.metrics
        return plot_loss([line["step"] for line in lines], [line["loss"] for line in lines])


def load(
    path: str | Path,
    *,
    device: str = "auto",
    data: Any = None,
    network: nn.Module | None = None,
    schedule: Schedule | None = None,
    sampler: Sampler | None = None,
) -> Run:
    """Open a run directory.

    Parameters
    ----------
    path : str or Path
    device : str
        auto, cpu, cuda or mps.
    data, network, schedule, sampler : optional
        What was handed over from Python when the run was made.

    Raises
    ------
    InputError, FormatError
        When there is no run, or its files are damaged.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(f"There is no run directory {path}.", "Train one: diffuscope train s_curve.")
    file = path / "model.safetensors"
    if not file.is_file():
        unfinished = (path / "recipe.toml").is_file()
        raise InputError(
            f"{path} holds no model: {'its training has not finished' if unfinished else 'it is not a run'}.",
            "Go on with diffuscope train DATA --out DIR --resume." if unfinished else "Give a run directory.",
        )
    model = Model.load(file, device=device, network=network, schedule=schedule)
    model.sampler = sampler
    return Run(path, model, None if data is None else _load_data(data, model))


def _load_data(source: Any, model: Model) -> Dataset:
    section, seed = model.recipe.data, model.recipe.seed
    if model.is_of_images:
        return load_images(
            source,
            size=model.shape[1:],
            channels=model.shape[0],
            skip_broken=section.skip_broken,
            limit=section.size,
            seed=seed,
        )
    if model.rows is not None:
        return load_table(
            source,
            target=section.target,
            size=section.size,
            noise=section.noise,
            seed=seed,
            rows=model.rows,
        )
    is_named = isinstance(source, str) and source in POINT_SETS
    return load_dataset(
        source,
        size=section.size if is_named or callable(source) else None,
        noise=section.noise if is_named else None,
        seed=seed,
    )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} cannot be read: {error}.", "Train the run again, or remove it.") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path} does not hold an object.", "Train the run again, or remove it.")
    return value
