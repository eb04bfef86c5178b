r"""Which weights sample best? Their average over the last part of training.

.. math::  \bar w \leftarrow d_k \bar w + (1 - d_k) w, \qquad d_k = \min\!\left(d, \frac{1 + k}{10 + k}\right)

The decay warms up with the step k, so that a run of a few hundred steps does not keep its first weights.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of a vector of weights, which starts from them; decay 0 follows them."""

    def __init__(self, weights: Tensor, decay: float) -> None:
        self.decay = decay
        self.weights = weights.detach().clone()

    def update(self, weights: Tensor, step: int) -> None:
        """Update the average with the weights after ``step`` steps (1, 2, ...)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        self.weights.lerp_(weights.detach(), 1 - decay)
