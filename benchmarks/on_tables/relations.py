"""Which relations between columns hold exactly in a table? Each says row by row whether it is kept.

A relation is asked of rows and of the training rows, which some need: what determines what is read from them.
Where a relation does not apply to a row (a value is missing) the answer is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["Relation", "at_most", "determines", "different", "linear", "missing_where", "moment"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Relation:
    """One relation.

    Attributes
    ----------
    words : str
        What holds.
    kept : callable
        ``kept(rows, train) -> (n,)``: 1 where it holds, 0 where it does not, NaN where it does not apply.
    """

    words: str
    kept: Callable[[pd.DataFrame, pd.DataFrame], Floats]


def _numbers(rows: pd.DataFrame, name: str) -> Floats:
    return rows[name].to_numpy(dtype=float, na_value=np.nan)


def linear(total: str, parts: dict[str, float], tolerance: float = 0.011) -> Relation:
    """``total`` is the sum of ``parts``, each times its factor, within ``tolerance``."""

    def kept(rows: pd.DataFrame, train: pd.DataFrame) -> Floats:
        rest = sum(factor * _numbers(rows, name) for name, factor in parts.items()) - _numbers(rows, total)
        return np.where(np.isnan(rest), np.nan, np.abs(rest) <= tolerance)

    words = " + ".join(f"{name}" if factor == 1 else f"{factor:g} {name}" for name, factor in parts.items())
    return Relation(f"{total} = {words}", kept)


def at_most(small: str, large: str) -> Relation:
    """``small`` is not above ``large``."""

    def kept(rows: pd.DataFrame, train: pd.DataFrame) -> Floats:
        rest = _numbers(rows, large) - _numbers(rows, small)
        return np.where(np.isnan(rest), np.nan, rest >= 0)

    return Relation(f"{small} ≤ {large}", kept)


def different(one: str, other: str) -> Relation:
    """Two columns of categories never agree."""

    def kept(rows: pd.DataFrame, train: pd.DataFrame) -> Floats:
        return (rows[one].astype(str) != rows[other].astype(str)).to_numpy(dtype=float)

    return Relation(f"{one} ≠ {other}", kept)


def missing_where(name: str, words: str, where: Callable[[pd.DataFrame], pd.Series]) -> Relation:
    """``name`` is missing where a condition holds, and nowhere else."""

    def kept(rows: pd.DataFrame, train: pd.DataFrame) -> Floats:
        condition = where(rows).to_numpy(dtype=bool, na_value=False)
        return (rows[name].isna().to_numpy() == condition).astype(float)

    return Relation(f"{name} is missing exactly where {words}", kept)


def determines(keys: list[str], name: str) -> Relation:
    """Columns determine another one: the combination is one of the training rows."""

    def kept(rows: pd.DataFrame, train: pd.DataFrame) -> Floats:
        columns = [*keys, name]
        whole = rows[columns].notna().all(axis=1).to_numpy()
        seen = set(_tuples(train[columns].dropna()))
        found = np.array([one in seen for one in _tuples(rows.loc[whole, columns])], dtype=float)
        answer = np.full(len(rows), np.nan)
        answer[whole] = found
        return answer

    return Relation(f"{', '.join(keys)} → {name}", kept)


def moment(time: str, name: str, part: str) -> Relation:
    """A column repeats a part of a time, such as its month."""

    def kept(rows: pd.DataFrame, train: pd.DataFrame) -> Floats:
        own = getattr(rows[time].dt, part).to_numpy(dtype=float, na_value=np.nan)
        rest = own - _numbers(rows, name)
        return np.where(np.isnan(rest), np.nan, rest == 0)

    return Relation(f"{name} is the {part} of {time}", kept)


def _tuples(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the rows as text; whole numbers look the same in any type."""
    made = []
    for name in rows:
        column = rows[name]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            made.append([f"{value:.6g}" for value in column.to_numpy(dtype=float)])
        else:
            made.append(column.astype(str).tolist())
    return list(zip(*made, strict=True))
