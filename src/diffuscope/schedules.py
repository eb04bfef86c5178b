r"""How much signal and how much noise is there at time t?

Every diffusion model in this package is one line:

.. math::  x_t = \alpha(t)\, x_0 + \sigma(t)\, \epsilon, \qquad \epsilon \sim N(0, I).

A schedule is the pair :math:`(\alpha, \sigma)` as a function of its own time t, and a grid of times
for the walk back. Discrete schedules have the times 0, 1, ..., T - 1 and come from
:math:`\beta_t`; with :math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)` they have
:math:`\alpha(t) = \sqrt{\bar\alpha_t}` and :math:`\sigma(t) = \sqrt{1 - \bar\alpha_t}`.
Continuous ones have real times. All coefficients are float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from diffuscope.errors import InputError, unknown_name

__all__ = [
    "EDM",
    "SCHEDULES",
    "VP",
    "ContinuousCosine",
    "DiscreteSchedule",
    "Flow",
    "Grid",
    "NoiseLevel",
    "Schedule",
    "Spacing",
    "cosine",
    "linear",
    "make_schedule",
    "quadratic",
    "rescale_zero_terminal_snr",
    "sigmoid",
]

Spacing = Literal["uniform", "trailing", "karras"]


class NoiseLevel(NamedTuple):
    r"""The coefficients of :math:`x_t = \alpha x_0 + \sigma \epsilon` at one time or at many.

    Attributes
    ----------
    t : Tensor
        Time, as the schedule counts it; any shape.
    alpha, sigma : Tensor
        Signal and noise coefficients, float64, the shape of ``t``.
    """

    t: Tensor
    alpha: Tensor
    sigma: Tensor

    @property
    def ratio(self) -> Tensor:
        r""":math:`\sigma / \alpha`: the noise in units of the data; infinite where no signal is left."""
        return self.sigma / self.alpha

    @property
    def snr(self) -> Tensor:
        r"""Signal-to-noise ratio :math:`\alpha^2 / \sigma^2`."""
        return (self.alpha / self.sigma).square()

    def at(self, index: int | slice | Tensor) -> NoiseLevel:
        """Return the levels at ``index``."""
        return NoiseLevel(self.t[index], self.alpha[index], self.sigma[index])


@dataclass(frozen=True)
class Grid:
    """The noise levels that a walk visits, from the noisiest to clean data.

    Attributes
    ----------
    levels : NoiseLevel
        Tensors of shape (n_steps + 1,); the noise falls strictly. The last level is where the walk
        ends, as a rule clean data: alpha = 1, sigma = 0.
    at_ratio : callable
        Maps sigma / alpha, shape (), to the nearest level that the model can be asked at.
    """

    levels: NoiseLevel
    at_ratio: Callable[[Tensor], NoiseLevel]

    @property
    def prior_std(self) -> float:
        """Standard deviation of the noise from which a walk starts: that of x_t for data of variance 1."""
        return math.hypot(self.levels.alpha[0].item(), self.levels.sigma[0].item())

    @property
    def n_steps(self) -> int:
        """Number of steps between the levels."""
        return self.levels.t.numel() - 1


class Schedule:
    r"""Signal and noise as functions of time; :math:`\sigma/\alpha` rises with it, from data at 0.

    Attributes
    ----------
    t_min, t_max : float
        The least and the noisiest time at which a model is trained and asked.
    discrete : bool
        Whether times are the integers 0 ... T - 1.
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
        """Return ``n_steps`` falling times, float64; the walk goes from the last of them to clean data."""
        if spacing == "uniform":
            return torch.linspace(self.t_max, self.t_min, n_steps, dtype=torch.float64)
        if spacing == "trailing":
            return torch.linspace(self.t_max, 0.0, n_steps + 1, dtype=torch.float64)[:-1]
        return self._karras_times(n_steps, rho)

    def _karras_times(self, n_steps: int, rho: float) -> Tensor:
        ends = torch.tensor([self.t_max, self.t_min], dtype=torch.float64)
        levels = self(ends)
        most, least = levels.ratio.tolist()
        # Without any signal the ratio is infinite: that level comes first, the spacing starts after it.
        silent = 1 if math.isinf(most) and n_steps > 1 else 0
        if levels.alpha[0] < 1:  # beyond a ratio of 80 there is only noise; EDM's sigma_max is as asked
            most = min(most, 80.0)
        i = torch.linspace(0, 1, n_steps - silent, dtype=torch.float64)
        ratio = (most ** (1 / rho) + i * (least ** (1 / rho) - most ** (1 / rho))) ** rho
        times = self.time_at_ratio(ratio).to(torch.float64)
        if silent:
            return torch.cat([ends[:1], times])
        times[0] = self.t_max  # not its round trip through the ratio
        return times

    def grid(self, n_steps: int, spacing: Spacing = "uniform", rho: float = 7.0) -> Grid:
        r"""Choose the levels of a walk of ``n_steps`` steps.

        Parameters
        ----------
        n_steps : int
            Number of steps, at least 1; at most T for a discrete schedule.
        spacing : {"uniform", "trailing", "karras"}
            ``uniform``: equal steps in t between both ends, then one to clean data.
            ``trailing``: equal steps in t from the noisy end to clean data (Lin et al. 2023, Table 2).
            ``karras``: equal steps in :math:`(\sigma/\alpha)^{1/\rho}` (Karras et al. 2022, Eq. 5).
        rho : float
            Exponent of ``karras``.

        Raises
        ------
        InputError
            When ``n_steps`` or ``spacing`` cannot be had.
        """
        if spacing not in ("uniform", "trailing", "karras"):
            raise unknown_name("spacing", spacing, ("uniform", "trailing", "karras"))
        if n_steps < 1:
            raise InputError(f"Cannot sample in {n_steps} steps.", "Ask for at least 1 step.")
        times = self._times(n_steps, spacing, rho)
        levels = self(times)
        clean = torch.tensor([0.0], dtype=torch.float64)
        levels = NoiseLevel(
            torch.cat([levels.t.to(torch.float64), clean]),
            torch.cat([levels.alpha, clean + 1]),
            torch.cat([levels.sigma, clean]),
        )
        return Grid(levels, self.at_ratio)


class DiscreteSchedule(Schedule):
    r"""A schedule of T steps, made from :math:`\beta_t`, t = 0 ... T - 1 (Ho et al. 2020, Eq. 2-7).

    Parameters
    ----------
    beta : Tensor of shape (T,)
        Variance that each step adds, in (0, 1); the last one may be 1 (zero terminal SNR).

    Attributes
    ----------
    beta, alpha, alpha_bar, sqrt_alpha_bar, sqrt_one_minus_alpha_bar, posterior_variance, snr : Tensor
        Float64 tensors of shape (T,), under the names of Ho et al. Their ``alpha`` is one step's
        :math:`1 - \beta_t`; the signal coefficient of a :class:`NoiseLevel` is ``sqrt_alpha_bar``.

    Raises
    ------
    InputError
        When beta is not a row of numbers in (0, 1).
    """

    discrete = True

    def __init__(self, beta: Tensor) -> None:
        beta = torch.as_tensor(beta, dtype=torch.float64)
        if beta.ndim != 1 or beta.numel() < 1:
            raise InputError(f"A schedule needs a row of betas, got shape {tuple(beta.shape)}.")
        inside = (beta > 0) & (beta < 1)
        inside[-1] |= beta[-1] == 1
        if not inside.all():
            at = int((~inside).nonzero()[0])
            raise InputError(
                f"beta at step {at} is {beta[at].item():g}, outside (0, 1).",
                "Choose start and end of the schedule between 0 and 1, such as 1e-4 and 0.02.",
            )
        log_alpha_bar = torch.log1p(-beta).cumsum(0)
        self.beta = beta
        self.alpha = 1 - beta
        self.alpha_bar = log_alpha_bar.exp()
        self.sqrt_alpha_bar = (0.5 * log_alpha_bar).exp()
        self.sqrt_one_minus_alpha_bar = (-torch.expm1(log_alpha_bar)).sqrt()
        one_minus_alpha_bar = -torch.expm1(log_alpha_bar)
        before = torch.cat([torch.zeros(1, dtype=torch.float64), one_minus_alpha_bar[:-1]])
        self.posterior_variance = beta * before / one_minus_alpha_bar
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
        return torch.bucketize(ratio.to(torch.float64).log(), between, right=True)  # ∞ finds the silent end

    def _times(self, n_steps: int, spacing: Spacing, rho: float) -> Tensor:
        if n_steps > self.T:
            raise InputError(
                f"Cannot sample in {n_steps} steps: the model's schedule has T = {self.T}.",
                f"Ask for 1 to {self.T} steps.",
            )
        if spacing == "uniform":
            times = torch.linspace(self.T - 1, 0, n_steps, dtype=torch.float64).round()
        elif spacing == "trailing":
            i = torch.arange(n_steps, dtype=torch.float64)
            times = (self.T - i * (self.T / n_steps)).round() - 1
        else:
            times = self._karras_times(n_steps, rho)
        # Rounding may have made neighbours equal: push them apart, inside 0 ... T - 1.
        times = times.long()
        rest = torch.arange(n_steps - 1, -1, -1)
        times = torch.maximum(times, rest)
        return torch.cummin(times - rest, 0).values + rest


def linear(T: int = 1000, start: float = 1e-4, end: float = 0.02) -> DiscreteSchedule:
    r"""Return :math:`\beta_t` in equal steps from ``start`` to ``end`` (Ho et al. 2020, section 4)."""
    return DiscreteSchedule(torch.linspace(start, end, _checked(T), dtype=torch.float64))


def quadratic(T: int = 1000, start: float = 1e-4, end: float = 0.02) -> DiscreteSchedule:
    r"""Return the schedule whose :math:`\sqrt{\beta_t}` goes in equal steps between both ends' roots."""
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
            f"start = {start:g} and end = {end:g} do not bound beta inside (0, 1).",
            "Choose 0 <= start < end < 1.",
        )
    # 1 - cos²b / cos²a, written so that nothing cancels where both are near 1
    turn = math.pi / 2 / (1 + offset) / T
    beta = math.sin(turn) * (angle[1:] + angle[:-1]).sin() / angle[:-1].cos().square()
    return DiscreteSchedule(beta.clamp(start, end))


def rescale_zero_terminal_snr(schedule: DiscreteSchedule) -> DiscreteSchedule:
    r"""Shift and scale :math:`\sqrt{\bar\alpha_t}` so that the last step is pure noise.

    The first step keeps its value (Lin et al. 2023, Algorithm 1). Noise prediction says nothing at
    such a last step; predict data, velocity or flow.
    """
    root = schedule.sqrt_alpha_bar
    if schedule.T < 2:
        raise InputError("Zero terminal SNR needs a schedule of at least 2 steps.")
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    alpha_bar = root.square()
    before = torch.cat([torch.ones(1, dtype=torch.float64), alpha_bar[:-1]])
    return DiscreteSchedule(1 - alpha_bar / before)


def _checked(T: int) -> int:
    if T < 1:
        raise InputError(f"A schedule of T = {T} steps does not exist.", "Choose T of at least 1.")
    return T


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
        if not 0 < self.beta_min < self.beta_max:
            raise InputError(
                f"beta_min = {self.beta_min:g} and beta_max = {self.beta_max:g} do not rise from above 0.",
                "Choose 0 < beta_min < beta_max, such as 0.1 and 20.",
            )
        _check_times(self.t_min, self.t_max)

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at times ``t`` (any shape) in [0, 1]."""
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
        if not 0 < self.sigma_min < self.sigma_max:
            raise InputError(
                f"sigma_min = {self.sigma_min:g}, sigma_max = {self.sigma_max:g} do not rise from above 0.",
                "Choose 0 < sigma_min < sigma_max, such as 0.002 and 80.",
            )
        self.t_min, self.t_max = self.sigma_min, self.sigma_max

    def __call__(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at t = sigma, any shape."""
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
        """Return the noise level at times ``t`` (any shape) in [0, 1]."""
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
        """Return the noise level at times ``t`` (any shape) in [0, 1]."""
        t = t.to(torch.float64)
        angle = t * (math.pi / 2)
        # cos(pi/2) in floating point is 6e-17; at t = 1 there is no signal at all.
        alpha = torch.where(t == 1, torch.zeros_like(t), angle.cos())
        return NoiseLevel(t, alpha, angle.sin())

    def time_at_ratio(self, ratio: Tensor) -> Tensor:
        """Return t = 2/pi * arctan(ratio), any shape."""
        return (ratio.to(torch.float64).atan() * (2 / math.pi)).clamp(self.t_min, self.t_max)


def _check_times(t_min: float, t_max: float) -> None:
    if not 0 < t_min < t_max <= 1:
        raise InputError(
            f"t_min = {t_min:g} and t_max = {t_max:g} are not times of this schedule.",
            "Choose 0 < t_min < t_max <= 1.",
        )


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "linear": linear,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
    "cosine": cosine,
    "vp": VP,
    "edm": EDM,
    "flow": Flow,
    "continuous_cosine": ContinuousCosine,
}


def make_schedule(name: str, *, zero_terminal_snr: bool = False, **settings: float) -> Schedule:
    """Make the schedule called ``name``.

    Raises
    ------
    InputError
        When there is none of that name, or its settings do not fit.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    try:
        schedule = SCHEDULES[name](**settings)
    except TypeError as error:
        raise InputError(f"The schedule {name!r} cannot be made of {settings}: {error}.") from error
    if not zero_terminal_snr:
        return schedule
    if not isinstance(schedule, DiscreteSchedule):
        raise InputError(
            f"The schedule {name!r} is continuous; zero terminal SNR rescales discrete ones.",
            "Use linear, quadratic, sigmoid or cosine; flow and continuous_cosine reach it as they are.",
        )
    return rescale_zero_terminal_snr(schedule)
