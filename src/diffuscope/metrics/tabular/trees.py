r"""Can a learner learn from synthetic rows what real rows teach?

That is measured by gradient-boosted trees (scikit-learn's ``HistGradientBoosting``): they take numbers
of any scale, categories and missing values as they are, so that nothing is lost in a preparation that
only one of several learners would need, and they are strong on tables from a hundred rows to millions.
Leaves shrink with the table (a fortieth of its rows, 2 to 20), for leaves of 20 can learn nothing from
sixty rows.

**Train on synthetic, test on real** (Esteban et al. 2017, Section 4): trees fitted to synthetic rows predict
the target of real rows that nobody saw, beside trees fitted to as many real training rows. A category, or an
integer of two values, is judged by accuracy and area (each class against the rest, weighted by the classes'
shares), anything else by R². Rows without a target are left out.

**Missing values** go to one side of each split; categories beyond the 200 most common count as one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.metrics import Measured
from diffuscope.metrics.tabular.splits import Splits, relate_parts
from diffuscope.metrics.tabular.tables import Floats, Table

__all__ = ["area_of_classes", "features", "leaf", "predicts_classes", "train_on_synthetic", "without_empty"]

_LEAST_ROWS = 25  # of each table
_MOST_LEVELS = 200
_MOST_CLASSES = 20
_MOST_LEARNED = 3_000
_FITS = 5


def features(table: Table, without: int | None = None) -> tuple[Floats, list[bool]]:
    """Return what trees are shown, shape (n, d), NaN where missing, and which columns are categories."""
    places = [j for j in range(len(table.columns)) if j != without]
    columns = []
    for j in places:
        x = table.numbers(j)
        columns.append(x if table.columns[j].ordered else np.minimum(x, _MOST_LEVELS - 1))
    return np.stack(columns, axis=1), [not table.columns[j].ordered for j in places]


def without_empty(x: Floats) -> Floats:
    """Return rows (n, d) to fit trees to, with 0 in columns of which all values are missing."""
    return np.where(np.isnan(x).all(axis=0), 0.0, x)


def leaf(n: int) -> int:
    """Return the least rows of a leaf for trees fitted to n rows."""
    return int(np.clip(n // 40, 2, 20))


def area_of_classes(chances: Floats, known: NDArray[np.intp], truth: NDArray[np.intp]) -> float:
    """Return the area of each class in ``truth`` against the rest, weighted by the classes' shares.

    ``chances`` (n, k) are those of the ``known`` classes (k,), which were learned; others have none.
    """
    from sklearn.metrics import roc_auc_score

    labels = np.unique(truth)
    if len(labels) < 2:
        return 0.5
    scores = np.stack([chances[:, known == label].sum(axis=1) for label in labels], axis=1)
    return float(roc_auc_score(truth[:, None] == labels, scores, average="weighted"))


def predicts_classes(table: Table, place: int) -> bool:
    """Return whether a target is a class: a category, a truth value or an integer of two values."""
    column = table.columns[place]
    return not column.ordered or (column.kind == "integer" and len(_present(table, place)) == 2)


def _present(table: Table, place: int) -> NDArray[np.intp]:
    codes = table.codes[:, place]
    return np.unique(codes[codes >= 0])


def train_on_synthetic(splits: Splits, place: int) -> dict[str, Measured] | str:
    """Predict the target of real rows by trees fitted to synthetic rows; the floor is by real ones.

    Five times trees are fitted to four fifths of as many rows as both have, at most 3,000, and tested on a
    half of the unseen ones. Returns ``target_accuracy`` and ``target_auc``, or ``target_r2``, or why not.
    """
    if len(splits.train.columns) < 2:
        return "There is no other column to predict the target from."
    synthetic, train, unseen = (
        table.take(np.flatnonzero(table.codes[:, place] >= 0))
        for table in (splits.synthetic, splits.train, splits.unseen)
    )
    splits = Splits(synthetic, train, unseen, splits.seed)
    if splits.smallest < _LEAST_ROWS:
        return f"It needs at least {_LEAST_ROWS} rows of each table that have a target."
    classes = predicts_classes(splits.train, place)
    if len(_present(splits.unseen, place)) < 2 or len(_present(splits.train, place)) < 2:
        return "The target is the same in all real rows."
    size = min(int(0.8 * min(len(splits.synthetic), len(splits.train))), _MOST_LEARNED)
    score = _score_classes if classes else _score_numbers
    values, floors = [], []
    for i in range(_FITS):
        synthetic, train, unseen = splits.part(i, size, min(len(splits.unseen) // 2, 2 * _MOST_LEARNED))
        values.append(score(synthetic, unseen, place, splits.seed + i))
        floors.append(score(train, unseen, place, splits.seed + i))
    names = ("target_accuracy", "target_auc") if classes else ("target_r2",)
    by_name = dict(zip(names, zip(np.transpose(values), np.transpose(floors), strict=True), strict=True))
    if not classes and np.mean(floors) <= 0.01:
        return "Real rows do not say what the target is either: trees fitted to them have no R² above 0."
    return {name: relate_parts(own, floor, 1.0, least=-math.inf) for name, (own, floor) in by_name.items()}


def _score_classes(fitted: Table, judged: Table, place: int, seed: int) -> tuple[float, float]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    y, truth = (np.minimum(t.codes[:, place], _MOST_CLASSES - 1) for t in (fitted, judged))
    known = np.unique(y)
    x, categorical = features(fitted, place)
    chances = np.ones((len(judged), 1))
    if len(known) > 1 and x.shape[1]:
        trees = HistGradientBoostingClassifier(
            **_settings(len(y), seed, len(known)), categorical_features=categorical
        )
        chances = trees.fit(without_empty(x), y).predict_proba(features(judged, place)[0])
    accuracy = float((known[chances.argmax(axis=1)] == truth).mean())
    return accuracy, area_of_classes(chances, known, truth)


def _score_numbers(fitted: Table, judged: Table, place: int, seed: int) -> tuple[float]:
    from sklearn.ensemble import HistGradientBoostingRegressor

    x, categorical = features(fitted, place)
    y, truth = fitted.numbers(place), judged.numbers(place)
    trees = HistGradientBoostingRegressor(**_settings(len(y), seed, 1), categorical_features=categorical)
    guess = trees.fit(without_empty(x), y).predict(features(judged, place)[0])
    total = float(np.square(truth - truth.mean()).sum())
    return (1 - float(np.square(truth - guess).sum()) / total if total > 0 else 0.0,)


def _settings(n: int, seed: int, classes: int) -> dict[str, Any]:
    return {
        "max_iter": 60 if classes <= 3 else 30,  # a tree for each class
        "learning_rate": 0.1 if classes <= 3 else 0.2,
        "max_leaf_nodes": 15,
        "min_samples_leaf": leaf(n),
        "early_stopping": False,
        "random_state": seed,
    }
