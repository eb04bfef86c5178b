"""What do the tests of tables share? Loans, simulated, with heaps, relations and rules of what is missing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest


def make_loans(n: int, seed: int) -> pd.DataFrame:
    """Return loans: sums, functions, orders and missing values whose rules are known."""
    random = np.random.default_rng(seed)
    job = random.choice(["employed", "own", "student", "retired"], n, p=[0.55, 0.15, 0.15, 0.15])
    round_amounts = random.choice([5_000, 10_000, 15_000, 20_000], n, p=[0.2, 0.4, 0.25, 0.15])
    amount = np.where(random.random(n) < 0.5, round_amounts, np.exp(random.normal(9.2, 0.7, n)).round())
    fee = np.where(random.random(n) < 0.3, 0.0, (amount * random.uniform(0.005, 0.04, n)).round(2))
    income = np.exp(random.normal(10.5, 0.5, n)).round()
    partner = random.random(n) < 0.3
    start = pd.Timestamp("2021-01-01") + pd.to_timedelta(random.integers(0, 1500, n), unit="D")
    days = random.integers(100, 1800, n)
    return pd.DataFrame(
        {
            "job": job,
            "code": pd.Series(job).map({"employed": 10, "own": 20, "student": 30, "retired": 40}),
            "income": np.where(random.random(n) < 0.1, np.nan, income),
            "amount": amount,
            "fee": fee,
            "total": (amount + fee).round(2),
            "repaid": ((amount + fee) * random.beta(1, 1, n)).round(2),
            "start": start,
            "end": start + pd.to_timedelta(days, unit="D"),
            "employer": np.where(
                np.isin(job, ["student", "retired"]), np.nan, random.gamma(2, 3, n).round(1)
            ),
            "partner_age": np.where(partner, random.integers(18, 80, n), np.nan),
            "partner_income": np.where(partner, np.exp(random.normal(10.2, 0.5, n)).round(), np.nan),
        }
    )


@pytest.fixture(scope="session")
def loans():
    """``loans(n, seed)``: rows of one law."""
    return make_loans


@pytest.fixture(scope="session")
def of_loans():
    """Training, held-out and perfect synthetic rows."""
    return make_loans(1_500, 1), make_loans(1_500, 2), make_loans(1_500, 3)


def shuffled(frame: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return rows with columns that are shuffled: the same values, on their own."""
    return frame.assign(
        **{name: frame[name].sample(frac=1, random_state=k).to_numpy() for k, name in enumerate(names)}
    )


@pytest.fixture(scope="session")
def shuffle():
    """``shuffle(frame, names...)``: rows with columns that are shuffled, each on its own."""
    return shuffled


@pytest.fixture(scope="session")
def as_splits():
    """``as_splits(train, held_out, synthetic)``: the tables as metrics read them."""
    from diffuscope.metrics.tabular.splits import Splits
    from diffuscope.metrics.tabular.tables import read_tables

    def read(train, held_out, synthetic):
        named = {"training": train, "held-out": held_out, "synthetic": synthetic}
        one, other, made = read_tables(named)
        return Splits(made, one, other)

    return read
