r"""What does a perfect model of a Gaussian mixture predict?

With :math:`p(x_0) = \sum_k w_k N(x_0; m_k, C_k)` the noised density is a mixture as well,

.. math::  q(x_t) = \sum_k w_k N(x_t; \alpha m_k, M_k), \qquad M_k = \alpha^2 C_k + \sigma^2 I,

and with the responsibilities :math:`r_k \propto w_k N(x_t; \alpha m_k, M_k)`

.. math::  E[x_0 \mid x_t] = \sum_k r_k \left( m_k + \alpha C_k M_k^{-1} (x_t - \alpha m_k) \right).

With one diagonal covariance :math:`C = diag(c)` for all components, :math:`M = diag(v)`, the logarithms of
the responsibilities are one matrix product, since

.. math::  -\tfrac12 \sum_j \frac{(y_j - \alpha m_{kj})^2}{v_j}
    = \sum_j \frac{\alpha y_j}{v_j} m_{kj} - \frac{\alpha^2}{2 v_j} m_{kj}^2 - \frac{y_j^2}{2 v_j}.

Means are centred first, so that the expansion is accurate for data far from zero.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.errors import InputError
from diffuscope.oracle.base import BLOCK, Extent, Oracle, as_double

__all__ = ["EmpiricalOracle", "GaussianMixture", "as_weights", "draw_components"]

# Standard deviations beyond which a Gaussian's share of an integral is below float64's rounding.
_REACH = 9.0


class GaussianMixture(Oracle):
    """A mixture of k Gaussians in d dimensions.

    Parameters
    ----------
    means : array_like of shape (k, d)
        In the units of the data.
    covariance : array_like
        Variances that broadcast to (k, d), as of shape (), (d,) or (k, 1): diagonal covariances; or
        full ones, shape (k, d, d) or (1, d, d). 0 is a point. One diagonal shared by all components is
        fast: thousands of components are possible.
    weights : array_like of shape (k,), optional
        Not negative; normalised to sum 1. Equal by default.
    """

    def __init__(
        self,
        means: ArrayLike | Tensor,
        covariance: ArrayLike | Tensor,
        weights: ArrayLike | Tensor | None = None,
    ) -> None:
        m, self._covariance = as_double(means), as_double(covariance)
        if m.ndim != 2 or not m.numel() or not bool(m.isfinite().all()):
            raise InputError(
                f"Means of shape {tuple(m.shape)} are not valid.", "Give finite numbers of shape (k, d)."
            )
        k, self.d = m.shape
        self.weights = as_weights(weights, k)
        self._variance, self._axes = _principal(self._covariance, k, self.d)
        self._shared = self._axes is None and bool((self._variance == self._variance[:1]).all())
        self._centre = self.weights @ m
        if self._shared:
            self._variance = self._variance[:1].clone()  # (1, d)
            self._round = bool((self._variance == self._variance[0, 0]).all())
            # One product then gives m_k · a + m_k² · b + 1 · c, see _log_joint. The means are a view of it:
            # a training set of images is large.
            n_squares = 1 if self._round else self.d
            self._features = torch.ones(k, self.d + n_squares + 1, dtype=torch.float64)
            self._offsets = self._features[:, : self.d].copy_(m).sub_(self._centre)
            sums = "kd,kd->k" if self._round else "kd,kd->kd"
            squares = torch.einsum(sums, self._offsets, self._offsets)
            self._features[:, self.d : -1] = squares.reshape(k, n_squares)
        else:
            self._offsets = self._turned = m - self._centre
            if self._axes is not None:  # means in the components' own axes
                self._turned = torch.einsum("kd,kde->ke", self._offsets, self._axes)

    @property
    def k(self) -> int:
        """Number of components."""
        return len(self.weights)

    @property
    def means(self) -> Tensor:
        """The components' means, shape (k, d), in the units of the data."""
        return self._offsets + self._centre

    def draw(self, n: int, seed: int) -> Tensor:
        """Return n draws, shape (n, d), float64."""
        random = np.random.default_rng(seed)
        chosen = draw_components(self.weights, n, random)
        z = self._variance.sqrt().expand(self.k, -1)[chosen] * as_double(random.standard_normal((n, self.d)))
        if self._axes is not None:
            z = torch.einsum("ne,nde->nd", z, self._axes[chosen])
        return self._centre + self._offsets[chosen] + z

    def scaled(self, scaling: Scaling) -> GaussianMixture:
        """Return the mixture of (x - shift) / scale."""
        shift, scale = as_double(scaling.shift), as_double(scaling.scale)
        unit = scale * scale[:, None] if self._covariance.ndim == 3 else scale.square()
        return GaussianMixture((self.means - shift) / scale, self._covariance / unit, self.weights)

    def _log_joint(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        """Return log w_k N(x; α m_k, M_k), shape (b, k)."""
        y = x - alpha * self._centre
        log_w = self.weights.log()
        if self._shared:
            v = alpha.square() * self._variance + sigma.square()  # (1 or b, d)
            square = (-0.5 * alpha.square() / v)[:, : 1 if self._round else self.d].expand(len(x), -1)
            constant = -0.5 * (y.square() / v + (2 * math.pi * v).log()).sum(1, keepdim=True)
            return torch.addmm(log_w, torch.cat([alpha * y / v, square, constant], 1), self._features.T)
        z, v = self._residual(y, alpha, sigma)
        return log_w - 0.5 * (z.square() / v + (2 * math.pi * v).log()).sum(2)

    def _residual(self, y: Tensor, alpha: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """Return y - α m_k in the component's own axes (b, k, d), and the variances there (1 or b, k, d)."""
        turned = y[:, None] if self._axes is None else torch.einsum("bd,kde->bke", y, self._axes)
        v = alpha[:, None].square() * self._variance + sigma[:, None].square()
        return turned - alpha[:, None] * self._turned, v

    def _mean(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        r = torch.softmax(self._log_joint(x, alpha, sigma), 1)  # (b, k)
        y = x - alpha * self._centre
        if self._shared:
            v = alpha.square() * self._variance + sigma.square()
            # m + α c (y - α m) / v, the component's own estimate, averaged over the components
            return self._centre + (alpha * self._variance * y + sigma.square() * (r @ self._offsets)) / v
        z, v = self._residual(y, alpha, sigma)
        step = r[:, :, None] * (alpha[:, None] * self._variance / v) * z
        moved = step.sum(1) if self._axes is None else torch.einsum("bke,kde->bd", step, self._axes)
        return self._centre + r @ self._offsets + moved

    def _log_density(self, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
        return torch.logsumexp(self._log_joint(x, alpha, sigma), 1)

    def _extent(self, alpha: Tensor, sigma: Tensor) -> Extent:
        own, least = self._variance, self._variance.amin(0)
        if self._axes is not None:
            own = torch.einsum("kde,ke->kd", self._axes.square(), self._variance)
            # A tilted component is as fine as its least principal deviation, in whichever coordinate.
            least = least.min()
        reach = _REACH * (alpha.square() * own.amax(0) + sigma.square()).sqrt()
        width = (alpha.square() * least + sigma.square()).sqrt().expand(self.d)
        means = alpha * self.means
        return Extent(means.amin(0) - reach, means.amax(0) + reach, width)

    def _cost(self, alpha: Tensor, sigma: Tensor) -> int:
        return self.k if self._shared else self.k * self.d

    def _block_rows(self, alpha: Tensor, sigma: Tensor) -> int:
        # A block reads all means (k d) and writes k a row: from about d rows on the reading is amortised.
        return max(BLOCK // self._cost(alpha, sigma), min(self.d, 128))

    def _check_density(self, sigma: Tensor) -> None:
        if bool((sigma == 0).any()) and bool((self._variance == 0).any()):
            raise InputError(
                "A mixture with components of zero variance has no density without noise.",
                "Use a level with sigma > 0.",
            )


class EmpiricalOracle(GaussianMixture):
    r"""The exact denoiser of a finite training set: what a model predicts that has memorised it.

    The denoiser that minimises the training loss exactly is the posterior mean under the empirical
    distribution, a mixture of points without variance:

    .. math::  E[x_0 \mid x_t] = \sum_i r_i x_i, \qquad
        r_i \propto \exp\left(-\frac{\lVert x_t - \alpha x_i \rVert^2}{2 \sigma^2}\right)

    (Karras et al. 2022, Eq. 57). Sampling with it returns training points. It needs memory for one float64
    copy of the data and one block of weights: under 2 GiB for 60,000 x 784. ``x``, shape (k, ...), is finite
    and not empty; its rows are flattened.
    """

    def __init__(self, x: ArrayLike | Tensor) -> None:
        points = as_double(x)
        super().__init__(points.reshape(len(points), -1) if points.numel() else points, 0.0)

    def scaled(self, scaling: Scaling) -> EmpiricalOracle:
        """Return the oracle of the scaled training set."""
        return EmpiricalOracle((self.means - as_double(scaling.shift)) / as_double(scaling.scale))

    def _check_density(self, sigma: Tensor) -> None:
        if bool((sigma == 0).any()):
            raise InputError(
                "A finite set of points has no density without noise.", "Use a level with sigma > 0."
            )


def draw_components(weights: Tensor, n: int, random: np.random.Generator) -> Tensor:
    """Draw n indices of components, shape (n,)."""
    p = weights.numpy()
    return torch.from_numpy(random.choice(len(p), n, p=p / p.sum()))


def as_weights(weights: ArrayLike | Tensor | None, k: int) -> Tensor:
    """Return the weights of a mixture, normalised; equal by default."""
    w = torch.ones(k, dtype=torch.float64) if weights is None else as_double(weights)
    if w.shape != (k,) or not bool((w >= 0).all()) or not 0 < w.sum().item() < math.inf:
        raise InputError(
            f"Weights of shape {tuple(w.shape)} are not valid for a mixture of {k} components.",
            f"Give {k} finite numbers that are not negative, and at least one above 0.",
        )
    return w / w.sum()


def _principal(covariance: Tensor, k: int, d: int) -> tuple[Tensor, Tensor | None]:
    """Return variances (k, d) along principal axes, and the axes (k, d, d); None for coordinate axes."""
    try:
        if covariance.ndim < 3:
            variance, axes = covariance.expand(k, d), None
        else:
            full = covariance.expand(k, d, d)
            if not torch.allclose(full, full.mT):
                raise InputError("A covariance matrix is not symmetric.")
            variance, axes = torch.linalg.eigh(full)
            rounding = 1e-12 * variance.abs().amax(1, keepdim=True)
            variance = torch.where((variance < 0) & (variance >= -rounding), 0.0, variance)
    except RuntimeError as error:
        raise InputError(
            f"A covariance of shape {tuple(covariance.shape)} does not fit {k} components in {d} dimensions.",
            "Give variances that broadcast to (k, d), or full covariances of shape (k, d, d).",
        ) from error
    if not bool(((variance >= 0) & variance.isfinite()).all()):
        raise InputError("A variance is negative or not finite.", "Give variances of 0 or more.")
    return variance, axes
