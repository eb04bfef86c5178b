r"""What does a perfect model of uniform boxes predict?

Data :math:`x_0 = u + s \epsilon` with u uniform on a box is, noised, :math:`x_t = \alpha u + \tau \xi` with
:math:`\tau^2 = \alpha^2 s^2 + \sigma^2`. Per coordinate, for :math:`u \in [a, b]`,

.. math::
    q(x) = \frac{\Phi(p) - \Phi(q)}{\alpha (b - a)}, \qquad
    E[u \mid x] = \frac{x - \tau E[z]}{\alpha}, \qquad
    E[z] = \frac{\varphi(q) - \varphi(p)}{\Phi(p) - \Phi(q)},

with :math:`p = (x - \alpha a)/\tau`, :math:`q = (x - \alpha b)/\tau`: z is a normal variable truncated to
[q, p]. A box's density is the product over coordinates, the distribution a mixture of boxes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError
from diffuscope.oracle.base import Entropy, Extent, Oracle, as_double
from diffuscope.oracle.mixture import as_weights, draw_components

__all__ = ["UniformBoxes"]

_REACH = 9.0
# Below this width of [q, p] the differences cancel, and the series in the width is exact to 1e-8.
_NARROW = 1e-3
_LOG_ROOT_2PI = 0.5 * math.log(2 * math.pi)


class UniformBoxes(Oracle):
    """A mixture of uniform distributions on k disjoint boxes, plus Gaussian noise.

    Parameters
    ----------
    low, high : array_like of shape (k, d)
        Opposite corners, in the units of the data.
    noise : array_like of shape () or (d,)
        Standard deviation of the noise, per coordinate; 0 for sharp edges.
    weights : array_like of shape (k,), optional
        Normalised to sum 1; proportional to the volumes by default.
    """

    def __init__(
        self,
        low: ArrayLike | Tensor,
        high: ArrayLike | Tensor,
        noise: ArrayLike | Tensor = 0.0,
        weights: ArrayLike | Tensor | None = None,
    ) -> None:
        self.low, self.high = as_double(low), as_double(high)
        if self.low.ndim != 2 or self.low.shape != self.high.shape or not bool((self.low < self.high).all()):
            raise InputError(
                "The corners of the boxes are not valid.", "Give low < high, both of shape (k, d)."
            )
        k, self.d = self.low.shape
        overlap = torch.minimum(self.high[:, None], self.high) - torch.maximum(self.low[:, None], self.low)
        rounding = 1e-12 * (self.high - self.low).amin(0)
        if int((overlap > rounding).all(2).sum()) > k:
            raise InputError("The boxes overlap.", "Split them into disjoint boxes.")
        self.noise = as_double(noise).expand(self.d)
        if not bool(((self.noise >= 0) & self.noise.isfinite()).all()):
            raise InputError("The noise is negative or not finite.", "Give 0 for no noise.")
        self._volume = (self.high - self.low).prod(1)
        self.weights = as_weights(self._volume if weights is None else weights, k)

    def draw(self, n: int, seed: int) -> Tensor:
        """Return n draws, shape (n, d), float64."""
        random = np.random.default_rng(seed)
        chosen = draw_components(self.weights, n, random)
        low, high = self.low[chosen], self.high[chosen]
        u = low + (high - low) * as_double(random.random((n, self.d)))
        return u + self.noise * as_double(random.standard_normal((n, self.d)))

    def scaled(self, scaling: Scaling) -> UniformBoxes:
        """Return the boxes of (x - shift) / scale."""
        shift, scale = as_double(scaling.shift), as_double(scaling.scale)
        return UniformBoxes(
            (self.low - shift) / scale, (self.high - shift) / scale, self.noise / scale, self.weights
        )

    def entropy(self, level: NoiseLevel | None = None) -> Entropy:
        """Return the differential entropy; exact for sharp boxes, otherwise as for every oracle."""
        if level is None and bool((self.noise == 0).all()):
            value = torch.special.entr(self.weights).sum() + self.weights @ self._volume.log()
            return Entropy(value.item(), 0.0, "exact")
        return super().entropy(level)

    def _interval(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return q, p (b, k, d) and τ (1 or b, 1, d), with τ = 1 for coordinates without noise."""
        tau = (alpha * self.noise).hypot(sigma)[:, None]
        tau = torch.where(tau == 0, 1.0, tau)
        x, alpha = x[:, None], alpha[:, None]
        return (x - alpha * self.high) / tau, (x - alpha * self.low) / tau, tau

    def _log_joint(self, x: Tensor, alpha: Tensor, sigma: Tensor, log_mean: Tensor, tau: Tensor) -> Tensor:
        """Return the logarithm of weight times density of each box at points (b, d), shape (b, k)."""
        log_q = log_mean - tau.log()
        noiseless = (alpha * self.noise).hypot(sigma)[:, None] == 0
        if bool(noiseless.any()):
            x, alpha = x[:, None], alpha[:, None]
            inside = (x >= alpha * self.low) & (x < alpha * self.high)
            sharp = torch.where(inside, -(alpha * (self.high - self.low)).log(), -math.inf)
            log_q = torch.where(noiseless, sharp, log_q)
        return self.weights.log() + log_q.sum(2)

    def _mean(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        q, p, tau = self._interval(x, alpha, sigma)
        log_mean = log_mean_normal(q, p)
        r = torch.softmax(self._log_joint(x, alpha, sigma, log_mean, tau), 1)
        u = self.high - (self.high - self.low) * truncated_normal_place(q, p, log_mean)
        u = (r[:, :, None] * u).sum(1)
        # The part of the distance from the box that is due to the noise of the data.
        gain = alpha * self.noise.square() / tau[:, 0].square()
        return u + gain * (x - alpha * u)

    def _log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        q, p, tau = self._interval(x, alpha, sigma)
        return torch.logsumexp(self._log_joint(x, alpha, sigma, log_mean_normal(q, p), tau), 1)

    def _extent(self, alpha: Tensor, sigma: Tensor) -> Extent:
        tau = (alpha * self.noise).hypot(sigma)
        low, high = (alpha * self.low).amin(0), (alpha * self.high).amax(0)
        return Extent(low - _REACH * tau, high + _REACH * tau, tau)

    def _cost(self, alpha: Tensor, sigma: Tensor) -> int:
        return 4 * self.low.numel()  # several intermediate results at a time

    def _check_density(self, sigma: Tensor) -> None:
        pass  # uniform distributions always have densities


def log_mean_normal(q: Tensor, p: Tensor) -> Tensor:
    r"""Return :math:`\log \frac{\Phi(p) - \Phi(q)}{p - q}`, the log of a normal density's mean over [q, p].

    For q < p, any shape; down to p = q, where it is the density itself.
    """
    middle, w = (p + q) / 2, p - q
    narrow = w < _NARROW
    # At small w: φ(middle) times the mean of exp(-middle v - v²/2) over |v| < w/2
    t = (middle * w / 2).abs()
    safe = t.clamp_min(1e-2)
    tilt = safe - (2 * safe).log() + torch.log1p(-(-2 * safe).exp())  # log(sinh t / t)
    tilt = torch.where(t < 1e-2, t.square() / 6 - t**4 / 180, tilt)
    series = -0.5 * middle.square() - _LOG_ROOT_2PI + tilt - w.square() / 24
    # Otherwise the difference of the tails of [q, p], mirrored to the side where they are small
    q, p = torch.where(narrow, -1.0, q), torch.where(narrow, 1.0, p)
    right, w = p + q > 0, p - q
    near, far = torch.where(right, -q, p), torch.where(right, -p, q)
    above = torch.special.log_ndtr(near)
    gap = (torch.special.log_ndtr(far) - above).clamp_max(-1e-300)
    difference = above + torch.log(-torch.expm1(gap)) - w.log()
    return torch.where(narrow, series, difference)


def truncated_normal_place(q: Tensor, p: Tensor, log_mean: Tensor) -> Tensor:
    """Return the mean of a normal variable truncated to [q, p], scaled to 0 at q and 1 at p; any shape.

    ``log_mean`` is :func:`log_mean_normal` of the same interval.
    """
    middle, w = (p + q) / 2, p - q
    # At small w the density is exp(-middle v): Langevin's function
    t = middle * w / 2
    flat = t.abs() < 1e-2
    safe = torch.where(flat, 1.0, t)
    langevin = torch.where(flat, t / 3 - t**3 / 45, 1 / safe.tanh() - 1 / safe)
    # Otherwise E[z] = (φ(q) - φ(p)) / (Φ(p) - Φ(q)), with both in logarithms
    at_q, at_p = ((-0.5 * e.square() - _LOG_ROOT_2PI - log_mean).exp() for e in (q, p))
    wide = ((at_q - at_p) / w - q) / w
    return torch.where(w < _NARROW, 0.5 - langevin / 2, wide).clamp(0.0, 1.0)
