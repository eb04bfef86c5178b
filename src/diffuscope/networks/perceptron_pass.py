r"""How is a perceptron evaluated and differentiated without modules? Its passes, written out.

Recording operations, and copies of biases, of features and of sums, cost a small network much of its time.
For ArticleMLP and ResMLP the passes are written down here: one forward for inference, one with the trace of
the Jacobian, and one for training that keeps what the backward pass needs.

In inference products are added to what they change in place, and what all points share, such as one noise
level, goes into the weights of the first layer. With the names of :mod:`diffuscope.networks.resmlp`,

.. math::  h_0 = ((1 + a) W_{in})\, [x, \cos(Bx), \sin(Bx)] + ((1 + a)\, b_{in} + b) .
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "ArticlePass",
    "ResidualPass",
    "Weights",
    "WrittenPass",
    "article_output",
    "is_written_out",
    "residual_output",
    "residual_trace",
]

Weights = Mapping[str, tuple[Tensor, Tensor]]


def is_written_out(network: nn.Module, kind: type[nn.Module], x: Tensor, layers: Iterable[nn.Module]) -> bool:
    """Whether a network of these layers is evaluated here, else by its modules.

    Those record what gradients, dropout, autocast, tracing and hooks need.
    """
    if torch.is_grad_enabled() or type(network) is not kind:
        return False
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return False
    if network.training and getattr(getattr(network, "dropout", None), "p", False):
        return False
    return all(
        type(layer) is nn.Linear
        and layer.weight.dtype == x.dtype
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
        for layer in layers
    )


def article_output(network: Any, x: Tensor, added: list[Tensor]) -> Tensor:
    """Return the output (n, d) for points (n, d), where ``added`` (n or 1, width) goes to each layer."""
    *linears, last = network.linears[::2]
    for layer, more in zip(linears, added, strict=True):
        x = (x @ layer.weight.t()).add_(layer.bias + more).relu_()
    output: Tensor = (x @ last.weight.t()).add_(last.bias)
    return output


def residual_output(network: Any, x: Tensor, condition: Tensor) -> Tensor:
    """Return the output (n, d) for points (n, d + flags); ``condition`` (n or 1, 2 width) is [a, b]."""
    h = _first(network, torch.cat([x, *_waves(network, x)], dim=1), condition)
    z = torch.empty_like(h)
    for layer in network.layers:
        torch.ops.aten.silu.out(h, out=z)
        h.add_(layer.bias).addmm_(z, layer.weight.t())
    torch.ops.aten.silu.out(h, out=z)
    output: Tensor = (z @ network.output.weight.t()).add_(network.output.bias)
    return output


def residual_trace(network: Any, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the output (n, d) for points (n, d), and the trace of its Jacobian by them (n,).

    The derivatives by all coordinates j go through the layers with the points, in one product each,

    .. math::
        \frac{\partial h_0}{\partial x_j} &= (1 + a)\,
            W_{in} \frac{\partial}{\partial x_j} [x, \cos(Bx), \sin(Bx)] \\
        \frac{\partial h_{i+1}}{\partial x_j} &= \frac{\partial h_i}{\partial x_j}
            + W_i \left(\mathrm{silu}'(h_i) \odot \frac{\partial h_i}{\partial x_j}\right) .
    """
    d, (n, width) = network.dimension, (len(x), network.input.out_features)
    cos, sin = _waves(network, x)
    h = _first(network, torch.cat([x, cos, sin], dim=1), condition)
    by_x = _first_derivatives(network, cos, sin, condition)  # (n, d, width)
    z, moved = torch.empty_like(h), torch.empty_like(by_x)
    for layer in network.layers:
        slope = _activate(h, z)
        h.add_(layer.bias).addmm_(z, layer.weight.t())
        torch.mul(by_x, slope[:, None], out=moved)
        by_x.view(n * d, width).addmm_(moved.view(n * d, width), layer.weight.t())
    by_x.mul_(_activate(h, z)[:, None])
    trace = by_x.view(n, d * width) @ network.output.weight.flatten()
    return (z @ network.output.weight.t()).add_(network.output.bias), trace


def _waves(network: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the points, (n, m) each."""
    phase = x[:, : network.dimension] @ ((2 * math.pi) * network.directions.frequencies)
    return phase.cos(), phase.sin_()


def _first(network: Any, inputs: Tensor, condition: Tensor) -> Tensor:
    """Return h_0 (n, width)."""
    weight, bias = network.input.weight, network.input.bias
    scale, shift = condition.chunk(2, dim=1)
    if len(condition) > 1:
        h = torch.addmm(bias, inputs, weight.t())
        return torch.addcmul(shift, h, scale + 1, out=h)
    factor = 1 + scale[0]
    return torch.addmm(bias * factor + shift[0], inputs, (weight * factor[:, None]).t())


def _first_derivatives(network: Any, cos: Tensor, sin: Tensor, condition: Tensor) -> Tensor:
    """Return those of h_0 by each coordinate, (n, d, width)."""
    d, m, weight = network.dimension, cos.shape[1], network.input.weight
    scale = 1 + condition[:, : len(weight)]
    if len(condition) == 1:
        weight = weight * scale.t()
    rates = (2 * math.pi) * network.directions.frequencies  # of the phases (d, m)
    of_cos, of_sin = (
        w.t()[:, None] * rates.t()[:, :, None] for w in (weight[:, d : d + m], weight[:, d + m :])
    )
    turned = torch.cat([-sin, cos], dim=1)  # the waves' derivatives by their phases
    by_x = torch.addmm(weight[:, :d].t().flatten(), turned, torch.cat([of_cos, of_sin]).flatten(1))
    by_x = by_x.view(-1, d, len(weight))
    return by_x if len(condition) == 1 else by_x.mul_(scale[:, None])


def _activate(h: Tensor, z: Tensor) -> Tensor:
    r"""Write silu(h) = h s(h) to z; return silu' = s + silu (1 - s), where s is the logistic function."""
    slope = torch.sigmoid(h)
    torch.mul(h, slope, out=z)
    return torch.addcmul(slope + z, z, slope, value=-1, out=slope)


class WrittenPass(ABC):
    r"""A forward pass that keeps what the backward pass needs, and that.

    ``weights`` are all of a network, by name, each with the tensor that its gradient is written to. With
    :math:`z` the inputs of a layer and :math:`\delta` the gradient of its output,

    .. math::  \nabla W = \delta^T z, \qquad \nabla b = \sum_i \delta_i, \qquad \nabla z = \delta W .
    """

    def __init__(self, network: Any, weights: Weights) -> None:
        self.network, self._weights = network, weights

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


class ArticlePass(WrittenPass):
    """Of the tutorial's network, see :mod:`diffuscope.networks.article_mlp`."""

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


class ResidualPass(WrittenPass):
    """Of the residual perceptron, see :mod:`diffuscope.networks.resmlp`."""

    def __init__(self, network: Any, weights: Weights) -> None:
        super().__init__(network, weights)
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
