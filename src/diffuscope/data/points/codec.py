"""How do points become the model's units? By an affine map for each column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.affine import Scaling
from diffuscope.data.points.section import ScalingKind
from diffuscope.data.spread import centre_and_scale
from diffuscope.errors import InputError

__all__ = ["PointsCodec"]


@dataclass(frozen=True)
class PointsCodec(Scaling):
    """The affine map of points, with the names of their d columns, if any."""

    kind: ClassVar[str] = "points"

    columns: tuple[str, ...] | None = None

    @classmethod
    def fit(
        cls,
        x: NDArray[Any],
        scaling: ScalingKind = "standard",
        divisor: float = 1.0,
        columns: tuple[str, ...] | None = None,
    ) -> PointsCodec:
        """Find the map for data (n, d); ``standard`` raises an InputError for a constant column.

        The scale is the deviation without values far out (:mod:`diffuscope.data.spread`).
        """
        d = x.shape[1]
        if scaling != "standard":
            return cls(np.zeros(d), np.full(d, divisor if scaling == "divide" else 1.0), columns)
        shift, scale = centre_and_scale(x)
        flat = np.flatnonzero(scale <= 1e-12 * np.maximum(np.abs(shift), np.finfo(float).tiny))
        if flat.size and np.ptp(x[:, flat[0]]) > 0:
            raise InputError(
                f"The values of column {flat[0]} differ too little for their size, about {shift[flat[0]]:g}.",
                "Subtract their mean before.",
            )
        if flat.size:
            raise InputError(
                f"Column {flat[0]} is constant ({shift[flat[0]]:g} in every row).", "Remove the column."
            )
        return cls(shift, scale, columns)

    @property
    def affine(self) -> PointsCodec:
        """Itself."""
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the map as plain data."""
        columns = None if self.columns is None else list(self.columns)
        return {"shift": self.shift.tolist(), "scale": self.scale.tolist(), "columns": columns}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PointsCodec:
        """Read what :meth:`to_json` gave, or raise a ValueError."""
        shift, scale = (np.asarray(data[name], dtype=np.float64) for name in ("shift", "scale"))
        columns = data["columns"]
        if shift.ndim != 1 or shift.shape != scale.shape or not shift.size:
            raise ValueError("its scaling is not one of points")
        if not (np.isfinite(shift).all() and np.isfinite(scale).all() and (scale > 0).all()):
            raise ValueError("its scaling is not finite and positive")
        if columns is not None:
            if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
                raise ValueError("the names of its columns are not text")
            if len(columns) != len(shift):
                raise ValueError("the names of its columns are not one for each")
            columns = tuple(columns)
        return cls(shift, scale, columns)
