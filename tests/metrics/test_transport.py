"""Is the distance the one of its formula, and does the ratio to the floor say what it should?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from diffuscope.errors import InputError
from diffuscope.metrics import Measured, against_floor, sliced_wasserstein

RNG = np.random.default_rng(0)
X = RNG.normal(size=(400, 2))
Y = RNG.normal(size=(400, 2)) * [2.0, 0.5] + 1


@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_of_a_shifted_cloud_it_is_the_shift_over_the_root_of_the_dimension(d):
    x = np.random.default_rng(1).normal(size=(50, d))
    shift = np.linspace(1, 2, d)
    distance = sliced_wasserstein(x, x + shift, n_projections=40_000)
    assert distance == pytest.approx(np.linalg.norm(shift) / math.sqrt(d), rel=0.02)


def test_in_one_dimension_it_is_the_root_mean_square_of_sorted_differences():
    x, y = RNG.normal(size=(301, 1)), RNG.exponential(size=(301, 1))
    expected = np.sqrt(np.mean((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2))
    assert sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-5)


def test_in_one_dimension_of_ordered_clouds_it_bounds_and_matches_scipy():
    x = RNG.normal(size=(200, 1))
    assert sliced_wasserstein(x, x + 0.7) == pytest.approx(
        wasserstein_distance(x[:, 0], x[:, 0] + 0.7), rel=1e-5
    )
    y = RNG.exponential(size=(200, 1))
    assert sliced_wasserstein(x, y) >= wasserstein_distance(x[:, 0], y[:, 0])  # W_2 >= W_1


def test_over_directions_it_is_the_mean_of_the_squares():
    directions = np.random.default_rng(0).standard_normal((512, 2))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    squares = [np.mean((np.sort(X @ v) - np.sort(Y @ v)) ** 2) for v in directions]
    assert sliced_wasserstein(X, Y) == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-5)


def test_it_is_symmetric_zero_for_the_same_cloud_and_blind_to_the_order_of_points():
    assert sliced_wasserstein(X, Y) == sliced_wasserstein(Y, X)
    assert sliced_wasserstein(X, X) == 0
    assert sliced_wasserstein(X, X[::-1]) == 0
    assert sliced_wasserstein(X, Y) == pytest.approx(sliced_wasserstein(X, Y[RNG.permutation(400)]), rel=1e-6)


def test_it_has_the_units_of_the_clouds():
    assert sliced_wasserstein(10 * X, 10 * Y) == pytest.approx(10 * sliced_wasserstein(X, Y), rel=1e-5)


def test_clouds_of_unequal_sizes_are_compared_by_quantiles():
    assert sliced_wasserstein(np.repeat(X, 3, axis=0), X) == pytest.approx(0, abs=0.02)
    assert sliced_wasserstein(np.repeat(X, 3, axis=0), Y) == pytest.approx(sliced_wasserstein(X, Y), rel=0.01)
    assert sliced_wasserstein(X, Y[:399]) == sliced_wasserstein(Y[:399], X)
    assert sliced_wasserstein(X[:1], Y) == sliced_wasserstein(Y, X[:1])


def test_between_independent_draws_it_shrinks_with_their_number():
    def floor(n):
        return sliced_wasserstein(RNG.normal(size=(n, 2)), RNG.normal(size=(n, 2)))

    assert floor(10_000) < 0.3 * floor(100)


def test_it_does_not_write_to_its_arguments():
    x, y = X.astype(np.float32), Y.astype(np.float32)
    before = x.copy(), y.copy()
    sliced_wasserstein(x, y)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (X, X[:, :1], "cannot be compared"),
        (X, X[:0], "cannot be compared"),
        (X[:, 0], X[:, 0], "cannot be compared"),
        (X, np.where(X > 1, np.nan, X), "not finite"),
        (X * np.inf, X, "not finite"),
    ],
)
def test_clouds_that_cannot_be_compared_are_refused(x, y, words):
    with np.errstate(invalid="ignore"), pytest.raises(InputError, match=words):
        sliced_wasserstein(x, y)


def given_distances(values, floors) -> Measured:
    distance = iter([*values, *floors])
    return against_floor(
        lambda *_: next(distance), [0] * len(values), [0] * len(values), [(0, 0)] * len(floors)
    )


def test_the_ratio_is_that_of_the_means():
    measured = given_distances([2.0, 4.0, 3.0, 3.0], [1.0, 2.0])
    assert (measured.value, measured.floor, measured.ratio) == (3.0, 1.5, 2.0)
    assert measured.low < 2.0 < measured.high


def test_the_interval_is_students_for_values_without_a_spread_in_the_floor():
    values = [2.0, 4.0, 3.0, 3.0]
    measured = given_distances(values, [1.5] * 10)
    half = 3.182 * np.std(values, ddof=1) / 2 / 1.5
    assert measured.high - measured.ratio == pytest.approx(half)
    assert measured.ratio - measured.low == pytest.approx(half)


def test_without_any_spread_the_interval_is_a_point():
    measured = given_distances([3.0, 3.0], [1.5, 1.5])
    assert measured.low == measured.ratio == measured.high == 2.0


def test_the_interval_never_goes_below_zero():
    assert given_distances([0.1, 8.0], [1.0, 1.1]).low == 0.0


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        m = given_distances(rng.normal(3, 0.3, 4), rng.normal(1.5, 0.15, 24))
        hits += m.low <= 2.0 <= m.high
    assert 0.90 <= hits / 400 <= 0.99


def test_the_numbers_go_to_json_by_name():
    assert given_distances([3.0, 3.0], [1.5, 1.5]).to_json() == {
        "value": 3.0,
        "floor": 1.5,
        "ratio": 2.0,
        "low": 2.0,
        "high": 2.0,
    }
