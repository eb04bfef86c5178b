"""``diffuscope list WHAT``: the available data sets, recipes, parts and settings."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from diffuscope.cli.common import Debug
from diffuscope.errors import unknown_name


def list_(
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="datasets, recipes, schedules, samplers, networks or settings.",
            show_default=False,
        ),
    ],
    debug: Debug = False,
) -> None:
    """List the available data sets, recipes, parts or settings."""
    tables = {
        "datasets": _datasets,
        "recipes": _recipes,
        "settings": _settings,
        "schedules": _schedules,
        "samplers": _samplers,
        "networks": _networks,
    }
    if what not in tables:
        raise unknown_name("list", what, tables)
    rows = tables[what]()
    width = max(len(name) for name in rows)
    for name, text in rows.items():
        typer.echo(f"{name:<{width}}  {text}")


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
    parts = {"schedule": "schedules", "network": "networks", "sampling": "samplers"}
    more = "settings of the chosen one, see diffuscope list"
    return rows | {f"{name}.*": f"{more} {listed}" for name, listed in parts.items()}


def _schedules() -> dict[str, str]:
    from diffuscope.diffusion.schedules import SCHEDULES

    return {name: _settings_of(factory) for name, factory in SCHEDULES.items()}


def _samplers() -> dict[str, str]:
    from diffuscope.diffusion.samplers import SAMPLERS

    return {name: _settings_of(factory) for name, factory in SAMPLERS.items()}


def _networks() -> dict[str, str]:
    from diffuscope.networks import NETWORKS

    return {name: _settings_of(factory) for name, factory in NETWORKS.items()}


def _default_of(field: Any) -> str:
    """Return the default of a setting as text."""
    return "required" if field.is_required() else f"{field.default}"


def _settings_of(factory: Any) -> str:
    """Return a part's settings and their defaults as text."""
    import inspect

    free = {k: p.default for k, p in inspect.signature(factory).parameters.items()}
    free = {k: v for k, v in free.items() if v is not inspect.Parameter.empty}
    return ", ".join(f"{key} = {value}" for key, value in free.items()) or "no settings"
