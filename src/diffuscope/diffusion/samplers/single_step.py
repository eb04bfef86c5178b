"""Which samplers need only the current point?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from diffuscope.diffusion.predictions import eps_from_data, score_from_data
from diffuscope.diffusion.process import coefficient, q_posterior, q_sample, transition
from diffuscope.diffusion.samplers.base import SamplingContext, in_range
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import unknown_name

__all__ = ["DDIM", "DDPM", "Euler", "Heun", "PredictorCorrector"]

_Share = Annotated[float, Field(ge=0, le=1)]
_NotNegative = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class DDPM:
    r"""Ancestral sampling (Ho et al. 2020, Algorithm 2).

    .. math::  x_s = \mu_q(x_t, \hat x_0) + \sqrt{v}\, z

    The ``variance`` v is "posterior", :math:`\tilde\beta` of q(x_s | x_t, x_0), none in the last step; or
    "beta", :math:`\sigma_{t|s}^2`, for neighbours :math:`\beta_t`, in every step, the last one too.
    """

    variance: Literal["posterior", "beta"] = "posterior"

    def __post_init__(self) -> None:
        if self.variance not in ("posterior", "beta"):
            raise unknown_name("variance", self.variance, ("posterior", "beta"))

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        mean, variance = q_posterior(context.estimate(x), x, context.now, context.target)
        if self.variance == "beta":
            variance = transition(context.target, context.now).variance
        elif context.target.sigma == 0:
            return mean
        return mean + coefficient(variance.sqrt(), x) * context.noise(x)


@dataclass(frozen=True)
class DDIM:
    r"""Denoising diffusion implicit model (Song et al. 2021, Eq. 12 and 16).

    .. math::
        x_s = \alpha_s \hat x_0 + \sqrt{\sigma_s^2 - v}\, \hat\epsilon + \sqrt{v}\, z,
        \qquad v = \eta^2 \tilde\beta

    ``eta`` = 0 is the deterministic Euler step, 1 has the variance of :class:`DDPM`.
    """

    eta: _Share = 0.0

    def __post_init__(self) -> None:
        in_range("eta", self.eta, 0, 1)

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        x_0 = context.estimate(x)
        eps = eps_from_data(x_0, x, context.now)
        if self.eta == 0 or context.target.sigma == 0:
            return q_sample(x_0, context.target, eps)
        _, posterior = q_posterior(x_0, x, context.now, context.target)
        variance = self.eta**2 * posterior
        kept = context.target._replace(sigma=(context.target.sigma.square() - variance).clamp_min(0).sqrt())
        return q_sample(x_0, kept, eps) + coefficient(variance.sqrt(), x) * context.noise(x)


@dataclass(frozen=True)
class Euler:
    r"""Euler's method with churn (Karras et al. 2022, Algorithm 2 without its correction).

    Before a step, noise may be added so that :math:`\sigma/\alpha` grows by 1 + γ,
    :math:`\gamma = \min(churn/n, \sqrt 2 - 1)`, wherever it lies in [churn_min, churn_max]. Without
    churn this is DDIM. The settings are :math:`S_{churn}, S_{tmin}, S_{tmax}, S_{noise}` of the paper.
    """

    churn: _NotNegative = 0.0
    churn_min: _NotNegative = 0.0
    churn_max: _NotNegative = math.inf
    churn_noise: _NotNegative = 1.0

    def __post_init__(self) -> None:
        for name in ("churn", "churn_min", "churn_max", "churn_noise"):
            in_range(name, getattr(self, name), 0)

    def _add_churn(self, context: SamplingContext, x: Tensor) -> tuple[Tensor, NoiseLevel]:
        now = context.now
        gamma = min(self.churn / context.grid.n_steps, math.sqrt(2) - 1)
        if gamma == 0 or now.alpha == 0 or not self.churn_min <= now.ratio <= self.churn_max:
            return x, now
        raised = context.grid.at_ratio(now.ratio * (1 + gamma))
        added = (raised.ratio.square() - now.ratio.square()).clamp_min(0).sqrt() * raised.alpha
        x = coefficient(raised.alpha / now.alpha, x) * x
        return x + coefficient(self.churn_noise * added, x) * context.noise(x), raised

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        x, now = self._add_churn(context, x)
        x_0 = context.denoiser(x, now)
        return q_sample(x_0, context.target, eps_from_data(x_0, x, now))


@dataclass(frozen=True)
class Heun(Euler):
    r"""Heun's method with churn (Karras et al. 2022, Algorithm 2): two evaluations a step, order 2.

    The trapezoidal rule for :math:`\int \hat x_0\, d\alpha + \hat\epsilon\, d\sigma`. The step to clean
    data, where :math:`\hat\epsilon` is undefined, is Euler's.
    """

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        x, now = self._add_churn(context, x)
        x_0 = context.denoiser(x, now)
        eps = eps_from_data(x_0, x, now)
        guess = q_sample(x_0, context.target, eps)
        if context.target.sigma == 0:
            return guess
        x_0_next = context.denoiser(guess, context.target)
        eps_next = eps_from_data(x_0_next, guess, context.target)
        d_alpha = coefficient(context.target.alpha - now.alpha, x)
        d_sigma = coefficient(context.target.sigma - now.sigma, x)
        return x + d_alpha * (x_0 + x_0_next) / 2 + d_sigma * (eps + eps_next) / 2


@dataclass(frozen=True)
class PredictorCorrector:
    r"""Ancestral predictor with Langevin corrector (Song et al. 2021, Algorithms 2-5).

    After each predictor step, ``corrections`` times
    :math:`x \leftarrow x + \delta\, s(x) + \sqrt{2\delta}\, z` with
    :math:`\delta = 2 (snr \cdot \sigma)^2`, which is the paper's step size with the expected norms of
    noise and score in place of a batch's. Clean data is not corrected.
    """

    snr: Annotated[float, Field(ge=0, le=1)] = 0.1
    corrections: Annotated[int, Field(ge=0, le=1000)] = 1

    def __post_init__(self) -> None:
        in_range("snr", self.snr, 0, 1)
        in_range("corrections", self.corrections, 0, 1000)

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        x = DDPM()(context, x)
        level = context.target
        if level.sigma == 0:
            return x
        delta = 2 * (self.snr * level.sigma).square()
        for _ in range(self.corrections):
            score = score_from_data(context.denoiser(x, level), x, level)
            x = x + coefficient(delta, x) * score + coefficient((2 * delta).sqrt(), x) * context.noise(x)
        return x
