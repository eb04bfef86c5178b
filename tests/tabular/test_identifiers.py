"""Are identifiers recognised, and are those that are made up new, distinct and of the same pattern?"""

from __future__ import annotations

import re
import uuid

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.data.tables import RowCodec, TableCodec, fit_column
from diffuscope.data.tables.columns.categories import Category
from diffuscope.data.tables.columns.identifiers import Identifier
from diffuscope.errors import FormatError, InputError

random = np.random.default_rng(0)
NAMES = ("Ann", "Bob", "Eva")
IDS: dict[str, tuple[list[str], str]] = {
    "numbered": ([f"C{i:04}" for i in range(1, 1001)], r"C\d{4}"),
    "digits": ([f"{i:06}" for i in random.choice(10**6, 500, replace=False)], r"\d{6}"),
    "all that there are": ([f"{i:03}" for i in range(1000)], r"\d{4,}"),
    "uuid": (
        [str(uuid.UUID(bytes=random.bytes(16), version=4)) for _ in range(300)],
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
    ),
    "mail": (
        [f"user{i}@example.org" for i in random.choice(10**4, 400, replace=False)],
        r"user\d+@example\.org",
    ),
    "names": (
        [f"{a}{b} {c}{d}" for a in NAMES for b in "abcdefg" for c in ("Lee", "Ray") for d in "xyzuv"],
        r"[A-Z][a-z]+ [A-Z][a-z]+",
    ),
    "other letters": ([f"客户{i:04}" for i in range(200)], r"客户\d{4}"),
}


@pytest.mark.parametrize("name", IDS)
def test_made_up_identifiers_are_new_distinct_and_of_the_pattern(name: str) -> None:
    real, pattern = IDS[name]
    column = fit_column(pd.Series(real), "id")
    assert isinstance(column, Identifier)
    assert column.width == 0
    n = min(3000, column.free)
    for seed in (0, 1):
        made = column.made(n, seed=seed)
        assert made.is_unique
        assert not set(made) & set(real)
        assert all(re.fullmatch(pattern, text) for text in made)
        pieces = pd.concat([column.made(1000, 0, seed), column.made(n - 1000, 1000, seed)], ignore_index=True)
        pd.testing.assert_series_equal(made, pieces)
    assert not set(column.made(50, seed=0)) & set(column.made(50, seed=1))
    assert Identifier.from_json(column.to_json()) == column


@pytest.mark.parametrize("name", [name for name in IDS if name != "all that there are"])
def test_a_saved_column_holds_no_real_identifier(name: str) -> None:
    real, _ = IDS[name]
    saved = str(fit_column(pd.Series(real), "id").to_json())
    assert not [text for text in real if text in saved]


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(real=st.lists(st.text("ab1-. Z", min_size=1, max_size=5), min_size=30, max_size=60, unique=True))
def test_whatever_the_texts_are_made_up_ones_are_new_and_distinct(real: list[str]) -> None:
    column = Identifier.fit(pd.Series(real), "id")
    n = min(2 * column.free, 5000)  # more than there are of the pattern
    made = column.made(n)
    assert made.is_unique
    assert not set(made) & set(real)
    assert Identifier.from_json(column.to_json()) == column


@pytest.mark.parametrize(
    "dtype", ["object", "str", "string[python]", "string[pyarrow]", "int64", "Int32", "uint8"]
)
def test_made_up_identifiers_are_of_the_type_of_the_column(dtype: str) -> None:
    whole = dtype.lower().startswith(("int", "uint"))
    values = pd.Series(range(40) if whole else [f"k{i}" for i in range(40)]).astype(dtype)
    column = fit_column(values, "id", said="id")
    made = column.decode(column.encode(values))
    assert made.dtype == values.dtype
    assert not set(made) & set(values)
    assert made.is_unique


@pytest.mark.parametrize(
    "values",
    [
        [f"id{i}" for i in range(20)],  # too few
        [f"id{i}" for i in range(90)] * 2,  # of each two
        list(pd.Categorical([f"id{i}" for i in range(90)])) * 1,
    ],
)
def test_what_repeats_or_is_little_is_no_identifier(values: list) -> None:
    series = pd.Series(values)
    if len(values) == 90:
        series = series.astype("category")
    assert isinstance(fit_column(series, "c"), Category)


def test_what_is_said_wins() -> None:
    values = pd.Series([f"id{i}" for i in range(90)])
    assert isinstance(fit_column(values, "c", said="category"), Category)
    assert isinstance(fit_column(pd.Series(["a", "b"] * 20), "c", said="id"), Identifier)
    with pytest.raises(InputError, match=r"'c'.*text or integers"):
        fit_column(pd.Series([0.5, 1.5]), "c", said="id")


def test_numbers_written_as_text_are_no_identifiers() -> None:
    with pytest.raises(InputError, match="'c' has numbers, except for 1 value"):
        fit_column(pd.Series([f"{x:.6f}" for x in random.normal(size=99)] + ["red"]), "c")


def people() -> pd.DataFrame:
    n = 100
    frame = pd.DataFrame({"id": [f"P{i:03}" for i in range(n)], "x": random.normal(size=n)})
    frame.loc[::7, "id"] = None
    frame.loc[::5, "x"] = np.nan
    return frame


def test_a_table_with_identifiers_comes_back_with_others_and_holes_stay() -> None:
    frame = people()
    codec = TableCodec.fit(frame)
    points = codec.encode(frame)
    assert points.shape == (100, 1)
    made = codec.decode(np.zeros((100, 1)))
    assert list(made.columns) == ["id", "x"]
    assert not set(made["id"]) & set(frame["id"].dropna())
    filled = codec.fill(frame, np.zeros((100, 1)))
    pd.testing.assert_series_equal(filled["id"], frame["id"])
    assert filled["x"].notna().all()
    assert TableCodec.from_json(codec.to_json()) == codec


def test_rows_can_be_given_an_identifier_and_a_target_is_none() -> None:
    frame = people()
    rows = RowCodec.fit(frame, pd.Series([f"name {i}" for i in range(100)], name="y"))
    assert rows.identifiers == ("id",)
    given = rows.columns_given({"id": "Q"}, 2)
    made = rows.decode_features(np.zeros((2, rows.width)), given)
    assert made["id"].tolist() == ["Q", "Q"]
    assert rows.read_value("id", "Q") == "Q"


@pytest.mark.parametrize(
    "change",
    [
        {"free": 10**9},
        {"free": 0},
        {"first": -1},
        {"alphabets": ["aa"]},
        {"alphabets": []},
        {"multiplier": 10},
        {"dtype": "int64"},
        {"dtype": "float64"},
    ],
)
def test_a_damaged_description_is_refused(change: dict) -> None:
    column = fit_column(pd.Series(IDS["numbered"][0]), "id")
    with pytest.raises(FormatError):
        Identifier.from_json({**column.to_json(), **change})
