"""What can a model of points do? Give samples, with labels if it has some, trajectories and densities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import InputError
from diffuscope.files import atomic_write
from diffuscope.modalities.generator import LabelGenerator, Writer
from diffuscope.model import ORIGIN
from diffuscope.request import Request
from diffuscope.seeds import stream

__all__ = ["PointGenerator"]


class PointGenerator(LabelGenerator):
    """A model of points (n, d), in the units of the data."""

    unit: ClassVar[str] = "points"

    def coordinates(self, n: int, request: Request) -> Iterator[Tensor]:
        """Sample in pieces, from noise or from the points where the flow starts."""
        return super().coordinates(n, self._started(n, request))

    def states(self, n: int, request: Request) -> list[SamplingState]:
        """Sample from noise or from the points where the flow starts, and return all states."""
        return super().states(n, self._started(n, request))

    def log_density(self, data: Any, **options: Any) -> NDArray[np.float64]:
        """Return log-densities (n,); InputError for a flow from a data set, whose density is not known."""
        if ORIGIN in self.model.extras:
            raise InputError(
                "The density of a flow from another data set is not known: that of its start is not.",
                "Train a flow from noise.",
            )
        return super().log_density(data, **options)

    def _started(self, n: int, request: Request) -> Request:
        """Return the request with the points of the other data set from which a flow starts, if it does."""
        origin = self.model.extras.get(ORIGIN)
        if origin is None or request.noise is not None or n < 1:
            return request
        chosen = torch.randint(len(origin), (n,), generator=stream(request.seed, "origin"))
        return dataclasses.replace(request, noise=origin.cpu()[chosen].numpy())

    def check_path(self, path: Path, n: int) -> None:
        """Make sure that points can be written there."""
        check_writable(path)

    def writer(self, path: Path, n: int, first: Any, request: Request) -> Writer:
        """Return what writes n points to .npy, .npz, .csv, .tsv, .xlsx or .parquet.

        Their labels, where they were chosen, are further columns, or the array ``y`` of a .npz file.
        """
        d, columns = self.model.dimension, self.model.columns
        if request.condition is None or path.suffix.lower() == ".npy":
            return TableWriter(path, n, d, columns)
        if path.suffix.lower() == ".npz":
            return _Archive(path, self._columns(request.condition), columns, bool(self.classes))
        return _WithLabels(path, n, self._columns(request.condition), d, columns)

    def frame(self, n: int, request: Request) -> Any:
        """Sample a DataFrame with the columns of the data, and of the labels where they were chosen."""
        frame = super().frame(n, request)
        return frame if request.condition is None else frame.assign(**self._columns(request.condition))

    def _columns(self, labels: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return labels as columns, by the names that they have in the data."""
        target = getattr(self.model.recipe.data, "target", None)
        return self._label_type.columns(labels, target if isinstance(target, str) else "y")


class _WithLabels(TableWriter):
    """Writes points with their labels, columns (n,) by name, as the last columns."""

    def __init__(
        self,
        path: Path,
        n: int,
        labels: Mapping[str, NDArray[Any]],
        d: int,
        columns: tuple[str, ...] | None,
    ) -> None:
        own = tuple(f"x{j}" for j in range(d)) if columns is None else columns
        names = [name if name not in own else f"{name}_label" for name in labels]
        self.labels, self.done = dict(zip(names, labels.values(), strict=True)), 0
        super().__init__(path, n, d + len(names), (*own, *names))

    def append(self, chunk: Any) -> None:
        """Write the next points."""
        import pandas as pd

        assert self.columns is not None
        points = np.asarray(chunk)
        frame = pd.DataFrame(points, columns=list(self.columns[: points.shape[1]]))
        for name, values in self.labels.items():
            own = values[self.done : self.done + len(frame)]
            frame[name] = own.astype(object) if own.dtype.kind == "U" else own
        self.done += len(frame)
        super().append(frame)


class _Archive:
    """Writes points ``x`` with their labels ``y``, names of classes or numbers, once all are there."""

    def __init__(
        self, path: Path, labels: Mapping[str, NDArray[Any]], columns: tuple[str, ...] | None, classes: bool
    ) -> None:
        self.path, self.labels, self.columns, self.classes = path, labels, columns, classes
        self.parts: list[NDArray[Any]] = []

    def __enter__(self) -> _Archive:
        return self

    def append(self, chunk: Any) -> None:
        """Take the next points."""
        self.parts.append(np.asarray(chunk))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            return
        arrays: dict[str, Any] = {} if self.columns is None else {"columns": np.array(self.columns)}
        values = [*self.labels.values()]
        if not self.classes:
            arrays["numbers"] = np.array([*self.labels])
        arrays["y"] = values[0] if self.classes else np.stack(values, 1)
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, x=np.concatenate(self.parts), **arrays)
