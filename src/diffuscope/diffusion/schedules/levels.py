"""What is the noise level at a time, and which levels does sampling visit?"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from diffuscope.errors import InputError, unknown_name

__all__ = ["Grid", "NoiseLevel", "Schedule", "Spacing"]

Spacing = Literal["uniform", "trailing", "karras"]


class NoiseLevel(NamedTuple):
    r"""The coefficients of :math:`x_t = \alpha x_0 + \sigma \epsilon` at one time or at many.

    ``t`` is the time in the schedule's own units, any shape; ``alpha`` and ``sigma`` are the signal and noise
    coefficients, float64, the shape of ``t``.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor

    @property
    def ratio(self) -> Tensor:
        r""":math:`\sigma / \alpha`: the noise in units of the data; infinite where alpha = 0."""
        return self.sigma / self.alpha

    @property
    def snr(self) -> Tensor:
        r"""Signal-to-noise ratio :math:`\alpha^2 / \sigma^2`."""
        return (self.alpha / self.sigma).square()

    def at(self, index: int | slice | Tensor) -> NoiseLevel:
        """Return the levels at ``index``; an InputError where there is none."""
        try:
            return NoiseLevel(self.t[index], self.alpha[index], self.sigma[index])
        except IndexError as error:
            count = len(self.t) if self.t.dim() else 1
            raise InputError(
                f"There is no noise level {index}: there are {count}.", f"Choose 0 to {count - 1}."
            ) from error


@dataclass(frozen=True)
class Grid:
    """The noise levels of a trajectory, from the noisiest to clean data.

    ``levels`` has tensors of shape (n_steps + 1,); the noise decreases strictly, usually to clean data at the
    end: alpha = 1, sigma = 0. ``at_ratio`` maps sigma / alpha, shape (), to the nearest level at which the
    model is defined.
    """

    levels: NoiseLevel
    at_ratio: Callable[[Tensor], NoiseLevel]

    @property
    def prior_std(self) -> float:
        """Standard deviation of the starting noise: that of x_t for data of variance 1."""
        return math.hypot(self.levels.alpha[0].item(), self.levels.sigma[0].item())

    @property
    def n_steps(self) -> int:
        """Number of steps between the levels."""
        return self.levels.t.numel() - 1

    def after(self, step: int) -> Grid:
        """Return the levels that remain after ``step`` steps, 0 to n_steps - 1."""
        if not 0 <= step < self.n_steps:
            raise InputError(
                f"A trajectory of {self.n_steps} steps cannot start after step {step}.",
                f"Choose 0 to {self.n_steps - 1}.",
            )
        return Grid(self.levels.at(slice(step, None)), self.at_ratio)


class Schedule:
    r"""Signal and noise as functions of time; :math:`\sigma/\alpha` increases with it, from data at 0.

    ``t_min`` and ``t_max`` are the first and the last (noisiest) time of training and sampling. A schedule
    that is ``discrete`` has the integer times 0 ... T - 1.
    """

    t_min: float
    t_max: float
    discrete: bool = False

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape)."""
        raise NotImplementedError

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return the time whose sigma / alpha is ``ratio`` (any shape); the nearest one if discrete."""
        raise NotImplementedError

    def at_ratio(self, ratio: Tensor) -> NoiseLevel:
        """Return the level whose sigma / alpha is (nearest to) ``ratio``, any shape."""
        return self(self.time_at_ratio(ratio))

    def _times(self, n_steps: int, spacing: Spacing, rho: float) -> Tensor:
        """Return ``n_steps`` decreasing times; a last step leads from there to clean data."""
        if spacing == "uniform":
            return torch.linspace(self.t_max, self.t_min, n_steps, dtype=torch.float64)
        if spacing == "trailing":
            return torch.linspace(self.t_max, 0.0, n_steps + 1, dtype=torch.float64)[:-1]
        ends = torch.tensor([self.t_max, self.t_min], dtype=torch.float64)
        levels = self(ends)
        most, least = levels.ratio.tolist()
        # Without any signal the ratio is infinite: that level comes first, the spacing starts after it.
        no_signal = math.isinf(most) and n_steps > 1
        if levels.alpha[0] < 1:  # beyond a ratio of 80 there is only noise; EDM keeps its sigma_max
            most = min(most, 80.0)
        i = torch.linspace(0, 1, n_steps - no_signal, dtype=torch.float64)
        ratio = (most ** (1 / rho) + i * (least ** (1 / rho) - most ** (1 / rho))) ** rho
        times = self.time_at_ratio(ratio).to(torch.float64)
        if no_signal:
            return torch.cat([ends[:1], times])
        times[0] = self.t_max  # exactly, not rounded through the ratio
        return times

    def grid(self, n_steps: int, spacing: Spacing = "uniform", rho: float = 7.0) -> Grid:
        r"""Return the levels of a trajectory of ``n_steps`` steps.

        Parameters
        ----------
        n_steps : int
            Number of steps, at least 1; at most T for a discrete schedule. Otherwise an InputError.
        spacing : {"uniform", "trailing", "karras"}
            ``uniform``: equal steps in t between both ends, then one to clean data.
            ``trailing``: equal steps in t from the noisy end to clean data (Lin et al. 2023, Table 2).
            ``karras``: equal steps in :math:`(\sigma/\alpha)^{1/\rho}` (Karras et al. 2022, Eq. 5).
        rho : float
            Exponent of ``karras``.
        """
        if spacing not in get_args(Spacing):
            raise unknown_name("spacing", spacing, get_args(Spacing))
        if n_steps < 1:
            raise InputError(f"Cannot sample in {n_steps} steps.", "Choose at least 1 step.")
        t, alpha, sigma = self(self._times(n_steps, spacing, rho))
        t, alpha, sigma = pad(t.to(torch.float64), (0, 1)), pad(alpha, (0, 1), value=1.0), pad(sigma, (0, 1))
        return Grid(NoiseLevel(t, alpha, sigma), self.at_ratio)
