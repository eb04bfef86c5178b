"""Is it learned which values are missing, and do samples, densities and imputed tables know of it?"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest

from diffuscope import DiffusionModel
from diffuscope.diffusion.masked import MaskedDenoiser
from diffuscope.errors import InputError


def people(n: int, seed: int) -> pd.DataFrame:
    """People, of whom a cause of death and its year are missing for the living; weights at random."""
    random = np.random.default_rng(seed)
    age = random.uniform(20, 100, n)
    dead = random.random(n) < (age - 20) / 100
    cause = np.where(random.random(n) < (age - 20) / 80, "heart", "accident")
    frame = pd.DataFrame(
        {
            "age": age,
            "dead": np.where(dead, "yes", "no"),
            "cause": pd.Series(cause, dtype=object).where(dead),
            "years": pd.Series(age / 10 + random.normal(size=n)).where(dead),
            "weight": pd.Series(random.normal(70, 10, n)).where(random.random(n) < 0.8),
        }
    )
    return frame.reset_index(drop=True)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return people(3000, 0)


@pytest.fixture(scope="module")
def model(frame) -> DiffusionModel:
    return DiffusionModel(steps=1000, width=48, random_state=0).fit(frame)


@pytest.fixture(scope="module")
def rows(model) -> pd.DataFrame:
    return model.sample(3000, random_state=1)


@pytest.mark.slow
def test_columns_that_are_missing_together_share_one_presence(model):
    assert [one.columns for one in model.model_.codec.presence] == [(2, 3), (4,)]


@pytest.mark.slow
def test_samples_have_missing_values_where_they_mean_something(frame, rows):
    assert abs((rows["dead"] == "yes").mean() - (frame["dead"] == "yes").mean()) < 0.05
    agree = rows["cause"].notna() == (rows["dead"] == "yes")
    assert agree.mean() > 0.97
    assert (rows["years"].isna() == rows["cause"].isna()).all()
    assert abs(rows["weight"].isna().mean() - 0.2) < 0.04
    old = rows["age"] > 60
    assert (rows["dead"][old] == "yes").mean() > (rows["dead"][~old] == "yes").mean() + 0.25


def test_values_depend_on_the_rest_of_the_row_where_they_are_there(rows):
    there = rows["years"].notna()
    assert np.corrcoef(rows["age"][there], rows["years"][there])[0, 1] > 0.8


def test_without_missing_values_on_request(model):
    assert not model.sample(200, missing="none", random_state=0).isna().any(axis=None)
    with pytest.raises(InputError, match="modelled, none"):
        model.sample(2, missing="some")


def test_a_given_value_is_there_and_tells_of_the_others(model):
    rows = model.sample(400, given={"cause": "heart"}, random_state=0)
    assert (rows["cause"] == "heart").all()
    assert rows["years"].notna().all()
    assert (rows["dead"] == "yes").mean() > 0.97
    living = model.sample(400, given={"dead": "no"}, random_state=0)
    assert living["cause"].isna().mean() > 0.97


@pytest.mark.slow
def test_a_missing_value_that_means_none_can_stay(model):
    new = people(400, 5)
    dead = (new["dead"] == "yes").to_numpy()
    holes = new.assign(cause=None, years=np.nan)
    filled = model.impute(holes, only="existing", random_state=0)
    assert filled["cause"].notna()[dead].mean() > 0.95
    assert filled["cause"].isna()[~dead].mean() > 0.95
    assert not model.impute(holes, random_state=0).isna().any(axis=None)
    averaged = model.impute(holes, only="existing", n_draws=5, average=True, random_state=0)
    assert averaged["years"].isna()[~dead].mean() > 0.95
    p = model.probability_of_existing(holes)
    assert p.shape == holes.shape
    assert (p[:, :2] == 1).all()
    assert p[dead, 2].mean() > 0.9 > 0.1 > p[~dead, 2].mean()
    assert (p[new["weight"].notna(), 4] == 1).all()


def test_only_some_columns_are_filled(model):
    new = people(50, 6)
    filled = model.impute(new, only=["weight"], random_state=0)
    assert filled["weight"].notna().all()
    assert filled.drop(columns="weight").equals(new.drop(columns="weight"))
    with pytest.raises(InputError, match="'wait'"):
        model.impute(new, only="wait")


@pytest.mark.slow
def test_what_is_missing_beside_the_columns_that_are_filled_is_meant_to_be(model):
    new = people(300, 7)
    filled = model.impute(new.assign(dead=None), only="dead", random_state=0)
    assert (filled["dead"] == new["dead"]).mean() > 0.98
    assert filled["cause"].equals(new["cause"])
    # Where it is unknown whether there is a cause, the living do not all become dead, as they once did.
    filled = model.impute(new.assign(dead=None), random_state=0)
    assert (filled["dead"] == new["dead"]).mean() > 0.85


@pytest.mark.slow
def test_probabilities_of_categories_and_of_missing_ones_sum_to_one():
    random = np.random.default_rng(0)
    a = random.choice(["x", "y"], 800, p=[0.7, 0.3])
    b = np.where(random.random(800) < np.where(a == "x", 0.2, 0.8), None, random.choice(["u", "v"], 800))
    model = DiffusionModel(steps=300, width=32, random_state=0).fit(pd.DataFrame({"a": a, "b": b}))
    cells = pd.DataFrame(list(itertools.product(["x", "y"], ["u", "v", None])), columns=["a", "b"])
    p = np.exp(model.score_samples(cells))
    assert p.sum() == pytest.approx(1, abs=0.02)
    truth = [0.7 * 0.4, 0.7 * 0.4, 0.7 * 0.2, 0.3 * 0.1, 0.3 * 0.1, 0.3 * 0.8]
    np.testing.assert_allclose(p, truth, atol=0.06)
    ignored = np.exp(model.score_samples(cells, missing="ignored"))
    assert ignored[2] + ignored[5] == pytest.approx(1, abs=0.02)


def test_a_density_of_numbers_is_that_of_their_presence_times_theirs(model):
    living = people(50, 8).query("dead == 'no'").assign(weight=70.0)
    modelled = model.score_samples(living)
    unlikely = model.score_samples(living.assign(cause="heart", years=5.0))
    assert (modelled > unlikely).mean() > 0.9
    assert np.isfinite(modelled).all()


def test_a_column_without_any_value_stays_missing_with_a_warning(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2))
    table = pd.DataFrame(x, columns=["a", "b"]).assign(none=np.nan)
    table.loc[:9, "a"] = None
    model = DiffusionModel(steps=30, refine=False, random_state=0).fit(table)
    with pytest.warns(UserWarning, match="left missing: 'none'") as seen:
        filled = model.impute(table, random_state=0)
    assert len(seen) == 1
    assert filled["none"].isna().all()
    assert filled[["a", "b"]].notna().all(axis=None)
    assert model.impute(table, only=["a"], random_state=0)["a"].notna().all()  # nothing is asked of it


def test_a_model_of_few_rows_warns_of_them():
    x = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.warns(UserWarning, match="has 19 rows.*at least 20 rows"):
        DiffusionModel(steps=3, refine=False, random_state=0).fit(x[:19])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DiffusionModel(steps=3, refine=False, random_state=0).fit(x)
    with pytest.raises(InputError, match="only one sample"):
        DiffusionModel(steps=3).fit(x[:1])


@pytest.mark.slow
def test_a_constant_that_is_missing_now_and_then():
    x = np.random.default_rng(0).normal(size=500)
    flag = pd.Series(np.where(x > 0, "yes", None), dtype=object)
    model = DiffusionModel(steps=300, width=32, random_state=0).fit(pd.DataFrame({"x": x, "flag": flag}))
    rows = model.sample(500, random_state=0)
    assert ((rows["flag"] == "yes") == (rows["x"] > 0)).mean() > 0.9
    assert (model.sample(20, missing="none", random_state=0)["flag"] == "yes").all()


def test_it_is_kept_with_the_model(model, rows, tmp_path):
    again = DiffusionModel.load(model.save(tmp_path / "model"))
    pd.testing.assert_frame_equal(again.sample(3000, random_state=1), rows)


@pytest.mark.slow
def test_a_density_does_not_depend_on_what_other_rows_lack(model):
    some = people(12, 9)
    some.loc[3, ["age", "weight"]] = None
    some.loc[5, "dead"] = None
    together = model.score_samples(some)
    alone = [model.score_samples(some.iloc[[i]])[0] for i in range(len(some))]
    np.testing.assert_allclose(together, alone, rtol=1e-6, atol=1e-6)


@pytest.mark.slow
def test_rows_that_lack_unlike_values_are_evaluated_together(model, monkeypatch):
    complete = people(200, 10).dropna().iloc[:7].reset_index(drop=True)
    ragged = complete.copy()
    for i, column in enumerate(["age", "dead", "cause", "years", "weight"]):
        ragged.loc[i, column] = None
    model.score_samples(complete)  # the steps are chosen once
    calls, own = [], MaskedDenoiser.forward
    monkeypatch.setattr(MaskedDenoiser, "forward", lambda *a, **k: calls.append(1) or own(*a, **k))
    model.score_samples(complete)
    once = len(calls)
    model.score_samples(ragged)
    assert 0 < len(calls) - once <= 2 * once  # six patterns; steps are halved where they are too coarse
