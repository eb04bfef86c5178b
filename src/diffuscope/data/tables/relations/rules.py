"""Which columns are in order, always differ, or have values that never come together?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.evidence import SUPPORT, WIDE
from diffuscope.data.tables.relations.kinds import (
    AtMost,
    Derived,
    Different,
    Never,
    OfTime,
    Relation,
    states,
)
from diffuscope.data.tables.view import Seen

__all__ = ["different", "never_together", "orders"]

_EXPECTED, _SHARE = 15.0, 0.01  # rows that would break it by chance, and their share of all
_HEAP = 0.02  # least share of a number that counts as a value of its own
_HEAPS = 300
_NEW = 0.005  # share of rows with a pair of values that comes once
_KNOWN = 20  # rows of a value whose pairs are known
_MANY = 0.1  # share of rows that would have an unseen pair by chance

Ints = NDArray[np.intp]


def orders(x: Floats, columns: Sequence[Seen]) -> Iterator[Relation]:
    """Yield pairs of columns of which one is never above the other, though by chance it often would be."""
    below: dict[int, set[int]] = {}
    for kind in ("number", "time"):
        those = [j for j, one in enumerate(columns) if one.kind == kind]
        if len(those) > WIDE:
            continue
        ordered = {j: np.sort(x[~np.isnan(x[:, j]), j]) for j in those}
        for a, b in combinations(those, 2):
            for small, large in ((a, b), (b, a)):
                if not (x[:, small] > x[:, large]).any():
                    there = int((~np.isnan(x[:, [small, large]]).any(axis=1)).sum())
                    ranks = np.searchsorted(ordered[large], ordered[small], side="left")
                    chance = ranks.mean() / max(len(ordered[large]), 1) if len(ranks) else 0.0
                    if chance * there >= max(_EXPECTED, _SHARE * len(x)):
                        below.setdefault(small, set()).add(large)
                    break
    for small, larger in below.items():
        for large in sorted(larger):
            if not any(large in below.get(middle, ()) and middle != large for middle in larger):
                yield AtMost(small=small, large=large)


def never_together(x: Floats, columns: Sequence[Seen], derived: Mapping[int, Derived]) -> Iterator[Relation]:
    """Yield values of two columns that never come together, though by chance they often would.

    They are those of which each pair would come often; or all that do not, where hardly any comes only once.
    """
    if len(columns) > WIDE:
        return
    often: dict[int, tuple[Ints, Floats]] = {}
    every: dict[int, tuple[Ints, Floats]] = {}
    for j, column in enumerate(columns):
        own = x[~np.isnan(x[:, j]), j]
        if column.kind == "nothing" or not len(own):
            continue
        values, counts = np.unique(own, return_counts=True)
        least = _EXPECTED if column.kind == "category" else max(_EXPECTED, _HEAP * len(x))
        listed = len(values) <= min(_HEAPS, len(own) // SUPPORT) and column.kind != "time"
        for made, heaps in ((often, values[counts >= least][:_HEAPS]), (every, values)):
            if made is often or listed:
                made[j] = (states(x[:, j], heaps), heaps)
    for a, b in combinations(range(len(columns)), 2):
        one, other = derived.get(a), derived.get(b)
        if any(each is not None and {a, b} <= set(each.concerns) for each in (one, other)):
            continue
        if isinstance(one, OfTime) and isinstance(other, OfTime) and one.time == other.time:
            continue
        for made in (every, often):
            if a in made and b in made:
                pairs = _unseen(made[a], made[b], whole=made is every)
                if len(pairs):
                    yield Never(
                        columns=(a, b),
                        heaps=(tuple(made[a][1].tolist()), tuple(made[b][1].tolist())),
                        pairs=tuple((int(p), int(q)) for p, q in pairs),
                    )
                    break


def _unseen(one: tuple[Ints, Floats], other: tuple[Ints, Floats], whole: bool) -> Ints:
    """Return the pairs (k, 2) of states that are never together, none where that says nothing.

    As a ``whole`` they do where pairs that come once, of values that come more often, are few, and so by
    estimate those that are still to come (Good 1953); and by chance many rows would have one that is unseen.
    Of rare values too little is known.
    """
    sizes = len(one[1]) + 2, len(other[1]) + 2
    table = np.bincount(one[0] * sizes[1] + other[0], minlength=sizes[0] * sizes[1]).reshape(sizes)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    unseen = (table == 0) & (expected > 0)
    if whole:
        once = (table == 1) & (table.sum(axis=1, keepdims=True) > 1) & (table.sum(axis=0) > 1)
        says = once.sum() <= _NEW * table.sum() and expected[unseen].sum() >= _MANY * table.sum()
        known = (table.sum(axis=1, keepdims=True) >= _KNOWN) & (table.sum(axis=0) >= _KNOWN)
        return np.argwhere(unseen & known) if says else np.empty((0, 2), dtype=np.intp)
    return np.argwhere(unseen & (expected >= max(_EXPECTED, _SHARE * table.sum())))


def different(x: Floats, columns: Sequence[Seen], labels: Mapping[int, Sequence[Any]]) -> Iterator[Relation]:
    """Yield pairs of columns of the same categories that never agree, though by chance they often would."""
    places = {
        j: {label: i for i, label in enumerate(labels[j])}
        for j, one in enumerate(columns)
        if one.kind == "category" and j in labels
    }
    for a, b in combinations(places, 2):
        alike = [(i, places[b][label]) for label, i in places[a].items() if label in places[b]]
        if len(alike) < 2:
            continue
        expected = sum(float((x[:, a] == i).mean() * (x[:, b] == k).sum()) for i, k in alike)
        one = Different(one=a, other=b, alike=tuple((float(i), float(k)) for i, k in alike))
        if expected >= max(_EXPECTED, _SHARE * len(x)) and one.kept(x).all():
            yield one
