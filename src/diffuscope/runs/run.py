"""What is the result of a training? A run directory: recipe, model, metrics, summary, pictures.

    recipe.toml  model.safetensors  metrics.jsonl  summary.json  checkpoints/  figures/  *.gif

Nothing in it is code; opening someone else's run is safe.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import json
import shlex
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from diffuscope.data.base import Dataset
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.errors import FormatError, InputError, nearest
from diffuscope.files import read_text
from diffuscope.metrics import Measured, NatsLost
from diffuscope.modalities.asking import Asking, Level
from diffuscope.modalities.base import Modality
from diffuscope.modalities.generator import Generator
from diffuscope.modalities.recognition import modality, modality_of
from diffuscope.modalities.reference import Points, Reference
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.shares import is_first

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from diffuscope.modalities.figures import Figures
    from diffuscope.translations import Language
    from diffuscope.viewer import View

__all__ = ["Run", "load", "near_runs"]

_AGAIN = "Train the run again, or remove it."


@dataclass
class Run:
    """A finished training run: its directory, its model, and its data where it was passed from Python.

    Examples
    --------
    >>> import diffuscope
    >>> run = diffuscope.load("runs/moons")
    >>> run.quality.ratio > 0.5  # × floor; as text it has its interval too
    True
    >>> run.sample(1000, sampler="heun", steps=10).shape
    (1000, 2)
    >>> near, far = run.log_density([[0.0, 1.0], [9.0, 9.0]])
    >>> bool(near > far)
    True
    >>> run.animate("reverse.gif").name
    'reverse.gif'
    """

    path: Path
    model: Model
    given_data: Dataset | None = None

    def __getattr__(self, name: str) -> Any:
        functions = ("diagnose", "evaluate", "distill", "reflow")
        hint = f" Call diffuscope.{name}(run)." if name in functions else ""
        if name == "impute":
            hint = " Call run.table.impute(frame)."
        raise AttributeError(f"A run has no attribute {name!r}.{hint}", name=name, obj=self)

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
    def nats_lost(self) -> NatsLost | None:
        """How much information its model loses against the law of its data; None where that is not known."""
        law = self.summary.get("law")
        try:
            return None if law is None else NatsLost(**law)
        except TypeError:
            return None

    @property
    def metrics(self) -> list[dict[str, float]]:
        """The lines of ``metrics.jsonl``: step, epoch, loss, learning rate."""
        lines: list[dict[str, float]] = _read(
            self.path / "metrics.jsonl", lambda text: list(map(json.loads, text.splitlines()))
        )
        return lines

    @property
    def results(self) -> dict[str, Any]:
        """Its ``quality`` and ``metrics``; without what its files do not have."""
        found = {}
        for name in ("quality", "metrics"):
            with contextlib.suppress(FormatError):
                found[name] = getattr(self, name)
        return found

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
                "Give it to diffuscope view by --data FILE, in Python to diffuscope.load by data=.",
                "Pass it: diffuscope.load(path, data=...).",
            )
        return self.modality.settled(self.modality.reload(source, self.model))

    def sample(self, n: int, **options: Any) -> Any:
        """Draw points, rows of a table, or images.

        Parameters
        ----------
        n : int
        **options
            ``sampler``, ``steps``, ``spacing``, ``seed`` and settings of the sampler, such as ``eta=0.5`` of
            ddim; ``initial``, standard normal noise (n, ...) to start from; ``y``, a class or a target, with
            ``guidance`` and ``interval``, where the model has one; of tables also ``given``, a mapping of
            columns to known values. See :class:`~diffuscope.request.Request`.

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

        Of a table it is a list of steps + 1 tables. The first state is noise of the first of the
        :meth:`levels`, the last are the samples that :meth:`sample` gives, with the same options.
        """
        return self.generator.trajectory(n, self.generator.request(options, n))

    @cached_property
    def _asking(self) -> Asking:
        return Asking(self.generator)

    def levels(self, steps: int | None = None, **options: Any) -> NoiseLevel:
        """Return the levels that sampling visits, tensors of shape (steps + 1,), from noise to clean data."""
        request = self.generator.request({"steps": steps, **options})
        return self.model.plan(request)[0].levels

    def denoise(self, x: ArrayLike, level: Level, **options: Any) -> NDArray[np.float64]:
        r"""Return the estimate of :math:`E[x_0 \mid x_t]`, (n, ...).

        Parameters
        ----------
        x : array_like of shape (n, ...)
            Noisy points in the units of the data, such as a state of :meth:`trajectory`.
        level : float or NoiseLevel
            A time of the run's schedule (0 to T - 1 where it is discrete), or one of :meth:`levels`.
        **options
            A condition, such as ``y``.

        Raises
        ------
        InputError
            For a table, whose noise has no units of the data, or where points or level do not fit.
        """
        return self._asking.denoise(x, level, **options)

    def score(self, x: ArrayLike, level: Level, **options: Any) -> NDArray[np.float64]:
        r"""Return :math:`\nabla_x \log q(x_t)` at noisy points (n, ...), per unit of the data.

        It is :math:`-(x_t - \alpha \hat x_0) / \sigma^2`; parameters and errors are those of :meth:`denoise`.
        """
        return self._asking.score(x, level, **options)

    def forward_step(
        self, x: ArrayLike, now: Level | None, to: Level, *, seed: int = 0
    ) -> NDArray[np.float64]:
        r"""Take one step of the forward walk, :math:`q(x_t \mid x_s)`: add noise to points (n, ...).

        ``now`` is the level of the points, None for clean data, and ``to`` a noisier one. The noise depends
        on the seed and on both levels: steps one after the other have independent noise.
        """
        return self._asking.forward_step(x, now, to, seed)

    def reverse_step(self, x: ArrayLike, now: Level, to: Level, **options: Any) -> NDArray[np.float64]:
        """Take one step of a sampler from points (n, ...) at the level ``now`` to a cleaner one.

        Options are those of :meth:`sample`. Steps over :meth:`levels` are sampling, with independent noise at
        each; samplers that use estimates of earlier steps, such as dpmpp_2m, begin anew.
        """
        request = self.generator.request(options, len(np.asarray(x)))
        return self._asking.reverse_step(x, now, to, request)

    def log_density(self, data: Any, **options: Any) -> NDArray[np.float64]:
        """Return log-densities (n,) in nats, in the units of the data.

        Parameters
        ----------
        data : ndarray of shape (n, d), table, or images of shape (n, channels, height, width)
        **options
            Of points and images those of :meth:`diffuscope.model.Model.log_density`; of a table ``y``.
        """
        given = {word: value for word, value in options.items() if value is not None}
        return self.generator.log_density(data, **given)

    def sample_frame(self, n: int, **options: Any) -> pd.DataFrame:
        """Draw points or rows as a DataFrame with the columns of the data."""
        frame: pd.DataFrame = self.generator.frame(n, self.generator.request(options, n))
        return frame

    def sample_to(
        self,
        path: str | Path,
        n: int,
        *,
        reporter: Reporter | None = None,
        safe_csv: bool = False,
        announce: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Path:
        """Write ``n`` samples to a file; memory stays flat for any ``n``. One of several processes writes.

        Points and rows go to .npy, .npz, .csv, .tsv or .parquet; images to .npy, .npz, into a folder (a name
        without suffix), or on one sheet (.png), with their labels where they have classes. ``safe_csv`` puts
        an apostrophe before cells of text that a spreadsheet would run as formulas; ``announce`` is called
        with a line about such cells.

        Raises
        ------
        InputError
            When the format is not known, or an option is not valid.
        """
        path, generator = Path(path), self.generator
        if is_first():
            generator.check_path(path, n)
        request = generator.request(options, n)
        if not is_first():  # of the processes that share the work
            deque(generator.coordinates(n, request), maxlen=0)
            return path
        batches = generator.batches(n, request)
        first = next(batches)  # errors of the request show before the file is opened
        done = 0
        with (
            (reporter or Reporter(False)).bar("sampling", n, generator.unit) as bar,
            self._writer(path, n, first, request, safe_csv) as writer,
        ):
            for batch in itertools.chain([first], batches):
                writer.append(batch)
                done += len(batch)
                bar.update(done)
        for note in getattr(writer, "notes", list)():
            if announce is not None:
                announce(note)
        return path

    def _writer(self, path: Path, n: int, first: Any, request: Request, safe_csv: bool) -> Any:
        """Return what writes samples, with formulas made text if wanted."""
        writer = self.generator.writer(path, n, first, request)
        if (formulas := getattr(writer, "formulas", None)) is not None:
            formulas.safe = safe_csv
        return writer

    def measured_clouds(
        self, held_out: Any, seed: int, reporter: Reporter | None
    ) -> tuple[Reference, list[Points]]:
        """Return the real points that samples are compared with, and as many clouds of samples."""
        own, codec = self.modality, self.model.codec
        reference = own.reference(self.data, codec, held_out, seed)
        samples = own.sampled(self.model, reference, reporter)  # first: processes share it, and wait for all
        measure = own.measurable(self.data, codec, reporter)
        return reference, reference.clouds(measure(samples))

    def sample_as_measured(self) -> None:
        """Sample as :meth:`measure` does, for the process that measures."""
        own = self.modality
        own.sampled(self.model, own.reference(self.data, self.model.codec, None, self.recipe.seed))

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
    def figures_of_samples(self) -> Figures:
        """What draws samples, also where the data is not available."""
        try:
            return self.figures
        except InputError:
            return self.modality.figures(self.model, None)

    def animate(
        self,
        path: str | Path,
        *,
        forward: bool = False,
        reverse: bool = True,
        seed: int = 0,
        frames: int | None = None,
        frame_ms: float | None = None,
        size: int | None = None,
        color: str | None = None,
        **options: Any,
    ) -> Path:
        """Write a .gif, .mp4 or .html of the forward process, of sampling, or of one after the other.

        Parameters
        ----------
        path : str or Path
        forward, reverse : bool
        seed : int
        frames : int, optional
            Frames of each of the two; of sampling at most its steps and one more. By default as the recipe
            says.
        frame_ms : float, optional
            Milliseconds of a frame; the recipe's by default.
        size : int, optional
            Width in pixels, 160 to 4,096; 480 by default.
        color : str, optional
            Of the points, in any way that matplotlib knows.
        **options
            How to sample, such as ``sampler`` and ``steps``; see :meth:`sample`.
        """
        from diffuscope.modalities.figures import Look

        for name, number in (("frames", frames), ("size", size)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int | np.integer)):
                raise InputError(f"{name} must be a whole number, not {number!r}.", "Give 200, for example.")
        figures = self.figures if forward else self.figures_of_samples
        n, request = figures.sampled()
        if options:
            request = self.generator.request(options, n)
        look = Look(frames, frame_ms, size, color)
        figures.animate(Path(path), forward, reverse, dataclasses.replace(request, seed=seed), look)
        return Path(path)

    def plot_field(self, *levels: Level, seed: int = 0, **options: Any) -> Figure:
        """Show where the model pulls noisy points of the plane: arrows of its score, at four levels or these.

        A level is a time of the schedule or one of :meth:`levels`; options are those of a condition.
        InputError unless the data has two columns.
        """
        from diffuscope.plots import FieldPanel, plot_field

        figures, asking = self.figures, self._asking
        if self.model.shape != (2,):
            raise InputError(
                f"A field can be drawn of points in the plane, and these have shape {self.model.shape}.",
                "Use run.score(x, level) for numbers.",
            )
        chosen = [asking.level(one) for one in levels] or figures.telling_levels()
        panels = []
        for level in chosen:
            x = asking.forward_step(figures.shown, None, level, seed)
            label = rf"$t = {level.t.item():.3g},\ \sigma/\alpha = {level.ratio.item():.2g}$"
            field = functools.partial(asking.score, at=level, **options)
            panels.append(FieldPanel(x, label, field))
        return plot_field(panels)

    def view(self, *, language: Language | None = None) -> View:
        """Return a page in which the model is watched; a notebook shows it.

        ``run.view().save("run.html")`` writes it as one file that works offline. A model of points in two
        dimensions is also asked and trained again there; of another one the page has samples on their way
        from noise: rows, by two of their columns, or images.

        Parameters
        ----------
        language : {"en", "zh"}, optional
            The language that the page opens in; by default the one that is spoken.

        Raises
        ------
        InputError
            When the data is not available.
        """
        from diffuscope.translations import language as spoken
        from diffuscope.viewer.recording import Recorder

        language = language or spoken()
        try:
            return self._live_view(language)
        except InputError:  # a page cannot compute it, or the language or the data is not there
            recorder = Recorder(self.figures, self.path.name)
        return self._as_view(recorder.file(language=language, **self.results))

    def _live_view(self, language: Language) -> View:
        """Return a page that computes; an InputError where a page cannot compute such a model."""
        from diffuscope.viewer import payload

        return self._as_view(payload(self.model, self.data, language=language, **self.results))

    def _as_view(self, content: dict[str, Any]) -> View:
        from diffuscope.pages import png_address
        from diffuscope.viewer import View

        return View(content, png_address(self.plot_samples(), dpi=75))

    def plot_data(self) -> Figure:
        """Show the data."""
        return self.figures.draw_data()

    def plot_forward(self, seed: int = 0) -> Figure:
        """Show ten steps of the forward process."""
        figures = self.figures
        return figures.draw_forward(figures.forward(10, seed))

    def plot_trajectory(self, seed: int = 0) -> Figure:
        """Show ten moments from noise to samples."""
        figures = self.figures_of_samples
        return figures.draw_states(figures.row(figures.states(seed)))

    def plot_samples(self, n: int | None = None, **options: Any) -> Figure:
        """Show samples beside the data; options are those of :meth:`sample`."""
        figures = self.figures_of_samples
        count, request = figures.sampled()
        if n is not None:
            count, request = n, Request()
        if options:
            request = self.generator.request(options, count)
        caption = figures.said(request)
        if not options and (self.path / "summary.json").is_file():
            with contextlib.suppress(FormatError):
                caption = f"{figures.measured} {self.quality}\n{caption}"
        return figures.draw_samples(self.generator.sample(count, request), caption, request)

    def plot_loss(self) -> Figure:
        """Show the loss over the steps, and the irreducible loss where ``summary.json`` has it."""
        from diffuscope.modalities.figures import loss_figure

        floor: float | None = None
        with contextlib.suppress(FormatError):
            floor = self.summary.get("perfect_loss")
        return loss_figure(self.metrics, floor)

    def _repr_html_(self) -> str:
        """Return the interactive page, for notebooks; where there is none, a card with facts and samples."""
        from diffuscope.pages import card
        from diffuscope.translations import language

        try:
            return self._live_view(language())._repr_html_()
        except (InputError, FormatError):
            pass
        recipe = self.recipe
        try:
            quality = str(self.quality)
        except FormatError:
            quality = ""
        sampling = f"{recipe.sampling.name}, {recipe.sampling.steps} steps"
        facts = [
            ("quality", quality),
            ("training", self.facts().get("training", "")),
            ("recipe", f"{recipe.name}: {recipe.schedule.name} schedule, network {recipe.network.name}"),
            ("sampling", sampling),
            ("seed", str(recipe.seed)),
        ]
        return card(f"{self.path} ({self.modality.unit})", facts, picture=self.plot_samples())

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

    Examples
    --------
    >>> import diffuscope
    >>> run = diffuscope.load("runs/moons")
    >>> run.recipe.training.steps
    100
    """
    path = Path(path)
    if not path.is_dir():
        hint = f"{near_runs(path)}Train one: diffuscope train s_curve."
        raise InputError(f"There is no run directory {path}.", hint)
    file = path / "model.safetensors"
    if not file.is_file():
        why, hint = "it is not a run directory", "Give a run directory."
        if (path / "recipe.toml").is_file():
            why = "its training has not finished"
            hint = f"Resume it: diffuscope train --out {shlex.quote(str(path))} --resume."
        raise InputError(f"{path} has no trained model: {why}.", hint)
    model = Model.load(file, device=device, network=network, schedule=schedule)
    model.sampler = sampler
    run = Run(path, model)
    if data is not None:
        same = isinstance(data, Dataset) and data.kind == run.modality.name
        own = run.modality
        run.given_data = own.settled(own.fitting(data, model) if same else own.reload(data, model))
    return run


def near_runs(path: Path) -> str:
    """Return which run may be meant by a path that is none: one beside it, or of that name in runs/."""
    found: dict[str, Path] = {}
    for folder in {path.parent, Path("runs")}:
        with contextlib.suppress(OSError):
            found |= {str(one): one for one in itertools.islice(folder.iterdir(), 10_000)}
    runs = [name for name, one in found.items() if (one / "recipe.toml").is_file()]
    by_name = {Path(name).name: name for name in runs}
    near = nearest(str(path), runs) or nearest(path.name, by_name)
    for name, full in by_name.items():
        near = near.replace(f"{name!r}", f"{full!r}") if near == f"Did you mean {name!r}? " else near
    return near


def _read(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(read_text(path))
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} cannot be read: {error}.", _AGAIN) from error
