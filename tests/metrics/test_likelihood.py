"""Are entropy and divergence those of laws where they are known?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from diffuscope.errors import InputError
from diffuscope.metrics import entropy, excess_divergence, kl_divergence


def standard(x):
    return norm.logpdf(x).sum(axis=1)


@pytest.mark.parametrize(("d", "bias"), [(1, 0.02), (2, 0.02), (3, 0.05), (8, 0.05)])
def test_the_entropy_of_a_gaussian_is_the_closed_form_within_its_stated_bias(gauss, d, bias):
    found = np.mean([entropy(gauss(2000, d)) for _ in range(6)])
    assert found == pytest.approx(d / 2 * math.log(2 * math.pi * math.e), abs=bias)


def test_the_bias_of_the_entropy_in_sixteen_dimensions_is_the_one_stated(gauss):
    found = np.mean([entropy(gauss(2000, 16)) for _ in range(3)])
    assert found - 8 * math.log(2 * math.pi * math.e) == pytest.approx(0.64, abs=0.08)


def test_the_entropy_moves_by_the_log_of_the_units(gauss):
    x = gauss(500, 3)
    assert entropy(10 * x + 7) == pytest.approx(entropy(x) + 3 * math.log(10), abs=1e-9)


@pytest.mark.parametrize("k", [1, 5])
def test_the_divergence_of_gaussians_is_the_closed_form(gauss, k):
    scale, shift = np.array([1.5, 0.7]), np.array([0.5, -1.0])
    expected = 0.5 * (scale**2 + shift**2 - 1 - 2 * np.log(scale)).sum()
    found = [kl_divergence(gauss(2000) * scale + shift, standard, k) for _ in range(8)]
    assert np.mean(found) == pytest.approx(expected, abs=0.04)


def test_the_divergence_of_a_truth_with_correlation_uses_the_given_density(gauss):
    law = multivariate_normal([1, 2], [[2.0, 1.2], [1.2, 1.0]])
    x = law.rvs(3000, random_state=1)
    assert kl_divergence(x, law.logpdf) == pytest.approx(0, abs=0.05)


def test_the_excess_of_perfect_samples_is_zero_even_where_the_entropy_is_far_off(gauss):
    excess = [excess_divergence(gauss(200, 16), gauss(200, 16), standard) for _ in range(60)]
    assert abs(np.mean(excess)) < 3.5 * np.std(excess) / math.sqrt(60)
    assert abs(kl_divergence(gauss(200, 16), standard)) > 0.5


def test_points_where_the_truth_is_zero_have_an_infinite_divergence(gauss):
    def positive(x):
        return np.where((x > 0).all(axis=1), 0.0, -np.inf)

    assert kl_divergence(gauss(100), positive) == np.inf


def test_points_without_a_density_are_refused(gauss):
    with pytest.raises(InputError, match="are equal"):
        entropy(np.repeat(gauss(20), 7, axis=0))
    with pytest.raises(InputError, match="too small"):
        entropy(gauss(5))
    for wrong in (lambda x: np.zeros(3), lambda x: np.full(len(x), np.nan)):
        with pytest.raises(InputError, match="log_density"):
            kl_divergence(gauss(50), wrong)
