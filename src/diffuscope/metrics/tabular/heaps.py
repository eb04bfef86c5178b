r"""Do numbers heap at the values at which real ones heap, and as often?

A heap is a value of a column of numbers or times that at least 1% of the real values share, five at least,
and three times as many as a smooth law would give it: the density of the nearest twentieth of the values
below or above it, whichever is greater, times the step in which numbers are written. So a round amount, a
default of 0 or a price is a heap, and an age is not, although each has more than 1% of the rows. Columns of
ten values or fewer are left to their marginals.

With :math:`h_v` the share of the heap v among the values of its column that are there, and means over
columns:

* **rates**: the mean of :math:`\sum_v |h_v - h'_v|`;
* **share on heaps**: the mean of :math:`|\sum_v h_v - \sum_v h'_v|`.

A rate is named where it differs significantly at the 1% level after Bonferroni's correction (normal test of
two shares, of all rows) and by a tenth of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics import Measured
from diffuscope.metrics.tabular.splits import Splits, as_plain, relate_few
from diffuscope.metrics.tabular.steps import numbers_of, step_of
from diffuscope.metrics.tabular.tables import Floats, Table, made_not_real, shown_level

__all__ = ["ColumnHeaps", "Heap", "Heaps", "measure_heaps"]

_SHARE = 0.01
_TIMES = 3.0
_AROUND = 0.05
_FEWEST = 5  # rows on a heap
_FEW_VALUES = 10
_LEVEL = 0.01
_LEAST = 0.1


@dataclass(frozen=True)
class Heap:
    """A value, in words, with its shares; ``off`` where the synthetic one differs significantly."""

    value: str
    real: float
    synthetic: float
    off: bool

    def line(self) -> str:
        """Return the shares as text."""
        return f"{self.value} in {made_not_real(self.synthetic, self.real)}"


@dataclass(frozen=True)
class ColumnHeaps:
    """The heaps of a column.

    Attributes
    ----------
    real, synthetic : float
        Shares of the column's values that are on heaps.
    distance : Measured
        The sum of the differences of rates, beside that between real rows.
    heaps : tuple of Heap
        Those that are off first, then by the difference.
    """

    real: float
    synthetic: float
    distance: Measured
    heaps: tuple[Heap, ...]

    @property
    def off(self) -> tuple[Heap, ...]:
        """The heaps with rates that differ significantly."""
        return tuple(heap for heap in self.heaps if heap.off)


@dataclass(frozen=True)
class Heaps:
    """The heaps of all columns that have some, worst first."""

    columns: dict[Name, ColumnHeaps]

    @property
    def off(self) -> bool:
        """Whether any rate differs significantly."""
        return any(column.off for column in self.columns.values())

    def line(self) -> str:
        """Return what was found in one sentence."""
        n = sum(len(column.heaps) for column in self.columns.values())
        off = {name: column.off for name, column in self.columns.items() if column.off}
        where = f"{n} in {len(self.columns)} column{'s' * (len(self.columns) != 1)}"
        if not self.off:
            return f"Heaps: {where}, as high as in real rows."
        name, heaps = next(iter(off.items()))
        column = self.columns[name]
        on_heaps = made_not_real(column.synthetic, column.real)
        return (
            f"Heaps: {where}, {sum(map(len, off.values()))} too high or too low; worst in {str(name)!r}, "
            f"{heaps[0].line()} (on heaps {on_heaps} of its values)."
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            str(name): {
                "real": column.real,
                "synthetic": column.synthetic,
                "distance": as_plain(column.distance),
                "heaps": [vars(heap) for heap in column.heaps],
            }
            for name, column in self.columns.items()
        }


def measure_heaps(splits: Splits) -> tuple[dict[str, Measured], Heaps] | None:
    """Measure how numbers heap; None for tables without heaps."""
    real = Table(splits.train.columns, np.concatenate([splits.train.codes, splits.unseen.codes]))
    heaped = {j: codes for j in range(len(real.columns)) if len(codes := _heaps(real, j))}
    if not heaped:
        return None

    def distances(x: Table, y: Table) -> Floats:
        found = []
        for j, codes in heaped.items():
            apart = _rates(x, j, codes)[0] - _rates(y, j, codes)[0]
            found.append((np.abs(apart).sum(), abs(apart.sum())))
        return np.array(found)

    values, floors, factor = splits.compare(distances)  # (parts, columns, 2)
    means = values.mean(axis=1), floors.mean(axis=1)
    metrics = {
        name: relate_few(means[0][:, k], means[1][:, k], factor)
        for k, name in enumerate(("heap_rates", "heap_share"))
    }
    tests = sum(map(len, heaped.values()))
    found = {
        real.columns[j].name: _column(
            real, splits.synthetic, j, codes, relate_few(values[:, k, 0], floors[:, k, 0], factor), tests
        )
        for k, (j, codes) in enumerate(heaped.items())
    }
    worst = sorted(found, key=lambda name: (not found[name].off, -_apart(found[name])))
    return metrics, Heaps({name: found[name] for name in worst})


def _apart(column: ColumnHeaps) -> float:
    return sum(abs(heap.real - heap.synthetic) for heap in column.heaps)


def _heaps(real: Table, j: int) -> NDArray[np.intp]:
    """Return the codes of the heaps of a column."""
    column, codes = real.columns[j], real.codes[:, j]
    counts = np.bincount(codes[codes >= 0], minlength=len(column.levels))
    seen = np.flatnonzero(counts)
    if not column.ordered or len(seen) <= _FEW_VALUES:
        return np.arange(0)
    values, share = numbers_of(column)[seen], counts[seen] / counts.sum()
    step, above = step_of(values), np.cumsum(share)
    below, found = above - share, []
    for k in np.flatnonzero((share >= _SHARE) & (counts[seen] >= _FEWEST)).tolist():
        low = min(int(np.searchsorted(above, below[k] - _AROUND)), k)
        high = max(min(int(np.searchsorted(above, above[k] + _AROUND)), len(seen) - 1), k)
        left, right = below[k] - below[low], above[high] - above[k]
        steps = (values[k] - values[low], values[high] - values[k])
        expected = [
            mass * step / apart for mass, apart in zip((left, right), steps, strict=True) if apart > 0
        ]
        if share[k] >= _TIMES * max(expected, default=0.0):
            found.append(seen[k])
    return np.array(found, dtype=np.intp)


def _rates(table: Table, j: int, heaps: NDArray[np.intp]) -> tuple[Floats, int]:
    """Return the share of each heap among the values of a column that are there, and their number."""
    codes = table.codes[:, j]
    counts = np.bincount(codes[codes >= 0], minlength=len(table.columns[j].levels))
    n = int(counts.sum())
    return counts[heaps] / max(n, 1), n


def _column(
    real: Table, synthetic: Table, j: int, codes: NDArray[np.intp], distance: Measured, tests: int
) -> ColumnHeaps:
    from scipy.special import ndtri

    (was, n), (made, m) = (_rates(table, j, codes) for table in (real, synthetic))
    pooled = (was * n + made * m) / max(n + m, 1)
    error = np.sqrt(np.maximum(pooled * (1 - pooled), 1e-12) * (1 / max(n, 1) + 1 / max(m, 1)))
    off = np.abs(made - was) > -ndtri(_LEVEL / tests / 2) * error
    off &= np.abs(made - was) >= _LEAST * was
    column = real.columns[j]
    order = np.lexsort((-np.abs(made - was), ~off))
    heaps = tuple(
        Heap(shown_level(column, codes[k]), float(was[k]), float(made[k]), bool(off[k])) for k in order
    )
    return ColumnHeaps(float(was.sum()), float(made.sum()), distance, heaps)
