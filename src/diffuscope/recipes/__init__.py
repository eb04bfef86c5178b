"""Named, complete settings, as TOML files beside this one; ``load_recipe`` takes a name or a path.

The schema needs torch and is imported on first use; the names of the recipes do not.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffuscope.errors import unknown_name

if TYPE_CHECKING:
    from diffuscope.recipes.schema import Recipe, read_recipe
    from diffuscope.recipes.sections import CUSTOM

__all__ = ["CUSTOM", "RECIPES", "Recipe", "load_recipe", "read_recipe"]

RECIPES: dict[str, Path] = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.toml"))}


def load_recipe(recipe: str | Path | Recipe) -> Recipe:
    """Return a recipe from a name, a TOML file or a recipe.

    Raises
    ------
    InputError, FormatError
        When there is no such recipe, or the file is not a valid one.

    Examples
    --------
    >>> import diffuscope
    >>> recipe = diffuscope.load_recipe("fast")
    >>> recipe.training.steps
    950
    >>> recipe.changed({"training.steps": 200}).training.steps
    200
    """
    from diffuscope.recipes.schema import Recipe, read_recipe

    if isinstance(recipe, Recipe):
        return recipe
    if str(recipe) in RECIPES:
        return read_recipe(RECIPES[str(recipe)])
    if Path(recipe).suffix == ".toml" or Path(recipe).exists():
        return read_recipe(recipe)
    raise unknown_name("recipe", str(recipe), RECIPES)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from diffuscope.recipes import schema

    return getattr(schema, name)
