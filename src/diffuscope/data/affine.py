r"""The affine map of points to the model's units and back, :math:`z = (x - shift) / scale`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Scaling"]

_SINGLE = (1e-30, 1e30)  # what float32 holds, with room for values far from the middle


@dataclass(frozen=True)
class Scaling:
    """An affine map per coordinate: shift and scale (d,), in the units of the data, float64."""

    shift: NDArray[np.float64]
    scale: NDArray[np.float64]

    def __post_init__(self) -> None:
        """Take tensors and lists as well."""
        for name in ("shift", "scale"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point."""
        return self.shift.shape

    def encode(self, x: NDArray[Any]) -> Tensor:
        """Bring data (n, d) to the model's units, as a float32 tensor."""
        import torch

        return torch.from_numpy(((x - self.shift) / self.scale).astype(np.float32))

    def decode(self, x: Tensor) -> NDArray[np.floating]:
        """Bring points (n, d) of the model back to the units of the data.

        As float32, or as float64 where columns lie so far from zero (times in seconds, say) that
        float32 would round their spread away, or are too small or too large for it.
        """
        size = np.maximum(np.abs(self.shift), self.scale)
        small, large = self.scale.min() < _SINGLE[0], size.max() > _SINGLE[1]
        far = bool((np.abs(self.shift) > 1e3 * self.scale).any() or small or large)
        data = x.double().cpu().numpy() * self.scale + self.shift
        return data.astype(np.float64 if far else np.float32)

    def log_abs_det_jacobian(self, x: NDArray[Any]) -> NDArray[np.float64]:
        """Return log |dz/dx| at data (n, d), shape (n,): the same everywhere."""
        return np.full(len(x), -np.log(self.scale).sum())
