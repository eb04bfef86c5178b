r"""How is a perceptron differentiated without a tape? Its forward and backward pass, written out.

Recording operations and walking back over them costs a small network as much as its matrix products. For the
two perceptrons of the package the chain rule is written down here once, and gradients go straight into the
vector of all gradients. With :math:`z` the inputs of a layer and :math:`\delta` the gradient of its output,

.. math::  \nabla W = \delta^T z, \qquad \nabla b = \sum_i \delta_i, \qquad \nabla z = \delta W
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import in_type_of
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.mixture_loss import MixtureLoss
from diffuscope.networks import ArticleMLP, ResMLP
from diffuscope.training.randomness import LossLike
from diffuscope.training.weights import FlatParameters

__all__ = ["Perceptron", "perceptron_of"]

N = TypeVar("N", bound=nn.Module)


class Perceptron(ABC, Generic[N]):
    """A network of which a batch's gradient is written without autograd.

    ``flat`` holds its weights and gradients.
    """

    def __init__(self, network: N, flat: FlatParameters) -> None:
        self.network = network
        names = [name for name, _ in network.named_parameters()]
        self._weights = dict(zip(names, flat.views, strict=True))

    def differentiate(self, loss: LossLike, examples: Examples) -> Tensor:
        """Write the gradient of a batch's mean loss into that of all weights; return the loss, shape ()."""
        x, condition = (in_type_of(self.network, one) for one in (examples.inputs, examples.condition))
        with torch.no_grad():
            output = self.forward(x, condition).to(examples.inputs.dtype)
        value, slope = _with_slope(loss, output, examples)
        with torch.no_grad():
            self.backward(slope.to(x.dtype))
        return value

    @abstractmethod
    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the output (n, d) for inputs (n, ...) and conditions (n,), and keep what leads to it."""

    @abstractmethod
    def backward(self, slope: Tensor) -> None:
        """Write all gradients, given that of the last output (n, d)."""

    def _linear(self, name: str, z: Tensor) -> Tensor:
        """Return W z + b of a layer, for inputs (n, ...)."""
        return torch.addmm(self._weights[f"{name}.bias"][0], z, self._weights[f"{name}.weight"][0].t())

    def _linear_gradient(self, name: str, z: Tensor, slope: Tensor) -> None:
        """Write the gradients of a layer's weight and bias."""
        torch.mm(slope.t(), z, out=self._weights[f"{name}.weight"][1])
        torch.sum(slope, 0, out=self._weights[f"{name}.bias"][1])

    def _through(self, name: str, slope: Tensor) -> Tensor:
        """Return the gradient of a layer's inputs."""
        return slope @ self._weights[f"{name}.weight"][0]


class _Article(Perceptron[ArticleMLP]):
    """The tutorial's network, see :mod:`diffuscope.networks.article_mlp`."""

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the output (n, d)."""
        self._t, self._inputs = condition, [x]
        for i in range(3):
            of_step = self._weights[f"step_embeddings.{i}.weight"][0].index_select(0, condition)
            self._inputs.append(self._linear(f"linears.{2 * i}", self._inputs[-1]).add_(of_step).relu_())
        return self._linear("linears.6", self._inputs[-1])

    def backward(self, slope: Tensor) -> None:
        """Write all gradients."""
        self._linear_gradient("linears.6", self._inputs[3], slope)
        slope = self._through("linears.6", slope)
        for i in (2, 1, 0):
            slope = torch.ops.aten.threshold_backward(slope, self._inputs[i + 1], 0)
            self._weights[f"step_embeddings.{i}.weight"][1].zero_().index_add_(0, self._t, slope)
            self._linear_gradient(f"linears.{2 * i}", self._inputs[i], slope)
            if i:
                slope = self._through(f"linears.{2 * i}", slope)


class _Residual(Perceptron[ResMLP]):
    """The residual perceptron, see :mod:`diffuscope.networks.resmlp`."""

    def __init__(self, network: ResMLP, flat: FlatParameters) -> None:
        super().__init__(network, flat)
        self._layers = [f"layers.{i}" for i in range(len(network.layers))]

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Return the output (n, d)."""
        network = self.network
        self._level = network.frequencies(condition[:, None] / -8)
        self._scale, shift = self._linear("condition", self._level).chunk(2, dim=1)
        self._x = torch.cat([x, network.directions(x[:, : network.dimension])], dim=1)
        self._first = self._linear("input", self._x)
        h = self._first * (1 + self._scale) + shift
        self._h, self._z = [h], list[Tensor]()
        self._kept = list[Tensor | None]()
        for name in self._layers:
            self._z.append(nn.functional.silu(h))
            h = h + self._dropped(self._linear(name, self._z[-1]))
            self._h.append(h)
        self._z.append(self._dropped(nn.functional.silu(h)))
        return self._linear("output", self._z[-1])

    def _dropped(self, x: Tensor) -> Tensor:
        """Return x after dropout, and keep what was kept."""
        dropout = self.network.dropout
        kept = dropout.kept(x) if dropout.p else None
        self._kept.append(kept)
        return x if kept is None else x * kept

    def backward(self, slope: Tensor) -> None:
        """Write all gradients."""

        def dropped(slope: Tensor, kept: Tensor | None) -> Tensor:
            return slope if kept is None else slope * kept

        self._linear_gradient("output", self._z[-1], slope)
        slope = dropped(self._through("output", slope), self._kept[-1])
        slope = torch.ops.aten.silu_backward(slope, self._h[-1])
        for i in reversed(range(len(self._layers))):
            own = dropped(slope, self._kept[i])
            self._linear_gradient(self._layers[i], self._z[i], own)
            slope = slope + torch.ops.aten.silu_backward(self._through(self._layers[i], own), self._h[i])
        self._linear_gradient("condition", self._level, torch.cat([slope * self._first, slope], dim=1))
        self._linear_gradient("input", self._x, slope * (1 + self._scale))


def perceptron_of(network: nn.Module, flat: FlatParameters) -> Perceptron[Any] | None:
    """Return what differentiates a network without autograd; None where it is another, or has conditions."""
    if getattr(network, "label", None) is not None:
        return None
    if len(flat.parameters) != len(list(network.parameters())):
        return None  # some are not trained
    if type(network) is ArticleMLP:
        return _Article(network, flat)
    return _Residual(network, flat) if type(network) is ResMLP else None


def _with_slope(loss: LossLike, output: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
    """Return the loss, shape (), and its gradient by the output (n, d)."""
    if isinstance(loss, Loss) and type(loss) in (Loss, MixtureLoss) and loss.distance == "l2":
        error = output - examples.target
        weighted = error if examples.weight is None else examples.weight * error
        return (weighted * error).mean(), weighted * (2 / error.numel())
    output.requires_grad_()
    value = loss.value(output, examples)
    (slope,) = torch.autograd.grad(value, output)
    return value.detach(), slope
