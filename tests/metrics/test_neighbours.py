"""Do the balls count what their definitions say, and do planted defects show where they should?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from diffuscope.errors import InputError
from diffuscope.metrics import memorisation, neighbourhoods


def naive(x, y, k):
    """Return the four numbers from all distances (Kynkäänniemi et al. 2019; Naeem et al. 2020)."""
    around_real = np.sort(cdist(y, y), axis=1)[:, k]
    around_generated = np.sort(cdist(x, x), axis=1)[:, k]
    between = cdist(x, y)
    real_balls = between <= around_real
    return (
        real_balls.any(axis=1).mean(),
        (between <= around_generated[:, None]).any(axis=0).mean(),
        real_balls.sum() / (k * len(x)),
        real_balls.any(axis=0).mean(),
    )


@pytest.mark.parametrize("d", [1, 2, 10, 11, 40])
@pytest.mark.parametrize("k", [1, 5])
def test_they_are_those_of_all_distances_by_trees_and_by_blocks(gauss, d, k):
    x, y = 1.2 * gauss(150, d), gauss(210, d)
    assert neighbourhoods(x, y, k) == pytest.approx(naive(x, y, k), abs=1e-12)


def test_blocks_give_what_one_block_gives(gauss, monkeypatch):
    x, y, high_x, high_y = gauss(150), gauss(210), gauss(150, 20), gauss(210, 20)
    once = neighbourhoods(x, y), neighbourhoods(high_x, high_y)
    monkeypatch.setattr("diffuscope.metrics.neighbours._TREE_BLOCK", 40)
    monkeypatch.setattr("diffuscope.metrics.neighbours._BLOCK_MIB", 0.05)
    assert (neighbourhoods(x, y), neighbourhoods(high_x, high_y)) == once


def test_moving_and_scaling_both_clouds_changes_nothing(gauss):
    x, y = gauss(300), gauss(300)
    assert neighbourhoods(8 * x + 4, 8 * y + 4) == neighbourhoods(x, y)


def test_coverage_of_perfect_samples_is_its_expectation(gauss):
    n, k = 1500, 5  # Naeem et al. 2020, Eq. 9: 1 - (n-1)...(n-k) / ((2n-1)...(2n-k))
    expected = 1 - np.prod([(n - i) / (2 * n - i) for i in range(1, k + 1)])
    found = [neighbourhoods(gauss(n), gauss(n)) for _ in range(5)]
    assert np.mean([f.coverage for f in found]) == pytest.approx(expected, abs=0.006)
    assert np.mean([f.density for f in found]) == pytest.approx(1, abs=0.03)


def two_modes(rng, n, share=0.5):
    return rng.normal(size=(n, 2)) * 0.3 + np.where(rng.random((n, 1)) < share, -3, 3)


def test_a_missing_mode_lowers_recall_and_coverage_by_its_mass_and_not_precision():
    rng = np.random.default_rng(0)
    real, perfect = two_modes(rng, 1000), neighbourhoods(two_modes(rng, 1000), two_modes(rng, 1000))
    half = neighbourhoods(two_modes(rng, 1000, share=1.0), real)
    assert half.recall == pytest.approx(0.5, abs=0.05)
    assert half.coverage == pytest.approx(0.5, abs=0.06)
    assert half.precision == pytest.approx(perfect.precision, abs=0.02)


def test_outliers_lower_precision_and_density_by_their_share_and_not_recall(gauss):
    x, real = gauss(1000), gauss(1000)
    before = neighbourhoods(x, real)
    x[:200] += 40
    after = neighbourhoods(x, real)
    assert after.precision == pytest.approx(0.8 * before.precision, abs=0.02)
    assert after.density == pytest.approx(0.8 * before.density, abs=0.06)
    assert after.recall == pytest.approx(before.recall, abs=0.05)


def test_one_wide_ball_raises_precision_but_not_density(gauss):
    real, wild = gauss(500), 3.5 * gauss(500)
    lone = np.concatenate([real, [[9.0, 0.0], [-9.0, 0.0], [0.0, 9.0], [0.0, -9.0]]])
    gain = neighbourhoods(wild, lone).precision / neighbourhoods(wild, real).precision
    assert gain > 1.3
    assert neighbourhoods(wild, lone).density < 1.5 * neighbourhoods(wild, real).density


def test_samples_in_one_place_cover_almost_nothing(gauss):
    found = neighbourhoods(np.zeros((500, 2)), gauss(500))
    assert found.coverage < 0.05
    assert found.recall == 0


@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("copied", [0.0, 0.2, 1.0])
def test_memorisation_is_a_tenth_and_the_copies(gauss, d, copied):
    training, fresh = gauss(2000, d), gauss(2000, d)
    copies = int(2000 * copied)
    fresh[:copies] = training[:copies] + 1e-6 * gauss(copies, d)
    found = memorisation(fresh, gauss(2000, d), training)
    assert found == pytest.approx(copied + 0.1 * (1 - copied), abs=0.025)


def test_memorisation_is_found_beside_wild_samples(gauss):
    training, samples = gauss(1000), 100 * gauss(1000)
    samples[:300] = training[:300]
    assert memorisation(samples, gauss(1000), training) > 0.28


def test_memorisation_of_samples_elsewhere_is_nought(gauss):
    assert memorisation(gauss(200) + 30, gauss(200), gauss(200)) == 0


def test_held_out_points_from_the_training_set_are_refused(gauss):
    training = gauss(100)
    with pytest.raises(InputError, match="Memorisation cannot be measured"):
        memorisation(gauss(100), training[:50], training)


def test_clouds_that_cannot_be_compared_are_refused(gauss):
    with pytest.raises(InputError, match="too small"):
        neighbourhoods(gauss(5), gauss(100))
    with pytest.raises(InputError, match="cannot be compared"):
        neighbourhoods(gauss(50), gauss(50, 3))
    with pytest.raises(InputError, match="cannot be compared"):
        memorisation(gauss(50), gauss(50), gauss(50, 3))
    with pytest.raises(InputError, match="not finite"):
        memorisation(gauss(50) * np.nan, gauss(50), gauss(50))
