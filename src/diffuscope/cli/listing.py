"""``diffuscope list WHAT``: the available data sets, recipes, parts and settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from typer import Argument

from diffuscope.errors import unknown_name
from diffuscope.terminal import echo
from diffuscope.translations import term, translate
from diffuscope.translations.display import ljust

_PARTS = Path(__file__).parent / "parts.json"  # kept as text, since the code that says it loads torch
_KINDS = "datasets, recipes, schedules, samplers, networks or settings."

_WIDEST = 24  # of a default that others are put in line with


def list_(what: Annotated[str, Argument(metavar="WHAT", help=_KINDS, show_default=False)]) -> None:
    """List the available data sets, recipes, parts or settings."""
    light, kept = {"datasets": _datasets, "recipes": _recipes}, json.loads(_PARTS.read_text("utf-8"))
    if what not in [*light, *kept]:
        raise unknown_name("list", what, [*light, *kept])
    listed = light[what]() if what in light else kept[what]
    width = max(map(len, listed))
    if what == "settings":
        wide = max(len(default) for default, _ in listed.values() if len(default) <= _WIDEST)
        for name, (default, about) in listed.items():
            echo(f"{name:<{width}}  {ljust(_default(default), wide)}  {translate(about)}", as_is=True)
        return
    for name, (about, *settings) in listed.items():
        more = f"  [{settings[0]}]" if settings and settings[0] else ""
        echo(f"{name:<{width}}  {translate(about)}{more}", as_is=True)


def _datasets() -> dict[str, list[str]]:
    from diffuscope.data.images import IMAGE_SETS
    from diffuscope.data.points import POINT_SETS

    points = {name: [f"{one.description} (noise {one.noise:g})"] for name, one in POINT_SETS.items()}
    return points | {name: [images.description] for name, images in IMAGE_SETS.items()}


def _recipes() -> dict[str, list[str]]:
    import tomllib

    from diffuscope.recipes import RECIPES

    # Read as text: validating a recipe needs torch.
    return {name: [tomllib.loads(path.read_text("utf-8"))["description"]] for name, path in RECIPES.items()}


def _default(text: str) -> str:
    """Return a default, which is a value; that there is none is a word."""
    return term(text) if text == "required" else translate(text)
