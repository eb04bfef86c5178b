r"""Which mistakes do people make in a sampling loop? A dictionary of loops, sound and mistaken.

Ancestral sampling (Ho et al. 2020, Algorithm 2), between any two levels t and s of one schedule, with
:math:`a = \alpha_t / \alpha_s` and :math:`b = \sigma_t^2 - a^2 \sigma_s^2` (the step's √α and β, where the
levels are neighbours), is

.. math::  x_s = \frac{1}{a} \Bigl( x_t - \frac{b}{\sigma_t} \hat\epsilon \Bigr) + \sqrt{v}\, z,

v being b or :math:`b\, \sigma_s^2 / \sigma_t^2`. Each loop here replaces one of these parts by what is
written in its place by mistake. A loop serves twice: its coefficients are compared with those of a step that
was probed (:mod:`.steps`), and it samples with the user's network, to be compared with the user's samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from diffuscope.diffusion.predictions import eps_from_data
from diffuscope.diffusion.samplers import SamplingContext
from diffuscope.diffusion.schedules import Grid, NoiseLevel, Schedule

__all__ = ["LOOPS", "SOUND", "Coefficients", "Loop", "coefficients"]


class _Parts(NamedTuple):
    """The numbers of one step."""

    a: float
    b: float
    alpha: float  # of the level that it starts from
    sigma: float
    target: float  # σ of the level that it leads to
    here: float  # σ and target where the loop looks them up
    there: float
    one_a: float  # of a single step of the schedule, though the grid may skip some
    one_b: float
    last: float  # the deviation of the noise of the step before

    @property
    def posterior(self) -> float:
        """The variance of q(x_s | x_t, x_0)."""
        return self.b * self.there**2 / self.here**2


_Number = Callable[[_Parts], float]


def _weight(p: _Parts) -> float:
    return p.b / p.here


def _divisor(p: _Parts) -> float:
    return p.a


def _large(p: _Parts) -> float:
    return math.sqrt(p.b) if p.target > 0 else 0.0


def _small(p: _Parts) -> float:
    return math.sqrt(p.posterior)


class Coefficients(NamedTuple):
    """What a step makes: A x_t + B x̂_0 + noise of a deviation."""

    signal: float
    data: float
    noise: float


@dataclass(frozen=True)
class Loop:
    """A sampling loop, as a sampler. ``words`` say what it does, and ``fix`` how it is mended.

    ``z`` is what stands for fresh noise: ``fresh``, ``once`` (drawn once, used in all steps) or ``predicted``
    (the network's own ε̂). ``start`` changes the noise that sampling starts from.
    """

    name: str
    code: str
    words: str
    fix: str
    weight: _Number = _weight
    divisor: _Number = _divisor
    noise: _Number = _small
    z: str = "fresh"
    clip: float | None = None
    start: Callable[[Tensor], Tensor] | None = None
    schedule: Schedule | None = None  # whose single steps the β of a grid that skips some may be
    offset: int = 0  # times by which ᾱ is looked up too late

    @property
    def is_affine(self) -> bool:
        """Whether a step is told by its coefficients alone."""
        return self.z != "once" and self.start is None and self.clip is None

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Take a step."""
        if self.start is not None and context.step == 0:
            x = self.start(x)
        parts = _parts(context.grid, context.step, self.schedule, self.offset)
        x_0 = context.estimate(x)
        if self.clip is not None:
            x_0 = x_0.clamp(-self.clip, self.clip)
        eps = eps_from_data(x_0, x, context.now)
        mean = (x - self.weight(parts) * eps) / self.divisor(parts)
        std = self.noise(parts)
        if not std:
            return mean
        if self.z == "predicted":
            return mean + std * eps
        if self.z == "once":
            generator = torch.Generator(context.generator.device).manual_seed(20_260_101)
            z = torch.randn(x.shape, generator=generator, device=generator.device, dtype=x.dtype).to(x.device)
            return mean + std * z
        return mean + std * context.noise(x)


def coefficients(loop: Loop, grid: Grid, step: int, schedule: Schedule | None = None) -> Coefficients:
    """Return what a loop does in a step of a grid, where it does not clip."""
    p = _parts(grid, step, schedule, loop.offset)
    share = loop.weight(p) / (p.sigma * loop.divisor(p))
    signal, data, noise = 1 / loop.divisor(p) - share, share * p.alpha, loop.noise(p)
    if loop.z == "predicted":
        return Coefficients(signal + noise / p.sigma, data - noise * p.alpha / p.sigma, 0.0)
    return Coefficients(signal, data, noise)


def _parts(grid: Grid, step: int, schedule: Schedule | None, offset: int = 0) -> _Parts:
    now, target = grid.levels.at(step), grid.levels.at(step + 1)
    a = (now.alpha / target.alpha).item()
    b = max(now.sigma.item() ** 2 - (a * target.sigma.item()) ** 2, 0.0)
    one_a, one_b = _single(schedule, now, a, b)
    last = 0.0
    if step:
        before = grid.levels.at(step - 1)
        ratio = (before.alpha / now.alpha).item()
        last = math.sqrt(max(before.sigma.item() ** 2 - (ratio * now.sigma.item()) ** 2, 0.0))
    here, there = now.sigma.item(), target.sigma.item()
    if offset:
        last_row = grid.n_steps - 1
        here = grid.levels.at(min(max(step - offset, 0), last_row)).sigma.item()
        if step < last_row:
            there = grid.levels.at(min(max(step + 1 - offset, 0), last_row)).sigma.item()
    sigmas = now.sigma.item(), target.sigma.item(), here, there
    return _Parts(a, b, now.alpha.item(), *sigmas, one_a, one_b, last)


def _single(schedule: Schedule | None, now: NoiseLevel, a: float, b: float) -> tuple[float, float]:
    """Return a and b of a single step of a discrete schedule that leads from a level."""
    if schedule is None or not schedule.discrete or now.t.item() < 1:
        return a, b
    before = schedule(now.t.long() - 1)
    one_a = (now.alpha / before.alpha).item()
    return one_a, max(now.sigma.item() ** 2 - (one_a * before.sigma.item()) ** 2, 0.0)


_ONE = "Write x = (x − β/√(1−ᾱ) · ε̂) / √α."
_ESTIMATE = "Write x_0 = (x − √(1−ᾱ) · ε̂) / √ᾱ, and x = √ᾱ_s · x_0 + √(1−ᾱ_s) · ε̂."
_NOISE = "Add √β · z (or the root of the posterior variance, times z) in every step but the last."
_DDIM = Loop(
    "ddim",
    "",
    "a deterministic step",
    "",
    weight=lambda p: p.sigma - p.a * p.target,
    noise=lambda p: 0.0,
)

SOUND: Sequence[Loop] = (
    Loop("ancestral, small variance", "", "ancestral sampling with the posterior variance", ""),
    Loop("ancestral, large variance", "", "ancestral sampling with β as variance", "", noise=_large),
    _DDIM,
)
"""Loops that are right."""


def _uniform(x: Tensor) -> Tensor:
    return torch.special.ndtr(x)  # type: ignore[no-any-return]  # of normal noise, uniform between 0 and 1


_MISTAKEN: Sequence[Loop] = (
    Loop("no noise", "noise_missing", "no noise is added in its steps", _NOISE, noise=lambda p: 0.0),
    Loop(
        "noise in the last step",
        "noise_last_step",
        "noise is added in its last step",
        "Return the mean in the step that leads to clean data: no z where t = 0.",
        noise=lambda p: _small(p) if p.target > 0 else p.last,
    ),
    Loop(
        "all of the last β",
        "noise_last_step",
        "noise of deviation √β is added in its last step too",
        "Return the mean in the step that leads to clean data: no z where t = 0.",
        noise=lambda p: math.sqrt(p.b),
    ),
    Loop("β for √β", "noise_scale", "its noise is scaled by β, not by √β", _NOISE, noise=lambda p: p.b),
    Loop(
        "variance for deviation",
        "noise_scale",
        "its noise is scaled by the posterior variance, not by its root",
        _NOISE,
        noise=lambda p: p.posterior,
    ),
    Loop(
        "fourth root",
        "noise_scale",
        "its noise is scaled by the root of the deviation",
        _NOISE,
        noise=lambda p: math.sqrt(_small(p)),
    ),
    Loop(
        "σ for noise",
        "noise_scale",
        "its noise is scaled by √(1−ᾱ), the deviation of all noise so far, not by that of one step",
        _NOISE,
        noise=lambda p: p.target,
    ),
    *(
        Loop(
            f"{times:g} times the noise",
            "noise_scale",
            f"its noise has {times:g} times the deviation that it should have",
            _NOISE,
            noise=lambda p, times=times: times * _large(p),  # type: ignore[misc]
        )
        for times in (0.5, 2.0)
    ),
    Loop(
        "noise on top of ddim",
        "noise_scale",
        "noise is added on top of a whole deterministic step (η is not taken from the direction of ε̂)",
        "With η > 0 weight ε̂ by √(σ_s² − η² v), v the posterior variance; or set η = 0 and add no noise.",
        weight=lambda p: p.sigma - p.a * p.target,
    ),
    Loop(
        "β/(1−ᾱ)",
        "step_coefficients",
        "ε̂ is weighted by β/(1−ᾱ), not by β/√(1−ᾱ)",
        _ONE,
        weight=lambda p: p.b / p.sigma**2,
    ),
    Loop(
        "β alone",
        "step_coefficients",
        "ε̂ is weighted by β, not by β/√(1−ᾱ)",
        _ONE,
        weight=lambda p: p.b,
    ),
    Loop(
        "√β",
        "step_coefficients",
        "ε̂ is weighted by √β/√(1−ᾱ), not by β/√(1−ᾱ)",
        _ONE,
        weight=lambda p: math.sqrt(p.b) / p.sigma,
    ),
    Loop(
        "root of β",
        "step_coefficients",
        "ε̂ is weighted by √β, not by β/√(1−ᾱ)",
        _ONE,
        weight=lambda p: math.sqrt(p.b),
    ),
    Loop(
        "sign of ε̂",
        "step_coefficients",
        "ε̂ is added, not subtracted",
        _ONE,
        weight=lambda p: -p.b / p.sigma,
    ),
    Loop(
        "sign of ε̂, ddim",
        "step_coefficients",
        "the data estimate is (x + √(1−ᾱ) · ε̂) / √ᾱ, with a plus",
        _ESTIMATE,
        weight=lambda p: -p.sigma - p.a * p.target,
        noise=_DDIM.noise,
    ),
    Loop(
        "1 − ᾱ without its root, ddim",
        "step_coefficients",
        "the data estimate is (x − (1−ᾱ) · ε̂) / √ᾱ, without the root of 1−ᾱ",
        _ESTIMATE,
        weight=lambda p: p.sigma**2 - p.a * p.target,
        noise=_DDIM.noise,
    ),
    Loop(
        "ᾱ without its root, ddim",
        "step_coefficients",
        "the data estimate is (x − √(1−ᾱ) · ε̂) / ᾱ, without the root of ᾱ",
        _ESTIMATE,
        weight=lambda p: p.sigma - p.a * p.alpha * p.target,
        divisor=lambda p: p.a * p.alpha,
        noise=_DDIM.noise,
    ),
    Loop(
        "ᾱ for α",
        "step_coefficients",
        "the step divides by √ᾱ, not by √α",
        _ONE,
        divisor=lambda p: p.alpha,
    ),
    Loop(
        "1 − α with ᾱ",
        "step_coefficients",
        "ε̂ is weighted by (1−ᾱ)/√(1−ᾱ), not by β/√(1−ᾱ)",
        _ONE,
        weight=lambda p: p.sigma,
    ),
    Loop(
        "α for √α",
        "step_coefficients",
        "the step divides by α, not by √α",
        _ONE,
        divisor=lambda p: p.a**2,
    ),
    Loop(
        "no division",
        "step_coefficients",
        "the step does not divide by √α",
        _ONE,
        divisor=lambda p: 1.0,
    ),
    Loop(
        "betas of single steps",
        "skipped_betas",
        "it visits some of the times only, with the β of single steps",
        "Where times are skipped, take α = ᾱ_t / ᾱ_s and β = 1 − α of the two times, or sample with ddim.",
        weight=lambda p: p.one_b / p.sigma,
        divisor=lambda p: p.one_a,
        noise=lambda p: math.sqrt(p.one_b) if p.target > 0 else 0.0,
    ),
    *(
        Loop(
            f"ᾱ of t {'+' if by > 0 else '−'} {abs(by)}",
            "step_coefficients",
            f"ᾱ is that of t {'+' if by > 0 else '−'} {abs(by)}, not of t",
            "Index ᾱ, α and β by the step's own t.",
            offset=by,
        )
        for by in (1, -1, 2, 3, -3, 5)
    ),
    Loop(
        "ε̂ as z",
        "noise_reused",
        "the predicted ε̂ is reused as the fresh noise z of its steps",
        "Draw z = torch.randn_like(x) anew in each step; do not add ε̂ to the mean.",
        z="predicted",
    ),
    Loop(
        "z drawn once",
        "noise_reused",
        "the noise z is drawn once and reused in all of its steps",
        "Draw z = torch.randn_like(x) inside the loop, anew in each step.",
        z="once",
    ),
    Loop(
        "uniform start",
        "start",
        "it starts from uniform noise (rand), not from normal noise (randn)",
        "Start from torch.randn.",
        start=_uniform,
    ),
    Loop(
        "centred uniform start",
        "start",
        "it starts from uniform noise between −1 and 1, not from normal noise",
        "Start from torch.randn.",
        start=lambda x: 2 * _uniform(x) - 1,
    ),
    *(
        Loop(
            f"start of deviation {scale:g}",
            "start",
            f"it starts from noise of deviation {scale:g}, not 1",
            "Start from torch.randn, of deviation 1.",
            start=lambda x, scale=scale: scale * x,  # type: ignore[misc]
        )
        for scale in (0.0, 0.25, 0.5, 2.0, 3.0, 4.0)
    ),
    Loop(
        "clipped",
        "clipping",
        "its data estimate is clipped to [−1, 1]",
        "Do not clip, or scale the data into [−1, 1] before training.",
        clip=1.0,
    ),
)


def _with_other_noise(loop: Loop) -> Iterator[Loop]:
    """Yield a loop as it is, and with the other noise that is right, where its noise is not the mistake."""
    yield loop
    if loop.noise is _small:
        yield replace(loop, name=f"{loop.name}, large variance", noise=_large)
    if loop.start is not None or loop.clip is not None:
        yield replace(loop, name=f"{loop.name}, ddim", weight=_DDIM.weight, noise=_DDIM.noise)


LOOPS: Sequence[Loop] = tuple(one for loop in _MISTAKEN for one in _with_other_noise(loop))
"""Loops with one mistake each."""
