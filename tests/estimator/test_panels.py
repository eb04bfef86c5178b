"""Is it said of a panel, and of nothing else, that rows are independent; are nested values refused?"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from diffuscope import DiffusionModel
from diffuscope.data.tables.panels import panel_note
from diffuscope.errors import InputError

QUICK = {"steps": 3, "width": 8, "random_state": 0}


def countries() -> pd.DataFrame:
    rows = itertools.product([f"c{i}" for i in range(40)], range(1990, 2002))
    return pd.DataFrame(rows, columns=["country", "year"])


def visits(random) -> pd.DataFrame:
    """Patients who come at irregular times, one to eight of them."""
    patient = np.repeat(np.arange(100), random.integers(1, 9, 100))
    first = random.integers(0, 2000, 100)[patient]
    day = first + pd.Series(random.integers(1, 200, len(patient))).groupby(patient).cumsum()
    return pd.DataFrame({"patient": patient, "seen": days_from("2015-01-01", day)})


def days_from(start: str, days):
    return pd.Timestamp(start) + pd.to_timedelta(days, unit="D")


def with_noise(frame: pd.DataFrame, random) -> pd.DataFrame:
    n = len(frame)
    sex, age = random.choice(["f", "m"], n), random.integers(18, 90, n)
    return frame.assign(value=random.normal(size=n), sex=sex, age=age)


PANELS = {
    "countries by year": lambda random: countries(),
    "years by country": lambda random: countries().sort_values(["year", "country"], ignore_index=True),
    "an unbalanced panel": lambda random: countries().sample(frac=0.8, random_state=0).sort_index(),
    "visits": visits,
    "visits as dates": lambda random: visits(random).assign(seen=lambda t: t["seen"].dt.date),
    "prices of shares": lambda random: pd.DataFrame(
        itertools.product(pd.date_range("2024-01-01", periods=60), list("ABCDEFG")), columns=["day", "share"]
    ),
    "categories": lambda random: countries().astype({"country": "category"}),
    "one that falls": lambda random: pd.concat([countries(), countries()[:11][::-1]], ignore_index=True),
}


@pytest.mark.parametrize("kind", PANELS)
def test_a_panel_is_told(kind):
    random = np.random.default_rng(0)
    frame = with_noise(PANELS[kind](random), random)
    note = panel_note(frame)
    assert note is not None
    assert "independent" in note
    assert repr(frame.columns[0]) in note
    assert repr(frame.columns[1]) in note


def _log(random, n=1000):
    return pd.DataFrame(
        {
            "time": days_from("2024-01-01", np.sort(random.integers(0, 10**7, n)) / 86_400).round("s"),
            "city": random.choice([f"city {i}" for i in range(50)], n),
            "amount": random.integers(1, 10**6, n),
        }
    )


OTHERS = {
    "a log in order of time": _log,
    "a log in order of days": lambda random: _log(random).assign(time=lambda t: t["time"].dt.normalize()),
    "a log in any order": lambda random: _log(random).sample(frac=1, random_state=0, ignore_index=True),
    "a log of few": lambda random: _log(random).assign(city=lambda t: t["city"].str[-1:]),
    "numbered rows": lambda random: _log(random).drop(columns="time").assign(number=range(1000)),
    "rows numbered backwards": lambda random: _log(random)[["city"]].assign(number=range(1000, 0, -1)),
    "sorted by city": lambda random: _log(random)[["city", "amount"]].sort_values(["city", "amount"]),
    "sorted by kind and date": lambda random: (
        _log(random)
        .assign(kind=random.choice(list("abcdefgh"), 1000))
        .drop(columns=["city", "amount"])
        .sort_values(["kind", "time"])
    ),
    "sorted by sex and age": lambda random: pd.DataFrame(
        {"sex": random.choice(["f", "m"], 500), "age": random.integers(18, 90, 500)}
    ).sort_values(["sex", "age"]),
    "sorted by town and age": lambda random: pd.DataFrame(
        {"town": random.choice(list("abcdefghij"), 500), "age": random.integers(18, 90, 500)}
    ).sort_values(["town", "age"]),
    "a design of three factors": lambda random: pd.DataFrame(
        itertools.product(range(6), range(6), range(6)), columns=list("abc")
    ),
    "a design of two factors, twice": lambda random: pd.DataFrame(
        [*itertools.product(range(8), range(8)), *itertools.product(range(8), range(8))], columns=list("ab")
    ),
    "pairs": lambda random: pd.DataFrame(
        {"pair": np.repeat(np.arange(50), 2), "x": random.integers(0, 99, 100)}
    ),
    "counts": lambda random: pd.DataFrame(random.poisson(3, (300, 8))),
    "iris": lambda random: load_iris(as_frame=True).frame,
    "wine": lambda random: load_wine(as_frame=True).frame,
    "cancer": lambda random: load_breast_cancer(as_frame=True).frame,
    "digits": lambda random: load_digits(as_frame=True).frame.astype(int),
    "missing": lambda random: pd.DataFrame({"a": [None] * 50, "b": pd.array([None] * 50, dtype="Int64")}),
    "people": lambda random: pd.DataFrame(
        {
            "id": range(500),
            "zip": random.choice(["02116", "10001", "94105", "60601", "73301", "33101"], 500),
            "born": days_from("1950-01-01", random.integers(0, 20_000, 500)),
            "children": random.integers(0, 5, 500),
        }
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_of_no_other_table_it_is_said(kind):
    for seed in range(5):
        assert panel_note(OTHERS[kind](np.random.default_rng(seed))) is None


@pytest.mark.slow
def test_columns_by_chance_are_no_panel():
    for seed in range(60):
        random = np.random.default_rng(seed)
        n = int(random.integers(10, 400))
        frame = pd.DataFrame()
        for j in range(4):
            whole, word, day = (random.integers(0, int(random.integers(2, n)), n) for _ in range(3))
            frame[f"whole{j}"] = whole
            frame[f"word{j}"] = [f"w{i}" for i in word]
            frame[f"day{j}"] = days_from("2024-01-01", day)
        assert panel_note(frame) is None
        assert panel_note(frame.sort_values("day0")) is None


def test_a_fit_says_it_and_goes_on():
    random = np.random.default_rng(0)
    with pytest.warns(UserWarning, match="'country' look like steps of a series, by 'year'"):
        model = DiffusionModel(**QUICK).fit(with_noise(countries(), random))
    assert len(model.sample(5)) == 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DiffusionModel(**QUICK).fit(_log(random))


def test_training_on_a_file_says_it(tmp_path, cli):
    random = np.random.default_rng(0)
    with_noise(visits(random), random).to_csv(tmp_path / "v.csv", index=False)
    code, out, err = cli(
        "train", tmp_path / "v.csv", "--steps", "2", "--no-pictures", "--out", tmp_path / "run"
    )
    assert code == 0, err
    assert "'patient' look like steps of a series, by 'seen'" in out


def _of_lists() -> list[list[float]]:
    return [[1.0, 2.0, float(i)] for i in range(40)]


NESTED = {
    "lists": (lambda: pd.DataFrame({"x": range(40), "s": _of_lists()}), "list", "pd.DataFrame"),
    "lists, some missing": (lambda: pd.DataFrame({"s": [None, *_of_lists()[1:]]}), "list", "pd.DataFrame"),
    "tuples": (lambda: pd.DataFrame({"s": [tuple(one) for one in _of_lists()]}), "tuple", "pd.DataFrame"),
    "arrays": (lambda: pd.DataFrame({"s": [np.ones(3)] * 40}), "array", "pd.DataFrame"),
    "sets": (lambda: pd.DataFrame({"s": [{i, 2} for i in range(40)]}), "set", "length"),
    "dictionaries": (lambda: pd.DataFrame({"s": [{"a": i} for i in range(40)]}), "dict", "json_normalize"),
    "polars' lists": (lambda: pl.DataFrame({"s": _of_lists()}), "list", "pd.DataFrame"),
    "polars' arrays": (
        lambda: pl.DataFrame({"s": _of_lists()}, schema={"s": pl.Array(pl.Float64, 3)}),
        "list",
        "pd.DataFrame",
    ),
    "polars' structs": (
        lambda: pl.DataFrame({"s": [{"a": i} for i in range(40)]}),
        "struct",
        "json_normalize",
    ),
    "objects": (lambda: pd.DataFrame({"s": [object() for _ in range(40)]}), "object", "text"),
    "frames": (lambda: pd.DataFrame({"s": [pd.DataFrame({"a": [1]})] * 6}), "DataFrame", "text"),
    "functions": (lambda: pd.DataFrame({"s": [len] * 40}), "builtin", "text"),
    "types": (lambda: pd.DataFrame({"s": [int, float] * 20}), "type", "text"),
    "times of the day": (
        lambda: pd.DataFrame({"s": pd.date_range("2024-01-01", periods=40, freq="h").time}),
        "time",
        "seconds",
    ),
    "rows of lists": (lambda: [[1, [2, 3]]] * 9, "contains a list", "column of its own"),
    "an array of lists": (lambda: np.array([[None, [1, 2]]] * 9, dtype=object), "list", "pd.DataFrame"),
}


@pytest.mark.parametrize("kind", NESTED)
def test_nested_values_are_refused_with_the_reason_and_what_to_do(kind):
    make, what, hint = NESTED[kind]
    with pytest.raises(InputError, match=what) as caught:
        DiffusionModel(**QUICK).fit(make())
    assert hint in caught.value.hint
    if kind not in ("rows of lists", "an array of lists"):
        assert "'s'" in caught.value.what
