"""Was the network trained with other noise than that of its sampling?

``torch.rand`` in the place of ``torch.randn`` is one letter less. A network that learned to take away one
kind of noise is good at that one: on points noised so, its errors are at most those of the best linear
estimate for that noise, while with normal noise they are larger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffuscope.diagnosis.dictionary import Place, errors_at, places_of
from diffuscope.diagnosis.subject import Subject

__all__ = ["TrainingNoise", "noise_of_training"]

_FAIR, _WORSE = 1.05, 1.25  # of the best linear estimate's error: what was learned, and what was not
_ROWS_EACH = 4  # for each number that is fitted

_Draw = Callable[[Tensor, torch.Generator], Tensor]


def _uniform(low: float, high: float) -> _Draw:
    return lambda like, generator: low + (high - low) * torch.rand(like.shape, generator=generator)


_LAWS: dict[str, _Draw] = {
    "normal noise": lambda like, generator: torch.randn(like.shape, generator=generator),
    "uniform noise from 0 to 1": _uniform(0.0, 1.0),
    "uniform noise from −1 to 1": _uniform(-1.0, 1.0),
    "uniform noise from −√3 to √3": _uniform(-(3**0.5), 3**0.5),
    "the absolute values of normal noise": lambda like, generator: torch.randn(
        like.shape, generator=generator
    ).abs(),
    "noise that is the same in all coordinates": lambda like, generator: torch.randn(
        len(like), 1, generator=generator
    ).expand(like.shape),
}


class TrainingNoise(NamedTuple):
    """Noise that a network takes away better than normal noise, and its errors with both."""

    name: str
    ratio: float  # errors over those of the best linear estimate, mean over levels
    normal: float


def noise_of_training(subject: Subject) -> TrainingNoise | None:
    """Return the noise that a network was trained with, where that was not normal; None where it was."""
    places = places_of(subject)
    if subject.d < 2 or len(places[0].x_0) < _ROWS_EACH * (subject.d + 1):  # too few for a linear fit
        return None
    ratios = {name: _ratio(subject, places, draw) for name, draw in _LAWS.items()}
    normal = ratios.pop("normal noise")
    name = min(ratios, key=lambda one: ratios[one])
    if ratios[name] > _FAIR or not normal > _WORSE * ratios[name]:
        return None
    return TrainingNoise(name, ratios[name], normal)


def _ratio(subject: Subject, places: list[Place], draw: _Draw) -> float:
    """Return the errors of a network over those of the best linear estimate, for one law of noise."""
    ratios = []
    for k, place in enumerate(places):
        eps = draw(place.x_0, subject.generator("training noise", k))
        x_t = (place.level.alpha * place.x_0 + place.level.sigma * eps).to(place.x_0.dtype)
        own = errors_at(place, subject.ask(subject.denoiser, x_t, place.level)).mean()
        ratios.append(own / errors_at(place, _linear(place.x_0, x_t)).mean())
    return float(np.mean(np.nan_to_num(ratios, nan=np.inf)))


def _linear(x_0: Tensor, x_t: Tensor) -> Tensor:
    """Return the best estimate that is linear in the noisy points, as fitted to them."""
    inputs = torch.cat([x_t.double(), torch.ones(len(x_t), 1, dtype=torch.float64)], 1)
    weights: Tensor = torch.linalg.lstsq(inputs, x_0.double(), driver="gelsd").solution
    return torch.as_tensor(inputs @ weights).to(x_0)
