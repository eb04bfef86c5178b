"""How is a model sampled, and under which condition? One frozen value for all kinds of data.

Words, seed and interval are checked here; sampler, steps and spacing against the schedule in
:meth:`diffuscope.model.Model.plan`; the condition by the :mod:`~diffuscope.modalities.generator` of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from diffuscope.diffusion.samplers import SAMPLERS, Sampler
from diffuscope.diffusion.schedules import Spacing
from diffuscope.errors import InputError, unknown_name
from diffuscope.recipes.settings import check_settings

__all__ = ["Request", "read_request"]


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
