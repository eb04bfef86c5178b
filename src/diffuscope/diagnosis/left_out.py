"""Is a part of the data left out by the samples, while the rest of them is right?

A loop that never saw one class, or one shard of the rows, makes good samples of all the others. A small tree
that tells samples from real rows, fitted to one half of both, has a leaf in which rows lie, but hardly any
samples; the other half says how many. Then the distance is measured once more, with other real rows in the
region among the samples: where most of the distance is gone, the part that is left out is what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from diffuscope.diagnosis.distances import Clouds, Share
from diffuscope.diagnosis.findings import Finding, matters
from diffuscope.diagnosis.subject import Points, Subject

__all__ = ["left_out"]

_LEAVES, _LEAST_LEAF = 12, 0.02  # of the tree; of all rows
_FEWEST = 30  # real rows in the region, in the half that judges
_GONE, _NEARLY = 0.25, 0.35  # of the share of rows: that of samples, in both halves
_OF_IT = 0.5  # of the distance beyond the floor, the most that is left once rows are there
_RIGHT = 1.0  # floors beyond the first one, within which the rest is right
_MOST_OF_ROWS = 0.5  # that can be a part
_CLOUDS = 4


class _Region(NamedTuple):
    """Where samples are missing, with shares of real rows and of samples there."""

    words: str
    holds: Callable[[Points], np.ndarray]
    of_real: float
    of_made: float


def left_out(clouds: Clouds) -> Finding | None:
    """Return the part of the data that samples of the network leave out, where that is what is wrong."""
    subject = clouds.subject
    made = clouds.first(min(_CLOUDS, clouds.count))
    if not all(np.isfinite(one).all() for one in made):
        return None
    real = subject.reference.real[: len(made)]
    region = _missing(subject, real[0], made[0])
    if region is None:
        return None
    before, after = [], []
    for k, (one, other) in enumerate(zip(made, real, strict=True)):
        before.append(subject.reference.distance(one, other))
        after.append(subject.reference.distance(_filled(clouds, region, one, k), other))
    gain = clouds.share(np.array(before), np.array(after))
    beyond = float(np.mean(before)) - clouds.floor
    left = float(np.mean(after)) - clouds.floor
    if not matters(gain) or left > min(_OF_IT * beyond, _RIGHT * clouds.floor):
        return None
    return _finding(region, gain)


def _filled(clouds: Clouds, region: _Region, made: Points, k: int) -> Points:
    """Return samples in which other real rows, as many as there are, stand in the region."""
    subject = clouds.subject
    assert subject.reference.points is not None
    rows = subject.reference.normalised(subject.reference.points.other(k))
    rows, rest = rows[region.holds(rows)], made[~region.holds(made)]
    kept = subject.random("left out", k).permutation(len(rest))[: max(0, len(made) - len(rows))]
    return np.concatenate([rest[kept], rows])


def _finding(region: _Region, gain: Share) -> Finding:
    return Finding(
        "left_out",
        f"A part of the data is absent from the samples: rows with {region.words}",
        f"{region.of_real:.1%} of real rows lie there, but {region.of_made:.1%} of samples. With other real "
        f"rows there, samples are {gain} × floor nearer: the rest is right.",
        gain.ratio,
        "Look which rows the training loop really saw (a class or shard lost, a filter, a sampler of batches "
        "that skips), and train on all groups of the data.",
        "likely",
        interval=(gain.low, gain.high),
    )


def _missing(subject: Subject, real: Points, made: Points) -> _Region | None:
    """Find a region, as :meth:`Subject.shown`, in which real rows lie, but hardly any samples."""
    from sklearn.tree import DecisionTreeClassifier

    fitted = np.concatenate([real[::2], made[::2]])
    is_real = np.repeat([1, 0], [len(real[::2]), len(made[::2])])
    tree = DecisionTreeClassifier(max_leaf_nodes=_LEAVES, min_samples_leaf=_LEAST_LEAF, random_state=0)
    leaves = tree.fit(fitted, is_real).apply(fitted)
    there = np.bincount(leaves[is_real == 1], minlength=tree.tree_.node_count) / len(real[::2])
    of_made = np.bincount(leaves[is_real == 0], minlength=tree.tree_.node_count) / len(made[::2])
    leaf = int(np.argmax(there - of_made))
    if of_made[leaf] > _GONE * there[leaf] or there[leaf] > _MOST_OF_ROWS:
        return None

    def holds(x: Points) -> np.ndarray:
        return np.asarray(tree.apply(x) == leaf)

    rows, samples = holds(real[1::2]), holds(made[1::2])
    if rows.sum() < _FEWEST or samples.mean() > _NEARLY * rows.mean():
        return None
    return _Region(_in_words(subject, tree, leaf), holds, float(rows.mean()), float(samples.mean()))


def _in_words(subject: Subject, tree: object, leaf: int) -> str:
    """Say between which values of which columns the rows of a leaf lie, in the units of the data."""
    nodes = tree.tree_  # type: ignore[attr-defined]
    parents: dict[int, tuple[int, int]] = {}
    for side, children in enumerate((nodes.children_left, nodes.children_right)):
        parents |= {int(child): (at, side) for at, child in enumerate(children) if child >= 0}
    bounds: dict[int, list[float]] = {}
    at = leaf
    while at in parents:
        at, side = parents[at]
        between = bounds.setdefault(int(nodes.feature[at]), [-np.inf, np.inf])
        value = float(nodes.threshold[at])
        if side == 0:
            between[1] = min(between[1], value)
        else:
            between[0] = max(between[0], value)
    reference, names = subject.reference, subject.data.columns
    own = len(reference.middle) == subject.d
    parts = []
    for j, (low, high) in sorted(bounds.items()):
        low, high = (one * reference.unit[j] + reference.middle[j] for one in (low, high))
        name = f"column {j + 1}" if names is None or not own else repr(names[j])
        if np.isinf(low):
            parts.append(f"{name} below {high:.4g}")
        elif np.isinf(high):
            parts.append(f"{name} above {low:.4g}")
        else:
            parts.append(f"{name} between {low:.4g} and {high:.4g}")
    return ", ".join(parts)
