"""Is what a model says of rows true of the law that they come from?"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal, norm

from diffuscope import DiffusionModel

pytestmark = pytest.mark.usefixtures("whole_densities")
MEAN = np.array([10.0, -3.0, 0.5])


def test_samples_have_the_mean_and_covariance_of_the_law(normal_model, covariance):
    rows = normal_model.sample(20_000, random_state=1)
    assert np.abs(rows.mean(axis=0) - MEAN).max() < 0.08
    assert np.abs(np.cov(rows.T) - covariance).max() < 0.12


@pytest.mark.slow
def test_log_densities_are_those_of_the_law(normal_model, normal_rows, covariance):
    rows = normal_rows(400, 7)
    found, true = normal_model.score_samples(rows), multivariate_normal(MEAN, covariance).logpdf(rows)
    assert abs((found - true).mean()) < 0.06
    assert np.std(found - true) < 0.25
    assert normal_model.score(rows) == pytest.approx(found.mean())


@pytest.mark.slow
def test_the_density_of_a_row_with_holes_is_that_of_what_is_there(normal_model, normal_rows, covariance):
    rows = normal_rows(300, 8)
    rows[:, 1] = np.nan
    kept = [0, 2]
    true = multivariate_normal(MEAN[kept], covariance[np.ix_(kept, kept)]).logpdf(rows[:, kept])
    found = normal_model.score_samples(rows)
    assert abs((found - true).mean()) < 0.06
    assert np.std(found - true) < 0.25
    nothing = np.full((2, 3), np.nan)
    assert np.array_equal(normal_model.score_samples(nothing), [0.0, 0.0])


def conditional(covariance, known, value):
    rest = [j for j in range(3) if j not in known]
    gain = covariance[np.ix_(rest, known)] @ np.linalg.inv(covariance[np.ix_(known, known)])
    mean = MEAN[rest] + gain @ (np.array(value) - MEAN[known])
    return rest, mean, covariance[np.ix_(rest, rest)] - gain @ covariance[np.ix_(known, rest)]


def test_rows_with_given_columns_follow_the_conditional_law(normal_model, covariance):
    rows = normal_model.sample(8000, given={0: 11.5}, random_state=2)
    assert (rows[:, 0] == 11.5).all()
    rest, mean, spread = conditional(covariance, [0], [11.5])
    assert np.abs(rows[:, rest].mean(axis=0) - mean).max() < 0.1
    assert np.abs(np.cov(rows[:, rest].T) - spread).max() < 0.12


def test_each_row_can_be_given_a_value_of_its_own(normal_model, covariance):
    values = np.repeat([9.0, 11.0], 3000)
    rows = normal_model.sample(6000, given={0: values, 2: np.zeros(6000)}, random_state=2)
    assert np.array_equal(rows[:, 0], values)
    for part, value in ((rows[:3000], 9.0), (rows[3000:], 11.0)):
        _, mean, _ = conditional(covariance, [0, 2], [value, 0.0])
        assert abs(part[:, 1].mean() - mean[0]) < 0.1


@pytest.mark.slow
def test_holes_are_filled_from_the_conditional_law(normal_model, normal_rows, covariance):
    rows = normal_rows(1500, 3)
    holes = rows.copy()
    holes[:, 1] = np.nan
    gain = covariance[1, [0, 2]] @ np.linalg.inv(covariance[np.ix_([0, 2], [0, 2])])
    best = MEAN[1] + (rows[:, [0, 2]] - MEAN[[0, 2]]) @ gain
    noise = np.sqrt(covariance[1, 1] - gain @ covariance[[0, 2], 1])
    averaged = normal_model.impute(holes, n_draws=16, average=True, random_state=0)
    assert np.array_equal(averaged[:, [0, 2]], rows[:, [0, 2]])
    assert np.sqrt(np.mean((averaged[:, 1] - rows[:, 1]) ** 2)) < 1.1 * np.sqrt(
        np.mean((best - rows[:, 1]) ** 2)
    )
    first, second = normal_model.impute(holes, n_draws=2, random_state=0)
    assert np.std(first[:, 1] - best) == pytest.approx(noise, rel=0.12)
    assert abs(np.corrcoef(first[:, 1] - best, second[:, 1] - best)[0, 1]) < 0.1  # draws are independent


def test_denoising_gives_the_posterior_mean(normal_model, normal_rows, covariance):
    clean, random = normal_rows(2000, 4), np.random.default_rng(5)
    noisy = clean + 0.5 * random.normal(size=clean.shape)
    posterior = MEAN + (noisy - MEAN) @ np.linalg.solve(covariance + 0.25 * np.eye(3), covariance)
    found = normal_model.denoise(noisy, 0.5)
    least, got = (np.sqrt(np.mean((x - clean) ** 2)) for x in (posterior, found))
    assert got < 1.06 * least < 0.5
    one = normal_model.denoise(clean + [0.0, 1.0, 0.0] * random.normal(size=(2000, 1)), [0.0, 1.0, 0.0])
    assert np.array_equal(one[:, [0, 2]], clean[:, [0, 2]])  # what is exact is kept
    assert np.std(one[:, 1] - clean[:, 1]) < 0.75


@pytest.mark.slow
def test_probabilities_of_categories_sum_to_one_and_are_right():
    random = np.random.default_rng(0)
    colour = random.choice(["red", "green", "blue"], 4000, p=[0.6, 0.3, 0.1])
    big = random.random(4000) < np.where(colour == "red", 0.9, 0.2)
    table = pd.DataFrame({"colour": colour, "big": big})
    model = DiffusionModel(steps=500, width=32, random_state=0).fit(table)
    cells = pd.DataFrame(
        itertools.product(["red", "green", "blue"], [False, True]), columns=["colour", "big"]
    )
    probability = np.exp(model.score_samples(cells))
    new = model.model_.codec.features["colour"].new
    assert new == pytest.approx(1 / 4002)
    assert probability.sum() == pytest.approx(1.0 - new)
    true = table.groupby(["colour", "big"]).size() / 4000
    assert np.abs(probability - true[pd.MultiIndex.from_frame(cells)].to_numpy()).max() < 0.04
    drawn = model.sample(4000, random_state=1).groupby(["colour", "big"]).size() / 4000
    assert np.abs(drawn - true).max() < 0.05


@pytest.mark.slow
def test_integers_have_probabilities():
    random = np.random.default_rng(0)
    counts = pd.DataFrame({"visits": random.poisson(3.0, 4000)})
    model = DiffusionModel(steps=600, width=32, random_state=0).fit(counts)
    every = pd.DataFrame({"visits": np.arange(counts.visits.max() + 1)})
    probability = np.exp(model.score_samples(every))
    assert probability.sum() == pytest.approx(1.0, abs=0.03)
    true = counts.visits.value_counts(normalize=True).sort_index().reindex(every.visits, fill_value=0)
    assert np.abs(probability - true.to_numpy()).max() < 0.04


@pytest.mark.slow
def test_densities_are_per_unit_of_the_columns():
    x = np.random.default_rng(0).normal(size=(2000, 1))
    metres, millimetres = (DiffusionModel(steps=300, width=16, random_state=0).fit(k * x) for k in (1, 1000))
    at = np.array([[-1.0], [0.0], [2.0]])
    assert metres.score_samples(at) - millimetres.score_samples(1000 * at) == pytest.approx(
        np.log(1000), abs=1e-4
    )
    assert np.abs(metres.score_samples(at) - norm.logpdf(at[:, 0])).max() < 0.25


@pytest.mark.slow
def test_rows_of_a_class_are_like_the_rows_of_that_class(people, people_model):
    X, y = people
    for state in ("ill", "well"):
        drawn = people_model.sample(3000, y=state, random_state=3)
        assert abs(drawn["age"].mean() - X["age"][y == state].mean()) < 3
    _, drawn = people_model.sample(4000, return_y=True, random_state=4)
    assert abs((drawn == "ill").mean() - (y == "ill").mean()) < 0.05
    mixed = people_model.sample(4, y=["ill", "well", "ill", "well"], return_y=True)[1]
    assert mixed.tolist() == ["ill", "well", "ill", "well"]


@pytest.mark.slow
def test_guidance_makes_rows_more_typical_of_their_class(people_model):
    ages = [
        people_model.sample(1500, y="ill", guidance=w, random_state=5)["age"].mean() for w in (0.0, 1.0, 3.0)
    ]
    assert ages[0] + 3 < ages[1] < ages[2] - 1


@pytest.mark.slow
def test_a_number_can_be_the_target(normal_rows):
    rows = normal_rows(4000, 0)
    model = DiffusionModel(steps=400, width=32, random_state=0).fit(rows[:, :2], rows[:, 2])
    low, high = (model.sample(3000, y=value, random_state=6)[:, 0].mean() for value in (-0.5, 1.5))
    assert low - high == pytest.approx(1.0 / 0.99 * 2 * 0.5, abs=0.25)  # cov / var = -0.5 / 0.99


@pytest.mark.slow
def test_the_density_given_y_is_that_of_the_class(people, people_model):
    X, y = people
    old = X[X["age"] > 70][:100]
    ill = people_model.score_samples(old, np.full(len(old), "ill"))
    well = people_model.score_samples(old, np.full(len(old), "well"))
    assert (ill - well).mean() > 1
    share = (y == "ill").mean()
    both = np.logaddexp(ill + np.log(share), well + np.log(1 - share))
    assert abs((both - people_model.score_samples(old)).mean()) < 0.3
