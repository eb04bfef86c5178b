r"""Which values of a column are repeated more often than chance would have it?

A smooth law with the density f, rounded to steps of h, gives the value v about :math:`\lambda_v = n h f(v)`
times in n rows; how often exactly is Poisson's law. f is estimated around v, but without v. One of m values,
seen c times, is an *atom* where c is at least 3 and :math:`P(\mathrm{Poisson}(\lambda_v) \ge c)` is below
:math:`10^{-5}`, and off a lattice below :math:`10^{-3}/m`, so that chance makes none: heaps at round numbers,
prices, zeros, the levels of an instrument. Values seen once or twice are none, unless on a lattice all values
seen are atoms:

- there are 8 rows to each, on average, so that their shares are known better than any smooth law says, or
- most rows repeat one (codes): of the rows at values with at most 5% of all, the share that are not the only
  one at theirs exceeds 0.5, and by 0.3 what the smooth law would give, the mean of
  :math:`1 - e^{-\lambda_v}`, and values seen twice are at least 15 for each 100 seen once. With few heaps
  among many other values they are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.columns.rhythm import Rhythm
from diffuscope.data.tables.columns.transform import MOST_ATOMS

__all__ = ["repeated"]

_FEWEST = 3
_CHANCE, _CHANCE_OF_ALL = 1e-5, 1e-3
_NEAR, _FAR = 3, 16  # steps to either side, or values, in which the density is estimated
_ROUNDS = 3
_ROWS_PER_VALUE = 8
_MOST, _MORE = 0.5, 0.3
_HEAVY = 0.05
_TWICE = 0.15


def repeated(
    values: Floats, counts: NDArray[np.intp], step: float, grain: Floats, rhythm: Rhythm | None = None
) -> NDArray[np.bool_]:
    """Return which of the values (m,), rising, are atoms, shape (m,).

    ``counts`` (m,) says how often each was seen, ``step`` is the lattice's, or 0, and then ``grain`` (m,) how
    far apart the floats are. With a ``rhythm`` points of the lattice are expected as often as it has them.
    """
    if step:
        atoms = _on_lattice(np.rint(values / step), counts, step, rhythm)
    else:
        least = min(_CHANCE, _CHANCE_OF_ALL / len(counts))
        atoms = _is_no_chance(counts, _among_floats(values, counts, grain), least)
    if atoms.sum() > MOST_ATOMS:
        least = np.partition(counts[atoms], -MOST_ATOMS)[-MOST_ATOMS]
        atoms &= counts > least
    return atoms


def _is_no_chance(counts: NDArray[np.intp], expected: Floats, least: float) -> NDArray[np.bool_]:
    """Return which counts (m,) chance gives less often than the least, where some are expected; (m,)."""
    return np.asarray((counts >= _FEWEST) & (pdtrc(counts - 1.0, expected) < least))


def _on_lattice(
    places: Floats, counts: NDArray[np.intp], step: float, rhythm: Rhythm | None
) -> NDArray[np.bool_]:
    """Return the atoms among places on a lattice of step 1."""
    n, m = counts.sum(), len(counts)
    if n >= _ROWS_PER_VALUE * m:
        return np.ones(m, dtype=bool)
    window = _Windows(places, counts, step, rhythm)
    smooth = window.expected(_FAR, np.zeros(m, dtype=bool))
    light = counts * (counts <= _HEAVY * n)  # heaps say nothing of the others
    again = light[counts > 1].sum() / max(light.sum(), 1)
    by_chance = light @ -np.expm1(-smooth) / max(light.sum(), 1)
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    if again > _MOST and again - by_chance > _MORE and twice >= _TWICE * once:
        return np.ones(m, dtype=bool)
    atoms = np.zeros(m, dtype=bool)
    for _ in range(_ROUNDS):
        expected = np.maximum(window.expected(_NEAR, atoms), window.expected(_FAR, atoms))
        found = _is_no_chance(counts, expected, _CHANCE)
        if (found <= atoms).all():
            break
        atoms |= found
    return atoms


class _Windows:
    """The surroundings of places (m,) on a lattice of step 1, seen so often."""

    def __init__(self, places: Floats, counts: NDArray[np.intp], step: float, rhythm: Rhythm | None) -> None:
        ends = np.stack([places - 0.5, places + 0.5])  # of cells
        self.low, self.high = (
            ends if rhythm is None else rhythm.stretch(ends.ravel() * step).reshape(2, -1) / step
        )
        self.counts, self.middle, self.width = counts, 0.5 * (self.low + self.high), self.high - self.low

    def expected(self, reach: int, left_out: NDArray[np.bool_]) -> Floats:
        """Return how often places are expected (m,) by those around that are not left out.

        That is within so many cells as wide as the place's own, and as wide as the mean.
        """
        own = ~left_out
        rows = np.concatenate([[0], np.cumsum(self.counts * own)])
        out = np.concatenate([[0], np.cumsum(self.width * left_out)])
        around = reach * np.maximum(self.width, 1.0)
        low = np.maximum(self.low - around, self.low[0])
        high = np.minimum(self.high + around, self.high[-1])
        first, last = np.searchsorted(self.middle, low), np.searchsorted(self.middle, high)
        room = high - low - (out[last] - out[first]) - self.width * own
        density = (rows[last] - rows[first] - self.counts * own) / np.maximum(room, 1.0)
        return np.asarray(density * self.width)


def _among_floats(values: Floats, counts: NDArray[np.intp], grain: Floats) -> Floats:
    """Return how often each value would be seen, were values only rounded to floats."""
    m = len(values)
    first, last = np.maximum(np.arange(m) - _FAR, 0), np.minimum(np.arange(m) + _FAR, m - 1)
    rows = np.concatenate([[0], np.cumsum(counts)])
    width = np.maximum(values[last] * 0.5 - values[first] * 0.5, 1e-320) * 2  # no overflow
    with np.errstate(over="ignore"):
        return np.asarray((rows[last + 1] - rows[first] - counts) * (grain / width))
