"""How much noise is there at a real time t?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from diffuscope.diffusion.schedules.levels import NoiseLevel, Schedule
from diffuscope.errors import InputError

__all__ = ["EDM", "VP", "ContinuousCosine", "Flow", "Piecewise"]


@dataclass
class VP(Schedule):
    r"""Variance preserving: :math:`\alpha = e^{-\frac12 \int_0^t \beta}`, :math:`\sigma^2 = 1 - \alpha^2`.

    :math:`\beta(t) = \beta_{min} + t (\beta_{max} - \beta_{min})`, t in [0, 1] (Song et al. 2021, Eq. 32).
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        _check_order("beta", self.beta_min, self.beta_max, "0.1 and 20")
        _check_times(self.t_min, self.t_max)

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape)."""
        t = t.to(torch.float64)
        integral = self._integral(t)
        return NoiseLevel(t, (-0.5 * integral).exp(), (-torch.expm1(-integral)).sqrt())

    def _integral(self, t: Tensor) -> Tensor:
        return t * self.beta_min + 0.5 * t.square() * (self.beta_max - self.beta_min)

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        r"""Solve :math:`\int_0^t \beta = \log(1 + ratio^2)` for t, any shape."""
        most = self._integral(torch.tensor(self.t_max, dtype=torch.float64))
        integral = torch.log1p(ratio.to(torch.float64).square()).clamp_max(most.item())  # ∞ is t_max
        slope = self.beta_max - self.beta_min
        root = (self.beta_min**2 + 2 * slope * integral).sqrt()
        return (2 * integral / (self.beta_min + root)).clamp(self.t_min, self.t_max)


@dataclass
class EDM(Schedule):
    r"""Variance exploding, :math:`\alpha = 1`, :math:`\sigma = t` (Karras et al. 2022, Table 1)."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_order("sigma", self.sigma_min, self.sigma_max, "0.002 and 80")
        self.t_min, self.t_max = self.sigma_min, self.sigma_max

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape)."""
        t = t.to(torch.float64)
        return NoiseLevel(t, torch.ones_like(t), t)

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return t = ratio, kept inside [sigma_min, sigma_max]."""
        return ratio.to(torch.float64).clamp(self.t_min, self.t_max)


@dataclass
class Flow(Schedule):
    r"""Rectified flow: :math:`\alpha = 1 - t`, :math:`\sigma = t`, t in [0, 1] (Liu et al. 2023, Eq. 1)."""

    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        _check_times(self.t_min, self.t_max)

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape)."""
        t = t.to(torch.float64)
        return NoiseLevel(t, 1 - t, t)

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return t = ratio / (1 + ratio), any shape."""
        ratio = ratio.to(torch.float64)
        t = torch.where(torch.isinf(ratio), torch.ones_like(ratio), ratio / (1 + ratio))
        return t.clamp(self.t_min, self.t_max)


@dataclass
class ContinuousCosine(Schedule):
    r""":math:`\alpha = \cos(\pi t/2)`, :math:`\sigma = \sin(\pi t/2)` (Salimans & Ho 2022, section 2)."""

    t_min: float = 1e-3
    t_max: float = 1.0

    def __post_init__(self) -> None:
        _check_times(self.t_min, self.t_max)

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape)."""
        t = t.to(torch.float64)
        angle = t * (math.pi / 2)
        # cos(pi/2) in floating point is 6e-17; at t = 1 there is no signal at all.
        return NoiseLevel(t, torch.where(t == 1, torch.zeros_like(t), angle.cos()), angle.sin())

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return t = 2/pi * arctan(ratio), any shape."""
        return (ratio.to(torch.float64).atan() * (2 / math.pi)).clamp(self.t_min, self.t_max)


@dataclass
class Piecewise(Schedule):
    r"""Log-SNR :math:`\log(\alpha^2/\sigma^2)` linear between knots, :math:`\alpha^2 + \sigma^2 = 1`.

    ``log_snr`` are its values at equal times t from 0 to 1, which fall: a curve of one's own (Kingma et al.
    2021, section 3.3, learn such a curve).
    """

    log_snr: tuple[float, ...] = (10.0, 4.0, 0.0, -4.0, -10.0)

    def __post_init__(self) -> None:
        values = self.log_snr
        falls = all(b < a for a, b in pairwise(values))
        if len(values) < 2 or not falls or not all(map(math.isfinite, values)):
            what = f"log_snr = {list(values)} is not a falling curve."
            raise InputError(what, "Give two finite numbers or more, each below the one before.")
        self.t_min, self.t_max = 1e-3, 1.0

    def _knots(self) -> Tensor:
        return torch.tensor(self.log_snr, dtype=torch.float64)

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape)."""
        t, knots = t.to(torch.float64), self._knots()
        place = t * (len(knots) - 1)
        i = place.floor().long().clamp(0, len(knots) - 2)
        log = knots[i] + (place - i) * (knots[i + 1] - knots[i])
        return NoiseLevel(t, torch.sigmoid(log).sqrt(), torch.sigmoid(-log).sqrt())

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return the time at which the log-SNR is -2 log(ratio), or the nearest one, any shape."""
        knots = self._knots()
        log = -2 * ratio.to(torch.float64).log()
        i = (torch.searchsorted(-knots, -log) - 1).clamp(0, len(knots) - 2)
        part = (knots[i] - log) / (knots[i] - knots[i + 1])
        return ((i + part) / (len(knots) - 1)).clamp(self.t_min, self.t_max)


def _check_order(name: str, low: float, high: float, example: str) -> None:
    if not 0 < low < high:
        raise InputError(
            f"{name}_min = {low:g} and {name}_max = {high:g} are not valid.",
            f"Choose 0 < {name}_min < {name}_max, such as {example}.",
        )


def _check_times(t_min: float, t_max: float) -> None:
    if not 0 < t_min < t_max <= 1:
        raise InputError(
            f"t_min = {t_min:g} and t_max = {t_max:g} are not valid times of this schedule.",
            "Choose 0 < t_min < t_max <= 1.",
        )
