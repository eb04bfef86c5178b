r"""Which map suits a column, and through which knots does it run?

The free knots of a quantile map stand at equal distances of z, between the normal scores of the least and
the greatest row, Φ⁻¹(1/2n) and its mirror image: 65 of them, fewer where there would be fewer than 16 rows
to a knot. Atoms have knots at both their ends, and where no data lies next to one, the gap has 1/1000 of z
for itself.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.columns.transform import Quantiles, Standard

__all__ = ["fit_line"]

_MOST_ROWS = 200_000
_KNOTS = 65
_ROWS_PER_KNOT = 16  # fewer rows would make the map follow chance
_FEWEST_KNOTS = 9
_ATOM = 0.05  # share of rows at one value that makes it an atom
_TOWERS = 10.0  # an atom of a lattice over the values near it
_NEAR = 3
_EDGE = 0.02
_ENOUGH = 500  # rows that show whether there is an edge
_END = 6.0  # how far an atom at the end of a column reaches
_GAP = 1e-3  # width in z of a gap in which there is no data


def fit_line(x: Floats, step: float = 0.0, seed: int = 0) -> Standard | Quantiles:
    r"""Choose the map for a column with values x (n,), finite, at least two of them distinct.

    On a lattice ``step`` is the distance of its points, else 0. The seed chooses 200,000 of more values.
    ``Quantiles`` is taken where a value is an atom (5% of the rows, and 3 of them; on a lattice also 10 times
    as many as the three points to either side have on average), or where, with q the quantiles of at least
    20 values,

    - the tails are heavy: :math:`q_{0.995} - q_{0.005} > 6\,(q_{0.75} - q_{0.25})` (3.8 for a normal law,
      6.6 for a Laplace law), or the range is over 20 times the distance of the quartiles, or
    - the column is skewed: :math:`|q_{0.99} - 2 q_{0.5} + q_{0.01}| > 0.3\,(q_{0.99} - q_{0.01})` (0 for
      symmetric laws, 0.70 for the exponential one), or
    - it has an edge: 1% of at least 500 rows lie in the first or last 2% of its range (2% of a uniform law,
      less than 0.1% of a normal one), which a smooth model would blur.
    """
    if len(x) > _MOST_ROWS:
        chosen = np.random.default_rng(seed).choice(len(x), _MOST_ROWS, replace=False)
        chosen[:2] = np.argmin(x), np.argmax(x)
        x = x[chosen]
    values, counts = np.unique(x, return_counts=True)
    atoms = (counts >= _ATOM * len(x)) & (counts >= 3)
    if step and atoms.any():
        # How often the three points of the lattice to either side of each value were seen, on average.
        total = np.concatenate([[0], np.cumsum(counts)])
        reach = (_NEAR + 0.5) * step
        first, last = np.searchsorted(values, values - reach), np.searchsorted(values, values + reach)
        atoms &= counts > _TOWERS * (total[last] - total[first] - counts) / (2 * _NEAR)
    if atoms.any() or _is_irregular(x, len(values), step):
        line = _through_quantiles(values, counts, atoms, step)
        if line is not None:
            return line
    middle = float(values[len(values) // 2])
    reach = float(np.abs(values - middle).max())
    unit = (x - middle) / reach  # neither its square nor its sum overflows
    return Standard(shift=middle + reach * float(unit.mean()), scale=reach * float(unit.std()))


def _is_irregular(x: Floats, distinct: int, step: float) -> bool:
    """Whether a column has heavy tails, is skewed, or has an edge."""
    if distinct >= 20:
        u = _scaled(x)
        levels = np.quantile(u, [0.005, 0.01, 0.25, 0.5, 0.75, 0.99, 0.995])
        quartiles = levels[4] - levels[2]
        heavy = levels[6] - levels[0] > 6 * quartiles or np.ptp(u) > 20 * quartiles
        if heavy or abs(levels[5] - 2 * levels[3] + levels[1]) > 0.3 * (levels[5] - levels[1]):
            return True
    low, reach = x.min(), _EDGE * np.ptp(x)
    if len(x) < _ENOUGH or step > reach:  # cells at the ends are wide, and open
        return False
    share = max(np.mean(x < low + reach), np.mean(x > low + np.ptp(x) - reach))
    return bool(share > _EDGE / 2)


def _scaled(x: Floats) -> Floats:
    """Return x in units of a power of two, within (-1, 1)."""
    return np.asarray(np.ldexp(x, -math.frexp(float(np.abs(x).max()))[1]))


def _through_quantiles(
    values: Floats, counts: NDArray[np.intp], atoms: NDArray[np.bool_], step: float
) -> Quantiles | None:
    """Return the map through the quantiles of values; None where no two knots can be told apart."""
    n = int(counts.sum())
    above = np.cumsum(counts) / n
    below = above - counts / n
    z_must, x_must = _atom_knots(values, above, atoms, step)

    # The distribution function: a value's share is spread over its cell, or lies at the value.
    middle = 0.5 * (below + above)
    ends = np.ones_like(atoms) if step else atoms
    shares = np.stack([np.where(ends, below, middle), np.where(ends, above, middle)], 1).ravel()
    places = np.stack([values - step / 2, values + step / 2], 1).ravel()
    count = min(max(n // _ROWS_PER_KNOT, _FEWEST_KNOTS), _KNOTS)
    end = float(-ndtri(0.5 / n))
    z_free = np.linspace(-end, end, count)
    x_free = np.interp(ndtr(z_free), shares, places)

    # Free knots stand where they are strictly between their neighbours among those that must be.
    right = np.searchsorted(z_must, z_free)
    x_padded = np.concatenate([[-np.inf], x_must, [np.inf]])
    z_padded = np.concatenate([[-np.inf], z_must, [np.inf]])
    free = (x_padded[right] < x_free) & (x_free < x_padded[right + 1])
    free &= (z_free - z_padded[right] > _GAP) & (z_padded[right + 1] - z_free > _GAP)
    z, x = np.concatenate([z_must, z_free[free]]), np.concatenate([x_must, x_free[free]])
    order = np.argsort(z, kind="stable")
    z, x = z[order], x[order]
    kept = _rising(x, values[atoms] if not step else np.empty(0))
    if np.ptp(x[kept]) == 0:
        return None
    return Quantiles(z=tuple(z[kept].tolist()), x=tuple(x[kept].tolist()))


def _atom_knots(
    values: Floats, above: Floats, atoms: NDArray[np.bool_], step: float
) -> tuple[Floats, Floats]:
    """Return the knots (z, x) at the ends of atoms, and at the values next to them."""
    knots: list[tuple[float, float]] = []
    half = step / 2
    if atoms[0]:
        knots.append((-_END, float(values[0]) - half))
    for i in np.flatnonzero(atoms[:-1] | atoms[1:]).tolist():  # the boundaries between i and i + 1
        z, left, right = float(ndtri(above[i])), float(values[i]) + half, float(values[i + 1]) - half
        if step and values[i + 1] - values[i] < 1.5 * step:
            knots.append((z, left))  # cells that touch
        else:
            knots += [(z - _GAP / 2, left), (z + _GAP / 2, right)]
    if atoms[-1]:
        knots.append((_END, float(values[-1]) + half))
    z_must, x_must = np.array(knots, dtype=np.float64).reshape(-1, 2).T
    # A single row between two atoms has less room than its two gaps.
    least = _GAP / 4 * np.arange(len(z_must))
    return np.maximum.accumulate(z_must - least) + least, x_must


def _rising(x: Floats, atoms: Floats) -> NDArray[np.intp]:
    """Return which knots to keep so that x rises, but for the two of an atom."""
    unit, is_atom = _scaled(x), np.isin(x, atoms)
    kept = [0]
    for k in range(1, len(x)):
        last = kept[-1]
        pair = is_atom[k] and x[k] == x[last] and (len(kept) < 2 or x[kept[-2]] < x[last])
        if unit[k] - unit[last] > 1e-300 or pair:
            kept.append(k)
    return np.array(kept, dtype=np.intp)
