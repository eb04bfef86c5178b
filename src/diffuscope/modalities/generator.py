"""What can a trained model of any kind of data do? Give samples, trajectories and densities."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sized
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import InputError, RunError, unknown_name
from diffuscope.model import Conditioned, Model, Rows
from diffuscope.progress import Reporter
from diffuscope.request import Request, check_count, read_request

__all__ = ["EACH", "ClassGenerator", "Generator", "Writer", "counted", "refuse_guidance"]

EACH = "each"
"""In place of a class: all classes in turn."""

T = TypeVar("T", bound=Sized)
_DENSITY_OPTIONS = ("tolerance", "probes", "seed", "batch", "prior")


class Writer(Protocol):
    """Writes samples batch by batch into one file or folder, whole or not at all."""

    def __enter__(self) -> Any: ...

    def append(self, batch: Any, /) -> None:
        """Write the next samples."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Generator:
    """Samples, trajectories and densities of a trained model; subclasses add conditions."""

    conditions: ClassVar[tuple[str, ...]] = ("y",)  # names of the arguments of a condition
    unit: ClassVar[str] = "points"  # what its samples are called: points, rows or images
    usual: ClassVar[int] = 10_000  # how many are drawn by default
    labels_hint: ClassVar[str] = "y=..., or an array y beside x in a .npz file"
    # Suffixes of files to which samples are plotted, instead of written.
    drawn_suffixes: ClassVar[tuple[str, ...]] = (".png", ".svg", ".pdf")

    def __init__(self, model: Model) -> None:
        self.model = model

    def read_words(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return options of the command line, with the text of a condition in the types of the data."""
        return options

    def request(self, options: Mapping[str, Any], n: int = 1) -> Request:
        """Read keyword arguments as a request for n samples; InputError where one is not valid."""
        check_count(n)
        request, condition = read_request(options, self.model.recipe.sampling.name, self.conditions)
        return self.conditional(request, condition, n)

    def conditional(self, request: Request, condition: Mapping[str, Any], n: int) -> Request:
        """Return the request with its condition, in this kind's own type."""
        for word in condition:
            raise InputError(
                f"This model was trained without classes or a target, so {word} cannot be set.",
                f"Omit {word}, or train on data with classes or a target.",
            )
        refuse_guidance(request)
        return request

    def conditioned(self, request: Request, n: int) -> Conditioned | None:
        """Return what gives the conditioned denoisers of pieces of n samples; None: the model's own."""
        return None

    def coordinates(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample in pieces, in the units of the model; memory stays flat for any n."""
        return self.model.coordinates(n, request, self.conditioned(request, n))

    def batches(self, n: int, request: Request) -> Iterator[Any]:
        """Sample in pieces, in the units of the data; memory stays flat for any n."""
        for x in self.coordinates(n, request):
            yield self.model.codec.decode(self.finite(x))

    def sample(self, n: int, request: Request | None = None, **options: Any) -> Any:
        """Sample n points, rows or images, in the units of the data; options are those of :meth:`request`."""
        request = self.request(options, n) if request is None else request
        return np.concatenate(list(self.batches(n, request)))

    def states(self, n: int, request: Request) -> list[SamplingState]:
        """Sample, and return all states, in the units of the model."""
        return self.model.trajectory(n, request, self.conditioned(request, n))

    def trajectory(self, n: int, request: Request) -> Any:
        """Return all states from noise to samples in the units of the data, (steps + 1, n, ...) or tables."""
        return np.stack([self.model.codec.decode(state.x) for state in self.states(n, request)])

    def finite(self, x: Tensor) -> Tensor:
        """Return samples as they are; RunError where one is not finite."""
        if not x.isfinite().all():
            raise RunError(
                f"Some {self.unit} of the model are not finite.",
                "Try another sampler or more steps, or train longer.",
            )
        return x

    def count(self, options: Mapping[str, Any]) -> int:
        """Return how many samples are drawn by default, with such keyword arguments."""
        return self.usual

    @abstractmethod
    def check_path(self, path: Path, n: int) -> None:
        """Make sure, before any work is done, that n samples can be written; InputError otherwise."""

    @abstractmethod
    def writer(self, path: Path, n: int, first: Any, request: Request) -> Writer:
        """Return what writes n samples, of which ``first`` are the first, to a file."""

    def log_density(self, data: Any, **options: Any) -> NDArray[np.float64]:
        """Return log-densities (n,) in nats, in the units of the data."""
        for word in options:
            if word not in _DENSITY_OPTIONS:
                raise unknown_name("option of a density", word, _DENSITY_OPTIONS)
        return self.model.log_density(data, **options)

    def frame(self, n: int, request: Request) -> Any:
        """Sample a DataFrame with the columns of the data."""
        import pandas as pd

        columns = self.model.columns
        return pd.DataFrame(self.sample(n, request), columns=None if columns is None else list(columns))


class ClassGenerator(Generator):
    """A model of points or images that may be conditioned on classes.

    ``classes`` are the names of those that it is conditioned on; empty: none.
    """

    conditions: ClassVar[tuple[str, ...]] = ("y", "label")

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.classes: tuple[str, ...] = model.recipe.data.class_names

    def conditional(self, request: Request, condition: Mapping[str, Any], n: int) -> Request:
        """Return the request with the classes of n samples (``y``, or ``label``)."""
        if len(condition) > 1:
            raise InputError("y and label both set the class.", "Give one of them.")
        label = next(iter(condition.values()), None)
        labels = self.labels(label, n)
        if label is None:
            if request.guidance not in (None, 1) and not self.classes:
                raise InputError(
                    "Guidance needs a class, and this model was trained without classes.",
                    "Set guidance to 1.",
                )
            refuse_guidance(request)
        elif request.interval is not None and self._scale(request) == 1:
            raise InputError("A guidance interval needs guidance.", "Give guidance too.")
        return dataclasses.replace(request, condition=labels)

    def labels(self, label: Any, n: int) -> NDArray[np.int64] | None:
        """Return the classes of n samples; None: unconditional.

        A label is a number from 0, a name, ``"each"`` (all classes in turn), or a sequence of n of them;
        where the names of classes are numbers, a number is a name. InputError where the model was trained
        without classes, or has none such.
        """
        if label is None:
            return None
        if not self.classes:
            raise InputError(
                "This model was trained without classes or a target, so none can be chosen.",
                f"Omit the label, or train on {self.unit} with labels: {self.labels_hint}.",
            )
        if isinstance(label, str) and label == EACH:
            return np.arange(n) % len(self.classes)
        if isinstance(label, str) or np.ndim(label) == 0:
            return np.full(n, self._number(label))
        labels = np.array([self._number(one) for one in label], dtype=np.int64)
        if len(labels) != n:
            raise InputError(
                f"Got {len(labels)} labels for {n} {self.unit}.", "Give one label for all, or one for each."
            )
        return labels

    def _number(self, label: Any) -> int:
        """Return the number of a class by its name or its number."""
        if hasattr(label, "item"):  # of an array or a tensor
            label = label.item()
        numbered = all(name.lstrip("-").isdigit() for name in self.classes)
        if isinstance(label, str) or (isinstance(label, bool) or numbered):
            if str(label) in self.classes:
                return self.classes.index(str(label))
            if isinstance(label, str) and not (label.isdecimal() and len(label) <= 9):
                raise unknown_name("class", label, self.classes)
        if isinstance(label, str) and not numbered:
            label = int(label)
        whole = isinstance(label, int) and not isinstance(label, bool)
        if numbered or not whole or not 0 <= label < len(self.classes):
            names = ", ".join(self.classes[:12]) + " and others" * (len(self.classes) > 12)
            hint = (
                f"Choose {names}."
                if numbered
                else f"Choose 0 to {len(self.classes) - 1}, or a name: {names}."
            )
            raise InputError(
                f"There is no class {label!r}: this model has {len(self.classes)} classes.", hint
            )
        return int(label)

    def _scale(self, request: Request) -> float:
        """Return the scale of guidance where there is a class: by default the recipe's."""
        return self.model.recipe.sampling.guidance if request.guidance is None else request.guidance

    def conditioned(self, request: Request, n: int) -> Conditioned | None:
        """Return what gives the denoisers of samples of classes."""
        labels: NDArray[np.int64] | None = request.condition
        if labels is None:
            return None
        denoiser, scale = self.model.denoiser, self._scale(request)
        low, high = request.interval or self.model.recipe.sampling.guidance_interval

        def of_classes(rows: Rows) -> DenoiserLike:
            own = denoiser.conditioned(torch.from_numpy(labels[rows]).to(self.model.device))
            return own if scale == 1 else ClassifierFreeGuidance(own, denoiser, scale, low, high)

        return of_classes

    def count(self, options: Mapping[str, Any]) -> int:
        """Return the usual number, or of all classes in turn as many of each."""
        label = options.get("label", options.get("y"))
        classes = len(self.classes) if isinstance(label, str) and label == EACH else 0
        return max(self.usual // classes, 1) * classes if classes else self.usual


def counted(
    pieces: Iterable[T], n: int, unit: str, reporter: Reporter | None, what: str = "sampling"
) -> Iterator[T]:
    """Yield pieces of n samples under a progress bar."""
    with (reporter or Reporter(False)).bar(what, n, unit) as bar:
        done = 0
        for piece in pieces:
            yield piece
            done += len(piece)
            bar.update(done)


def refuse_guidance(request: Request) -> None:
    """Refuse guidance where there is no condition."""
    if request.guidance not in (None, 1):
        raise InputError(
            "Guidance needs a condition, and none was given.", "Give y too, or set guidance to 1."
        )
    if request.interval is not None:
        raise InputError("A guidance interval needs guidance.", "Give guidance too.")
