"""Do numbers become a normal variable and come back, by maps whose volumes are right?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from diffuscope.data.tables.columns.transform import Quantiles, Standard
from diffuscope.data.tables.columns.transform_fit import fit_line

Random = np.random.Generator
N = 3000


def zero_inflated(r: Random) -> np.ndarray:
    return np.where(r.random(N) < 0.4, 0.0, np.exp(r.standard_normal(N)))


COLUMNS: dict[str, Callable[[Random], np.ndarray]] = {
    "normal": lambda r: r.standard_normal(N),
    "log-normal": lambda r: np.exp(r.standard_normal(N)),
    "log-normal of 40 decades": lambda r: np.exp(10 * r.standard_normal(N)),
    "Cauchy": lambda r: r.standard_cauchy(N),
    "exponential": lambda r: r.exponential(size=N),
    "zero-inflated": zero_inflated,
    "atom in the middle": lambda r: np.where(r.random(N) < 0.4, 0.0, r.standard_normal(N)),
    "atoms at both ends": lambda r: np.clip(r.standard_normal(N), -1, 1),
    "little but atoms": lambda r: r.choice([0.0, 1.0], N) + (r.random(N) < 0.1) * r.random(N),
    "two clusters and an outlier": lambda r: np.append(r.choice([0.0, 100.0], N) + r.normal(0, 0.01, N), 1e6),
    "huge": lambda r: 1e300 * r.standard_normal(N),
    "huge, heavy tails": lambda r: 1e300 * np.clip(r.standard_cauchy(N), -8e7, 8e7),
    "tiny": lambda r: 1e-300 * r.standard_normal(N),
    "tiny, skewed": lambda r: 1e-300 * r.exponential(size=N),
    "noise on a large number": lambda r: 1e9 + 1e-3 * r.standard_normal(N),
    "skewed noise on a large number": lambda r: 1e9 + 1e-3 * r.exponential(size=N),
    "six rows": lambda r: np.array([0.0, 0.0, 0.0, 1.0, 2.5, 7.1]),
    "two rows": lambda r: np.array([3.0, 4.5]),
}
FINE = sorted(set(COLUMNS) - {"noise on a large number", "skewed noise on a large number"})


@pytest.fixture(params=sorted(COLUMNS))
def column(request) -> np.ndarray:
    return COLUMNS[request.param](np.random.default_rng(0))


def atoms_of(line: Standard | Quantiles) -> np.ndarray:
    return np.array(line.atoms) if isinstance(line, Quantiles) else np.empty(0)


def test_every_value_comes_back_to_a_billionth(column: np.ndarray) -> None:
    line = fit_line(column)
    back = line.backward(line.forward(column))
    np.testing.assert_allclose(back, column, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", FINE)
def test_every_coordinate_comes_back_to_a_billionth_but_within_atoms(name: str) -> None:
    line = fit_line(COLUMNS[name](np.random.default_rng(0)))
    z = np.linspace(-6, 6, 4001)  # beyond, tails come to their ends
    x = line.backward(z)
    apart = ~np.isin(x, atoms_of(line)) & (np.abs(x) < 1e308)
    assert apart.sum() > 100
    np.testing.assert_allclose(line.forward(x)[apart], z[apart], rtol=1e-9, atol=1e-9)


def test_the_map_never_falls(column: np.ndarray) -> None:
    line = fit_line(column)
    assert (np.diff(line.backward(np.linspace(-9, 9, 20_001))) >= 0).all()
    assert (np.diff(line.forward(np.sort(column))) >= 0).all()


@pytest.mark.parametrize("name", [name for name in FINE if name != "two rows"])
def test_the_slope_is_the_derivative(name: str) -> None:
    line = fit_line(COLUMNS[name](np.random.default_rng(0)))
    step = 1e-6
    ends = any(getattr(getattr(line, side, None), "end", None) is not None for side in ("below", "above"))
    z = np.linspace(-6, 6, 1999)
    z = z[np.abs(z) < 4] if ends else z  # near an end the differences of x have few digits
    for knot in getattr(line, "z", ()):  # the second derivative jumps there
        z = z[np.abs(z - knot) > 2 * step]
    x = line.backward(z)
    z, x = (a[~np.isin(x, atoms_of(line)) & (np.abs(x) < 1e307)] for a in (z, x))
    slope = (line.backward(z + step) - line.backward(z - step)) / (2 * step)
    assert len(z) > 100
    np.testing.assert_allclose(line.log_slope(x), -np.log(slope), atol=1e-5)


@pytest.mark.parametrize("name", ["log-normal", "Cauchy", "exponential", "tiny, skewed"])
def test_the_slope_does_not_jump(name: str) -> None:
    line = fit_line(COLUMNS[name](np.random.default_rng(0)))
    assert isinstance(line, Quantiles)
    knots = np.array(line.z)
    below, above = (line.log_slope(line.backward(knots + side)) for side in (-1e-9, 1e-9))
    np.testing.assert_allclose(below, above, atol=1e-3)
    assert np.ptp(below) > 1  # where the slope is anything but the same everywhere


@pytest.mark.parametrize("name", ["log-normal", "Cauchy", "exponential", "tiny, skewed", "huge, heavy tails"])
def test_skewed_and_heavy_tailed_columns_become_normal(name: str) -> None:
    line = fit_line(COLUMNS[name](np.random.default_rng(0)))
    z = line.forward(COLUMNS[name](np.random.default_rng(1)))  # rows that it was not fitted to
    levels = np.array([0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99])
    np.testing.assert_allclose(np.quantile(z, levels), norm.ppf(levels), atol=0.2)


@pytest.mark.parametrize("name", ["normal", "huge", "tiny", "noise on a large number"])
def test_a_normal_column_is_only_standardised(name: str) -> None:
    x = COLUMNS[name](np.random.default_rng(0))
    line = fit_line(x)
    assert isinstance(line, Standard)
    z = line.forward(x)
    assert z.mean() == pytest.approx(0, abs=1e-4)
    assert z.std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["log-normal", "Cauchy", "exponential", "two clusters and an outlier"])
def test_between_two_knots_no_slope_is_below_half_the_least_of_secant_and_ends(name: str) -> None:
    line = fit_line(COLUMNS[name](np.random.default_rng(0)))
    z, x = np.array(line.z), np.array(line.x)
    inner = z[:-1] + np.diff(z) * np.linspace(0, 1, 101)[:, None]  # (101, segments)
    slopes = np.exp(-line.log_slope(line.backward(inner.ravel()))).reshape(inner.shape)
    least = np.minimum(np.diff(x) / np.diff(z), np.minimum(slopes[0], slopes[-1]))
    assert (slopes.min(0) >= 0.499 * least).all()


def test_the_slope_beside_an_end_that_is_flatter_by_decades_is_not_lost() -> None:
    line = fit_line(np.array([0.0] * 9 + [-1.0, -2.0, -4.498177e42]))
    slopes = line.log_slope(np.array([-1e42, -1e30, -1e10, -3.0, -2.0, -1.0]))
    assert np.isfinite(slopes).all()
    assert (np.diff(slopes) >= 0).all()  # dz/dx rises towards the flat end


@pytest.mark.parametrize(
    ("name", "atom"), [("zero-inflated", 0.0), ("atom in the middle", 0.0), ("atoms at both ends", 1.0)]
)
def test_normal_coordinates_hit_an_atom_as_often_as_the_column_did(name: str, atom: float) -> None:
    x = COLUMNS[name](np.random.default_rng(0))
    drawn = fit_line(x).backward(np.random.default_rng(1).standard_normal(100_000))
    assert (drawn == atom).mean() == pytest.approx((x == atom).mean(), abs=0.005)


def test_an_atom_is_spread_over_its_coordinates_as_a_normal_variable_would_be() -> None:
    random = np.random.default_rng(2)
    x = zero_inflated(random)
    line = fit_line(x)
    z = line.forward(x, random.random(len(x)))
    assert (line.backward(z)[x == 0] == 0).all()
    levels = np.linspace(0.01, 0.99, 21)
    np.testing.assert_allclose(np.quantile(z, levels), norm.ppf(levels), atol=0.12)


def test_within_0_and_1_stay_in_the_atom() -> None:
    x = zero_inflated(np.random.default_rng(0))
    line = fit_line(x)
    assert (line.backward(line.forward(np.zeros(2), np.array([0.0, 1.0]))) == 0).all()


def test_the_volume_of_an_atom_makes_its_density_its_probability() -> None:
    x = zero_inflated(np.random.default_rng(0))
    line = fit_line(x)
    at = np.zeros(1)
    probability = norm.pdf(line.forward(at)) * np.exp(line.log_slope(at))
    assert probability[0] == pytest.approx((x == 0).mean(), abs=1e-3)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_probabilities_of_all_cells_sum_to_1(skewed: bool) -> None:
    random = np.random.default_rng(0)
    x = random.geometric(0.1, N) if skewed else random.binomial(400_000, 0.5, N)
    line = fit_line(x.astype(float), 1.0)
    assert line.kind == ("quantiles" if skewed else "standard")
    steps = np.arange(x.min(), x.max() + 1.0)
    low, high = steps - 0.5, steps + 0.5
    low[0], high[-1] = -np.inf, np.inf
    mass = norm.pdf(line.forward(steps)) * np.exp(line.log_cell(steps, low, high))
    assert mass.sum() == pytest.approx(1, abs=1e-9 if skewed else 3e-3)
    if skewed:  # each is what was seen
        seen = np.bincount(x)[x.min() :] / N
        assert np.abs(mass - seen).max() < 0.02


FLOATS = st.floats(-1e300, 1e300, allow_subnormal=False)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    values=st.lists(FLOATS, min_size=2, max_size=12, unique=True),
    counts=st.lists(st.integers(1, 9), min_size=12, max_size=12),
    step=st.sampled_from([0.0, 1.0]),
)
def test_whatever_values_with_whatever_ties_come_back(
    values: list[float], counts: list[int], step: float
) -> None:
    if step:
        values = sorted({round(np.clip(v, -1e6, 1e6)) for v in values})
    x = np.repeat(np.array(values, dtype=float), counts[: len(values)])
    if len(values) < 2 or np.ptp(x) < 1e-300:
        return
    line = fit_line(x, step)
    back = line.backward(line.forward(x))
    # Values that lie closer than a float tells apart beside the range of the column cannot be held to more.
    np.testing.assert_allclose(back, x, rtol=1e-9, atol=1e-15 * np.abs(x).max())
    assert (np.diff(line.forward(np.unique(x))) >= 0).all()
    again = type(line).from_json(line.to_json())
    assert again == line
    np.testing.assert_array_equal(again.forward(x), line.forward(x))
