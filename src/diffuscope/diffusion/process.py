r"""How is data turned into noise, and what is the posterior of a less noisy point?

For two levels s < t of one schedule, with :math:`\alpha_{t|s} = \alpha_t / \alpha_s` and
:math:`\sigma_{t|s}^2 = \sigma_t^2 - \alpha_{t|s}^2 \sigma_s^2`:

.. math::
    q(x_t \mid x_0) &= N(\alpha_t x_0,\; \sigma_t^2 I) \\
    q(x_t \mid x_s) &= N(\alpha_{t|s} x_s,\; \sigma_{t|s}^2 I) \\
    q(x_s \mid x_t, x_0) &= N\!\left(\frac{\alpha_{t|s} \sigma_s^2}{\sigma_t^2} x_t
        + \frac{\alpha_s \sigma_{t|s}^2}{\sigma_t^2} x_0,\;
        \frac{\sigma_{t|s}^2 \sigma_s^2}{\sigma_t^2} I\right)

(Ho et al. 2020, Eq. 4-7, for neighbours; Kingma et al. 2021, appendix A, for any two).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.transfers import upload

__all__ = ["Transition", "coefficient", "q_posterior", "q_sample", "q_step", "transition"]


def coefficient(c: Tensor, x: Tensor) -> Tensor:
    """Bring float64 coefficients of shape () or (n,) to the type and rank of ``x``, (n, ...).

    A single one stays where it is: on any device operations take it as a number, and nothing is copied.
    """
    c = c.to(x.dtype)  # before it is moved: some devices have no float64
    return upload(c, x.device).reshape(c.shape + (1,) * (x.ndim - c.ndim)) if c.ndim else c


def q_sample(x_0: Tensor, level: NoiseLevel, eps: Tensor) -> Tensor:
    r"""Return :math:`x_t = \alpha_t x_0 + \sigma_t \epsilon`, shape (n, ...), at a level () or (n,)."""
    return coefficient(level.alpha, x_0) * x_0 + coefficient(level.sigma, x_0) * eps


class Transition(NamedTuple):
    """The transition from a level to a noisier one: signal factor and added variance, float64."""

    alpha: Tensor
    variance: Tensor


def transition(source: NoiseLevel, target: NoiseLevel) -> Transition:
    r"""Return :math:`\alpha_{t|s}` and :math:`\sigma_{t|s}^2` from level s to a noisier level t."""
    alpha = target.alpha / source.alpha
    variance = target.sigma.square() - (alpha * source.sigma).square()
    return Transition(alpha, variance.clamp_min(0.0))


def q_step(x_s: Tensor, source: NoiseLevel, target: NoiseLevel, eps: Tensor) -> Tensor:
    """Add noise to a point at level ``source`` up to the level ``target``; shapes as :func:`q_sample`."""
    alpha, variance = transition(source, target)
    return coefficient(alpha, x_s) * x_s + coefficient(variance.sqrt(), x_s) * eps


def q_posterior(x_0: Tensor, x_t: Tensor, now: NoiseLevel, earlier: NoiseLevel) -> tuple[Tensor, Tensor]:
    r"""Return mean and variance of :math:`q(x_s \mid x_t, x_0)` for an ``earlier`` (cleaner) level s.

    Points and mean have shape (n, ...), levels and the float64 variance () or (n,).
    """
    alpha, added = transition(earlier, now)
    total = now.sigma.square()
    kept = earlier.sigma.square() / total
    mean = coefficient(alpha * kept, x_t) * x_t + coefficient(earlier.alpha * added / total, x_t) * x_0
    return mean, torch.as_tensor(added * kept)
