"""Do columns go on beyond what was seen as their law does, and no further than their ends?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from diffuscope.data.tables import fit_column
from diffuscope.data.tables.columns.tails import Tail

LIGHT = {
    "normal": stats.norm(5, 2),
    "half-normal": stats.halfnorm(),
    "Rayleigh": stats.rayleigh(),
    "exponential": stats.expon(),
    "gamma": stats.gamma(2),
    "Laplace": stats.laplace(),
    "logistic": stats.logistic(),
    "Gumbel": stats.gumbel_r(),
}
HEAVY = {
    "Weibull": stats.weibull_min(0.7),
    "log-normal": stats.lognorm(1),
    "log-normal of 2": stats.lognorm(2),
    "Student": stats.t(3),
    "Cauchy": stats.cauchy(),
    "Pareto": stats.pareto(1.5),
}
LAWS = {**LIGHT, **HEAVY}
ENDS = {  # the law, and between what its draws are; None where it tails off
    "exponential": (stats.expon(), 0.0, None),
    "log-normal": (stats.lognorm(1), 0.0, None),
    "Weibull": (stats.weibull_min(0.7), 0.0, None),
    "below 0": (stats.expon(-10, 1), None, None),
    "uniform in 0 to 1": (stats.uniform(), 0.0, 1.0),
    "shares, at neither end": (stats.beta(2, 2), 0.0, 1.0),
    "shares, at both ends": (stats.beta(0.5, 0.5), 0.0, 1.0),
    "shares, most near 1": (stats.beta(5, 1), 0.0, 1.0),
    "per cent": (stats.beta(3, 0.9, 0, 100), 0.0, 100.0),
}


def log_density(column, x) -> np.ndarray:
    """Return log-densities of a model that has learned z ~ N(0, 1)."""
    x = pd.Series(np.asarray(x, dtype=float))
    return stats.norm.logpdf(column.encode(x)[:, 0]) + column.log_volume(x)


def fitted(law, n: int, seed: int):
    x = law.rvs(n, random_state=np.random.default_rng(seed))
    return x, fit_column(pd.Series(x), "a")


@pytest.mark.slow
@pytest.mark.parametrize("n", [100, 400, 3000])
@pytest.mark.parametrize("name", sorted(LAWS))
def test_the_density_of_an_outlying_value_is_that_of_the_law_within_a_few_nats(name: str, n: int) -> None:
    law, off = LAWS[name], []
    for seed in range(9):
        x, column = fitted(law, n, seed)
        beyond = x.max() + np.array([0.1, 0.2, 0.3, 0.5]) * (x.max() - np.median(x))
        off.append(log_density(column, beyond) - law.logpdf(beyond))
    assert (np.abs(np.median(off, axis=0)) < 3.5).all()
    assert np.mean(np.abs(off) < 6) > 0.9
    assert np.min(off) > -25  # and never lost, whatever the greatest rows were


def test_a_collapsed_tail_is_not_the_law_of_two_rows_that_are_close() -> None:
    """The two greatest rows say nothing about how the law goes on."""
    for seed in range(20):
        x = np.random.default_rng(seed).exponential(size=500)
        x = np.append(x, x.max() + 1e-7)
        assert log_density(fit_column(pd.Series(x), "a"), [1.12 * x.max()])[0] > -14


@pytest.mark.parametrize("name", sorted(ENDS))
@pytest.mark.parametrize("n", [60, 300, 3000])
def test_no_draw_is_beyond_an_end(name: str, n: int) -> None:
    law, low, high = ENDS[name]
    for seed in range(6):
        _, column = fitted(law, n, seed)
        drawn = column.decode(np.linspace(-5.8, 5.8, 5001)[:, None])  # one in 1e8 is further out
        assert low is None or drawn.min() >= low
        assert high is None or drawn.max() <= high


@pytest.mark.parametrize("ends", [(2.0, 5.0), (-7.5, -1.25), (1000.0, 1001.0)])
def test_an_edge_that_the_data_shows_is_kept_and_reached(ends: tuple[float, float]) -> None:
    low, high = ends
    random = np.random.default_rng(3)
    column = fit_column(pd.Series(random.uniform(low, high, 4000)), "a")
    drawn = column.decode(random.standard_normal((100_000, 1)))
    gap = 4 * (high - low) / 4000
    assert low - gap < drawn.min() < low + gap
    assert high - gap < drawn.max() < high + gap
    assert stats.kstest(drawn, stats.uniform(low, high - low).cdf).statistic < 0.02
    assert (np.diff(log_density(column, [high + 0.1, high + 1, high + 10])) < 0).all()


@pytest.mark.parametrize("name", sorted(LIGHT))
def test_where_a_column_tails_off_draws_go_on_a_little(name: str) -> None:
    x, column = fitted(LIGHT[name], 2000, 1)
    drawn = column.decode(np.random.default_rng(1).standard_normal((20_000, 1)))
    assert x.max() < drawn.max() < x.max() + 1.2 * (x.max() - np.median(x))


@pytest.mark.parametrize("name", sorted(LAWS))
def test_the_density_with_its_tails_integrates_to_1(name: str) -> None:
    _, column = fitted(LAWS[name], 1000, 2)
    x = np.unique(column.line.backward(np.linspace(-8, 8, 40_001)))
    density = np.exp(log_density(column, (x[1:] + x[:-1]) / 2))
    assert (density * np.diff(x)).sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", [*sorted(ENDS), "Cauchy", "normal"])
def test_however_far_out_a_value_is_its_density_is_a_number_and_falls(name: str) -> None:
    law = LAWS[name] if name in LAWS else ENDS[name][0]
    _, column = fitted(law, 1000, 0)
    far = np.array([1e3, 1e6, 1e9, 1e20, 1e50])
    for side in (far, -far):
        logs = log_density(column, side)
        assert np.isfinite(logs).all()
        assert (np.diff(logs) < 0).all()
        assert np.isfinite(column.encode(pd.Series(side))).all()


def test_the_tails_join_without_a_jump_of_the_slope() -> None:
    for name in LAWS:
        column = fitted(LAWS[name], 1000, 5)[1]
        if column.line.kind == "quantiles":
            joint = np.array([column.line.z[0], column.line.z[-1]])
            below, above = (column.line.log_slope(column.line.backward(joint + by)) for by in (-1e-9, 1e-9))
            np.testing.assert_allclose(below, above, atol=1e-4)


@pytest.mark.parametrize("tail", [Tail(scale=0.3, shape=0.0), Tail(scale=0.3, shape=0.7)])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_depth_is_that_of_its_value(tail: Tail, side: int) -> None:
    depth = np.array([0.0, 1e-9, 0.5, 3.0, 19.0, 300.0])
    for some in (tail, Tail(scale=0.3, shape=1.5, end=2.0 + 0.7 * side)):
        depths = depth if some.end is None else depth[:-2]
        x = some.at_depth(depths, 2.0, side, 0)
        assert (np.diff(side * x) > 0).all()
        np.testing.assert_allclose(some.depth(x, 2.0, side, 0), depths, rtol=1e-6, atol=1e-9)


def test_the_cells_of_a_lattice_with_tails_have_all_the_probability() -> None:
    random = np.random.default_rng(0)
    for values in (random.negative_binomial(3, 0.01, 3000), random.integers(0, 2000, 3000)):
        column = fit_column(pd.Series(values), "a")
        every = pd.Series(np.arange(values.min(), values.max() + 1))
        logs = stats.norm.logpdf(column.encode(every)[:, 0]) + column.log_volume(every)
        assert np.exp(logs).sum() == pytest.approx(1, abs=1e-9)
        beyond = pd.Series([round(1.12 * values.max()), round(1.5 * values.max())])
        assert (stats.norm.logpdf(column.encode(beyond)[:, 0]) + column.log_volume(beyond) > -50).all()


ROUND = {  # laws that end without a sign of it in their numbers
    "uniform": stats.uniform(2, 1),
    "linear at both ends": stats.beta(2, 2, loc=2),
    "triangular": stats.triang(0.5, loc=2),
    "rising to its end": stats.triang(1.0, loc=2),
    "normal cut at 2 deviations": stats.truncnorm(-2, 2, loc=10),
    "exponential": stats.expon(3),
    "normal": stats.norm(),
    "log-normal": stats.lognorm(0.5, loc=3),
    "Student": stats.t(3),
}


@pytest.mark.parametrize("n", [1000, 10_000])
@pytest.mark.parametrize("name", sorted(ROUND))
def test_as_few_values_are_beyond_the_rows_as_of_fresh_ones(name: str, n: int) -> None:
    beyond = []
    for seed in range(5):
        x, column = fitted(ROUND[name], n, seed)
        z = np.random.default_rng(seed + 100).normal(size=(10 * n, 1))
        made = column.decode(z).to_numpy()
        beyond.append(np.mean((made < x.min()) | (made > x.max())) * n)
    assert 0.4 < np.mean(beyond) < 6  # of n fresh ones it is 2


def test_a_normal_column_is_seldom_taken_for_one_that_ends() -> None:
    kinds = [fitted(stats.norm(), n, seed)[1].line.kind for n in (100, 1000) for seed in range(40)]
    assert kinds.count("quantiles") <= 5
