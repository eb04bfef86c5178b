"""Which samplers also use the estimates of earlier steps?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.samplers.base import Estimate, SamplingContext
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError

__all__ = ["DPMSolver", "UniPC"]


def _half_log_snr(level: NoiseLevel) -> float:
    """Return λ = log(α/σ) of a level of shape () with noise: −∞ without signal."""
    alpha, sigma = level.alpha.item(), level.sigma.item()
    return -math.inf if alpha == 0 else math.log(alpha) - math.log(sigma)


@dataclass(frozen=True)
class DPMSolver:
    r"""DPM-Solver++(2M), deterministic or as an SDE (Lu et al. 2022, Algorithm 2 and section 5).

    With :math:`D = \hat x_0 + \frac{h}{2 h_{last}} (\hat x_0 - \hat x_{0,last})`:

    .. math::
        x_s &= \tfrac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - e^{-h}) D \\
        x_s &= \tfrac{\sigma_s}{\sigma_t} e^{-h} x_t + \alpha_s (1 - e^{-2h}) D
               + \sigma_s \sqrt{1 - e^{-2h}}\, z \qquad \text{(SDE)}

    The first step and the step to clean data are of first order. ``stochastic`` is the second line.
    """

    stochastic: bool = False

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        x_0 = context.estimate(x, keep=2)
        now, target = context.now, context.target
        if target.sigma == 0:
            return coefficient(target.alpha, x) * x_0
        h = _half_log_snr(target) - _half_log_snr(now)
        if len(context.history) == 2:
            last = context.history[0]
            h_last = _half_log_snr(now) - _half_log_snr(last.level)
            x_0 = x_0 + (h / (2 * h_last)) * (x_0 - last.x_0)
        shrink = math.exp(-h)  # 0 if there was no signal
        keep = coefficient(target.sigma / now.sigma, x)
        alpha, sigma = coefficient(target.alpha, x), coefficient(target.sigma, x)
        if not self.stochastic:
            return keep * x + alpha * (-math.expm1(-h)) * x_0
        gain = -math.expm1(-2 * h)
        return keep * shrink * x + alpha * gain * x_0 + sigma * math.sqrt(gain) * context.noise(x)


@dataclass(frozen=True)
class UniPC:
    r"""UniPC, the unified predictor-corrector, B(h) = :math:`e^{h} - 1` (Zhao et al. 2023, Algorithms 1-2).

    Each evaluation is used twice: it corrects the point it was made at, then predicts the next. ``order``,
    1 to 3, is that of the predictor; the corrector adds one. It falls to 1 towards both ends of the
    trajectory.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise InputError(f"UniPC of order {self.order} is not supported.", "Choose 1, 2 or 3.")

    def _order_at(self, context: SamplingContext, step: int) -> int:
        """The order of the step that starts at level ``step``."""
        return min(self.order, step + 1, context.grid.n_steps - step)

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        x_0 = context.estimate(x)
        past = context.history
        if past:  # correct the present point with its own estimate
            x = self._update(past, context.now, self._order_at(context, context.step - 1), x_0)
        context.history = [*past, Estimate(x_0, x, context.now)][-self.order :]
        return self._update(context.history, context.target, self._order_at(context, context.step))

    @staticmethod
    def _update(
        past: list[Estimate], target: NoiseLevel, order: int, x_0_target: Tensor | None = None
    ) -> Tensor:
        """Go from the last of ``past`` to ``target``; with the estimate there, correct."""
        last = past[-1]
        x, x_0 = last.x, last.x_0
        if target.sigma == 0:
            return coefficient(target.alpha, x) * x_0
        lam = _half_log_snr(last.level)
        h = _half_log_snr(target) - lam
        phi_1 = math.expm1(-h)
        base = coefficient(target.sigma / last.level.sigma, x) * x
        base = base - coefficient(target.alpha, x) * phi_1 * x_0
        # Data estimates, with distances in λ as multiples of h; a level without signal is infinitely far.
        others = [((_half_log_snr(e.level) - lam) / h, e.x_0) for e in past[-2::-1][: order - 1]]
        others = [(r, other) for r, other in others if not math.isinf(r)]
        if x_0_target is not None:
            others.append((1.0, x_0_target))
        correction = torch.zeros_like(x)
        for weight, (r, other) in zip(UniPC._weights([r for r, _ in others], h), others, strict=True):
            correction = correction + weight * ((other - x_0) / r)
        return base - coefficient(target.alpha, x) * phi_1 * correction

    @staticmethod
    def _weights(nodes: list[float], h: float) -> list[float]:
        r"""Solve :math:`\sum_m r_m^{k-1} a_m = k!\,\varphi_{k+1}(-h) / \varphi_1(-h)`, k = 1 ... len(nodes).

        One node alone takes the weight 1/2 of the paper's implementation.
        """
        if len(nodes) < 2:
            return [0.5] * len(nodes)
        b_h = math.expm1(-h)
        phi, factorial, right = b_h / -h - 1, 1, []
        for k in range(1, len(nodes) + 1):
            right.append(phi * factorial / b_h)
            factorial *= k + 1
            phi = phi / -h - 1 / factorial
        matrix = torch.tensor([[r**k for r in nodes] for k in range(len(nodes))], dtype=torch.float64)
        solution: list[float] = torch.linalg.solve(matrix, torch.tensor(right, dtype=torch.float64)).tolist()
        return solution
