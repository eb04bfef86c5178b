"""Which schedules are available, by name?"""

from __future__ import annotations

from collections.abc import Callable

from diffuscope.diffusion.schedules.continuous import EDM, VP, ContinuousCosine, Flow
from diffuscope.diffusion.schedules.discrete import (
    DiscreteSchedule,
    cosine,
    linear,
    quadratic,
    rescale_zero_terminal_snr,
    sigmoid,
)
from diffuscope.diffusion.schedules.levels import Schedule
from diffuscope.errors import InputError, unknown_name

__all__ = ["SCHEDULES", "make_schedule"]

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
    """Make the schedule named ``name``.

    Raises
    ------
    InputError
        When the name is unknown, or a setting is not valid.
    """
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES)
    try:
        schedule = SCHEDULES[name](**settings)
    except TypeError as error:
        raise InputError(
            f"The settings {settings} are not valid for the schedule {name!r}: {error}."
        ) from error
    if not zero_terminal_snr:
        return schedule
    if not isinstance(schedule, DiscreteSchedule):
        raise InputError(
            f"zero_terminal_snr needs a discrete schedule, and {name!r} is continuous.",
            "Use linear, quadratic, sigmoid or cosine; flow and continuous_cosine have it already.",
        )
    return rescale_zero_terminal_snr(schedule)
