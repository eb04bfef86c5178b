"""Which data do people bring? Two laws in the plane, two tables, digits, and small images in colour.

All are made of a seed. ``bring`` returns one of them; ``changed`` returns it as a fault of the data has it:
few rows, copies, an outlier, a group that was lost, rounded columns, heavy tails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["NAMES", "Data", "blobs_denoiser", "bring", "changed", "frame"]

Array = np.ndarray[Any, np.dtype[np.float64]]

_WEIGHTS = np.array([0.4, 0.3, 0.2, 0.1])
_MEANS = np.array([[-6.0, 2.0], [0.0, -3.0], [5.0, 3.0], [1.0, 6.0]])
_ROOTS = np.array(
    [[[1.2, 0.0], [0.7, 0.5]], [[0.6, 0.0], [-0.5, 1.0]], [[0.5, 0.0], [0.3, 0.9]], [[0.9, 0.0], [0.0, 0.4]]]
)


@dataclass(frozen=True)
class Data:
    """A set of points.

    Attributes
    ----------
    name : str
    x : ndarray of shape (n, d)
        What networks are trained on, in the units of the data.
    held_out : ndarray of shape (m, d)
        Of the same law.
    given : str or ndarray
        What is handed to ``diagnose``: a name, or an array.
    labels : ndarray of shape (n,) or None
        Classes.
    shape : tuple of int
        Of one point, as it is given.
    """

    name: str
    x: Array
    held_out: Array
    given: Any
    labels: np.ndarray[Any, np.dtype[np.int64]] | None = None
    shape: tuple[int, ...] = ()

    @property
    def d(self) -> int:
        return self.x.shape[1]


def _own(name: str, x: Array, held_out: Array, labels: Any = None, shape: tuple[int, ...] = ()) -> Data:
    """A set that is given as an array."""
    shape = shape or (x.shape[1],)
    given = x.reshape(len(x), *shape)
    return Data(name, x, held_out, given.astype(np.uint8) if len(shape) == 3 else given, labels, shape)


def _moons(seed: int) -> Data:
    import diffuscope

    x, held_out = (diffuscope.load_dataset("moons", size=10_000, seed=one).x for one in (seed, seed + 1000))
    return Data("moons", np.asarray(x, float), np.asarray(held_out, float), "moons", shape=(2,))


def _blobs(seed: int) -> Data:
    """Four Gaussians of unlike shapes and weights."""

    def draw(n: int, random: np.random.Generator) -> tuple[Array, Any]:
        group = random.choice(4, n, p=_WEIGHTS)
        return _MEANS[group] + np.einsum("nij,nj->ni", _ROOTS[group], random.standard_normal((n, 2))), group

    x, group = draw(2_000, np.random.default_rng([seed, 1]))
    return _own("blobs", x, draw(2_000, np.random.default_rng([seed, 2]))[0], group)


def blobs_denoiser(x_t: Array, alpha: Array, sigma: Array, shift: Array, scale: Array) -> Array:
    """Return E[x_0 | x_t] of ``blobs`` in the units (x − shift) / scale, by Bayes' rule over four parts."""
    means, roots = (_MEANS - shift) / scale, _ROOTS / scale[:, None]
    covariances = roots @ roots.transpose(0, 2, 1)
    alpha, sigma = alpha.reshape(-1, 1), sigma.reshape(-1, 1)
    logs, estimates = [], []
    for weight, mean, covariance in zip(_WEIGHTS, means, covariances, strict=True):
        noisy = alpha[..., None] ** 2 * covariance + np.maximum(sigma, 1e-12)[..., None] ** 2 * np.eye(2)
        off = x_t - alpha * mean
        solved = np.linalg.solve(np.broadcast_to(noisy, (len(x_t), 2, 2)), off[..., None])[..., 0]
        logs.append(np.log(weight) - 0.5 * np.linalg.slogdet(noisy)[1] - 0.5 * (off * solved).sum(1))
        estimates.append(mean + alpha * (solved @ covariance))
    shares = np.exp(np.array(logs) - np.max(logs, axis=0))
    shares /= shares.sum(0)
    return np.einsum("kn,knd->nd", shares, np.array(estimates))


def _table5(seed: int) -> Data:
    """Age, income, a rate, a temperature and a balance: correlated, of unlike scales."""
    mixing = np.random.default_rng(5).normal(size=(5, 5)) * 0.5 + np.eye(5)
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)

    def draw(n: int, random: np.random.Generator) -> Array:
        z = random.standard_normal((n, 5)) @ mixing.T
        bent = z[:, 4] + 0.5 * (z[:, 0] ** 2 - 1)
        columns = [
            44 + 12 * z[:, 0],
            30_000 * np.exp(0.4 * z[:, 1]),
            1 / (1 + np.exp(-z[:, 2])),
            15 + 8 * z[:, 3],
        ]
        return np.stack([*columns, 2_000 * bent], axis=1)

    return _own(
        "table5", draw(2_000, np.random.default_rng([seed, 3])), draw(2_000, np.random.default_rng([seed, 4]))
    )


_COLUMNS = (
    "age",
    "income",
    "rate",
    "load",
    "score",
    "visits",
    "rooms",
    "year",
    "member",
    "urban",
    "grade",
    "spent",
)


def _table12(seed: int) -> Data:
    """Numbers, counts, two truth values, a grade and an amount that is often zero, all as numbers."""
    mixing = np.random.default_rng(12).normal(size=(12, 4))
    mixing /= np.linalg.norm(mixing, axis=1, keepdims=True)

    def draw(n: int, random: np.random.Generator) -> Array:
        common = random.standard_normal((n, 4))
        z = 0.8 * common @ mixing.T + 0.6 * random.standard_normal((n, 12))
        made = [50 + 15 * z[:, 0], 20_000 * np.exp(0.5 * z[:, 1]), 1 / (1 + np.exp(-z[:, 2])), 3 * z[:, 3]]
        made += [
            600 + 80 * z[:, 4],
            np.floor(np.exp(1 + 0.7 * z[:, 5])),
            np.clip(np.round(4 + 1.5 * z[:, 6]), 1, 9),
        ]
        made += [np.round(1990 + 9 * z[:, 7]), (z[:, 8] > 0.4) * 1.0, (z[:, 9] > -0.3) * 1.0]
        made += [np.digitize(z[:, 10], [-0.8, 0.2, 1.0]) * 1.0, np.maximum(0, 100 * z[:, 11])]
        return np.stack(made, axis=1)

    return _own(
        "table12",
        draw(3_000, np.random.default_rng([seed, 5])),
        draw(3_000, np.random.default_rng([seed, 6])),
    )


def frame(x: Array) -> pd.DataFrame:
    """Return rows of ``table12`` as people keep them: with names, whole numbers, truth values, categories."""
    made = pd.DataFrame(x, columns=list(_COLUMNS))
    for name in ("visits", "rooms", "year"):
        made[name] = made[name].astype(int)
    for name in ("member", "urban"):
        made[name] = made[name] > 0.5
    made["grade"] = pd.Categorical.from_codes(made["grade"].astype(int), ["A", "B", "C", "D"])
    return made


def _digits(seed: int) -> Data:
    from sklearn.datasets import load_digits

    x, labels = load_digits(return_X_y=True)
    order = np.random.default_rng([seed, 7]).permutation(len(x))
    train, held_out = order[:1_400], order[1_400:]
    return _own("digits", x[train], x[held_out], labels[train].astype(np.int64))


def _shapes(seed: int) -> Data:
    """A disc, a square or a cross in one colour on another, 16 × 16 pixels."""

    def draw(n: int, random: np.random.Generator) -> Array:
        rows, columns = np.mgrid[:16, :16]
        images = np.empty((n, 3, 16, 16))
        for image in images:
            u, v = rows - random.uniform(5, 10), columns - random.uniform(5, 10)
            r = random.uniform(2.5, 5)
            far = [np.hypot(u, v), np.maximum(abs(u), abs(v)), np.minimum(abs(u), abs(v)) + 0.6 * r]
            inside = np.clip(r - far[random.integers(3)] + 0.5, 0, 1)
            front, back = random.uniform(150, 255, 3), random.uniform(0, 90, 3)
            image[:] = back[:, None, None] + (front - back)[:, None, None] * inside
        return np.round(images).reshape(n, -1)

    x, held_out = (draw(n, np.random.default_rng([seed, n])) for n in (2_000, 1_000))
    return _own("shapes", x, held_out, shape=(3, 16, 16))


NAMES = {
    "moons": _moons,
    "blobs": _blobs,
    "table5": _table5,
    "table12": _table12,
    "digits": _digits,
    "shapes": _shapes,
}


@cache
def bring(name: str, seed: int) -> Data:
    """Return a set of data by name."""
    return NAMES[name](seed)


def changed(name: str, seed: int, change: str) -> Data:
    """Return a set of data after a change such as ``rows 60``, ``copies 30`` or ``outlier 10000``."""
    data = bring(name, seed)
    if not change:
        return data
    change, _, transform = change.partition(", ")
    kind, _, value = change.partition(" ")
    random = np.random.default_rng([seed, 9])
    x, held_out = data.x.copy(), data.held_out
    if kind == "rows":
        x = x[random.permutation(len(x))[: int(value)]]
    elif kind == "copies":
        x = x[random.permutation(len(x))[: int(value)]][random.integers(int(value), size=len(x))]
    elif kind == "outlier":
        x[0] = x.mean(0) + float(value) * x.std(0)
    elif kind == "lost":
        x = x[_groups(data, x) != int(value)]
    elif kind == "rounded":
        step = float(value) * x.std(0)
        x, held_out = np.round(x / step) * step, np.round(held_out / step) * step
    elif kind == "tails":
        x, held_out = (_tails(rows, float(value), x) for rows in (x, held_out))
    elif kind == "factor":
        x, held_out = float(value) * x, float(value) * held_out
    else:
        raise ValueError(change)
    if transform == "by quantiles":
        x, held_out = _by_quantiles(x, x), _by_quantiles(held_out, x)
    given = x.reshape(len(x), *data.shape)
    return replace(data, x=x, held_out=held_out, given=given, labels=None)


def _groups(data: Data, x: Array) -> Any:
    """Return the group of each row, of four."""
    if data.name == "blobs":
        return data.labels
    quarters = np.quantile(x[:, 0], [0.25, 0.5, 0.75])
    return np.digitize(x[:, 0], quarters)


def _by_quantiles(rows: Array, x: Array) -> Array:
    """Give every column a normal law, by the ranks that its values have among those of x."""
    from scipy.stats import norm

    ranks = [np.searchsorted(np.sort(column), row) for row, column in zip(rows.T, x.T, strict=True)]
    return np.asarray(norm.ppf((np.stack(ranks, axis=1) + 0.5) / (len(x) + 1)))


def _tails(rows: Array, freedom: float, x: Array) -> Array:
    """Give every column the tails of Student's t, in the order of its rows."""
    from scipy.stats import norm, t

    z = (rows - x.mean(0)) / x.std(0)
    return x.mean(0) + x.std(0) * t.ppf(norm.cdf(np.clip(z, -6, 6)), freedom)
