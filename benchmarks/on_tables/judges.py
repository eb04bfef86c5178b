r"""How good are synthetic rows and filled holes? Judges that share nothing with the package that is judged.

Synthetic rows S are compared with held-out rows H, of equal number m. A distance d(S, H) is given as a
multiple of its **floor**, the mean of d(R, R') over disjoint samples R, R' of m real rows: 1 is what real
rows have. A model that knows its training rows and nothing else has a little more, since these are a sample
as well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from on_tables.relations import Relation
from on_tables.view import View

__all__ = ["VERSION", "Rows", "holes_in", "imputation", "judge"]

VERSION = 3  # of what the marks mean; results of other versions are measured again

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
Marks = dict[str, float]

_SPLITS = 8
_PAIRS = 400  # of columns, at most
_NEIGHBOURS = 1_000
_FOLDS = 3
_RARE, _FEW = 0.01, 0.05
_HEAP = 0.01


class Rows:
    """The rows of one comparison.

    Parameters
    ----------
    train, held_out, synthetic : DataFrame
    seed : int

    Attributes
    ----------
    m : int
        Number of rows compared.
    h, s : arrays (m, d)
        Held-out and synthetic rows, as judges see them.
    splits : list of pairs of arrays (m', d)
        Disjoint samples of real rows, with m' = m or as near as there are rows.
    """

    def __init__(
        self, train: pd.DataFrame, held_out: pd.DataFrame, synthetic: pd.DataFrame, seed: int
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.view = View(train)
        self.train, self.frames = train, (held_out, synthetic)
        h, s = self.view.encode(held_out), self.view.encode(synthetic)
        self.m = min(len(h), len(s))
        self.h, self.s = self._some(h, self.m), self._some(s, self.m)
        real, size = np.vstack([self.view.x, h]), min(self.m, (len(train) + len(h)) // 2)
        self.splits = []
        for _ in range(_SPLITS):
            order = self.random.permutation(len(real))
            self.splits.append((real[order[:size]], real[order[size : 2 * size]]))

    def _some(self, x: Floats, n: int) -> Floats:
        return x[self.random.permutation(len(x))[:n]]

    def over_floor(self, distances: Callable[[Floats, Floats], Floats], each: bool = True) -> float:
        """Return distances of columns or pairs as multiples of their floors.

        ``each`` has its own floor, and the mean of the multiples is returned; otherwise the sum of distances
        over the sum of floors, for what is mostly zero. A floor is not taken below that of half a row.
        """
        found = distances(self.s, self.h)
        if not len(found):
            return float("nan")
        floor = np.mean([distances(*split) for split in self.splits], axis=0)
        if not each:
            return float(found.sum() / max(floor.sum(), 0.5 / self.m))
        return float(np.mean(found / np.maximum(floor, 0.5 / self.m)))


def judge(
    train: pd.DataFrame,
    held_out: pd.DataFrame,
    synthetic: pd.DataFrame,
    target: str,
    kind: str,
    relations: tuple[Relation, ...],
    seed: int,
) -> Marks:
    """Return all marks of synthetic rows; what a table does not have (holes, heaps) is not among them."""
    rows = Rows(train, held_out, synthetic[list(train)], seed)
    marks = {
        "told_apart": told_apart(rows),
        "columns": rows.over_floor(lambda a, b: columns(rows.view, a, b)),
        "pairs": pairs(rows),
        **missing(rows),
        **utility(rows, target, kind),
        "nearer_to_training": nearer_to_training(rows),
        **copies(rows),
        "relations": kept(rows, relations),
        **rare(rows),
        **heaps(rows),
    }
    return {name: float(value) for name, value in marks.items() if np.isfinite(value)}


# --- likeness --------------------------------------------------------------------------------------------


def told_apart(rows: Rows) -> float:
    """Return the ROC area with which boosted trees tell synthetic rows from held-out ones: 0.5 is chance."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold

    x = rows.view.features(np.vstack([rows.h, rows.s]))
    y = np.repeat([0, 1], rows.m)
    guess = np.empty(len(y))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    for fit, test in folds.split(x, y):
        trees = HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=0)
        guess[test] = trees.fit(x[fit], y[fit]).predict_proba(x[test])[:, 1]
    return float(roc_auc_score(y, guess))


def columns(view: View, a: Floats, b: Floats) -> Floats:
    """Return a distance of every column (d,), of the values that are there.

    Categories: total variation. Numbers: the mean difference of distribution functions over the grid of
    quantiles of the training rows.
    """
    bins_a, bins_b = view.bins(a, coarse=False), view.bins(b, coarse=False)
    made = np.zeros(a.shape[1])
    for j, kind in enumerate(view.kinds):
        one, other = bins_a[~np.isnan(a[:, j]), j], bins_b[~np.isnan(b[:, j]), j]
        count = 1 + max(one.max(initial=0), other.max(initial=0))
        p = np.bincount(one, minlength=count) / max(len(one), 1)
        q = np.bincount(other, minlength=count) / max(len(other), 1)
        made[j] = np.abs(p - q).sum() / 2 if kind == "category" else np.abs(np.cumsum(p - q))[:-1].sum()
        if kind != "category":
            made[j] /= max(count - 1, 1)
    return made


def pairs(rows: Rows) -> float:
    """Return the total variation of pairs of columns in coarse bins, over its floor."""
    chosen = _some_pairs(rows, combinations(range(len(rows.view.names)), 2))

    def distances(a: Floats, b: Floats) -> Floats:
        p, q = rows.view.bins(a), rows.view.bins(b)
        return np.array([_variation(p[:, i], p[:, j], q[:, i], q[:, j]) for i, j in chosen])

    return rows.over_floor(distances)


def _some_pairs(rows: Rows, every: Iterator[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return all pairs, or a random choice where they are many."""
    listed = list(every)
    if len(listed) <= _PAIRS:
        return listed
    return [listed[i] for i in np.random.default_rng(0).choice(len(listed), _PAIRS, replace=False)]


def _variation(a1: Ints, a2: Ints, b1: Ints, b2: Ints) -> float:
    """Return the total variation between two joint distributions of two columns of bins."""
    width = 1 + max(a2.max(initial=0), b2.max(initial=0))
    one, other = a1 * width + a2, b1 * width + b2
    count = 1 + max(one.max(initial=0), other.max(initial=0))
    p = np.bincount(one, minlength=count) / len(one)
    q = np.bincount(other, minlength=count) / len(other)
    return float(np.abs(p - q).sum() / 2)


# --- what is missing -------------------------------------------------------------------------------------


def missing(rows: Rows) -> Marks:
    """Return how far the pattern of missing values is from the real one, over floors.

    Rates of columns; which columns are missing together; and how being missing goes with the other columns.
    """
    holes = np.isnan(rows.view.x)
    incomplete = np.flatnonzero(holes.any(axis=0))
    every = range(len(rows.view.names))
    together = _some_pairs(rows, combinations(incomplete.tolist(), 2))
    beside = _some_pairs(rows, ((i, j) for i in incomplete.tolist() for j in every if i != j))

    def rates(a: Floats, b: Floats) -> Floats:
        return np.abs(np.isnan(a).mean(0) - np.isnan(b).mean(0))[incomplete]

    def jointly(a: Floats, b: Floats) -> Floats:
        p, q = np.isnan(a).astype(np.intp), np.isnan(b).astype(np.intp)
        return np.array([_variation(p[:, i], p[:, j], q[:, i], q[:, j]) for i, j in together])

    def related(a: Floats, b: Floats) -> Floats:
        p, q = np.isnan(a).astype(np.intp), np.isnan(b).astype(np.intp)
        u, v = rows.view.bins(a), rows.view.bins(b)
        return np.array([_variation(p[:, i], u[:, j], q[:, i], v[:, j]) for i, j in beside])

    return {
        "missing_rates": rows.over_floor(rates, each=False),
        "missing_together": rows.over_floor(jointly, each=False),
        "missing_related": rows.over_floor(related, each=False),
    }


# --- use -------------------------------------------------------------------------------------------------


def utility(rows: Rows, target: str, kind: str) -> Marks:
    """Return the skill of trees trained on synthetic rows over that of trees trained on real ones.

    Both predict the target of held-out rows. Skill is 2 AUC - 1 (classes, the mean of each against the others
    by its share), or R² of the target's ranks among the training rows, which no tail decides. Both skills are
    returned as well; a real one below 0.1 is no measure.
    """
    j = rows.view.names.index(target)
    n = min(len(rows.view.x), len(rows.frames[1]))
    synthetic = rows.view.encode(rows.frames[1])[:n]
    real = rows._some(rows.view.x, n)
    test = rows.view.encode(rows.frames[0])
    own = _skill(rows, synthetic, test, j, kind)
    best = _skill(rows, real, test, j, kind)
    made = {"skill_synthetic": own, "skill_real": best}
    if best > 0.1:
        made["utility"] = max(own, -best) / best
    return made


def _skill(rows: Rows, fit: Floats, test: Floats, j: int, kind: str) -> float:
    """Return the skill of trees at predicting column j of ``test``."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.metrics import roc_auc_score

    fit, test = fit[~np.isnan(fit[:, j])], test[~np.isnan(test[:, j])]
    if kind == "class":
        classes = np.unique(rows.view.x[~np.isnan(rows.view.x[:, j]), j])
        y, asked = (classes[np.abs(x[:, [j]] - classes).argmin(axis=1)] for x in (fit, test))
    else:
        y, asked = rows.view.ranks(fit)[:, j], rows.view.ranks(test)[:, j]
    x, z = _others(rows, fit, j), _others(rows, test, j)
    if len(y) < 20 or len(np.unique(y)) < 2:
        return 0.0
    settings = {"max_iter": 100, "early_stopping": False, "random_state": 0}
    if kind == "number":
        guess = HistGradientBoostingRegressor(**settings).fit(x, y).predict(z)
        return float(1 - np.mean((guess - asked) ** 2) / np.var(asked))
    trees = HistGradientBoostingClassifier(**settings).fit(x, y)
    chances = trees.predict_proba(z)
    total, weight = 0.0, 0
    for value in np.unique(asked):
        place = np.flatnonzero(trees.classes_ == value)
        own = chances[:, place[0]] if len(place) else np.zeros(len(z))
        is_value = asked == value
        if 0 < is_value.sum() < len(asked):
            total += float(roc_auc_score(is_value, own)) * is_value.sum()
            weight += int(is_value.sum())
    return 2 * total / weight - 1 if weight else 0.0


def _others(rows: Rows, x: Floats, j: int) -> Floats:
    """Return what trees see of all columns but j."""
    x = x.copy()
    x[:, j] = 0.0
    return rows.view.features(x)


# --- privacy ---------------------------------------------------------------------------------------------


def nearer_to_training(rows: Rows) -> float:
    """Return the share of synthetic rows whose nearest real row is a training row, of as many held-out ones.

    0.5 is ideal, 1 a copy machine. The distance is the sum over columns of differences of ranks, and of 1 for
    another category or where only one of the two is missing.
    """
    view = rows.view
    m = min(len(view.x), len(rows.h), 2_000)
    asked = rows.s[:_NEIGHBOURS]
    near = _nearest(view, asked, rows._some(view.x, m))
    far = _nearest(view, asked, rows.h[:m])
    return float(np.mean((near < far - 1e-9) + 0.5 * (np.abs(near - far) <= 1e-9)))


def _nearest(view: View, asked: Floats, real: Floats) -> Floats:
    """Return the distance of each row to the nearest real one, shape (n,)."""
    is_category = np.array([kind == "category" for kind in view.kinds])
    a, b = view.ranks(asked), view.ranks(real)
    made = np.empty(len(a))
    for start in range(0, len(a), 20):
        part = slice(start, start + 20)
        total = np.zeros((len(a[part]), len(b)))
        for j in range(a.shape[1]):
            one, other = a[part, j][:, None], b[:, j][None]
            gone, lost = np.isnan(one), np.isnan(other)
            apart = (one != other).astype(float) if is_category[j] else np.abs(one - other)
            total += np.where(gone | lost, gone != lost, apart)
        made[part] = total.min(axis=1)
    return made


def copies(rows: Rows) -> Marks:
    """Return the share of synthetic rows that equal a training row, and that of held-out rows, by chance."""
    train = _keys(rows.view.x)
    known = set(train)
    own = float(np.mean([key in known for key in _keys(rows.s)]))
    chance = float(np.mean([key in known for key in _keys(rows.h)]))
    return {"copies": own, "copies_chance": chance, "copies_excess": own - chance}


def _keys(x: Floats) -> list[bytes]:
    """Return rows as bytes, to 6 significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        size = 10.0 ** (5 - np.floor(np.log10(np.abs(x))))
        rounded = np.where(np.isfinite(size), np.rint(x * size) / size, x)
    rounded = np.where(rounded == 0, 0.0, np.where(np.isnan(x), np.nan, rounded))
    return [row.tobytes() for row in np.ascontiguousarray(rounded)]


# --- what is exact, rare, or heaped ----------------------------------------------------------------------


def kept(rows: Rows, relations: tuple[Relation, ...]) -> float:
    """Return the share of rows that keep a relation over that of held-out rows, the mean over relations."""
    shares = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a mean of nothing
        for relation in relations:
            real, own = (float(np.nanmean(relation.kept(frame, rows.train))) for frame in rows.frames)
            if real > 0 and np.isfinite(own):
                shares.append(min(own / real, 1.0))
    return float(np.mean(shares)) if shares else float("nan")


def rare(rows: Rows) -> Marks:
    """Return how often rare values come, over how often they come in held-out rows.

    Values of categories and of numbers with few values, in strata by their share of the training rows: below
    1%, and from 1% to 5%. The third mark is the sum of differences of all their rates, over its floor.
    """
    listed = np.flatnonzero(rows.view.listed)
    strata: dict[str, list[tuple[int, float]]] = {"rare_1": [], "rare_5": []}
    for j in listed:
        own = rows.view.x[:, j]
        values, counts = np.unique(own[~np.isnan(own)], return_counts=True)
        for value, share in zip(values, counts / len(own), strict=True):
            if share < _FEW:
                strata["rare_1" if share < _RARE else "rare_5"].append((j, value))

    def rates(x: Floats, those: list[tuple[int, float]]) -> Floats:
        return np.array([np.mean(x[:, j] == value) for j, value in those])

    marks = {}
    for name, those in strata.items():
        if those:
            ours, real = (rates(x, those).sum() * rows.m for x in (rows.s, rows.h))
            marks[name] = float((ours + 0.5) / (real + 0.5))
    every = strata["rare_1"] + strata["rare_5"]
    if every:
        marks["rare_rates"] = rows.over_floor(
            lambda a, b: np.array([np.abs(rates(a, every) - rates(b, every)).sum()])
        )
    return marks


def heaps(rows: Rows) -> Marks:
    """Return what becomes of values on which numbers heap: at least 1% of the training rows have each.

    ``heaps``: share of values on heaps over that of held-out rows, of all columns. ``heap_rates``: the sum
    of differences of the rates of all heaps of a column, over its floor. ``on_grid``: share of values that
    some training row has, over the same share of held-out rows; columns of few values are left out.
    """
    view = rows.view
    numbers = [j for j, kind in enumerate(view.kinds) if kind == "number" and not view.listed[j]]
    heaped: dict[int, Floats] = {}
    for j in numbers:
        own = view.x[~np.isnan(view.x[:, j]), j]
        values, counts = np.unique(own, return_counts=True)
        found = values[counts >= _HEAP * len(own)]
        if len(found):
            heaped[j] = found

    def rates(x: Floats, j: int, values: Floats) -> Floats:
        own = x[~np.isnan(x[:, j]), j]
        return np.array([np.mean(own == value) for value in values]) if len(own) else np.zeros(len(values))

    def distances(a: Floats, b: Floats) -> Floats:
        found = [np.abs(rates(a, j, v) - rates(b, j, v)).sum() for j, v in heaped.items()]
        return np.array(found)

    marks: Marks = {}
    if heaped:
        shares = [[rates(x, j, v).sum() for j, v in heaped.items()] for x in (rows.s, rows.h)]
        ours, real = np.array(shares)
        marks["heaps"] = float(ours.sum() / real.sum()) if real.sum() > 0 else float("nan")
        marks["heap_rates"] = rows.over_floor(distances)
    on_grid = []
    for j in numbers:
        grid = view.x[:, j]
        ours, real = (np.isin(x[~np.isnan(x[:, j]), j], grid) for x in (rows.s, rows.h))
        if len(ours) and len(real) and real.mean() > 0.1:
            on_grid.append(ours.mean() / real.mean())
    if on_grid:
        marks["on_grid"] = float(np.mean(on_grid))
    return marks


# --- holes -----------------------------------------------------------------------------------------------


def holes_in(rows: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Return the rows with values removed at random, in types that can say so; no row loses all it has."""
    random = np.random.default_rng([seed, round(100 * share)])
    there = rows.notna().to_numpy()
    holes = (random.random(rows.shape) < share) & there
    lost = ~(there & ~holes).any(axis=1)
    holes[lost] = False
    made = {}
    for j, name in enumerate(rows):
        column = rows[name]
        if pd.api.types.is_integer_dtype(column):
            column = column.astype(float)
        made[name] = column.mask(holes[:, j])
    return pd.DataFrame(made)


def imputation(
    train: pd.DataFrame, truth: pd.DataFrame, asked: pd.DataFrame, filled: pd.DataFrame
) -> tuple[float, float, float]:
    """Return the errors of filled holes: of numbers, of their ranks, of categories, the means over columns.

    Numbers and times: root mean square error over the standard deviation of the column; and the same of their
    ranks among the training rows, which no tail decides, for columns of more than 20 values. Categories: the
    share that is wrong. A value that is still missing counts as the mean, or as wrong. Only holes that were
    made are looked at. NaN where a table has none of a kind.
    """
    view = View(train)
    gaps = (truth.notna() & asked.isna()).to_numpy()
    x, y = view.encode(filled), view.encode(truth)
    empty = np.isnan(view.x).all(axis=0)
    means = np.nanmean(np.where(empty, 0.0, view.x), axis=0)
    numbers = np.array([kind != "category" for kind in view.kinds])
    x = np.where(np.isnan(x) & numbers, means, x)
    scales = [np.nanstd(np.where(empty, 0.0, z), axis=0) for z in (view.x, view.ranks(view.x))]
    off: list[list[float]] = [[], []]
    wrong = []
    ranked = view.ranks(x), view.ranks(y)
    for j in np.flatnonzero(gaps.any(axis=0)):
        here = gaps[:, j]
        if not numbers[j]:
            wrong.append(float(np.mean(x[here, j] != y[here, j])))
            continue
        for errors, (a, b), scale in zip(off, ((x, y), ranked), scales, strict=True):
            if scale[j] > 0 and (errors is off[0] or not view.listed[j]):
                errors.append(float(np.sqrt(np.mean((a[here, j] - b[here, j]) ** 2)) / scale[j]))
    found = tuple(float(np.mean(errors)) if errors else float("nan") for errors in (*off, wrong))
    return found[0], found[1], found[2]
