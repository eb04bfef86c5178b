"""What is a model of any kind to a diagnosis? A denoiser of points (n, d), with its data as such points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.errors import InputError
from diffuscope.modalities.reference import Measurable, RealPoints, Reference
from diffuscope.model import Conditioned

__all__ = ["Flattened", "checked_points"]

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Flattened:
    """A model and its data as points."""

    denoiser: DenoiserLike  # maps (n, d), unconditionally
    codec: Scaling  # from the units of data to the model's
    data: Dataset  # for training, x of shape (n, d), all finite
    reference: Reference  # what samples are compared with: that of the run's own number
    points: RealPoints  # the clouds of the reference in the units of data
    measure: Measurable  # maps (n, d) of the model to what distances are taken of
    rows: Callable[[Any], Points]  # brings samples of a user to (n, d), in the units of data
    conditioned: Conditioned | None = None  # the denoisers by which the run samples, where conditioned
    unguided: Conditioned | None = None  # the same with guidance of 1, where the run has another
    guidance: float = 1.0
    held_out: Points | None = None  # (m, d) that nothing was trained on
    probe: bool = True  # whether a small perceptron can learn the same task beside it
    piece: int = 2**11  # as of the run's model, for the same random numbers
    block: int | None = None  # as of the run's model, likewise
    half: torch.dtype | None = None  # as of the run's model
    # Measured points as they are once they were written and read again: rounded, of a category.
    as_written: Callable[[Points], Points] = lambda measured: measured
    # Makes a network of this kind of data, such as the last weights, one of points.
    of_points: Callable[[nn.Module], nn.Module] = lambda network: network
    # What was done to make points of the data, and what it costs in certainty.
    notes: str = ""


def checked_points(values: Any, name: str, d: int, finite: bool = True) -> Points:
    """Return points (m, d) of at least two rows, or raise an InputError that names them."""
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or len(table) < 2:
        raise InputError(f"{name} has shape {table.shape}.", "Give points of shape (m, d), at least 2.")
    if table.shape[1] != d:
        raise InputError(f"{name} has {table.shape[1]} columns, the data {d}.", "Give the same columns.")
    if finite and not np.isfinite(table).all():
        raise InputError(f"{name} has values that are not finite.", "Remove those rows.")
    return table
