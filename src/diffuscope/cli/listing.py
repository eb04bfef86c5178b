"""``diffuscope list WHAT``: the available data sets, recipes, parts and settings."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Annotated, Any

from typer import Argument, echo

from diffuscope.errors import unknown_name

_KINDS = "datasets, recipes, schedules, samplers, networks or settings."
_PARTS = {"schedules": "diffusion.schedules", "samplers": "diffusion.samplers", "networks": "networks"}


def list_(what: Annotated[str, Argument(metavar="WHAT", help=_KINDS, show_default=False)]) -> None:
    """List the available data sets, recipes, parts or settings."""
    tables = {"datasets": _datasets, "recipes": _recipes, "settings": _settings}
    if what not in tables and what not in _PARTS:
        raise unknown_name("list", what, [*tables, *_PARTS])
    rows = tables[what]() if what in tables else _parts(what)
    width = max(map(len, rows))
    for name, text in rows.items():
        echo(f"{name:<{width}}  {text}")


def _datasets() -> dict[str, str]:
    from diffuscope.data.images import IMAGE_SETS
    from diffuscope.data.points import POINT_SETS

    points = {name: f"{points.description} (noise {points.noise:g})" for name, points in POINT_SETS.items()}
    return points | {name: images.description for name, images in IMAGE_SETS.items()}


def _recipes() -> dict[str, str]:
    import tomllib

    from diffuscope.recipes import RECIPES

    # Read as text: validating a recipe needs torch.
    return {name: tomllib.loads(path.read_text("utf-8"))["description"] for name, path in RECIPES.items()}


def _settings() -> dict[str, str]:
    from diffuscope.data.kinds import KINDS, section_of
    from diffuscope.recipes import Recipe

    rows = {"seed": _default_of(Recipe.model_fields["seed"])}
    for kind in KINDS:
        for key, field in section_of(kind).model_fields.items():
            rows.setdefault(f"data.{key}", _default_of(field) if key != "kind" else ", ".join(KINDS))
    for name, section in Recipe.model_fields.items():
        fields = getattr(section.annotation, "model_fields", {})
        rows |= {f"{name}.{key}": _default_of(field) for key, field in fields.items() if name != "data"}
    more = "settings of the chosen one, see diffuscope list"
    parts = {"schedule": "schedules", "network": "networks", "sampling": "samplers"}
    return rows | {f"{name}.*": f"{more} {listed}" for name, listed in parts.items()}


def _parts(what: str) -> dict[str, str]:
    """Return the registered parts of a kind, each with its settings and their defaults."""
    rows = {}
    for name, factory in getattr(import_module(f"diffuscope.{_PARTS[what]}"), what.upper()).items():
        free = [p for p in inspect.signature(factory).parameters.values() if p.default is not p.empty]
        rows[name] = ", ".join(f"{p.name} = {p.default}" for p in free) or "no settings"
    return rows


def _default_of(field: Any) -> str:
    return "required" if field.is_required() else field.description or f"{field.default}"
