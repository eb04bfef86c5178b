r"""What is the exact denoiser of Gaussian data? The part of the estimate that needs no training.

Factor analysis models a point by a few common factors plus independent noise for each coordinate,

.. math::  x = \mu + L f + e, \qquad f \sim N(0, I_k), \quad e_j \sim N(0, \psi_j).

All conditional distributions then have a closed form. For a point y with noise of variance v, with v = 0 for
known coordinates and :math:`v = \infty` for absent ones,

.. math::
    p_j = \frac{1}{\psi_j + v_j}, \qquad
    \hat f = (I + L^T P L)^{-1} L^T P (y - \mu), \qquad
    E[x_j \mid y] = y_j - v \, p_j \bigl(y_j - \mu_j - (L \hat f)_j\bigr),

at the cost of one k × k system per point. The network is trained on the residual of the target, so that it
has to learn only what is not Gaussian. With L = 0 and :math:`\psi = 1` this is the skip connection of Karras
et al. 2022 (Table 1) for data of unit variance.

Factors and variances are fitted to the covariance matrix, shrunk towards its diagonal by the intensity of
Ledoit and Wolf (2004), by iterating the eigenvectors of :math:`C - \Psi` (principal axis factoring).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from diffuscope.diffusion.masked.mask import Mask
from diffuscope.diffusion.process import coefficient
from diffuscope.transfers import upload

__all__ = ["Factors"]

_LEAST_VARIANCE = 0.1  # smaller variances are left to the network: outliers are common
_ROUNDS = 30
_MARGIN = 0.25
_REACH = 4.0  # standard deviations; a sampler's starting noise hardly exceeds them
_ANYTHING = 1e6


class Factors(nn.Module):
    """A Gaussian model of d coordinates with at most k, and d, factors; N(0, I) before it is fitted."""

    mean: Tensor
    loadings: Tensor
    unique: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, dimension: int, count: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dimension))
        self.register_buffer("loadings", torch.zeros(dimension, min(count, dimension)))
        self.register_buffer("unique", torch.ones(dimension))
        self.register_buffer("low", torch.full((dimension,), -_ANYTHING))
        self.register_buffer("high", torch.full((dimension,), _ANYTHING))

    @torch.no_grad()
    def fit(self, x: Tensor, weights: Tensor | None = None) -> None:
        """Fit to points (n, d), NaN where a coordinate is missing, which may have weights (n,)."""
        mean, covariance = _moments(x.double(), weights)
        loadings, unique = _principal_axes(covariance, self.loadings.shape[1])
        low, high = x.nan_to_num(math.inf).amin(0), x.nan_to_num(-math.inf).amax(0)
        margin = _MARGIN * (high - low)
        bounds = ((low - margin).clamp(-_ANYTHING, _ANYTHING), (high + margin).clamp(-_ANYTHING, _ANYTHING))
        for buffer, value in zip(self.buffers(), (mean, loadings, unique, *bounds), strict=True):
            buffer.copy_(value)

    def clamp(self, x_0: Tensor, y: Tensor, ratio: Tensor) -> Tensor:
        """Return estimates (n, d) clamped to the range of the data.

        The range is widened by a quarter, and for outlying noisy points ``y`` (n, d) to four standard
        deviations of the noise, ``ratio``, from them. Outside its training data a network may predict values
        far beyond that, and sampling would diverge.
        """
        reach = _REACH * coefficient(ratio, y)
        low, high = torch.minimum(self.low, y + reach), torch.maximum(self.high, y - reach)
        return torch.minimum(torch.maximum(x_0, low), high)

    def noise(self, y: Tensor, variance: Tensor, mask: Mask) -> Tensor:
        r"""Return :math:`(y - E[x | y]) / v`, shape (n, d), for noise of ``variance`` v, shape () or (n,)."""
        variance = upload(variance.to(y.dtype), y.device).expand(len(y))[:, None]
        value = torch.where(mask.known, mask.value, y) - self.mean
        spread = self.unique + variance.masked_fill(mask.known, 0.0)
        precision = (1 / spread).masked_fill(mask.absent, 0.0)
        if self.loadings.shape[1]:
            products = self.loadings[:, :, None] * self.loadings[:, None, :]
            k = products.shape[1]
            identity = torch.eye(k, dtype=y.dtype, device=y.device)
            system = (precision @ products.flatten(1)).view(-1, k, k) + identity
            right = (precision * value) @ self.loadings
            root = torch.linalg.cholesky_ex(system).L  # not finite where it fails
            factors = torch.cholesky_solve(right[:, :, None], root)[:, :, 0]
            value = value - factors @ self.loadings.T
        return value / (self.unique + variance)


def _moments(x: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Return mean (d,) and shrunk covariance (d, d) of points (n, d), over pairs without missing values.

    Weighted points count as many as tell as much, :math:`(\sum w)^2 / \sum w^2`.
    """
    present = (~x.isnan()).to(x.dtype)
    w = x.new_ones(len(x), 1)
    if weights is not None:
        w = weights.to(x)[:, None]
        w = w * (w.sum() / w.square().sum())
    least = 1.0 if weights is None else 1e-9  # where there is no pair at all
    count = (w * present).sum(0).clamp_min(least)
    mean = (w * x.nan_to_num(0.0)).sum(0) / count
    z = (x - mean).nan_to_num(0.0)
    together = ((w * present).T @ present).clamp_min(least)
    raw = ((w * z).T @ z) / together
    # The shrinkage that minimises the mean squared error: the matrix's variance over its squared norm.
    square = (((w * z.square()).T @ z.square()) / together - raw.square()) / together.clamp_min(1.0)
    off = ~torch.eye(len(raw), dtype=torch.bool, device=x.device)
    share = (square[off].sum() / raw.square()[off].sum().clamp_min(1e-12)).clamp(0.0, 1.0)
    return mean, torch.where(off, (1 - share) * raw, raw)


def _principal_axes(covariance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return loadings (d, k) and unique variances (d,)."""
    d, variances = len(covariance), covariance.diagonal().clamp_min(_LEAST_VARIANCE)
    least = torch.linalg.eigvalsh(covariance)[0].clamp_min(0.0)
    unique = (0.5 * least).clamp_min(_LEAST_VARIANCE).expand(d)
    loadings = covariance.new_zeros(d, count)
    for _ in range(1 if count >= d else _ROUNDS):
        values, vectors = torch.linalg.eigh(covariance - unique.diag())
        loadings = vectors[:, d - count :] * values[d - count :].clamp_min(0.0).sqrt()
        unique = (variances - loadings.square().sum(1)).clamp_min(_LEAST_VARIANCE)
    return loadings, unique
