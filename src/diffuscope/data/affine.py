r"""In which units does the model see the data? :math:`x_{model} = (x - shift) / scale`, per coordinate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.errors import InputError

__all__ = ["Scaling", "ScalingKind"]

ScalingKind = Literal["standard", "divide", "none", "table", "pixels"]
_MIDDLE = 127.5  # of the values that a pixel can have


@dataclass(frozen=True)
class Scaling:
    """An affine map per coordinate, in float64.

    Attributes
    ----------
    shift, scale : ndarray of shape (d,), or (channels, height, width)
        In the units of the data. Their shape is that of a point.
    """

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        x: NDArray[Any],
        kind: ScalingKind = "standard",
        divisor: float = 1.0,
    ) -> Scaling:
        """Find the scaling of data (n, ...); the coordinates of a "table" are in the model's units.

        Raises
        ------
        InputError
            When a column is constant up to rounding, so that ``standard`` has nothing to divide by.
        """
        d = x.shape[1:]
        if kind == "pixels":
            return cls(np.full(d, _MIDDLE), np.full(d, _MIDDLE))
        if kind != "standard":
            return cls(np.zeros(d), np.full(d, divisor if kind == "divide" else 1.0))
        shift, scale = x.mean(axis=0), x.std(axis=0)
        flat = np.flatnonzero(scale <= 1e-12 * np.maximum(np.abs(shift), np.finfo(float).tiny))
        if flat.size:
            raise InputError(
                f"Column {flat[0]} does not vary (its value is {shift[flat[0]]:g} in every row).",
                "Leave it out: a constant needs no model.",
            )
        return cls(shift, scale)

    def to_model(self, x: NDArray[Any]) -> Tensor:
        """Bring data (n, ...) to the model's units, as a float32 tensor."""
        return torch.from_numpy(((x - self.shift) / self.scale).astype(np.float32))

    def to_data(self, x: Tensor) -> NDArray[np.floating]:
        """Bring points (n, ...) of the model back to the units of the data.

        As float32, or as float64 where columns lie so far from zero (times in seconds, say) that
        float32 would round their spread away.
        """
        far = bool((np.abs(self.shift) > 1e3 * self.scale).any())
        data = x.double().cpu().numpy() * self.scale + self.shift
        return data.astype(np.float64 if far else np.float32)
