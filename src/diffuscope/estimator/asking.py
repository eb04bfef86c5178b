"""How is a model asked for rows of which something is known? It walks with that in its sight.

A coordinate that is known stays what it is all along; one that is absent is walked too, by itself, and
thrown away.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from diffuscope.denoiser import DenoiserLike
from diffuscope.errors import InputError
from diffuscope.model import Model
from diffuscope.partial import Given, Guided, PartialDenoiser
from diffuscope.progress import Reporter

__all__ = ["Known", "draw_rows"]

Floats = NDArray[np.float64]
Known = Floats
"""Coordinates (n, D), NaN where nothing is known."""


def draw_rows(
    model: Model,
    known: Known,
    absent: NDArray[np.bool_],
    *,
    seed: int,
    guiding: NDArray[np.bool_] | None = None,
    guidance: float = 1.0,
    reporter: Reporter | None = None,
    **wanted: Any,
) -> Floats:
    """Draw the coordinates of rows that are not known from their law given the others.

    Parameters
    ----------
    model : Model
        Of a table, told which coordinates are known.
    known : ndarray of shape (n, D)
        NaN where nothing is known.
    absent : ndarray of shape (D,), bool
        Coordinates that have no say where they are not known; what comes back there means nothing.
    seed : int
    guiding : ndarray of shape (D,), bool, optional
        The known coordinates that classifier-free guidance amplifies.
    guidance : float
        Its scale; 1: none.
    reporter : Reporter, optional
    **wanted
        ``sampler`` and ``steps`` of :meth:`Model.sample`.

    Returns
    -------
    ndarray of shape (n, D), float64
        With what is known as it was.

    Raises
    ------
    InputError
        When the model's network cannot be told what is known.
    """
    denoiser, n = model.denoiser, len(known)
    is_known = ~np.isnan(known)
    plain = not is_known.any() and not absent.any()
    if not isinstance(denoiser, PartialDenoiser) and not plain:
        raise InputError(
            "This model's network was not trained for rows of which something is known or missing.",
            "Fit it with partial above 0 (the recipe 'table').",
        )
    guides = None if guiding is None or guidance == 1 else torch.from_numpy(guiding & is_known.all(axis=0))

    def told(start: int, stop: int) -> DenoiserLike:
        assert isinstance(denoiser, PartialDenoiser)
        value = torch.from_numpy(np.nan_to_num(known[start:stop])).float()
        some = torch.from_numpy(is_known[start:stop])
        given = Given(value, some, torch.from_numpy(absent) & ~some)
        given = Given(*(part.to(model.device) for part in given))
        if guides is None or not guides.any():
            return denoiser.told(given)
        return Guided(denoiser, given, guides.to(model.device), guidance)

    pieces, done = [], 0
    with (reporter or Reporter(False)).bar("sampling", n, "rows") as bar:
        for piece in model.batches(n, seed=seed, told=None if plain else told, **wanted):
            pieces.append(piece)
            done += len(piece)
            bar.update(done)
    return np.where(is_known, known, np.concatenate(pieces))
