"""What can a model of points do? Give samples, of a class if it has some, trajectories and densities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.data.points.section import PointsSection
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import InputError
from diffuscope.files import atomic_write
from diffuscope.modalities.generator import ClassGenerator, Writer
from diffuscope.model import ORIGIN
from diffuscope.request import Request
from diffuscope.seeds import stream

__all__ = ["PointGenerator"]

Labels = NDArray[np.int64]


class PointGenerator(ClassGenerator):
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

        Their classes, where they were chosen, are a further column, or the array ``y`` of a .npz file.
        """
        labels: Labels | None = request.condition
        d, columns = self.model.dimension, self.model.columns
        if labels is None or path.suffix.lower() == ".npy":
            return TableWriter(path, n, d, columns)
        names = np.array(self.classes)[labels]
        if path.suffix.lower() == ".npz":
            return _Archive(path, names, columns)
        section = self.model.recipe.data
        assert isinstance(section, PointsSection)
        return _WithClasses(path, names, d, columns, section.target or "y")

    def frame(self, n: int, request: Request) -> Any:
        """Sample a DataFrame with the columns of the data, and of the classes where they were chosen."""
        frame = super().frame(n, request)
        section = self.model.recipe.data
        assert isinstance(section, PointsSection)
        if request.condition is not None:
            frame[section.target or "y"] = np.array(self.classes)[request.condition]
        return frame


class _WithClasses(TableWriter):
    """Writes points with the names of their classes (n,) as the last column."""

    def __init__(
        self, path: Path, names: NDArray[np.str_], d: int, columns: tuple[str, ...] | None, name: str
    ) -> None:
        self.labels, self.done = names, 0
        own = tuple(f"x{j}" for j in range(d)) if columns is None else columns
        super().__init__(path, len(names), d + 1, (*own, name if name not in own else f"{name}_class"))

    def append(self, chunk: Any) -> None:
        """Write the next points."""
        import pandas as pd

        assert self.columns is not None
        frame = pd.DataFrame(np.asarray(chunk), columns=list(self.columns[:-1]))
        frame[self.columns[-1]] = self.labels[self.done : self.done + len(frame)].astype(object)
        self.done += len(frame)
        super().append(frame)


class _Archive:
    """Writes points ``x`` with the names of their classes ``y``, once all are there."""

    def __init__(self, path: Path, names: NDArray[np.str_], columns: tuple[str, ...] | None) -> None:
        self.path, self.names, self.columns = path, names, columns
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
        with atomic_write(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, x=np.concatenate(self.parts), y=self.names, **arrays)
