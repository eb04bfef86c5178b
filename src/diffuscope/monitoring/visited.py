r"""Which noise levels does a training visit, how often, and what does an error count there?

For each prediction the error of the network's output is that of the data estimate, in other units:

.. math::  |F - F^*|^2 = |\hat x_0 - x_0|^2 / c_{out}^2

(:mod:`~diffuscope.diffusion.predictions`). A weighting multiplies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diffusion.losses import Kind, Loss, Times
from diffuscope.diffusion.predictions import Prediction, output_coefficients
from diffuscope.diffusion.schedules import DiscreteSchedule, NoiseLevel, Schedule
from diffuscope.errors import InputError, unknown_name

__all__ = ["READINGS", "Visited", "Weights", "visited_levels"]

READINGS: tuple[Prediction, ...] = ("noise", "data", "velocity", "flow")

_LEVELS = 128  # of a continuous schedule
_QUANTILES = 200_000

Array = NDArray[np.float64]
Weights = str | Loss | Callable[[NoiseLevel], Any] | Array | Tensor | None


@dataclass(frozen=True)
class Visited:
    """Levels of shape (k,), least noise first, each with its share of the training times, and two factors.

    ``factor`` turns the mean squared error of x_0 into the loss, ``weight`` that of the network's output.
    """

    level: NoiseLevel
    share: Array
    factor: Array
    weight: Array

    def __len__(self) -> int:
        return len(self.share)


def visited_levels(
    schedule: Schedule, prediction: str, weighting: Weights, times: Any, spread: float
) -> Visited:
    """Return the levels that training visits; InputError where prediction, weighting or times are unknown.

    ``spread`` is the deviation of the data, for the weighting "edm".
    """
    if prediction not in READINGS:
        raise unknown_name("prediction", str(prediction), READINGS)
    t, share = _times(schedule, times)
    level = schedule(t)
    alpha, sigma = level.alpha, level.sigma
    reading: Any = prediction
    if reading == "noise":  # where nothing of the data is left its error is 0, not 0 times infinity
        inverse = alpha.square() / sigma.square()
    else:
        inverse = output_coefficients(reading, level)[1].square().reciprocal()
    if not bool(inverse.isfinite().all()) or bool((sigma <= 0).any()):
        raise InputError("The schedule has a level without noise.", "Train at levels with sigma > 0 only.")
    weight = _weight(weighting, level, inverse, spread)
    factor = (weight * inverse).numpy()
    return Visited(level, share, factor, weight.numpy())


def _times(schedule: Schedule, times: Any) -> tuple[Tensor, Array]:
    """Return times (k,), ascending, and the share of each."""
    if isinstance(times, str):
        if times not in get_args(Kind):
            raise unknown_name("kind of times", times, get_args(Kind))
        times = Times(times)  # type: ignore[arg-type]
    if times is None or isinstance(times, Times):
        return _drawn(schedule, times or Times())
    return _chosen(schedule, times)


def _drawn(schedule: Schedule, times: Times) -> tuple[Tensor, Array]:
    if times.kind != "log_normal":
        if isinstance(schedule, DiscreteSchedule):
            return torch.arange(schedule.T), np.full(schedule.T, 1 / schedule.T)
        middle = (torch.arange(_LEVELS, dtype=torch.float64) + 0.5) / _LEVELS
        t = schedule.t_min + (schedule.t_max - schedule.t_min) * middle
        return t, np.full(_LEVELS, 1 / _LEVELS)
    n = _QUANTILES if schedule.discrete else _LEVELS
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    t = schedule.time_at_ratio((times.mean + times.std * torch.special.ndtri(u)).exp())
    found, counts = torch.unique(t, return_counts=True)
    return found, (counts.double() / n).numpy()


def _chosen(schedule: Schedule, times: Any) -> tuple[Tensor, Array]:
    try:
        values = times.detach().cpu().numpy() if isinstance(times, Tensor) else np.asarray(times)
        t = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise InputError(
            f"A {type(times).__name__} does not say which times training draws.",
            'Give "uniform", "log_normal", a diffuscope.diffusion.losses.Times, or the times themselves.',
        ) from None
    whole = not schedule.discrete or bool((t == np.round(t)).all())
    inside = bool(((t >= schedule.t_min) & (t <= schedule.t_max)).all())
    if not len(t) or not np.isfinite(t).all() or not whole or not inside:
        kind = "whole numbers" if schedule.discrete else "numbers"
        raise InputError(
            "The times are not times of the schedule.",
            f"Give {kind} from {schedule.t_min:g} to {schedule.t_max:g}.",
        )
    found, counts = np.unique(t, return_counts=True)
    as_tensor = torch.from_numpy(found)
    return as_tensor.long() if schedule.discrete else as_tensor, counts / len(t)


def _weight(weighting: Weights, level: NoiseLevel, inverse: Tensor, spread: float) -> Tensor:
    """Return what the squared error of the network's output is multiplied by, (k,)."""
    loss = weighting if isinstance(weighting, Loss) else None
    if loss is not None and loss.distance != "l2":
        raise InputError(
            f"The floor of the distance {loss.distance!r} is not known.", "It is that of squared errors: l2."
        )
    name: Any = loss.weighting if loss is not None else "none" if weighting is None else weighting
    ones = torch.ones_like(inverse)
    if isinstance(name, str):
        if name == "none":
            return ones
        if name == "min_snr":
            return _over(level.snr.clamp_max(5.0 if loss is None else loss.gamma), inverse)
        if name == "edm":
            total = level.sigma.square() + (level.alpha * spread).square()
            return _over(total / (level.sigma * spread).square(), inverse)
        raise unknown_name("weighting", name, ("none", "min_snr", "edm"))
    try:
        values = name(level) if callable(name) else name
        weight = torch.as_tensor(values).detach().cpu().double().expand(inverse.shape)
    except (TypeError, ValueError, RuntimeError):
        weight = torch.full_like(inverse, np.nan)
    if not bool((weight.isfinite() & (weight >= 0)).all()):
        raise InputError(
            "The weighting does not give a number of 0 or more for each level.",
            f"Give a name, a function of the level, or an array of shape ({len(inverse)},).",
        )
    return weight.clone()


def _over(factor: Tensor, inverse: Tensor) -> Tensor:
    """Return factor / inverse; 0 where an error of the output says nothing about the data."""
    return torch.where(inverse > 0, factor / inverse, 0.0)
