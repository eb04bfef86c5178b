"""Are the simpler methods fitted as well as a careful user would, and in the units of the data?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import KernelDensity

from diffuscope.data.points import load_dataset
from diffuscope.modalities.points.baselines import fit_baselines

UNITS = np.array([1.0, 250.0])


def gauss(n, seed):
    return np.random.default_rng(seed).normal(size=(n, 2)) * UNITS + [3.0, -1000.0]


def by_name(x, seed=0):
    return {baseline.name: baseline for baseline in fit_baselines(x, seed)}


@pytest.fixture(scope="module")
def fitted():
    return by_name(gauss(2000, 0))


def test_there_are_three(fitted):
    assert list(fitted) == ["kernel_density", "gaussian_mixture", "training_data"]


@pytest.mark.parametrize(("name", "nats"), [("kernel_density", 0.08), ("gaussian_mixture", 0.01)])
def test_densities_are_in_nats_in_the_units_of_the_data(fitted, name, nats):
    x = gauss(4000, 1)
    truth = stats.norm([3.0, -1000.0], UNITS).logpdf(x).sum(axis=1)
    assert 0 <= np.mean(truth - fitted[name].log_density(x)) < nats


@pytest.mark.parametrize("name", ["kernel_density", "gaussian_mixture", "training_data"])
def test_samples_are_in_the_units_of_the_data(fitted, name):
    x = fitted[name].sample(4000, 5)
    assert x.shape == (4000, 2)
    np.testing.assert_allclose((x.mean(axis=0) - [3.0, -1000.0]) / UNITS, 0, atol=0.1)
    np.testing.assert_allclose(x.std(axis=0) / UNITS, 1, rtol=0.15)


@pytest.mark.slow
def test_the_mixture_has_as_many_components_as_the_data():
    x = load_dataset("eight_gaussians", size=3000).x
    assert by_name(x)["gaussian_mixture"].title == "Gaussian mixture of 8"


@pytest.mark.slow
def test_the_bandwidth_is_about_the_one_that_fits_unseen_data_best():
    x, unseen = (load_dataset("moons", size=1500, seed=seed).x for seed in (0, 1))
    z, z_unseen = ((part - x.mean(0)) / x.std(0) for part in (x, unseen))
    best = max(KernelDensity(bandwidth=h).fit(z).score(z_unseen) for h in np.geomspace(0.02, 1, 25))
    ours = by_name(x)["kernel_density"].log_density(unseen).sum() + len(unseen) * np.log(x.std(0)).sum()
    assert best - ours < 0.01 * len(unseen)


def test_the_training_data_is_drawn_without_putting_back_as_long_as_it_lasts(fitted):
    x = fitted["training_data"].sample(2000, 1)
    assert len(np.unique(x, axis=0)) == 2000
    assert len(np.unique(fitted["training_data"].sample(3000, 1), axis=0)) < 2000 + 1


def test_the_same_seed_gives_the_same_samples(fitted):
    for baseline in fitted.values():
        np.testing.assert_array_equal(baseline.sample(50, 3), baseline.sample(50, 3))
        assert not np.array_equal(baseline.sample(50, 3), baseline.sample(50, 4))


@pytest.mark.parametrize("shape", [(6, 1), (40, 30), (3, 2)])
def test_few_rows_and_many_columns_do(shape):
    x = np.random.default_rng(0).normal(size=shape)
    for baseline in fit_baselines(x):
        assert np.isfinite(baseline.sample(20, 0)).all()
        if baseline.log_density is not None:
            assert np.isfinite(baseline.log_density(x)).all()
