r"""Which values of a column are repeated more often than chance would have it?

A smooth law with the density f, rounded to steps of h, gives the value v about :math:`\lambda_v = n h f(v)`
times in n rows; how often exactly is Poisson's law. f is estimated around v, but without v. One of m values,
seen c times, is an *atom* where c is at least 3 and :math:`P(\mathrm{Poisson}(\lambda_v) \ge c)` is below
:math:`10^{-5}`, and off a lattice below :math:`10^{-3}/m`, so that chance makes none: heaps at round numbers,
prices, zeros, the levels of an instrument. Values seen once or twice are none, unless on a lattice all values
seen are atoms:

- there are 8 rows to each, on average, so that their shares are known better than any smooth law says, or
- most rows repeat one (codes): the share of rows whose value has others exceeds by 0.3 what the smooth law
  would give, the mean of :math:`1 - e^{-\lambda_v}`, and values seen twice are at least 15 for each 100
  seen once. With few heaps among many other values they are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import pdtrc

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.columns.transform import MOST_ATOMS

__all__ = ["repeated"]

_FEWEST = 3
_CHANCE, _CHANCE_OF_ALL = 1e-5, 1e-3
_NEAR, _FAR = 3, 16  # steps to either side, or values, in which the density is estimated
_ROUNDS = 3
_ROWS_PER_VALUE = 8
_MORE = 0.3
_TWICE = 0.15


def repeated(values: Floats, counts: NDArray[np.intp], step: float, grain: Floats) -> NDArray[np.bool_]:
    """Return which of the values (m,), rising, are atoms, shape (m,).

    ``counts`` (m,) says how often each was seen, ``step`` is the lattice's, or 0, and then ``grain`` (m,) how
    far apart the floats are.
    """
    if step:
        atoms = _on_lattice(np.rint(values / step), counts)
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


def _on_lattice(places: Floats, counts: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the atoms among places on a lattice of step 1."""
    n, m = counts.sum(), len(counts)
    if n >= _ROWS_PER_VALUE * m:
        return np.ones(m, dtype=bool)
    smooth = _density(places, counts, _FAR, np.zeros(m, dtype=bool))
    again = counts[counts > 1].sum() / n
    by_chance = counts @ -np.expm1(-smooth) / n
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    if again - by_chance > _MORE and twice >= _TWICE * once:
        return np.ones(m, dtype=bool)
    atoms = np.zeros(m, dtype=bool)
    for _ in range(_ROUNDS):
        expected = np.maximum(*(_density(places, counts, reach, atoms) for reach in (_NEAR, _FAR)))
        found = _is_no_chance(counts, expected, _CHANCE)
        if (found <= atoms).all():
            break
        atoms |= found
    return atoms


def _density(places: Floats, counts: NDArray[np.intp], reach: int, left_out: NDArray[np.bool_]) -> Floats:
    """Return the mean count of the places within reach, without the place itself and those left out."""
    own = ~left_out
    rows = np.concatenate([[0], np.cumsum(counts * own)])
    out = np.concatenate([[0], np.cumsum(left_out)])
    first = np.searchsorted(places, places - reach - 0.5)
    last = np.searchsorted(places, places + reach + 0.5)
    width = np.minimum(places + reach, places[-1]) - np.maximum(places - reach, places[0])
    room = width - (out[last] - out[first] - left_out)
    return np.asarray((rows[last] - rows[first] - counts * own) / np.maximum(room, 1.0))


def _among_floats(values: Floats, counts: NDArray[np.intp], grain: Floats) -> Floats:
    """Return how often each value would be seen, were values only rounded to floats."""
    m = len(values)
    first, last = np.maximum(np.arange(m) - _FAR, 0), np.minimum(np.arange(m) + _FAR, m - 1)
    rows = np.concatenate([[0], np.cumsum(counts)])
    width = np.maximum(values[last] * 0.5 - values[first] * 0.5, 1e-320) * 2  # no overflow
    with np.errstate(over="ignore"):
        return np.asarray((rows[last + 1] - rows[first] - counts) * (grain / width))
