"""Do rows of any kind come back from files as they went in, with their holes, and in flat memory?"""

from __future__ import annotations

import datetime as dt
import tempfile
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.data.columnar import (
    WRITABLE,
    TableWriter,
    read_rows,
    read_table,
    write_rows,
    write_table,
)
from diffuscope.errors import DiffuscopeError, FormatError, InputError

# Spreadsheets need a package that may not be there.
FORMATS = [suffix for suffix in WRITABLE if suffix != ".xlsx" or find_spec("openpyxl")]
TEXTS = [".csv", ".tsv", ".csv.gz"]


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8", newline="")
    return path


def mixed(n: int = 60) -> pd.DataFrame:
    """Return a column of each type that a text file can tell."""
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "float": r.standard_normal(n) * 10.0 ** r.integers(-300, 300, n),
            "whole floats": r.integers(0, 9, n).astype(float),
            "int": r.integers(-(2**60), 2**60, n),
            "int with holes": pd.array(r.integers(2**53, 2**60, n), dtype="Int64"),
            "bool": r.random(n) < 0.5,
            "bool with holes": pd.array(r.random(n) < 0.5, dtype="boolean"),
            "text": pd.array(
                r.choice(["none", "nil", "a,b", 'say "x"', " both ", "ß\nß", "a\tb"], n), dtype="str"
            ),
            "days": pd.date_range("1999-12-31", periods=n, unit="us"),
            "times": pd.date_range("2020-01-01", periods=n, freq="1234567us", unit="us"),
            "UTC": pd.date_range("2020-01-01", periods=n, freq="8h", unit="us", tz="UTC"),
        }
    )
    for j, name in enumerate(frame.columns):
        if name not in ("int", "bool"):
            frame.loc[j::9, name] = None
    return frame


# --- there and back ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [*TEXTS, ".parquet"])
def test_rows_come_back_as_they_went_in(tmp_path: Path, suffix: str) -> None:
    frame = mixed()
    write_rows(tmp_path / f"t{suffix}", frame)
    pd.testing.assert_frame_equal(read_rows(tmp_path / f"t{suffix}"), frame, check_exact=True)


FINITE = st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6).map(lambda s: f"w{s}w")
TIMES = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 1, 1))
CELLS: dict[str, st.SearchStrategy] = {
    "float64": FINITE,
    "int64": st.integers(-(2**63), 2**63 - 1),
    "Int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
    "boolean": st.booleans(),
    "str": WORDS,
    "datetime64[us]": TIMES,
    "datetime64[us, UTC]": TIMES,
}


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 8))
    names = draw(st.lists(WORDS, min_size=1, max_size=4, unique=True))
    if len(names) == 1:
        names = ["one"]  # that could not be taken for several
    columns = {}
    for name in names:
        dtype = draw(st.sampled_from(sorted(CELLS)))
        value = CELLS[dtype] if dtype in ("int64", "bool") else CELLS[dtype] | st.none()
        values = draw(st.lists(value, min_size=n, max_size=n))
        if dtype in ("Int64", "boolean") and None not in values:
            dtype = dtype.lower().removesuffix("ean")  # without holes it is numpy's
        if not any(value is not None for value in values):
            dtype = "float64"  # a column of holes only
        zone = "UTC" in dtype
        columns[name] = pd.Series(pd.array(values, dtype="datetime64[us]" if zone else dtype))
        columns[name] = columns[name].dt.tz_localize("UTC") if zone else columns[name]
    return pd.DataFrame(columns)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(frame=tables(), suffix=st.sampled_from([*TEXTS, ".parquet"]), chunk=st.integers(1, 8))
def test_any_rows_in_any_chunks_come_back_as_they_went_in(
    frame: pd.DataFrame, suffix: str, chunk: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        with TableWriter(path, *frame.shape, columns=list(frame.columns)) as writer:
            for start in range(0, len(frame), chunk):
                writer.append(frame.iloc[start : start + chunk])
        pd.testing.assert_frame_equal(read_rows(path), frame, check_exact=True)


def test_parquet_keeps_every_type(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "float32": np.array([0.1, 0.2, np.nan], dtype="float32"),
            "int8": np.array([1, 2, 3], dtype="int8"),
            "UInt8": pd.array([1, None, 3], dtype="UInt8"),
            "category": pd.Categorical(["b", "a", None], categories=["b", "a"], ordered=True),
            "string": pd.array(["x", None, ""], dtype="string"),
            "zone": pd.date_range("2020-01-01", periods=3, unit="ms", tz="Europe/Berlin"),
            "empty": pd.array([None, None, None], dtype="str"),
        }
    )
    write_rows(tmp_path / "t.parquet", frame)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "t.parquet"), frame)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_objects_that_are_missing_at_first_are_text_all_the_same(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"note": pd.Series([None, None, "x"], dtype=object), "n": [1, 2, 3]})
    with TableWriter(tmp_path / f"t{suffix}", 3, 2, ["note", "n"]) as writer:
        writer.append(frame[:2])
        writer.append(frame[2:])
    back = read_rows(tmp_path / f"t{suffix}")
    assert back["note"].isna().tolist() == [True, True, False]
    assert back["note"][2] == "x"


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
@pytest.mark.parametrize(
    ("types", "wanted"),
    [(["int8", "int64"], "int64"), (["int64", "float32"], "float64"), (["Int64", "Float32"], "float64")],
)
def test_arrays_take_numbers_in_one_type_that_holds_them(
    tmp_path: Path, suffix: str, types: list[str], wanted: str
) -> None:
    frame = pd.DataFrame({"a": pd.array([1, 2, 7], dtype=types[0]), "b": pd.array([3, 4, 9], dtype=types[1])})
    if types[0] == "Int64":
        frame.loc[1, "a"] = None
    path = tmp_path / f"t{suffix}"
    write_rows(path, frame)
    back = read_rows(path)
    assert back.columns.tolist() == (["a", "b"] if suffix == ".npz" else [0, 1])
    assert set(back.dtypes) == {np.dtype(wanted)}
    np.testing.assert_array_equal(back.to_numpy(), frame.to_numpy(dtype=float, na_value=np.nan))


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_written_as_points_is_read_as_rows(tmp_path: Path, suffix: str) -> None:
    x = np.random.default_rng(0).standard_normal((20, 2))
    path = tmp_path / f"t{suffix}"
    write_table(path, x, ("a", "b"))
    back = read_rows(path)
    np.testing.assert_array_equal(back.to_numpy(), x)
    assert back.columns.tolist() == ([0, 1] if suffix == ".npy" else ["a", "b"])


@pytest.mark.parametrize("suffix", TEXTS[:2])
def test_numbers_without_names_have_no_header_and_holes_that_are_numbers(tmp_path: Path, suffix: str) -> None:
    frame = pd.concat(
        [pd.DataFrame([[np.nan, 2.0], [1.5, 3.0]]), pd.Series([None, 5], dtype="Int64")], axis=1
    )
    frame.columns = range(3)
    path = tmp_path / f"t{suffix}"
    write_rows(path, frame)
    assert path.read_text() == "nan,2.0,nan\n1.5,3.0,5\n".replace(",", "," if suffix == ".csv" else "\t")
    pd.testing.assert_frame_equal(read_rows(path), frame)


def test_text_without_names_gets_some(tmp_path: Path) -> None:
    frame = pd.DataFrame([["red", 1], ["blue", 2]])
    write_rows(tmp_path / "t.csv", frame)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "t.csv"), frame.set_axis(["x0", "x1"], axis=1))


def test_what_a_text_file_looks_like(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "n": [1.0, 0.1, 1e22, None],
            "f": np.array([0.1, 1, 3e-8, 2], dtype="float32"),
            "k": pd.array([1, None, 3, 4], dtype="Int64"),
            "ok": [True, False, True, True],
            "note": ["a", 'b "c", d', None, " e"],
            "kind": pd.Categorical(["x", "y", None, "x"]),
            "day": pd.to_datetime(["2020-01-01", None, "2020-01-03", "2020-01-04"]),
            "at": pd.date_range("2020-06-01 12:30", periods=4, freq="h", tz="Europe/Berlin"),
        }
    )
    write_rows(tmp_path / "t.csv", frame)
    assert (tmp_path / "t.csv").read_text() == (
        "n,f,k,ok,note,kind,day,at\n"
        "1.0,0.1,1,True,a,x,2020-01-01,2020-06-01T10:30:00+00:00\n"
        '0.1,1.0,,False,"b ""c"", d",y,,2020-06-01T11:30:00+00:00\n'
        "1e+22,3e-08,3,True,,,2020-01-03,2020-06-01T12:30:00+00:00\n"
        ',2.0,4,True," e",x,2020-01-04,2020-06-01T13:30:00+00:00\n'
    )


def test_a_column_of_holes_between_texts_keeps_its_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({"only": ["a", None, None, "b"]}, dtype="str")
    write_rows(tmp_path / "t.csv", frame)
    pd.testing.assert_frame_equal(read_rows(tmp_path / "t.csv"), frame)


# --- what a column is --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "dtype", "values"),
    [
        (["1", "2"], "int64", [1, 2]),
        (["1", ""], "Int64", [1, None]),
        (["1", "NA"], "Int64", [1, None]),
        (["9223372036854775807", ""], "Int64", [2**63 - 1, None]),
        (["18446744073709551615", "1"], "uint64", [2**64 - 1, 1]),
        (["18446744073709551615", ""], "UInt64", [2**64 - 1, None]),
        (["99999999999999999999", "1"], "str", ["99999999999999999999", "1"]),
        (["+1", "NA"], "Int64", [1, None]),
        (["0x10", "NA"], "str", ["0x10", None]),
        (["1.0", "2"], "float64", [1.0, 2.0]),
        (["1e3", ""], "float64", [1000.0, None]),
        (["nan", "1.5"], "float64", [None, 1.5]),
        (["inf", "-inf"], "float64", [np.inf, -np.inf]),
        (["True", "False"], "bool", [True, False]),
        (["true", ""], "boolean", [True, None]),
        (["TRUE", "false", "null"], "boolean", [True, False, None]),
        (["True", "1", "NA"], "str", ["True", "1", None]),
        (["NA", ""], "float64", [None, None]),
        (["yes", "no"], "str", ["yes", "no"]),
        (["NA", "red"], "str", [None, "red"]),
        (["1", "red"], "str", ["1", "red"]),
        (["", "red"], "str", [None, "red"]),
        (["", ""], "float64", [None, None]),
        (
            ["2020-01-01", "2020-01-02"],
            "datetime64[us]",
            [pd.Timestamp(2020, 1, 1), pd.Timestamp(2020, 1, 2)],
        ),
        (["2020-01-01", ""], "datetime64[us]", [pd.Timestamp(2020, 1, 1), None]),
        (["2020-01-01 12:30", "2020-01-01T12:30:05.25"], "datetime64[us]", None),
        (["2020-01-01T12:30Z", "2020-01-01T12:30:00+02:00"], "datetime64[us, UTC]", None),
        (["2020-01-01T00:00:00.000000001", ""], "datetime64[ns]", None),
        (["2020-01-01", "2020-01-01T12:30Z"], "str", ["2020-01-01", "2020-01-01T12:30Z"]),
        (["2020-01-01", "soon"], "str", ["2020-01-01", "soon"]),
        (["2020-02-30", "2020-01-01"], "str", ["2020-02-30", "2020-01-01"]),
        (["20200101", "20200102"], "int64", [20200101, 20200102]),
        (["2020", "2021"], "int64", [2020, 2021]),
        (
            ["01/02/2020", "02/02/2020"],
            "datetime64[us]",
            [pd.Timestamp(2020, 2, 1), pd.Timestamp(2020, 2, 2)],
        ),
    ],
)
def test_a_column_is_what_all_its_cells_are(
    tmp_path: Path, cells: list, dtype: str, values: list | None
) -> None:
    path = text(tmp_path / "t.csv", "a,other\n" + "".join(f"{cell},1\n" for cell in cells))
    column = read_rows(path)["a"]
    assert str(column.dtype) == dtype
    if values is not None:
        pd.testing.assert_series_equal(column, pd.Series(values, dtype=dtype), check_names=False)


@pytest.mark.parametrize("content", ["1,2\n3,4.5\n", "a,b\n1,2\n3,4.5\n", "\ufeff\n\na, b\n1, 2\n3, 4.5\n"])
def test_a_file_of_numbers_is_the_same_to_both_readers(tmp_path: Path, content: str) -> None:
    path = text(tmp_path / "t.csv", content)
    x, columns = read_table(path)
    frame = read_rows(path)
    np.testing.assert_array_equal(frame.to_numpy(dtype=float), x)
    assert frame.columns.tolist() == ([0, 1] if columns is None else list(columns))
    assert [str(dtype) for dtype in frame.dtypes] == ["int64", "float64"]


def test_the_types_of_parquet_from_elsewhere_are_the_ones_it_has(tmp_path: Path) -> None:
    table = pa.table(
        {
            "i": pa.array([2**60 + 1, None], pa.int64()),
            "u": pa.array([7, None], pa.uint8()),
            "b": pa.array([True, None]),
            "d": pa.array([dt.date(2020, 1, 1), None]),
            "m": pa.array([Decimal("1.25"), None]),
            "t": pa.array(["x", None]),
            "c": pa.array(["x", None]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    frame = read_rows(tmp_path / "t.parquet")
    types = ["Int64", "UInt8", "boolean", "datetime64[us]", "float64", "str", "category"]
    assert [str(dtype) for dtype in frame.dtypes] == types
    assert frame.iloc[0].tolist() == [2**60 + 1, 7, True, pd.Timestamp(2020, 1, 1), 1.25, "x", "x"]
    assert frame.iloc[1].isna().all()


def test_the_index_of_a_frame_in_parquet_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": pd.array([1, None], dtype="Int64")}, index=pd.Index([7, 9], name="key"))
    frame.to_parquet(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(read_rows(tmp_path / "t.parquet"), frame.reset_index(drop=True))


@pytest.mark.parametrize("dtype", ["i1", ">i4", "f4", "f8", "?", "U3", "M8[D]", "M8[ns]", "f16"])
def test_arrays_keep_their_types(tmp_path: Path, dtype: str) -> None:
    array = np.array([[1, 0], [3, 4]]).astype("i8" if "M8" in dtype else dtype).astype(dtype)
    np.save(tmp_path / "t.npy", array)
    frame = read_rows(tmp_path / "t.npy")
    kept = {">i4": "int32", "U3": "str", "M8[D]": "datetime64[s]", "f16": "float64"}.get(dtype)
    assert {str(kind) for kind in frame.dtypes} == {kept or str(np.dtype(dtype))}
    np.testing.assert_array_equal(frame.to_numpy(dtype=array.dtype), array)


def test_arrays_of_any_shape_of_a_table_are_tables(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", np.arange(3))
    assert read_rows(tmp_path / "v.npy").shape == (3, 1)
    np.save(tmp_path / "s.npy", np.array([(1, "x"), (2, "y")], dtype=[("n", "i2"), ("t", "U1")]))
    assert read_rows(tmp_path / "s.npy").to_dict("list") == {"n": [1, 2], "t": ["x", "y"]}
    np.savez(tmp_path / "c.npz", n=[1, 2], t=["x", "y"])
    assert read_rows(tmp_path / "c.npz").to_dict("list") == {"n": [1, 2], "t": ["x", "y"]}


# --- refusals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_that_is_not_there_empty_or_foreign_is_refused_as_by_the_other_reader(
    tmp_path: Path, suffix: str
) -> None:
    contents = [
        None,
        b"",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"\x80\x04",
        b"a,b\n1,2\n3,4,5\n",
        b"a,a\n1,2\n3,4\n",
    ]
    contents += [b"a;b\n1;2\n", b"a,b\n", b"\xff\xfe\x41", b"a,,b\n1,2,3\n2,3,4\n", b"\n\n", b'"a\n1,2']
    for content in contents:
        path = tmp_path / f"t{suffix}"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(DiffuscopeError) as one:
            read_table(path)
        with pytest.raises(DiffuscopeError) as two:
            read_rows(path)
        assert type(one.value) is type(two.value)
        assert str(one.value) == str(two.value)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_objects_are_never_unpickled(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    array = np.array([["x", 1]], dtype=object)
    np.savez(path, x=array) if suffix == ".npz" else np.save(path, array)
    with pytest.raises(FormatError, match="could execute code"):
        read_rows(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [(np.zeros((0, 2)), "0 rows"), (np.zeros((2, 0)), "0 columns"), (np.zeros((1, 1, 1)), "3 dimensions")],
)
def test_arrays_that_are_no_rows_are_refused(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "t.npy", array)
    with pytest.raises(InputError, match=message):
        read_rows(tmp_path / "t.npy")


def test_names_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", x=np.zeros((2, 2)), columns=["a"])
    with pytest.raises(FormatError, match="names 1 columns"):
        read_rows(tmp_path / "t.npz")
    np.savez(tmp_path / "t.npz", x=np.zeros((2, 2)), columns=["a", "a"])
    with pytest.raises(InputError, match="several columns named 'a'"):
        read_rows(tmp_path / "t.npz")


@pytest.mark.parametrize("suffix", [*TEXTS, ".parquet"])
def test_damaged_bytes_raise_nothing_but_our_own_errors(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_rows(path, mixed())
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        where = random.integers(len(damaged), size=3)
        for place in where:
            damaged[place] = random.integers(256)
        path.write_bytes(bytes(damaged[: None if random.random() < 0.5 else where[0]]))
        try:
            read_rows(path)
        except DiffuscopeError:
            refused += 1
    assert refused > 5


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_text_is_refused_where_only_numbers_can_be(tmp_path: Path, suffix: str) -> None:
    for frame in (pd.DataFrame({"a": ["x"]}), pd.DataFrame({"a": [True]}), mixed()[["days"]]):
        with pytest.raises(InputError, match="other than numbers"):
            write_rows(tmp_path / f"t{suffix}", frame)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (pd.DataFrame({"b": ["x"], "a": [1]}), r"columns \['b', 'a'\]"),
        (pd.DataFrame({"a": [1.5], "b": ["x"]}), "type .*float64"),
        (pd.DataFrame({"a": [1], "b": ["x"], "c": [2]}), r"shape \(1, 3\)"),
        (pd.DataFrame({"a": [1] * 9, "b": ["x"] * 9}), "More than"),
        (np.zeros((1, 2)), "type float64"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_chunk_that_does_not_fit_is_refused_and_nothing_is_left(
    tmp_path: Path, suffix: str, chunk: object, message: str
) -> None:
    first = pd.DataFrame({"a": [1], "b": ["x"]})
    with TableWriter(tmp_path / f"whole{suffix}", 1, 2, ["a", "b"]) as writer:
        writer.append(first)

    def write() -> None:
        with TableWriter(tmp_path / f"t{suffix}", 3, 2, ["a", "b"]) as writer:
            writer.append(first)
            writer.append(chunk)

    with pytest.raises(InputError, match=message):
        write()
    assert [file.name for file in tmp_path.iterdir()] == [f"whole{suffix}"]


@pytest.mark.parametrize(
    ("name", "suffix"), [("a;b", ".csv"), ("a|b", ".tsv"), ("a,b", ".tsv"), ("a\tb", ".csv"), ("1 2", ".csv")]
)
def test_one_name_that_would_be_read_as_several_is_refused(tmp_path: Path, name: str, suffix: str) -> None:
    with pytest.raises(InputError, match="several columns"):
        write_rows(tmp_path / f"t{suffix}", pd.DataFrame({name: ["x"]}))
    assert not list(tmp_path.iterdir())
    write_rows(tmp_path / f"t{suffix}", pd.DataFrame({name: ["x"], "other": ["y"]}))
    assert read_rows(tmp_path / f"t{suffix}").columns.tolist() == [name, "other"]


def test_text_needs_names_in_a_text_file(tmp_path: Path) -> None:
    frame = pd.DataFrame([["x"]])
    with pytest.raises(InputError, match="without names"), TableWriter(tmp_path / "t.csv", 1, 1) as writer:
        writer.append(frame)


@pytest.mark.parametrize("suffix", [pytest.param(".csv", marks=pytest.mark.slow), ".parquet"])
def test_many_chunks_take_the_memory_of_one(tmp_path: Path, suffix: str) -> None:
    import tracemalloc

    chunk = mixed(1000)
    write_rows(tmp_path / f"warm{suffix}", chunk)
    peaks = []
    for many in (40, 160):  # Parquet gathers chunks to groups of 2¹⁸ rows
        tracemalloc.start()
        with TableWriter(tmp_path / f"t{suffix}", many * 10, 10, list(chunk.columns)) as writer:
            for _ in range(many):
                writer.append(chunk.iloc[:10])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 2.0 * peaks[0] + 200_000


def test_an_error_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    write_rows(path, pd.DataFrame({"a": ["old"]}))
    with pytest.raises(InputError), TableWriter(path, 2, 1, ["a"]) as writer:
        writer.append(pd.DataFrame({"a": ["new"]}))
    assert read_rows(path)["a"].tolist() == ["old"]
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]
