r"""How good are simple methods, fitted to the same data?

Three that everybody knows, fitted with as much care as one may expect of a user:

* a **kernel density estimate** with a Gaussian kernel, its bandwidth by the likelihood of parts left out,
* a **Gaussian mixture**, its number of components by Schwarz's criterion (BIC),
* the **training data** itself, drawn again: what perfect memory and no understanding would give.

All are fitted to columns over their standard deviations; densities and samples are in the units of the data.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.points.codec import PointsCodec
from diffuscope.metrics.clouds import Points

__all__ = ["Baseline", "fit_baselines"]

_MOST_POINTS = 20_000
_MOST_SEARCHED = 4_000
_FOLDS = 5
_FACTORS = np.geomspace(0.1, 2.0, 14)  # of Scott's bandwidth
_COMPONENTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96)
_WORSE_IN_A_ROW = 2
_WIDE = 64
_REGULARISATION = 1e-6


@dataclass(frozen=True)
class Baseline:
    """A simpler generative model of the same data, in its units."""

    name: str
    title: str
    sample: Callable[[int, int], Points]  # sample(n, seed) -> (n, d)
    log_density: Callable[[Points], Points] | None  # (n, d) -> (n,), in nats; None: there is no density


def fit_baselines(x: NDArray[Any], seed: int = 0) -> list[Baseline]:
    """Fit all of them to data (n, d); of more than 20,000 points to a random part."""
    from threadpoolctl import threadpool_limits

    x = np.asarray(x, dtype=np.float64)
    random = np.random.default_rng(seed)
    if len(x) > _MOST_POINTS:
        x = x[random.choice(len(x), _MOST_POINTS, replace=False)]
    scaling = PointsCodec.fit(x)
    z = (x - scaling.shift) / scaling.scale
    with threadpool_limits(1):  # the pieces are too small to be shared out
        return [_kernel_density(z, scaling, seed), _gaussian_mixture(z, scaling, seed), _training_data(x)]


def _kernel_density(z: Points, scaling: PointsCodec, seed: int) -> Baseline:
    from sklearn.model_selection import GridSearchCV, KFold
    from sklearn.neighbors import KernelDensity

    n, d = z.shape
    some = z[np.random.default_rng(seed).permutation(n)[:_MOST_SEARCHED]]
    scott = len(some) ** (-1 / (d + 4))
    folds = KFold(min(_FOLDS, len(some)), shuffle=True, random_state=seed)
    search = GridSearchCV(KernelDensity(rtol=1e-4), {"bandwidth": scott * _FACTORS}, cv=folds, refit=False)
    search.fit(some)
    # The best bandwidth falls with the number of points as Scott's does.
    bandwidth = search.best_params_["bandwidth"] * (n / len(some)) ** (-1 / (d + 4))
    model = KernelDensity(bandwidth=bandwidth, rtol=1e-4).fit(z)
    return Baseline(
        "kernel_density",
        f"kernel density, bandwidth {model.bandwidth:.2g} σ",
        lambda n, seed: _in_units(model.sample(n, random_state=seed), scaling),
        lambda x: _log_density(model, x, scaling),
    )


def _gaussian_mixture(z: Points, scaling: PointsCodec, seed: int) -> Baseline:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    n, d = z.shape
    kind = "full" if d <= _WIDE else "diag"
    best: Any = None
    least, worse = np.inf, 0
    for components in _COMPONENTS:
        if components * (d + 1) > n or worse == _WORSE_IN_A_ROW:
            break
        model = GaussianMixture(
            components, covariance_type=kind, reg_covar=_REGULARISATION, random_state=seed
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its likelihood counts all the same
            model.fit(z)
        criterion = model.bic(z)
        worse = worse + 1 if criterion > least else 0
        if criterion < least:
            best, least = model, criterion
    assert best is not None

    def sample(n: int, seed: int) -> Points:
        points, _ = best.set_params(random_state=seed).sample(n)
        return _in_units(np.random.default_rng(seed).permutation(points), scaling)

    return Baseline(
        "gaussian_mixture",
        f"Gaussian mixture of {best.n_components}",
        sample,
        lambda x: _log_density(best, x, scaling),
    )


def _training_data(x: Points) -> Baseline:
    def sample(n: int, seed: int) -> Points:
        """Draw without putting back as long as there are enough."""
        random = np.random.default_rng(seed)
        return x[random.choice(len(x), n, replace=n > len(x))]

    return Baseline("training_data", "training data, drawn again", sample, None)


def _in_units(z: Points, scaling: PointsCodec) -> Points:
    return np.asarray(z * scaling.scale + scaling.shift)


def _log_density(model: Any, x: Points, scaling: PointsCodec) -> Points:
    return np.asarray(model.score_samples((x - scaling.shift) / scaling.scale) - np.log(scaling.scale).sum())
