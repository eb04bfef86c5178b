r"""How does one walk from noise to data?

A walk visits the levels of a grid, from the noisiest to clean data. One loop, :func:`walk`, does the
walking; a sampler is one step of it. It sees the denoiser and pairs of levels, nothing else, so that
every sampler runs with every schedule, prediction type, network and oracle.

The exact deterministic walk is the probability-flow ODE, in these coordinates

.. math::  dx = \hat x_0(x, t)\, d\alpha + \hat\epsilon(x, t)\, d\sigma,

whose Euler step is DDIM. With :math:`\lambda = \log(\alpha/\sigma)` and :math:`h = \lambda_s - \lambda_t`
the multistep samplers integrate the data estimate over λ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor

from diffuscope.denoiser import DenoiserLike, eps_from_data, score_from_data
from diffuscope.errors import InputError, unknown_name
from diffuscope.forward import coefficient, q_posterior, transition
from diffuscope.schedules import Grid, NoiseLevel

__all__ = [
    "DDIM",
    "DDPM",
    "SAMPLERS",
    "DPMSolver",
    "Euler",
    "Heun",
    "PredictorCorrector",
    "Sampler",
    "UniPC",
    "Walk",
    "WalkState",
    "make_sampler",
    "prior",
    "sampler_name",
    "walk",
]


class WalkState(NamedTuple):
    """Where a walk is.

    Attributes
    ----------
    step : int
        Steps done, 0 ... n_steps.
    x : Tensor of shape (n, ...)
        The points at this level.
    level : NoiseLevel of shape ()
        How noisy they are.
    """

    step: int
    x: Tensor
    level: NoiseLevel


class Estimate(NamedTuple):
    """A data estimate of an earlier step, with the point and the level that it was made at."""

    x_0: Tensor
    x: Tensor
    level: NoiseLevel


@dataclass
class Walk:
    """What a step may use besides the point: the denoiser, the grid, fresh noise, earlier estimates."""

    denoiser: DenoiserLike
    grid: Grid
    generator: torch.Generator
    step: int = 0
    history: list[Estimate] = field(default_factory=list)

    @property
    def now(self) -> NoiseLevel:
        """The level at which the points are."""
        return self.grid.levels.at(self.step)

    @property
    def target(self) -> NoiseLevel:
        """The level to which this step leads."""
        return self.grid.levels.at(self.step + 1)

    @property
    def is_last(self) -> bool:
        """Whether this step ends the walk."""
        return self.step + 1 == self.grid.n_steps

    def noise(self, x: Tensor) -> Tensor:
        """Return fresh standard normal noise of the shape of ``x``, drawn on the generator's device."""
        z = torch.randn(x.shape, generator=self.generator, device=self.generator.device, dtype=x.dtype)
        return z.to(x.device)

    def estimate(self, x: Tensor, keep: int = 0) -> Tensor:
        """Ask the denoiser at the present level, and keep the last ``keep`` answers in ``history``."""
        x_0 = self.denoiser(x, self.now)
        if keep:
            self.history = [*self.history, Estimate(x_0, x, self.now)][-keep:]
        return x_0


class Sampler(Protocol):
    """One step of a walk: from points (n, ...) at ``walk.now`` to points at ``walk.target``."""

    def __call__(self, walk: Walk, x: Tensor, /) -> Tensor:
        """Return the points at the next level, shape (n, ...)."""
        ...


def prior(grid: Grid, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draw the points from which walks over ``grid`` start: noise of its ``prior_std``, float32."""
    return grid.prior_std * torch.randn(shape, generator=generator, device=generator.device)


@torch.no_grad()
def walk(
    denoiser: DenoiserLike, x: Tensor, grid: Grid, sampler: Sampler, generator: torch.Generator
) -> Iterator[WalkState]:
    """Walk from ``x`` (n, ...) at the first level of ``grid`` to its last, without gradients.

    Yields
    ------
    WalkState
        The start and the state after each step: ``grid.n_steps + 1`` of them.
    """
    way = Walk(denoiser, grid, generator)
    yield WalkState(0, x, grid.levels.at(0))
    for step in range(grid.n_steps):
        way.step = step
        x = sampler(way, x)
        yield WalkState(step + 1, x, grid.levels.at(step + 1))


def _combine(x_0: Tensor, eps: Tensor, level: NoiseLevel) -> Tensor:
    return coefficient(level.alpha, x_0) * x_0 + coefficient(level.sigma, x_0) * eps


@dataclass(frozen=True)
class DDPM:
    r"""Ancestral sampling (Ho et al. 2020, Algorithm 2).

    .. math::  x_s = \mu_q(x_t, \hat x_0) + \sqrt{v}\, z

    Parameters
    ----------
    variance : {"posterior", "beta"}
        ``posterior``: :math:`v = \tilde\beta`, the variance of q(x_s | x_t, x_0); none in the last
        step. ``beta``: :math:`v = \sigma_{t|s}^2`, for neighbours :math:`\beta_t`, in every step, the
        last one too.
    """

    variance: Literal["posterior", "beta"] = "posterior"

    def __post_init__(self) -> None:
        if self.variance not in ("posterior", "beta"):
            raise unknown_name("variance", self.variance, ("posterior", "beta"))

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step."""
        mean, variance = q_posterior(walk.estimate(x), x, walk.now, walk.target)
        if self.variance == "beta":
            variance = transition(walk.target, walk.now).variance
        elif walk.target.sigma == 0:
            return mean
        return mean + coefficient(variance.sqrt(), x) * walk.noise(x)


@dataclass(frozen=True)
class DDIM:
    r"""Denoising diffusion implicit model (Song et al. 2021, Eq. 12 and 16).

    .. math::
        x_s = \alpha_s \hat x_0 + \sqrt{\sigma_s^2 - v}\, \hat\epsilon + \sqrt{v}\, z,
        \qquad v = \eta^2 \tilde\beta

    Parameters
    ----------
    eta : float
        0: the deterministic Euler step; 1: the variance of :class:`DDPM`.
    """

    eta: float = 0.0

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step."""
        x_0 = walk.estimate(x)
        eps = eps_from_data(x_0, x, walk.now)
        if self.eta == 0 or walk.target.sigma == 0:
            return _combine(x_0, eps, walk.target)
        _, posterior = q_posterior(x_0, x, walk.now, walk.target)
        variance = self.eta**2 * posterior
        kept = walk.target._replace(sigma=(walk.target.sigma.square() - variance).clamp_min(0).sqrt())
        return _combine(x_0, eps, kept) + coefficient(variance.sqrt(), x) * walk.noise(x)


@dataclass(frozen=True)
class Euler:
    r"""Euler's method with churn (Karras et al. 2022, Algorithm 2 without its correction).

    Before a step, noise may be added so that :math:`\sigma/\alpha` grows by 1 + γ,
    :math:`\gamma = \min(churn/n, \sqrt 2 - 1)`, wherever it lies in [churn_min, churn_max]. Without
    churn this is DDIM.

    Parameters
    ----------
    churn, churn_min, churn_max, churn_noise : float
        :math:`S_{churn}, S_{tmin}, S_{tmax}, S_{noise}` of the paper.
    """

    churn: float = 0.0
    churn_min: float = 0.0
    churn_max: float = math.inf
    churn_noise: float = 1.0

    def _add_churn(self, walk: Walk, x: Tensor) -> tuple[Tensor, NoiseLevel]:
        now = walk.now
        gamma = min(self.churn / walk.grid.n_steps, math.sqrt(2) - 1)
        if gamma == 0 or now.alpha == 0 or not self.churn_min <= now.ratio <= self.churn_max:
            return x, now
        raised = walk.grid.at_ratio(now.ratio * (1 + gamma))
        added = (raised.ratio.square() - now.ratio.square()).clamp_min(0).sqrt() * raised.alpha
        x = coefficient(raised.alpha / now.alpha, x) * x
        return x + coefficient(self.churn_noise * added, x) * walk.noise(x), raised

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step."""
        x, now = self._add_churn(walk, x)
        x_0 = walk.denoiser(x, now)
        return _combine(x_0, eps_from_data(x_0, x, now), walk.target)


@dataclass(frozen=True)
class Heun(Euler):
    r"""Heun's method with churn (Karras et al. 2022, Algorithm 2): two evaluations a step, order 2.

    The trapezoidal rule for :math:`\int \hat x_0\, d\alpha + \hat\epsilon\, d\sigma`. The step to clean
    data, where :math:`\hat\epsilon` cannot be asked for, is Euler's.
    """

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step."""
        x, now = self._add_churn(walk, x)
        x_0 = walk.denoiser(x, now)
        eps = eps_from_data(x_0, x, now)
        guess = _combine(x_0, eps, walk.target)
        if walk.target.sigma == 0:
            return guess
        x_0_next = walk.denoiser(guess, walk.target)
        eps_next = eps_from_data(x_0_next, guess, walk.target)
        d_alpha = coefficient(walk.target.alpha - now.alpha, x)
        d_sigma = coefficient(walk.target.sigma - now.sigma, x)
        return x + d_alpha * (x_0 + x_0_next) / 2 + d_sigma * (eps + eps_next) / 2


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

    The first step and the step to clean data are of first order.

    Parameters
    ----------
    stochastic : bool
        The SDE of the second line.
    """

    stochastic: bool = False

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step."""
        x_0 = walk.estimate(x, keep=2)
        now, target = walk.now, walk.target
        if target.sigma == 0:
            return coefficient(target.alpha, x) * x_0
        h = _half_log_snr(target) - _half_log_snr(now)
        if len(walk.history) == 2:
            last = walk.history[0]
            h_last = _half_log_snr(now) - _half_log_snr(last.level)
            x_0 = x_0 + (h / (2 * h_last)) * (x_0 - last.x_0)
        shrink = math.exp(-h)  # 0 if there was no signal
        keep = coefficient(target.sigma / now.sigma, x)
        alpha, sigma = coefficient(target.alpha, x), coefficient(target.sigma, x)
        if not self.stochastic:
            return keep * x + alpha * (-math.expm1(-h)) * x_0
        gain = -math.expm1(-2 * h)
        return keep * shrink * x + alpha * gain * x_0 + sigma * math.sqrt(gain) * walk.noise(x)


@dataclass(frozen=True)
class UniPC:
    r"""UniPC, the unified predictor-corrector, B(h) = :math:`e^{h} - 1` (Zhao et al. 2023, Algorithms 1-2).

    Each evaluation serves twice: it corrects the point it was made at, then predicts the next. The
    order falls to 1 towards both ends of the walk.

    Parameters
    ----------
    order : {1, 2, 3}
        Order of the predictor; the corrector adds one.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if self.order not in (1, 2, 3):
            raise InputError(f"UniPC of order {self.order} is not available.", "Choose 1, 2 or 3.")

    def _order_at(self, walk: Walk, step: int) -> int:
        """The order of the step that starts at level ``step``."""
        return min(self.order, step + 1, walk.grid.n_steps - step)

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step: correct the present point with its own estimate, then predict the next."""
        x_0 = walk.estimate(x)
        past = walk.history
        if past:
            x = self._update(past, walk.now, self._order_at(walk, walk.step - 1), x_0)
        walk.history = [*past, Estimate(x_0, x, walk.now)][-self.order :]
        return self._update(walk.history, walk.target, self._order_at(walk, walk.step))

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
        # Differences of the data estimate, over their distances in λ as multiples of h.
        nodes: list[float] = []
        differences: list[Tensor] = []
        for earlier in reversed(past[:-1][-(order - 1) :] if order > 1 else []):
            r = (_half_log_snr(earlier.level) - lam) / h
            if math.isinf(r):  # the level without signal: infinitely far, it says nothing of slopes
                continue
            nodes.append(r)
            differences.append((earlier.x_0 - x_0) / r)
        if x_0_target is not None:
            nodes.append(1.0)
            differences.append(x_0_target - x_0)
        if not nodes:
            return base
        weights = UniPC._weights(nodes, h)
        correction = sum((w * d for w, d in zip(weights, differences, strict=True)), torch.zeros_like(x))
        return base - coefficient(target.alpha, x) * phi_1 * correction

    @staticmethod
    def _weights(nodes: list[float], h: float) -> list[float]:
        r"""Solve :math:`\sum_m r_m^{k-1} a_m = k!\,\varphi_{k+1}(-h) / \varphi_1(-h)`, k = 1 ... len(nodes).

        One node alone takes the weight 1/2 of the paper's implementation.
        """
        if len(nodes) == 1:
            return [0.5]
        b_h = math.expm1(-h)
        phi = b_h / -h - 1
        factorial = 1
        right = []
        for k in range(1, len(nodes) + 1):
            right.append(phi * factorial / b_h)
            factorial *= k + 1
            phi = phi / -h - 1 / factorial
        matrix = torch.tensor([[r**k for r in nodes] for k in range(len(nodes))], dtype=torch.float64)
        solution: list[float] = torch.linalg.solve(matrix, torch.tensor(right, dtype=torch.float64)).tolist()
        return solution


@dataclass(frozen=True)
class PredictorCorrector:
    r"""Ancestral predictor with Langevin corrector (Song et al. 2021, Algorithms 2-5).

    After each predictor step, ``corrections`` times
    :math:`x \leftarrow x + \delta\, s(x) + \sqrt{2\delta}\, z` with
    :math:`\delta = 2 (snr \cdot \sigma)^2`, which is the paper's step size with the expected norms of
    noise and score in place of a batch's. Clean data is not corrected.

    Parameters
    ----------
    snr : float
        Size of a correction.
    corrections : int
        Corrections a step.
    """

    snr: float = 0.1
    corrections: int = 1

    def __call__(self, walk: Walk, x: Tensor) -> Tensor:
        """Do one step."""
        x = DDPM()(walk, x)
        level = walk.target
        if level.sigma == 0:
            return x
        delta = 2 * (self.snr * level.sigma).square()
        for _ in range(self.corrections):
            score = score_from_data(walk.denoiser(x, level), x, level)
            x = x + coefficient(delta, x) * score + coefficient((2 * delta).sqrt(), x) * walk.noise(x)
        return x


SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "ddpm": DDPM,
    "ddim": DDIM,
    "euler": Euler,
    "heun": Heun,
    "dpmpp_2m": DPMSolver,
    "dpmpp_2m_sde": partial(DPMSolver, stochastic=True),
    "unipc": UniPC,
    "predictor_corrector": PredictorCorrector,
}


def sampler_name(sampler: Sampler) -> str:
    """Return the name under which a sampler is registered; of one's own, that of its class or function."""
    if isinstance(sampler, DPMSolver):
        return "dpmpp_2m_sde" if sampler.stochastic else "dpmpp_2m"
    for name, make in SAMPLERS.items():
        if make is type(sampler):
            return name
    return str(getattr(sampler, "__name__", type(sampler).__name__))


def make_sampler(name: str, **settings: float | str) -> Sampler:
    """Make the sampler called ``name``.

    Raises
    ------
    InputError
        When there is none of that name, or its settings do not fit.
    """
    if name not in SAMPLERS:
        raise unknown_name("sampler", name, SAMPLERS)
    try:
        return SAMPLERS[name](**settings)
    except TypeError as error:
        raise InputError(f"The sampler {name!r} cannot be made of {settings}: {error}.") from error
