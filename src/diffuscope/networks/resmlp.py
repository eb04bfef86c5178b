r"""A residual perceptron for points and tables of any dimension.

The noise level enters once, as Fourier features of :math:`\log(\sigma/\alpha)`:

.. math::
    h_0 &= W_{in} x + W_{emb} [\cos(2\pi f c), \sin(2\pi f c)], \quad c = \tfrac14 \log(\sigma/\alpha) \\
    h_{i+1} &= h_i + W_i\, \mathrm{silu}(h_i), \qquad F = W_{out}\, \mathrm{silu}(h_{depth})

with the output layer zero at the start, so that an untrained model is its preconditioning.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import silu

from diffuscope.networks.embeddings import FourierFeatures

__all__ = ["ResMLP"]


class ResMLP(nn.Module):
    """Residual MLP with Fourier features of the noise level.

    Parameters
    ----------
    dimension : int
        Coordinates of a point.
    width : int
        Units of a hidden layer.
    depth : int
        Residual layers.
    n_frequencies : int
        Frequencies of the embedding.
    """

    conditioning = "log_snr"

    def __init__(self, dimension: int, width: int = 128, depth: int = 3, n_frequencies: int = 16) -> None:
        super().__init__()
        self.embedding = FourierFeatures(n_frequencies, std=0.5)
        self.input = nn.Linear(dimension, width)
        self.condition = nn.Linear(2 * n_frequencies, width)
        self.layers = nn.ModuleList([nn.Linear(width, width) for _ in range(depth)])
        self.output = nn.Linear(width, dimension)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor, log_snr: Tensor) -> Tensor:
        """Map points (n, d) at log signal-to-noise ratios (n,) to a prediction (n, d)."""
        h = self.input(x) + self.condition(self.embedding(log_snr / -8))  # log(σ/α) = -log_snr / 2
        for layer in self.layers:
            h = h + layer(silu(h))
        return self.output(silu(h))  # type: ignore[no-any-return]
