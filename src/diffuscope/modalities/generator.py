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

from diffuscope.data.conditions import EACH, Classes, LabelType, Numbers
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import InputError, RunError, unknown_name
from diffuscope.modalities.watched import Choice
from diffuscope.model import Conditioned, Model
from diffuscope.progress import Reporter
from diffuscope.request import Request, check_count, read_request

__all__ = ["EACH", "Generator", "LabelGenerator", "Writer", "counted", "refuse_guidance"]

T = TypeVar("T", bound=Sized)
_CLASS = "class"
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

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What samples can be conditioned on."""
        return ()

    def chosen(self, condition: Mapping[str, str]) -> dict[str, Any]:
        """Return options of :meth:`request` for some of the :attr:`choices`, which are given as text."""
        self._check_choices(condition, "condition")
        return {}

    def _check_choices(self, condition: Mapping[str, str], what: str) -> None:
        """Raise an InputError unless all names are those of choices."""
        known = [choice.name for choice in self.choices]
        for name in condition:
            if name not in known:
                raise unknown_name(what, name, known)

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
        return self._log_density(data, None, options)

    def _log_density(
        self, data: Any, conditioned: Conditioned | None, options: Mapping[str, Any]
    ) -> NDArray[np.float64]:
        """Return log-densities, of denoisers with a condition where there are some."""
        for word in options:
            if word not in _DENSITY_OPTIONS:
                raise unknown_name("option of a density", word, _DENSITY_OPTIONS)
        return self.model.log_density(data, conditioned, **options)

    def frame(self, n: int, request: Request) -> Any:
        """Sample a DataFrame with the columns of the data."""
        import pandas as pd

        columns = self.model.columns
        return pd.DataFrame(self.sample(n, request), columns=None if columns is None else list(columns))


class LabelGenerator(Generator):
    """A model of points or images that may be conditioned on classes or numbers.

    ``label_type`` is what it is conditioned on; None: nothing.
    """

    conditions: ClassVar[tuple[str, ...]] = ("y", "label")

    def __init__(self, model: Model) -> None:
        super().__init__(model)
        self.label_type = model.recipe.data.label_type

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; empty where it is conditioned on none."""
        return self.label_type.names if isinstance(self.label_type, Classes) else ()

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The class, or each of the numbers."""
        if isinstance(self.label_type, Classes):
            return (Choice(_CLASS, self.classes, guided=True),)
        if isinstance(self.label_type, Numbers):
            return tuple(Choice(name, guided=True) for name in self.label_type.names)
        return ()

    def chosen(self, condition: Mapping[str, str]) -> dict[str, Any]:
        """Return the option ``y``: a class, or numbers, those that are not given in the middle of theirs."""
        options = super().chosen(condition)
        if not condition:
            return options
        if not isinstance(self.label_type, Numbers):
            return {"y": condition[_CLASS]}
        own = self.label_type
        middle = {
            name: (low + high) / 2 for name, low, high in zip(own.names, own.low, own.high, strict=True)
        }
        return {"y": np.array([_as_number(name, condition.get(name, middle[name])) for name in own.names])}

    def conditional(self, request: Request, condition: Mapping[str, Any], n: int) -> Request:
        """Return the request with the labels of n samples (``y``, or ``label``)."""
        if len(condition) > 1:
            raise InputError("y and label both set the condition.", "Give one of them.")
        label = next(iter(condition.values()), None)
        labels = None if label is None else self._label_type.read(label, n, self.unit)
        if label is None:
            if request.guidance not in (None, 1) and self.label_type is None:
                raise InputError(
                    "Guidance needs a condition, and this model was trained without classes or numbers.",
                    "Set guidance to 1.",
                )
            refuse_guidance(request)
        elif request.interval is not None and self._scale(request) == 1:
            raise InputError("A guidance interval needs guidance.", "Give guidance too.")
        return dataclasses.replace(request, condition=labels)

    @property
    def _label_type(self) -> LabelType:
        """What the model is conditioned on; InputError where there is nothing."""
        if self.label_type is None:
            raise InputError(
                "This model was trained without classes or a target, so none can be chosen.",
                f"Omit the label, or train on {self.unit} with labels: {self.labels_hint}.",
            )
        return self.label_type

    def _scale(self, request: Request) -> float:
        """Return the scale of guidance where there is a condition: by default the recipe's."""
        return self.model.recipe.sampling.guidance if request.guidance is None else request.guidance

    def conditioned(self, request: Request, n: int) -> Conditioned | None:
        """Return what gives the denoisers of samples with labels."""
        if request.condition is None:
            return None
        own, denoiser, scale = self._labelled(request.condition), self.model.denoiser, self._scale(request)
        if scale == 1:
            return own
        low, high = request.interval or self.model.recipe.sampling.guidance_interval
        return lambda rows: ClassifierFreeGuidance(own(rows), denoiser, scale, low, high)

    def _labelled(self, labels: NDArray[Any]) -> Conditioned:
        """Return what gives the denoisers of points with labels, without guidance."""
        encoded = torch.from_numpy(self._label_type.encode(labels))
        device, denoiser = self.model.device, self.model.denoiser
        return lambda rows: denoiser.conditioned(encoded[torch.from_numpy(rows)].to(device))

    def log_density(self, data: Any, **options: Any) -> NDArray[np.float64]:
        """Return log-densities (n,) in nats, given labels (``y``, or ``label``), one for all or for each."""
        condition = {word: options.pop(word) for word in self.conditions if options.get(word) is not None}
        request = self.conditional(Request(), condition, len(data))
        own = None if request.condition is None else self._labelled(request.condition)
        return self._log_density(data, own, options)

    def count(self, options: Mapping[str, Any]) -> int:
        """Return the usual number, or of all classes in turn as many of each."""
        label = options.get("label", options.get("y"))
        each = isinstance(label, str) and label == EACH and self.label_type is not None
        turn = self.label_type.turn if each and self.label_type is not None else 1
        return max(self.usual // turn, 1) * turn


def _as_number(name: str, text: str | float) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a number for {name}.", "Give one, such as 0.5.") from error


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
