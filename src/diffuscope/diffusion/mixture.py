r"""Which mixture of Gaussians describes points best? The most likely one, averaged over several starts.

.. math::  p(x) = \sum_k w_k\, N(x; m_k, C_k)

Expectation-maximisation (Dempster, Laird and Rubin 1977) raises the likelihood of points step by step. How
many Gaussians there are is decided by points that are held out. Fits from several starts are averaged
(stacking, Smyth and Wolpert 1999): the errors that each makes by its start cancel.
With noise of variance v the score of a mixture is

.. math::
    \nabla \log q(y) = -\sum_k r_k(y)\, P_k (y - m_k), \qquad P_k = (C_k + v I)^{-1}, \qquad
    r_k(y) \propto w_k N(y; m_k, C_k + v I),

where both the logarithms of :math:`r_k` and the sum are products of matrices, since
:math:`y^T P_k y` is linear in the products of coordinates of y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from diffuscope.seeds import stream

__all__ = ["FITS", "Mixture", "NoisedMixture", "fit_mixture"]

FITS = 3
"""Fits that are averaged: a sixth less is lost than by one; six lose another twelfth less."""

_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)  # of Gaussians that are tried; then those halfway to the neighbours
_ALL_TRIED = 8  # of so few, more than the best can be better again: far points draw them away
_HELD_OUT = 5  # one in so many points
_TRIAL_STEPS, _STEPS = 12, 20  # of expectation-maximisation; more make no better densities
_NEAREST_STEPS = 5  # of k-means, with which a fit starts
_START_POINTS = 4096
_MOST_POINTS = 2**16  # of which a fit is made: more of them say no more about so few Gaussians
_CANDIDATES = 2  # for each centre of a start; of more, far points are taken too often
_STACKING_STEPS = 30
_BLOCK = 2**16  # shares of components that are in memory at a time: they fit into a core's cache
_LEAST_VARIANCE = 1e-4  # added to each, as a share of the data's: components do not collapse to a point


@dataclass(frozen=True)
class Mixture:
    """A mixture of k Gaussians in d dimensions, float64.

    Attributes
    ----------
    weights : Tensor of shape (k,)
        They sum to 1.
    means : Tensor of shape (k, d)
    covariances : Tensor of shape (k, d, d)
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def log_density(self, x: Tensor) -> Tensor:
        """Return the log-density (n,) at points (n, d), float64, in nats."""
        return NoisedMixture(self, 0.0).log_joint(x.double()).logsumexp(1)


class NoisedMixture:
    """A mixture with Gaussian noise of a variance, prepared for many points."""

    def __init__(self, mixture: Mixture, variance: float) -> None:
        means, covariances = mixture.means, mixture.covariances
        d = means.shape[1]
        noised = covariances + variance * torch.eye(d, dtype=torch.float64)
        root = torch.linalg.cholesky(noised)
        precision = torch.cholesky_inverse(root)
        shift = torch.einsum("kde,ke->kd", precision, means)
        log_det = 2 * root.diagonal(dim1=1, dim2=2).log().sum(1)
        constant = (
            mixture.weights.log() - 0.5 * (log_det + d * math.log(2 * math.pi)) - 0.5 * (shift * means).sum(1)
        )
        i, j = torch.triu_indices(d, d)
        square = -precision[:, i, j]
        square[:, i == j] *= 0.5
        self._logits = torch.cat([constant[:, None], shift, square], 1).T.contiguous()
        self._moves = torch.cat([shift, precision.flatten(1)], 1).float()

    def log_joint(self, x: Tensor) -> Tensor:
        """Return log w_k N(x; m_k, C_k + v I), shape (n, k), at points (n, d) of float64."""
        return self.log_joint_of(_products(x))

    def log_joint_of(self, products: Tensor) -> Tensor:
        """Return the same for points of which 1, the coordinates and their products are given."""
        return products @ self._logits

    def score(self, x: Tensor) -> Tensor:
        """Return the gradient of the log-density at points (n, d), in their type."""
        d = x.shape[1]
        r = torch.softmax(
            self.log_joint(x.double()).float(), 1
        )  # the large ones are near 0: exact in 32 bits
        moved = r @ self._moves
        pulled = moved[:, d:].view(-1, d, d) @ x.float()[:, :, None]
        return (moved[:, :d] - pulled[:, :, 0]).to(x.dtype)


def fit_mixture(
    x: Tensor, components: int | None = None, fits: int = FITS, seed: int = 0, weights: Tensor | None = None
) -> Mixture:
    """Fit a mixture to points (n, d), of many to 65,536 of them.

    Parameters
    ----------
    x : Tensor of shape (n, d)
    components : int, optional
        Gaussians of a fit; by default as many as make one in five points, which are held out, most likely.
    fits : int
        Fits from starts of their own, whose densities are averaged.
    seed : int
    weights : Tensor of shape (n,), optional
        How much each point counts, above 0; equal by default.
    """
    if len(x) > _MOST_POINTS:
        some = torch.randperm(len(x), generator=stream(seed, "mixture", "points"))[:_MOST_POINTS]
        x, weights = x[some.to(x.device)], None if weights is None else weights[some.to(weights.device)]
    points = x.detach().double().cpu()
    weight = torch.ones(len(points)) if weights is None else (weights / weights.mean()).float().cpu()
    count = components or _best_count(points, weight, seed)
    made = [_fit(points, weight, min(count, len(points)), _STEPS, seed, start) for start in range(fits)]
    shares = _stacked(torch.stack([one.log_density(points) for one in made], 1), weight)
    return Mixture(
        torch.cat([share * one.weights for share, one in zip(shares, made, strict=True)]),
        torch.cat([one.means for one in made]),
        torch.cat([one.covariances for one in made]),
    )


def _stacked(log_densities: Tensor, weight: Tensor) -> Tensor:
    """Return the shares of fits (f,) that make points likely, given log-densities (n, f) of each.

    A fit from a bad start, in which two clusters have one Gaussian, has next to none.
    """
    shares = torch.full_like(log_densities[0], 1 / log_densities.shape[1])
    for _ in range(_STACKING_STEPS):
        own = torch.softmax(log_densities + shares.log(), 1)
        shares = (own * weight[:, None]).sum(0) / weight.sum()
    return shares


def _best_count(x: Tensor, weight: Tensor, seed: int) -> int:
    """Return how many Gaussians make held-out points most likely; more are tried while that helps."""
    order = torch.randperm(len(x), generator=stream(seed, "mixture"))
    held, own = order[: len(x) // _HELD_OUT], order[len(x) // _HELD_OUT :]

    def likelihood(count: int) -> float:
        if not len(held) or count > len(own):
            return -math.inf
        fitted = _fit(x[own], weight[own], count, _TRIAL_STEPS, seed, -1)
        return float((weight[held] * fitted.log_density(x[held])).mean())

    best, found = -math.inf, 1
    for count in _COUNTS:
        likely = likelihood(count)
        if likely > best:
            best, found = likely, count
        elif count > _ALL_TRIED:
            break
    if found < 4:
        return found
    between = [found * 3 // 4, found * 3 // 2]
    return max([(best, found), *((likelihood(count), count) for count in between)])[1]


def _fit(x: Tensor, weight: Tensor, k: int, steps: int, seed: int, start: int) -> Mixture:
    """Return the mixture of k Gaussians after so many steps of expectation-maximisation."""
    d = x.shape[1]
    generator = stream(seed, "mixture", k, start + 1)
    products = _products(x)
    weighted = products.float() * weight[:, None]
    least = _LEAST_VARIANCE * float(x.var(0, correction=0).mean().clamp_min(1e-12))
    sums = torch.zeros(k, products.shape[1]).index_add_(0, _nearest(x.float(), k, generator), weighted)
    mixture = _of_sums(sums, d, least)
    blocks = [torch.split(part, max(1, _BLOCK // k)) for part in (products, weighted)]
    for _ in range(steps - 1):
        noised, sums = NoisedMixture(mixture, 0.0), torch.zeros_like(sums)
        for products_here, weighted_here in zip(*blocks, strict=True):
            shares = torch.softmax(noised.log_joint_of(products_here).float(), 1)
            sums.addmm_(shares.T, weighted_here)
        mixture = _of_sums(sums, d, least)
    return mixture


def _of_sums(sums: Tensor, d: int, least: float) -> Mixture:
    """Return the mixture whose components have these sums of 1, coordinates and products, (k, ...)."""
    sums = sums.double()
    k, size = len(sums), sums[:, :1].clamp_min(1e-6)
    means = sums[:, 1 : d + 1] / size
    i, j = torch.triu_indices(d, d)
    covariances = torch.empty(k, d, d, dtype=torch.float64)
    covariances[:, i, j] = covariances[:, j, i] = sums[:, d + 1 :] / size - means[:, i] * means[:, j]
    covariances.diagonal(dim1=1, dim2=2).clamp_min_(0.0).add_(least)
    return Mixture(size[:, 0] / size.sum(), means, covariances)


def _nearest(x: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return which of k centres, of k-means from a start of k-means++, is nearest to points (n, d)."""
    some = x[torch.randperm(len(x), generator=generator)[:_START_POINTS]]
    centres = some[:1]
    away = (some - centres).square().sum(1)
    for _ in range(k - 1):  # the best of some candidates, so that no cluster is missed
        candidates = some[torch.multinomial(away.clamp_min(1e-12), _CANDIDATES, True, generator=generator)]
        each = torch.minimum(away, torch.cdist(candidates, some).square())
        best = int(each.sum(1).argmin())
        centres, away = torch.cat([centres, candidates[best : best + 1]]), each[best]
    for _ in range(_NEAREST_STEPS):
        own = torch.cdist(some, centres).argmin(1)
        size = torch.bincount(own, minlength=k)[:, None]
        centres = torch.where(
            size > 0, torch.zeros_like(centres).index_add_(0, own, some) / size.clamp_min(1), centres
        )
    return torch.cdist(x, centres).argmin(1)


def _products(x: Tensor) -> Tensor:
    """Return 1, the coordinates and their products for points (n, d), shape (n, 1 + d + d (d + 1) / 2)."""
    i, j = torch.triu_indices(x.shape[1], x.shape[1])
    return torch.cat([x.new_ones(len(x), 1), x, x[:, i] * x[:, j]], 1)
