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
    """A model and its data as points.

    Attributes
    ----------
    denoiser : DenoiserLike
        Maps (n, d), unconditionally.
    codec : Scaling
        From the units of ``data`` to the model's.
    data : Dataset
        The training data, x of shape (n, d), all finite.
    reference : Reference
        What samples are compared with: that of the run's own number.
    points : RealPoints
        The clouds of the reference in the units of ``data``.
    measure : callable
        Maps (n, d) of the model to what distances are taken of.
    rows : callable
        Brings samples that a user hands over to (n, d), in the units of ``data``.
    conditioned : callable, optional
        The denoisers by which the run samples, where these are conditioned.
    held_out : ndarray of shape (m, d) or None
        Real points that nothing was trained on.
    probe : bool
        Whether a small perceptron can learn the same task beside it.
    piece, half
        As of the run's :class:`~diffuscope.model.Model`, for the same random numbers and rounding.
    notes : str
        What was done to make points of the data, and what it costs in certainty.
    """

    denoiser: DenoiserLike
    codec: Scaling
    data: Dataset
    reference: Reference
    points: RealPoints
    measure: Measurable
    rows: Callable[[Any], Points]
    conditioned: Conditioned | None = None
    held_out: Points | None = None
    probe: bool = True
    piece: int = 2**12
    half: torch.dtype | None = None
    notes: str = ""
