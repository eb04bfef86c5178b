"""What is known of the law of the data: all of it, fresh draws, or some rows?

Everything is brought to the units of the model, as rows of numbers: images of floating-point numbers are
flattened.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.data.kinds import section_of
from diffuscope.diffusion.schedules import DiscreteSchedule, Schedule
from diffuscope.errors import InputError
from diffuscope.modalities.recognition import modality, modality_for
from diffuscope.oracle import Oracle, oracle_of

__all__ = ["LEAST_ROWS", "Law", "law_of", "schedule_of"]

LEAST_ROWS = 20
_REPEATED = 0.1  # share of held-out rows that are training rows, from which they are no held-out rows
_WHAT_TO_GIVE = (
    "Give what the network sees: numbers of shape (n, ...), the name of a built-in set, a function that "
    "draws, or an oracle."
)


@dataclass(frozen=True)
class Law:
    """What is known of a law of points of one ``shape``, in the units of the model.

    ``oracle`` is exact; ``draw(n, seed)`` gives fresh rows (n, d); ``x`` (n, d) are those that are trained
    on, ``held_out`` (m, d) others. What is not known is None, and one of the first three is. Float64.
    """

    name: str
    shape: tuple[int, ...]
    scaling: Scaling  # from the units of the data, flattened
    oracle: Oracle | None
    draw: Callable[[int, int], Tensor] | None
    x: Tensor | None
    held_out: Tensor | None
    drawn_here: bool = False  # the rows are of a law, and not those that the user trains on

    @property
    def d(self) -> int:
        """Coordinates of a point."""
        return math.prod(self.shape)


def schedule_of(betas: Schedule | ArrayLike | Tensor) -> Schedule:
    """Return a schedule, made of its betas (T,) where it is none; an InputError says what is wrong."""
    if isinstance(betas, Schedule):
        return betas
    try:
        beta = betas.detach().cpu().double() if isinstance(betas, Tensor) else torch.as_tensor(_float(betas))
    except (TypeError, ValueError):
        raise InputError(
            f"A {type(betas).__name__} is not a schedule.",
            "Give the betas, shape (T,), or a schedule of diffuscope.diffusion.schedules.",
        ) from None
    if beta.ndim != 1 or not beta.numel():
        raise InputError(
            f"The betas have shape {tuple(beta.shape)}.",
            "Give a vector of shape (T,): one beta for each step.",
        )
    return DiscreteSchedule(beta)


def law_of(
    data: Any, scaling: tuple[ArrayLike, ArrayLike] | None = None, held_out: Any = None, seed: int = 0
) -> Law:
    """Find out what is known of the law of ``data``; an InputError where it is none, or does not fit.

    Parameters
    ----------
    data : str, path, array_like, tensor, DataFrame, Dataset, callable or Oracle
        As of :func:`diffuscope.loss_floor`.
    scaling : (shift, scale), optional
        The model sees (data - shift) / scale; each broadcasts to a point.
    held_out : array_like or tensor of shape (m, ...), optional
        Rows that nothing is trained on, in the units of ``data``.
    seed : int
        Of the rows that a built-in set or a function has.
    """
    source: Dataset | None = None
    x: NDArray[np.float64] | None = None
    if isinstance(data, Oracle):
        name, shape = type(data).__name__, (data.d,)
    else:
        given = _dataset(data, seed)
        if isinstance(given, Dataset):
            name, x, source = given.name, given.x.astype(np.float64), given
        else:
            name, x = "array", given
        shape = x.shape[1:]
        if len(x) < LEAST_ROWS:
            raise InputError(f"{len(x)} rows are too few.", f"Give at least {LEAST_ROWS}.")
    affine = _scaling(scaling, shape)
    encode = _encoder(affine)
    oracle, draw, drawn = None, None, False
    if isinstance(data, Oracle):
        oracle = data.scaled(affine)
    elif source is not None and source.source.get("kind") == "builtin":
        oracle = oracle_of(source).scaled(affine)
    elif source is not None and source.draw is not None:
        fresh = source.draw

        def draw(n: int, seed: int) -> Tensor:
            return encode(fresh(n, seed))

    drawn = isinstance(data, str) or (callable(data) and not isinstance(data, Dataset | Oracle))
    others = None
    if held_out is not None:
        others = _array(held_out, "The held-out data")
        if others.shape[1:] != shape:
            raise InputError(
                f"The held-out data has points of shape {others.shape[1:]}, the data of {shape}.",
                "Give rows of the same shape, in the same units.",
            )
        if len(others) < 2:
            raise InputError("One held-out row is too few.", f"Give at least 2, better {LEAST_ROWS}.")
        if x is not None:
            _check_apart(others, x)
    return Law(
        name,
        tuple(shape),
        affine,
        oracle,
        draw,
        None if x is None else encode(x),
        None if others is None else encode(others),
        drawn,
    )


def _dataset(data: Any, seed: int) -> Dataset | NDArray[np.float64]:
    """Return points with their source, or an array of any shape that is the user's own."""
    if data is None:
        raise InputError("There is no data.", _WHAT_TO_GIVE)
    if isinstance(data, Dataset):
        if data.kind != "points":
            raise InputError(f"The data is of the kind {data.kind!r}, not points.", _WHAT_TO_GIVE)
        return data
    plain = not isinstance(data, str | Path) and not callable(data) and not hasattr(data, "columns")
    if plain:
        return _array(data, "The data")
    if modality_for(data).name == "images":
        raise InputError(
            f"{data!r} names images.",
            "Give the array that the network sees: floats of shape (n, channels, h, w).",
        )
    loaded: Dataset = modality("points").load(data, section_of("points")(), seed)  # type: ignore[call-arg]
    return loaded


def _array(values: Any, what: str) -> NDArray[np.float64]:
    """Return numbers of shape (n, ...), all finite; (n,) counts as (n, 1)."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.double().numpy() if values.is_floating_point() else values.numpy()
    if hasattr(values, "columns"):
        values = np.asarray(values)
    try:
        raw = np.asarray(values)
        if raw.dtype.kind == "c":
            raise TypeError
        x = raw.astype(np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what} is not an array of numbers.", _WHAT_TO_GIVE) from None
    if raw.dtype == np.uint8 and raw.ndim >= 3:
        raise InputError(
            f"{what} has bytes, shape {raw.shape}: images as they are stored, not as the network sees them.",
            "Give floats of shape (n, channels, height, width), scaled as in training: x / 127.5 - 1, say.",
        )
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim < 1 or not x.size:
        raise InputError(f"{what} has shape {x.shape}.", _WHAT_TO_GIVE)
    if not np.isfinite(x).all():
        raise InputError(f"{what} has values that are not finite.", "Remove those rows.")
    return x


def _float(values: Any) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _scaling(scaling: tuple[ArrayLike, ArrayLike] | None, shape: tuple[int, ...]) -> Scaling:
    d = math.prod(shape)
    try:
        shift, scale = (0.0, 1.0) if scaling is None else scaling
        parts = [np.broadcast_to(_float(v), shape).reshape(d) for v in (shift, scale)]
    except (TypeError, ValueError):
        raise InputError(
            f"The scaling does not fit points of shape {shape}.",
            "Give (shift, scale): the network sees (data - shift) / scale.",
        ) from None
    if not (np.isfinite(parts[0]).all() and np.isfinite(parts[1]).all() and (parts[1] > 0).all()):
        raise InputError(
            "The scaling is not finite, or its scale not above 0.", "Give (shift, scale), scale > 0."
        )
    return Scaling(*parts)


def _encoder(affine: Scaling) -> Callable[[NDArray[Any]], Tensor]:
    def encode(x: NDArray[Any]) -> Tensor:
        flat = np.asarray(x, dtype=np.float64).reshape(len(x), -1)
        return torch.from_numpy((flat - affine.shift) / affine.scale)

    return encode


def _check_apart(held_out: NDArray[np.float64], x: NDArray[np.float64]) -> None:
    """Raise an InputError where held-out rows are training rows, more than these repeat themselves."""
    seen = {row.tobytes() for row in np.ascontiguousarray(x)}
    again = np.mean([row.tobytes() in seen for row in np.ascontiguousarray(held_out)])
    own = 1 - len(seen) / len(x)
    if again > _REPEATED + 2 * own:
        raise InputError(
            f"{again:.0%} of the held-out rows are also rows of the data.",
            "Hold rows out before training: split the data, and train on one part alone.",
        )
