r"""How does a network learn to sample in a few steps? From a teacher that takes many (distillation).

A student samples on a grid of N levels, by Euler's step (DDIM). It learns to end each of these steps where
its teacher ends after many small ones, as in progressive distillation (Salimans & Ho 2022, Algorithm 2), but
from all of the teacher's steps at once. From :math:`x_t` the teacher comes to :math:`x_s`; the estimate of
the data by which one step leads there is (their appendix G), with :math:`\rho = \sigma_s / \sigma_t`,

.. math::  \tilde x_0 = \frac{x_s - \rho\, x_t}{\alpha_s - \rho\, \alpha_t} .
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.predictions import convert, eps_from_data, input_scale, output_coefficients
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.schedules import Grid, NoiseLevel

__all__ = ["DistillationLoss"]

_SMALL_STEPS = 12  # of the teacher in one of the student, of second order but for the last
_HALF = 0.5  # small steps are equal in r / (r + 1/2), r = sigma / alpha: even where data forms


@dataclass(frozen=True)
class DistillationLoss(Loss):
    """The distance of a student's estimates from those by which it would end where its teacher does.

    ``teacher`` is the trained denoiser, ``grid`` the levels on which the student samples. The levels that
    training draws are left out: a batch is spread evenly over the steps of the grid. Errors of the data
    estimate are weighted by max(SNR, 1), as by Salimans & Ho.
    """

    teacher: Denoiser = field(kw_only=True)
    grid: Grid = field(kw_only=True)

    def examples(
        self,
        denoiser: Denoiser,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        label: Tensor | None = None,
    ) -> Examples:
        """Noise ``x_0`` (n, ...) by ``eps`` to the levels of the grid in turn; return inputs and targets.

        ``label`` (n,) are the classes that teacher and student are given, if any.
        """
        step = torch.arange(len(x_0)) % self.grid.n_steps
        now, to = self.grid.levels.at(step), self.grid.levels.at(step + 1)
        x_t = q_sample(x_0, now, eps)
        x_s = self._ends(x_t, now, to, label)
        share = to.sigma / now.sigma
        aim = (x_s - coefficient(share, x_t) * x_t) / coefficient(to.alpha - share * now.alpha, x_t)
        prediction, sigma_data = denoiser.prediction, denoiser.sigma_data
        _, out = output_coefficients(prediction, now, sigma_data)
        return Examples(
            inputs=coefficient(input_scale(prediction, now, sigma_data), x_t) * x_t,
            condition=denoiser.condition(now, x_t),
            target=convert(aim, x_t, now, "data", prediction, sigma_data),
            weight=coefficient(out.square() * now.snr.clamp_min(1.0), x_t),
            label=label,
        )

    @torch.no_grad()
    def _ends(self, x: Tensor, now: NoiseLevel, to: NoiseLevel, label: Tensor | None) -> Tensor:
        """Follow the teacher from levels (n,) to cleaner ones (n,): Heun's steps, and Euler's to the end."""
        teacher = self.teacher if label is None else self.teacher.conditioned(label)
        first, last = (1 / (1 + _HALF / one.ratio) for one in (now, to))
        level = now
        for k in range(1, _SMALL_STEPS + 1):
            share = first + k / _SMALL_STEPS * (last - first)
            target = to if k == _SMALL_STEPS else self.grid.at_ratio(_HALF * share / (1 - share))
            x_0 = teacher(x, level)
            slope = eps_from_data(x_0, x, level)
            guess = q_sample(x_0, target, slope)
            if k < _SMALL_STEPS:
                x_0_next = teacher(guess, target)
                slope_next = eps_from_data(x_0_next, guess, target)
                d_alpha = coefficient(target.alpha - level.alpha, x)
                d_sigma = coefficient(target.sigma - level.sigma, x)
                guess = x + d_alpha * (x_0 + x_0_next) / 2 + d_sigma * (slope + slope_next) / 2
            x, level = guess, target
        return x
