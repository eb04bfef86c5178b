r"""How far are synthetic rows from real ones, as a multiple of the distance between real rows?

A metric :math:`M(A, B)` of two finite tables is not 0 even for equal distributions. With synthetic rows S,
training rows T and held-out rows R,

.. math::  \text{value} = E\, M(S_i, R_i), \qquad \text{floor} = E\, M(T_i, R_i),
           \qquad \text{ratio} = \text{value} / \text{floor},

means over i of random subsets of equal size, at most half of the smallest table. Value and floor use the same
:math:`R_i`, whose random error cancels. **A ratio of 1 means: as good as real rows.** A model that memorised
its training rows also has a ratio of 1; :mod:`~diffuscope.metrics.tabular.privacy` detects it.

The interval uses half-samples (McCarthy 1969): the variance of a fraction q of N rows, drawn without
replacement, around all of them is that of all N rows around the truth, times (1 - q)/q. So with the
residuals :math:`e_i = M(S_i, R_i) - \text{ratio}\, M(T_i, R_i)` of K subsets, in which :math:`R_i` cancels,

.. math::  \mathrm{se}(\text{ratio})^2 = \frac{\mathrm{var}(e_i)}{\text{floor}^2}
           \max\!\left(\frac12 \sum_{S, T} \frac q{1 - q}, \frac1K\right) .

For real and synthetic tables of equal size this is conservative, by a factor of 1.3 to 2 for the metrics of
this package; with few held-out rows it is accurate.

Where few shares make up a metric its floor is small and uncertain, and the ratio large. Then the interval is
Fieller's (1954): all ratios :math:`\rho` for which the mean of :math:`M(S_i, R_i) - \rho M(T_i, R_i)` is
within its own error of 0. It may have no upper end.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from diffuscope.metrics import Measured
from diffuscope.metrics.tabular.tables import Floats, Table

__all__ = ["LEAST_ROWS", "Splits", "as_plain", "measured", "relate_few", "relate_parts"]

LEAST_ROWS = 40  # of each table, for what needs more than the shares of single columns

_PARTS = 8
_MOST = 5_000


@dataclass(frozen=True)
class Splits:
    """Synthetic, training and held-out rows (or the two halves of the training rows), and their subsets."""

    synthetic: Table
    train: Table
    unseen: Table
    seed: int = 0

    @property
    def smallest(self) -> int:
        """Number of rows of the smallest table."""
        return min(len(self.synthetic), len(self.train), len(self.unseen))

    def part(self, i: int, size: int, unseen: int | None = None) -> tuple[Table, Table, Table]:
        """Return ``size`` random rows of each (``unseen`` of the held-out ones), equal for all metrics."""
        return (
            self.synthetic.some(size, self.seed, "part", i, 0),
            self.train.some(size, self.seed, "part", i, 1),
            self.unseen.some(unseen or size, self.seed, "part", i, 2),
        )

    def compare(self, metric: Callable[[Table, Table], Floats]) -> tuple[Floats, Floats, float]:
        """Return values and floors of all subsets, each of shape (K, metrics), and the variance factor."""
        size = max(min(self.smallest // 2, _MOST), 1)
        parts = (self.part(i, size) for i in range(_PARTS))
        pairs = [(metric(synthetic, unseen), metric(train, unseen)) for synthetic, train, unseen in parts]
        values, floors = (np.array(found) for found in zip(*pairs, strict=True))
        shares = [size / len(table) for table in (self.synthetic, self.train)]
        factor = sum(q / (1 - q) for q in shares) / 2
        return values, floors, max(factor, 1 / _PARTS)


def relate_parts(values: Floats, floors: Floats, factor: float, least: float = 0.0) -> Measured:
    """Relate the values of subsets to their floors; see the module's docstring.

    If the floor is 0, as for a constant column, the ratio is 1 if the value is 0 too, else infinite. The
    interval does not go below ``least``.
    """
    value, floor = float(values.mean()), float(floors.mean())
    if floor == 0:
        ratio = 1.0 if value == 0 else math.inf
        return Measured(value, floor, ratio, ratio, ratio)
    ratio = value / floor
    spread = float(np.std(values - ratio * floors, ddof=1)) * math.sqrt(factor)
    return measured(value, floor, spread, len(values) - 1, least)


def relate_few(values: Floats, floors: Floats, factor: float) -> Measured:
    """Relate the values of subsets to floors that are small and uncertain, with Fieller's interval."""
    from scipy.special import stdtrit

    value, floor = float(values.mean()), float(floors.mean())
    if floor == 0:
        return relate_parts(values, floors, factor)
    (s_v, s_vf), (_, s_f) = np.cov(values, floors).tolist()
    k = float(stdtrit(len(values) - 1, 0.975)) ** 2 * factor
    a, b, c = floor**2 - k * s_f, value * floor - k * s_vf, value**2 - k * s_v
    root = math.sqrt(max(b**2 - a * c, 0.0))
    low, high = 0.0, math.inf
    if a > 0:
        low, high = (b - root) / a, (b + root) / a
    elif a < 0 < c:
        low = (b - root) / a
    return Measured(value, floor, value / floor, max(low, 0.0), high)


def measured(value: float, floor: float, error: float, freedom: float, least: float = 0.0) -> Measured:
    """Return a metric with its 95% interval, from the standard error of its value (Student's t)."""
    from scipy.special import stdtrit

    ratio, half = value / floor, float(stdtrit(freedom, 0.975)) * error / abs(floor)
    return Measured(value, floor, ratio, max(ratio - half, least), ratio + half)


def as_plain(m: Measured) -> dict[str, float | None]:
    """Return the numbers of a metric by name; an infinite one is None."""
    numbers = {name: getattr(m, name) for name in ("value", "floor", "ratio", "low", "high")}
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}
