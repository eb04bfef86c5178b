r"""How much signal and how much noise is there at time t?

Every diffusion model in this package is one line:

.. math::  x_t = \alpha(t)\, x_0 + \sigma(t)\, \epsilon, \qquad \epsilon \sim N(0, I).

A schedule is the pair :math:`(\alpha, \sigma)` as a function of its own time t, and a grid of times
for sampling. Discrete schedules have the times 0, 1, ..., T - 1 and come from
:math:`\beta_t`; with :math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)` they have
:math:`\alpha(t) = \sqrt{\bar\alpha_t}` and :math:`\sigma(t) = \sqrt{1 - \bar\alpha_t}`.
Continuous ones have real times. All coefficients are float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from diffuscope.diffusion.schedules.continuous import EDM, VP, ContinuousCosine, Flow, Piecewise
from diffuscope.diffusion.schedules.discrete import (
    DiscreteSchedule,
    cosine,
    linear,
    quadratic,
    rescale_zero_terminal_snr,
    sigmoid,
)
from diffuscope.diffusion.schedules.levels import Grid, NoiseLevel, Schedule, Spacing
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
    "Piecewise",
    "Schedule",
    "Spacing",
    "cosine",
    "linear",
    "make_schedule",
    "quadratic",
    "rescale_zero_terminal_snr",
    "sigmoid",
]

SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "linear": linear,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
    "cosine": cosine,
    "vp": VP,
    "edm": EDM,
    "flow": Flow,
    "continuous_cosine": ContinuousCosine,
    "piecewise": Piecewise,
}


def make_schedule(name: str, *, zero_terminal_snr: bool = False, **settings: Any) -> Schedule:
    """Make the schedule named ``name``; an unknown name or setting is an InputError."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    try:
        schedule = SCHEDULES[name](**settings)
    except TypeError as error:
        what = f"The settings {settings} are not valid for the schedule {name!r}: {error}."
        raise InputError(what) from error
    if not zero_terminal_snr:
        return schedule
    if not isinstance(schedule, DiscreteSchedule):
        raise InputError(
            f"zero_terminal_snr needs a discrete schedule, and {name!r} is continuous.",
            "Use linear, quadratic, sigmoid or cosine; flow and continuous_cosine have it already.",
        )
    return rescale_zero_terminal_snr(schedule)
