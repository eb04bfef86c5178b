"""Is the kernel distance that of all pairs, without bias, and does its error say how much it varies?"""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.errors import InputError
from diffuscope.metrics import kernel_distance


def naive(x, y):
    """Return Gretton et al. 2012, Eq. 3, pair by pair."""
    f = x.shape[1]

    def kernel(a, b):
        return (a @ b.T / f + 1) ** 3

    def different(a):
        return np.mean([kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j])

    return different(x) + different(y) - 2 * kernel(x, y).mean()


@pytest.mark.parametrize(("n", "m", "f"), [(4, 5, 3), (37, 61, 2), (50, 40, 12)])
def test_it_is_the_mean_over_all_pairs_of_different_points(gauss, n, m, f):
    x, y = gauss(n, f) + 1, 1.5 * gauss(m, f)
    assert kernel_distance(x, y).value == pytest.approx(naive(x, y), rel=1e-10)


def test_large_blocks_are_multiplied_in_pieces_with_the_same_result(gauss, monkeypatch):
    x, y = gauss(150, 4), gauss(110, 4) + 0.5
    once = kernel_distance(x, y)
    monkeypatch.setattr("diffuscope.metrics.kernel._MOST", 3)
    assert kernel_distance(x, y) == pytest.approx(once, rel=1e-9)


def test_the_value_depends_on_no_order_and_the_error_hardly(gauss):
    x, y = gauss(400, 4), gauss(400, 4) + 0.3
    one, other = kernel_distance(x, y), kernel_distance(x[::-1], y, seed=1)
    assert other.value == pytest.approx(one.value, rel=1e-10)
    assert other.error == pytest.approx(one.error, rel=0.4)
    assert other.error != one.error
    assert kernel_distance(y, x).value == pytest.approx(one.value, rel=1e-10)


def test_of_a_shift_it_is_what_the_moments_say(gauss):
    f, shift = 5, 0.4  # E k over independent X, X' of N(c, I), each inner product s: mean, square, cube
    x, y = gauss(6000, f) + shift, gauss(6000, f)

    def expected(p, q):
        """E(s/f + 1)^3 for s the inner product of N(p, I) and N(q, I), p and q along the ones."""
        s = f * p * q
        variance = f * (1 + p * p + q * q)
        third = 6 * f * p * q  # of s about its mean
        return ((s / f + 1) ** 3) + 3 * (s / f + 1) * variance / f**2 + third / f**3

    true = expected(shift, shift) + expected(0, 0) - 2 * expected(shift, 0)
    value, error = kernel_distance(x, y)
    assert value == pytest.approx(true, abs=3 * error)
    assert error < 0.1 * true


@pytest.mark.slow
def test_of_equal_laws_it_is_zero_on_average_at_any_size(gauss):
    for n, m in ((10, 10), (30, 90)):
        found = [kernel_distance(gauss(n, 3) + 1, gauss(m, 3) + 1).value for _ in range(200)]
        assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(200)
        assert 0.3 < np.mean(np.array(found) < 0) < 0.8


@pytest.mark.slow
def test_the_error_is_how_much_values_vary_and_for_equal_laws_not_too_small(gauss):
    apart = [kernel_distance(gauss(400, 4), gauss(400, 4) + 0.7) for _ in range(60)]
    spread = np.std([found.value for found in apart])
    assert np.mean([found.error for found in apart]) == pytest.approx(spread, rel=0.3)
    equal = [kernel_distance(gauss(200, 4), gauss(200, 4)) for _ in range(60)]
    spread = np.std([found.value for found in equal])
    assert 1.0 < np.mean([found.error for found in equal]) / spread < 2.0


def test_clouds_that_cannot_be_compared_are_refused(gauss):
    with pytest.raises(InputError, match="too small"):
        kernel_distance(gauss(3), gauss(100))
    with pytest.raises(InputError, match="cannot be compared"):
        kernel_distance(gauss(50), gauss(50, 3))
    with pytest.raises(InputError, match="not finite"):
        kernel_distance(gauss(50) * np.nan, gauss(50))
