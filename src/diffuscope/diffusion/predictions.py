r"""What may a network predict? Five targets, of which each says what the data was.

With :math:`x_t = \alpha x_0 + \sigma \epsilon`, the estimate of the data is affine in the network's output F:

.. math::  \hat x_0 = c_{skip}\, x_t + c_{out}\, F(c_{in}\, x_t, t)

==========  =====================================  ==========================  =======================
prediction  target of F                            :math:`c_{skip}`            :math:`c_{out}`
==========  =====================================  ==========================  =======================
noise       :math:`\epsilon`                       1/α                         −σ/α
data        :math:`x_0`                            0                           1
velocity    :math:`\alpha \epsilon - \sigma x_0`   α/(α² + σ²)                 −σ/(α² + σ²)
flow        :math:`\epsilon - x_0`                 1/(α + σ)                   −σ/(α + σ)
edm         unit-variance mixture of both          α s²/(α² s² + σ²)           σ s/√(α² s² + σ²)
==========  =====================================  ==========================  =======================

with s the standard deviation of the data. :math:`c_{in} = 1/\sqrt{\alpha^2 s^2 + \sigma^2}` for edm
(Karras et al. 2022, Table 1, here for any α) and 1 otherwise.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = [
    "PREDICTIONS",
    "Prediction",
    "convert",
    "eps_from_data",
    "input_scale",
    "output_coefficients",
    "score_from_data",
    "training_target",
]

Prediction = Literal["noise", "data", "velocity", "flow", "edm"]
PREDICTIONS: tuple[Prediction, ...] = get_args(Prediction)


def output_coefficients(
    prediction: Prediction, level: NoiseLevel, sigma_data: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Return ``c_skip`` and ``c_out`` of the table above, float64, the level's shape."""
    alpha, sigma = level.alpha, level.sigma
    if prediction == "noise":
        return 1 / alpha, -sigma / alpha
    if prediction == "data":
        return torch.zeros_like(alpha), torch.ones_like(alpha)
    if prediction == "velocity":
        square = alpha.square() + sigma.square()
        return alpha / square, -sigma / square
    if prediction == "flow":
        return 1 / (alpha + sigma), -sigma / (alpha + sigma)
    variance = (alpha * sigma_data).square() + sigma.square()
    return alpha * sigma_data**2 / variance, sigma * sigma_data / variance.sqrt()


def input_scale(prediction: Prediction, level: NoiseLevel, sigma_data: float = 1.0) -> Tensor:
    """Return ``c_in``, float64, the level's shape."""
    if prediction != "edm":
        return torch.ones_like(level.alpha)
    return ((level.alpha * sigma_data).square() + level.sigma.square()).rsqrt()


def training_target(
    prediction: Prediction, x_0: Tensor, eps: Tensor, level: NoiseLevel, sigma_data: float = 1.0
) -> Tensor:
    """Return the target of F, from data and noise of shape (n, ...)."""
    alpha, sigma = coefficient(level.alpha, x_0), coefficient(level.sigma, x_0)
    if prediction == "noise":
        return eps
    if prediction == "data":
        return x_0
    if prediction == "velocity":
        return alpha * eps - sigma * x_0
    if prediction == "flow":
        return eps - x_0
    # (x_0 - c_skip x_t) / c_out, written so that nothing cancels at small sigma
    deviation = ((alpha * sigma_data).square() + sigma.square()).sqrt()
    return (sigma / sigma_data * x_0 - alpha * sigma_data * eps) / deviation


def convert(
    value: Tensor,
    x_t: Tensor,
    level: NoiseLevel,
    source: Prediction,
    target: Prediction,
    sigma_data: float = 1.0,
) -> Tensor:
    """Convert one type of prediction at ``x_t`` into another; all of shape (n, ...).

    Where the source does not determine the target (noise at alpha = 0, data at sigma = 0) the result is not
    finite.
    """
    skip, out = (coefficient(c, x_t) for c in output_coefficients(source, level, sigma_data))
    x_0 = skip * x_t + out * value
    skip, out = (coefficient(c, x_t) for c in output_coefficients(target, level, sigma_data))
    return (x_0 - skip * x_t) / out


def eps_from_data(x_0: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
    r"""Return :math:`\hat\epsilon = (x_t - \alpha \hat x_0) / \sigma`, shape (n, ...)."""
    return (x_t - coefficient(level.alpha, x_t) * x_0) / coefficient(level.sigma, x_t)


def score_from_data(x_0: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
    r"""Return :math:`\nabla \log q(x_t) = -\hat\epsilon / \sigma` (Tweedie), shape (n, ...)."""
    return -eps_from_data(x_0, x_t, level) / coefficient(level.sigma, x_t)
