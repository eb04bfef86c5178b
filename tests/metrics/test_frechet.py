"""Is the Fréchet distance that of normal laws, at any rank, and does it tell how much of it is chance?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from diffuscope.errors import InputError
from diffuscope.metrics import MetricSuite, extrapolated_frechet, frechet_distance


def of_moments(mean_a, cov_a, mean_b, cov_b):
    """Return Heusel et al. 2017, Eq. 6, word by word."""
    common = sqrtm(cov_a @ cov_b).real
    return np.square(mean_a - mean_b).sum() + np.trace(cov_a + cov_b - 2 * common)


def with_moments(gauss, n, mean, factor):
    """Return points (n, f) whose sample mean and covariance are just ``mean`` and ``factor.T @ factor``."""
    x = gauss(n, len(mean))
    x -= x.mean(axis=0)
    white = np.linalg.qr(x)[0] * np.sqrt(n - 1)
    return white @ factor + mean


@pytest.fixture
def two_laws(gauss):
    """Return means and covariance factors of two normal laws in 6 dimensions that do not commute."""
    return (gauss(6, 1)[:, 0], gauss(6, 6), gauss(6, 1)[:, 0], gauss(6, 6))


def test_it_is_the_closed_form_where_moments_are_known(gauss, two_laws):
    mean_a, a, mean_b, b = two_laws
    found = frechet_distance(with_moments(gauss, 90, mean_a, a), with_moments(gauss, 50, mean_b, b))
    assert found == pytest.approx(of_moments(mean_a, a.T @ a, mean_b, b.T @ b), rel=1e-9)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 3.0), (2.5, 0.0), (0.1, 1.0)])
def test_a_cloud_that_is_scaled_and_shifted_is_as_far_as_its_deviations_and_mean_move(gauss, scale, shift):
    x = gauss(300, 5)
    moved = scale * (x - x.mean(axis=0)) + x.mean(axis=0) + shift
    expected = (scale - 1) ** 2 * x.var(axis=0, ddof=1).sum() + 5 * shift**2
    assert frechet_distance(moved, x) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "m"), [(12, 40), (40, 12), (9, 9)])
def test_fewer_points_than_features_are_measured_as_exactly(gauss, n, m):
    f, noise = 20, 1e-7  # scipy's root of a singular matrix is off by about the root of a rounding error
    x, y = gauss(n, f), 2 * gauss(m, f) + 1
    eye = noise * np.eye(f)
    expected = of_moments(x.mean(0), np.cov(x.T) + eye, y.mean(0), np.cov(y.T) + eye)
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-3)


def test_a_cloud_is_at_no_distance_from_itself_in_another_order_to_the_last_digits(gauss):
    x = gauss(500, 64) @ np.diag(np.geomspace(1, 1e-6, 64))
    assert frechet_distance(x, x[::-1]) < 1e-13
    few = gauss(20, 64)
    assert frechet_distance(few, few[::-1]) < 1e-12


def test_turning_and_moving_both_clouds_changes_nothing_and_neither_does_exchanging_them(gauss):
    x, y = gauss(200, 8), 1.3 * gauss(150, 8)
    once = frechet_distance(x, y)
    turn = np.linalg.qr(gauss(8, 8))[0]
    assert frechet_distance(x @ turn + 1e4, y @ turn + 1e4) == pytest.approx(once, rel=1e-8)
    assert frechet_distance(y, x) == pytest.approx(once, rel=1e-12)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * once, rel=1e-12)


def test_the_excess_of_equal_laws_goes_with_one_over_n_and_extrapolation_takes_it_out(gauss):
    f, small, large = 16, 400, 1600
    plain = [np.mean([frechet_distance(gauss(n, f), gauss(n, f)) for _ in range(8)]) for n in (small, large)]
    assert plain[0] / plain[1] == pytest.approx(large / small, rel=0.1)
    beyond = [extrapolated_frechet(gauss(small, f), gauss(small, f)) for _ in range(16)]
    assert abs(np.mean(beyond)) < 3 * np.std(beyond) / 4
    assert abs(np.mean(beyond)) < plain[0] / 15


def test_extrapolation_finds_the_true_distance_that_few_points_overstate(gauss, two_laws):
    mean_a, a, mean_b, b = two_laws
    mean_b, b = mean_a + 0.1, a + 0.15 * b
    true = of_moments(mean_a, a.T @ a, mean_b, b.T @ b)
    pairs = [(gauss(200, 6) @ a + mean_a, gauss(200, 6) @ b + mean_b) for _ in range(40)]
    plain = np.mean([frechet_distance(x, y) for x, y in pairs])
    beyond = [extrapolated_frechet(x, y) for x, y in pairs]
    assert abs(np.mean(beyond) - true) < 3 * np.std(beyond) / np.sqrt(40)
    assert plain - true > 5 * abs(np.mean(beyond) - true)


@pytest.mark.slow
def test_among_other_metrics_it_is_measured_where_it_is_asked_for(gauss):
    names = ["frechet_distance", "frechet_extrapolated", "kernel_distance"]

    def clouds(count, spread=1.0):
        return [spread * gauss(300, 8) for _ in range(count)]

    pairs = list(zip(clouds(12), clouds(12), strict=True))
    suite = MetricSuite(clouds(6), pairs, only=names)
    perfect = suite.measure(clouds(6))
    assert list(perfect) == names
    assert [m.low < ideal < m.high for m, ideal in zip(perfect.values(), (1, 0, 0), strict=True)] == [
        True
    ] * 3
    wide = suite.measure(clouds(6, 1.4))
    assert all(wide[name].low > perfect[name].high for name in names)
    assert set(MetricSuite(clouds(6), pairs).measure(clouds(6))).isdisjoint(names)


def test_too_few_points_to_extrapolate_from_are_left_out_with_the_reason(gauss):
    clouds = [gauss(100, 20) for _ in range(4)]
    suite = MetricSuite(clouds[::-1], [(clouds[0], clouds[1])], only=["frechet_extrapolated"])
    found = suite.measure(clouds)
    assert not found
    assert "too small for an extrapolation" in found.left_out["frechet_extrapolated"]


def test_clouds_that_cannot_be_compared_are_refused(gauss):
    with pytest.raises(InputError, match="too small"):
        frechet_distance(gauss(1), gauss(100))
    with pytest.raises(InputError, match="cannot be compared"):
        frechet_distance(gauss(50), gauss(50, 3))
    with pytest.raises(InputError, match="not finite"):
        frechet_distance(gauss(50) * np.inf, gauss(50))
    with pytest.raises(InputError, match="at least 16 points"):
        extrapolated_frechet(gauss(15), gauss(50))
