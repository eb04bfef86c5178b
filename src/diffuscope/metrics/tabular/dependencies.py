r"""Which columns are functions of another one, and what decides whether a value is missing?

Two kinds of functions :math:`b = f(a)` are looked for:

* **by value**: rows with the same a have the same b, where most rows have a value of a that others have. A
  row keeps it if its pair is one of the training rows; a value of a that these do not have breaks it;
* **by bands**: each of the (at most fifty) values of b has an interval of the number or time a of its own. A
  row keeps it if its a is between the neighbouring values' intervals.

Whether a column is missing (1% to 99% of the training rows) is such a b as well, and an a for others that
are missing. Columns that are functions of each other, or missing in the same rows, count once; so does what
follows from two other functions. Under independence n rows would agree with a probability of :math:`(\sum
p_b^2)^r` with r rows whose a has come before, and be in bands with that of their arrangement among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics.tabular.rules import FEWEST, Rule, RuleKind, enough, quoted, reduced
from diffuscope.metrics.tabular.tables import Floats, Table, shown_level
from diffuscope.seeds import stream_seed

__all__ = ["dependencies"]

_MOST_ROWS, _MOST_ROWS_OF_WIDE, _WIDE = 3_000, 1_500, 60
_RARE = 0.01
_BANDS = 50
_FEW_LEVELS = 10  # of a number, to be divided into bands
_AGAIN = 0.5  # of the rows, with a value that has come before
_NAMED = 4  # values, in words

Codes = NDArray[np.intp]


class _Variable(NamedTuple):
    """A column's values, or whether they are missing."""

    place: int
    is_hole: bool

    @property
    def kind(self) -> RuleKind:
        """The kind of a rule that gives the variable."""
        return "missing" if self.is_hole else "function"

    def of(self, table: Table) -> Codes:
        codes = table.codes[:, self.place]
        return (codes < 0).astype(np.intp) if self.is_hole else codes


def dependencies(table: Table, without: Sequence[int], seed: int) -> list[Rule]:
    """Return the functions that hold in all rows, of all columns but those at the places in ``without``."""
    variables = _variables(table, set(without))
    if len(variables) < 2:
        return []
    most = _MOST_ROWS if len(variables) <= _WIDE else _MOST_ROWS_OF_WIDE
    random = np.random.default_rng(stream_seed(seed, "functions"))
    some = table.take(random.permutation(len(table))[:most])
    values = np.stack([variable.of(some) for variable in variables], axis=1)
    by_value, by_bands = _search(table, variables, values)
    follows = by_value | by_bands
    arrows, twins = _without_twins(follows, [variable.is_hole for variable in variables])
    rules = [_twin_rule(table, variables[b], variables[a]) for a, b in twins]
    for a, b in np.argwhere(reduced(arrows)).tolist():
        banded = bool(by_bands[a, b])
        rules.append((_bands if banded else _function)(table, variables[a], variables[b]))
    return rules


def _variables(table: Table, without: set[int]) -> list[_Variable]:
    found = []
    for j in range(len(table.columns)):
        codes = table.codes[:, j]
        there = codes[codes >= 0]
        if j not in without and len(there) and (there != there[0]).any():
            found.append(_Variable(j, is_hole=False))
        if _RARE <= 1 - len(there) / len(codes) <= 1 - _RARE:
            found.append(_Variable(j, is_hole=True))
    return found


def _search(
    table: Table, variables: list[_Variable], values: Codes
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which variables (rows) determine which (columns), by value and by bands, each (k, k)."""
    k = len(variables)
    by_value, by_bands = np.zeros((k, k), dtype=bool), np.zeros((k, k), dtype=bool)
    levels = np.array([len(np.unique(own[own >= 0])) for own in values.T])
    for a, source in enumerate(variables):
        x = values[values[:, a] >= 0]
        x = x[np.argsort(x[:, a], kind="stable")]
        if len(x) < FEWEST:
            continue
        changes = (x[1:] != x[:-1]) & (x[1:] >= 0) & (x[:-1] >= 0)
        again = x[1:, a] == x[:-1, a]
        constant = ~changes[again].any(axis=0) & (again.sum() >= max(FEWEST, _AGAIN * len(x)))
        banded = (changes.sum(axis=0) < levels) & (levels <= _BANDS)
        banded &= table.columns[source.place].ordered and not source.is_hole and levels[a] > _FEW_LEVELS
        for b in np.flatnonzero(constant | banded).tolist():
            target = variables[b]
            if target.place == source.place or (source.is_hole and not target.is_hole):
                continue
            own, other = source.of(table), target.of(table)
            both = (own >= 0) & (other >= 0)
            pair = own[both], other[both]
            by_bands[a, b] = banded[b] and _is_banded(*pair, k * k)
            by_value[a, b] = not by_bands[a, b] and constant[b] and _is_function(*pair, k * k)
    return by_value, by_bands


def _is_function(a: Codes, b: Codes, tried: int) -> bool:
    """Return whether equal a go with equal b, and not by chance."""
    if len(a) < FEWEST:
        return False
    keys = np.unique(a)
    if len(np.unique(a * (b.max() + 1) + b)) > len(keys):
        return False
    shares = np.bincount(b) / len(b)
    return enough(-(len(a) - len(keys)) * float(np.log(np.square(shares).sum())), tried)


def _is_banded(a: Codes, b: Codes, tried: int) -> bool:
    """Return whether each b has an interval of a, and not by chance."""
    from scipy.special import gammaln

    if len(a) < FEWEST:
        return False
    counts = np.unique(b, return_counts=True)[1]
    ordered = b[np.lexsort((b, a))]
    if (ordered[1:] != ordered[:-1]).sum() != len(counts) - 1:
        return False
    nats = gammaln(len(b) + 1) - gammaln(counts + 1).sum() - gammaln(len(counts) + 1)
    return enough(float(nats), tried)


def _without_twins(
    follows: NDArray[np.bool_], holes: list[bool]
) -> tuple[NDArray[np.bool_], list[tuple[int, int]]]:
    """Return the arrows between the first of those that determine each other, and pairs (first, other)."""
    both, arrows = follows & follows.T, follows.copy()
    np.fill_diagonal(arrows, False)
    twins, gone = [], set()
    for a in range(len(follows)):
        if a in gone:
            continue
        for b in np.flatnonzero(both[a]).tolist():
            if b > a and b not in gone and holes[a] == holes[b]:
                twins.append((a, b))
                gone.add(b)
                arrows[b] = arrows[:, b] = False
    return arrows, twins


# --- in words, and row by row -----------------------------------------------------------------------------


def _names(table: Table, target: _Variable, source: _Variable) -> tuple[Name, ...]:
    return tuple(table.columns[variable.place].name for variable in (target, source))


def _twin_rule(table: Table, target: _Variable, source: _Variable) -> Rule:
    rule = _function(table, source, target)
    if target.is_hole:
        return rule
    one, other = (quoted(table.columns[v.place]) for v in (source, target))
    back = _function(table, target, source)
    return Rule(
        "function",
        f"{one} and {other} determine each other",
        rule.columns,
        lambda rows: np.minimum(rule.kept(rows), back.kept(rows)),
    )


def _function(table: Table, source: _Variable, target: _Variable) -> Rule:
    a, b = source.of(table), target.of(table)
    both = (a >= 0) & (b >= 0)
    width = int(max(len(table.columns[target.place].levels), 2))
    known = np.unique(a[both] * width + b[both])

    def kept(rows: Table) -> Floats:
        own, other = source.of(rows), target.of(rows)
        right = np.isin(own * width + other, known)
        return np.where((own >= 0) & (other >= 0), right, np.nan)

    return Rule(target.kind, _said(table, source, target, known, width), _names(table, target, source), kept)


def _said(table: Table, source: _Variable, target: _Variable, known: Codes, width: int) -> str:
    one, other = (quoted(table.columns[v.place]) for v in (source, target))
    if not target.is_hole:
        return f"{other} is a function of {one}"
    column = table.columns[source.place]
    hole = [int(pair // width) for pair in known if pair % width == 1]
    value = [int(pair // width) for pair in known if pair % width == 0]
    if source.is_hole:
        return f"{other} is missing exactly where {one} {'is' if hole == [1] else 'is not'}"
    if len(hole) <= len(value) and len(hole) <= _NAMED:
        listed = " or ".join(shown_level(column, code) for code in hole)
        return f"{other} is missing exactly where {one} is {listed}"
    if len(value) <= _NAMED:
        listed = " or ".join(shown_level(column, code) for code in value)
        return f"{other} has a value exactly where {one} is {listed}"
    return f"{one} decides whether {other} is missing"


def _bands(table: Table, source: _Variable, target: _Variable) -> Rule:
    a, b = source.of(table), target.of(table)
    both = (a >= 0) & (b >= 0)
    a, b = a[both], b[both]
    levels = np.unique(b)
    low = np.array([a[b == level].min() for level in levels])
    high = np.array([a[b == level].max() for level in levels])
    order = np.argsort(low, kind="stable")
    levels, low, high = levels[order], low[order], high[order]
    least, most = np.append(-1, high[:-1]), np.append(low[1:], np.iinfo(np.intp).max)  # of the neighbours
    rank = np.full(max(len(table.columns[target.place].levels), 2), -1)
    rank[levels] = np.arange(len(levels))

    def kept(rows: Table) -> Floats:
        own, other = source.of(rows), target.of(rows)
        place = rank[other]
        right = (place >= 0) & (own > least[place]) & (own < most[place])
        return np.where((own >= 0) & (other >= 0), right, np.nan)

    column, name = table.columns[source.place], quoted(table.columns[target.place])
    words = f"{name} is given by bands of {quoted(column)}"
    if len(levels) == 2:
        edge, above = shown_level(column, high[0]), f"{quoted(column)} is above"
        if target.is_hole:
            words = f"{name} {'is missing' if levels[1] == 1 else 'has a value'} exactly where {above} {edge}"
        else:
            top = shown_level(table.columns[target.place], levels[1])
            words = f"{name} is {top} exactly where {above} {edge}"
    return Rule(target.kind, words, _names(table, target, source), kept)
