"""Are the built-in point sets what their docstrings say, and are their fresh draws independent?"""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from sklearn.datasets import make_circles, make_moons, make_s_curve, make_swiss_roll

from diffuscope.data.base import Dataset
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.errors import InputError

NAMES = sorted(POINT_SETS)


def noiseless(name: str, n: int = 4000) -> np.ndarray:
    return load_dataset(name, size=n, noise=0.0, seed=3).x


def test_the_registry_holds_the_eight_sets_each_with_a_description() -> None:
    assert set(NAMES) == {
        "s_curve", "swiss_roll", "moons", "circles",
        "eight_gaussians", "checkerboard", "pinwheel", "two_spirals",
    }  # fmt: skip
    assert all(points.description and points.noise >= 0.0 for points in POINT_SETS.values())
    assert all("~" in (points.function.__doc__ or "") for points in POINT_SETS.values())  # the law


def test_s_curve_is_scikit_learns_bit_for_bit() -> None:
    expected = make_s_curve(10_000, noise=0.1, random_state=7)[0][:, [0, 2]]
    np.testing.assert_array_equal(load_dataset("s_curve", seed=7).x, expected)


def test_swiss_roll_is_scikit_learns_bit_for_bit() -> None:
    expected = make_swiss_roll(500, noise=0.3, random_state=1)[0][:, [0, 2]]
    np.testing.assert_array_equal(load_dataset("swiss_roll", size=500, noise=0.3, seed=1).x, expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_builtin_set_is_a_plain_finite_table_that_describes_itself(name: str) -> None:
    data = load_dataset(name)
    assert data.x.shape == (10_000, 2)
    assert data.x.dtype == np.float64
    assert data.x.flags["C_CONTIGUOUS"]
    assert np.isfinite(data.x).all()
    assert (data.name, data.columns) == (name, None)
    assert json.loads(json.dumps(data.source)) == {
        "kind": "builtin",
        "name": name,
        "size": 10_000,
        "noise": POINT_SETS[name].noise,
        "seed": 0,
    }


@pytest.mark.parametrize("name", NAMES)
def test_the_seed_decides_the_points(name: str) -> None:
    a, b, c = (load_dataset(name, size=50, seed=seed).x for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.isin(a, c).any()


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("name", NAMES)
def test_fresh_draws_share_no_point_with_the_training_set_of_equal_seed(name: str, noise: float) -> None:
    data = load_dataset(name, size=400, noise=noise, seed=5)
    assert data.draw is not None
    fresh = data.draw(400, 5)
    assert fresh.shape == (400, 2)
    # A distance between draws means something only if no point is in both. eight_gaussians without
    # noise is eight points, so it alone may repeat itself.
    if not (name == "eight_gaussians" and noise == 0.0):
        assert not set(map(tuple, data.x)) & set(map(tuple, fresh))
    np.testing.assert_array_equal(fresh, data.draw(400, 5))
    assert not np.array_equal(fresh, data.draw(400, 6))


@pytest.mark.parametrize("name", NAMES)
def test_fresh_draws_follow_the_law_of_the_training_set(name: str) -> None:
    data = load_dataset(name, size=20_000, seed=11)
    assert data.draw is not None
    fresh = data.draw(20_000, 11)
    # Cells of a 6 x 6 grid: two-sample chi-square, whose mean is the degrees of freedom.
    edges = [np.linspace(data.x[:, j].min(), data.x[:, j].max(), 7) for j in range(2)]
    a, b = (np.histogram2d(x[:, 0], x[:, 1], bins=edges)[0].ravel() for x in (data.x, fresh))
    used = a + b > 20
    chi2 = np.sum((a - b)[used] ** 2 / (a + b)[used])
    freedom = int(used.sum())
    assert chi2 < freedom + 5.0 * np.sqrt(2.0 * freedom)


@pytest.mark.parametrize("name", NAMES)
def test_noise_adds_its_variance_to_each_coordinate(name: str) -> None:
    n, noise = 60_000, 3.0
    clean = load_dataset(name, size=n, noise=0.0, seed=0).x
    noisy = load_dataset(name, size=n, noise=noise, seed=1).x
    added = noisy.var(axis=0) - clean.var(axis=0)
    scatter = np.sqrt(2.0 / n) * (noisy.var(axis=0) + clean.var(axis=0))
    assert np.all(np.abs(added - noise**2) < 5.0 * scatter)


def test_s_curve_lies_on_two_unit_arcs() -> None:
    x = noiseless("s_curve")
    radius = np.hypot(x[:, 0], np.abs(x[:, 1]) - 1.0)
    np.testing.assert_allclose(radius, 1.0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("moons", make_moons(4001)[0]), ("circles", make_circles(4001, factor=0.5)[0])],
)
def test_moons_and_circles_lie_on_scikit_learns_curves(name: str, reference: np.ndarray) -> None:
    x = noiseless(name, 300)
    nearest = np.linalg.norm(x[:, None] - reference[None], axis=2).min(axis=1)
    assert nearest.max() < 2 * np.pi / 2000  # the spacing of the reference
    np.testing.assert_allclose(noiseless(name, 40_000).mean(axis=0), reference.mean(axis=0), atol=0.03)


def test_eight_gaussians_has_eight_equal_clusters_on_a_ring() -> None:
    x = noiseless("eight_gaussians", 8000)
    np.testing.assert_allclose(np.hypot(*x.T), 2 * np.sqrt(2), atol=1e-12)
    angle, count = np.unique(np.round(np.arctan2(x[:, 1], x[:, 0]) / (np.pi / 4)) % 8, return_counts=True)
    assert list(angle) == list(range(8))
    assert np.all(np.abs(count - 1000) < 5 * np.sqrt(1000 * 7 / 8))


def test_checkerboard_fills_exactly_the_dark_squares_evenly() -> None:
    x = noiseless("checkerboard", 8000)
    assert x.min() >= -4.0
    assert x.max() < 4.0
    square = np.floor(x / 2).astype(int)
    assert np.all(square.sum(axis=1) % 2 == 0)
    _, count = np.unique(square, axis=0, return_counts=True)
    assert len(count) == 8
    assert np.all(np.abs(count - 1000) < 5 * np.sqrt(1000 * 7 / 8))


def test_pinwheel_has_five_arms_that_follow_their_angle() -> None:
    x = noiseless("pinwheel")
    r = np.hypot(*x.T) / 2
    arm = (-np.arctan2(x[:, 1], x[:, 0]) - 0.25 * np.exp(r)) / (2 * np.pi / 5)
    # Where r was drawn negative the point comes out on the other side of the centre: 4 in 10,000.
    on_arm = np.abs(arm - np.round(arm)) < 1e-9
    assert on_arm.mean() > 0.998
    assert set(np.round(arm[on_arm]).astype(int) % 5) == set(range(5))
    assert abs(r.mean() - 1.0) < 5 * 0.3 / np.sqrt(len(r))


def test_two_spirals_are_each_other_turned_by_half_a_turn() -> None:
    x = noiseless("two_spirals")
    t = 3 * np.hypot(*x.T)
    curve = (t / 3)[:, None] * np.stack([-np.cos(t), np.sin(t)], axis=1)
    first = np.linalg.norm(x - curve, axis=1) < 1e-9
    second = np.linalg.norm(x + curve, axis=1) < 1e-9
    assert np.all(first ^ second)
    assert abs(first.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(x))
    # t = 3π√u, so (t/3π)² is uniform: mean 1/2, variance 1/12
    assert abs(((t / (3 * np.pi)) ** 2).mean() - 0.5) < 5 * np.sqrt(1 / 12 / len(x))


def test_a_builtin_dataset_survives_a_worker_process() -> None:
    data = load_dataset("moons", size=20)
    copy = pickle.loads(pickle.dumps(data))
    np.testing.assert_array_equal(copy.draw(5, 1), data.draw(5, 1))


@pytest.mark.parametrize("size", [1, 0, -3, True, 2.5, "ten"])
def test_a_size_that_is_no_number_of_points_is_refused(size: object) -> None:
    with pytest.raises(InputError, match="size must be"):
        load_dataset("moons", size=size)  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", [-0.1, float("nan"), float("inf"), "much"])
def test_noise_that_is_no_standard_deviation_is_refused(noise: object) -> None:
    with pytest.raises(InputError, match="noise must be a finite number that is not negative"):
        load_dataset("moons", noise=noise)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, None])
def test_a_seed_out_of_range_is_refused(seed: object) -> None:
    with pytest.raises(InputError, match="seed must be a whole number"):
        load_dataset("moons", seed=seed)  # type: ignore[arg-type]


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match=r"(?s)no data set named 'scurve'.*Did you mean 's_curve'\?"):
        load_dataset("scurve")


def test_ones_own_generator_gives_training_points_and_fresh_draws() -> None:
    def ring(n: int, rng: np.random.Generator) -> np.ndarray:
        t = rng.uniform(0, 2 * np.pi, n)
        return np.stack([np.cos(t), np.sin(t)], axis=1)

    data = load_dataset(ring, size=100, seed=4)
    assert isinstance(data, Dataset)
    assert data.draw is not None
    assert (data.name, data.x.shape) == ("ring", (100, 2))
    assert data.source == {"kind": "callable", "name": "ring", "size": 100, "seed": 4}
    np.testing.assert_array_equal(data.x, ring(100, np.random.default_rng(4)))
    fresh = data.draw(100, 4)
    assert not np.isin(fresh, data.x).any()
    np.testing.assert_array_equal(fresh, data.draw(100, 4))
    assert load_dataset(ring).x.shape == (10_000, 2)


def test_a_generator_that_returns_another_number_of_points_is_refused() -> None:
    def short(n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_normal((n - 1, 2))

    with pytest.raises(InputError, match=r"short\(10, rng\) returned shape \(9, 2\), not \(10, 2\)"):
        load_dataset(short, size=10)


def test_a_generator_may_draw_a_single_fresh_point_of_one_dimension() -> None:
    def coin(n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.integers(0, 2, n)

    data = load_dataset(coin, size=100)
    assert data.draw is not None
    assert data.x.shape == (100, 1)
    assert data.draw(1, 0).shape == (1, 1)


def test_a_generator_that_returns_nan_is_refused() -> None:
    def broken(n: int, rng: np.random.Generator) -> np.ndarray:
        return np.full((n, 2), np.nan)

    with pytest.raises(InputError, match=r"What broken\(10, rng\) returned has 20 missing"):
        load_dataset(broken, size=10)
