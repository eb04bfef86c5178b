r"""Synthetic rows by a tree for every column: classification and regression trees in sequence.

The joint distribution is a product of conditional ones in the order of the columns,

.. math::  p(x_1, \dots, x_d) = \prod_j p(x_j \mid x_1, \dots, x_{j-1}),

and each is estimated by a tree that is grown until a leaf would have fewer than 5 rows. A value is drawn by
walking down the tree with the values drawn so far, and taking that of a random training row in the leaf, its
donor. So every value is one of the training rows', heaps and rounding included (Reiter 2005; Nowok, Raab &
Dibben 2016).

An incomplete column of numbers is two steps: a tree decides whether the value is missing, another draws it
where it is not. A missing category is one more category. Categories that a tree looks at are ordered by
what they say of the column that is predicted: by its mean, and for several classes by the first principal
component of the classes' shares in each category (Coppersmith, Hong & Hosking 1999). Missing numbers go
down the side that separates better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from on_tables.contestants.base import Contestant

__all__ = ["SequentialTrees", "Trees"]

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


@dataclass
class _Column:
    """A column as numbers: values, or codes of categories, where -1 is one more category: missing."""

    is_category: bool
    x: Floats

    @property
    def size(self) -> int:
        """Number of categories, missing included."""
        return int(self.x.max()) + 2

    @staticmethod
    def of(values: pd.Series) -> _Column:
        if pd.api.types.is_datetime64_any_dtype(values):
            seconds = values.astype("datetime64[us]").to_numpy().astype("int64") / 1e6
            return _Column(False, np.where(values.isna(), np.nan, seconds))
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            return _Column(False, values.to_numpy(dtype=float, na_value=np.nan))
        return _Column(True, pd.factorize(values)[0].astype(float))


class _Step:
    """One conditional distribution: of a column's values, or of whether they are missing.

    Parameters
    ----------
    before : list of _Column
        The columns that came before, of the training rows.
    y : array (n,)
        What is predicted: numbers, or codes of classes.
    is_class : bool
    rows : array of int (m,)
        The training rows to learn from.
    """

    def __init__(
        self, before: list[_Column], y: Floats, is_class: bool, rows: Ints, min_leaf: int, seed: int
    ) -> None:
        self.orders = [
            _order(column.x[rows], y[rows], is_class, column.size) if column.is_category else None
            for column in before
        ]
        self.tree: Any = None
        leaves = np.zeros(len(rows), dtype=np.intp)
        if before and len(rows) >= 2 * min_leaf and len(np.unique(y[rows])) > 1:
            kind = DecisionTreeClassifier if is_class else DecisionTreeRegressor
            self.tree = kind(min_samples_leaf=min_leaf, random_state=seed)
            x = self._seen([column.x[rows] for column in before])
            leaves = self.tree.fit(x, y[rows]).apply(x)
        order = np.argsort(leaves, kind="stable")
        self.donors = rows[order]
        self.counts = np.bincount(leaves)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    def _seen(self, columns: list[Floats]) -> NDArray[np.float32]:
        """Return what a tree looks at: numbers, and ranks of categories."""
        made = [
            x if order is None else order[x.astype(np.intp) + 1]
            for x, order in zip(columns, self.orders, strict=True)
        ]
        return np.stack(made, axis=1).astype(np.float32)

    def draw(self, columns: list[Floats], n: int, random: np.random.Generator) -> Ints:
        """Return a training row (n,) for each of n rows, given their columns so far."""
        leaves = np.zeros(n, dtype=np.intp)
        if self.tree is not None:
            leaves = self.tree.apply(self._seen(columns))
        counts = self.counts[leaves]
        return self.donors[
            self.starts[leaves] + np.minimum((random.random(n) * counts).astype(int), counts - 1)
        ]


def _order(codes: Floats, y: Floats, is_class: bool, size: int) -> Floats:
    """Return the rank (size,) of every category, missing first, by what it says of y."""
    places = codes.astype(np.intp) + 1
    counts = np.bincount(places, minlength=size)
    if is_class:
        classes, own = np.unique(y, return_inverse=True)
        shares = np.zeros((size, len(classes)))
        np.add.at(shares, (places, own), 1.0)
        shares /= np.maximum(counts, 1)[:, None]
        centred = (shares - np.average(shares, axis=0, weights=counts)) * np.sqrt(counts)[:, None]
        axis = np.linalg.svd(centred, full_matrices=False)[2][0]
        scores = shares @ axis
    else:
        scores = np.bincount(places, y, minlength=size) / np.maximum(counts, 1)
    scores[counts == 0] = np.median(scores[counts > 0])
    return np.argsort(np.argsort(scores, kind="stable"), kind="stable").astype(float)


class SequentialTrees:
    """A tree for every column, on the columns before it.

    Parameters
    ----------
    min_leaf : int
        Fewest training rows in a leaf.
    random_state : int
    """

    def __init__(self, min_leaf: int = 5, random_state: int = 0) -> None:
        self.min_leaf, self.random_state = min_leaf, random_state

    def fit(self, table: pd.DataFrame) -> SequentialTrees:
        """Grow the trees; missing values are allowed everywhere."""
        self.table_ = table.reset_index(drop=True)
        self.columns_ = [_Column.of(self.table_[name]) for name in self.table_]
        self.steps_: list[tuple[_Step | None, _Step]] = []
        every = np.arange(len(table))
        for j, column in enumerate(self.columns_):
            before = self.columns_[:j]
            gone = np.isnan(column.x)
            absent = None
            if gone.any():
                absent = _Step(before, gone.astype(float), True, every, self.min_leaf, self.random_state)
            there = every if gone.all() else np.flatnonzero(~gone)
            values = _Step(
                before, np.nan_to_num(column.x), column.is_category, there, self.min_leaf, self.random_state
            )
            self.steps_.append((absent, values))
        return self

    def sample(self, n: int, random_state: int = 0) -> pd.DataFrame:
        """Draw n rows, column by column, with the types of the training rows."""
        random = np.random.default_rng(random_state)
        drawn: list[Floats] = []
        made = {}
        for (absent, values), column, name in zip(self.steps_, self.columns_, self.table_, strict=True):
            donors = values.draw(drawn, n, random)
            if absent is not None:
                candidates = absent.draw(drawn, n, random)
                donors = np.where(np.isnan(column.x[candidates]), candidates, donors)
            drawn.append(column.x[donors])
            made[name] = self.table_[name].iloc[donors].reset_index(drop=True)
        return pd.DataFrame(made)


class Trees(Contestant):
    """SequentialTrees, in the columns' own order."""

    def fit(self, table: pd.DataFrame, seed: int, seconds: float) -> None:
        self.seed = seed
        self.model = SequentialTrees(random_state=seed).fit(table)

    def sample(self, n: int) -> pd.DataFrame:
        return self.model.sample(n, self.seed)
