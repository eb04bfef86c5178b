"""Are the statistics those of their formulas, without bias, and is the test's error what it says?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from diffuscope.errors import InputError
from diffuscope.metrics import classifier_two_sample, energy_distance, median_distance, mmd


def u_statistic(x, y, kernel):
    n, m = len(x), len(y)
    within = (kernel(x, x).sum() - np.trace(kernel(x, x))) / (n * (n - 1))
    beyond = (kernel(y, y).sum() - np.trace(kernel(y, y))) / (m * (m - 1))
    return within + beyond - 2 * kernel(x, y).mean()


def mixture(x, y):
    squares = cdist(x, y, "sqeuclidean")
    return np.mean([np.exp(-squares / (2 * h**2)) for h in (2, 1, 1 / 2, 1 / 4, 1 / 8)], axis=0)


def mean_and_error(values):
    return np.mean(values), np.std(values, ddof=1) / math.sqrt(len(values))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_energy_distance_by_sorting_is_the_one_over_all_pairs(gauss, d):
    x, y = gauss(150, d), 1.3 * gauss(211, d) + 0.5
    naive = u_statistic(x, y, lambda a, b: -cdist(a, b))
    assert energy_distance(x, y, 2048) == pytest.approx(naive, rel=1e-9 if d == 1 else 0.01)
    assert energy_distance(x, y) == pytest.approx(energy_distance(y, x), rel=1e-9)


def test_the_energy_distance_of_shifted_gaussians_is_the_closed_form(gauss):
    shift = 2.0  # E|Z| of Z ~ N(m, 2), less that of N(0, 2), twice
    folded = 2 / math.sqrt(math.pi) * math.exp(-(shift**2) / 4) + shift * math.erf(shift / 2)
    values = [energy_distance(gauss(500, 1) + shift, gauss(400, 1)) for _ in range(40)]
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(2 * (folded - 2 / math.sqrt(math.pi)), abs=4 * error)
    assert error < 0.02


@pytest.mark.parametrize("n", [5, 40])
def test_of_equal_laws_both_are_zero_on_average_even_for_few_points(gauss, n):
    for statistic in (energy_distance, lambda x, y: mmd(x, y, 1.0)):
        mean, error = mean_and_error([statistic(gauss(n), gauss(n + 3)) for _ in range(300)])
        assert abs(mean) < 3.5 * error


def test_the_discrepancy_of_one_block_is_the_one_over_all_pairs(gauss):
    x, y = gauss(90) + 50, gauss(131) * 1.2 + 50
    assert mmd(x, y, 1.0) == pytest.approx(u_statistic(x, y, mixture), rel=1e-9)
    assert mmd(10 * x, 10 * y, 10.0) == pytest.approx(mmd(x, y, 1.0), rel=1e-6)
    assert mmd(10 * x, 10 * y) == pytest.approx(mmd(x, y), rel=1e-6)  # the median has the units


def test_the_discrepancy_of_shifted_gaussians_is_the_closed_form(gauss):
    # E exp(-|Z|^2 / 2h^2) of Z ~ N(m, 2 I_d) is (h^2 / (h^2 + 2))^(d/2) exp(-|m|^2 / 2(h^2 + 2))
    squares = np.array([2, 1, 1 / 2, 1 / 4, 1 / 8]) ** 2
    expected = np.mean(2 * squares / (squares + 2) * (1 - np.exp(-1 / (2 * (squares + 2)))))
    values = [mmd(gauss(600) + np.array([1, 0]), gauss(600), 1.0, block=200) for _ in range(30)]
    mean, error = mean_and_error(values)
    assert mean == pytest.approx(expected, abs=4 * error)
    assert error < 0.03 * expected


@pytest.mark.slow
def test_blocks_of_equal_laws_vary_as_a_full_statistic_of_the_same_cost(gauss):
    blocks = np.std([mmd(gauss(800), gauss(800), 1.0, block=50) for _ in range(120)])
    full = np.std([mmd(gauss(200), gauss(200), 1.0) for _ in range(120)])
    assert blocks == pytest.approx(full, rel=0.3)


def test_a_cloud_sorted_by_its_classes_is_measured_like_a_shuffled_one(gauss):
    x = gauss(2000)
    assert abs(mmd(x[np.argsort(x[:, 0])], gauss(2000), 1.0)) < 0.01


def test_a_much_larger_cloud_is_taken_in_part(gauss):
    assert mmd(gauss(100_000) + 3, gauss(20), 1.0) > 0.2


def test_the_median_distance_is_that_of_all_pairs_and_not_zero_for_repeated_points(gauss):
    x, y = gauss(60), gauss(80)
    both = np.concatenate([x, y])
    assert median_distance(x, y) == np.median(cdist(both, both)[np.triu_indices(140, 1)])
    repeated = np.zeros((100, 1))
    assert median_distance(repeated, np.ones((10, 1))) > 0


@pytest.mark.slow
def test_a_classifier_cannot_tell_equal_laws_apart_and_says_so(gauss):
    tests = [classifier_two_sample(gauss(100), gauss(100), seed) for seed in range(60)]
    mean, error = mean_and_error([test.accuracy for test in tests])
    assert mean == pytest.approx(0.5, abs=3.5 * error)
    assert np.mean([test.p_value < 0.05 for test in tests]) <= 0.09
    assert np.mean([test.low <= 0.5 <= test.high for test in tests]) >= 0.93


def test_a_classifier_finds_a_wrong_correlation_and_no_more_than_bayes(gauss):
    x = gauss(1000, 4)
    y = gauss(1300, 4)
    y[:, 1] = 0.9 * y[:, 0] + math.sqrt(0.19) * y[:, 1]
    test = classifier_two_sample(x, y)
    assert test.p_value < 1e-6
    assert 0.65 < test.low < test.accuracy < test.high < 0.8
    shifted = classifier_two_sample(gauss(1000, 1) + 1, gauss(1000, 1))
    assert shifted.accuracy == pytest.approx(0.6915, abs=0.04)  # Φ(1/2)


@pytest.mark.parametrize("statistic", [energy_distance, mmd, classifier_two_sample])
@pytest.mark.parametrize(
    ("rows", "value", "words"),
    [(0, 0.0, "cannot be compared"), (1, 0.0, "too small"), (60, np.nan, "not finite")],
)
def test_clouds_without_a_statistic_are_refused(gauss, statistic, rows, value, words):
    with pytest.raises(InputError, match=words):
        statistic(gauss(60), np.full((rows, 2), value))
