"""What is the result of a training? A run directory: recipe, model, metrics, summary, pictures.

    recipe.toml  model.safetensors  metrics.jsonl  summary.json  checkpoints/  figures/  *.gif

Nothing in it is code; opening someone else's run is safe.
"""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from diffuscope.data.base import Dataset
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Schedule
from diffuscope.errors import FormatError, InputError
from diffuscope.metrics import Measured
from diffuscope.modalities.base import Modality
from diffuscope.modalities.generator import Generator
from diffuscope.modalities.lookup import modality, modality_of
from diffuscope.modalities.reference import Points, Reference
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from diffuscope.modalities.figures import Figures
    from diffuscope.viewer import View
    from diffuscope.viewer.contents import Language

__all__ = ["Run", "load"]

_AGAIN = "Train the run again, or remove it."


@dataclass
class Run:
    """A finished training run: its directory, its model, and its data where it was passed from Python."""

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
        path = self.path / "summary.json"
        value: dict[str, Any] = _read(path, json.loads)
        if not isinstance(value, dict):
            raise FormatError(f"{path} is not a JSON object.", _AGAIN)
        return value

    @property
    def quality(self) -> Measured:
        """How far its samples are from data, as a multiple of how far data is from data (1: as good).

        It prints with its interval: ``1.34 × floor (0.98 to 1.69)``; ``float(run.quality)`` is the ratio.
        """
        try:
            return Measured(**self.summary["quality"]["sliced_wasserstein"])
        except (KeyError, TypeError, ValueError) as error:
            what = f"{self.path / 'summary.json'} has no sample quality."
            raise FormatError(what, f"Measure it: diffuscope evaluate {self.path}.") from error

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The lines of ``metrics.jsonl``: step, epoch, loss, learning rate."""
        lines: list[dict[str, float]] = _read(
            self.path / "metrics.jsonl", lambda text: list(map(json.loads, text.splitlines()))
        )
        return lines

    def facts(self) -> dict[str, str]:
        """Return how the run was trained, as text, for a report."""
        try:
            summary = self.summary
            steps, seconds = int(summary["steps"]), float(summary["train_seconds"])
            versions = {name: str(version) for name, version in summary["versions"].items()}
        except (FormatError, KeyError, TypeError, ValueError, AttributeError):
            return {}  # a model that was imported, say
        return {"training": f"{steps:,} steps, {seconds:.1f} s on {summary.get('device')}", **versions}

    @property
    def modality(self) -> Modality[Dataset, Any]:
        """Its kind of data."""
        return modality_of(self.model)

    @cached_property
    def generator(self) -> Generator:
        """Samples, trajectories and densities of the model, in its kind of data."""
        return self.modality.generator(self.model)

    def require(self, kind: str) -> Any:
        """Return the generator of a run of this kind of data; another kind is an InputError."""
        own = self.modality
        if own.name != kind:
            other = modality(kind)
            raise InputError(
                f"This is a run of {own.unit}, not of {other.unit}.",
                f"Train one with the recipe {other.recipe_hint!r}.",
            )
        return self.generator

    @property
    def table(self) -> Any:
        """Methods of tables only: ``impute``, ``denoise``, rows given columns."""
        return self.require("table")

    @property
    def images(self) -> Any:
        """Methods of images only: ``inpaint``, ``vary``, ``interpolate``."""
        return self.require("images")

    @cached_property
    def data(self) -> Dataset:
        """The data of the training; an InputError where it was passed from Python and is not saved here."""
        if self.given_data is not None:
            return self.given_data
        source = self.recipe.data.source
        if source is None:
            raise InputError(
                f"The training data of {self.path} was passed from Python and is not stored in the run.",
                "Pass it: diffuscope.load(path, data=...).",
            )
        return self.modality.reload(source, self.model)

    def sample(self, n: int, **options: Any) -> Any:
        """Draw points, rows of a table, or images.

        Parameters
        ----------
        n : int
        **options
            ``sampler``, ``steps``, ``spacing``, ``seed``, ``noise`` and settings of the sampler such as
            ``eta=0.5``; ``y``, a class or a target, with ``guidance`` and ``interval``, where the model has
            one; of tables also ``given``, a mapping of columns to known values. See
            :class:`~diffuscope.request.Request`.

        Returns
        -------
        ndarray of shape (n, d) in the units of the data, or a table with the columns that it was trained on,
        or images of shape (n, channels, height, width), uint8

        Raises
        ------
        InputError
            When an option is unknown, or its value is not valid.
        """
        return self.generator.sample(n, self.generator.request(options, n))

    def trajectory(self, n: int = 1000, **options: Any) -> Any:
        """Sample, and return all states from noise to samples: (steps + 1, n, ...) in the units of the data.

        Of a table it is a list of steps + 1 tables.
        """
        return self.generator.trajectory(n, self.generator.request(options, n))

    def log_density(self, data: Any, **options: Any) -> NDArray[np.float64]:
        """Return log-densities (n,) in nats, in the units of the data.

        Parameters
        ----------
        data : ndarray of shape (n, d), table, or images of shape (n, channels, height, width)
        **options
            Of points and images those of :meth:`diffuscope.model.Model.log_density`; of a table ``y``.
        """
        return self.generator.log_density(data, **options)

    def sample_frame(self, n: int, **options: Any) -> pd.DataFrame:
        """Draw points or rows as a DataFrame with the columns of the data."""
        frame: pd.DataFrame = self.generator.frame(n, self.generator.request(options, n))
        return frame

    def sample_to(
        self, path: str | Path, n: int, *, reporter: Reporter | None = None, **options: Any
    ) -> Path:
        """Write ``n`` samples to a file; memory stays flat for any ``n``.

        Points and rows go to .npy, .npz, .csv, .tsv or .parquet; images to .npy, .npz, into a folder (a name
        without suffix), or on one sheet (.png), with their labels where they have classes.

        Raises
        ------
        InputError
            When the format is not known, or an option is not valid.
        """
        path, generator = Path(path), self.generator
        generator.check_path(path, n)
        request = generator.request(options, n)
        batches = generator.batches(n, request)
        first = next(batches)  # errors of the request show before the file is opened
        done = 0
        with (
            (reporter or Reporter(False)).bar("sampling", n, generator.unit) as bar,
            generator.writer(path, n, first, request) as writer,
        ):
            for batch in itertools.chain([first], batches):
                writer.append(batch)
                done += len(batch)
                bar.update(done)
        return path

    def measured_clouds(
        self, held_out: Any, seed: int, reporter: Reporter | None
    ) -> tuple[Reference, list[Points]]:
        """Return the real points that samples are compared with, and as many clouds of samples."""
        own, codec = self.modality, self.model.codec
        measure = own.measurable(self.data, codec, reporter)
        reference = own.reference(self.data, codec, held_out, seed)
        return reference, own.clouds(self.model, reference, measure, reporter=reporter)

    def measure(self, reporter: Reporter | None = None) -> dict[str, Measured]:
        """Measure the distance of samples from data, as ``train`` prints it.

        A sample that is not finite is a RunError.
        """
        reference, clouds = self.measured_clouds(None, self.recipe.seed, reporter)
        return {"sliced_wasserstein": reference.ratio(clouds)}

    @property
    def figures(self) -> Figures:
        """What draws the run."""
        return self.modality.figures(self.model, self.data)

    @property
    def _figures_of_samples(self) -> Figures:
        """What draws samples, also where the data is not available."""
        try:
            return self.figures
        except InputError:
            return self.modality.figures(self.model, None)

    def animate(
        self, path: str | Path, *, forward: bool = False, reverse: bool = True, seed: int = 0
    ) -> Path:
        """Write a .gif, .mp4 or .html of the forward process, of sampling, or of one after the other."""
        figures = self.figures if forward else self._figures_of_samples
        figures.animate(Path(path), forward, reverse, seed)
        return Path(path)

    def view(self, *, language: Language = "en") -> View:
        """Return a page in which the model is watched, asked and trained again; a notebook shows it.

        ``run.view().save("run.html")`` writes it as one file that works offline. It is for points in two
        dimensions.

        Parameters
        ----------
        language : {"en", "zh"}
            The language that the page opens in.

        Raises
        ------
        InputError
            When the page cannot compute such a model, or the data is not available.
        """
        from diffuscope.pages import png_address
        from diffuscope.viewer import View, payload

        try:
            quality = self.quality
        except FormatError:
            quality = None
        metrics = self.metrics if (self.path / "metrics.jsonl").is_file() else []
        told = payload(self.model, self.data, metrics=metrics, quality=quality, language=language)
        return View(told, png_address(self.plot_samples(), dpi=75))

    def plot_data(self) -> Figure:
        """Show the data."""
        return self.figures.draw_data()

    def plot_forward(self, seed: int = 0) -> Figure:
        """Show ten steps of the forward process."""
        figures = self.figures
        return figures.draw_forward(figures.forward(10, seed))

    def plot_trajectory(self, seed: int = 0) -> Figure:
        """Show ten moments from noise to samples."""
        figures = self._figures_of_samples
        return figures.draw_states(figures.row(figures.states(seed)))

    def plot_samples(self, n: int | None = None, **options: Any) -> Figure:
        """Show samples beside the data; options are those of :meth:`sample`."""
        figures = self._figures_of_samples
        count, request = figures.sampled()
        if n is not None:
            count, request = n, Request()
        if options:
            request = self.generator.request(options, count)
        return figures.draw_samples(self.generator.sample(count, request), request=request)

    def plot_loss(self) -> Figure:
        """Show the loss over the steps."""
        from diffuscope.modalities.figures import loss_figure

        return loss_figure(self.metrics)

    def _repr_html_(self) -> str | None:
        """Return the interactive page, for notebooks; None where there is none: they show the picture."""
        try:
            return self.view()._repr_html_()
        except (InputError, FormatError):
            return None

    def _repr_png_(self) -> bytes:
        """Return a picture of samples, for notebooks."""
        buffer = io.BytesIO()
        self.plot_samples().savefig(buffer, format="png")
        return buffer.getvalue()

    def __repr__(self) -> str:
        try:
            quality = f", {self.quality}"
        except FormatError:
            quality = ""
        return f"Run({str(self.path)!r}, {self.modality.unit}{quality})"


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
        Python objects that were passed when the run was trained.

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
        why, hint = "it is not a run directory", "Give a run directory."
        if (path / "recipe.toml").is_file():
            why = "its training has not finished"
            hint = "Resume it: diffuscope train DATA --out DIR --resume."
        raise InputError(f"{path} has no trained model: {why}.", hint)
    model = Model.load(file, device=device, network=network, schedule=schedule)
    model.sampler = sampler
    run = Run(path, model)
    if data is not None:
        same = isinstance(data, Dataset) and data.kind == run.modality.name
        run.given_data = data if same else run.modality.reload(data, model)
    return run


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} cannot be read: {error}.", _AGAIN) from error
