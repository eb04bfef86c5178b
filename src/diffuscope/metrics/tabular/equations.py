r"""Which columns of numbers can be calculated from others?

Tried are, of all columns of numbers and times that vary,

* a line, :math:`a = \alpha b + \beta`, that is copies and other units as well;
* sums, products and quotients of two, :math:`a = b + c`, :math:`a = b c`, :math:`a = b / c`; of times
  :math:`a = b + c` with c in days;
* sums of two to eight with factors of at most four digits, :math:`a = \beta b + \gamma c + \ldots`, by least
  squares. If several such sums share columns, least squares may not tell them apart and finds neither.

An equation holds exactly, or as exactly as its numbers are rounded: up to half a step of a, or half a step
of all numbers, see :func:`~diffuscope.metrics.tabular.steps.step_of`, where a varies by ten times that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from diffuscope.metrics.tabular.rules import FEWEST, Rule, enough, quoted
from diffuscope.metrics.tabular.steps import numbers_of, step_of
from diffuscope.metrics.tabular.tables import Floats, Table
from diffuscope.seeds import stream_seed

__all__ = ["Numbers", "equations"]

_MOST_ROWS = 3_000
_PILOT = 100  # rows on which all triples are tried, until none is left
_SURVIVORS = 100  # triples for a column that are tried on all rows
_SHARE = 0.1  # of rows that have all values
_EXACT = 1e-9
_CLEAR, _FINE = 10.0, 100.0
_FITTED = 1.1  # half a step, and what a fitted slope adds
_TERMS = 8
_LEAST_SIZE, _MOST_SIZE = 1e-100, 1e100
_T = 6.0
_EFFECT = 1e-3
_SIGNS = {"+": "+", "*": "×", "/": "/"}


class Numbers:
    """The columns of numbers and times that vary, as numbers, of a table whose relations are looked for.

    Attributes
    ----------
    places : list of int
        Of the columns in the table; columns below are counted in this list.
    x : ndarray of shape (n, k)
        Numbers, NaN where missing, of at most 3,000 rows.
    steps, spread, size : ndarray of shape (k,)
        The step, the standard deviation and the largest absolute value of each.
    """

    def __init__(self, table: Table, seed: int) -> None:
        self.table = table
        self._levels: dict[int, Floats] = {}
        self.places = []
        steps = []
        for j, column in enumerate(table.columns):
            seen = np.unique(table.codes[table.codes[:, j] >= 0, j])
            if column.ordered and len(seen) > 1:
                levels = numbers_of(column)
                if not _LEAST_SIZE < np.abs(levels[seen]).max() < _MOST_SIZE:
                    continue  # squares would overflow, or vanish
                self._levels[j] = levels
                self.places.append(j)
                steps.append(step_of(self._levels[j][seen]))
        self.whole = self.of(table)
        self.random = np.random.default_rng(stream_seed(seed, "equations"))
        self.x = self.whole[self.random.permutation(len(table))[:_MOST_ROWS]]
        self.steps = np.array(steps)
        there = np.where(np.isnan(self.whole), 0.0, self.whole)
        self.size = np.abs(there).max(axis=0, initial=0.0)
        self.spread = np.nanstd(self.whole, axis=0) if self.places else self.size
        self.times = np.array([table.columns[j].kind == "datetime" for j in self.places], dtype=bool)

    def of(self, table: Table) -> Floats:
        """Return the columns of another table, shape (n, k)."""
        columns = [self._levels[j][table.codes[:, j]] for j in self.places]
        return np.stack(columns, axis=1) if columns else np.empty((len(table), 0))

    def name(self, k: int) -> str:
        """Return the name of a column in words."""
        return quoted(self.table.columns[self.places[k]])

    def rule(self, words: str, used: Sequence[int], rest: Callable[[Floats], Floats]) -> Rule:
        """Return the rule that ``rest``, of columns (n, k), is at most 0."""

        def kept(table: Table) -> Floats:
            over = rest(self.of(table))
            return np.where(np.isnan(over), np.nan, over <= 0)

        names = tuple(self.table.columns[self.places[k]].name for k in used)
        return Rule("equation", words, names, kept)


def equations(numbers: Numbers) -> tuple[list[Rule], list[int], list[set[int]]]:
    """Return the equations that hold, the columns that are lines of others, and those of each equation."""
    rules, lines = [], []
    found: list[set[int]] = []
    rough: list[tuple[int, int, Rule]] = []
    for a, b, room, rule in _lines(numbers):
        if room > numbers.spread[a] / _FINE:
            rough.append((a, b, rule))
        elif b not in lines and a not in lines:
            rules.append(rule)
            lines.append(a)
            found.append({a, b})
    free = [k for k in range(len(numbers.places)) if k not in lines]
    best: dict[frozenset[int], tuple[int, int, Rule]] = {}  # the most exact one of each three columns
    for sign in _SIGNS:
        for a in free:
            for b, c, level, rule in _triples(numbers, a, free, sign):
                group = frozenset((a, b, c))
                if group not in best or level < best[group][0]:
                    best[group] = level, a if sign == "+" else -1, rule
    rules += [rule for _, _, rule in best.values()]
    found += [set(group) for group in best]
    ends = {a for _, a, _ in best.values()}
    rest = [k for k in free if k not in ends and not numbers.times[k]]
    for used, rule in _sums(numbers, rest):
        if set(used) not in found:
            rules.append(rule)
            found.append(set(used))
    for a, b, rule in rough:  # unless a sum says more exactly how the two go together
        if not {a, b} & set(lines) and not any({a, b} <= columns for columns in found):
            rules.append(rule)
            found.append({a, b})
    return rules, lines, found


# --- a = α b + β --------------------------------------------------------------------------------------------


def _lines(numbers: Numbers) -> Iterator[tuple[int, int, float, Rule]]:
    """Yield pairs of which the first, a later column or a coarser one, is a line of the second."""
    x, k = numbers.x, len(numbers.places)
    there = ~np.isnan(x)
    scale = np.where(numbers.spread > 0, numbers.spread, 1.0)
    z = np.where(there, (x - np.nanmean(x, axis=0)) / scale, 0.0) if k else x
    with np.errstate(invalid="ignore", divide="ignore"):
        n = there.T.astype(np.float64) @ there
        mean, square = z.T @ there / n, np.square(z).T @ there / n
        variance = square - mean**2
        r = (z.T @ z / n - mean * mean.T) / np.sqrt(variance * variance.T)
        noise = np.sqrt(np.maximum(1 - r**2, 0.0)) * scale[:, None]
    rough = numbers.steps[:, None] + numbers.steps * scale[:, None] / scale + 1e-5 * scale[:, None]
    rough = np.minimum(rough, scale[:, None] / _CLEAR)
    tried = np.argwhere(np.tril((n >= FEWEST) & (noise <= rough), -1))
    for later, earlier in tried.tolist():
        if numbers.times[later] != numbers.times[earlier]:
            continue
        for a, b in ((later, earlier), (earlier, later)):
            line = _line(numbers, a, b, k * k)
            if line is not None:
                yield a, b, *line
                break


def _line(numbers: Numbers, a: int, b: int, tried: int) -> tuple[float, Rule] | None:
    y, x = numbers.x[:, a], numbers.x[:, b]
    both = ~np.isnan(x) & ~np.isnan(y)
    if both.sum() < FEWEST or np.ptp(x[both]) == 0:
        return None
    x, y = x[both], y[both]
    apart = x - x.mean()
    fitted = float(apart @ (y - y.mean()) / (apart @ apart))
    error = float(np.sqrt(np.square(y - y.mean() - fitted * apart).mean()))
    slope = _nice(fitted, 3 * error / math.sqrt(apart @ apart) + _EXACT * abs(fitted))
    level = float(y.mean() - slope * x.mean())
    intercept = _nice(
        level, 3 * error / math.sqrt(len(x)) + _EXACT * (numbers.size[a] + abs(slope) * numbers.size[b])
    )
    steps = numbers.steps[a], abs(slope) * numbers.steps[b]
    tolerances = [0.0, _FITTED * steps[0] / 2, _FITTED * (steps[0] + steps[1]) / 2]

    def off(rows: Floats) -> Floats:
        return np.asarray(np.abs(slope * rows[:, b] + intercept - rows[:, a]))

    base = _EXACT * (numbers.size[a] + abs(intercept) + abs(slope) * numbers.size[b])
    least = _tolerance(numbers, a, off, [t + base for t in tolerances], tried)
    if least is None:
        return None
    if (slope, intercept) == (1.0, 0.0):
        words = f"{numbers.name(a)} = {numbers.name(b)}"
    else:
        factor = "" if slope == 1 else f"{slope:.6g} × "
        added = "" if intercept == 0 else f" {'−' if intercept < 0 else '+'} {abs(intercept):.6g}"
        words = f"{numbers.name(a)} = {factor}{numbers.name(b)}{added}"
    return least, numbers.rule(words, (a, b), lambda rows: off(rows) - least)


def _nice(number: float, room: float) -> float:
    """Return the number with as few digits as the room allows."""
    if abs(number) <= room:
        return 0.0
    rounded = (float(f"{number:.{digits}g}") for digits in range(1, 16))
    return next((own for own in rounded if abs(own - number) <= room), number)


def _tolerance(
    numbers: Numbers,
    a: int,
    off: Callable[[Floats], Floats],
    tolerances: Sequence[float],
    tried: int,
) -> float | None:
    """Return the first tolerance within which all rows are, where chance would not have it; else None."""
    some, whole = off(numbers.x), off(numbers.whole)
    there, needed = ~np.isnan(some), ~np.isnan(whole)
    n = int(there.sum())
    if n < max(FEWEST, _SHARE * len(some)):
        return None
    shuffled, places = numbers.x.copy(), np.flatnonzero(there)
    shuffled[places, a] = shuffled[numbers.random.permutation(places), a]
    by_chance = off(shuffled)[there]
    for k, tolerance in enumerate(tolerances):
        if k and tolerance > numbers.spread[a] / _CLEAR:
            return None
        if (whole[needed] <= tolerance).all():
            share = (float((by_chance <= tolerance).sum()) + 1) / (n + 1)
            return tolerance if enough(-n * math.log(share), tried) else None
    return None


# --- a = b + c, a = b c, a = b / c --------------------------------------------------------------------------


def _combined(sign: str, b: Floats, c: Floats) -> Floats:
    if sign == "+":
        return np.asarray(b + c)
    if sign == "*":
        return np.asarray(b * c)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(c == 0, np.nan, b / np.where(c == 0, 1.0, c))


def _reach(sign: str, steps: tuple[Floats, Floats, Floats], b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Return what rounding a alone, and rounding all, may make of the difference of both sides."""
    own, one, other = (step / 2 for step in steps)
    if sign == "+":
        return own, own + one + other
    if sign == "*":
        return own, own + np.abs(b) * other + np.abs(c) * one + one * other
    with np.errstate(divide="ignore", invalid="ignore"):
        return own, own + (one + np.abs(b / c) * other) / np.maximum(np.abs(c) - other, 0)


def _triples(numbers: Numbers, a: int, free: list[int], sign: str) -> Iterator[tuple[int, int, int, Rule]]:
    """Yield the pairs of columns that give a, how much rounding is allowed for, 0 to 2, and the rule."""
    others = np.array([k for k in free if k != a], dtype=np.intp)
    if len(others) < 2 or (sign != "+" and numbers.times[a]):
        return
    there = ~np.isnan(numbers.x)
    usable = there[there[:, a]][:, others].astype(np.float32)
    joint = usable.T @ usable
    late = numbers.times[others]
    alive = joint >= max(FEWEST, _SHARE * len(numbers.x))
    if sign == "+":
        alive &= np.triu(np.ones_like(alive), 1)
        alive &= (late[:, None] ^ late) if numbers.times[a] else ~(late[:, None] | late)
    else:
        alive &= ~(late[:, None] | late)
        alive &= np.triu(np.ones_like(alive)) if sign == "*" else ~np.eye(len(others), dtype=bool)
    one, other = np.nonzero(alive)
    steps = numbers.steps[others]
    for row in numbers.x[there[:, a]][:_PILOT]:
        if not len(one):
            return
        b, c = row[others[one]], row[others[other]]
        off = np.abs(_combined(sign, b, c) - row[a])
        own, rounded = _reach(sign, (numbers.steps[a], steps[one], steps[other]), b, c)
        room = np.where(
            rounded <= numbers.spread[a] / _CLEAR,
            rounded,
            np.where(own <= numbers.spread[a] / _CLEAR, own, 0.0),
        )
        room = room + _EXACT * (np.abs(b) + np.abs(c) + np.abs(row[a]) + numbers.size[a])
        left = ~(off > room)  # what is missing says nothing
        one, other = one[left], other[left]
    order = np.argsort(-joint[one, other], kind="stable")[:_SURVIVORS]
    for k in order:
        b, c = int(others[one[k]]), int(others[other[k]])
        found = _triple(numbers, a, b, c, sign)
        if found is not None:
            yield b, c, *found


def _triple(numbers: Numbers, a: int, b: int, c: int, sign: str) -> tuple[int, Rule] | None:
    steps = (numbers.steps[a], numbers.steps[b], numbers.steps[c])
    tried = len(numbers.places) ** 3

    def over(rows: Floats, level: int) -> Floats:
        """Return by how much the difference of both sides exceeds what rounding makes of it."""
        y, z = rows[:, b], rows[:, c]
        off = np.abs(_combined(sign, y, z) - rows[:, a])
        exact = _EXACT * (np.abs(y) + np.abs(z) + numbers.size[a])
        return np.asarray(off - exact - (0.0 if level == 0 else _reach(sign, steps, y, z)[level - 1]))

    typical = _reach(sign, steps, *(np.nanmedian(np.abs(numbers.x[:, k])) for k in (b, c)))
    for level in range(3):
        if level and not typical[level - 1] <= numbers.spread[a] / _CLEAR:
            return None
        found = _tolerance(numbers, a, lambda rows, level=level: over(rows, level), [0.0], tried)  # type: ignore[misc]
        if found is not None:
            words = f"{numbers.name(a)} = {numbers.name(b)} {_SIGNS[sign]} {numbers.name(c)}"
            rule = numbers.rule(words, (a, b, c), lambda rows, level=level: over(rows, level))  # type: ignore[misc]
            return level, rule
    return None


# --- a = β b + γ c + ... ------------------------------------------------------------------------------------


def _sums(numbers: Numbers, columns: list[int]) -> Iterator[tuple[tuple[int, ...], Rule]]:
    """Yield sums of two to eight columns with round factors, each solved for one of its columns."""
    there = ~np.isnan(numbers.x)
    columns = [k for k in columns if there[:, k].mean() > 0.8]
    rows = there[:, columns].all(axis=1)
    columns = [k for k in columns if np.ptp(numbers.x[rows, k]) > 0] if rows.any() else []
    if len(columns) < 3 or rows.sum() < 5 * len(columns) + FEWEST:
        return
    x = numbers.x[rows][:, columns]
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / spread
    precision = np.linalg.inv(z.T @ z / len(z) + 1e-10 * np.eye(len(columns)))
    left = np.sqrt(1 / np.maximum(np.diag(precision), 1.0)) * spread  # what the other columns do not explain
    limit = numbers.steps[columns].sum() + 1e-3 * spread
    known: set[frozenset[int]] = set()
    for k in np.flatnonzero(left <= limit).tolist():
        factors = _factors(x, k)
        if factors is None:
            continue
        a, terms = _solved(columns[k], {columns[j]: factor for j, factor in factors.items()})
        group = frozenset([a, *terms])
        rule = None if group in known else _sum(numbers, a, terms)
        if rule is not None:
            known.add(group)
            yield (a, *terms), rule


def _solved(a: int, terms: dict[int, float]) -> tuple[int, dict[int, float]]:
    """Return a sum solved for the column that makes it simplest: few minus signs, no factor below 1."""
    ways = [(a, terms)]
    for b, factor in terms.items():
        rest = {j: -own / factor for j, own in terms.items() if j != b}
        ways.append((b, {a: 1 / factor, **rest}))
    return min(ways, key=lambda way: (_clumsy(way[1]), way[0]))


def _clumsy(terms: dict[int, float]) -> tuple[int, int]:
    """Return how many terms are subtracted, and how many have a factor below 1."""
    factors = list(terms.values())
    return sum(factor < 0 for factor in factors), sum(abs(factor) < 1 for factor in factors)


def _factors(x: Floats, k: int) -> dict[int, float] | None:
    """Return the columns of x that add up to column k, each with its factor; None where they do not."""
    others = [j for j in range(x.shape[1]) if j != k]
    y = x[:, k] - x[:, k].mean()
    for _ in range(4):  # with the columns that matter, again
        z = x[:, others] - x[:, others].mean(axis=0)
        beta = np.linalg.lstsq(z, y, rcond=None)[0]
        squares = np.square(z).sum(axis=0)
        error = np.sqrt(np.square(y - z @ beta).sum() / max(len(y) - len(others), 1) / squares)
        effect = np.abs(beta) * np.sqrt(squares / max(float(np.square(y).sum()), 1e-300))
        matters = (np.abs(beta) > _T * error) & (effect > _EFFECT)
        if matters.all():
            factors = [_round(own, wrong) for own, wrong in zip(beta.tolist(), error.tolist(), strict=True)]
            usable = 2 <= len(others) <= _TERMS and None not in factors
            return dict(zip(others, map(float, factors), strict=True)) if usable else None  # type: ignore[arg-type]
        others = [j for j, keep in zip(others, matters, strict=True) if keep]
        if not others:
            return None
    return None


def _round(factor: float, error: float) -> float | None:
    """Return the factor with at most four digits, where that is within three errors; else None."""
    for digits in range(1, 5):
        rounded = float(f"{factor:.{digits}g}")
        if abs(rounded - factor) <= 3 * error + 1e-7 * abs(factor):
            return rounded
    return None


def _sum(numbers: Numbers, a: int, terms: dict[int, float]) -> Rule | None:
    used, factors = list(terms), np.array(list(terms.values()))

    def off(rows: Floats) -> Floats:
        return np.asarray(np.abs(rows[:, used] @ factors - rows[:, a]))

    base = _EXACT * float(numbers.size[a] + np.abs(factors) @ numbers.size[used])
    own, others = numbers.steps[a] / 2, float(np.abs(factors) @ numbers.steps[used]) / 2
    least = _tolerance(
        numbers, a, off, [base, base + own, base + own + others], len(numbers.places) ** len(used)
    )
    if least is None:
        return None
    said = ""
    for k in sorted(terms, key=lambda k: (terms[k] < 0, k)):
        factor = abs(terms[k])
        said += (
            f" {'−' if terms[k] < 0 else '+'} " + (f"{factor:g} × " if factor != 1 else "") + numbers.name(k)
        )
    words = f"{numbers.name(a)} = {said.removeprefix(' + ').strip()}"
    return numbers.rule(words, (a, *used), lambda rows: off(rows) - least)
