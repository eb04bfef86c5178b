r"""Can trees tell synthetic rows from real ones, and by which columns?

Gradient-boosted trees are fitted to synthetic and real rows and judge rows that they have not seen
(cross-validation in three parts; Lopez-Paz and Oquab 2017, Section 3). The share of right guesses (accuracy)
and the area under the ROC curve are 1/2 where the laws are the same. Judgements of different parts are
dependent, so intervals and p-value count half of the rows (Wilson; Hanley and McNeil 1982 for the area).

Which columns give synthetic rows away has two answers, and the difference says where to look:

* the area **by itself**, by the shares of both kinds in 24 bins of this column's values, of which frequent
  and missing ones have one of their own (counted in one half of the rows, judged in the other). Above
  chance: its own values are off;
* the **fall** of the area of all columns where this one is shuffled among the judged rows (Breiman 2001,
  Section 10). Large although the column by itself is at chance: its values do not fit those of others.

A fall counts where it is at least 0.01 and twice the largest fall of any column between real rows, an area
where it exceeds chance at the 1% level after Bonferroni's correction. Columns that carry the same fault
share its fall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.tables.columns.base import Name
from diffuscope.metrics import Measured, TwoSampleTest
from diffuscope.metrics.tabular.splits import Splits, as_plain, measured
from diffuscope.metrics.tabular.tables import Floats, Table
from diffuscope.metrics.tabular.trees import features, leaf, without_empty
from diffuscope.seeds import stream_seed

__all__ = ["ColumnDetection", "Detection", "tell_apart"]

_MOST = 3_000
_FLOORS = 3
_FOLDS = 3
_CELLS = 40_000  # judged rows times columns, where columns are asked one by one
_FEWEST = 500
_AT_ONCE = 30_000  # rows of shuffled tables
_BINS = 24
_OFTEN = 0.01
_FALL = 0.01
_LEVEL = 0.01
_CLEAR = 1.96  # errors above chance


@dataclass(frozen=True)
class ColumnDetection:
    """How much of the detection is due to a column.

    Attributes
    ----------
    alone : Measured
        The area by the values of this column only; the floor is that of real rows against real rows.
    fall, real_fall : float
        By how much the area of all columns falls where this one is shuffled, and the largest such fall of
        any column between real rows, the mean over three choices of them.
    n_columns, n : int
        Of the table, and rows judged of each kind, for the level of significance.
    """

    alone: Measured
    fall: float
    real_fall: float
    n_columns: int
    n: int

    @property
    def by_itself(self) -> bool:
        """Whether the column's own values give synthetic rows away."""
        from scipy.special import ndtri

        limit = ndtri(1 - _LEVEL / self.n_columns) * area_error(0.5, self.n)
        return bool(self.alone.value - 0.5 > limit and self.alone.value - self.alone.floor > limit / 2)

    @property
    def with_others(self) -> bool:
        """Whether the trees need the column."""
        return self.fall > max(_FALL, 2 * self.real_fall)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers by name."""
        return {
            "alone": as_plain(self.alone),
            "fall": self.fall,
            "real_fall": self.real_fall,
            "gives_away": self.by_itself or self.with_others,
        }


@dataclass(frozen=True)
class Detection:
    """Which columns tell synthetic rows from real ones; no columns where rows are not told apart."""

    area: Measured
    columns: dict[Name, ColumnDetection]

    @property
    def off(self) -> bool:
        """Whether rows are told apart."""
        return bool(self.columns)

    def giveaways(self, most: int | None = None) -> list[Name]:
        """Return the columns that give synthetic rows away, worst first."""
        found = {name: c for name, c in self.columns.items() if c.by_itself or c.with_others}
        return sorted(found, key=lambda name: -_weight(found[name]))[:most]

    def line(self) -> str:
        """Return what was found in one sentence."""
        m = self.area
        said = f"Detection: area {m.value:.3f} (real rows {m.floor:.3f})"
        if not self.columns:
            return f"{said}; synthetic rows are not told from real ones."
        listed = "; ".join(f"{str(name)!r} {self.of(name)}" for name in self.giveaways(3))
        return f"{said}; given away by {listed}." if listed else f"{said}; no single column gives them away."

    def of(self, name: Name) -> str:
        """Return what gives a column away, in a few words and numbers."""
        column = self.columns[name]
        said = [f"by itself {column.alone.value:.3f}"] if column.by_itself else []
        if column.with_others:
            said.append(f"shuffled −{column.fall:.3f}")
        return f"({', '.join(said)})"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data, columns in the order of the table."""
        return {
            "area": as_plain(self.area),
            "columns": {str(name): column.to_json() for name, column in self.columns.items()},
            "given_away_by": [str(name) for name in self.giveaways()],
        }


def _weight(column: ColumnDetection) -> float:
    return max(column.fall * column.with_others, (column.alone.value - 0.5) * column.by_itself)


def tell_apart(splits: Splits) -> tuple[dict[str, Measured], TwoSampleTest, Detection]:
    """Let trees tell synthetic rows from real ones, and real ones from real ones for the floor.

    As many rows of each are used as the smallest table has, at most 3,000; the floor is the mean over three
    choices of training rows. Columns are asked one by one only where rows are told apart.
    """
    n = min(splits.smallest, _MOST)
    synthetic, train, unseen = splits.part(0, n)
    judge = _Judge(synthetic, unseen, splits.seed)
    real = [_Judge(*splits.part(i, n)[1:], seed=splits.seed) for i in range(_FLOORS)]
    floor, floor_area = np.mean([[one.accuracy, one.area] for one in real], axis=0).tolist()
    test = TwoSampleTest.of(judge.accuracy, n)
    by_accuracy = Measured(judge.accuracy, floor, judge.accuracy / floor, test.low / floor, test.high / floor)
    by_area = measured(judge.area, floor_area, area_error(judge.area, n), n)
    columns: dict[Name, ColumnDetection] = {}
    if by_area.low > 1 and judge.area - 0.5 > _CLEAR * area_error(judge.area, n):
        columns = _columns(judge, real, synthetic, train, unseen, splits.seed)
    found = {"classifier_accuracy": by_accuracy, "classifier_auc": by_area}
    return found, test, Detection(by_area, columns)


def _columns(
    judge: _Judge, real: list[_Judge], synthetic: Table, train: Table, unseen: Table, seed: int
) -> dict[Name, ColumnDetection]:
    """Return how much each column tells; columns of wide tables are shuffled in fewer rows."""
    d, n = len(synthetic.columns), len(synthetic)
    most = 2 * max(_CELLS // d, _FEWEST)
    falls, real_fall = judge.falls(most), float(np.mean([one.falls(most).max() for one in real]))
    alone, floors = (_areas_alone(one, unseen, seed) for one in (synthetic, train))
    return {
        column.name: ColumnDetection(
            measured(area, floor, area_error(area, n), n), float(fall), real_fall, d, n
        )
        for column, area, floor, fall in zip(synthetic.columns, alone, floors, falls, strict=True)
    }


class _Judge:
    """Trees that were fitted to all parts but one, each with the rows that it judges."""

    def __init__(self, one: Table, other: Table, seed: int) -> None:
        x, categorical = _stacked(one, other)
        y = np.repeat([0, 1], [len(one), len(other)])
        self._seed, self._judged = seed, []
        accuracies, areas = [], []
        for fitted, judged in _folds(y, _FOLDS, seed):
            trees = _trees(len(fitted), categorical, seed, 60).fit(without_empty(x[fitted]), y[fitted])
            chance, truth = trees.predict_proba(x[judged])[:, 1], y[judged] == 1
            right = (chance > 0.5) == truth
            accuracies.append(np.where(chance == 0.5, 0.5, right).mean())  # an even guess is half right
            areas.append(_area(chance, truth))
            self._judged.append((trees, x[judged], truth))
        self.accuracy, self.area = float(np.mean(accuracies)), float(np.mean(areas))

    def falls(self, most: int) -> Floats:
        """Return by how much the area falls where each column is shuffled, (d,); of at most so many rows."""
        random = np.random.default_rng(stream_seed(self._seed, "shuffled"))
        found = []
        for trees, x, truth in self._judged:
            some = random.permutation(len(x))[: math.ceil(most / len(self._judged))]
            rows, true = x[some], truth[some]
            whole, fall = _area(trees.predict_proba(rows)[:, 1], true), []
            for block in np.array_split(
                np.arange(x.shape[1]), min(math.ceil(rows.size / _AT_ONCE), x.shape[1])
            ):
                shuffled = np.tile(rows, (len(block), 1, 1))
                for part, j in zip(shuffled, block, strict=True):
                    part[:, j] = random.permutation(part[:, j])
                chances = trees.predict_proba(shuffled.reshape(-1, x.shape[1]))[:, 1]
                fall += [whole - _area(own, true) for own in chances.reshape(len(block), -1)]
            found.append(fall)
        return np.asarray(np.mean(found, axis=0))


def _areas_alone(one: Table, other: Table, seed: int) -> list[float]:
    """Return the area by the values of a single column, of each column."""
    y = np.repeat([0, 1], [len(one), len(other)])
    halves, found = list(_folds(y, 2, seed)), []
    for column, codes in zip(one.columns, np.concatenate([one.codes, other.codes]).T, strict=True):
        areas = []
        for fitted, judged in halves:
            bins = _bins(codes[fitted], len(column.levels))
            own, all_ = (
                np.bincount(bins[codes[k]], minlength=bins.max() + 1)
                for k in (fitted[y[fitted] == 1], fitted)
            )
            areas.append(_area(((own + 0.5) / (all_ + 1))[bins[codes[judged]]], y[judged] == 1))
        found.append(float(np.mean(areas)))
    return found


def _bins(codes: NDArray[np.intp], levels: int) -> NDArray[np.intp]:
    """Return the bin of each level and, at the end, of missing values: frequent ones have their own."""
    counts = np.bincount(codes[codes >= 0], minlength=levels)
    often = counts >= max(_OFTEN * len(codes), 5)
    seldom = np.cumsum(np.where(often, 0, counts))
    bins = (seldom * _BINS) // max(int(seldom[-1]) + 1, 1) if levels else counts
    bins[often] = _BINS + np.arange(often.sum())
    return np.append(bins, _BINS + often.sum())


def _stacked(one: Table, other: Table) -> tuple[Floats, list[bool]]:
    own, categorical = features(one)
    return np.concatenate([own, features(other)[0]]), categorical


def _folds(y: NDArray[np.intp], parts: int, seed: int) -> Any:
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(parts, shuffle=True, random_state=seed).split(y[:, None], y)


def _trees(n: int, categorical: list[bool], seed: int, rounds: int) -> Any:
    """Return unfitted trees for n rows."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=rounds,
        max_leaf_nodes=15,
        min_samples_leaf=leaf(n),
        categorical_features=categorical,
        early_stopping=False,
        random_state=seed,
    )


def _area(chance: Floats, truth: NDArray[np.bool_]) -> float:
    """Return the area under the ROC curve, by ranks (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    n = int(truth.sum())
    ranks = float(rankdata(chance)[truth].sum())
    return (ranks - n * (n + 1) / 2) / max(n * (len(truth) - n), 1)


def area_error(area: float, n: int) -> float:
    """Return the standard error of an area from n/2 rows of each kind (Hanley and McNeil 1982, Eq. 1)."""
    m = max(n / 2, 1.0)
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (m - 1) * (q1 - area**2 + q2 - area**2)
    return math.sqrt(max(variance, 0.0)) / m
