r"""Between which bounds does the floor lie, where the law of the data is not known but rows of it are?

Let :math:`m_p = \min_D E_p|x_0 - D(x_t)|^2` be the floor at a level under the law p, and
:math:`x_1 \dots x_n` independent rows of p.

**Above.** Any denoiser D that was chosen without the held-out rows has an expected loss of at least
:math:`m_p` on them: :math:`m_p` is the minimum over all D. So its mean over held-out rows, plus the error of
that mean, is an upper bound. The denoisers here are the exact ones of laws that resemble the data: Gaussians,
mixtures of Gaussians, and kernel density estimates, whose bandwidths are tuned; at each level the best on
rows of their own is taken.

**Below.** The loss of D is linear in the law, and a minimum of linear functions is concave. With
:math:`\hat p_n` the empirical law of the rows, whose mean is p, Jensen's inequality gives

.. math::  E[m_{\hat p_n}] = E[\min_D E_{\hat p_n}|x_0 - D(x_t)|^2] \le \min_D E_p|x_0 - D(x_t)|^2 = m_p ,

and :math:`m_{\hat p_n}` is the loss of the empirical oracle on its own rows. Chance can lift it above
:math:`m_p` only as far as it lifts the loss of the best denoiser D* on the same rows,
:math:`m_{\hat p_n} \le \frac1n \sum_i |x_i - D^*(x_{t,i})|^2`, a mean of n independent numbers of mean
:math:`m_p`; their deviation is taken from the best denoiser that was found.

At levels finer than the distance between rows the lower bound goes to 0, and nothing better can be said
without assumptions: a law that consists of exactly these n rows would give the same rows.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.data.spread import standard_unit
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.monitoring.floor_curve import CERTAIN, Curve, Nodes, measure
from diffuscope.monitoring.law import Law
from diffuscope.monitoring.visited import Visited
from diffuscope.oracle import EmpiricalOracle, GaussianMixture
from diffuscope.seeds import stream_seed

__all__ = ["Best", "Gaussian", "bounds", "candidates"]

Array = NDArray[np.float64]

_NODES = 28
_HELD_OUT, _CHOOSING = 0.2, 0.15  # shares of the rows
_LOW, _FEW = 32, 16  # dimensions
_WORK = 1e10  # products of a pass over all levels: some seconds
_DRAWN = 20_000  # of a law that can be drawn from
_COMPONENTS = (8, 32)
_MOST_FITTED = 4_000
_MOST_EXACT = 1_500  # dimensions up to which a covariance matrix is taken apart itself
_BANDWIDTHS = (0.0, 0.5, 1.0, 2.0)  # in distances to the nearest row
_SHRINKING = (0.002, 0.02, 0.2)


class Gaussian:
    r"""The exact denoiser of a Gaussian law whose covariance was shrunk towards a multiple of the identity.

    With :math:`C = U \Lambda U^T`, :math:`E[x_0 \mid x_t] = m + U g(\Lambda) U^T (x_t - \alpha m)`,
    :math:`g(\lambda) = \alpha\lambda / (\alpha^2\lambda + \sigma^2)`. ``axes`` (d, q) and ``variances`` (q,)
    are the principal ones; ``rest`` is the variance along all others.
    """

    def __init__(self, mean: Tensor, axes: Tensor, variances: Tensor, rest: float) -> None:
        self.mean, self.axes, self.variances, self.rest = mean, axes, variances, rest

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate (n, d) at a level of shape () or (n,)."""
        x = x_t.cpu().double()
        alpha, sigma = coefficient(level.alpha, x), coefficient(level.sigma, x)
        y = x - alpha * self.mean

        def gain(variance: Tensor) -> Tensor:
            return alpha * variance / (alpha.square() * variance + sigma.square())

        rest = gain(torch.tensor(self.rest, dtype=torch.float64))
        along = (gain(self.variances) - rest) * (y @ self.axes)
        return (self.mean + rest * y + along @ self.axes.T).to(x_t)


@dataclass(frozen=True)
class Best:
    """The best denoiser at each level: ``choice`` (m,) of ``denoisers`` at levels of noise ``ratio`` (m,)."""

    denoisers: tuple[DenoiserLike, ...]
    names: tuple[str, ...]
    ratio: Array
    choice: NDArray[np.int_]

    def _of(self, ratio: Array) -> NDArray[np.int_]:
        """Return the number of the denoiser for each of some ratios: that of the nearest level tried."""
        here, tried = (np.log(np.minimum(r, 1e9)) for r in (ratio, self.ratio))
        return np.asarray(self.choice[np.abs(here[:, None] - tried).argmin(1)])

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate (n, d) at a level of shape ()."""
        return self.denoisers[int(self._of(level.ratio.numpy().reshape(1))[0])](x_t, level)

    def at_each(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimates (n, d) at levels (n,)."""
        chosen = torch.from_numpy(self._of(level.ratio.numpy()))
        answer = torch.empty_like(x_t)
        for number in sorted(set(chosen.tolist())):
            here = (chosen == number).nonzero()[:, 0]
            answer[here] = self.denoisers[number](x_t[here], level.at(here))
        return answer


def bounds(law: Law, visited: Visited, spread: float, seed: int) -> tuple[Curve, Best]:
    """Return bounds of the floor, and the best denoiser: ``high`` and ``value`` are from above.

    ``value`` is the loss of the best denoiser that was found, ``low`` and ``high`` the bounds with their
    errors.
    """
    rows, unseen, pool = _parted(law, seed)
    nodes = Nodes.of(visited, spread, _NODES, smooth=False)
    many = max(law.d, 40)
    tried = 512 if law.d > _LOW else 2_048
    kept = int(np.clip(_WORK / (tried * many * len(nodes.index)), 300, 8_000))
    split = max(2, round(_CHOOSING * len(rows)))
    fitted, choosing = rows[split:], rows[:split]
    names, denoisers = candidates(fitted, kept // 2, seed)
    best = _choose(names, denoisers, _repeated(choosing, tried), visited, nodes, seed)
    x_0 = _repeated(unseen, tried)
    groups = min(len(unseen), len(x_0))
    above = measure(best, x_0, seed, "unseen", visited, nodes, groups)
    own = pool[:kept]
    y_0 = own[:tried]
    below = measure(EmpiricalOracle(own), y_0, seed, "pool", visited, nodes, len(y_0))

    unit = visited.factor * nodes.scale
    up = _student(groups) / math.sqrt(groups)
    value = unit * (nodes.matrix @ above.mean)
    high = value + unit * (up * nodes.matrix @ above.deviation + above.bend)
    chance = np.hypot(below.deviation / math.sqrt(len(y_0)), above.deviation / math.sqrt(len(own)))
    low = unit * (nodes.matrix @ (below.mean - CERTAIN * chance) - below.bend)

    whole, deviation = float(above.whole.mean()), float(above.whole.std(ddof=1))
    off = math.hypot(below.whole.std(ddof=1) / math.sqrt(len(y_0)), deviation / math.sqrt(len(own)))
    least = float(below.whole.mean()) - CERTAIN * off - below.bend_of_whole
    mean = whole, min(max(least, 0.0), whole), whole + up * deviation + above.bend_of_whole
    return Curve(value, np.minimum(np.maximum(low, 0), value), high, mean), best


def _parted(law: Law, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return rows to fit, rows that are held out, and all of them, each in random order."""
    random = np.random.default_rng(stream_seed(seed, "loss floor", "parts"))
    if law.draw is not None:
        rows = law.draw(_DRAWN, int(stream_seed(seed, "loss floor", "rows") % 2**32))
        unseen = law.draw(_DRAWN // 4, int(stream_seed(seed, "loss floor", "unseen") % 2**32))
    else:
        assert law.x is not None
        rows = law.x[torch.from_numpy(random.permutation(len(law.x)))]
        if law.held_out is None:
            cut = max(2, round(_HELD_OUT * len(rows)))
            rows, unseen = rows[cut:], rows[:cut]
        else:
            unseen = law.held_out[torch.from_numpy(random.permutation(len(law.held_out)))]
    pool = torch.cat([rows, unseen])
    return rows, unseen, pool[torch.from_numpy(random.permutation(len(pool)))]


def _repeated(rows: Tensor, n: int) -> Tensor:
    """Return n rows: the first ones, or all of them equally often."""
    return rows[:n] if len(rows) >= n else rows.repeat(-(-n // len(rows)), 1)


def _student(n: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(n - 1, 0.975))


def _choose(
    names: list[str],
    denoisers: list[DenoiserLike],
    rows: Tensor,
    visited: Visited,
    nodes: Nodes,
    seed: int,
) -> Best:
    """Return the denoiser with the least loss at each level, on rows that none was fitted to."""
    losses = [
        measure(own, rows, seed, "choosing", visited, nodes, len(rows)).at_nodes.mean(1) for own in denoisers
    ]
    choice = np.nanargmin(np.stack(losses), axis=0)
    ratio = visited.level.ratio.numpy()[nodes.index]
    return Best(tuple(denoisers), tuple(names), ratio, choice)


def candidates(rows: Tensor, most: int, seed: int) -> tuple[list[str], list[DenoiserLike]]:
    """Return denoisers that resemble rows (n, d), with their names; kernels have ``most`` centres at most."""
    n, d = rows.shape
    found: list[tuple[str, DenoiserLike]] = [
        (f"Gaussian, shrunk by {own.shrunk:g}", own.denoiser) for own in _gaussians(rows)
    ]
    centres = rows[:most]
    near = _nearest(centres)
    shape = centres.std(0).square() if d <= _FEW else torch.ones(1, dtype=torch.float64)
    shape = torch.where(shape > 0, shape, shape.max().clamp_min(1e-12))
    unit = near / float(shape.mean().sqrt())
    for factor in _BANDWIDTHS if d <= _LOW else _BANDWIDTHS[::2]:
        variance = (factor * unit) ** 2 * shape
        found.append((f"kernel, bandwidth {factor * near:.2g}", GaussianMixture(centres, variance)))
    if d <= _LOW:
        for k in _COMPONENTS:
            if n >= 15 * k:
                found.append((f"mixture of {k} Gaussians", _mixture(rows[:_MOST_FITTED], k, seed)))
    return [name for name, _ in found], [denoiser for _, denoiser in found]


@dataclass(frozen=True)
class _Shrunk:
    shrunk: float
    denoiser: Gaussian


def _gaussians(rows: Tensor) -> list[_Shrunk]:
    d = rows.shape[1]
    rows = rows if d <= _MOST_EXACT else rows[:1_000]
    mean = rows.mean(0)
    centred = rows - mean
    if d <= _MOST_EXACT:
        variances, axes = torch.linalg.eigh(centred.T @ centred / len(rows))
    else:  # of few rows in many dimensions the products of rows say the same
        variances, coefficients = torch.linalg.eigh(centred @ centred.T / len(rows))
        keep = variances > 1e-10 * variances.max()
        variances = variances[keep]
        axes = centred.T @ coefficients[:, keep] / (len(rows) * variances).sqrt()
    variances = variances.clamp_min(0)
    common = float(variances.sum()) / d
    return [
        _Shrunk(a, Gaussian(mean, axes, (1 - a) * variances + a * common, a * common)) for a in _SHRINKING
    ]


def _nearest(rows: Tensor) -> float:
    """Return the median distance of a row to its nearest other, above 0 where any is."""
    some = rows[:500]
    distance = torch.cdist(some, rows)
    distance[distance == 0] = torch.inf
    near = distance.amin(1)
    near = near[near.isfinite()]
    return float(near.median()) if len(near) else 1e-6


def _mixture(rows: Tensor, k: int, seed: int) -> DenoiserLike:
    """Fit a mixture of k Gaussians by expectation maximisation, in units of the columns' deviations."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture as Fit

    shift, scale = rows.mean(0), torch.from_numpy(standard_unit(rows.numpy()))
    fit = Fit(k, reg_covar=1e-5, max_iter=60, random_state=int(stream_seed(seed, "mixture") % 2**31))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit.fit(((rows - shift) / scale).numpy())
    found = GaussianMixture(fit.means_, fit.covariances_, fit.weights_)
    return found.scaled(Scaling((-shift / scale).numpy(), (1 / scale).numpy()))
