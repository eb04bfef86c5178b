r"""How much more probable is a row in the data than under a model? Boosted trees estimate the ratio.

Trees that tell real rows from a model's, equally many of both, on the logistic loss, estimate
:math:`f(x) = \log p_{data}(x) / p_{model}(x)` (Sugiyama, Suzuki & Kanamori 2012; boosting: Friedman 2001).
Each is grown on some rows of both kinds, and only as many are kept as improve the loss on rows that none was
grown on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

__all__ = ["LogRatio", "fit_log_ratio", "levelled"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

_TREES, _PATIENCE = 200, 30
_RATE = 0.1
_LEAVES = 31
_LEAST = 20  # rows of a leaf
_PART = 3_000  # rows of each kind for a tree, at most, and not more than this share of them
_SHARE = 0.7
_PRIOR = 1.0  # added to the curvature of a leaf
_CERTAIN = 2.0  # standard errors
_STEP = 1.0  # most that a tree adds
_BINS = 24  # of a column
_SWEEPS = 8
_MOST_ADDED = 2.0  # to the log-ratio of a bin
_FEW = 0.5  # rows that every bin has
_DEEPEST = 64
_NAMES = ("feature", "threshold", "left", "right", "nan_left", "value")


@dataclass(frozen=True)
class LogRatio:
    """A sum of trees, all arrays of shape (trees, nodes).

    A row goes ``left`` where its ``feature`` is at most the ``threshold``, or is missing and ``nan_left``;
    a leaf is its own child, and has a ``value``.
    """

    feature: Ints
    threshold: NDArray[np.float32]
    left: Ints
    right: Ints
    nan_left: NDArray[np.bool_]
    value: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return the log-ratio (n,) of rows x (n, d), NaN where missing."""
        single, total = x.astype(np.float32), np.zeros(len(x))
        rows = np.arange(len(x))
        for tree in range(len(self.feature)):
            at = np.zeros(len(x), dtype=np.intp)
            inner = rows
            for _ in range(_DEEPEST):
                here = at[inner]
                values = single[inner, self.feature[tree, here]]
                goes = np.where(
                    np.isnan(values), self.nan_left[tree, here], values <= self.threshold[tree, here]
                )
                moved = np.where(goes, self.left[tree, here], self.right[tree, here])
                at[inner] = moved
                inner = inner[moved != here]
                if not len(inner):
                    break
            total += self.value[tree, at]
        return total

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return what :meth:`from_arrays` reads."""
        return {name: getattr(self, name) for name in _NAMES}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], features: int) -> LogRatio:
        """Check and take arrays of trees that look at so many features; a ValueError says what is wrong."""
        if set(arrays) != set(_NAMES):
            raise ValueError("trees have other arrays")
        feature, threshold, left, right, nan_left, value = (arrays[name] for name in _NAMES)
        shape = feature.shape
        if len(shape) != 2 or not shape[1] or any(one.shape != shape for one in arrays.values()):
            raise ValueError("arrays of trees differ in shape")
        if any(one.dtype.kind != "i" for one in (feature, left, right)) or nan_left.dtype.kind != "b":
            raise ValueError("arrays of trees have other types")
        if threshold.dtype.kind != "f" or value.dtype.kind != "f" or not np.isfinite(value).all():
            raise ValueError("values of trees are not finite")
        own = np.arange(shape[1])
        leaf = (left == own) & (right == own)
        inner = (left > own) & (right > own) & (left < shape[1]) & (right < shape[1])
        if not (leaf | inner).all() or (feature < 0).any() or (feature >= features).any():
            raise ValueError("nodes of trees lead nowhere")
        return cls(
            feature.astype(np.intp),
            threshold.astype(np.float32),
            left.astype(np.intp),
            right.astype(np.intp),
            nan_left.astype(bool),
            value.astype(np.float64),
        )


def fit_log_ratio(
    real: Floats, made: Floats, new_real: Floats, new_made: Floats, seed: int = 0
) -> LogRatio | None:
    """Fit trees to real rows (n, d) and a model's (m, d); the new ones say how many trees are kept.

    None where they tell nothing apart.
    """
    random = np.random.default_rng(seed)
    x = np.concatenate([real, made]).astype(np.float32)
    y = np.repeat([1.0, 0.0], [len(real), len(made)])
    new = np.concatenate([new_real, new_made]).astype(np.float32)
    sides = len(new_real)
    part = max(1, min(_PART, int(_SHARE * min(len(real), len(made)))))
    f, f_new = np.zeros(len(x)), np.zeros(len(new))
    trees: list[tuple[Any, Floats]] = []
    best, kept, certain = np.log(2.0), 0, False
    for i in range(_TREES):
        chosen = np.concatenate(
            [
                random.choice(len(real), part, replace=False),
                len(real) + random.choice(len(made), part, replace=False),
            ]
        )
        p = 1 / (1 + np.exp(-f[chosen]))
        residual = y[chosen] - p
        learner = DecisionTreeRegressor(max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAST, random_state=i)
        tree = learner.fit(x[chosen], residual).tree_  # which does not check the rows each time
        leaf = tree.apply(x[chosen])
        nodes = tree.node_count
        slope = np.bincount(leaf, residual, minlength=nodes)
        curvature = np.bincount(leaf, p * (1 - p), minlength=nodes) + _PRIOR
        value = np.clip(_RATE * slope / curvature, -_STEP, _STEP)
        trees.append((tree, value))
        f += value[tree.apply(x)]
        f_new += value[tree.apply(new)]
        losses = np.logaddexp(0.0, np.where(np.arange(len(new)) < sides, -f_new, f_new))
        loss = (losses[:sides].mean() + losses[sides:].mean()) / 2
        if loss < best:
            best, kept = loss, i + 1
            error = np.sqrt(losses[:sides].var() / sides + losses[sides:].var() / (len(new) - sides)) / 2
            certain = bool(np.log(2.0) - loss > _CERTAIN * error)
        if i + 1 - kept >= _PATIENCE:
            break
    return _stacked(trees[:kept]) if certain else None


def levelled(ratio: LogRatio, real: Floats, made: Floats, log_top: float) -> LogRatio:
    """Return the ratio with a tree more for each column.

    Trees estimate with noise, which shows first where one column is looked at by itself. So the ratio is
    multiplied by a factor for each bin of each column, in turns, until rows (m, d) that are kept with
    probability min(1, r / c), log c being ``log_top``, fall as often into every bin as real ones (n, d) do
    (Deming & Stephan 1940).
    """
    f = ratio(made)
    edges = [_edges(column) for column in real.T]
    own = [_bins(column, those) for column, those in zip(real.T, edges, strict=True)]
    bins = [_bins(column, those) for column, those in zip(made.T, edges, strict=True)]
    shares = [
        (np.bincount(one, minlength=len(those) + 2) + _FEW) / (len(real) + _FEW)
        for one, those in zip(own, edges, strict=True)
    ]
    added = [np.zeros(len(those) + 2) for those in edges]
    for _ in range(_SWEEPS):
        for j, at in enumerate(bins):
            w = np.exp(np.minimum(f - log_top, 0.0))
            now = np.bincount(at, w, minlength=len(added[j]))
            size = now**2 / np.maximum(np.bincount(at, w**2, minlength=len(now)), 1e-300)
            now = (now + _FEW * w.sum() / len(real)) / (w.sum() * (1 + _FEW / len(real)))
            # Of a bin with few rows little is known, and a few rows must not stand for all.
            step = np.log(shares[j] / now) * size / (size + _LEAST)
            step = np.clip(added[j] + step, -_MOST_ADDED, _MOST_ADDED) - added[j]
            added[j] += step
            f += step[at]
    more = [_tree(j, those, values) for j, (those, values) in enumerate(zip(edges, added, strict=True))]
    return _joined(ratio, more)


def _edges(column: Floats) -> Floats:
    """Return the inner edges of the bins of a column (n,): one for each value, or quantiles."""
    values = np.unique(column[~np.isnan(column)].astype(np.float32)).astype(np.float64)
    if len(values) <= _BINS:
        return (values[1:] + values[:-1]) / 2
    present = column[~np.isnan(column)]
    return np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)[1:-1]))


def _bins(column: Floats, edges: Floats) -> Ints:
    """Return the bin (n,) of each value as a tree finds it: the last one where it is missing."""
    at = np.searchsorted(edges.astype(np.float32), column.astype(np.float32), side="left")
    return np.where(np.isnan(column), len(edges) + 1, at)


def _tree(feature: int, edges: Floats, values: Floats) -> dict[str, NDArray[Any]]:
    """Return a tree that looks up the value of the bin of a feature."""
    nodes: list[tuple[float, int, int, float]] = []

    def grow(low: int, high: int) -> int:
        at = len(nodes)
        nodes.append((0.0, at, at, 0.0))
        if low == high:
            nodes[at] = (0.0, at, at, float(values[low]))
        else:
            middle = (low + high) // 2
            nodes[at] = (float(edges[middle]), grow(low, middle), grow(middle + 1, high), 0.0)
        return at

    nodes.append((np.inf, 1, 2, 0.0))  # a missing value goes right
    nodes.append((0.0, 1, 1, 0.0))
    nodes.append((0.0, 2, 2, float(values[-1])))
    nodes[0] = (np.inf, grow(0, len(edges)), 2, 0.0)
    threshold, left, right, value = map(np.array, zip(*nodes, strict=True))
    return {
        "feature": np.full(len(nodes), feature),
        "threshold": threshold.astype(np.float32),
        "left": left,
        "right": right,
        "nan_left": np.zeros(len(nodes), dtype=bool),
        "value": value,
    }


def _joined(ratio: LogRatio, more: list[dict[str, NDArray[Any]]]) -> LogRatio:
    """Return the ratio with more trees, all filled up with leaves to as many nodes."""
    old = ratio.to_arrays()
    nodes = max(ratio.feature.shape[1], *(len(tree["feature"]) for tree in more))
    every = [{name: array[i] for name, array in old.items()} for i in range(len(ratio.feature))] + more
    made = {}
    for name in _NAMES:
        blank = np.arange(nodes) if name in ("left", "right") else np.zeros(nodes)
        made[name] = np.stack([np.append(tree[name], blank[len(tree[name]) :]) for tree in every])
    return LogRatio.from_arrays(
        {name: array.astype(old[name].dtype) for name, array in made.items()}, 1 + int(made["feature"].max())
    )


def _stacked(trees: list[tuple[Any, Floats]]) -> LogRatio:
    """Return the arrays of trees of scikit-learn, filled up with leaves."""
    nodes = max(tree.node_count for tree, _ in trees)
    own = np.tile(np.arange(nodes), (len(trees), 1))
    feature, left, right = np.zeros_like(own), own.copy(), own.copy()
    threshold = np.zeros(own.shape, dtype=np.float32)
    nan_left, value = np.zeros(own.shape, dtype=bool), np.zeros(own.shape)
    for i, (tree, values) in enumerate(trees):
        inner = np.flatnonzero(tree.children_left >= 0)
        feature[i, inner] = tree.feature[inner]
        threshold[i, inner] = _rounded_down(tree.threshold[inner])
        left[i, inner], right[i, inner] = tree.children_left[inner], tree.children_right[inner]
        nan_left[i, inner] = tree.missing_go_to_left[inner].astype(bool)
        value[i, : tree.node_count] = values
    return LogRatio(feature, threshold, left, right, nan_left, value)


def _rounded_down(threshold: Floats) -> NDArray[np.float32]:
    """Return float32 thresholds between the same float32 numbers."""
    single = threshold.astype(np.float32)
    above = single.astype(np.float64) > threshold
    return np.where(above, np.nextafter(single, np.float32(-np.inf)), single)
