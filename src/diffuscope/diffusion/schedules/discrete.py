r"""Which noise do T steps add, each by its :math:`\beta_t`?"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffuscope.diffusion.schedules.levels import NoiseLevel, Schedule, Spacing
from diffuscope.errors import InputError

__all__ = ["DiscreteSchedule", "cosine", "linear", "quadratic", "rescale_zero_terminal_snr", "sigmoid"]


class DiscreteSchedule(Schedule):
    r"""A schedule of T steps, made from :math:`\beta_t`, t = 0 ... T - 1 (Ho et al. 2020, Eq. 2-7).

    ``beta``, shape (T,), is the variance that each step adds, in (0, 1); the last may be 1 (zero terminal
    SNR). The attributes are float64 tensors of shape (T,), under the names of Ho et al. Their ``alpha`` is
    one step's :math:`1 - \beta_t`; the signal coefficient of a :class:`NoiseLevel` is ``sqrt_alpha_bar``.
    """

    discrete = True

    def __init__(self, beta: Tensor) -> None:
        beta = torch.as_tensor(beta, dtype=torch.float64)
        if beta.ndim != 1 or beta.numel() < 1:
            raise InputError(f"beta must be a vector of at least one value, got shape {tuple(beta.shape)}.")
        inside = (beta > 0) & (beta < 1)
        inside[-1] |= beta[-1] == 1
        if not inside.all():
            at = int((~inside).nonzero()[0])
            raise InputError(
                f"beta at step {at} is {beta[at].item():g}, outside (0, 1).",
                "Choose the schedule's start and end between 0 and 1, such as 1e-4 and 0.02.",
            )
        log_alpha_bar = torch.log1p(-beta).cumsum(0)
        one_minus_alpha_bar = -torch.expm1(log_alpha_bar)
        self.beta, self.alpha, self.alpha_bar = beta, 1 - beta, log_alpha_bar.exp()
        self.sqrt_alpha_bar = (0.5 * log_alpha_bar).exp()
        self.sqrt_one_minus_alpha_bar = one_minus_alpha_bar.sqrt()
        self.posterior_variance = beta * pad(one_minus_alpha_bar[:-1], (1, 0)) / one_minus_alpha_bar
        self.snr = self.alpha_bar / one_minus_alpha_bar
        self.t_min, self.t_max = 0, self.T - 1

    @property
    def T(self) -> int:
        """Number of steps."""
        return self.beta.numel()

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at integer times ``t`` (any shape) in 0 ... T - 1."""
        t = t.long()
        return NoiseLevel(t, self.sqrt_alpha_bar[t], self.sqrt_one_minus_alpha_bar[t])

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return the integer time whose sigma / alpha is nearest on a log scale, any shape."""
        table = (self.sqrt_one_minus_alpha_bar / self.sqrt_alpha_bar).log()
        between = (table[1:] + table[:-1]) / 2
        return torch.bucketize(ratio.to(torch.float64).log(), between, right=True)  # ∞ maps to T - 1

    def _times(self, n_steps: int, spacing: Spacing, rho: float) -> Tensor:
        if n_steps > self.T:
            raise InputError(
                f"Cannot sample in {n_steps} steps: the model's schedule has only T = {self.T}.",
                f"Choose 1 to {self.T} steps.",
            )
        if spacing == "trailing":
            i = torch.arange(n_steps, dtype=torch.float64)
            times = (self.T - i * (self.T / n_steps)).round() - 1
        else:
            times = super()._times(n_steps, spacing, rho).round()
        # Rounding may make neighbours equal: separate them, within 0 ... T - 1.
        rest = torch.arange(n_steps - 1, -1, -1)
        return torch.cummin(torch.maximum(times.long(), rest) - rest, 0).values + rest


def linear(T: int = 1000, start: float = 1e-4, end: float = 0.02) -> DiscreteSchedule:
    r"""Return :math:`\beta_t` in equal steps from ``start`` to ``end`` (Ho et al. 2020, section 4)."""
    return DiscreteSchedule(torch.linspace(start, end, _checked(T), dtype=torch.float64))


def quadratic(T: int = 1000, start: float = 1e-4, end: float = 0.02) -> DiscreteSchedule:
    r"""Return the schedule with :math:`\sqrt{\beta_t}` linear in t, and beta from ``start`` to ``end``."""
    for name, value in (("start", start), ("end", end)):
        if value < 0:
            raise InputError(f"{name} = {value:g} is outside (0, 1).", "Choose a beta between 0 and 1.")
    return DiscreteSchedule(torch.linspace(start**0.5, end**0.5, _checked(T), dtype=torch.float64).square())


def sigmoid(T: int = 1000, start: float = 1e-5, end: float = 0.5e-2) -> DiscreteSchedule:
    r"""Return :math:`\beta_t` = sigmoid over [-6, 6], scaled to [start, end]."""
    ramp = torch.linspace(-6, 6, _checked(T), dtype=torch.float64).sigmoid()
    return DiscreteSchedule(ramp * (end - start) + start)


def cosine(T: int = 1000, start: float = 0.0, end: float = 0.999, offset: float = 0.008) -> DiscreteSchedule:
    r"""Return the cosine schedule (Nichol & Dhariwal 2021, Eq. 17), :math:`\beta_t` clipped to [start, end].

    :math:`\bar\alpha_t = f(t)/f(0)`, :math:`f(t) = \cos^2\left(\frac{t/T + s}{1 + s} \frac{\pi}{2}\right)`
    with s = ``offset``.
    """
    t = torch.arange(_checked(T) + 1, dtype=torch.float64) / T
    angle = (t + offset) / (1 + offset) * (math.pi / 2)
    if not 0 <= start < end < 1:
        raise InputError(
            f"start = {start:g} and end = {end:g} are not valid bounds of beta.",
            "Choose 0 <= start < end < 1.",
        )
    # 1 - cos²b / cos²a, written without cancellation where both are near 1
    turn = math.pi / 2 / (1 + offset) / T
    beta = math.sin(turn) * (angle[1:] + angle[:-1]).sin() / angle[:-1].cos().square()
    return DiscreteSchedule(beta.clamp(start, end))


def rescale_zero_terminal_snr(schedule: DiscreteSchedule) -> DiscreteSchedule:
    r"""Shift and scale :math:`\sqrt{\bar\alpha_t}` so that the last step is pure noise.

    The first step keeps its value (Lin et al. 2023, Algorithm 1). Noise prediction is undefined at
    the last step; predict data, velocity or flow.
    """
    root = schedule.sqrt_alpha_bar
    if schedule.T < 2:
        raise InputError("Zero terminal SNR needs a schedule of at least 2 steps.")
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alpha_bar = root.square()
    return DiscreteSchedule(1 - alpha_bar / pad(alpha_bar[:-1], (1, 0), value=1.0))


def _checked(T: int) -> int:
    if T < 1:
        raise InputError(f"T = {T} is not a valid number of steps.", "Choose T of at least 1.")
    return T
