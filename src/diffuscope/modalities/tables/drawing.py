"""How is a model asked for rows of which something is known? It walks with that in its sight.

A coordinate that is known stays what it is all along; one that is absent is walked too, by itself, and
thrown away.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.masked import Mask, MaskedDenoiser
from diffuscope.errors import InputError, RunError
from diffuscope.model import Model

__all__ = ["drawn"]

Floats = NDArray[np.float64]


def drawn(
    model: Model,
    known: Floats,
    absent: NDArray[np.bool_],
    *,
    seed: int,
    guiding: NDArray[np.bool_] | None = None,
    guidance: float = 1.0,
    **wanted: Any,
) -> Iterator[Floats]:
    """Draw the coordinates of rows that are not known from their law given the others, piece by piece.

    Parameters
    ----------
    model : Model
        Of a table, told which coordinates are known.
    known : ndarray of shape (n, D)
        NaN where nothing is known. May be one row that is shown as n of them: memory stays flat.
    absent : ndarray of shape (D,), bool
        Coordinates that have no say where they are not known; what comes back there means nothing.
    seed : int
    guiding : ndarray of shape (D,), bool, optional
        The known coordinates that classifier-free guidance amplifies.
    guidance : float
        Its scale; 1: none.
    **wanted
        ``sampler`` and others of :meth:`Model.sample`.

    Yields
    ------
    ndarray of shape (m, D), float64
        With what is known as it was; the m add up to n.

    Raises
    ------
    InputError
        When the model's network cannot be told what is known.
    """
    denoiser, n = model.denoiser, len(known)
    # What n rows share is looked at once.
    everywhere = ~np.isnan(known[:1] if known.strides[0] == 0 else known)
    plain = not everywhere.any() and not absent.any()
    if not isinstance(denoiser, MaskedDenoiser) and not plain:
        raise InputError(
            "This model's network was not trained for rows of which something is known or missing.",
            "Fit it with partial above 0 (the recipe 'table').",
        )
    guides = None if guiding is None or guidance == 1 else torch.from_numpy(guiding & everywhere.all(axis=0))

    def told(start: int, stop: int) -> DenoiserLike:
        assert isinstance(denoiser, MaskedDenoiser)
        here = known[start:stop]
        some = torch.from_numpy(~np.isnan(here))
        given = Mask(torch.from_numpy(np.nan_to_num(here)).float(), some, torch.from_numpy(absent) & ~some)
        given = Mask(*(part.to(model.device) for part in given))
        if guides is None or not guides.any():
            return denoiser.conditioned(given)
        return denoiser.guided(given, guides.to(model.device), guidance)

    start = 0
    can_be_told = isinstance(denoiser, MaskedDenoiser)
    for piece in model.batches(n, seed=seed, told=told if can_be_told else None, **wanted):
        here = known[start : start + len(piece)]
        if not np.isfinite(piece).all():
            raise RunError(
                "The model's rows are not finite.", "Try another sampler or more steps, or train it again."
            )
        yield np.where(np.isnan(here), piece, here)
        start += len(piece)
