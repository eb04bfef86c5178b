r"""A residual MLP for points and tables of any dimension.

Both inputs have Fourier features: the point along random directions B, the noise level at random
frequencies f. The level scales and shifts the first layer.

.. math::
    (a, b) &= W_c\, [\cos(2\pi f c), \sin(2\pi f c)], \qquad c = \tfrac14 \log(\sigma/\alpha) \\
    h_0 &= (1 + a)\, W_{in} [x, \cos(Bx), \sin(Bx)] + b \\
    h_{i+1} &= h_i + W_i\, \mathrm{silu}(h_i), \qquad F = W_{out}\, \mathrm{silu}(h_{depth})

The output layer is zero at the start, so that the untrained denoiser is c_skip x_t.
"""

from __future__ import annotations

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import silu

from diffuscope.networks.blocks import Dropout, zeroed
from diffuscope.networks.embeddings import FourierFeatures, label_embedding, shared
from diffuscope.networks.perceptron_pass import is_written_out, residual_output, residual_trace

__all__ = ["ResMLP"]


class ResMLP(nn.Module):
    """Residual MLP with Fourier features of the point and of the noise level.

    Parameters
    ----------
    dimension : int
        Coordinates of a point.
    width : int
        Units of a hidden layer.
    depth : int
        Residual layers.
    n_directions : int
        Random directions of the point's Fourier features; 0: none.
    direction_std : float
        Standard deviation of the directions, in radians per unit of the network's input; with a larger one
        fine structure is learned earlier.
    n_frequencies : int
        Frequencies of the noise level's embedding.
    flags : int
        Further inputs after the point's coordinates, without Fourier features.
    dropout : float
        Dropout probability in each residual layer and before the output; against memorising small data sets.
    classes : int
        Classes to condition on, which scale and shift the first layer as the level does; 0: none.
    conditions : int
        Numbers to condition on in place of classes, in the same way; 0: none.
    """

    conditioning = "log_snr"

    def __init__(
        self,
        dimension: int,
        width: int = 64,
        depth: int = 3,
        n_directions: int = 16,
        direction_std: float = 1.0,
        n_frequencies: int = 16,
        flags: int = 0,
        dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        classes: int = 0,
        conditions: int = 0,
    ) -> None:
        super().__init__()
        self.dimension = dimension
        self.directions = FourierFeatures(n_directions, direction_std / (2 * math.pi), dimension)
        self.frequencies = FourierFeatures(n_frequencies, std=0.5)
        self.input = nn.Linear(dimension + flags + 2 * n_directions, width)
        self.condition = nn.Linear(2 * n_frequencies, 2 * width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.dropout = Dropout(dropout)
        self.output = zeroed(nn.Linear(width, dimension))
        self.classes, self.conditions = classes, conditions
        self.label = label_embedding(classes, conditions, 2 * width)

    def forward(self, x: Tensor, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Map points (n, d + flags) at log signal-to-noise ratios (n,) to a prediction (n, d).

        ``label`` are their classes (n,), int64, or numbers (n, k), by default none.
        """
        condition = self._condition(log_snr, label)
        if is_written_out(self, ResMLP, x, (self.input, *self.layers, self.output)):
            return residual_output(self, x, condition)
        scale, shift = condition.chunk(2, dim=1)
        waves = self.directions(x[:, : self.dimension])
        h = torch.addcmul(shift, self.input(torch.cat([x, waves], dim=1)), 1 + scale)
        for layer in self.layers:
            h = h + self.dropout(layer(silu(h)))
        return self.output(self.dropout(silu(h)))  # type: ignore[no-any-return]

    def _condition(self, log_snr: Tensor, label: Tensor | None) -> Tensor:
        """Return scale and shift of the first layer side by side, (n or 1, 2 width)."""
        c = shared(log_snr)[:, None] / -8  # log(σ/α) = -log_snr / 2
        condition: Tensor = self.condition(self.frequencies(c))
        return condition if self.label is None else condition + self.label(label)

    @torch.no_grad()
    def with_trace(self, x: Tensor, log_snr: Tensor, label: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the output (n, d), and the trace of its Jacobian by the points (n,), without dropout.

        For points without flags.
        """
        return residual_trace(self, x, self._condition(log_snr, label))
