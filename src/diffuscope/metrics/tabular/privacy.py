r"""Are synthetic rows new, or copies of training rows?

Rows are embedded as points. A number, integer or time becomes its quantile among the real rows (independent
of units and tails), times :math:`\sqrt 6`, which makes the mean squared distance of two random rows 1; the
squared distance of two categories, and of a missing and a present value, is 1. Three metrics use Euclidean
distances of these points:

* **closer to training**: the fraction of synthetic rows whose nearest of n training rows is nearer than the
  nearest of n held-out rows. 1/2 is ideal, more means memorisation (Platzer and Reutterer 2021, Section
  3.2). Ties count half. The interval is binomial (Wilson);
* **distance to training**: the median distance to the nearest training row, with that of held-out rows as
  the floor. A ratio below 1 means copying, above 1 that rows are outside the data;
* **exact copies**: the fraction of synthetic rows with all values of a training row (numbers to nine digits
  of the column's range), compared with that of held-out rows: with few categories many rows are equal.

These are tests for memorisation, not a guarantee such as differential privacy.

Neighbours are searched for at most 2,000 synthetic rows, among 20,000 real ones; copies among all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.metrics import Measured
from diffuscope.metrics.floor import wilson
from diffuscope.metrics.neighbours import neighbour_distances
from diffuscope.metrics.tabular.splits import Splits
from diffuscope.metrics.tabular.tables import Floats, Table
from diffuscope.seeds import stream_seed

__all__ = ["Privacy", "measure_privacy", "points_of"]

_QUERIES = 2_000
_REAL = 20_000
_WIDTH = 32  # coordinates of a category with more levels
_SAME = 1e-6  # distances below are rounding errors


@dataclass(frozen=True)
class Privacy:
    """Evidence of copies, among synthetic rows and among held-out (unseen) ones.

    Attributes
    ----------
    copies, unseen_copies : float
        Fraction of rows that equal a training row.
    rows, unseen_rows : int
        Numbers of rows.
    closer, low, high : float
        Fraction of synthetic rows nearer to training rows than to held-out ones, with its 95% interval.
    distances, unseen_distances : ndarray of shape (m,)
        To the nearest training row, sorted.
    """

    copies: float
    unseen_copies: float
    rows: int
    unseen_rows: int
    closer: float
    low: float
    high: float
    distances: Floats
    unseen_distances: Floats

    @property
    def too_many_copies(self) -> bool:
        """Whether more synthetic than held-out rows equal training rows, by Fisher's exact test at 0.001."""
        from scipy.stats import fisher_exact

        made, real = round(self.copies * self.rows), round(self.unseen_copies * self.unseen_rows)
        counts = [[made, self.rows - made], [real, self.unseen_rows - real]]
        return bool(fisher_exact(counts, alternative="greater").pvalue < 0.001)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name, without the distances."""
        return {name: value for name, value in asdict(self).items() if not isinstance(value, np.ndarray)}


def measure_privacy(splits: Splits) -> tuple[dict[str, Measured], Privacy]:
    """Measure how near synthetic rows are to training rows, where unseen rows are held-out ones.

    ``distance_to_training`` is omitted if most held-out rows equal a training row.
    """
    synthetic, train, unseen = splits.synthetic, splits.train, splits.unseen
    limits = ((synthetic, _QUERIES), (train, _REAL), (unseen, _REAL))
    chosen = [table.some(most, splits.seed, "privacy", k) for k, (table, most) in enumerate(limits)]
    generated, known, held_out = points_of(splits, chosen)
    n = min(len(known), len(held_out))
    to_known, to_held_out = (neighbour_distances(generated, cloud[:n]) for cloud in (known, held_out))
    tie = np.abs(to_known - to_held_out) <= _SAME
    closer = float(np.where(tie, 0.5, to_known < to_held_out).mean())
    low, high = wilson(round(closer * len(generated)), len(generated))
    metrics = {"closer_to_training": Measured(closer, 0.5, 2 * closer, 2 * low, 2 * high)}
    nearest = (neighbour_distances(x, known) for x in (generated, held_out[:_QUERIES]))
    own, others = (np.sort(distances).astype(np.float64) for distances in nearest)
    if np.median(others) > _SAME:
        metrics["distance_to_training"] = _median_ratio(own, others, splits.seed)
    copies, unseen_copies = _copies(synthetic, train), _copies(unseen, train)
    return metrics, Privacy(
        copies, unseen_copies, len(synthetic), len(unseen), closer, low, high, own, others
    )


def _median_ratio(own: Floats, others: Floats, seed: int) -> Measured:
    """Relate two medians; the interval is the bootstrap's (percentiles of 400)."""
    random = np.random.default_rng(stream_seed(seed, "bootstrap"))
    medians = [np.median(x[random.integers(len(x), size=(400, len(x)))], axis=1) for x in (own, others)]
    usable = medians[1] > 0
    low, high = np.quantile(medians[0][usable] / medians[1][usable], [0.025, 0.975]).tolist()
    value, floor = float(np.median(own)), float(np.median(others))
    return Measured(value, floor, value / floor, low, high)


def points_of(splits: Splits, tables: Sequence[Table]) -> list[Floats]:
    """Embed rows as points, shape (n, D)."""
    real = np.concatenate([splits.train.codes, splits.unseen.codes])
    lacking = np.concatenate([real, splits.synthetic.codes]).min(axis=0) < 0
    blocks: list[list[Floats]] = [[] for _ in tables]
    for j, column in enumerate(splits.train.columns):
        if column.ordered:  # the fraction of real rows below each level, plus half of those equal to it
            counts = np.bincount(real[real[:, j] >= 0, j], minlength=len(column.levels))
            below = (np.cumsum(counts) - counts / 2) / max(int(counts.sum()), 1)
            places = np.sqrt(6) * np.append(below, 0.5)[:, None]
        else:
            places = _corners(len(column.levels) + 1, stream_seed(splits.seed, "corners", j))
        for table, block in zip(tables, blocks, strict=True):
            codes = table.codes[:, j]
            block.append(places[codes])
            if column.ordered and lacking[j]:
                block.append((codes < 0)[:, None].astype(np.float64))
    return [np.concatenate(block, axis=1) for block in blocks]


def _corners(n: int, seed: int) -> Floats:
    """Return n points at a distance of 1 from each other; of very many, nearly so."""
    if n <= _WIDTH:
        return np.asarray(np.eye(n) * np.sqrt(0.5))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(n, _WIDTH))
    return np.asarray(signs * np.sqrt(0.5 / _WIDTH))


def _copies(rows: Table, train: Table) -> float:
    """Return the fraction of rows that equal a training row."""
    both = np.concatenate([_rounded(rows), _rounded(train)])
    which = np.asarray(np.unique(both, axis=0, return_inverse=True)[1]).reshape(-1)
    return float(np.isin(which[: len(rows)], which[len(rows) :]).mean())


def _rounded(table: Table) -> NDArray[np.int64]:
    """Return rows as integers: codes, equal for numbers that agree to nine digits of their range."""
    rows = np.empty(table.codes.shape, dtype=np.int64)
    for j, column in enumerate(table.columns):
        classes = np.arange(len(column.levels), dtype=np.int64)
        if column.kind == "number" and len(classes) > 1:
            levels = column.levels.astype(np.float64)
            levels = levels / np.abs(levels).max()
            apart = np.diff(levels) > 1e-9 * (levels[-1] - levels[0])
            classes = np.concatenate([[0], np.cumsum(apart)]).astype(np.int64)
        rows[:, j] = np.append(classes, -1)[table.codes[:, j]]
    return rows
