"""``diffuscope list WHAT``: what there is to choose from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from diffuscope.cli.common import Debug
from diffuscope.errors import unknown_name


def list_(
    what: Annotated[
        str,
        typer.Argument(metavar="datasets|recipes|schedules|samplers|networks|settings", show_default=False),
    ],
    debug: Debug = False,
) -> None:
    """List what there is to choose from."""
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

    # Read as text: checking what a recipe says takes torch.
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
                value = "needed" if one.is_required() else f"{one.default!r}"
                found.setdefault(f"{name}.{key}", f"{value}{of}")
    parts = ("network", "networks"), ("schedule", "schedules"), ("sampling", "samplers")
    return found | {f"{section}.*": f"those of the part: diffuscope list {what}" for section, what in parts}


def _settings_of(factory: Any) -> str:
    """Say a part's settings and their defaults."""
    import inspect

    free = {k: p.default for k, p in inspect.signature(factory).parameters.items()}
    free = {k: v for k, v in free.items() if v is not inspect.Parameter.empty}
    return ", ".join(f"{key} = {value}" for key, value in free.items()) or "no settings"
