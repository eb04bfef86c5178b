r"""Was the network trained with another forward step, or other noise, than sampling takes away?

Training has to noise data by :math:`x_t = \sqrt{\bar\alpha}\, x_0 + \sqrt{1 - \bar\alpha}\, \epsilon` with
normal ε. A root that is forgotten, or ``torch.rand`` in the place of ``torch.randn``, is a letter or two. A
network that learned to take away what its training did is good at that: on points noised so, its errors are
at most those of the best linear estimate for them, while on points as they should be they are larger.

With factors a and b in the place of the roots, :math:`x_t / a` has the noise-to-signal ratio b / a. So the
network can be sampled all the same, at the time where b / a is the ratio that is asked for, and what that
brings is measured. With other noise than normal there is no such sampling.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffuscope.diagnosis.dictionary import Place, outputs_of, places_of
from diffuscope.diagnosis.subject import Subject
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.schedules import DiscreteSchedule, NoiseLevel, Schedule

__all__ = ["Forward", "ForwardFound", "forward_of_training"]

_FAIR, _WORSE = 1.05, 1.25  # of the best linear estimate's error: what was learned, and what was not
# What is worth a look where samples will decide: of the errors with the right forward step, and of those of
# the best linear estimate.
_TRIED, _NEARLY = 0.96, 1.1
_LITTLE = 0.01  # of the square of what is predicted: an error that no network gets below where noise is all
_ROWS_EACH = 4  # for each number that is fitted

_Draw = Callable[[Tensor, torch.Generator], Tensor]
_Factors = Callable[[Schedule, NoiseLevel], tuple[Tensor, Tensor]]


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)


def _uniform(low: float, high: float) -> _Draw:
    return lambda like, generator: low + (high - low) * torch.rand(like.shape, generator=generator)


def _right(_: Schedule, level: NoiseLevel) -> tuple[Tensor, Tensor]:
    return level.alpha, level.sigma


def _of_single_steps(schedule: Schedule, level: NoiseLevel) -> tuple[Tensor, Tensor]:
    beta = schedule.beta[level.t.long()] if isinstance(schedule, DiscreteSchedule) else torch.zeros(())
    return (1 - beta).sqrt(), beta.sqrt()


@dataclass(frozen=True)
class Forward:
    """A forward step a x_0 + b ε: its name, the law of ε, and its factors at a level."""

    name: str
    draw: _Draw = _normal
    factors: _Factors = _right

    @property
    def is_normal(self) -> bool:
        """Whether its noise is normal, so that the network can be sampled."""
        return self.draw is _normal


_SOUND = Forward("√ᾱ x_0 + √(1−ᾱ) ε")
_MISTAKEN = (
    Forward("uniform noise from 0 to 1", _uniform(0.0, 1.0)),
    Forward("uniform noise from −1 to 1", _uniform(-1.0, 1.0)),
    Forward("uniform noise from −√3 to √3", _uniform(-(3**0.5), 3**0.5)),
    Forward("the absolute values of normal noise", lambda like, generator: _normal(like, generator).abs()),
    Forward(
        "noise that is the same in all coordinates",
        lambda like, generator: torch.randn(len(like), 1, generator=generator).expand(like.shape),
    ),
    Forward("ᾱ x_0 + (1−ᾱ) ε", factors=lambda _, level: (level.alpha**2, level.sigma**2)),
    Forward("√ᾱ x_0 + (1−ᾱ) ε", factors=lambda _, level: (level.alpha, level.sigma**2)),
    Forward("ᾱ x_0 + √(1−ᾱ) ε", factors=lambda _, level: (level.alpha**2, level.sigma)),
    Forward("x_0 + √(1−ᾱ) ε", factors=lambda _, level: (torch.ones_like(level.alpha), level.sigma)),
    Forward("√(1−β) x_0 + √β ε", factors=_of_single_steps),
)


class ForwardFound(NamedTuple):
    """A forward step that a network undoes better than the right one, and its errors with both."""

    forward: Forward
    ratio: float  # errors over those of the best linear estimate, mean over levels
    normal: float  # the same with the right forward step
    denoiser: DenoiserLike | None  # the network, sampled as its training has it; None where that cannot be


def forward_of_training(subject: Subject) -> ForwardFound | None:
    """Return the forward step that a network was trained with, where that was a mistaken one."""
    places = places_of(subject)
    if subject.d < 2 or len(places[0].x_0) < _ROWS_EACH * (subject.d + 1):  # too few for a linear fit
        return None
    found: list[ForwardFound] = []
    for output, kind in outputs_of(subject):
        normal = _ratio(subject, places, output, kind, _SOUND)
        for forward in _MISTAKEN:
            if forward.factors is _of_single_steps and not isinstance(subject.schedule, DiscreteSchedule):
                continue
            ratio = _ratio(subject, places, output, kind, forward)
            denoiser = _sampled(subject, output, kind, forward) if forward.is_normal else None
            found.append(ForwardFound(forward, ratio, normal, denoiser))
    least = min(one.normal for one in found)  # of a function it is not known what its network predicts
    for one in sorted(found, key=lambda one: one.ratio):
        if one.denoiser is not None and one.ratio <= min(_NEARLY, _TRIED * least):
            return one
        if one.denoiser is None and one.ratio <= _FAIR and least > _WORSE * max(one.ratio, 1.0):
            return one
    return None


_Output = Callable[[Tensor, NoiseLevel, Tensor], Tensor]


def _ratio(subject: Subject, places: list[Place], output: _Output, kind: str, forward: Forward) -> float:
    """Return the errors of a network over those of the best linear estimate, for one forward step."""
    ratios = []
    for k, place in enumerate(places):
        a, b = forward.factors(subject.schedule, place.level)
        eps = forward.draw(place.x_0, subject.generator("training noise", k)).to(place.x_0)
        x_t = (a * place.x_0 + b * eps).to(place.x_0.dtype)
        try:
            y = output(x_t, place.level, place.level.t.double())
        except Exception:  # whatever a network does with a time that it is not handed as it was typed
            return math.inf
        target = {
            "noise": eps,
            "data": place.x_0,
            "velocity": a * eps - b * place.x_0,
            "flow": eps - place.x_0,
        }.get(kind)
        if target is None or y.shape != target.shape:
            return math.inf
        target = target.double()
        little = _LITTLE * target.square().mean()
        left = (target - _linear(target, x_t)).square().mean()
        ratios.append(float(((y.double() - target).square().mean() + little) / (left + little)))
    return float(np.mean(np.nan_to_num(ratios, nan=np.inf)))


def _linear(target: Tensor, x_t: Tensor) -> Tensor:
    """Return the best estimate that is linear in the noisy points, as fitted to them."""
    inputs = torch.cat([x_t.double(), torch.ones(len(x_t), 1, dtype=torch.float64)], 1)
    weights: Tensor = torch.linalg.lstsq(inputs, target, driver="gelsd").solution
    return torch.as_tensor(inputs @ weights)


def _sampled(subject: Subject, output: _Output, kind: str, forward: Forward) -> DenoiserLike:
    """Return the network as a denoiser: at each ratio it is handed what its training had there."""
    schedule, grid = subject.schedule, subject.grid
    levels = grid.levels.at(torch.arange(grid.n_steps))
    if isinstance(schedule, DiscreteSchedule):
        levels = schedule(torch.arange(schedule.T))
    a, b = forward.factors(schedule, levels)
    order = (b / a).argsort()
    ratios = (b / a)[order].log()

    def at(i: int, x_t: Tensor, level: NoiseLevel) -> Tensor:
        x = (x_t * (a[i] / level.alpha)).to(x_t.dtype)
        there = levels.at(i)
        y = output(x, there, there.t.double())
        if kind == "data":
            return y
        if kind == "velocity":
            return ((a[i] * x - b[i] * y) / (a[i] ** 2 + b[i] ** 2)).to(x.dtype)
        return ((x - b[i] * y) / (a[i] + (b[i] if kind == "flow" else 0.0))).to(x.dtype)

    def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
        wanted = level.ratio.log()
        above = int(torch.searchsorted(ratios, wanted).clamp(1, len(ratios) - 1))
        low, high = ratios[above - 1], ratios[above]
        part = float(((wanted - low) / (high - low)).clamp(0, 1))  # levels are closer in the right schedule
        below, there = (at(int(order[i]), x_t, level) for i in (above - 1, above))
        return (1 - part) * below + part * there

    return denoise
