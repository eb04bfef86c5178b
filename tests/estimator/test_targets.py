"""Is any usable y learned, and do messages about another one speak of y?"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from diffuscope import DiffusionModel
from diffuscope.errors import InputError

QUICK = {"steps": 3, "width": 8, "random_state": 0}
N = 60
X = pd.DataFrame({"a": np.random.default_rng(0).normal(size=N), "y": ["p", "q"] * 30})
UP = np.where(X["a"] > 0, "up", "down")

USED = {
    "some NaN": np.where(np.arange(N) % 5 == 0, np.nan, X["a"]),
    "one class": ["a"] * N,
    "one integer": np.zeros(N, dtype=int),
    "text": UP,
    "a frame": pd.DataFrame({"t": X["a"]}),
    "a frame of a name of X": pd.DataFrame({"y": X["a"]}),
    "a column": X["a"].to_numpy()[:, None],
    "rows of one": [[value] for value in UP],
    "many floats": X["a"].tolist(),
    "booleans": X["a"] > 0,
    "dates": pd.date_range("2024-01-01", periods=N),
    "as many texts as rows": [f"s{i}" for i in range(N)],
    "a series of a name of X": pd.Series(UP, name="y"),
    "categories": pd.Categorical(UP),
    "durations": pd.to_timedelta(np.arange(N), unit="D"),
    "bytes": np.array([b"a", b"b"] * 30),
    "polars": pl.Series("z", UP),
    "a range": range(N),
    "nullable": pd.array([1, None] * 30, dtype="Int64"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", USED)
def test_any_usable_target_is_learned(kind):
    y = USED[kind]
    model = DiffusionModel(**QUICK).fit(X, y)
    rows, drawn = model.sample(5, return_y=True)
    assert list(rows.columns) == ["a", "y"]
    assert len(drawn) == 5
    assert np.isfinite(model.score(X[:3], y[:3]))


REFUSED = {
    "too short": (UP[1:], "60 rows of X and 59 of y"),
    "empty": ([], "60 rows of X and 0 of y"),
    "two columns": (np.ones((N, 2)), r"y should be a 1d array.*\(60, 2\)"),
    "a frame of two columns": (X, r"y should be a 1d array.*\(60, 2\)"),
    "rows of two": ([[1, 2]] * N, r"y should be a 1d array.*\(60, 2\)"),
    "three axes": (np.ones((N, 1, 1)), "y should be a 1d array"),
    "one number": (3, "y should be a 1d array"),
    "one text": ("a", "y should be a 1d array"),
    "a dictionary": ({"a": 1}, "y should be a 1d array"),
    "all NaN": (np.full(N, np.nan), "All values of y are missing"),
    "all None": ([None] * N, "All values of y are missing"),
    "infinite": (np.where(np.arange(N) == 3, np.inf, 1.0), "y has 1 infinite value.*row 3"),
    "of several types": ([1, "a"] * 30, "y has values of several types: int, str"),
    "dictionaries": ([{"a": 1}] * N, "y .*contains a dict"),
    "complex": (np.ones(N) * 1j, "y .*Complex data not supported"),
    "sparse": (scipy.sparse.csr_array(np.ones((N, 1))), "y is sparse"),
    "numbers and few words": ([*map(str, range(N - 2)), "x", "y"], "y has numbers, except for 2"),
    "far integers": (np.arange(N) * 2**55, "y has integers from 0"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_said_of_another_target_speaks_of_y(kind):
    y, words = REFUSED[kind]
    with pytest.raises(InputError, match=words) as caught:
        DiffusionModel(**QUICK).fit(X, y)
    _speaks_of_y(caught.value)


def test_too_many_classes_are_said_of_y():
    many = pd.DataFrame({"a": np.arange(1500.0)})
    with pytest.raises(InputError, match="y has 1500 different values") as caught:
        DiffusionModel(**QUICK).fit(many, [f"s{i}" for i in range(1500)])
    _speaks_of_y(caught.value)


def _speaks_of_y(error):
    assert not re.search(r"[Cc]olumn (0|'\w*')|the column|--\w", str(error)), str(error)
    assert error.hint


@pytest.mark.parametrize(
    ("target", "asked", "words"),
    [
        (UP, "sideways", "y has the value 'sideways', which was not seen.*Known: 'down', 'up'"),
        (pd.Series(UP, name="y"), ["up", "left"], "y has the value 'left' in row 1"),
        (pd.Series(UP, name="a"), ["up"], "2 rows of X and 1 of y"),
        (UP, np.nan, "A value given for y is missing"),
        (UP, [None, "up"], "A value given for y is missing"),
        (UP, np.ones((2, 2)), "y should be a 1d array"),
        (X["a"], "high", "y had numbers"),
        (X["a"], 1e9, r"y was fitted to values from -?\d"),
        (X["a"], np.inf, "y has 1 infinite"),
        (np.arange(N) % 3, 7, "y has the value 7, which was not seen.*Known: 0, 1, 2"),
        (np.arange(N) % 3, 1.5, "y has the value 1.5"),
        (None, 1, "fitted without y"),
    ],
)
def test_what_is_said_of_a_y_that_is_asked_for_speaks_of_y(target, asked, words):
    model = DiffusionModel(**QUICK).fit(X, target)
    with pytest.raises(InputError, match=words) as caught:
        model.sample(2, y=asked)
    _speaks_of_y(caught.value)


@pytest.mark.slow
def test_a_y_of_another_name_is_the_same_y():
    model = DiffusionModel(**QUICK).fit(X, pd.Series(UP, name="state"))
    expected = model.score_samples(X, pd.Series(UP, name="state"))
    for y in (UP, pd.Series(UP, name="other"), pd.DataFrame({"third": UP}), pl.Series("fourth", UP)):
        assert np.array_equal(model.score_samples(X, y), expected)


def test_a_wrong_y_is_said_before_rows_without_weight_are_left_out():
    with pytest.raises(InputError, match="60 rows of X and 59 of y"):
        DiffusionModel(**QUICK).fit(X, UP[1:], np.arange(N) % 2)


def test_in_a_file_messages_name_the_column(tmp_path, cli):
    X.assign(state=[1e400, *range(59)]).to_csv(tmp_path / "t.csv", index=False)
    code, _, err = cli("train", tmp_path / "t.csv", "--target", "state", "--out", tmp_path / "run")
    assert code == 2
    assert "'state'" in err
