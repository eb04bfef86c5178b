r"""How is a perceptron evaluated without modules? Its forward pass, and the derivatives of it, written out.

Modules spend a part of a small network's time on copies: of biases, of features put side by side, of sums. Here
products are added to what they change in place, activations are written into the same memory in each layer,
and what all points share, such as one noise level, goes into the weights of the first layer. With the names of
:mod:`diffuscope.networks.resmlp`,

.. math::  h_0 = ((1 + a) W_{in})\, [x, \cos(Bx), \sin(Bx)] + ((1 + a)\, b_{in} + b) .
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffuscope.networks.article_mlp import ArticleMLP
    from diffuscope.networks.resmlp import ResMLP

__all__ = ["article_output", "is_written_out", "residual_output", "residual_trace"]


def is_written_out(network: nn.Module, kind: type[nn.Module], x: Tensor, layers: Iterable[nn.Module]) -> bool:
    """Whether a network of these layers is evaluated here, else by its modules.

    Those record what gradients, dropout, autocast, tracing and hooks need.
    """
    if torch.is_grad_enabled() or type(network) is not kind or torch.is_autocast_enabled(x.device.type):
        return False
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[no-untyped-call]
        return False
    if network.training and getattr(network, "dropout", None) is not None:
        return False
    return all(
        type(layer) is nn.Linear
        and layer.weight.dtype == x.dtype
        and not layer._forward_hooks
        and not layer._forward_pre_hooks
        for layer in layers
    )


def article_output(network: ArticleMLP, x: Tensor, added: list[Tensor]) -> Tensor:
    """Return the output (n, d) for points (n, d), where ``added`` (n or 1, width) goes to each layer."""
    *linears, last = cast("list[nn.Linear]", list(network.linears)[::2])
    for layer, more in zip(linears, added, strict=True):
        x = (x @ layer.weight.t()).add_(layer.bias + more).relu_()
    return (x @ last.weight.t()).add_(last.bias)


def residual_output(network: ResMLP, x: Tensor, condition: Tensor) -> Tensor:
    """Return the output (n, d) for points (n, d + flags); ``condition`` (n or 1, 2 width) is [a, b]."""
    h = _first(network, torch.cat([x, *_waves(network, x)], dim=1), condition)
    z = torch.empty_like(h)
    for layer in cast("list[nn.Linear]", list(network.layers)):
        torch.ops.aten.silu.out(h, out=z)
        h.add_(layer.bias).addmm_(z, layer.weight.t())
    torch.ops.aten.silu.out(h, out=z)
    return (z @ network.output.weight.t()).add_(network.output.bias)


def residual_trace(network: ResMLP, x: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return the output (n, d) for points (n, d), and the trace of its Jacobian by them (n,).

    The derivatives by all coordinates j go through the layers with the points, in one product of matrices each,

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
    for layer in cast("list[nn.Linear]", list(network.layers)):
        slope = _activate(h, z)
        h.add_(layer.bias).addmm_(z, layer.weight.t())
        torch.mul(by_x, slope[:, None], out=moved)
        by_x.view(n * d, width).addmm_(moved.view(n * d, width), layer.weight.t())
    by_x.mul_(_activate(h, z)[:, None])
    trace = by_x.view(n, d * width) @ network.output.weight.flatten()
    return (z @ network.output.weight.t()).add_(network.output.bias), trace


def _waves(network: ResMLP, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of the points, (n, m) each."""
    phase = x[:, : network.dimension] @ ((2 * math.pi) * network.directions.frequencies)
    return phase.cos(), phase.sin_()


def _first(network: ResMLP, inputs: Tensor, condition: Tensor) -> Tensor:
    """Return h_0 (n, width)."""
    weight, bias = network.input.weight, network.input.bias
    scale, shift = condition.chunk(2, dim=1)
    if len(condition) > 1:
        h = torch.addmm(bias, inputs, weight.t())
        return torch.addcmul(shift, h, scale + 1, out=h)
    factor = 1 + scale[0]
    return torch.addmm(bias * factor + shift[0], inputs, (weight * factor[:, None]).t())


def _first_derivatives(network: ResMLP, cos: Tensor, sin: Tensor, condition: Tensor) -> Tensor:
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
