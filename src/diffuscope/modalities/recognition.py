"""Which modality is a source, a model or a recipe of?"""

from __future__ import annotations

from typing import Any

from diffuscope.data.base import Dataset
from diffuscope.data.kinds import KINDS, kind_of
from diffuscope.data.torch_sets import Unpacked, is_torch_set, unpacked
from diffuscope.errors import InputError
from diffuscope.modalities.base import Modality
from diffuscope.model import Model
from diffuscope.recipes import Recipe

__all__ = ["load_data", "modality", "modality_for", "modality_of", "modality_of_network"]


def modality(name: str) -> Modality[Dataset, Any]:
    """Return a modality by its name."""
    found: Modality[Dataset, Any] = kind_of(name).load("modality")
    return found


def modality_for(source: Any) -> Modality[Dataset, Any]:
    """Return the modality that accepts a source: a path, a name, an array, a table, a function, a Dataset.

    What none accepts is for the first, whose loading says what is wrong with it.
    """
    if is_torch_set(source):
        source = unpacked(source)
    if isinstance(source, Unpacked):
        source = source.x
    if isinstance(source, Dataset):
        return modality(source.kind)
    for name in KINDS:
        if modality(name).accepts(source):
            return modality(name)
    return modality(next(iter(KINDS)))


def modality_of(model: Model) -> Modality[Dataset, Any]:
    """Return the modality of a trained model, by its codec."""
    return modality(model.codec.kind)


def modality_of_network(source: Any) -> Modality[Dataset, Any]:
    """Return the modality of what a network of one's own was trained on: images as such, else points."""
    images = isinstance(source, Dataset) and source.kind == "images"
    return modality("images" if images or modality("images").accepts(source) else "points")


def load_data(source: Any, recipe: Recipe) -> Dataset:
    """Load data as a recipe says; None: from where the recipe says.

    InputError or FormatError where there is no source, or it cannot be learned from.
    """
    own, section, seed = modality(recipe.data.kind), recipe.data, recipe.seed
    source = section.source if source is None else source
    if source is None:
        raise InputError("No training data was given.", "Give the name of a data set, a file or an array.")
    if is_torch_set(source):
        source = unpacked(source)
    if isinstance(source, Unpacked) and source.y is None:
        source = source.x
    if not isinstance(source, Dataset | Unpacked) and not own.reads(source):
        other = modality_for(source)
        if other is not own:
            kind = kind_of(other.name).load("section")
            shared = {key: getattr(section, key, None) for key in ("size", "noise")}
            source = other.load(
                source, kind(**{k: v for k, v in shared.items() if k in kind.model_fields}), seed
            )
    data: Dataset = source if isinstance(source, Dataset) else own.read(source, section, seed)
    return own.settled(data if data.kind == own.name else own.adopt(data, section, seed))
