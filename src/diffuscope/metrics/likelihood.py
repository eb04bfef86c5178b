r"""How much do two distributions differ, in nats of information?

Kullback–Leibler divergence of samples X with density q from a truth with known density p:

.. math::  KL(q \| p) = -H(q) - E_q \log p(X)

The entropy comes from distances to the k-th neighbour among n points (Kozachenko and Leonenko 1987;
Kraskov et al. 2004, Eq. 20), with :math:`V_d` the volume of the unit ball:

.. math::  \hat H = \psi(n) - \psi(k) + \log V_d + \frac dn \sum_i \log r_k(x_i)

Its bias is small in low dimension, and large in high dimension or at sharp edges. It cancels against a *real*
cloud of the same size: :func:`excess_divergence` is zero on average for perfect samples, for all n, k and d.

Where a model has a density of its own, the gap in log-likelihood is the divergence the other way round,
:math:`KL(p \| q) = E_p[\log p - \log q]`: it punishes data that the model cannot make. Where q integrates to
1 over the support of p, :math:`E_p[\log \tfrac pq + \tfrac qp - 1]` is the same, and its terms, all positive,
vary far less where the two are close.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike

from diffuscope.errors import InputError
from diffuscope.metrics.clouds import Points, checked_pair
from diffuscope.metrics.neighbours import neighbour_distances
from diffuscope.translations import translate

__all__ = ["NatsLost", "entropy", "excess_divergence", "kl_divergence", "nats_lost"]

LogDensity = Callable[[Points], Points]

_NORMAL_95 = 1.96


@dataclass(frozen=True)
class NatsLost:
    """KL(law || model), the information that is lost by taking a model for the law, in nats a point.

    ``low`` and ``high`` are its 95% interval, over the points at which it was measured.
    """

    nats: float
    low: float
    high: float

    def __str__(self) -> str:
        return translate(f"{self}")

    def __format__(self, spec: str) -> str:
        return format(f"{self.nats:.3f} nats from the law ({self.low:.3f} to {self.high:.3f})", spec)

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def nats_lost(log_p: Points, log_q: Points, everywhere: bool = True) -> NatsLost:
    """Return what a model with log-densities ``log_q`` (n,) loses against the law's ``log_p`` at its points.

    ``everywhere`` says that the law has a density above 0 wherever the model has: then the estimate with the
    smaller variance is taken.
    """
    each = log_p - log_q
    if everywhere:
        each = each + np.expm1(-each)
    mean, error = float(each.mean()), _NORMAL_95 * float(each.std(ddof=1)) / math.sqrt(len(each))
    return NatsLost(mean, mean - error, mean + error)


def entropy(x: ArrayLike, k: int = 5) -> float:
    """Return the differential entropy of the distribution of ``x`` (n, d), in nats.

    For 2,000 points of a standard Gaussian the bias is below 0.02 nats for d = 1 and 2, below 0.05 for
    d = 3 and 8 (where two biases meet), and 0.64 for d = 16; for a uniform square it is 0.02. With more than
    ``k`` equal points there is no density, and an InputError.
    """
    from scipy.special import digamma

    points, _ = checked_pair(x, x, least=k + 1)
    n, d = points.shape
    radii = neighbour_distances(points, points, k, itself=True)
    if not radii.all():
        raise InputError(
            f"More than {k} points are equal, so their distribution has no density and no entropy.",
            "Omit this metric, or give points without duplicates.",
        )
    ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
    return float(digamma(n) - digamma(k) + ball + d * np.log(radii).mean())


def kl_divergence(x: ArrayLike, log_density: LogDensity, k: int = 5) -> float:
    """Return KL(distribution of ``x`` || truth), in nats; infinite if a point has density 0.

    ``log_density`` maps points (n, d) to the log-density of the truth (n,), in nats and the units of ``x``.
    """
    points = np.asarray(x, dtype=np.float64)
    own = entropy(points, k)
    log_p = np.asarray(log_density(points), dtype=np.float64)
    if log_p.shape != (len(points),) or np.isnan(log_p).any():
        raise InputError(
            f"log_density must return {len(points)} numbers for as many points; it returned an array of "
            f"shape {log_p.shape}, or NaN.",
            "Give a function from (n, d) to (n,) that returns -inf where the density is 0.",
        )
    return -own - float(log_p.mean())


def excess_divergence(generated: ArrayLike, real: ArrayLike, log_density: LogDensity, k: int = 5) -> float:
    """Return KL(generated || truth) minus the same estimate on as many real points: its bias."""
    return kl_divergence(generated, log_density, k) - kl_divergence(real, log_density, k)
