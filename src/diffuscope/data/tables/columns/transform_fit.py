r"""Which map suits a column, and through which knots does it run?

The knots of a quantile map stand at equal distances of z, between the normal scores of the least and the
greatest row, Φ⁻¹(1/2n) and its mirror image: 65 of them, fewer where there would be fewer than 16 rows to a
knot. They end where the tails begin (:mod:`.tails_fit`). Within atoms there are none. Of up to 500 atoms the
values beside them are knots as well, so that the law between two of them begins and ends where its rows do.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

from diffuscope.data.tables.columns.atoms import repeated
from diffuscope.data.tables.columns.base import Floats
from diffuscope.data.tables.columns.rhythm import Rhythm
from diffuscope.data.tables.columns.tails import Tail
from diffuscope.data.tables.columns.tails_fit import (
    EDGE,
    fit_tail,
    has_edge,
    join_tail,
    natural_end,
    rows_of_tail,
)
from diffuscope.data.tables.columns.transform import Quantiles, Standard, atom_ends
from diffuscope.data.tables.columns.weights import effective_rows, even_places, evenly

__all__ = ["fit_line"]

_MOST_ROWS = 200_000
_KNOTS = 65
_ROWS_PER_KNOT = 16  # fewer rows would make the map follow chance
_FEWEST_KNOTS = 9
_ROWS_BESIDE = 8
_MOST_GAPS = 500  # between atoms that have knots of their own
_BEFORE_TAIL = 0.25  # width in z of the last knots' distance, so that its slope is no chance
_QUARTILES = 1.349  # distance of those of a normal law, in deviations
_ENOUGH_FOR_ENDS = 50
_MOST_BEYOND = 8.0
_CROSSED = 3.7  # deviations within which a normal law would cross a natural end
_GAP = 1e-3  # width in z that a knot keeps from an atom
_UNSEEN = 0.5  # rows that all gaps without any count as
_LEAST_PART = 1e-3
_UNSEEN_ONCE = 0.01  # and for each value seen once


def fit_line(
    x: Floats,
    step: float = 0.0,
    seed: int = 0,
    precision: type[np.floating[Any]] = np.float64,
    rhythm: Rhythm | None = None,
    weights: Floats | None = None,
) -> Standard | Quantiles:
    r"""Choose the map for a column with values x (n,), finite, at least two of them distinct.

    On a lattice ``step`` is the distance of its points, else 0, and ``precision`` the type of the floats. The
    seed chooses 200,000 of more values. ``Quantiles`` is taken where there is a ``rhythm``, or a value is an
    atom (:mod:`.atoms`), or where, with q the quantiles of at least 20 values,

    - the tails are heavy: :math:`q_{0.995} - q_{0.005} > c\,(q_{0.75} - q_{0.25})` with
      :math:`c = 3.82 + 20/\sqrt n`, from 4.4 to 6 (3.82 for a normal law, 4.8 for a logistic one, 6.6 for a
      Laplace law), or a row is 2 deviations further out than the outermost of a normal law would be, by the
      distance of the quartiles, or
    - the column is skewed: :math:`|q_{0.99} - 2 q_{0.5} + q_{0.01}| > c\,(q_{0.99} - q_{0.01})` with
      :math:`c = 4/\sqrt n`, from 0.15 to 0.3 (0 for symmetric laws, 0.70 for the exponential one), or
    - it has an edge: 1% of at least 500 rows lie in the first or last 2% of its range (2% of a uniform law,
      less than 0.1% of a normal one), which a smooth model would blur, or
    - a normal law would cross an end that the column has by its nature, such as 0, or
    - it ends too soon: a normal law would put more than 8 rows beyond the least and the greatest one (2 of a
      normal law on average, and 8 with a probability of 0.3%).

    With ``weights`` (n,) all of these are those of the weighted law, with as many rows as it tells of. Only
    what an atom is depends on how many rows there are, whatever these count.
    """
    if len(x) > _MOST_ROWS:
        chosen = np.random.default_rng(seed).choice(len(x), _MOST_ROWS, replace=False)
        chosen[:2] = np.argmin(x), np.argmax(x)
        x, weights = x[chosen], None if weights is None else weights[chosen]
    values, back, counts = np.unique(x, return_inverse=True, return_counts=True)
    rows = counts.astype(np.float64)
    even = evenly(x, weights)
    if weights is not None:
        rows = np.bincount(back, weights).astype(np.float64)
        rows *= effective_rows(weights, len(x)) / rows.sum()
    with np.errstate(over="ignore"):
        grain = np.spacing(np.abs(values).astype(precision)).astype(np.float64)
    atoms = repeated(values, counts, step, grain, rhythm)
    if rhythm is not None or atoms.any() or _is_irregular(even, len(values), step):
        line = _through_quantiles(values, counts, rows, atoms, step, rhythm)
        if line is not None:
            return line
    middle = float(values[len(values) // 2])
    reach = float(np.abs(values - middle).max())
    unit = (x - middle) / reach  # neither its square nor its sum overflows
    mean = float(np.average(unit, weights=weights))
    deviation = unit.std() if weights is None else np.sqrt(np.average((unit - mean) ** 2, weights=weights))
    return Standard(shift=middle + reach * mean, scale=reach * float(deviation))


def _is_irregular(x: Floats, distinct: int, step: float) -> bool:
    """Whether a column has heavy tails, is skewed, or has an edge."""
    if distinct >= 20:
        u = _scaled(x)
        levels = np.quantile(u, [0.005, 0.01, 0.25, 0.5, 0.75, 0.99, 0.995])
        quartiles = levels[4] - levels[2]
        root = math.sqrt(len(x))  # what chance gives falls with it
        heavy = levels[6] - levels[0] > min(max(3.82 + 20 / root, 4.4), 6.0) * quartiles
        off = abs(levels[5] - 2 * levels[3] + levels[1]) / max(levels[5] - levels[1], 1e-300)
        outlier = np.abs(u - levels[3]).max() > (2 - ndtri(0.5 / len(x))) * quartiles / _QUARTILES
        if heavy or outlier or off > min(max(4 / root, 0.15), 0.3):
            return True
        if step <= EDGE * np.ptp(x) and _beyond_ends(u) > _MOST_BEYOND:
            return True
    if len(x) >= _ENOUGH_FOR_ENDS and not step:
        unit = float(np.abs(x).max())
        mean, deviation = unit * float((x / unit).mean()), unit * float((x / unit).std())
        for side in (-1, 1):
            end = natural_end(np.sort(side * x))
            if end is not None and end - side * mean < _CROSSED * deviation:
                return True
    return bool(step <= EDGE * np.ptp(x)) and (
        has_edge(x) or has_edge(-x)
    )  # cells at the ends are wide, and open


def _beyond_ends(x: Floats) -> float:
    """Return how many of n rows a normal law would put beyond the least and the greatest of them, x (n,).

    Of a normal law it is 2 on average, the sum of two exponential variables.
    """
    mean, deviation = float(x.mean()), float(x.std())
    ends = np.array([x.min() - mean, mean - x.max()]) / deviation
    return len(x) * float(np.exp(log_ndtr(ends)).sum())


def _scaled(x: Floats) -> Floats:
    """Return x in units of a power of two, within (-1, 1)."""
    return np.asarray(np.ldexp(x, -math.frexp(float(np.abs(x).max()))[1]))


def _through_quantiles(
    values: Floats,
    times: NDArray[np.intp],
    counts: Floats,
    atoms: NDArray[np.bool_],
    step: float,
    rhythm: Rhythm | None,
) -> Quantiles | None:
    """Return the map through the quantiles of values; None where no two knots can be told apart.

    They were seen so many ``times``, and that counts as so many rows, ``counts``.
    """
    at = _told_apart(values, np.flatnonzero(atoms))
    between, extra = _rows_between(values, times, counts, at, step, rhythm)
    above = np.cumsum(counts) + extra
    below, total = above - counts, float(counts.sum() + extra[-1])

    # The distribution function: a value's share is spread over its cell, or lies at the value.
    middle = 0.5 * (below + above)
    ends = np.full(len(values), bool(step))
    ends[at] = True
    shares = np.stack([np.where(ends, below, middle), np.where(ends, above, middle)], 1).ravel()
    cells = np.stack([values - step / 2, values + step / 2], 1)  # (m, 2)
    cells = cells if rhythm is None else rhythm.stretch(cells.ravel()).reshape(-1, 2)
    places = cells.ravel()
    n = round(float(counts.sum()))
    end = float(-ndtri(0.5 / n))
    z_free = np.linspace(-end, end, min(max(n // _ROWS_PER_KNOT, _FEWEST_KNOTS), _KNOTS))

    which = even_places(counts, n)
    which[[0, -1]] = 0, len(values) - 1
    rows = (values if rhythm is None else cells.mean(1))[which]
    tails: dict[int, Tail | None] = {}
    must = []
    if rhythm is None:  # which leaves no room where there are no rows
        must = _beside_atoms(values, counts, below, total, at, between, step)
    for side, outer in ((-1, between[0]), (1, between[-1])):
        some = min(rows_of_tail(n), outer / 2)  # rows that the tail is fitted to
        joint = float(np.interp(some if side < 0 else total - some, shares, places))
        tails[side] = fit_tail(rows, joint, side, step) if some >= 2 else None
        if tails[side] is not None:
            z_joint = -side * float(ndtri(some / total))
            must = [(z, x) for z, x in must if side * z < side * z_joint] + [(z_joint, joint)]
            z_free = z_free[side * z_free < side * z_joint - _BEFORE_TAIL]
    x_free = np.interp(ndtr(z_free) * total, shares, places)

    z_atoms = atom_ends(counts[at], between) if at.size else np.empty(0)
    x_atoms = cells[at].ravel()
    z, x = _knots_between(z_atoms, x_atoms, sorted(must), z_free, x_free)
    order = np.argsort(np.concatenate([z, z_atoms]), kind="stable")
    z_all, x_all = np.concatenate([z, z_atoms])[order], np.concatenate([x, x_atoms])[order]
    if len(x_all) < 2 or np.ptp(_scaled(x_all)) <= 1e-300:
        return None
    return Quantiles(
        z=tuple(z.tolist()),
        x=tuple(x.tolist()),
        atoms=tuple(values[at].tolist()),
        counts=tuple(counts[at].tolist()),
        between=tuple(between.tolist()) if at.size else (),
        step=step,
        below=join_tail(tails[-1], z_all, x_all, rows, -1, step),
        above=join_tail(tails[1], z_all, x_all, rows, 1, step),
        rhythm=rhythm,
    )


def _knots_between(
    z_atoms: Floats, x_atoms: Floats, must: list[tuple[float, float]], z_free: Floats, x_free: Floats
) -> tuple[Floats, Floats]:
    """Return the knots (z, x) that fit between the ends of atoms: those that must be, then free ones."""
    z_must, x_must = np.array(must, dtype=np.float64).reshape(-1, 2).T
    lengths = np.cumsum([len(x_free), len(x_must)])
    u_free, u_must, u_atoms = np.split(_scaled(np.concatenate([x_free, x_must, x_atoms])), lengths)
    here = _fits(z_must, u_must, z_atoms, u_atoms, 1e-12)
    z_must, x_must, u_must = z_must[here], x_must[here], u_must[here]
    order = np.argsort(np.concatenate([z_atoms, z_must]), kind="stable")
    z_fixed, u_fixed = np.concatenate([z_atoms, z_must])[order], np.concatenate([u_atoms, u_must])[order]
    here = _fits(z_free, u_free, z_fixed, u_fixed, _GAP) & (np.searchsorted(z_atoms, z_free) % 2 == 0)
    z, x = np.concatenate([z_free[here], z_must]), np.concatenate([x_free[here], x_must])
    order = np.argsort(z, kind="stable")
    kept = _rising(x[order])
    return z[order][kept], x[order][kept]


def _told_apart(values: Floats, at: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the places of those atoms that a float tells apart beside the range of the column."""
    if at.size < 2:
        return at
    unit = _scaled(values)[at]
    return np.asarray(at[np.concatenate([[True], np.diff(unit) > 1e-300])])


def _rows_between(
    values: Floats,
    times: NDArray[np.intp],
    counts: Floats,
    at: NDArray[np.intp],
    step: float,
    rhythm: Rhythm | None,
) -> tuple[Floats, Floats]:
    """Return the rows around atoms (m + 1,), and how many more each value has below it than there are.

    Where there is room between two atoms, and no row, a part of one is put there.
    """
    cumulated = np.concatenate([[0], np.cumsum(counts)])
    starts, stops = np.concatenate([[0], at + 1]), np.concatenate([at, [len(values)]])
    between = cumulated[stops] - cumulated[starts]
    empty = between == 0
    empty[[0, -1]] = False
    if step and at.size:
        empty[1:-1] &= np.diff(values[at]) > 1.5 * step
    unseen = _UNSEEN + (_UNSEEN_ONCE * (times[at] == 1).sum())
    part = np.ones(len(between))
    if rhythm is not None and at.size > 1:  # most of it where points would be frequent
        ends = rhythm.stretch(np.stack([values[at[:-1]] + step / 2, values[at[1:]] - step / 2], 1).ravel())
        room = np.diff(ends)[::2] * empty[1:-1]
        part[1:-1] = np.maximum(room / max(room.mean(), 1e-9), _LEAST_PART)
    part = unseen * part / max(part[empty].sum(), 1.0)
    between[empty] = [float(f"{one:.2g}") for one in part[empty]]  # short, as they are written down often
    extra = np.cumsum(np.where(empty, between, 0.0))
    return between, extra[np.searchsorted(at, np.arange(len(values)))]


def _beside_atoms(
    values: Floats,
    counts: Floats,
    below: Floats,
    total: float,
    at: NDArray[np.intp],
    between: Floats,
    step: float,
) -> list[tuple[float, float]]:
    """Return knots (z, x) at the first and the last of at least 8 rows between two atoms.

    On a lattice they are ends of cells, and points of it that were not seen have a quarter of a row.
    """
    many = between >= _ROWS_BESIDE
    first, last = at[many[1:]] + 1, at[many[:-1]] - 1
    if max(len(first), len(last)) > _MOST_GAPS:
        return []
    if not step:
        i = np.union1d(first, last)
        return list(zip(_scores(below[i] + 0.5 * counts[i], total), values[i], strict=True))
    first = first[values[first] - values[first - 1] > 1.5 * step]
    last = last[values[last + 1] - values[last] > 1.5 * step]
    part = np.minimum(0.25, 0.5 * counts)
    rows = np.concatenate([below[first] + part[first], below[last] + counts[last] - part[last]])
    x = np.concatenate([values[first] - step / 2, values[last] + step / 2])
    return list(zip(_scores(rows, total), x, strict=True))


def _scores(rows: Floats, total: float) -> Floats:
    """Return the z below which there are so many rows of all."""
    return np.asarray(np.where(2 * rows < total, ndtri(rows / total), -ndtri((total - rows) / total)))


def _fits(z: Floats, x: Floats, z_knots: Floats, x_knots: Floats, gap: float) -> NDArray[np.bool_]:
    """Return which (z, x) are strictly between their neighbours among knots, and the gap away in z."""
    right = np.searchsorted(z_knots, z)
    x_padded = np.concatenate([[-np.inf], x_knots, [np.inf]])
    z_padded = np.concatenate([[-np.inf], z_knots, [np.inf]])
    inside = (x_padded[right] + 1e-300 < x) & (x < x_padded[right + 1] - 1e-300)
    return np.asarray(inside & (z - z_padded[right] > gap) & (z_padded[right + 1] - z > gap))


def _rising(x: Floats) -> NDArray[np.intp]:
    """Return which knots to keep so that x rises."""
    if not x.size:
        return np.empty(0, dtype=np.intp)
    unit = _scaled(x)
    kept = [0]
    for k in range(1, len(x)):
        if unit[k] - unit[kept[-1]] > 1e-300:
            kept.append(k)
    return np.array(kept, dtype=np.intp)
