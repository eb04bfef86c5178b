"""Do columns that repeat their values come back with these values, as often as they were?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm

from diffuscope.data.tables import fit_column
from diffuscope.data.tables.columns.numeric import Integer, Number

N = 4000
Random = np.random.Generator


def heaps(r: Random, span: int, unit: int, share: float) -> np.ndarray:
    """Return integers below span, a share of them rounded to the unit."""
    values = r.integers(0, span, N)
    return np.where(r.random(N) < share, np.round(values / unit) * unit, values).astype(int)


def ages(r: Random) -> np.ndarray:
    years = np.clip(r.normal(45, 15, N), 0, 100).round()
    return np.where(r.random(N) < 0.4, np.round(years / 10) * 10, years).astype(int)


LATTICES: dict[str, Callable[[Random], np.ndarray]] = {
    "multiples of 50 in 88%": lambda r: heaps(r, 5000, 50, 0.88),
    "multiples of 7 in half": lambda r: heaps(r, 700, 7, 0.5),
    "ages heaped at tens": ages,
    "four prices": lambda r: r.choice([9.99, 14.99, 19.99, 49.99], N, p=[0.4, 0.3, 0.2, 0.1]),
    "prices at 99": lambda r: np.round(r.integers(1, 40, N) - np.where(r.random(N) < 0.9, 0.01, 0.5), 2),
    "codes": lambda r: r.choice(r.choice(np.arange(10_000, 100_000), 1000, replace=False), N),
    "ratings": lambda r: r.choice([1, 2, 3, 4, 5], N, p=[0.1, 0.05, 0.15, 0.3, 0.4]),
    "zeros and a Poisson law": lambda r: np.where(r.random(N) < 0.6, 0, r.poisson(40, N)),
    "nothing below 100 but zeros": lambda r: np.where(r.random(N) < 0.6, 0, 100 + r.geometric(0.02, N)),
}
FLOATS: dict[str, Callable[[Random], np.ndarray]] = {
    "30 values": lambda r: r.choice(r.standard_normal(30), N),
    "zeros": lambda r: np.where(r.random(N) < 0.3, 0.0, r.exponential(size=N)),
    "three heaps of 1% each": lambda r: np.where(
        r.random(N) < 0.03, r.choice([-1.0, 0.0, 0.5], N), r.normal(size=N)
    ),
    "levels of an instrument": lambda r: np.round(r.normal(size=N) / 0.0123456789) * 0.0123456789,
    "clipped at both ends": lambda r: np.clip(r.standard_normal(N), -1, 1),
}
REPEATS = {**LATTICES, **FLOATS}


def drawn(column, n: int = 100_000, seed: int = 1) -> pd.Series:
    return column.decode(np.random.default_rng(seed).standard_normal((n, 1)))


@pytest.mark.parametrize("name", sorted(REPEATS))
def test_every_atom_is_drawn_as_often_as_it_was_seen(name: str) -> None:
    values = pd.Series(REPEATS[name](np.random.default_rng(0)))
    column = fit_column(values, "a")
    share, got = (s.value_counts(normalize=True) for s in (values, drawn(column)))
    share = share.reindex(
        np.array(column.line.atoms) + getattr(column, "low", 0) * (column.kind == "integer")
    )
    off = (got.reindex(share.index).fillna(0.0) - share).abs()
    assert (off < 4.5 * np.sqrt(share / 100_000) + 1e-3 * share).all()


@pytest.mark.parametrize(
    ("name", "unit"),
    [("multiples of 50 in 88%", 50), ("multiples of 7 in half", 7), ("ages heaped at tens", 10)],
)
def test_multiples_are_drawn_as_often_as_they_were_seen(name: str, unit: int) -> None:
    values = pd.Series(LATTICES[name](np.random.default_rng(0)))
    share, got = (values % unit == 0).mean(), (drawn(fit_column(values, "a")) % unit == 0).mean()
    assert share > 0.4
    assert got == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("name", ["four prices", "codes", "ratings", "30 values", "prices at 99"])
def test_where_all_rows_repeat_values_all_but_no_others_are_drawn(name: str) -> None:
    values = pd.Series(REPEATS[name](np.random.default_rng(0)))
    assert drawn(fit_column(values, "a")).isin(values).mean() > 0.998


@pytest.mark.parametrize("name", sorted(REPEATS))
def test_spread_over_their_coordinates_heaps_are_normal(name: str) -> None:
    values = pd.Series(REPEATS[name](np.random.default_rng(0)))
    column = fit_column(values, "a")
    z = column.encode(values, np.random.default_rng(1).random(N))
    assert kstest(z[:, 0], "norm").statistic < 0.02
    pd.testing.assert_series_equal(column.decode(z), values, check_names=False, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(LATTICES))
def test_the_probabilities_of_all_points_of_a_lattice_sum_to_1_and_none_is_0(name: str) -> None:
    values = pd.Series(LATTICES[name](np.random.default_rng(0)))
    column = fit_column(values, "a")
    step = 1.0 if isinstance(column, Integer) else 0.01
    points = np.arange(round(values.min() / step), round(values.max() / step) + 1) * step
    every = pd.Series(points.round(2).astype(values.dtype))
    logs = norm.logpdf(column.encode(every)[:, 0]) + column.log_volume(every) + np.log(step)
    assert np.isfinite(logs).all()
    assert np.exp(logs).sum() == pytest.approx(1, abs=1e-6)
    seen = values.value_counts(normalize=True)
    atoms = np.round(np.array(column.line.atoms) + getattr(column, "low", 0) * (step == 1), 2)
    assert len(atoms) or column.line.rhythm is not None
    found = np.exp(logs)[every.isin(atoms)]
    np.testing.assert_allclose(found, seen[atoms], rtol=1e-3)


@pytest.mark.parametrize("name", sorted(FLOATS))
def test_the_probability_of_atoms_and_the_density_between_them_add_up_to_1(name: str) -> None:
    values = pd.Series(FLOATS[name](np.random.default_rng(0)))
    column = fit_column(values, "a")
    assert isinstance(column, Number)
    atoms = np.array(column.line.atoms)

    def density(x: np.ndarray) -> np.ndarray:
        x = pd.Series(x)
        return norm.pdf(column.encode(x)[:, 0]) * np.exp(column.log_volume(x))

    x = np.unique(np.concatenate([column.line.backward(np.linspace(-8, 8, 40_001)), atoms]))
    total = density(atoms).sum() + (density((x[1:] + x[:-1]) / 2) * np.diff(x)).sum()
    assert total == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).standard_normal(N),
        np.random.default_rng(0).standard_normal(N).astype("float32"),
        np.random.default_rng(0).standard_normal(N).astype("float16"),
        np.random.default_rng(0).exponential(size=200_000).astype("float32"),
        np.random.default_rng(0).normal(0, 3000, N).astype(int),
        np.random.default_rng(0).integers(0, 3000, N),
        np.random.default_rng(0).binomial(400_000, 0.5, N),
        np.random.default_rng(0).normal(100, 10, N).round(2),
    ],
    ids=["floats", "float32", "float16", "many float32", "sparse", "uniform", "binomial", "decimals"],
)
def test_a_smooth_law_has_no_atoms_however_it_is_rounded(values: np.ndarray) -> None:
    assert not getattr(fit_column(pd.Series(values), "a").line, "atoms", ())


def test_all_values_of_a_lattice_are_atoms_where_many_rows_have_each() -> None:
    random = np.random.default_rng(0)
    for values in (random.integers(0, 300, N), random.binomial(400, 0.5, N) / 10):
        assert fit_column(pd.Series(values), "a").line.atoms == tuple(np.unique(values))


def test_floats_seen_once_or_twice_are_never_handed_out() -> None:
    random = np.random.default_rng(0)
    own = random.normal(50, 10, 1500)
    values = pd.Series(np.concatenate([own, own[:300], np.full(200, 50.0), np.full(3, 61.25)]))
    column = fit_column(values, "a")
    assert column.line.atoms == (50.0, 61.25)
    got = drawn(column)
    assert set(got[got.isin(values)]) == {50.0, 61.25}


def test_values_of_a_lattice_that_are_mostly_unlike_are_no_atoms() -> None:
    """Measurements with two or three decimals, some of which were seen twice."""
    for seed in range(5):
        random = np.random.default_rng(seed)
        x = random.gamma(4, 3.5, 569)
        values = pd.Series(np.where(random.random(569) < 0.9, x.round(2), x.round(3)))
        assert (values.value_counts() == 1).sum() > 250
        column = fit_column(values, "a")
        assert len(column.line.atoms) < 15  # of over 400 values
        assert drawn(column, 5000).isin(values).mean() < 0.5


def test_many_atoms_are_quick_and_short() -> None:
    random = np.random.default_rng(0)
    codes = random.choice(np.arange(100_000, 1_000_000), 10_000, replace=False)
    values = pd.Series(random.choice(codes, 100_000))
    column = fit_column(values, "a")
    assert len(column.line.atoms) > 9_900
    text = json.dumps(column.to_json())
    assert len(text) < 30 * 10_000
    again = Integer.from_json(json.loads(text))
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        z = again.encode(values, random.random(len(values)))
        assert (again.decode(z) == values).all()
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.5  # of 0.1 s
