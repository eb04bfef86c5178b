r"""What lies behind numbers that were measured with noise of a known size?

A model is evaluated at one noise level for all coordinates of a row, and columns of unlike units are noisy to
unlike degrees: a deviation of s in the units of column j is one of :math:`\sigma_j = s\, |dz_j/dx_j|` in
its coordinate. So each column has its own noise level. Of the others, the cleaner ones are brought
to that level by noise of :math:`\sqrt{\sigma_j^2 - \sigma_i^2}`, over some draws of which the answer is
averaged, and those that are noisier still are absent. What comes out is
:math:`E[z_j \mid \text{a row no more telling than the one that was given}]`: right on average, and exact
where all columns are equally noisy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from diffuscope.data.tables import RowCodec
from diffuscope.data.tables.columns.numeric import Number, as_finite
from diffuscope.data.tables.values import restore
from diffuscope.diffusion.masked import Mask, MaskedDenoiser
from diffuscope.errors import InputError
from diffuscope.model import Model
from diffuscope.seeds import stream
from diffuscope.shares import shared

__all__ = ["denoise_table"]

_DRAWS = 8
_ROWS = 2**12
_ALIKE = 1e-6


def denoise_table(model: Model, X: Any, noise_std: ArrayLike, seed: int = 0) -> Any:
    """Return a table with the noise taken out of its numbers, of the kind that was fitted.

    ``noise_std``, one number or one for each column, is in the units of the columns; InputError where it is
    negative or not finite. Missing values stay missing; columns that are no floats are taken as exact.
    """
    assert isinstance(model.codec, RowCodec)
    codec = model.codec.features
    frame = codec.aligned(X)
    stds = np.asarray(noise_std, dtype=np.float64)
    if stds.shape not in ((), (len(codec.columns),)) or not (np.isfinite(stds) & (stds >= 0)).all():
        raise InputError(
            f"noise_std must be one number of at least 0, or {len(codec.columns)} of them, one for each "
            f"column; got shape {stds.shape}.",
            "Give standard deviations in the units of the columns.",
        )
    stds = np.broadcast_to(stds, len(codec.columns))
    points = model.codec.encode(X)
    noise = np.zeros_like(points)
    numbers = {j: c for j, c in enumerate(codec.columns) if isinstance(c, Number) and stds[j] > 0}
    for j, column in numbers.items():
        x = as_finite(frame.column(j), column.name)
        with np.errstate(invalid="ignore"):
            z, low, high = (column.line.forward(x + by * stds[j]) for by in (0, -1, 1))
        place = codec.slices[column.name].start
        points[:, place], noise[:, place] = z, np.nan_to_num((high - low) / 2)
    rows, sigma = torch.from_numpy(points), torch.from_numpy(noise)

    def piece(start: int) -> Tensor:
        part = slice(start, start + _ROWS)
        return _denoise(model, rows[part], sigma[part], stream(seed, "denoise", start // _ROWS))

    what, starts = f"denoising {len(rows):,} rows", range(0, len(rows), _ROWS)
    clean = torch.cat(list(shared(piece, starts, model.device, what=what))).numpy()
    columns = [frame.column(j).reset_index(drop=True) for j in range(len(codec.columns))]
    for j, column in numbers.items():
        x = column.line.backward(clean[:, codec.slices[column.name].start])
        columns[j] = restore(x, ~np.isnan(x), column.dtype, column.name)
    return frame.container.assemble(columns, frame.index)


@torch.no_grad()
def _denoise(model: Model, rows: Tensor, sigma: Tensor, generator: torch.Generator) -> Tensor:
    """Return the means of clean coordinates (n, D) given noisy ones of such deviations; NaN stays."""
    missing = rows.isnan()
    clean = rows.clone()
    values, known = rows.nan_to_num(0.0), (sigma == 0) & ~missing
    for j in range(rows.shape[1]):
        noisy = (sigma[:, j] > 0) & ~missing[:, j]
        if not noisy.any():
            continue
        own, level = sigma[noisy], sigma[noisy, j, None]
        lacking = (level.square() - own.square()).clamp_min(0).sqrt()
        lacking[(own - level).abs() <= _ALIKE * level] = 0.0
        absent = missing[noisy] | (own > level * (1 + _ALIKE))
        given = Mask(values[noisy], known[noisy], absent)
        extra = lacking.masked_fill(known[noisy] | absent, 0.0)
        draws = _DRAWS if bool((extra > 0).any()) else 1
        total = torch.zeros(int(noisy.sum()), dtype=torch.float64)
        for _ in range(draws):
            x_t = values[noisy] + extra * torch.randn(extra.shape, generator=generator, dtype=extra.dtype)
            total += _clean_means(model, x_t, level[:, 0], given)[:, j]
        clean[noisy, j] = total / draws
    return clean


def _clean_means(model: Model, noisy: Tensor, ratio: Tensor, given: Mask) -> Tensor:
    """Return E[x_0] of points (n, D) that are x_0 with noise of deviations ``ratio`` (n,)."""
    denoiser, device = model.denoiser, model.device
    level = denoiser.schedule.at_ratio(ratio)
    x_t = (level.alpha[:, None] * noisy).float().to(device)
    if isinstance(denoiser, MaskedDenoiser):
        mask = Mask(given.value.float().to(device), given.known.to(device), given.absent.to(device))
        mean = denoiser.forward(x_t, level, mask)
    else:
        mean = denoiser.forward(x_t, level)
    return mean.double().cpu()
