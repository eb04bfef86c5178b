"""What is a method to ``tables.py``? It is fitted to a frame, draws rows, has a density, imputes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from on_tables.laws import Codes, Floats, Rows

__all__ = ["Contestant", "Design", "average", "is_number"]

_DRAWS = 19


class Contestant:
    """One method. What it cannot do returns None."""

    def fit(self, train: pd.DataFrame, seed: int) -> None:
        """Learn the law of rows without missing values."""
        raise NotImplementedError

    def sample(self, n: int, seed: int) -> pd.DataFrame | None:
        """Draw rows."""
        return None

    def log_density(self, frame: pd.DataFrame) -> Floats | None:
        """Return nats, shape (n,): per unit of numbers, probabilities of integers and categories."""
        return None

    def draws(self, frame: pd.DataFrame, n: int, seed: int) -> list[pd.DataFrame] | None:
        """Fill missing values n times by draws from the law given the rest of the row."""
        return None

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame | None:
        """Fill missing values once by what is nearest in the mean."""
        draws = self.draws(frame, _DRAWS, 0)
        return None if draws is None else average(draws)

    def settings(self) -> str:
        """Say what was chosen."""
        return ""


def average(draws: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return the means of numbers, and the most frequent of categories and truth values."""
    made = draws[0].copy()
    for name in made:
        values = [draw[name] for draw in draws]
        if is_number(made[name]):
            made[name] = np.mean([value.to_numpy(dtype=float) for value in values], axis=0)
        else:
            made[name] = pd.concat(values, axis=1).mode(axis=1)[0].astype(made[name].dtype)
    return made


def is_number(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


class Design:
    """A frame as numbers (n, p) over their standard deviations, and codes of categories (n, q)."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.names = list(frame)
        self.dtypes = frame.dtypes
        self.numbers = [name for name in frame if is_number(frame[name])]
        self.integers = [name for name in self.numbers if pd.api.types.is_integer_dtype(frame[name])]
        self.others = [name for name in frame if name not in self.numbers]
        self.kinds = {
            name: list(frame[name].cat.categories)
            if isinstance(frame[name].dtype, pd.CategoricalDtype)
            else [False, True]
            for name in self.others
        }
        x = frame[self.numbers].to_numpy(dtype=float)
        self.shift, self.scale = x.mean(0), x.std(0)
        self.low, self.high = x.min(0), x.max(0)

    @property
    def sizes(self) -> list[int]:
        return [len(kinds) for kinds in self.kinds.values()]

    def encode(self, frame: pd.DataFrame, random: np.random.Generator | None = None) -> Rows:
        """Return numbers, integers spread by ``random`` if given, and codes."""
        x = frame[self.numbers].to_numpy(dtype=float, na_value=np.nan).copy()
        if random is not None:
            within = random.random((len(x), len(self.integers))) - 0.5
            x[:, [self.numbers.index(name) for name in self.integers]] += within
        columns = [pd.Categorical(frame[name], categories=self.kinds[name]).codes for name in self.others]
        codes = np.stack(columns, axis=1) if columns else np.empty((len(x), 0))
        return (x - self.shift) / self.scale, codes.astype(np.intp)

    def decode(self, x: Floats, c: Codes) -> pd.DataFrame:
        """Return the rows, integers rounded and within what was seen."""
        x = x * self.scale + self.shift
        made: dict[str, Any] = {}
        for j, name in enumerate(self.numbers):
            made[name] = x[:, j]
            if name in self.integers:
                made[name] = np.clip(np.rint(x[:, j]), self.low[j], self.high[j]).astype(self.dtypes[name])
        for j, name in enumerate(self.others):
            values = pd.Categorical.from_codes(c[:, j], self.kinds[name])
            made[name] = values if self.kinds[name] != [False, True] else np.asarray(values, dtype=bool)
        return pd.DataFrame(made)[self.names]

    def blank(self, n: int) -> Rows:
        """Return n rows of which nothing is known."""
        return np.full((n, len(self.numbers)), np.nan), np.full((n, len(self.others)), -1)

    def hot(self, frame: pd.DataFrame) -> Floats:
        """Return numbers and indicators of all categories but the last side by side, NaN where missing.

        With all of them a regression would find that each is 1 less the others, and learn no more.
        """
        x, c = self.encode(frame)
        parts = [x]
        for j, k in enumerate(self.sizes):
            parts.append(np.where(c[:, j, None] >= 0, np.eye(k)[c[:, j], :-1], np.nan))
        return np.hstack(parts)

    def cool(self, hot: Floats) -> pd.DataFrame:
        """Return the rows that numbers and indicators mean: the categories with the largest."""
        p = len(self.numbers)
        ends = np.cumsum([p, *(k - 1 for k in self.sizes)])
        parts = [hot[:, a:b] for a, b in itertools.pairwise(ends)]
        codes = [np.column_stack([part, 1 - part.sum(1)]).argmax(1) for part in parts]
        return self.decode(hot[:, :p], np.stack(codes, 1) if codes else np.empty((len(hot), 0), dtype=int))
