"""Do times keep to weekdays, days of the month and hours as their column does, and numbers to round ones?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest, norm

from diffuscope.data.tables import fit_column
from diffuscope.data.tables.columns.rhythm import GRAIN, Rhythm

N = 1200
DAYS = pd.date_range("2018-01-01", "2023-12-31", freq="D")
HOURS = pd.date_range("2020-01-01", "2021-12-31 23:00", freq="h")
MINUTES = pd.date_range("2020-01-01", "2021-12-31 23:59", freq="min")
Random = np.random.Generator


def some(r: Random, of: pd.DatetimeIndex, n: int = N) -> pd.Series:
    return pd.Series(r.choice(of, n))


def mostly(r: Random, share: float, these: pd.DatetimeIndex, those: pd.DatetimeIndex) -> pd.Series:
    return pd.Series(np.where(r.random(N) < share, r.choice(these, N), r.choice(those, N)))


def is_weekday(s: pd.Series) -> pd.Series:
    return s.dt.day_of_week < 5


def is_office(s: pd.Series) -> pd.Series:
    return is_weekday(s) & (s.dt.hour >= 9) & (s.dt.hour < 17)


OFFICE = HOURS[(HOURS.day_of_week < 5) & (HOURS.hour >= 9) & (HOURS.hour < 17)]
TIMES: dict[str, tuple[Callable[[Random], pd.Series], Callable[[pd.Series], pd.Series]]] = {
    "business days, each once": (
        lambda r: pd.Series(r.permutation(DAYS[DAYS.day_of_week < 5])[:N]),
        is_weekday,
    ),
    "business days": (lambda r: some(r, DAYS[DAYS.day_of_week < 5]), is_weekday),
    "few on weekends": (lambda r: mostly(r, 0.9, DAYS[DAYS.day_of_week < 5], DAYS), is_weekday),
    "Sundays": (lambda r: some(r, DAYS[DAYS.day_of_week == 6], 200), lambda s: s.dt.day_of_week == 6),
    "first of months": (
        lambda r: some(r, pd.date_range("1990", periods=400, freq="MS"), 300),
        lambda s: s.dt.day == 1,
    ),
    "ends of months": (
        lambda r: some(r, pd.date_range("1990-01-31", periods=400, freq="ME"), 300),
        lambda s: s.dt.is_month_end,
    ),
    "quarters": (
        lambda r: some(r, pd.date_range("1950", periods=280, freq="QS"), 300),
        lambda s: s.dt.is_quarter_start,
    ),
    "payday": (lambda r: mostly(r, 0.7, DAYS[DAYS.day == 15], DAYS), lambda s: s.dt.day == 15),
    "office hours": (lambda r: some(r, OFFICE), is_office),
    "full hours in 90%": (lambda r: mostly(r, 0.9, HOURS, MINUTES), lambda s: s.dt.minute == 0),
    "quarters of an hour": (
        lambda r: mostly(r, 0.8, MINUTES[MINUTES.minute % 15 == 0], MINUTES),
        lambda s: s.dt.minute % 15 == 0,
    ),
}


def incomes(r: Random, unit: int, share: float) -> pd.Series:
    x = np.exp(r.normal(11, 0.5, N))
    return pd.Series(np.where(r.random(N) < share, np.round(x / unit) * unit, np.round(x)).astype(int))


NUMBERS: dict[str, tuple[Callable[[Random], pd.Series], Callable[[pd.Series], pd.Series]]] = {
    "multiples of 1000": (lambda r: incomes(r, 1000, 1.0), lambda s: s % 1000 == 0),
    "multiples of 500 in 80%": (lambda r: incomes(r, 500, 0.8), lambda s: s % 500 == 0),
    "multiples of 50 in 88%": (lambda r: incomes(r, 50, 0.88), lambda s: s % 50 == 0),
    "multiples of 5 in half": (lambda r: incomes(r, 5, 0.5), lambda s: s % 5 == 0),
    "prices at .99": (
        lambda r: pd.Series(
            (r.integers(5, 2000, N) - np.where(r.random(N) < 0.8, 0.01, r.random(N))).round(2)
        ),
        lambda s: (s * 100).round() % 100 == 99,
    ),
    "negative tens": (lambda r: -incomes(r, 10, 0.9), lambda s: s % 10 == 0),
}
ALL = {**TIMES, **NUMBERS}


def drawn(column, n: int = 20_000) -> pd.Series:
    return column.decode(np.random.default_rng(1).standard_normal((n, 1)))


@pytest.mark.parametrize("name", sorted(ALL))
@pytest.mark.parametrize("seed", [0, 1])
def test_draws_are_of_a_kind_as_often_as_the_column(name: str, seed: int) -> None:
    make, of_kind = ALL[name]
    values = make(np.random.default_rng(seed))
    share, got = of_kind(values).mean(), of_kind(drawn(fit_column(values, "a"))).mean()
    assert share > 0.4
    assert got == pytest.approx(share, abs=0.025)
    if share == 1:
        assert got > 0.998


def test_a_column_of_business_days_yields_no_sundays() -> None:
    for seed in range(3):
        values = TIMES["business days, each once"][0](np.random.default_rng(seed))
        assert (~is_weekday(drawn(fit_column(values, "a")))).sum() <= 4  # of 20,000


@pytest.mark.parametrize("name", sorted(ALL))
def test_values_with_a_rhythm_come_back_and_are_normal(name: str) -> None:
    values = ALL[name][0](np.random.default_rng(0))
    column = fit_column(values, "a")
    for within in (
        None,
        np.zeros(len(values)),
        np.ones(len(values)),
        np.random.default_rng(2).random(len(values)),
    ):
        z = column.encode(values, within)
        pd.testing.assert_series_equal(column.decode(z), values, check_names=False)
    assert kstest(z[:, 0], "norm").pvalue > 1e-3
    again = type(column).from_json(column.to_json())
    assert again == column
    np.testing.assert_array_equal(again.encode(values), column.encode(values))


@pytest.mark.parametrize(
    "name", ["business days", "few on weekends", "ends of months", "payday", "office hours"]
)
def test_the_probabilities_of_all_times_sum_to_1(name: str) -> None:
    values = TIMES[name][0](np.random.default_rng(0))
    column = fit_column(values, "a")
    every = pd.Series(pd.date_range(values.min(), values.max(), freq="h" if name == "office hours" else "D"))
    logs = norm.logpdf(column.encode(every)[:, 0]) + column.log_volume(every)
    assert np.isfinite(logs).all()
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    "values",
    [
        some(np.random.default_rng(0), DAYS),
        some(np.random.default_rng(1), HOURS),
        some(np.random.default_rng(2), DAYS[:60]),
        pd.Series(DAYS[:1000]),
        pd.Series(np.random.default_rng(3).normal(0, 3000, N).astype(int)),
        pd.Series(np.random.default_rng(4).exponential(50, N).round(2)),
        pd.Series(np.random.default_rng(5).poisson(90, N)),
        pd.Series(np.random.default_rng(6).integers(0, 100_000, N)),
        pd.Series([float(f"{x:.4g}") for x in np.random.default_rng(7).gamma(9, 1.4, N)]),
        pd.Series([float(f"{x:.3g}") for x in np.random.default_rng(8).gamma(9, 1.4, N)]),
    ],
    ids=[
        "days",
        "hours",
        "two months",
        "all days",
        "normal",
        "cents",
        "Poisson",
        "uniform",
        "four digits",
        "three digits",
    ],
)
def test_where_all_is_smooth_there_is_no_rhythm(values: pd.Series) -> None:
    assert getattr(fit_column(values, "a").line, "rhythm", None) is None


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(
    data=st.data(),
    start=st.integers(-(10**6), 10**6),
    step=st.sampled_from([1.0, 0.01, 50.0]),
    tables=st.sampled_from(
        [
            {"residues": 10},
            {"residues": 100},
            {"weekdays": 7},
            {"days": 32, "months": 12},
            {"clock": 24, "weekdays": 7},
        ]
    ),
)
def test_a_stretched_number_is_the_number_again(
    data, start: int, step: float, tables: dict[str, int]
) -> None:
    weight = st.sampled_from([1.0, 0.5, 2.0, GRAIN * 4096, 7.0])
    weights = {
        name: tuple(data.draw(st.lists(weight, min_size=size, max_size=size)))
        for name, size in tables.items()
    }
    rhythm = Rhythm(step=step, start=start, **weights)
    points = np.arange(-500, 2000) * step
    for off in (-0.499, 0.0, 0.3, 0.499):
        x = points + off * step
        u = rhythm.stretch(x)
        assert (np.diff(u) > 0).all()
        np.testing.assert_array_equal(np.rint(rhythm.shrink(u) / step), np.rint(points / step))
        np.testing.assert_allclose(rhythm.shrink(u), x, atol=1e-5 * step)
