"""Which columns are determined by one or two others, as a distance is by two places?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.evidence import SUPPORT, WIDE
from diffuscope.data.tables.relations.kinds import (
    Derived,
    Determined,
)
from diffuscope.data.tables.view import Seen

__all__ = ["determined", "determined_by", "has_support"]

_KEYS = 40  # columns that are tried two at a time
_SINGLE = 0.05  # most rows with a value of their own
_EVIDENCE = 30.0  # nats
_ALONE = 0.02  # least share of rows that one key of two leaves undetermined

Ints = NDArray[np.intp]


def determined(x: Floats, columns: Sequence[Seen], derived: Mapping[int, Derived]) -> Iterator[Derived]:
    """Yield columns that one or two others determine."""
    codes, surprise = {}, {}
    for j, column in enumerate(columns):
        missing = np.isnan(x[:, j])
        if column.kind == "nothing" or missing.all():
            continue
        values, own, counts = np.unique(x[~missing, j], return_inverse=True, return_counts=True)
        if len(values) < 2:
            continue
        codes[j] = np.full(len(x), -1, dtype=np.intp)
        codes[j][~missing] = own
        logs = -np.log(counts / counts.sum())
        surprise[j] = np.where(missing, 0.0, logs[codes[j]])
    candidates = [j for j in codes if columns[j].kind != "time" and columns[j].of is None]
    keys = sorted((j for j in codes if has_support(codes[j])), key=lambda j: (int(codes[j].max()), j))
    single = {(k, j) for k in keys for j in determined_by(codes, surprise, (k,), candidates)}
    for j in candidates:
        both = {k: int(((codes[k] >= 0) & (codes[j] >= 0)).sum()) for k in keys if (k, j) in single}
        for k in sorted(both, key=lambda k: -both[k]):  # the one that is there in most rows; of few values
            yield _lookup(x, (k,), j)
    if len(columns) > WIDE:
        return
    rest = [j for j in candidates if j not in derived and not any((k, j) in single for k in keys)]
    if rest:
        for pair in combinations(keys[:_KEYS], 2):
            for j in determined_by(codes, surprise, pair, rest):
                if all(_undetermined(codes, k, j) > _ALONE for k in pair):
                    yield _lookup(x, pair, j)


def has_support(code: Ints) -> bool:
    """Whether values come in enough rows to determine something; -1 is missing."""
    counts = np.bincount(code[code >= 0])
    counts = counts[counts > 0]
    rows = counts.sum()
    return bool(len(counts) >= 2 and rows >= SUPPORT * len(counts) and (counts == 1).sum() <= _SINGLE * rows)


def determined_by(
    codes: Mapping[int, Ints],
    surprise: Mapping[int, Floats],
    keys: tuple[int, ...],
    candidates: Sequence[int],
) -> list[int]:
    """Return which columns the keys determine, with evidence."""
    joint = codes[keys[0]].copy()
    for k in keys[1:]:
        joint = np.where((joint < 0) | (codes[k] < 0), -1, joint * (codes[k].max() + 1) + codes[k])
    if len(keys) > 1:
        inside = joint >= 0
        joint[inside] = np.unique(joint[inside], return_inverse=True)[1]
        if not inside.any() or not has_support(joint):
            return []
    candidates = [j for j in candidates if j not in keys]
    order = np.argsort(joint, kind="stable")
    order = order[joint[order] >= 0]
    starts = np.flatnonzero(np.diff(joint[order], prepend=-1))
    group = np.cumsum(np.diff(joint[order], prepend=-1) > 0) - 1
    found = []
    for j in candidates:
        own = codes[j][order]
        low = np.minimum.reduceat(np.where(own < 0, np.iinfo(np.intp).max, own), starts)
        if (low[group] != own)[own >= 0].any():
            continue
        logs = surprise[j][order]
        first = np.maximum.reduceat(logs, starts)
        if logs.sum() - first.sum() >= _EVIDENCE * len(keys):
            found.append(j)
    return found


def _undetermined(codes: Mapping[int, Ints], k: int, j: int) -> float:
    """Return the share of rows whose value of column j is not the most frequent one for their key."""
    there = (codes[k] >= 0) & (codes[j] >= 0)
    a, b = codes[k][there], codes[j][there]
    pairs, counts = np.unique(a * (b.max(initial=0) + 1) + b, return_counts=True)
    most = np.zeros(a.max(initial=0) + 1)
    np.maximum.at(most, pairs // (b.max(initial=0) + 1), counts)
    return float(1 - most.sum() / max(len(a), 1))


def _lookup(x: Floats, keys: tuple[int, ...], j: int) -> Determined:
    there = ~np.isnan(x[:, [*keys, j]]).any(axis=1)
    known, at = np.unique(x[there][:, list(keys)], axis=0, return_index=True)
    return Determined(
        column=j,
        keys=keys,
        known=tuple(tuple(row) for row in known.tolist()),
        values=tuple(x[there, j][at].tolist()),
    )
