r"""What does a perfect model of a noisy curve predict?

Data :math:`x_0 = c(z) + s \epsilon` with a latent z of density p is a mixture over z,

.. math::  q(x_t) = \int p(z)\, N\left(x_t; \alpha c(z), (\alpha^2 s^2 + \sigma^2) I\right) dz,

and a Gauss-Legendre rule turns the integral into a :class:`GaussianMixture`. With nodes at most h apart
along the curve and a Gaussian of width w in the units of the data, :math:`w^2 = s^2 + \sigma^2/\alpha^2`,
the density's relative error falls as :math:`\exp(-2 \pi^2 w^2 / h^2)`. So h is proportional to w: high noise
needs few nodes, low noise many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.errors import InputError
from diffuscope.oracle.base import Extent, Oracle, as_double
from diffuscope.oracle.mixture import GaussianMixture

__all__ = ["CurveOracle", "Piece"]

Array = NDArray[np.float64]

# Largest distance of neighbouring nodes, in standard deviations of the Gaussian around them.
_SPACING = 0.9
# Gauss-Legendre nodes in a panel; in its middle they are pi/2 times as far apart as on average.
_NODES = 32


@dataclass(frozen=True)
class Piece:
    """A smooth piece of a curve, of the latent z from ``start`` to ``stop``.

    ``curve`` maps z (m,) to points (m, d), ``density`` to the latent's density (m,), up to a factor common to
    all pieces. ``speed`` is the largest ``|dc/dz|`` on the piece, in the units of the data.
    """

    start: float
    stop: float
    curve: Callable[[Array], Array]
    density: Callable[[Array], Array]
    speed: float

    def rule(self, spacing: float) -> tuple[Array, Array]:
        """Return points (m, d) and weights (m,) with nodes at most ``spacing`` apart along the curve."""
        length = self.speed * (self.stop - self.start)
        panels = max(1, math.ceil(math.pi / 2 * length / (_NODES * spacing)))
        edges = np.linspace(self.start, self.stop, panels + 1)
        half = (edges[1] - edges[0]) / 2
        nodes, weights = _legendre()
        z = ((edges[:-1] + half)[:, None] + half * nodes).ravel()
        return self.curve(z), np.tile(half * weights, panels) * self.density(z)


class CurveOracle(Oracle):
    """A curve with isotropic Gaussian noise, exact up to quadrature.

    In the log-density of the built-in sets the quadrature error is below 1e-6 within some standard deviations
    of the data. It grows with the distance: to 2e-3 at 40 standard deviations outside the S.

    ``noise`` is its standard deviation in the units of the data; with 0 the curve has a denoiser but no
    density. ``draw(n, seed)`` returns draws (n, d) of the same distribution. ``resolution`` is a factor on
    the number of nodes; compare with 2 for the quadrature error. With ``scaling`` the oracle is that of
    (x - shift) / scale.
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        noise: float,
        draw: Callable[[int, int], Array],
        resolution: float = 1.0,
        scaling: Scaling | None = None,
    ) -> None:
        self.pieces, self.noise, self.resolution = tuple(pieces), float(noise), float(resolution)
        self._draw = draw
        self.d = self.pieces[0].curve(np.array([self.pieces[0].start])).shape[1]
        self.scaling = scaling or Scaling(np.zeros(self.d), np.ones(self.d))
        self._mixture_of_width = lru_cache(maxsize=32)(self._make_mixture)

    def mixture(self, ratio: float = 0.0) -> GaussianMixture:
        """Return the mixture that approximates this distribution at sigma / alpha of ``ratio`` or more."""
        width = math.hypot(self.noise, ratio * float(self.scaling.scale.min()))
        if width == 0:
            raise InputError(
                "A curve without noise has no density.",
                "Use a level with sigma > 0, or a data set with noise > 0.",
            )
        # Widths within a quarter of an octave share their nodes; infinity counts as very wide.
        return self._mixture_of_width(math.floor(4 * math.log2(min(width, 1e6))))

    def _make_mixture(self, quarter_octaves: int) -> GaussianMixture:
        spacing = _SPACING * 2 ** (quarter_octaves / 4) / self.resolution
        points, weights = zip(*(piece.rule(spacing) for piece in self.pieces), strict=True)
        means = (np.concatenate(points) - self.scaling.shift) / self.scaling.scale
        return GaussianMixture(means, (self.noise / self.scaling.scale) ** 2, np.concatenate(weights))

    def draw(self, n: int, seed: int) -> Tensor:
        """Return n draws, shape (n, d), float64."""
        return as_double((self._draw(n, seed) - self.scaling.shift) / self.scaling.scale)

    def scaled(self, scaling: Scaling) -> CurveOracle:
        """Return the oracle of (x - shift) / scale."""
        own = self.scaling
        both = Scaling(own.shift + own.scale * scaling.shift, own.scale * scaling.scale)
        return CurveOracle(self.pieces, self.noise, self._draw, self.resolution, both)

    def _at(self, alpha: Tensor, sigma: Tensor) -> GaussianMixture:
        return self.mixture((sigma / alpha).min().item())

    def _mean(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return self._at(alpha, sigma)._mean(x, alpha, sigma)

    def _log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return self._at(alpha, sigma)._log_density(x, alpha, sigma)

    def _extent(self, alpha: Tensor, sigma: Tensor) -> Extent:
        return self._at(alpha, sigma)._extent(alpha, sigma)

    def _cost(self, alpha: Tensor, sigma: Tensor) -> int:
        return self._at(alpha, sigma).k

    def _check_density(self, sigma: Tensor) -> None:
        if self.noise == 0 and bool((sigma == 0).any()):
            self.mixture(0.0)


@cache
def _legendre() -> tuple[Array, Array]:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return nodes, weights
