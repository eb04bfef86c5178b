"""Do tables of every kind go in, come out as the kind that they were, and is everything else refused?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch

from diffuscope.data.tables import TableCodec, read_frame
from diffuscope.errors import InputError

N = 40


def random() -> np.random.Generator:
    return np.random.default_rng(0)


def there_and_back(table: object) -> object:
    codec = TableCodec.fit(table)
    return codec.decode(codec.encode(table))


# --- arrays ------------------------------------------------------------------------------------------------

EXACT = [
    "?",
    "i1",
    "i8",
    "u1",
    "u8",
    ">i4",
    "M8[D]",
    "M8[h]",
    "M8[s]",
    "M8[ms]",
    "M8[us]",
    "M8[ns]",
    "U",
    "S",
]


def array_of(dtype: str) -> np.ndarray:
    whole = random().integers(0, 2 if dtype == "?" else 100, (N, 3))
    return whole.astype("i8" if dtype.startswith("M8") else "U2" if dtype in "US" else "i8").astype(dtype)


@pytest.mark.parametrize("dtype", EXACT)
def test_arrays_of_every_exact_type_come_back_in_it(dtype: str) -> None:
    array = array_of(dtype)
    back = there_and_back(array)
    assert isinstance(back, np.ndarray)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f8", np.longdouble])
def test_arrays_of_floats_come_back_as_float64(dtype: object) -> None:
    array = random().standard_normal((N, 3)).astype(dtype)
    array[3, 1] = np.nan
    back = there_and_back(array)
    assert back.dtype == np.float64
    np.testing.assert_allclose(back, array.astype(float), rtol=1e-9)


def test_arrays_of_objects_keep_what_each_column_holds() -> None:
    rows = [[1, "a", None, 2.5, True], [2, None, None, 1.25, False], [3, "b", None, 1.5, True]]
    back = there_and_back(np.array(rows, dtype=object))
    assert back.dtype == object
    assert back.tolist() == rows
    assert [type(value) for value in back[0]] == [int, str, type(None), float, bool]


def test_structured_arrays_keep_their_fields() -> None:
    types = [("a", "i2"), ("b", "f4"), ("c", "U3"), ("d", "M8[D]"), ("e", "S2"), ("f", "?")]
    rows = [(1, 2.5, "ab", "2020-01-01", b"x", True), (7, 0.25, "abc", "2020-02-01", b"yy", False)]
    array = np.array(rows, dtype=types)
    for given in (array, array.view(np.recarray)):
        back = there_and_back(given)
        assert back.dtype == array.dtype
        assert back.tolist() == array.tolist()


def test_text_of_variable_length_comes_back_as_objects() -> None:
    array = np.array([["a", "bc"], ["", "d"]], dtype=np.dtypes.StringDType())
    back = there_and_back(array)
    assert back.tolist() == array.tolist()


def test_masked_values_are_missing() -> None:
    for dtype in (int, float):
        array = np.ma.array([[1, 2], [3, 4], [5, 9]], mask=[[0, 1], [0, 0], [0, 0]], dtype=dtype)
        codec = TableCodec.fit(array)
        assert np.isnan(codec.encode(array)).tolist() == array.mask.tolist()
        assert codec[1].missing
        assert codec.decode(codec.encode(array[1:])).tolist() == [[3, 4], [5, 9]]
        assert np.isnan(codec.decode(codec.encode(array))[0, 1])


@pytest.mark.parametrize("layout", ["C", "F", "read-only", "in a file", "every second row", "backwards"])
def test_arrays_in_any_memory_are_read_without_a_copy(layout: str, tmp_path: Path) -> None:
    array = random().standard_normal((N, 3))
    np.save(tmp_path / "a.npy", array)
    given = {
        "C": array,
        "F": np.asfortranarray(array),
        "in a file": np.load(tmp_path / "a.npy", mmap_mode="r"),
        "every second row": np.repeat(array, 2, axis=0)[::2],
        "backwards": array[::-1, ::-1].copy()[::-1, ::-1],
    }.get(layout, array.view())
    given.flags.writeable = layout not in ("read-only", "in a file")
    frame = read_frame(given)
    assert all(np.shares_memory(frame.column(j).to_numpy(), given) for j in range(3))
    np.testing.assert_array_equal(frame.data.to_numpy(), array)
    np.testing.assert_allclose(there_and_back(given), array, rtol=1e-12)
    np.testing.assert_array_equal(given, array)


def test_a_tensor_is_an_array() -> None:
    back = there_and_back(torch.linspace(-1, 1, 20).reshape(10, 2))
    assert isinstance(back, np.ndarray)
    assert back.shape == (10, 2)


def test_lists_of_rows_come_back_as_lists_of_rows() -> None:
    rows = [[1, "a", 2.5], [2, "b", None], [3, "a", 0.25]]
    back = there_and_back(rows)
    assert back[:1] + back[2:] == rows[:1] + rows[2:]
    assert back[1][:2] == rows[1][:2]
    assert np.isnan(back[1][2])
    assert there_and_back(tuple(map(tuple, rows)))[0] == rows[0]
    assert there_and_back([np.array([1, 2]), np.array([3, 5])]) == [[1, 2], [3, 5]]


# --- data frames -------------------------------------------------------------------------------------------


def test_a_pandas_frame_comes_back_with_its_names_types_and_an_index_of_its_own() -> None:
    frame = pd.DataFrame(
        {
            "size": pd.array([1, 2, None, 4], dtype="Int8"),
            "weight": np.array([1.5, np.nan, 2.25, 3.0], dtype="float32"),
            "colour": pd.Categorical(["b", "a", None, "b"], categories=["b", "x", "a"], ordered=True),
            "when": pd.to_datetime(["2020-01-01", None, "2020-03-01", "2020-03-02"]),
            "ok": pd.array([True, None, False, True], dtype="boolean"),
            "note": pd.array(["x", "y", None, "x"], dtype="string"),
        },
        index=["r", "s", "t", "t"],
    )
    codec = TableCodec.fit(frame)
    points = codec.encode(frame)
    pd.testing.assert_frame_equal(codec.decode(points), frame.reset_index(drop=True))
    pd.testing.assert_frame_equal(codec.decode(points, like=frame), frame)
    pd.testing.assert_frame_equal(codec.decode(points, index=[7, 8, 9, 10]), frame.set_axis([7, 8, 9, 10]))
    with pytest.raises(InputError, match="index of 3 entries"):
        codec.decode(points, index=[1, 2, 3])


@pytest.mark.parametrize(
    "names",
    [
        ["a", "b"],
        pd.Index(["a", "b"], dtype=object),
        pd.Index(["a", "b"], dtype="string"),
        ["b", 3],
        [5, 3],
        [0, 1],
        pd.RangeIndex(2),
        ["größe", "\n"],
    ],
)
def test_names_of_columns_come_back_in_their_type(names: object) -> None:
    frame = pd.DataFrame([[1, 2.5], [2, 3.75]], columns=names)
    back = there_and_back(frame)
    pd.testing.assert_index_equal(back.columns, frame.columns, exact="equiv")


@pytest.mark.parametrize(
    "names",
    [
        pd.Index([4, 7], dtype="int32"),
        pd.CategoricalIndex(["a", "b"]),
        pd.Index(["a", "b"], dtype=pd.ArrowDtype(pa.string())),
    ],
)
def test_names_of_rare_types_come_back_as_objects(names: pd.Index) -> None:
    back = there_and_back(pd.DataFrame([[1, 2.5], [2, 3.75]], columns=names))
    assert back.columns.tolist() == names.tolist()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([1.5, 2.5], "1.5 is neither"),
        ([None, "a"], "nan is neither"),
        (pd.Index([True, False]), "True is neither"),
        (pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]), r"\('a', 'b'\) is neither"),
        (pd.date_range("2020", periods=2), "Timestamp.* is neither"),
        (["a", "a"], "several columns named 'a'"),
        (pd.Index(["a", "\ud800"], dtype=object), "not valid text"),
    ],
)
def test_names_that_are_no_names_are_refused(names: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_frame(pd.DataFrame([[1, 2.5], [2, 3.75]]).set_axis(names, axis=1))


def polars_table() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "text": ["x", "y", None],
            "category": pl.Series(["x", "y", "x"], dtype=pl.Categorical),
            "enum": pl.Series(["x", "y", None], dtype=pl.Enum(["y", "z", "x"])),
            "day": [dt.date(2020, 1, 1), None, dt.date(2020, 2, 1)],
            "time": [dt.datetime(2020, 1, 1, 3), None, dt.datetime(2020, 2, 1)],
            "zone": pl.Series([dt.datetime(2020, 1, d) for d in (1, 2, 4)]).dt.replace_time_zone(
                "Europe/Berlin"
            ),
            "ok": [True, None, False],
            "small": pl.Series([1, None, 3], dtype=pl.Int8),
            "large": pl.Series([2**64 - 1, None, 2**64 - 5], dtype=pl.UInt64),
            "float": pl.Series([1.5, None, 3], dtype=pl.Float32),
            "nothing": [None, None, None],
        }
    )


def test_a_polars_frame_comes_back_with_its_schema() -> None:
    table = polars_table()
    back = there_and_back(table)
    assert isinstance(back, pl.DataFrame)
    assert back.schema == table.schema
    assert back.equals(table)


def test_an_arrow_table_comes_back_with_its_schema() -> None:
    table = polars_table().drop("nothing").to_arrow()
    table = pa.table({"a": [1, 2, None], "b": pa.array(["x", None, "y"]), "c": [0.5, 1.5, None]})
    back = there_and_back(table)
    assert isinstance(back, pa.Table)
    assert back.schema == table.schema
    assert back.equals(table)


def test_nan_is_missing_where_a_table_tells_it_from_null() -> None:
    values = [0.5, float("nan"), None, 2.75]
    table = pl.DataFrame({"a": values, "nan": [float("nan")] * 4})
    series = pd.DataFrame({"a": pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values)))})
    for given in (table, series):
        codec = TableCodec.fit(given)
        points = codec.encode(given)
        assert np.isnan(points[:, 0]).tolist() == [False, True, True, False]
        filled = codec.fill(given, np.zeros_like(points))
        assert not np.isnan(np.asarray(filled["a"], dtype=float)).any()
    assert TableCodec.fit(table)["nan"].width == 0


def test_without_polars_its_rows_come_as_another_table(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = TableCodec.fit(polars_table())
    points = codec.encode(polars_table())
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(InputError, match="pip install polars"):
        codec.decode(points)
    codec = TableCodec.from_json(codec.to_json())
    like = pd.DataFrame(index=range(3), columns=codec.names)
    assert codec.decode(points, like=like)["text"].tolist()[:2] == ["x", "y"]


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ([[1, 2], [1]], "from 1 to 2 values, first in row 1"),
        ([np.array(1), np.array(2)], "is not a row"),
        (["ab", "cd"], "'ab' is not a row"),
        ([1, 2], "1 is not a row"),
        ([{"a": 1}], "is not a row"),
        ([[[1]], [[2]]], "Row 0 .* contains a list, not a value"),
        ([[], []], "no columns"),
        ([], "no rows"),
        (np.arange(3), "two dimensions, got 1"),
        (np.zeros((2, 2, 2)), "two dimensions, got 3"),
        (np.zeros((3, 0)), "no columns"),
        (np.zeros((0, 3)), "no rows"),
        (np.ones((2, 2), dtype=complex), "[Cc]omplex"),
        (np.zeros((2, 2), dtype="V4"), "V4"),
        (np.zeros((2, 2), dtype="M8[ps]"), "not supported"),
        (np.zeros(3, dtype=[("a", "i4", (2,))]), "field 'a' contains arrays"),
        (np.zeros(3, dtype=[("a", "c8")]), "[Cc]omplex"),
        (scipy.sparse.csr_matrix(np.eye(3)), "sparse.*toarray"),
        (scipy.sparse.csr_array(np.eye(3)), "sparse.*toarray"),
        (pd.DataFrame(), "no columns"),
        (pd.DataFrame(index=[1, 2]), "no columns"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pd.Series([1, 2]), "to_frame"),
        (pl.DataFrame(), "no columns"),
        (pl.Series([1, 2]), "to_frame"),
        (torch.zeros(2, 2, requires_grad=True), "detach"),
        (None, "NoneType"),
        ("rows.csv", "'str'"),
        ({"a": [1, 2]}, "'dict'"),
        ((row for row in [[1]]), "'generator'"),
    ],
)
def test_what_is_no_table_is_refused_with_its_reason(table: object, message: str) -> None:
    with pytest.raises(InputError, match=r"(?s)" + message):
        TableCodec.fit(table)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([dt.time(1), dt.time(2)], "midnight"),
        ([[1], [2]], "list"),
        ([{"a": 1}, {"a": 2}], "struct"),
        ([b"a", b"b"], "text"),
    ],
)
def test_columns_of_polars_that_cannot_be_modelled_are_refused_by_name(values: list, message: str) -> None:
    with pytest.raises(InputError, match=rf"(?s)'odd one'.*{message}"):
        TableCodec.fit(pl.DataFrame({"odd one": values}))


# --- another kind of table than the one that was fitted ----------------------------------------------------


@pytest.mark.parametrize(
    ("like", "fitted", "dtype"),
    [
        (np.zeros((2, 1), "i8"), [[1.5], [2.25]], "f8"),
        (np.zeros((2, 1), "i1"), [[1], [1000]], "i8"),
        (np.zeros((2, 1), "?"), [[1], [5]], "i8"),
        (np.zeros((2, 1), "i1"), [["long"], ["text"]], "O"),
        (np.zeros((2, 1), "f4"), [[1e300], [2e300]], "f8"),
        (np.zeros((2, 1), "f4"), [["long"], ["text"]], "O"),
        (np.array([["a"], ["b"]]), [["long"], ["text"]], "U4"),
        (np.array([["a"], ["b"]]), [[1.5], [2.5]], "O"),
        (np.zeros((2, 1), "M8[s]"), [[1.5], [2.5]], "O"),
        (np.zeros(2, [("x", "f4")]), [[1e300], [2e300]], "f8"),
        (np.zeros(2, [("x", "i1")]), [[1.5], [2.5]], "f8"),
    ],
)
def test_an_array_is_widened_rather_than_its_values_cut(like: np.ndarray, fitted: list, dtype: str) -> None:
    codec = TableCodec.fit(fitted)
    back = codec.decode(codec.encode(fitted), like=like)
    inner = back.dtype if back.dtype.names is None else back.dtype[0]
    assert inner == np.dtype(dtype)
    np.testing.assert_array_equal(np.array(back.tolist()).ravel(), np.array(fitted).ravel())
