"""Which relations hold in all rows of a table, and not by chance?

Each kind has its evidence: how unlikely it is that the rows agree so well if the columns had nothing to do
with each other. A relation that holds in all of n rows holds in all but about 3/n of the rows that the law
gives (with 95% probability), so that little is lost where samples have to keep one that is not a law.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, permutations, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.relations.kinds import (
    PARTS,
    AtMost,
    Derived,
    Determined,
    Different,
    Named,
    Never,
    OfTime,
    Part,
    PartName,
    Relation,
    Sum,
    part_of,
    states,
)
from diffuscope.data.tables.relations.together import Relations
from diffuscope.data.tables.view import Seen

__all__ = ["find_relations"]

_FEWEST = 50  # rows
_SOME = 10_000  # rows in which relations are looked for; they have to hold in all
_PRODUCTS = 10**9  # of rows, columns and columns; of wide tables fewer rows are looked at
_WIDE = 150  # columns; of wider tables pairs are not compared
_KEYS = 40  # columns that are tried two at a time
_SUPPORT = 5  # rows for each value of what determines, on average
_SINGLE = 0.05  # most rows with a value of their own
_EVIDENCE = 30.0  # nats
_EXPECTED, _SHARE = 15.0, 0.01  # rows that would break it by chance, and their share of all
_ALONE = 0.02  # least share of rows that one key of two leaves undetermined
_NULL = 1e-7  # error of a sum that is exact, over the deviation of the column
_ROUNDED = 1e-5  # the same, of numbers that were rounded
_FIRST = -1  # before sums of any level: what a constraint says
_NEARLY = 0.995  # share of rows that keep a sum
_PARTS, _TRIED = 8, 12  # of a sum at most, and before those are left out that are not needed
_SETS = 20  # of columns whose values are missing in the same rows, for sums
_TRIES, _ROWS = 3, 4  # how often sums are looked for, in how many rows for each column
_HEAP = 0.02  # least share of a number that counts as a value of its own
_HEAPS = 300
_NEW = 0.005  # share of rows with a pair of values that comes once
_KNOWN = 20  # rows of a value whose pairs are known
_MANY = 0.1  # share of rows that would have an unseen pair by chance
_OFFSET = 10
_TIMES = 12  # columns of times that are compared with each other
_SECONDS = (86_400, 3_600, 60, 1)
_EQUAL = 1e-3  # seconds
_LARGEST = 1e100  # of numbers in sums

Ints = NDArray[np.intp]


def find_relations(
    x: Floats, columns: Sequence[Seen], labels: Mapping[int, Sequence[Any]] | None = None
) -> Relations:
    """Return the exact relations between columns of rows as numbers x (n, columns).

    ``labels`` are the categories of columns of categories, by the column's number.
    """
    if len(x) < _FEWEST:
        return Relations()
    most = min(_SOME, max(_FEWEST, _PRODUCTS // max(len(columns), 1) ** 2))
    some = x if len(x) <= most else x[:: -(-len(x) // most)]
    told: dict[int, Derived] = {}
    for found in (
        _parts(some, columns),
        _gaps(some, columns),
        _sums(some, columns),
        _determined(some, columns, told),
    ):
        for one in found:
            circular = any(_rests_on(told, j, one.column, columns) for j in one.sources)
            if one.column not in told and not circular and _holds(one, x):
                told[one.column] = one
    rules: list[Relation] = [*_orders(some, columns), *_never(some, columns, told)]
    rules += _different(some, columns, labels or {})
    kept = [one for one in rules if one.kept(x).all()]
    return Relations.model_construct(found=(*_in_order(told), *kept))


def _holds(one: Relation, x: Floats) -> bool:
    kept = one.kept(x)
    return bool(kept.mean() >= _NEARLY if isinstance(one, Sum) else kept.all())


def _rests_on(told: Mapping[int, Derived], j: int, column: int, columns: Sequence[Seen]) -> bool:
    """Whether column j is told by ``column``, be it through others, or is it."""
    sources = told[j].sources if j in told else columns[j].of or ()
    return j == column or any(_rests_on(told, k, column, columns) for k in sources)


def _in_order(told: Mapping[int, Derived]) -> list[Derived]:
    """Return relations so that a column is told before it tells others."""
    placed: dict[int, Derived] = {}

    def place(j: int) -> None:
        if j in told and j not in placed:
            for k in told[j].sources:
                place(k)
            placed[j] = told[j]

    for j in told:
        place(j)
    return list(placed.values())


# --- columns that are told by others ------------------------------------------------------------------------


def _parts(x: Floats, columns: Sequence[Seen]) -> Iterator[Derived]:
    """Yield columns that repeat a part of a time, or name it."""
    for i, time in enumerate(columns):
        if time.kind != "time":
            continue
        parts = {part: part_of(x[:, i], part) for part in PARTS}
        few = sorted((part for part in PARTS if part != "date"), key=lambda part: len(np.unique(parts[part])))
        for j, column in enumerate(columns):
            if column.of is not None or i == j:
                continue
            if column.kind == "category":
                yield from _names(x, i, j, {part: parts[part] for part in few})
            for part, values in parts.items():
                if (
                    column.kind == "time"
                    if part == "date"
                    else column.kind == "number" and not column.decimals
                ):
                    offsets = x[:, j] - values
                    offsets = offsets[~np.isnan(offsets)]
                    if len(offsets) < _FEWEST or np.ptp(offsets) or abs(offsets[0]) > _OFFSET:
                        continue
                    same = part == "date" and not (x[:, i] != values)[~np.isnan(x[:, i])].any()
                    if np.ptp(x[~np.isnan(x[:, j]), j]) and not same:
                        yield Part(column=j, time=i, part=part, offset=int(offsets[0]))
                        break


def _names(x: Floats, i: int, j: int, parts: Mapping[PartName, Floats]) -> Iterator[Derived]:
    """Yield that a part of time i determines the categories of column j; parts of few values come first."""
    there = ~np.isnan(x[:, j])
    values, own, counts = np.unique(x[there, j], return_inverse=True, return_counts=True)
    if len(values) < 2:
        return
    code = np.full(len(x), -1, dtype=np.intp)
    code[there] = own
    surprise = np.where(there, -np.log(counts / counts.sum())[code], 0.0)
    for part, numbers in parts.items():
        inside = ~np.isnan(numbers)
        key = np.full(len(x), -1, dtype=np.intp)
        key[inside] = np.unique(numbers[inside], return_inverse=True)[1]
        if _has_support(key) and _told_by({0: key, 1: code}, {1: surprise}, (0,), [1]):
            pairs = np.unique(np.column_stack([numbers, x[:, j]])[inside & there], axis=0)
            yield Named(column=j, time=i, part=part, known=tuple(pairs[:, 0]), values=tuple(pairs[:, 1]))
            return


def _gaps(x: Floats, columns: Sequence[Seen]) -> Iterator[Derived]:
    """Yield times that are others plus a constant, or plus a number of days, hours, minutes or seconds."""
    times = [j for j, one in enumerate(columns) if one.kind == "time"]
    numbers = [j for j, one in enumerate(columns) if one.kind == "number" and one.decimals is not None]
    if len(times) > _TIMES:
        return
    for i, j in permutations(times, 2):
        gap = x[:, j] - x[:, i]
        if columns[j].of is None and i < j and (constant := _constant(gap)) is not None:
            yield _later(j, (i,), (1.0,), constant)
            continue
        for k, unit in product(numbers, _SECONDS):
            rest = gap - unit * x[:, k]
            known = rest[~np.isnan(rest)][:_FEWEST]
            room = 0.5001 * unit * columns[k].unit
            if len(known) < _FEWEST or np.median(np.abs(known - np.median(known))) > room:
                continue
            constant = _constant(rest)
            if constant is not None and columns[j].of is None:
                yield _later(j, (i, k), (1.0, float(unit)), constant)
            elif columns[k].of is None and room < 0.05 * np.nanstd(gap):
                rest = rest[~np.isnan(rest)]
                if np.quantile(np.abs(rest), _NEARLY) <= room:
                    places = columns[k].decimals
                    yield Sum(
                        column=k,
                        parts=(j, i),
                        factors=(1 / unit, -1 / unit),
                        decimals=places,
                        tolerance=0.51 * columns[k].unit,
                        in_time=True,
                    )


def _constant(gap: Floats) -> float | None:
    """Return the number that (nearly) all of (n,) are, where they vary by less than a millisecond."""
    known = gap[~np.isnan(gap)]
    if len(known) < _FEWEST:
        return None
    middle = float(np.median(known))
    return middle if np.quantile(np.abs(known - middle), _NEARLY) < _EQUAL else None


def _later(j: int, parts: tuple[int, ...], factors: tuple[float, ...], constant: float) -> Sum:
    return Sum(column=j, parts=parts, factors=factors, constant=constant, tolerance=_EQUAL, in_time=True)


def _sums(x: Floats, columns: Sequence[Seen]) -> list[Derived]:
    """Return columns that are sums of others, among those whose values are missing in the same rows.

    The most exact come first: where two tell the same column it is the first that counts.
    """
    numbers = [j for j, one in enumerate(columns) if one.kind == "number"]
    sets: dict[bytes, list[int]] = {}
    for j in numbers:
        missing = np.isnan(x[:, j])
        if len(np.unique(x[~missing, j])) > 2 and np.nanmax(np.abs(x[:, j])) < _LARGEST:
            sets.setdefault(np.packbits(missing).tobytes(), []).append(j)
    whole = sets.pop(np.packbits(np.zeros(len(x), bool)).tobytes(), [])
    every = sorted([*whole, *(j for own in sets.values() for j in own)])  # where cells are missing at random
    found: list[tuple[int, Derived]] = []
    for group in [whole, every, *([*whole, *own] for own in list(sets.values())[:_SETS])]:
        rows = x[~np.isnan(x[:, group]).any(axis=1)]
        if 2 <= len(group) <= _WIDE and len(rows) >= max(_FEWEST, 5 * len(group)):
            found += _equations(rows, group, columns)
    return [one for _, one in sorted(found, key=lambda made: made[0])]


def _equations(x: Floats, group: list[int], columns: Sequence[Seen]) -> Iterator[tuple[int, Derived]]:
    """Yield the equations that hold between the columns of a group in (nearly) all rows, one by one.

    Each comes with how exact it is. A column is regressed on those that are not told by others, and
    then on all that do not rest on it, in a few rows: some may be exceptions, and few hold none of them.
    """
    own = x[:, group]
    every, seen, told = list(range(len(group))), [columns[j] for j in group], dict[int, tuple[int, ...]]()
    left = list(every)

    def room_of(one: _Equation) -> float:
        """Return how much a rounded sum leaves open, in deviations of its column."""
        return one.tolerance / float(own[:, one.i].std()) if one.level == 1 else 0.0

    def rests(k: int, i: int) -> bool:
        """Whether column k is told by i, be it through others, or is it."""
        return k == i or any(rests(part, i) for part in told.get(k, ()))

    # The error of a model's sum goes to the column that is told: to a wide one without heaps.
    room = own.std(axis=0) * [len(np.unique(column)) for column in own.T]
    random = np.random.default_rng(0)
    for _ in range(_TRIES):
        rows = random.choice(len(own), min(len(own), max(_FEWEST, _ROWS * len(group))), replace=False)
        for i in [i for i in left if seen[i].of is not None]:
            known = [group.index(j) for j in seen[i].of or () if j in group]
            ways = [_with_factors(own, rows, i, known, seen, level) for level in (0, 1, 2)] if known else []
            said = [form for form in ways if form is not None]
            if said and len(known) == len(seen[i].of or ()):
                left.remove(i)
                told[i] = said[0].parts
                yield _FIRST, said[0].sum(group, seen)
        # What is no sum of many columns is none of fewer; what is computed by a constraint is told by it.
        asked = [i for i in left if seen[i].of is None]
        while True:
            tried = {}
            for i in asked:
                made = _equation(own, rows, i, [k for k in left if k != i], seen)
                if told and (made is None or made.level == 2):  # it may be a sum of what others tell
                    wide = _equation(own, rows, i, [k for k in every if not rests(k, i)], seen)
                    made = wide if wide is not None and (made is None or wide.level < 2) else made
                tried[i] = made
            exact = {i: made for i, made in tried.items() if made is not None}
            if not exact:
                break
            # The most exact first, then the shortest: others may rest on it.
            first = min(exact.values(), key=lambda one: (one.level, len(one.parts), room_of(one)))
            forms = [
                form
                for form in _turned(own, rows, first, seen)
                if form.i in left
                and seen[form.i].of is None
                and not any(rests(k, form.i) for k in form.parts)
            ]
            best = max(forms, key=lambda one: (one.whole, -room_of(one), one.factor * room[one.i]))
            left.remove(best.i)
            told[best.i] = best.parts
            asked = [i for i in exact if i != best.i]
            yield best.level, best.sum(group, seen)


class _Equation(NamedTuple):
    """Column i is a sum of ``parts`` times ``factors``.

    ``level`` is how exact it is, see :func:`_equation`; ``factor`` is what i had in the equation that this
    one is another form of, and ``whole`` whether rounded parts make a rounded sum.
    """

    i: int
    parts: tuple[int, ...]
    factors: tuple[float, ...]
    constant: float
    tolerance: float
    level: int
    whole: bool
    factor: float = 1.0

    def sum(self, group: Sequence[int], seen: Sequence[Seen]) -> Sum:
        """Return it as a relation between the columns of a group."""
        return Sum(
            column=group[self.i],
            parts=tuple(group[k] for k in self.parts),
            factors=self.factors,
            constant=self.constant,
            decimals=seen[self.i].decimals,
            tolerance=self.tolerance,
        )


def _turned(own: Floats, rows: Ints, one: _Equation, seen: Sequence[Seen]) -> list[_Equation]:
    """Return an equation, and it solved for each of its parts for which it is as exact."""
    forms = [one]
    for k, factor in zip(one.parts, one.factors, strict=True):
        parts = [one.i, *(j for j in one.parts if j != k)]
        made = _with_factors(own, rows, k, parts, seen, one.level)
        if made is not None:
            forms.append(made._replace(factor=abs(factor)))
    return forms


def _equation(own: Floats, rows: Ints, i: int, others: list[int], seen: Sequence[Seen]) -> _Equation | None:
    """Return the equation of column i as a sum of others; None where it is none.

    It is the most exact one: of level 0 where it holds as it is, of level 1 where it holds once the sum is
    rounded to the column's decimals, and of level 2 where other columns were rounded as well.
    """
    some = own[rows]
    mean, std = some.mean(axis=0), some.std(axis=0)
    others = [k for k in others if std[k] > 0]
    if not std[i] > 0 or not others:
        return None
    units = [seen[k].unit if seen[k].decimals else 0.0 for k in others]
    rounding = max(max([seen[i].unit, *units]) / std[i], _ROUNDED)
    scaled = (some[:, others] - mean[others]) / std[others]
    y = (some[:, i] - mean[i]) / std[i]
    weights = np.linalg.lstsq(scaled, y, rcond=1e-9)[0]
    error = float(np.abs(y - scaled @ weights).max())
    if error > _PARTS * rounding:
        return None
    order = np.argsort(-np.abs(weights))
    unit = seen[i].unit / std[i]
    for level, most in enumerate((1e-3 * unit + 1e-10 if unit else _NULL, 0.75 * unit, _PARTS * rounding)):
        if error > most:
            continue
        count = _enough(scaled[:, order], y, most)
        if not count:
            continue
        parts = _fewest(scaled, y, order[:count].tolist(), most)
        made = _with_factors(own, rows, i, [others[k] for k in parts], seen, level)
        if made is not None and len(parts) <= _PARTS:
            return made
    return None


def _enough(scaled: Floats, y: Floats, most: float) -> int:
    """Return how many of the first columns (n, k) have a sum that is y (n,) but for an error; 0: none."""
    for count in range(1, min(_TRIED, scaled.shape[1]) + 1):
        if _error(scaled[:, :count], y) <= most:
            return count
    return 0


def _error(scaled: Floats, y: Floats) -> float:
    rest = y - scaled @ np.linalg.lstsq(scaled, y, rcond=1e-9)[0]
    return float(np.abs(rest - rest.mean()).max())


def _fewest(scaled: Floats, y: Floats, parts: list[int], most: float) -> list[int]:
    """Return the fewest of the columns ``parts`` of (n, k) that are enough, the last left out first.

    Where some are copies or sums of others, there are several ways: each is tried.
    """
    ways: list[list[int]] = []
    for first in reversed(parts):
        kept = list(parts)
        for k in [first, *(k for k in reversed(parts) if k != first)]:
            fewer = [j for j in kept if j != k]
            if fewer and _error(scaled[:, fewer], y) <= most:
                kept = fewer
        ways.append(kept)
    shortest = min(ways, key=len)
    return sorted(shortest)


def _with_factors(
    own: Floats, rows: Ints, i: int, parts: list[int], seen: Sequence[Seen], level: int
) -> _Equation | None:
    """Return column i as a sum of parts times factors of few digits; None where it is not so exact."""
    solved = np.linalg.lstsq(np.column_stack([own[rows[:, None], parts], np.ones(len(rows))]), own[rows, i])
    raw = solved[0][:-1]
    unit, scale = seen[i].unit, float(own[:, i].std())
    units = np.array([seen[k].unit if seen[k].decimals else 0.0 for k in parts])
    tries = [np.array([float(f"{value:.{digits}g}") for value in raw]) for digits in (1, 2, 3, 4)]
    tries += [np.round(raw * q) / q for q in (3, 6, 7, 9, 11, 12)]
    tries.append(np.array([float(f"{value:.12g}") for value in raw]))
    for factors in tries:
        if not factors.all():
            continue
        rest = own[:, i] - own[:, parts] @ factors
        constant = float(f"{np.median(rest):.12g}")
        rounded = 0.51 * float(unit * bool(seen[i].decimals) + np.abs(factors) @ units)
        if level:
            constant = 0.0 if abs(constant) <= max(rounded, _NULL * scale) else constant
        else:
            constant = 0.0 if abs(constant) <= max(1e-3 * unit, _NULL * scale) else constant
        error = float(np.quantile(np.abs(rest - constant), _NEARLY))
        most = (
            1e-3 * unit + 1e-10 * scale if unit else _NULL * scale,
            0.5001 * unit + 1e-10 * scale,
            max(2 * rounded, _ROUNDED * scale),
        )[level]
        if error <= most and error < 0.05 * scale:
            whole = bool(unit) and all(seen[k].decimals is not None for k in parts)
            ratios = np.append(factors * [seen[k].unit for k in parts], constant) / (unit or 1.0)
            whole = whole and bool((np.abs(ratios - np.round(ratios)) < 1e-6).all())
            tolerance = 1.01 * error + _NULL * scale + 0.51 * unit
            if level < 2 and unit:
                tolerance = 0.51 * unit + 1e-10 * scale
            return _Equation(i, tuple(parts), tuple(factors.tolist()), constant, tolerance, level, whole)
    return None


def _determined(x: Floats, columns: Sequence[Seen], told: Mapping[int, Derived]) -> Iterator[Derived]:
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
    asked = [j for j in codes if columns[j].kind != "time" and columns[j].of is None]
    keys = sorted((j for j in codes if _has_support(codes[j])), key=lambda j: (int(codes[j].max()), j))
    single = {(k, j) for k in keys for j in _told_by(codes, surprise, (k,), asked)}
    for j in asked:
        both = {k: int(((codes[k] >= 0) & (codes[j] >= 0)).sum()) for k in keys if (k, j) in single}
        for k in sorted(both, key=lambda k: -both[k]):  # the one that is there in most rows; of few values
            yield _lookup(x, (k,), j)
    if len(columns) > _WIDE:
        return
    rest = [j for j in asked if j not in told and not any((k, j) in single for k in keys)]
    if rest:
        for pair in combinations(keys[:_KEYS], 2):
            for j in _told_by(codes, surprise, pair, rest):
                if all(_undetermined(codes, k, j) > _ALONE for k in pair):
                    yield _lookup(x, pair, j)


def _has_support(code: Ints) -> bool:
    """Whether values come in enough rows to determine something; -1 is missing."""
    counts = np.bincount(code[code >= 0])
    counts = counts[counts > 0]
    rows = counts.sum()
    return bool(len(counts) >= 2 and rows >= _SUPPORT * len(counts) and (counts == 1).sum() <= _SINGLE * rows)


def _told_by(
    codes: Mapping[int, Ints], surprise: Mapping[int, Floats], keys: tuple[int, ...], asked: Sequence[int]
) -> list[int]:
    """Return which columns the keys determine, with evidence."""
    joint = codes[keys[0]].copy()
    for k in keys[1:]:
        joint = np.where((joint < 0) | (codes[k] < 0), -1, joint * (codes[k].max() + 1) + codes[k])
    if len(keys) > 1:
        inside = joint >= 0
        joint[inside] = np.unique(joint[inside], return_inverse=True)[1]
        if not inside.any() or not _has_support(joint):
            return []
    asked = [j for j in asked if j not in keys]
    order = np.argsort(joint, kind="stable")
    order = order[joint[order] >= 0]
    starts = np.flatnonzero(np.diff(joint[order], prepend=-1))
    group = np.cumsum(np.diff(joint[order], prepend=-1) > 0) - 1
    found = []
    for j in asked:
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


# --- rules --------------------------------------------------------------------------------------------------


def _orders(x: Floats, columns: Sequence[Seen]) -> Iterator[Relation]:
    """Yield pairs of columns of which one is never above the other, though by chance it often would be."""
    below: dict[int, set[int]] = {}
    for kind in ("number", "time"):
        those = [j for j, one in enumerate(columns) if one.kind == kind]
        if len(those) > _WIDE:
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


def _never(x: Floats, columns: Sequence[Seen], told: Mapping[int, Derived]) -> Iterator[Relation]:
    """Yield values of two columns that never come together, though by chance they often would.

    They are those of which each pair would come often; or all that do not, where hardly any comes only once.
    """
    if len(columns) > _WIDE:
        return
    often: dict[int, tuple[Ints, Floats]] = {}
    every: dict[int, tuple[Ints, Floats]] = {}
    for j, column in enumerate(columns):
        own = x[~np.isnan(x[:, j]), j]
        if column.kind == "nothing" or not len(own):
            continue
        values, counts = np.unique(own, return_counts=True)
        least = _EXPECTED if column.kind == "category" else max(_EXPECTED, _HEAP * len(x))
        listed = len(values) <= min(_HEAPS, len(own) // _SUPPORT) and column.kind != "time"
        for made, heaps in ((often, values[counts >= least][:_HEAPS]), (every, values)):
            if made is often or listed:
                made[j] = (states(x[:, j], heaps), heaps)
    for a, b in combinations(range(len(columns)), 2):
        one, other = told.get(a), told.get(b)
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


def _different(x: Floats, columns: Sequence[Seen], labels: Mapping[int, Sequence[Any]]) -> Iterator[Relation]:
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
