"""What can a model of points do? Give samples, trajectories and densities."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from diffuscope.data.columnar import TableWriter, check_writable
from diffuscope.modalities.generator import Generator, Writer
from diffuscope.request import Request

__all__ = ["PointGenerator"]


class PointGenerator(Generator):
    """A model of points (n, d), in the units of the data."""

    unit: ClassVar[str] = "points"

    def check_path(self, path: Path, n: int) -> None:
        """Make sure that points can be written there."""
        check_writable(path)

    def writer(self, path: Path, n: int, first: Any, request: Request) -> Writer:
        """Return what writes n points to .npy, .npz, .csv, .tsv or .parquet."""
        return TableWriter(path, n, self.model.dimension, self.model.columns)
