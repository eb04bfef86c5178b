"""Are the settings of a component valid? They are checked against its signature."""

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
    """Return the settings of a component that ``factory`` makes: the given ones, validated, and defaults.

    Parameters in ``fixed`` cannot be set. A setting that is unknown or not valid is an InputError.
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
                f"{key} = {given[key]!r} is not valid for the {kind} {name!r}: {problem}.",
                None if default is inspect.Parameter.empty else f"The default is {default!r}.",
            ) from error
        value = settings[key]
        if isinstance(value, float) and not math.isfinite(value) and value != default:
            raise InputError(f"{key} = {value} of the {kind} {name!r} must be finite.")
    for key in given:
        if key not in free:
            raise unknown_name(f"setting of the {kind} {name!r}", key, free)
    return settings
