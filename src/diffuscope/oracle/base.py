"""What is common to all oracles?

A subclass computes posterior mean and log-density for a block of points; levels, types, shapes and memory
are handled here.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError

__all__ = ["BLOCK", "Entropy", "Extent", "Oracle", "as_double"]

# Numbers in a block of intermediate results: half a megabyte, which fits into a core's cache.
BLOCK = 2**16
# Largest number of grid points times components of a quadrature: some seconds.
_MOST_WORK = 3e8
_MONTE_CARLO_DRAWS = 2**17

_Function = Callable[[Tensor, Tensor, Tensor], Tensor]


class Entropy(NamedTuple):
    """A differential entropy in nats, by the method "exact", "quadrature" or "monte carlo".

    The error is the standard error of Monte Carlo; of quadrature the difference from a grid of twice the
    spacing, an upper bound, as the error falls faster than any power of the spacing; and 0 if exact.
    """

    value: float
    error: float
    method: str


class Extent(NamedTuple):
    """The support of a density, per coordinate (d,): its bounds, and the width of its finest detail."""

    low: Tensor
    high: Tensor
    width: Tensor


def as_double(x: ArrayLike | Tensor) -> Tensor:
    """Return numbers as a float64 tensor on the CPU."""
    if isinstance(x, Tensor):
        return x.cpu().to(torch.float64)
    return torch.from_numpy(np.array(x, dtype=np.float64))


class Oracle(ABC):
    """A known distribution of x_0 in d dimensions, as a denoiser with a density.

    It computes in float64 on the CPU, for inputs of any type and device.
    """

    d: int

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        r"""Return :math:`E[x_0 \mid x_t]`, with the shape (n, ...), type and device of ``x_t``.

        ``x_t`` has d numbers a row, the level shape () or (n,). The result is the mean of the data without
        signal (alpha = 0), and x_t / alpha without noise (sigma = 0).
        """
        x, (alpha, sigma) = self._rows(x_t), _columns(level)
        clean = sigma == 0
        if bool(clean.all()):
            mean = x / alpha
        else:  # clean rows are computed too, at a level with noise, and replaced afterwards
            mean = self._in_blocks(self._mean, x, alpha, torch.where(clean, 1.0, sigma))
            mean = torch.where(clean, x / alpha, mean) if bool(clean.any()) else mean
        return mean.reshape(x_t.shape).to(x_t)

    def log_density(self, x: Tensor | ArrayLike, level: NoiseLevel | None = None) -> Tensor:
        """Return the log-density (n,) of the clean data, or of the noised data at ``level``, () or (n,).

        It is float64, in nats, for x (n, ...) in the units of the data, and differentiable in a tensor ``x``.
        Points and curves without noise have no density, which is an InputError.
        """
        rows = self._rows(x if isinstance(x, Tensor) else as_double(x))
        alpha, sigma = _columns(level)
        self._check_density(sigma)
        return self._in_blocks(self._log_density, rows, alpha, sigma)

    def score(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        r"""Return :math:`\nabla \log q(x_t)`, shape (n, ...); an InputError where there is no density."""
        x, (alpha, sigma) = self._rows(x_t), _columns(level)
        if bool((sigma == 0).any()):  # Tweedie's formula is 0 / 0 there
            with torch.enable_grad():
                leaf = x.detach().requires_grad_()
                (score,) = torch.autograd.grad(self.log_density(leaf, level).sum(), leaf)
        else:
            score = (alpha * self(x, level) - x) / sigma.square()
        return score.reshape(x_t.shape).to(x_t)

    @abstractmethod
    def draw(self, n: int, seed: int) -> Tensor:
        """Return n exact draws of the clean data, shape (n, d), float64; equal seeds give equal points."""

    @abstractmethod
    def scaled(self, scaling: Scaling) -> Oracle:
        """Return the oracle of the data in the units of the model, (x - shift) / scale; it is exact as well.

        Its density is that of the scaled data: the log-density in the units of the data plus the sum
        of log scale.
        """

    def entropy(self, level: NoiseLevel | None = None) -> Entropy:
        """Return the differential entropy of the clean data, or of the noised data at a level of shape ().

        In one and two dimensions by the trapezoidal rule on a grid of half the finest standard
        deviation; in more, or where that grid would be too large, the mean of -log p over 131,072 draws.
        """
        alpha, sigma = _columns(level)
        self._check_density(sigma)
        if self.d <= 2:
            low, high, width = self._extent(alpha[0], sigma[0])
            counts = [2 * math.ceil(c) + 1 for c in ((high - low) / width).tolist()]
            if math.prod(counts) * self._cost(alpha, sigma) <= _MOST_WORK:
                return self._entropy_on_grid(low, high, counts, level)
        x = self.draw(_MONTE_CARLO_DRAWS, seed=0)
        if level is not None:
            noise = np.random.default_rng([0, 1]).standard_normal(x.shape)
            x = alpha * x + sigma * as_double(noise)
        values = -self.log_density(x, level)
        return Entropy(values.mean().item(), (values.std() / math.sqrt(len(x))).item(), "monte carlo")

    def _entropy_on_grid(
        self, low: Tensor, high: Tensor, counts: list[int], level: NoiseLevel | None
    ) -> Entropy:
        axes = [
            torch.linspace(a, b, m, dtype=torch.float64)
            for a, b, m in zip(low.tolist(), high.tolist(), counts, strict=True)
        ]
        cell = math.prod(float(axis[1] - axis[0]) for axis in axes)
        log_p = self.log_density(torch.cartesian_prod(*axes).reshape(-1, self.d), level)
        summand = torch.special.entr(log_p.exp()).reshape(counts)
        coarse = summand[tuple(slice(None, None, 2) for _ in axes)]
        value = summand.sum().item() * cell
        return Entropy(value, abs(value - coarse.sum().item() * cell * 2**self.d), "quadrature")

    @abstractmethod
    def _mean(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Posterior mean (b, d) of points (b, d) at alpha, sigma > 0 of shape (1, 1) or (b, 1)."""

    @abstractmethod
    def _log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Log-density (b,) of points (b, d) at alpha, sigma of shape (1, 1) or (b, 1)."""

    @abstractmethod
    def _extent(self, alpha: Tensor, sigma: Tensor) -> Extent:
        """Support of the noised density within float64's resolution, for alpha, sigma of shape (1,)."""

    @abstractmethod
    def _cost(self, alpha: Tensor, sigma: Tensor) -> int:
        """Numbers in a row of the intermediate results, at alpha, sigma of shape (1, 1) or (n, 1)."""

    @abstractmethod
    def _check_density(self, sigma: Tensor) -> None:
        """Raise InputError if the noised distribution has no density at some sigma (n, 1)."""

    def _block_rows(self, alpha: Tensor, sigma: Tensor) -> int:
        return max(1, BLOCK // self._cost(alpha, sigma))

    def _in_blocks(self, function: _Function, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        rows = self._block_rows(alpha, sigma)
        if len(x) <= rows:
            return function(x, alpha, sigma)
        parts = []
        for i in range(0, len(x), rows):
            here = slice(i, i + rows) if len(alpha) > 1 else slice(None)
            parts.append(function(x[i : i + rows], alpha[here], sigma[here]))
        return torch.cat(parts)

    def _rows(self, x: Tensor) -> Tensor:
        if not x.ndim or math.prod(x.shape[1:]) != self.d:
            raise InputError(
                f"Points of shape {tuple(x.shape)} do not fit a distribution in {self.d} dimensions.",
                f"Give points of shape (n, {self.d}).",
            )
        return x.cpu().to(torch.float64).reshape(len(x), self.d)


def _columns(level: NoiseLevel | None) -> tuple[Tensor, Tensor]:
    """Return alpha and sigma as columns (1, 1) or (n, 1); no level means clean data."""
    if level is None:
        return as_double([[1.0]]), as_double([[0.0]])
    return as_double(level.alpha).reshape(-1, 1), as_double(level.sigma).reshape(-1, 1)
