"""How is a model sampled, and under which condition? One frozen value for all kinds of data.

Words, seed and interval are checked here; sampler, steps and spacing against the schedule in
:meth:`diffuscope.model.Model.plan`; the condition by the :mod:`~diffuscope.modalities.generator` of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.data.conditions.classes import as_array
from diffuscope.diffusion.guidance import check_scale
from diffuscope.diffusion.samplers import SAMPLERS, Sampler
from diffuscope.diffusion.schedules import Spacing
from diffuscope.errors import InputError, unknown_name
from diffuscope.recipes.settings import check_settings

__all__ = ["MOST_SAMPLES", "Request", "as_numbers", "check_count", "read_request"]

MOST_SAMPLES = 10**12
"""Of one file or array: more would take years."""


@dataclass(frozen=True)
class Request:
    """How to sample; sampler, steps and spacing are the recipe's by default."""

    sampler: str | Sampler | None = None  # a name (diffuscope list samplers), or (context, x) -> x
    steps: int | None = None  # at most T for a discrete schedule
    spacing: Spacing | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # the sampler's own, such as {"eta": 0.5}
    seed: int = 0  # the same seed gives the same bytes
    condition: Any = None  # in the kind of data's own type; None: nothing
    guidance: float | None = None  # scale of classifier-free guidance; 1: none
    interval: tuple[float, float] | None = None  # ratios of noise to signal between which it acts
    noise: ArrayLike | None = None  # standard normal (n, ...) to start from, in place of that of the seed


_INITIAL = "initial"  # the option that gives Request.noise
_WORDS = tuple(
    _INITIAL if one.name == "noise" else one.name for one in fields(Request) if one.name != "condition"
)


def as_numbers(values: Any) -> NDArray[np.float64] | None:
    """Return an array or a tensor, on any device, as float64; None where it is none of numbers."""
    try:
        return np.asarray(as_array(values), dtype=np.float64)
    except (TypeError, ValueError):
        return None


def check_count(n: Any) -> None:
    """Raise an InputError unless n is a number of samples, 1 to :data:`MOST_SAMPLES`."""
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise InputError(
            f"The number of samples must be a whole number of at least 1, not {n!r}.",
            "Use 1000, for example.",
        )
    if n > MOST_SAMPLES:
        raise InputError(
            f"{n:,} samples are too many.", f"Choose at most {MOST_SAMPLES:,}, and several files."
        )


def read_request(
    options: Mapping[str, Any], sampler: str, conditions: tuple[str, ...] = ()
) -> tuple[Request, dict[str, Any]]:
    """Read keyword arguments; return the request without its condition, and the words of the condition.

    Options are fields of :class:`Request`, of which ``noise`` is called ``initial``, settings of the
    sampler, and words of the kind of data, such as ``y``; None counts as left out. ``sampler`` is the name
    of the one that samples where none is named. InputError where a word is none of these, or a value is not
    valid.
    """
    given = {word: value for word, value in options.items() if value is not None}
    settings = dict(given.pop("settings", {}))
    name = given.get("sampler", sampler)
    known = None  # the model raises the error for an unknown sampler
    if isinstance(name, str) and name in SAMPLERS:
        known = check_settings("sampler", name, SAMPLERS[name], {})
    for word in [w for w in given if w not in (*_WORDS, *conditions)]:
        if known is not None and word not in known:
            if others := [
                one for one in SAMPLERS if word in check_settings("sampler", one, SAMPLERS[one], {})
            ]:
                raise InputError(
                    f"{word} is no setting of the sampler {name}.",
                    f"It is one of {', '.join(others)}: give sampler={others[0]!r} beside it.",
                )
            raise unknown_name("option", word, (*conditions, *_WORDS, *known))
        settings[word] = given.pop(word)
    condition = {word: given.pop(word) for word in conditions if word in given}
    if _INITIAL in given:
        given["noise"] = given.pop(_INITIAL)
    if "seed" in given:
        seed = given["seed"]
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(
                f"seed must be a whole number of at least 0, not {seed!r}.", "Use 0, for example."
            )
        given["seed"] = int(seed)
    if "guidance" in given:
        check_scale(given["guidance"])
    if "steps" in given:
        steps = given["steps"]
        if isinstance(steps, bool) or not isinstance(steps, int | np.integer):
            raise InputError(f"steps must be a whole number, not {steps!r}.", "Use 50, for example.")
    if "interval" in given:
        try:
            low, high = map(float, given["interval"])
        except (TypeError, ValueError) as error:
            raise InputError(
                f"interval must be two numbers, not {given['interval']!r}.",
                "Give two noise-to-signal ratios, such as (0.2, 5).",
            ) from error
        given["interval"] = (low, high)
    return Request(settings=settings, **given), condition
