"""What can a model of points do? Give samples, trajectories and densities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.diffusion.samplers import SamplingState
from diffuscope.errors import InputError
from diffuscope.modalities.generator import Generator, Writer
from diffuscope.model import ORIGIN
from diffuscope.request import Request
from diffuscope.seeds import stream

__all__ = ["PointGenerator"]


class PointGenerator(Generator):
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
        """Return what writes n points to .npy, .npz, .csv, .tsv or .parquet."""
        return TableWriter(path, n, self.model.dimension, self.model.columns)
