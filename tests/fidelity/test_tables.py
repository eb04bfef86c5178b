"""Do tables come in as they are, whatever their types, and are they refused where they do not fit?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diffuscope.errors import InputError
from diffuscope.metrics.tabular.tables import MOST_ROWS, read_tables


def read(train, synthetic):
    return read_tables({"training": train, "synthetic": synthetic})


def test_codes_stand_for_the_values_of_all_tables(patients):
    train, synthetic = patients(200, 1), patients(100, 2)
    for table, given in zip(read(train, synthetic), (train, synthetic), strict=True):
        for j, column in enumerate(table.columns):
            values, codes = given.iloc[:, j], table.codes[:, j]
            assert ((codes < 0) == values.isna()).all()
            there = codes >= 0
            assert (column.levels[codes[there]] == values.to_numpy()[there]).all()
            if column.ordered:
                assert (column.levels[:-1] < column.levels[1:]).all()


def test_kinds_are_those_of_the_training_rows(patients):
    table, _ = read(patients(50, 1), patients(50, 2).astype({"age": float}))
    kinds = [column.kind for column in table.columns]
    assert kinds == ["integer", "category", "boolean", "number", "category", "datetime", "number"]


def test_columns_are_found_by_name(patients):
    train = patients(60, 1)
    one, other = read(train, train[train.columns[::-1]])
    assert (one.codes == other.codes).all()


def test_the_same_values_in_other_types_are_the_same_values():
    train = pd.DataFrame(
        {
            "c": pd.Categorical(["a", "b", "a", None]),
            "i": np.array([1, 2, 3, 4], dtype="int8"),
            "b": [True, False, True, True],
            "t": pd.to_datetime(["2020-01-01", "2021-01-01", None, "2022-01-01"]).as_unit("s"),
        }
    )
    other = pd.DataFrame(
        {
            "c": np.array(["a", "b", "a", None], dtype=object),
            "i": pd.array([1, 2, 3, 4], dtype="Int64"),
            "b": pd.array([1, 0, 1, 1], dtype="float64"),
            "t": pd.to_datetime(["2020-01-01", "2021-01-01", None, "2022-01-01"]).as_unit("ns"),
        }
    )
    one, two = read(train, other)
    assert (one.codes == two.codes).all()


def test_numbers_come_back_with_their_spacing():
    times = pd.to_datetime(["2020-01-03 00:00", None, "2020-01-01 12:00", "2020-01-01 00:00"])
    table = read_tables({"training": pd.DataFrame({"x": [2.5, np.nan, -1.0, 0.0], "t": times})})[0]
    np.testing.assert_array_equal(table.numbers(0), [2.5, np.nan, -1.0, 0.0])
    np.testing.assert_array_equal(table.numbers(1), [2.0, np.nan, 0.5, 0.0])


def test_categories_are_coded_by_how_common_they_are_in_training():
    train = pd.DataFrame({"c": ["rare", "often", "often", "often", "some", "some"]})
    table, _ = read(train, pd.DataFrame({"c": ["new", "new", "new", "new", "often"]}))
    assert table.columns[0].levels.tolist() == ["often", "some", "rare", "new"]


def test_a_column_without_a_value_is_a_category_and_can_be_compared():
    train = pd.DataFrame({"x": [1.0, 2.0], "e": [np.nan, np.nan]})
    one, other = read(train, pd.DataFrame({"x": [1.0, 3.0], "e": [7.0, np.nan]}))
    assert one.columns[1].kind == "category"
    assert one.codes[:, 1].tolist() == [-1, -1]
    assert other.codes[:, 1].tolist() == [0, -1]


def test_synthetic_columns_may_be_missing_as_a_whole():
    train = pd.DataFrame({"t": pd.to_datetime(["2020-01-01", "2021-01-01"]), "b": [True, False]})
    _, other = read(train, pd.DataFrame({"t": [None, None], "b": [None, None]}, dtype=object))
    assert (other.codes == -1).all()


@pytest.mark.parametrize(
    ("synthetic", "said"),
    [
        (pd.DataFrame({"x": ["a", "b"], "t": pd.to_datetime(["2020", "2021"])}), "'x' is number"),
        (pd.DataFrame({"x": [1.0, 2.0], "t": [1.0, 2.0]}), "'t' is datetime"),
        (pd.DataFrame({"x": [1.0, 2.0], "z": [1.0, 2.0]}), "missing: 't'; new: 'z'"),
        (pd.DataFrame({"x": [1.0, np.inf], "t": pd.to_datetime(["2020", "2021"])}), "infinite"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(synthetic, said):
    train = pd.DataFrame({"x": [1.5, 2.0], "t": pd.to_datetime(["2020", "2021"])})
    with pytest.raises(InputError, match=said):
        read(train, synthetic)


def test_large_tables_are_cut_at_random_to_a_size():
    big = pd.DataFrame({"x": np.arange(2 * MOST_ROWS)})
    table = read_tables({"training": big})[0]
    again = read_tables({"training": big}, seed=1)[0]
    assert len(table) == MOST_ROWS
    assert table.numbers(0).mean() == pytest.approx(MOST_ROWS, rel=0.02)
    assert not np.array_equal(table.numbers(0), again.numbers(0))
