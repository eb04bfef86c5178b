"""What is a kind of data to the rest of the package? One object with everything that depends on it.

:class:`Modality` knows how data of its kind is loaded, trained on, measured and drawn; :class:`Generator`
samples, trajectories and densities of a trained model. No other module knows which kinds there are
(:mod:`diffuscope.modalities.recognition`).
"""

from __future__ import annotations

import dataclasses
import io
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from diffuscope.data.base import Codec, Dataset
from diffuscope.data.section import ConditionedSection, DataSection
from diffuscope.data.stored import HELD_ROWS, held_of
from diffuscope.data.stored_rows import StoredRows
from diffuscope.data.torch_sets import Unpacked
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.masked import MaskedDenoiser
from diffuscope.errors import InputError, RunError
from diffuscope.files import atomic_write, stay_inside, write_json
from diffuscope.metrics import FEATURE_METRICS, METRICS, Measured, NatsLost
from diffuscope.metrics.floor import in_floors
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.generator import Generator, counted
from diffuscope.modalities.reference import Measurable, Points, Reference
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.terminal import one_line
from diffuscope.training import Batches, BatchSource, LossLike, Resident
from diffuscope.translations import term, translate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from diffuscope.modalities.figures import Figures

__all__ = ["Evaluation", "Modality", "fitted_rows", "in_units_of", "label_settings", "table_lines"]


_TITLES = METRICS | FEATURE_METRICS


class Evaluation(ABC):
    """The results of an evaluation; it prints as a table."""

    picture: ClassVar[str]

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return ``{"metrics": {name: {value, floor, ratio, low, high}}, ...}`` as plain data."""

    @abstractmethod
    def plot(self) -> Figure:
        """Draw the picture of an evaluation."""

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """Return a card of the metrics, for notebooks; the whole text is behind a click."""
        from diffuscope.metrics.tabular import TABLE_METRICS
        from diffuscope.pages import card

        titles = {name: one.title for known in (_TITLES, TABLE_METRICS) for name, one in known.items()}
        rows = []
        for name, one in self.to_json()["metrics"].items():
            measured = Measured(**one)
            interval = f"{in_floors(measured.low)} to {in_floors(measured.high)}"
            numbers = [f"{measured.floor:.3g}", f"{measured.value:.3g}", in_floors(measured.ratio), interval]
            rows.append([term(titles.get(name, name)), *numbers])
        head = ["metric", "real data", "this model", "÷ floor", "95%"]
        return card("Evaluation", head=head, rows=rows, details=str(self))

    def save(self, folder: str | Path, report: bool = False) -> list[Path]:
        """Write ``evaluation.json`` and pictures into a folder; return the paths of figures and reports."""
        from diffuscope.plots import save_figure

        stay_inside(folder)
        write_json(Path(folder) / "evaluation.json", self.to_json())
        picture = Path(folder) / "figures" / self.picture
        save_figure(self.plot(), picture)
        return [picture]


def table_lines(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; all but its first column are numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for i, title in enumerate(titles):
        table.add_column(Text(one_line(term(title))), justify="right" if i else "left")
    for row in rows:
        table.add_row(*(Text(one_line(translate(cell))) for cell in row))  # a name may look like markup
    stream = io.StringIO()
    Console(file=stream, width=200, color_system=None, force_jupyter=False).print(table)
    return [line.rstrip() for line in stream.getvalue().strip("\n").splitlines()]


def label_settings(data: Dataset, section: ConditionedSection) -> dict[str, Any]:
    """Return what the labels of data are, as changes to its section; none where the model ignores them."""
    numbers = data.numbers if section.labels else None
    return {
        "data.classes": data.classes if section.labels else (),
        "data.numbers": None if numbers is None else numbers.model_dump(),
    }


def fitted_rows(source: BatchSource, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return the points that something is fitted to, in the units of the model, and their weights, if any.

    Of more than 200,000 they are so many, drawn by the seed.
    """
    if isinstance(source, StoredRows):
        return source.some(seed), None
    assert isinstance(source, Resident)
    if len(source) <= HELD_ROWS:
        return source.x, source.weights
    at = torch.from_numpy(held_of(len(source), 1, seed))
    weights = None if source.weights is None else source.weights[at]
    return source.x[at.to(source.device)], weights


D = TypeVar("D", bound=Dataset)
S = TypeVar("S", bound=DataSection)


def in_units_of(data: D, section: ConditionedSection) -> D:
    """Return data whose numbers have the units of a trained model's; InputError where it has others."""
    if section.numbers is None:
        return data
    k = len(section.numbers.names)
    if data.numbers is None or len(data.numbers.names) != k:
        has = "has none" if data.numbers is None else f"has {len(data.numbers.names):,}"
        raise InputError(
            f"The model was trained with {k} number{'s' * (k > 1)} for each point; this data {has}.",
            "Give them too: data=diffuscope.load_dataset(X, labels=y).",
        )
    return dataclasses.replace(data, numbers=section.numbers)


class Modality(ABC, Generic[D, S]):
    """A kind of data: D are its data sets, S its section of a recipe."""

    name: ClassVar[str]  # in diffuscope.data.kinds.KINDS, the kind of recipes, codecs and data sets
    unit: ClassVar[str]  # what its samples are called: points, rows or images
    recipe_hint: ClassVar[str]  # a recipe for data of this kind
    measured_in: ClassVar[str] = ""  # the space of distances from data, as text; "": the data itself
    evaluation_options: ClassVar[tuple[str, ...]] = ()  # those of diffuscope.evaluate that apply
    kept_as: ClassVar[str] = ".npy"  # suffix of the files that keep writes

    # --- data ----------------------------------------------------------------------------------------------

    @abstractmethod
    def accepts(self, source: Any) -> bool:
        """Whether a source is of this kind, at a glance."""

    def reads(self, source: Any) -> bool:
        """Whether :meth:`load` takes a source where a recipe names this kind."""
        return self.accepts(source)

    @abstractmethod
    def default_recipe(self, source: Any) -> str:
        """Return the name of the default recipe for a source."""

    @abstractmethod
    def load(self, source: Any, section: S, seed: int) -> D:
        """Load data as a recipe's section says; InputError or FormatError where it cannot be learned from."""

    def read(self, source: Any, section: S, seed: int) -> D:
        """Load data as :meth:`load` does, or with the labels that are given beside it."""
        if isinstance(source, Unpacked):
            if source.y is not None:
                data = self.labelled(source.x, source.y, section, seed)
                if getattr(section, "labels", True):
                    return data
                unused = "y is not used: the recipe has data.labels = false."
                return dataclasses.replace(data, notes=(*data.notes, unused))
            source = source.x
        return self.load(source, section, seed)

    def labelled(self, source: Any, labels: Any, section: S, seed: int) -> D:
        """Load data with labels, (n,) or (n, k), given beside it; InputError where the kind has none."""
        raise InputError(
            f"y cannot be given beside {self.unit} of a table.",
            "Make it one of the columns, and name that: target=...",
        )

    def settled(self, data: D) -> D:
        """Return data as it is learned, with notes on what was done to it."""
        return data

    def adopt(self, data: Dataset, section: S, seed: int) -> D:
        """Return data of another kind as data of this one; InputError where that is not possible."""
        raise InputError(
            f"The recipe is for {self.name} data, and the data is {data.kind}.",
            f"Omit the recipe, or give {self.unit}.",
        )

    @abstractmethod
    def reload(self, source: Any, model: Model) -> D:
        """Load data for a trained model: in its shape and with its codec."""

    def fitting(self, data: D, model: Model) -> D:
        """Return data that is handed over for a trained model; InputError where it does not fit."""
        return data

    def held_out(self, source: Any, model: Model, data: D) -> Any:
        """Return held-out data, from a path or an object, as :meth:`reference` takes it."""
        return self.reload(source, model).x

    def check_changes(self, data: D, changes: Mapping[str, Any]) -> None:
        """Refuse ``data.size`` or ``data.noise`` for data that has its own."""
        kind = data.source["kind"]
        for key, kinds in (("data.size", ("builtin", "callable")), ("data.noise", ("builtin",))):
            if changes.get(key) is not None and kind not in kinds:
                raise InputError(
                    f"{key} = {changes[key]} applies to built-in sets only, not to your own data.",
                    f"Omit {key}.",
                )

    def describe(self, data: D, section: S) -> dict[str, Any]:
        """Return the recipe's settings of the data that was read, as changes to the recipe."""
        source, kind = data.source, data.source["kind"]
        if kind == "builtin":
            said = {"source": source["name"], "size": source["size"], "noise": source["noise"]}
        else:
            path = str(Path(source["path"]).resolve()) if kind == "file" else None
            said = {"source": path, "size": source["size"] if kind == "callable" else None, "noise": None}
        known = type(section).model_fields
        return {f"data.{key}": value for key, value in said.items() if key in known}

    def tune(self, recipe: str, data: D) -> dict[str, Any]:
        """Return changes by which the recipe of that name suits the size of the data."""
        return {}

    def keep(self, data: D, folder: Path) -> Path:
        """Write data that was passed as an array into a folder, unless it is there; return the file."""
        path = folder / f"{data.digest()[:16]}{self.kept_as}"
        if not path.is_file():
            self.write(data, path)
        return path

    def write(self, data: D, path: Path) -> None:
        """Write the points of a data set, whole or not at all."""
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.save(file, data.x, allow_pickle=False)

    def restore(self, path: Path, about: Mapping[str, Any], recipe: Recipe) -> Dataset:
        """Read what :meth:`keep` wrote; ``about`` has its name, columns and source."""
        x = np.load(path, allow_pickle=False)
        columns = None if about["columns"] is None else tuple(about["columns"])
        return Dataset(about["name"], x, columns, None, dict(about["source"]))

    # --- training ------------------------------------------------------------------------------------------

    @abstractmethod
    def codec(self, data: D, section: S) -> Codec:
        """Return the map between the units of the data and the model's."""

    def batch_source(self, data: D, codec: Codec, recipe: Recipe, device: torch.device) -> BatchSource:
        """Return where batches of training come from."""
        return Resident(codec.encode(data.x).to(device))

    def origin(
        self,
        data: D,
        codec: Codec,
        section: S,
        seed: int,
        given: Any = None,
        kept: Tensor | None = None,
    ) -> Tensor | None:
        """Return the points (m, ...) of the model from which a flow starts in place of noise; None: none.

        ``given`` are points that were passed from Python; those that the model to start from ``kept`` take
        their place. Here there are none.
        """
        if given is not None:
            raise InputError(f"A flow between sets of {self.unit} is not supported.", "Omit origin.")
        return None

    def initialise(self, denoiser: Denoiser, source: BatchSource, codec: Codec) -> None:
        """Set the parameters that are fitted directly from the training data, not by gradient descent."""
        if isinstance(denoiser, MaskedDenoiser) and denoiser.factors is not None:
            denoiser.factors.fit(*fitted_rows(source, 0))

    def loss(self, loss: LossLike, denoiser: Denoiser, codec: Codec) -> LossLike:
        """Return the loss, adapted to the coordinates."""
        return loss

    # --- a trained model -----------------------------------------------------------------------------------

    @abstractmethod
    def generator(self, model: Model) -> Generator:
        """Return the generator of the model's samples."""

    @abstractmethod
    def measurable(self, data: D, codec: Codec, reporter: Reporter | None = None) -> Measurable:
        """Return the map from points of the model to points whose distance is measured."""

    @abstractmethod
    def reference(
        self, data: D, codec: Codec, held_out: Any = None, seed: int = 0, n: int | None = None
    ) -> Reference:
        """Return real points that samples are compared with, in clouds of n, or of as many as there are."""

    def measured_request(self, model: Model, reference: Reference) -> Request:
        """Return the request for samples to compare with a reference: with its seed and classes."""
        return Request(seed=reference.sampling_seed)

    def sampled(self, model: Model, reference: Reference, reporter: Reporter | None = None) -> Tensor:
        """Sample points to compare with a reference, in the units of the model; RunError where not finite."""
        n, request = reference.samples, self.measured_request(model, reference)
        batches = self.generator(model).coordinates(n, request)
        pieces = []
        for x in counted(batches, n, self.unit, reporter, "sampling to measure"):
            if not x.isfinite().all():
                raise RunError(
                    "Some samples are not finite, so their quality was not measured; the model was saved.",
                    "Try another sampler (diffuscope sample RUN --sampler NAME), or train longer.",
                )
            pieces.append(x)
        return torch.cat(pieces)

    def complete(
        self, model: Model, data: D, reporter: Reporter, seconds: float | None = None
    ) -> tuple[str, ...]:
        """Add to a trained model what is learned beside its network, in about so many seconds.

        Returns messages about it.
        """
        return ()

    def perfect_loss(self, model: Model, data: D, loss: LossLike, batches: Batches) -> float | None:
        """Return the loss of a network that answers perfectly; None where that is not known."""
        return None

    def nats_lost(self, model: Model, data: D, seed: int) -> NatsLost | None:
        """Return what a model loses against the law of its data; None where that is not known."""
        return None

    @abstractmethod
    def figures(self, model: Model, data: D | None) -> Figures:
        """Return what draws the model; without data only its samples."""

    @abstractmethod
    def evaluate(
        self,
        model: Model,
        data: D,
        reference: Reference,
        clouds: list[Points],
        held_out: Any,
        seed: int,
        reporter: Reporter,
        **options: Any,
    ) -> Evaluation:
        """Measure the model's samples by all metrics of this kind.

        ``clouds`` are samples that are compared with the reference, as in training; ``held_out`` is what
        :meth:`held_out` returns. Options are those of :func:`diffuscope.evaluate` that were given.
        """

    def of_network(
        self,
        denoiser: DenoiserLike,
        scaling: tuple[Any, Any] | None,
        source: Any,
        held_out: Any,
        seed: int,
        reporter: Reporter,
    ) -> Flattened:
        """Return a denoiser of one's own with its data, which it sees as (data - shift) / scale."""
        raise InputError(
            f"A network of one's own cannot be diagnosed on {self.unit}.", "Give points or images."
        )

    @abstractmethod
    def flatten(self, model: Model, data: D, held_out: Any, seed: int, reporter: Reporter) -> Flattened:
        """Return model and data as points (n, d), for a diagnosis."""

    def unmeasurable(self, data: D) -> str | None:
        """Return why samples cannot be compared with the data, None where they can."""
        return None

    def training_notes(self, data: D) -> tuple[str, ...]:
        """Return messages about how the data was read."""
        return data.notes

    def next_command(self, path: Path, model: Model, n: int) -> str:
        """Return the command to suggest after a training on n examples."""
        return f"sample {path} -n 1000 -o samples.csv"
