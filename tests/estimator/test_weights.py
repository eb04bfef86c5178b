"""Is a weighted table learned as the one in which its rows are repeated that often?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.stats import ks_2samp
from sklearn.model_selection import cross_val_score

from diffuscope import DiffusionModel
from diffuscope.data.tables.columns.weights import effective_rows, evenly, read_weights
from diffuscope.errors import InputError
from diffuscope.estimator.subsets import at_most
from diffuscope.training import Resident

QUICK = {"steps": 5, "width": 8, "random_state": 0}


def survey(n: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Draw rows of all kinds, with missing ones, and weights that change the law of each column."""
    random = np.random.default_rng(0)
    x = random.normal(size=n)
    number = pd.Series(x + 0.5 * random.normal(size=n)).where(random.random(n) < np.where(x > 0, 0.5, 0.9))
    table = pd.DataFrame(
        {
            "x": x,
            "income": np.exp(x + 0.5 * random.normal(size=n)),
            "kind": np.where(random.random(n) < 1 / (1 + np.exp(-2 * x)), "a", "b"),
            "visits": random.poisson(np.exp(0.4 * x + 1)),
            "number": number,
        }
    )
    return table, random.integers(0, 6, n) * (x > 0) + random.integers(0, 2, n)


@pytest.fixture(scope="module")
def table():
    return survey(2000)[0]


@pytest.fixture(scope="module")
def weights():
    return survey(2000)[1]


@pytest.fixture(scope="module")
def repeated(table, weights):
    return table.loc[table.index.repeat(weights)].reset_index(drop=True)


@pytest.fixture(scope="module")
def model(table, weights):
    return DiffusionModel(steps=600, width=64, random_state=0).fit(table, sample_weight=weights)


@pytest.mark.slow
def test_samples_have_the_law_of_the_table_with_repeated_rows(table, repeated, model):
    rows = model.sample(5000, random_state=1)
    for name in ("x", "income", "number", "visits"):
        ours, plain = (
            ks_2samp(some[name].dropna(), repeated[name].dropna()).statistic for some in (rows, table)
        )
        assert ours < 0.06
        assert plain > 2.5 * ours  # without weights they would be far off
    share, plain = (repeated["kind"] == "a").mean(), (table["kind"] == "a").mean()
    assert abs((rows["kind"] == "a").mean() - share) < 0.03 < 0.1 < share - plain
    gaps, plain = repeated["number"].isna().mean(), table["number"].isna().mean()
    assert abs(rows["number"].isna().mean() - gaps) < 0.05 < 0.1 < gaps - plain
    pairs = [some[["x", "number"]].corr().iloc[0, 1] for some in (rows, repeated)]
    assert pairs[0] == pytest.approx(pairs[1], abs=0.08)


@pytest.mark.slow
def test_densities_are_those_of_the_table_with_repeated_rows(table, repeated, model):
    """The weighted model gives repeated rows more than one of the plain table does."""
    plain = DiffusionModel(steps=600, width=64, random_state=0).fit(table)
    some = repeated.sample(80, random_state=0)
    assert model.score(some) > plain.score(some) + 0.1


@pytest.mark.slow
def test_columns_have_the_shares_and_quantiles_of_repeated_rows(table, weights, repeated, model):
    rows = model.model_.codec
    shares = dict(zip(rows.features["kind"].labels.values, rows.features["kind"].codes.shares, strict=True))
    assert shares["a"] == pytest.approx((repeated["kind"] == "a").mean())
    assert rows.presence[0].codes.shares[0] == pytest.approx(repeated["number"].isna().mean())
    line = rows.features["income"].line
    middle = line.backward(np.zeros(1))[0]
    assert middle == pytest.approx(repeated["income"].median(), rel=0.05)
    assert middle > 1.3 * table["income"].median()
    visits = rows.features["visits"]
    p = np.exp(visits.log_volume(pd.Series(range(6))) + _log_normal(visits, range(6)))
    true = repeated["visits"].value_counts(normalize=True).reindex(range(6))
    assert np.abs(p - true).max() < 0.02


def _log_normal(column, values):
    z = column.encode(pd.Series(values))[:, 0]
    return -0.5 * z**2 - 0.5 * np.log(2 * np.pi)


def test_a_weight_makes_no_heap_of_a_value(table):
    x = np.random.default_rng(0).normal(size=500)
    heavy = np.where(np.arange(500) < 20, 25.0, 1.0)
    rows = DiffusionModel(**QUICK).fit(x[:, None], sample_weight=heavy).model_.codec
    assert not getattr(rows.features.columns[0].line, "atoms", ())
    twice = DiffusionModel(**QUICK).fit(np.repeat(x, heavy.astype(int))[:, None]).model_.codec
    assert twice.features.columns[0].line.atoms  # repeated rows are one


@pytest.mark.slow
def test_weights_that_are_all_alike_change_nothing(table):
    plain, ones, threes = (
        DiffusionModel(**QUICK).fit(table, sample_weight=weight)
        for weight in (None, np.ones(len(table)), 3.0)
    )
    assert plain.score(table[:9]) == ones.score(table[:9]) == threes.score(table[:9])


@pytest.mark.slow
def test_rows_of_weight_zero_do_not_count(table):
    odd = table.copy()
    odd.loc[:999, "x"], odd.loc[:999, "kind"] = 1e9, "never"
    weight = np.where(np.arange(len(table)) < 1000, 0.0, 1.0)
    y = np.where(weight == 0, "no", np.where(table["x"] > 0, "up", "down"))
    with_zeros = DiffusionModel(**QUICK).fit(odd, y, weight)
    without = DiffusionModel(**QUICK).fit(odd[1000:], y[1000:])
    assert with_zeros.model_.codec == without.model_.codec
    assert with_zeros.sample(5).equals(without.sample(5))


@pytest.mark.parametrize(
    ("weight", "words"),
    [
        (np.zeros(2000), "zero"),
        (np.ones(1999), r"\(1999,\)"),
        (np.ones((2000, 2)), r"\(2000, 2\)"),
        (-np.ones(2000), "-1 in row 0"),
        (np.where(np.arange(2000) == 7, np.nan, 1.0), "nan in row 7"),
        (np.where(np.arange(2000) == 7, np.inf, 1.0), "inf in row 7"),
        (["a"] * 2000, "no numbers"),
        (np.where(np.arange(2000) == 7, 1.0, 0.0), "one sample"),
    ],
)
def test_what_is_no_weight_is_refused_with_a_reason(table, weight, words):
    with pytest.raises(InputError, match=words):
        DiffusionModel(**QUICK).fit(table, sample_weight=weight)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [pytest.param(1e-300, marks=pytest.mark.slow), 1e300])
def test_the_size_of_weights_does_not_matter(table, weights, scale):
    first, second = (
        DiffusionModel(**QUICK).fit(table, sample_weight=by * weights.astype(float)) for by in (1, scale)
    )
    np.testing.assert_allclose(first.score_samples(table[:6]), second.score_samples(table[:6]), rtol=1e-4)


def test_a_subset_of_many_rows_keeps_their_law():
    random = np.random.default_rng(0)
    x, weights = np.arange(5000.0), random.exponential(size=5000) ** 3
    weights /= weights.mean()
    true = np.average(x > 2500, weights=weights)
    found = []
    for seed in range(40):
        X, y, own = at_most(1000, x[:, None], x, weights, 5000, seed)
        assert len(X) == len(y) == len(own) == 1000
        assert np.array_equal(X[:, 0], y)
        assert own.sum() == pytest.approx(weights.sum(), rel=0.02)
        assert np.isin(np.flatnonzero(weights > 20), y).all()  # the heaviest are there for sure
        found.append(np.average(y > 2500, weights=own))
    assert np.mean(found) == pytest.approx(true, abs=0.01)


def test_batches_take_rows_as_often_as_they_count():
    import torch

    weights = torch.tensor([0.5, 3.0, 1.0, 0.25, 0.25])
    source = Resident(torch.arange(5.0)[:, None], weights)
    generator = torch.Generator().manual_seed(0)
    epochs = [source.take(torch.randperm(5), generator)[0][:, 0] for _ in range(4000)]
    counts = torch.stack([torch.bincount(x.long(), minlength=5) for x in epochs]).float()
    assert torch.allclose(counts.mean(0), weights, atol=0.04)
    assert ((counts - weights).abs() < 2).all()  # in each epoch nearly so
    held = source.as_they_are(torch.tensor([1, 4]))[0]
    assert (held == 1).float().mean() == pytest.approx(3 / 3.25, abs=1e-3)
    assert source.only(torch.tensor([1, 4])).weights.tolist() == [3.0, 0.25]


def test_weighted_rows_tell_as_much_as_fewer_equal_ones():
    assert effective_rows(None, 7) == 7
    assert effective_rows(np.ones(8), 8) == 8
    assert effective_rows(np.array([1.0] * 10 + [1e-6] * 90), 100) == 10
    x = evenly(np.array([3.0, 1.0, 2.0]), np.array([1.0, 1.0, 1.0]))
    assert x.tolist() == [1.0, 2.0, 3.0]
    assert read_weights([1, 2, 3], 3) == pytest.approx([0.5, 1.0, 1.5])


@pytest.mark.slow
def test_weights_are_routed_as_scikit_learn_does():
    X = np.random.default_rng(0).normal(size=(90, 2))
    model = DiffusionModel(**QUICK)
    plain = cross_val_score(model, X, cv=3)
    heavy = np.where(X[:, 0] > 0, 10.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        asked = DiffusionModel(**QUICK).set_fit_request(sample_weight=True)
        weighted = cross_val_score(asked, X, params={"sample_weight": heavy}, cv=3)
    assert np.isfinite(weighted).all()
    assert not np.allclose(plain, weighted)
