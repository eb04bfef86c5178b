"""``diffuscope list WHAT``: the available data sets, recipes, parts and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Argument

from diffuscope.errors import unknown_name
from diffuscope.terminal import echo

_PARTS = Path(__file__).parent / "parts.json"  # kept as text, since the code that says it loads torch
_KINDS = "datasets, recipes, schedules, samplers, networks or settings."


def list_(what: Annotated[str, Argument(metavar="WHAT", help=_KINDS, show_default=False)]) -> None:
    """List the available data sets, recipes, parts or settings."""
    light, kept = {"datasets": _datasets, "recipes": _recipes}, json.loads(_PARTS.read_text("utf-8"))
    if what not in [*light, *kept]:
        raise unknown_name("list", what, [*light, *kept])
    listed = light[what]() if what in light else kept[what]
    width = max(map(len, listed))
    for name, text in listed.items():
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
