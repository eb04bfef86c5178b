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
        "schedules": _schedules,
        "samplers": _samplers,
        "networks": _networks,
        "settings": _settings,
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


def _schedules() -> dict[str, str]:
    from diffuscope.diffusion.schedules import SCHEDULES

    return {name: _settings_of(factory) for name, factory in SCHEDULES.items()}


def _samplers() -> dict[str, str]:
    from diffuscope.diffusion.samplers import SAMPLERS

    return {name: _settings_of(factory) for name, factory in SAMPLERS.items()}


def _networks() -> dict[str, str]:
    from diffuscope.networks import NETWORKS

    return {name: _settings_of(factory) for name, factory in NETWORKS.items()}


def _settings() -> dict[str, str]:
    """Return all settings of recipes, with the default of each; parts add their own."""
    from diffuscope.data.registry import KINDS, section_of
    from diffuscope.recipes.schema import Recipe

    found: dict[str, str] = {"seed": "0"}
    for name, field in Recipe.model_fields.items():
        kinds = (
            {f" (kind {kind})": section_of(kind) for kind in KINDS}
            if name == "data"
            else {"": field.annotation}
        )
        for of, section in kinds.items():
            for key, one in getattr(section, "model_fields", {}).items():
                value = "required" if one.is_required() else f"{one.default!r}"
                found.setdefault(f"{name}.{key}", f"{value}{of}")
    parts = ("network", "networks"), ("schedule", "schedules"), ("sampling", "samplers")
    return found | {
        f"{section}.*": f"settings of the chosen one, see diffuscope list {what}" for section, what in parts
    }


def _settings_of(factory: Any) -> str:
    """Return a part's settings and their defaults as text."""
    import inspect

    free = {k: p.default for k, p in inspect.signature(factory).parameters.items()}
    free = {k: v for k, v in free.items() if v is not inspect.Parameter.empty}
    return ", ".join(f"{key} = {value}" for key, value in free.items()) or "no settings"
