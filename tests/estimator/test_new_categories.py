"""What of categories that were not seen in training?"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.model_selection import cross_val_score

from diffuscope import DiffusionModel
from diffuscope.data.tables.columns.fitting import fit_column
from diffuscope.errors import InputError

QUICK = {"steps": 5, "width": 8, "random_state": 0}
new_ones = pytest.mark.filterwarnings("ignore:There are values that were not seen in training")


def words(n: int, seed: int = 0) -> pd.DataFrame:
    """Draw rows, many with a word that no other row has, and a number that goes with the usual one."""
    random = np.random.default_rng(seed)
    shares = 1 / np.arange(1, 400) ** 1.3
    word = random.choice(399, n, p=shares / shares.sum())
    return pd.DataFrame({"word": [f"w{i}" for i in word], "x": random.normal(np.where(word == 0, 3, 0), 1)})


@pytest.fixture(scope="module")
def model():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The loss on held-out rows")
        return DiffusionModel(steps=400, width=64, random_state=0).fit(words(600))


@pytest.mark.slow
@new_ones
def test_a_cross_validation_over_rare_categories_has_a_score():
    random = np.random.default_rng(1)
    n = 150
    X = words(n)
    X = X.assign(
        kind=pd.Categorical(X["word"]),
        rare=np.arange(n) == 7,  # in a fold it is always false
        flag=np.where(np.arange(n) == 9, 1, 0),
        town=np.where(np.arange(n) == 5, "Bonn", "Kiel"),
        none=pd.Series([None] * n, dtype=object).where(np.arange(n) != 3, "once"),
    )
    y = np.where(random.random(n) < 0.02, [f"y{i}" for i in range(n)], np.where(X["x"] > 1, "up", "down"))
    scores = cross_val_score(DiffusionModel(**QUICK), X, y, cv=3)
    assert np.isfinite(scores).all()


@pytest.mark.slow
def test_a_new_category_has_the_probability_of_any_new_one(model):
    column = model.model_.codec.features["word"]
    counts = words(600)["word"].value_counts()
    assert column.new == pytest.approx(((counts == 1).sum() + 1) / 602)
    row = pd.DataFrame({"word": ["never"], "x": [0.5]})
    with pytest.warns(UserWarning, match="1 in 'word'"):
        found = model.score_samples(row)
    alone = model.score_samples(row.assign(word=None))
    assert found[0] == pytest.approx(alone[0] + np.log(column.new))
    known = counts.index[:5]
    every = pd.DataFrame({"word": [*counts.index], "x": np.nan})
    assert np.exp(model.score_samples(every)).sum() == pytest.approx(1 - column.new, abs=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score_samples(pd.DataFrame({"word": known, "x": 0.0}))


def test_the_share_of_new_categories_is_what_further_rows_show():
    counts = []
    for seed in range(20):
        seen, further = words(600, seed), words(4000, 1000 + seed)
        share = fit_column(seen["word"], "word").new
        counts.append((share, (~further["word"].isin(seen["word"])).mean()))
    said, true = np.mean(counts, axis=0)
    assert said == pytest.approx(true, rel=0.1)
    assert said > 0.05


def test_constants_have_another_value_now_and_then():
    for values in (["a"] * 50, [1.5] * 50, [7] * 50, [True] * 50, [pd.Timestamp("2024-01-01")] * 50):
        column = fit_column(pd.Series(values), "c")
        assert np.exp(column.log_volume(pd.Series(values[:1]))) == pytest.approx(51 / 52)
        assert not column.is_new(pd.Series(values)).any()
    other = pd.Series([2.5, 1.5, np.nan])
    column = fit_column(pd.Series([1.5] * 50), "c")
    assert column.is_new(other).tolist() == [True, False, False]
    np.testing.assert_allclose(np.exp(column.log_volume(other)), [1 / 52, 51 / 52, 1])
    empty = fit_column(pd.Series([None] * 50, dtype=object), "c")
    assert empty.is_new(pd.Series(["x", None])).tolist() == [True, False]


def test_a_class_that_is_new_tells_nothing_of_the_row():
    X = words(200)
    y = np.where(X["x"] > 1, "up", "down")
    model = DiffusionModel(**QUICK).fit(X, y)
    some = X[:20]
    with pytest.warns(UserWarning, match="20 in y"):
        found = model.score_samples(some, ["sideways"] * 20)
    np.testing.assert_allclose(found, model.score_samples(some))
    with pytest.raises(InputError, match="sideways"):
        model.sample(2, y="sideways")


@pytest.mark.parametrize(
    "kind",
    [
        "object",
        pytest.param("category", marks=pytest.mark.slow),
        pytest.param("string", marks=pytest.mark.slow),
        "polars",
    ],
)
def test_a_new_category_stays_where_others_are_filled_and_tells_nothing(kind):
    frame = words(300)
    new = frame[:40].copy()
    new.loc[:9, "word"], new.loc[20:29, "word"], new.loc[5:34, "x"] = "never", None, np.nan
    if kind == "polars":
        model = DiffusionModel(**QUICK).fit(pl.from_pandas(frame))
        with pytest.warns(UserWarning, match="10 in 'word'"):
            filled = model.impute(pl.from_pandas(new), random_state=0)
        assert isinstance(filled, pl.DataFrame)
        filled = filled.to_pandas()
    else:
        model = DiffusionModel(**QUICK).fit(frame.astype({"word": kind}))
        new = new.astype({"word": kind})
        with pytest.warns(UserWarning, match="10 in 'word'.*stay"):
            filled = model.impute(new, random_state=0)
        assert filled["word"].dtype == kind
    assert (filled["word"][:10] == "never").all()
    assert (filled["word"][20:30] != "never").all()
    assert not filled.isna().any(axis=None)


def test_numbers_beside_a_new_category_are_drawn_as_if_it_were_missing(model):
    rows = pd.DataFrame({"word": ["never"] * 400, "x": np.nan})
    with pytest.warns(UserWarning, match="400 in 'word'"):
        filled = model.impute(rows, random_state=0)
    plain = model.impute(rows.assign(word=None), random_state=0)
    assert filled["x"].mean() == pytest.approx(plain["x"].mean(), abs=0.35)
    common = model.impute(rows.assign(word="w0"), random_state=0)
    assert common["x"].mean() > filled["x"].mean() + 1


@pytest.mark.slow
def test_a_command_says_it_in_a_line(cli, shell, tmp_path):
    words(200).to_csv(tmp_path / "words.csv", index=False)
    pd.DataFrame({"word": ["never", "w0"], "x": [np.nan, 1.0]}).to_csv(tmp_path / "holes.csv", index=False)
    run, filled = tmp_path / "run", tmp_path / "filled.csv"
    settings = ("--steps", "2", "--no-pictures", "--types", "word=category")
    code, _, err = cli("train", tmp_path / "words.csv", *settings, "--out", run)
    assert code == 0, err
    done = shell("impute", run, tmp_path / "holes.csv", "-o", filled)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("Warning: There are values that were not seen in training: 1 in 'word'.")
    assert len(done.stderr.splitlines()) == 1
    assert pd.read_csv(filled)["word"].tolist() == ["never", "w0"]


def test_rows_cannot_be_drawn_given_a_new_category(model):
    with pytest.raises(InputError, match=r"'word' has the value 'never'.*not seen.*Known: 'w0'"):
        model.sample(3, given={"word": "never"})
