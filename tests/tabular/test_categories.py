"""Do categories, truth values and constants come back as they were, and nothing that was not seen?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.data.tables import fit_column
from diffuscope.data.tables.columns.categories import Boolean, Category, Codes
from diffuscope.data.tables.columns.constant import Constant
from diffuscope.errors import InputError

CODINGS = ["onehot", "bits"]
QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def colours(n: int = 60, dtype: object = "str") -> pd.Series:
    return pd.Series(random().choice(["red", "green", "blue"], n), dtype=object).astype(dtype)


def there_and_back(values: pd.Series, coding: str = "onehot") -> pd.Series:
    column = fit_column(values, "c", coding)
    return column.decode(column.encode(values))


def assert_same(back: pd.Series, values: pd.Series) -> None:
    pd.testing.assert_series_equal(back, values.reset_index(drop=True), check_names=False)


# --- codes -------------------------------------------------------------------------------------------------

SHARES = st.lists(st.integers(1, 1000), min_size=2, max_size=40).map(lambda c: np.array(c) / sum(c))


@QUICK
@given(shares=SHARES, coding=st.sampled_from(CODINGS), seed=st.integers(0, 99))
def test_decoding_takes_the_nearest_code(shares: np.ndarray, coding: str, seed: int) -> None:
    codes = Codes(coding=coding, shares=tuple(shares.tolist()))
    points = np.random.default_rng(seed).standard_normal((50, codes.width)) * 2
    distance = ((points[:, None, :] - codes.table) ** 2).sum(2)
    np.testing.assert_array_equal(codes.decode(points), distance.argmin(1))
    every = np.arange(len(shares))
    np.testing.assert_array_equal(codes.decode(codes.encode(every)), every)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.2, 0.3, 0.5), (0.9, 0.1)])
def test_onehot_coordinates_have_mean_0_and_variance_1_on_average(shares: tuple[float, ...]) -> None:
    codes = Codes(coding="onehot", shares=shares)
    p = np.array(shares)
    np.testing.assert_allclose(p @ codes.table, 0, atol=1e-12)
    assert (p @ codes.table**2).mean() == pytest.approx(1)


def test_many_categories_do_not_jump_further_than_4() -> None:
    codes = Codes(coding="onehot", shares=(0.001,) * 1000)
    assert np.ptp(codes.table) == pytest.approx(4)


@pytest.mark.parametrize(("k", "width"), [(2, 1), (3, 2), (4, 2), (5, 3), (1000, 10)])
def test_bits_are_as_many_as_are_needed_and_all_different(k: int, width: int) -> None:
    codes = Codes(coding="bits", shares=(1 / k,) * k)
    assert codes.table.shape == (k, width)
    assert set(codes.table.ravel()) == {-1.0, 1.0}
    assert len(np.unique(codes.table, axis=0)) == k


@pytest.mark.parametrize("coding", CODINGS)
def test_a_point_without_all_its_coordinates_is_no_category(coding: str) -> None:
    column = fit_column(colours(), "c", coding)
    points = column.encode(colours())
    points[4, 1] = np.nan
    assert column.decode(points).isna().tolist() == [i == 4 for i in range(60)]


# --- categories --------------------------------------------------------------------------------------------

KINDS = {
    "str": colours(),
    "objects": colours(dtype=object),
    "string[python]": colours(dtype="string[python]"),
    "string[pyarrow]": colours(dtype="string[pyarrow]"),
    "Arrow": colours(dtype="large_string[pyarrow]"),
    "bytes": colours(dtype=object).map(str.encode).astype(object),
    "categorical": colours(dtype="category"),
    "ordered": colours(dtype=pd.CategoricalDtype(["red", "green", "blue"], ordered=True)),
    "unused categories": colours(dtype=pd.CategoricalDtype(["teal", "red", "x", "green", "blue", "y"])),
    "of integers": pd.Series(random().choice([3, -1, 2**40], 60)).astype("category"),
    "of floats": pd.Series(random().choice([0.1, -1e300], 60)).astype("category"),
    "of truth values": pd.Series(random().choice([True, False], 60)).astype("category"),
    "of days": pd.Series(random().choice(pd.date_range("2020", periods=4), 60)).astype("category"),
    "of times in Berlin": pd.Series(
        random().choice(pd.date_range("2020", periods=4, tz="Europe/Berlin"), 60)
    ).astype("category"),
    "intervals": pd.Series(pd.cut(random().random(60), [0, 0.2, 0.7, 1], right=False)),
    "any text": pd.Series(["", " ", "nan", "None", "ß", "日本", "\n", "a\x00b"], dtype="str"),
}


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_categories_of_every_type_come_back(kind: str, coding: str, holes: bool) -> None:
    values = KINDS[kind].copy()
    if holes:
        values[1::4] = None
    column = fit_column(values, "c", coding)
    assert isinstance(column, Category)
    assert column.missing == holes
    back = column.decode(column.encode(values))
    assert_same(back, values)
    if values.dtype == "category":
        assert back.cat.categories.equals(values.cat.categories)
        assert back.cat.ordered == values.cat.ordered


@pytest.mark.parametrize("coding", CODINGS)
def test_only_what_was_seen_is_drawn(coding: str) -> None:
    column = fit_column(KINDS["unused categories"], "c", coding)
    drawn = column.decode(random().standard_normal((2000, column.width)) * 3)
    assert set(drawn) == {"red", "green", "blue"}


@pytest.mark.parametrize("coding", CODINGS)
def test_a_rare_category_is_kept(coding: str) -> None:
    values = pd.Series(["common"] * 50_000 + ["usual"] * 50_000 + ["rare"])
    assert_same(there_and_back(values, coding), values)


def test_what_a_column_becomes_does_not_depend_on_the_order_of_its_rows() -> None:
    values = KINDS["str"]
    assert fit_column(values, "c") == fit_column(values[::-1], "c")


@pytest.mark.parametrize("values", [["red", "pink"], [b"red", b"pink"]])
def test_an_unseen_category_is_refused_with_its_column_its_row_and_the_known_ones(values: list) -> None:
    fitted = KINDS["bytes" if isinstance(values[0], bytes) else "str"]
    with pytest.raises(InputError) as caught:
        fit_column(fitted, "colour").encode(pd.Series(values, dtype=object))
    for part in ("'colour'", "pink", "row 1", "blue", "green", "red"):
        assert part in caught.value.what


def test_of_many_known_categories_ten_are_named() -> None:
    column = fit_column(pd.Series([f"c{i:03}" for i in range(50)] * 2), "c")
    with pytest.raises(InputError, match=r"'c009', …") as caught:
        column.encode(pd.Series(["x"]))
    assert "c010" not in caught.value.what


def test_text_is_recognised_in_every_type_of_text() -> None:
    column = fit_column(KINDS["str"], "c")
    wanted = column.encode(KINDS["str"])
    for kind in ("objects", "string[python]", "string[pyarrow]", "Arrow", "categorical", "ordered"):
        np.testing.assert_array_equal(column.encode(KINDS[kind]), wanted)


@pytest.mark.parametrize("values", [[1, 2], [[1], [2]], [{"a": 1}], [1.5, None]])
def test_other_things_are_no_categories(values: list) -> None:
    with pytest.raises(InputError, match="'c'"):
        fit_column(KINDS["str"], "c").encode(pd.Series(values))


def test_a_thousand_categories_are_modelled_and_no_more() -> None:
    values = pd.Series([f"c{i}" for i in range(1001)] * 2)
    thousand = values[values != "c1000"].reset_index(drop=True)
    assert_same(there_and_back(thousand), thousand)
    assert_same(there_and_back(thousand, "bits"), thousand)
    for kind in (values, values.astype("category")):
        with pytest.raises(InputError, match="1001 different values") as caught:
            fit_column(kind, "name")
        assert "'name'" in caught.value.what
        assert "identifier" in str(caught.value.hint)


def test_a_categorical_of_more_is_modelled_where_few_were_seen() -> None:
    every = [f"c{i}" for i in range(5000)]
    values = pd.Series(pd.Categorical(["c4", "c4999", "c4"], categories=every))
    assert_same(there_and_back(values), values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "a"], "several types: int, str"),
        (["a", b"a"], "several types: bytes, str"),
        ([True, 2], "several types: bool, int"),
        ([[1], [2]], "type list"),
        ([1j, 2j], "real and imaginary"),
        (pd.interval_range(0, 2), "astype"),
        (pd.arrays.SparseArray([0, 1]), "to_dense"),
        (pd.Categorical(pd.period_range("2020", periods=2, freq="M")), "astype"),
        (pd.Categorical(np.array([1, "a"], dtype=object)), "astype"),
        (["\ud800", "b"], "cannot be saved"),
    ],
)
def test_columns_that_cannot_be_modelled_are_refused_by_name(values: object, message: str) -> None:
    values = pd.Series(values, dtype=object) if isinstance(values, list) else pd.Series(values)
    with pytest.raises(InputError, match=message) as caught:
        fit_column(values, "odd one")
    assert "'odd one'" in caught.value.what


# --- truth values ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("dtype", ["bool", "boolean", "bool[pyarrow]", "object"])
def test_truth_values_come_back_in_their_type(dtype: str, coding: str) -> None:
    values = pd.Series([True, False, False, True, False]).astype(dtype)
    if dtype != "bool":
        values[2] = None
    column = fit_column(values, "b", coding)
    assert isinstance(column, Boolean)
    assert_same(column.decode(column.encode(values)), values)


def test_0_and_1_are_truth_values_and_2_is_none() -> None:
    column = fit_column(pd.Series([True, False]), "b")
    assert column.decode(column.encode(pd.Series([1.0, 0.0]))).tolist() == [True, False]
    with pytest.raises(InputError, match="2 is not one"):
        column.encode(pd.Series([0, 2]))


@pytest.mark.parametrize("values", [pd.Series([True, False]), pd.Series([3, 4, 9], dtype="int8")])
def test_a_type_without_holes_cannot_take_one(values: pd.Series) -> None:
    column = fit_column(values, "b")
    points = column.encode(values)
    points[1] = np.nan
    with pytest.raises(InputError, match=f"'b' has no value in row 1.*{values.dtype}"):
        column.decode(points)


def test_categories_have_no_volume_but_the_probability_that_they_are_not_new() -> None:
    values = pd.Series([True, False, True])
    assert fit_column(values, "c").log_volume(values).tolist() == [0, 0, 0]
    values = pd.Series(["x", "y", None, "x", "x"])
    column = fit_column(values, "c")
    assert column.new == pytest.approx(2 / 6)  # one of four rows is the only one of its category
    old = np.log(4 / 6)
    np.testing.assert_allclose(column.log_volume(values), [old, old, 0, old, old])
    np.testing.assert_allclose(column.log_volume(pd.Series(["z"])), np.log(2 / 6))
    assert column.is_new(pd.Series(["z", "x", None])).tolist() == [True, False, False]


# --- constants ---------------------------------------------------------------------------------------------

CONSTANTS = {
    "float": pd.Series([2.5] * 3),
    "Float32": pd.Series([2.5, None, 2.5], dtype="Float32"),
    "uint64": pd.Series([2**64 - 1] * 3, dtype="uint64"),
    "uint64 of Arrow": pd.Series([2**64 - 1, None], dtype="uint64[pyarrow]"),
    "a large integer": pd.Series([2**200] * 3, dtype=object),
    "bool": pd.Series([True] * 3),
    "text": pd.Series(["x", None, "x"]),
    "bytes": pd.Series([b"x"] * 3, dtype=object),
    "time": pd.Series(pd.to_datetime(["2020-02-29 12:00"] * 3)),
    "time in Berlin": pd.Series(pd.to_datetime(["2020-02-29"] * 3).tz_localize("Europe/Berlin")),
    "date": pd.Series(pd.to_datetime(["2020-02-29"] * 3)).astype("date32[pyarrow]"),
    "categorical": pd.Series(pd.Categorical(["b"] * 3, categories=["a", "b"], ordered=True)),
    "categorical of days": pd.Series(pd.Categorical(pd.to_datetime(["2020-02-29"] * 3))),
    "categorical of intervals": pd.Series(pd.cut([0.5] * 3, [0, 1, 2])),
    "all NaN": pd.Series([np.nan] * 3),
    "all None": pd.Series([None] * 3, dtype=object),
    "all NaT": pd.Series(pd.to_datetime([None] * 3)),
    "all NA": pd.Series([None] * 3, dtype="Int64"),
    "all NA of Arrow": pd.Series([None] * 3, dtype="string[pyarrow]"),
    "no category": pd.Series(pd.Categorical([None] * 3, categories=["a"])),
}


@pytest.mark.parametrize("kind", CONSTANTS)
def test_a_constant_needs_no_coordinate_and_comes_back_without_holes(kind: str) -> None:
    values = CONSTANTS[kind]
    column = fit_column(values, "k")
    assert isinstance(column, Constant)
    assert column.missing == values.isna().any()
    points = column.encode(values)
    assert points.shape == (len(values), 0)
    back = column.decode(points)
    assert_same(back, values if values.isna().all() else values.fillna(values.dropna().iloc[0]))
    assert column.log_volume(values) == pytest.approx(np.log1p(-column.new) * values.notna().to_numpy())


@pytest.mark.parametrize("kind", CONSTANTS)
def test_another_value_than_the_constant_is_refused(kind: str) -> None:
    other = {
        "bool": [False],
        "float": [2.6],
        "Float32": [2.6],
        "time": pd.to_datetime(["2020-02-28"]),
        "date": pd.to_datetime(["2020-02-28"]),
        "time in Berlin": pd.to_datetime(["2020-02-28"]).tz_localize("Europe/Berlin"),
    }.get(kind, [7] if "integer" in kind or "uint64" in kind else ["other"])
    column = fit_column(CONSTANTS[kind], "k")
    with pytest.raises(InputError, match=r"'k' was .*row 0"):
        column.encode(pd.Series(other))


def test_what_is_missing_may_be_given_for_any_constant() -> None:
    for values in CONSTANTS.values():
        gaps = values.copy()
        if values.dtype not in ("uint64", "bool"):
            gaps[0] = None
        assert fit_column(values, "k").encode(gaps).shape == (len(values), 0)
