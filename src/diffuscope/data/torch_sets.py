"""How does data come out of the containers of torch: a Dataset, a TensorDataset, a DataLoader?

Nothing is imported of torch unless it is there already: whoever has such a container has torch.
"""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.errors import InputError

__all__ = ["Unpacked", "is_torch_set", "unpacked"]

_MOST = 10_000_000  # items


class Unpacked(NamedTuple):
    """Data x (n, ...), such as all of a container in its order, and, where it has them, labels (n, ...)."""

    x: Any
    y: Any = None


def is_torch_set(source: Any) -> bool:
    """Whether a source is a container of torch."""
    torch_data = sys.modules.get("torch.utils.data")
    if torch_data is None:
        return False
    return isinstance(source, torch_data.Dataset | torch_data.DataLoader)


def unpacked(source: Any) -> Unpacked:
    """Return what is in a container: items x, or pairs (x, y), of which x may be an image of Pillow.

    Of a DataLoader it is its data set: batches and their order are the training's own. Images as floats from
    0 to 1, channels first, as torchvision's ToTensor gives them, become bytes again. InputError where items
    are of another form, or of several shapes.
    """
    import torch

    if isinstance(source, torch.utils.data.DataLoader):
        source = source.dataset
    if isinstance(source, torch.utils.data.IterableDataset) or not hasattr(source, "__len__"):
        raise InputError(
            "An iterable data set has no length, and its order no end.",
            "Give an array, or a function (n, rng) that draws n points.",
        )
    n = len(source)
    if not 0 < n <= _MOST:
        raise InputError(f"The data set has {n:,} items.", f"Give 1 to {_MOST:,}.")
    if isinstance(source, torch.utils.data.TensorDataset):
        parts = [tensor.detach().cpu().numpy() for tensor in source.tensors]
    else:
        items = [source[i] for i in range(n)]
        several = isinstance(items[0], tuple | list)
        columns = list(zip(*items, strict=True)) if several else [items]
        parts = [_stacked(column) for column in columns]
    if len(parts) > 2:
        raise InputError(f"Items of {len(parts)} parts cannot be read.", "Give x, or x and a label.")
    return Unpacked(_bytes(parts[0]), parts[1] if len(parts) == 2 else None)


def _stacked(items: Any) -> NDArray[Any]:
    """Return items of equal shape as one array."""
    arrays = [np.asarray(item.detach().cpu() if hasattr(item, "detach") else item) for item in items]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1 or arrays[0].dtype.kind not in "biuf":
        some = ", ".join(map(str, sorted(shapes)[:3]))
        raise InputError(
            f"The items of the data set have shapes {some} and type {arrays[0].dtype}.",
            "Give numbers of one shape: resize or transform them in the data set.",
        )
    return np.stack(arrays)


def _bytes(x: NDArray[Any]) -> NDArray[Any]:
    """Return images of floats from 0 to 1 as bytes; all else as it is."""
    if x.dtype.kind == "f" and x.ndim == 4 and x.shape[1] <= 4 and x.min() >= 0 and x.max() <= 1:
        return np.round(x * 255).astype(np.uint8)
    return x
