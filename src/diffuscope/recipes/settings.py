"""Do settings suit the part that they are for? What it asks for is read off its own signature."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from diffuscope.errors import InputError, unknown_name

__all__ = ["check_settings"]


def check_settings(
    kind: str, name: str, factory: Callable[..., Any], given: Mapping[str, Any], fixed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the settings of a part, complete: those given, in the types that it asks for, and its defaults.

    Parameters
    ----------
    kind, name : str
        What errors call the part.
    factory : callable
        Makes the part of its settings.
    given : mapping
    fixed : tuple of str
        What is not the recipe's to set.

    Raises
    ------
    InputError
        When the part does not know a setting, or takes no such value.
    """
    free = {k: p.default for k, p in inspect.signature(factory).parameters.items() if k not in fixed}
    made = factory.func if isinstance(factory, partial) else factory
    types = get_type_hints(vars(made)["__init__"] if inspect.isclass(made) else made, include_extras=True)
    settings = {}
    for key, default in free.items():
        if key not in given:
            if default is not inspect.Parameter.empty:
                settings[key] = default
            continue
        try:
            settings[key] = TypeAdapter(types[key]).validate_python(given[key])
        except ValidationError as error:
            problem = error.errors()[0]["msg"]
            raise InputError(
                f"{key} = {given[key]!r} does not suit the {kind} {name!r}: {problem}.",
                None if default is inspect.Parameter.empty else f"Its default is {default!r}.",
            ) from error
        value = settings[key]
        if isinstance(value, float) and not math.isfinite(value) and value != default:
            raise InputError(f"{key} = {value} of the {kind} {name!r} is not finite.")
    for key in given:
        if key not in free:
            raise unknown_name(f"setting of the {kind} {name!r}", key, free)
    return settings
