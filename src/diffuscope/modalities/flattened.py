"""What is a model of any kind to a diagnosis? A denoiser of points (n, d), with its data as such points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.modalities.reference import Measurable, RealPoints, Reference
from diffuscope.model import Conditioned

__all__ = ["Flattened"]

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
    held_out: Points | None = None  # (m, d) that nothing was trained on
    probe: bool = True  # whether a small perceptron can learn the same task beside it
    piece: int = 2**12  # as of the run's model, for the same random numbers
    block: int | None = None  # as of the run's model, likewise
    half: torch.dtype | None = None  # as of the run's model
    # What was done to make points of the data, and what it costs in certainty.
    notes: str = ""
