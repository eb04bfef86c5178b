"""Are the distances those of their formulas?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from diffuscope.errors import InputError
from diffuscope.metrics import sliced_wasserstein, wasserstein

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
    angles = np.linspace(0, np.pi, 2000, endpoint=False)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    squares = [np.mean((np.sort(X @ v) - np.sort(Y @ v)) ** 2) for v in around]
    assert sliced_wasserstein(X, Y) == pytest.approx(math.sqrt(np.mean(squares)), rel=1e-2)


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
    for distance in (sliced_wasserstein, wasserstein):
        with np.errstate(invalid="ignore"), pytest.raises(InputError, match=words):
            distance(x, y)


@pytest.mark.parametrize("d", [1, 2, 7])
def test_the_exact_distance_is_that_of_the_best_assignment(d):
    x, y = np.random.default_rng(1).normal(size=(2, 120, d)) * [[[1.0]], [[2.0]]]
    cost = cdist(x, y, "sqeuclidean")
    best = cost[linear_sum_assignment(cost)].mean()
    assert wasserstein(x, y) == pytest.approx(math.sqrt(best), rel=1e-6)
    assert wasserstein(x + 1e6, y + 1e6) == pytest.approx(math.sqrt(best), rel=1e-6)


def test_the_exact_distance_of_a_shift_is_the_shift_and_in_one_dimension_the_sliced_one():
    assert wasserstein(X, X + np.array([3.0, 4.0])) == pytest.approx(5)
    assert wasserstein(X[:, :1], Y[:, :1]) == pytest.approx(sliced_wasserstein(X[:, :1], Y[:, :1]), rel=1e-5)


def test_the_exact_distance_splits_mass_between_clouds_of_unequal_sizes():
    assert wasserstein([[0.0]], [[-1.0], [1.0], [1.0]]) == pytest.approx(1)
    assert wasserstein(np.repeat(X[:100], 3, axis=0), Y[:100]) == pytest.approx(wasserstein(X[:100], Y[:100]))


def test_the_exact_distance_of_gaussians_is_the_closed_form_above_their_floor():
    x, y = np.random.default_rng(5).normal(size=(2, 1000, 1)) * [[[1.0]], [[3.0]]] + [[[0.0]], [[2.0]]]
    assert wasserstein(x, y) == pytest.approx(math.sqrt(2**2 + (3 - 1) ** 2), rel=0.05)


def test_more_points_than_are_used_are_drawn_from_and_the_same_ones_for_a_seed():
    x = np.sort(np.random.default_rng(5).normal(size=(20_000, 1)), axis=0)  # the first rows are the least
    assert wasserstein(x, x, 300) < 0.35
    assert wasserstein(x, x, 300) == wasserstein(x, x, 300) != wasserstein(x, x, 300, seed=1)
