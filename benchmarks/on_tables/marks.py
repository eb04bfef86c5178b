"""By what are methods compared in ``tables.py``? One row of marks for a method, a table and a seed."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffuscope.metrics.tabular import measure_table
from on_tables.contestant import Contestant, average, is_number
from on_tables.data import Table

__all__ = ["MARKS", "Mark", "Plan", "marks_of"]

_SHARES = (10, 30, 50)
_DRAWS = 19
_COVERED = 30


@dataclass(frozen=True)
class Mark:
    """What a number means.

    Attributes
    ----------
    title : str
    better : "high", "low" or float
        Or the value that is best.
    digits : int
        After the point.
    enough : float
        Where less is better, the value below which nothing is won.
    """

    title: str
    better: str | float
    digits: int = 3
    enough: float = -np.inf

    def loss(self, value: float) -> float:
        """Return what is less the better the value."""
        if isinstance(self.better, str):
            return -value if self.better == "high" else max(value, self.enough)
        return abs(value - self.better)


MARKS = {
    "log_likelihood": Mark("log-likelihood, nats a row", "high", 2),
    "marginals": Mark("columns, × floor", "low", 2, 1.0),
    "associations": Mark("pairs of columns, × floor", "low", 2, 1.0),
    "two_sample": Mark("told apart by trees, ROC area", "low", enough=0.5),
    "utility": Mark("trained on it, × trained on real", "high", 2),
    "privacy": Mark("nearer to training rows (0.5)", 0.5),
    **{f"one_{share}": Mark(f"{share}% missing, a draw: error, σ", "low") for share in _SHARES},
    **{f"answer_{share}": Mark(f"{share}% missing, best answer: error, σ", "low") for share in _SHARES},
    **{f"wrong_{share}": Mark(f"{share}% missing, categories wrong", "low") for share in _SHARES},
    "covered": Mark("30% missing, within 90% intervals", 0.9),
    "fit_seconds": Mark("fit, s", "low", 1),
}
"""In the order of the tables."""


@dataclass(frozen=True)
class Plan:
    """How many rows are measured.

    Attributes
    ----------
    scored, filled : int
        Held-out rows, at most, for the likelihood and for missing values.
    drawn : int
        Synthetic rows, at most; as many as there are for training where these are fewer.
    """

    scored: int = 300
    filled: int = 200
    drawn: int = 4_000


def marks_of(
    one: Contestant, table: Table, train: pd.DataFrame, held_out: pd.DataFrame, seed: int, plan: Plan
) -> dict[str, float]:
    """Fit a method and return its marks; those that it cannot have are not there."""
    begun = time.perf_counter()
    one.fit(train, seed)
    marks = {"fit_seconds": time.perf_counter() - begun}
    log_p = one.log_density(held_out[: plan.scored])
    if log_p is not None:
        marks["log_likelihood"] = float(log_p.mean())
    synthetic = one.sample(min(len(train), plan.drawn), seed)
    if synthetic is not None:
        marks |= _likeness(train, held_out, synthetic, table.target, seed)
    for share in _SHARES:
        marks |= _holes(one, train, held_out[: plan.filled], share, seed)
    return marks


def _holes(
    one: Contestant, train: pd.DataFrame, rows: pd.DataFrame, share: int, seed: int
) -> dict[str, float]:
    """Remove values of held-out rows at random, have them filled, and compare."""
    random = np.random.default_rng([seed, share])
    holes = random.random(rows.shape) < share / 100
    holes[np.arange(len(rows)), random.integers(rows.shape[1], size=len(rows))] &= ~holes.all(axis=1)
    asked = _with_holes(rows, holes)
    averages = type(one).answer is Contestant.answer
    draws = one.draws(asked, _DRAWS if averages or share == _COVERED else 1, seed)
    answer = average(draws) if averages and draws else one.answer(asked)
    marks: dict[str, float] = {}
    for name, filled in (("one", draws and draws[0]), ("answer", answer)):
        if filled is not None:
            off, wrong = _errors(filled, rows, holes, train)
            marks |= {} if off is None else {f"{name}_{share}": off}
            marks |= {} if wrong is None or name == "one" else {f"wrong_{share}": wrong}
    numbers = [j for j, column in enumerate(rows) if pd.api.types.is_float_dtype(rows[column])]
    if draws is not None and share == _COVERED and numbers:
        drawn = np.stack([draw.iloc[:, numbers].to_numpy(dtype=float) for draw in draws])
        truth = rows.iloc[:, numbers].to_numpy(dtype=float)
        # Of 20 exchangeable numbers, one lies between the least and the largest of the 19 others in 18 of 20.
        within = (drawn.min(0) <= truth) & (truth <= drawn.max(0))
        marks["covered"] = float(within[holes[:, numbers]].mean())
    return marks


def _with_holes(rows: pd.DataFrame, holes: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the rows with missing values, in types that can say so."""
    made = {}
    for j, name in enumerate(rows):
        column = rows[name]
        if pd.api.types.is_bool_dtype(column):
            column = column.astype("boolean")
        elif pd.api.types.is_integer_dtype(column):
            column = column.astype("Int64")
        made[name] = column.mask(holes[:, j])
    return pd.DataFrame(made)


def _errors(
    filled: pd.DataFrame, truth: pd.DataFrame, holes: NDArray[np.bool_], train: pd.DataFrame
) -> tuple[float | None, float | None]:
    """Return the root mean square of errors of numbers in deviations, and the share of wrong categories."""
    squares, wrong = [], []
    for j, name in enumerate(truth):
        gaps = holes[:, j]
        ours, own = filled[name][gaps], truth[name][gaps]
        if is_number(truth[name]):
            far = (ours.to_numpy(dtype=float) - own.to_numpy(dtype=float)) / train[name].std()
            squares.append(far**2)
        else:
            wrong.append(ours.astype(str).to_numpy() != own.astype(str).to_numpy())
    off = float(np.sqrt(np.concatenate(squares).mean())) if squares else None
    missed = np.concatenate(wrong) if wrong else np.empty(0)
    return off, float(missed.mean()) if missed.size else None


def _likeness(
    train: pd.DataFrame, held_out: pd.DataFrame, synthetic: pd.DataFrame, target: str | None, seed: int
) -> dict[str, float]:
    found = measure_table(train, held_out, synthetic, target, seed).metrics
    marks = {name: found[name].ratio for name in ("marginals", "associations")}
    if "classifier_auc" in found:
        marks["two_sample"] = found["classifier_auc"].value
    for name in ("target_accuracy", "target_r2"):
        if name in found:
            marks["utility"] = found[name].ratio
    return marks | {"privacy": found["closer_to_training"].value}
