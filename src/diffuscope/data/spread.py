"""How wide is a column, whatever a few of its values are? Its deviation, with values far out brought in.

A single wrong value, such as 999,999 for "missing", sets the standard deviation of a thousand others. So the
deviation is that of values brought to the median ± 20 ranges between quartiles: of data without values that
far out, such as any normal one, it is the plain standard deviation. Where tails are longer than a normal
law's, the range is what that law would have between its quartiles if it had such tails.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["brought_in", "centre_and_scale", "deviation", "far_out", "limits", "standard_unit"]

_RANGES = 20.0  # between quartiles
_TAILS = ((0.25, 0.6745), (0.1, 1.2816), (0.05, 1.6449), (0.02, 2.0537), (0.01, 2.3263))  # normal quantiles
_ROUNDING = 1e-15  # of a value
_FEWEST = 3  # rows beyond a quantile that counts
_NAMED = 3  # rows

Floats = NDArray[np.float64]


def limits(x: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return the values (d,) beyond which those of data (n, d) are far out; infinite where none can be.

    NaN counts as missing.
    """
    low, high = np.full(x.shape[1], -np.inf), np.full(x.shape[1], np.inf)
    for j, column in enumerate(x.T):
        own = column[~np.isnan(column)]
        if not len(own):
            continue
        tails = [one for i, one in enumerate(_TAILS) if not i or one[0] * len(own) >= _FEWEST]
        at = [0.5, *(part for part, _ in tails), *(1 - part for part, _ in tails)]
        unit = float(np.abs(own).max()) or 1.0  # the range of huge values is not a number
        middle, *rest = np.quantile(own / unit, at)
        ends = zip(tails, rest[: len(tails)], rest[len(tails) :], strict=True)
        width = max((above - below) * _TAILS[0][1] / z for (_, z), below, above in ends)
        if width > 0:
            low[j], high[j] = (middle - _RANGES * width) * unit, (middle + _RANGES * width) * unit
    return low, high


def brought_in(x: NDArray[np.floating]) -> Floats:
    """Return data (n, d) with values far out brought to the :func:`limits`."""
    low, high = limits(x)
    return np.asarray(np.clip(x, low, high), dtype=np.float64)


def centre_and_scale(x: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """Return mean and standard deviation (d,) of data (n, d) with values far out brought in.

    Both are of values over the largest one, as the square of 1e-200 or of 1e200 is not a number. Of values
    that differ by their rounding alone the deviation is exactly 0.
    """
    inner = brought_in(x)
    unit = np.abs(inner).max(axis=0)
    usual = (unit > 1e-100) & (unit < 1e100)  # as it stands, to the last bit
    unit = np.where(usual | (unit == 0), 1.0, unit)
    inner = inner / unit
    return inner.mean(axis=0) * unit, deviation(inner) * unit


def deviation(x: NDArray[np.floating]) -> Floats:
    """Return the standard deviation (d,) of data (n, d), exactly 0 where only rounding tells values apart."""
    constant = np.ptp(x, axis=0) <= _ROUNDING * np.abs(x).max(axis=0)
    return np.where(constant, 0.0, x.std(axis=0))


def standard_unit(x: NDArray[np.floating]) -> Floats:
    """Return the :func:`deviation` (d,) of data (n, d), and 1 where that is 0."""
    own = deviation(x)
    return np.where(own > 0, own, 1.0)


def far_out(x: NDArray[np.floating], columns: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return a sentence for each column of data (n, d) with values far out: how many, and the first rows."""
    low, high = limits(x)
    said = []
    for j in np.flatnonzero(((x < low) | (x > high)).any(axis=0)).tolist():
        rows = np.flatnonzero((x[:, j] < low[j]) | (x[:, j] > high[j]))
        shown = ", ".join(f"{x[row, j]:g} in row {row}" for row in rows[:_NAMED])
        more = f" and {len(rows) - _NAMED:,} more" * (len(rows) > _NAMED)
        name = f"column {j}" if columns is None else f"column {columns[j]!r}"
        said.append(
            f"{name}: {shown}{more} (rows counted from 0), far out of {low[j]:.4g} to {high[j]:.4g}, "
            "where all others lie."
        )
    return tuple(said)
