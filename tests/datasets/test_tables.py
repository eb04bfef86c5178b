"""Do tables come back from every format as they went in, and is every unusable one refused by name?"""

from __future__ import annotations

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffuscope import files
from diffuscope.data.columnar import (
    WRITABLE,
    TableWriter,
    check_writable,
    read_table,
    write_table,
)
from diffuscope.data.points import load_dataset
from diffuscope.errors import DiffuscopeError, FormatError, InputError, RunError

# Spreadsheets need a package that may not be there.
FORMATS = [suffix for suffix in WRITABLE if suffix != ".xlsx" or find_spec("openpyxl")]
X = np.random.default_rng(0).standard_normal((20, 3))
NAMES = ("age", "weight, kg", 'the "third" größe')
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def write_chunks(path: Path, chunks: Iterable[np.ndarray], columns: Sequence[str] | None = None) -> None:
    with TableWriter(path, n_rows=20, n_columns=3, columns=columns) as writer:
        for chunk in chunks:
            writer.append(chunk)


def text(path: Path, content: str) -> Path:
    path.write_text(content, encoding="utf-8")
    return path


# --- round trips -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.uint8, ">f8"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_table_comes_back_as_it_went_in(tmp_path: Path, suffix: str, dtype: str, named: bool) -> None:
    path = tmp_path / f"t{suffix}"
    x = (np.abs(X) * 100).astype(dtype)
    write_table(path, x, NAMES if named else None)
    back, columns = read_table(path)
    np.testing.assert_array_equal(back.astype(dtype), x)
    assert back.dtype == np.float64
    assert back.flags["C_CONTIGUOUS"]
    without = {".npy": None, ".parquet": ("x0", "x1", "x2")}.get(suffix)
    assert columns == (NAMES if named and suffix != ".npy" else without)


# Half of all floats are beyond what a model takes, so the exponents are kept within its range.
TABLES = hnp.arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(1, 3)),
    elements=st.floats(-1e150, 1e150),
)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(x=TABLES, suffix=st.sampled_from(FORMATS), single=st.booleans())
def test_every_finite_float_survives_every_format_exactly(x: np.ndarray, suffix: str, single: bool) -> None:
    with np.errstate(over="ignore"):
        x = np.clip(x, -1e38, 1e38).astype(np.float32) if single else x
    x = np.vstack([x, x[:1] / 2 + 1])  # no column is constant
    if np.any(x.min(axis=0) == x.max(axis=0)):
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        write_table(path, x)
        np.testing.assert_array_equal(read_table(path)[0].astype(x.dtype), x)


def is_number(name: str) -> bool:
    try:
        float(name)
    except ValueError:
        return False
    return True


PRINTABLE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).map(str.strip)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    names=st.lists(PRINTABLE.filter(bool), min_size=3, max_size=3, unique=True),
    suffix=st.sampled_from([".csv", ".tsv", ".parquet", ".npz"]),
)
def test_any_names_of_columns_survive_or_are_refused_before_anything_is_written(
    names: list[str], suffix: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        if suffix in (".csv", ".tsv") and all(map(is_number, names)):
            with pytest.raises(InputError, match="would be read back as data"):
                write_table(path, X, names)
            assert not any(Path(folder).iterdir())
        else:
            write_table(path, X, names)
            assert read_table(path)[1] == tuple(names)


@pytest.mark.parametrize("suffix", FORMATS)
def test_chunks_of_any_size_make_the_same_table_and_equal_tables_are_equal_bytes(
    tmp_path: Path, suffix: str
) -> None:
    whole, pieces = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    write_table(whole, X, NAMES)
    write_chunks(pieces, [X[:1], X[1:1], X[1:8], X[8:]], NAMES)
    np.testing.assert_array_equal(read_table(pieces)[0], X)
    assert whole.read_bytes() == pieces.read_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
def test_npy_keeps_the_type_and_is_numpys_own_format(tmp_path: Path, dtype: type) -> None:
    write_table(tmp_path / "a.npy", X.astype(dtype))
    np.save(tmp_path / "b.npy", X.astype(dtype))
    assert (tmp_path / "a.npy").read_bytes() == (tmp_path / "b.npy").read_bytes()


def test_npz_opens_with_plain_numpy(tmp_path: Path) -> None:
    write_table(tmp_path / "a.npz", X, NAMES)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["x"], X)
        assert tuple(archive["columns"]) == NAMES


def test_parquet_gathers_small_chunks_into_one_row_group(tmp_path: Path) -> None:
    with TableWriter(tmp_path / "a.parquet", n_rows=2000, n_columns=1) as writer:
        for _ in range(200):
            writer.append(np.arange(10.0)[:, None])
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 1


# --- reading what others wrote -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("a,b\n1,2\n3,4.5\n", ("a", "b")),
        ("1,2\n3,4.5\n", None),
        ("\ufeffa,b\r\n1,2\r\n3,4.5\r\n", ("a", "b")),
        ("\n\n a , b\n1, 2\n\n 3,4.5", ("a", "b")),
        ('"a\nb","c,d"\n1,2\n3,4.5\n', ("a\nb", "c,d")),
        ("a,b\nFalse,2\nTrue,4.5\n", ("a", "b")),
    ],
)
def test_csv_is_read_with_or_without_a_header(
    tmp_path: Path, content: str, columns: tuple[str, ...] | None
) -> None:
    x, names = read_table(text(tmp_path / "t.CSV", content))
    expected = [[0, 2], [1, 4.5]] if "False" in content else [[1, 2], [3, 4.5]]
    np.testing.assert_array_equal(x, expected)
    assert names == columns


def test_npz_takes_x_or_one_array_or_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.npz"
    np.savez(path, x=X, labels=np.array(["not", None, 5], dtype=object))
    np.testing.assert_array_equal(read_table(path)[0], X)
    np.savez_compressed(path, anything=X)
    np.testing.assert_array_equal(read_table(path)[0], X)
    np.savez(path, b=X[:, 1], a=X[:, 0])
    x, columns = read_table(path)
    np.testing.assert_array_equal(x, X[:, [1, 0]])
    assert columns == ("b", "a")


def test_the_index_of_a_frame_in_parquet_is_no_column(tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abc"), index=[f"row {i}" for i in range(20)])
    frame.to_parquet(tmp_path / "t.parquet")
    x, columns = read_table(tmp_path / "t.parquet")
    np.testing.assert_array_equal(x, X)
    assert columns == ("a", "b", "c")


# --- load_dataset on data of one's own ---------------------------------------------------------------------


def test_a_file_describes_itself_by_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    write_table(path, X, NAMES)
    for source in (path, str(path)):
        data = load_dataset(source)
        np.testing.assert_array_equal(data.x, X)
        assert (data.name, data.columns, data.draw) == ("patients", NAMES, None)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert json.loads(json.dumps(data.source)) == {"kind": "file", "path": str(path), "sha256": digest}


@pytest.mark.parametrize(
    "source",
    [
        X.tolist(),
        np.asfortranarray(X),
        torch.tensor(X, requires_grad=True),
        pd.DataFrame(X),
        X.astype(object),
        np.ma.masked_array(X),
    ],
    ids=["list", "fortran", "tensor", "frame", "objects", "masked"],
)
def test_any_array_of_numbers_is_taken(source: object) -> None:
    data = load_dataset(source)
    np.testing.assert_array_equal(data.x, X)
    assert data.x.dtype == np.float64
    assert data.x.flags["C_CONTIGUOUS"]
    assert (data.name, data.columns, data.draw) == ("array", None, None)
    assert data.source == {"kind": "array", "shape": [20, 3]}


def test_a_vector_is_one_column_and_integers_and_booleans_are_numbers() -> None:
    np.testing.assert_array_equal(load_dataset([3, 1, 2]).x, [[3.0], [1.0], [2.0]])
    np.testing.assert_array_equal(load_dataset([True, False]).x, [[1.0], [0.0]])
    np.testing.assert_array_equal(load_dataset(torch.tensor([0.5, 2.0]).bfloat16()).x, [[0.5], [2.0]])


def test_a_frame_keeps_its_names_and_takes_nullable_and_object_numbers() -> None:
    frame = pd.DataFrame(
        {
            "n": pd.array([1, 2, 3], dtype="Int64"),
            "flag": [True, False, True],
            7: pd.Series([1, 2.5, 3], dtype=object),
        }
    )
    data = load_dataset(frame)
    np.testing.assert_array_equal(data.x, [[1, 1, 1], [2, 0, 2.5], [3, 1, 3]])
    assert data.columns == ("n", "flag", "7")
    assert load_dataset(frame["n"]).columns == ("n",)


def test_a_structured_array_gives_its_fields_as_columns() -> None:
    data = load_dataset(np.array([(1, 2.5), (3, 4.5)], dtype=[("a", int), ("b", float)]))
    assert data.columns == ("a", "b")
    np.testing.assert_array_equal(data.x, [[1, 2.5], [3, 4.5]])


def test_a_loaded_array_is_a_copy() -> None:
    mine = X.copy()
    data = load_dataset(mine)
    mine[:] = 0.0
    np.testing.assert_array_equal(data.x, X)


def test_a_dataset_is_returned_as_it_is() -> None:
    data = load_dataset(X)
    assert load_dataset(data) is data
    with pytest.raises(InputError, match="size does not apply to a Dataset"):
        load_dataset(data, size=5)


def test_size_takes_a_seeded_random_subset_in_the_original_order() -> None:
    x = np.arange(100.0)
    a, b, c = (load_dataset(x, size=10, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(a.x, b.x)
    assert not np.array_equal(a.x, c.x)
    assert np.all(np.diff(a.x[:, 0]) > 0)
    assert a.source == {"kind": "array", "shape": [100, 1], "size": 10, "seed": 0}
    np.testing.assert_array_equal(load_dataset(x, size=100).x[:, 0], x)
    with pytest.raises(InputError, match="The array has 100 rows, fewer than size = 101"):
        load_dataset(x, size=101)


def test_a_subset_that_happens_to_be_constant_is_said_to_be_the_subsets_fault() -> None:
    rare = np.zeros(1000)
    rare[0] = 1
    with pytest.raises(InputError, match="The random subset of 5 rows of The array has the same value"):
        load_dataset(rare, size=5)


def test_noise_is_not_for_ones_own_data() -> None:
    with pytest.raises(InputError, match="noise applies to the built-in point sets only"):
        load_dataset(X, noise=0.1)


# --- values that cannot be modelled ------------------------------------------------------------------------


def spoilt(value: float) -> np.ndarray:
    x = X.copy()
    x[[2, 5, 7, 11], 1] = value
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (spoilt(np.nan), r"5 missing \(NaN\) .*4 in column 1 .*rows 2, 5, 7, …; 1 in column 2 .*row 3\."),
        (spoilt(np.inf), r"5 infinite value\(s\).*column 1 .*rows 2, 5, 7"),
        (spoilt(-np.inf), r"5 infinite value\(s\)"),
        (spoilt(-1e151), r"5 too large \(above 1e\+150\) value\(s\).*column 1 .*\n.*rescale"),
        (pd.DataFrame(spoilt(np.nan), columns=NAMES), "4 in column 'weight, kg', rows 2, 5, 7"),
        (pd.DataFrame({"a": [1.0, 2], "b": [None, None]}), "2 missing.* column 'b'"),
        (np.ma.masked_greater(spoilt(9.0), 8.0), "5 missing"),
        (np.column_stack([X, np.full(20, 4)]), r"same value in every row of column 3 \(.*\n.*Remove"),
        (pd.DataFrame({"a": [1, 2], "unit": [7, 7]}), "same value in every row of column 'unit'"),
        (X[:1], "has only one row"),
        (X[:0], "is empty: 0 rows, 3 columns"),
        (X[:, :0], "is empty: 20 rows, 0 columns"),
        ([], "is empty"),
        (pd.DataFrame(), "is empty"),
        (3.0, r"has 0 dimensions \(shape \(\)\)"),
        (None, "has 0 dimensions"),
        ({"a": [1, 2]}, "has 0 dimensions"),
        (np.zeros((2, 3, 4)), r"has 3 dimensions \(shape \(2, 3, 4\)\)"),
        ([[1, 2], [3]], "The array has rows that are not of the same length"),
        (X + 1j, "complex numbers"),
        ([["a", "1"], ["b", "2"]], r"not numbers.*column 0 \(counted .*\), such as 'a' in row 0; column 1"),
        (pd.DataFrame({"sex": ["f", "m"], "a": [1, 2]}), r"column 'sex', such as 'f' in row 0\.\n.*encode"),
        (pd.DataFrame({"day": pd.date_range("2020-01-01", periods=2)}), "column 'day', such as 2020-01-01"),
        (pd.DataFrame({"kind": pd.Categorical([1, 2])}), "column 'kind', such as 1"),
        (pd.DataFrame(X, columns=["a", "b", "a"]), "several columns named 'a'"),
    ],
)  # fmt: skip
def test_values_that_cannot_be_modelled_are_named(source: object, message: str) -> None:
    with pytest.raises(InputError, match=f"(?s)The array .*{message}|{message}"):
        load_dataset(source)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    x=hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=st.sampled_from([0.0, 1.0, -2.5, 1e149, 1e151, np.nan, np.inf]),
    )
)
def test_whatever_is_accepted_is_a_usable_table_and_the_rest_is_an_input_error(x: np.ndarray) -> None:
    try:
        data = load_dataset(x)
    except InputError:  # anything else fails the test
        pass
    else:
        assert data.x.ndim == 2
        assert len(data.x) >= 2
        assert np.all(np.isfinite(data.x.var(axis=0)))
        assert np.all(data.x.max(axis=0) > data.x.min(axis=0))


# --- files that cannot be read -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "t.csv is empty"),
        ("\n \n", "t.csv is empty"),
        ("a,b\n", "has a header but no rows"),
        ("a,b\n1,2\n", "t.csv has only one row"),
        ("a,b\n1,2\n3,\n", r"t.csv has 1 missing .*column 'b', row 1"),
        ("a,b\n1,2\n3\n", r"t.csv has 1 missing .*column 'b', row 1"),
        ("a,b\n1,2\n3,4\n5,6,7\n", "line 4 has 3 values where 2 are expected"),
        ("1,2\n3,4\n5,6,7\n", "line 3 has 3 values where 2 are expected"),
        ("a,b\n1,2,3\n3,4,5\n", "names 2 columns, but its rows have 3 values"),
        ("a,b,a\n1,2,3\n3,4,5\n", "several columns named 'a'"),
        (",a,b\n0,1,2\n1,3,4\n", r"Column 0 .* has no name.*\n.*index=False"),
        ("a,b\n1,2\n3,four\n", r"column 'b', such as 'four' in row 1"),
        ("a,b\n1,2\nNA,3\nfour,4\n", r"column 'a', such as 'four' in row 2"),
        ("a;b\n1;2\n3;4\n", "looks separated by semicolons, not by commas"),
        ("1\t2\n3\t4\n", "looks separated by tabs"),
        ("1.5 2\n3 4\n", "looks separated by spaces"),
        ("a,b\n1,inf\n2,3\n", "1 infinite value"),
    ],
)
def test_an_unusable_csv_is_refused_with_its_reason(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises((InputError, FormatError), match=f"(?s){message}"):
        read_table(text(tmp_path / "t.csv", content))


@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".csv", r"is not text in UTF-8; it looks like a PNG image"),
        (".tsv", r"is not text in UTF-8; it looks like a PNG image"),
        (".parquet", r"is not a Parquet table; it looks like a PNG image"),
        (".npy", r"is not a \.npy array; it looks like a PNG image"),
        (".npz", r"is not a \.npz archive; it looks like a PNG image"),
    ],
)
def test_a_misnamed_picture_is_recognised(tmp_path: Path, suffix: str, message: str) -> None:
    path = tmp_path / f"picture{suffix}"
    path.write_bytes(PNG)
    with pytest.raises(FormatError, match=f"picture{suffix} {message}"):
        read_table(path)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_in_another_encoding_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_text("größe,b\n1,2\n3,4\n", encoding=encoding)
    with pytest.raises(FormatError, match=r"is not text in UTF-8.*\nSave it as CSV in UTF-8"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"t{suffix}").touch()
    with pytest.raises(InputError, match=f"t{suffix} is empty"):
        read_table(tmp_path / f"t{suffix}")


@pytest.mark.parametrize("suffix", [".parquet", ".npy", ".npz"])
def test_a_truncated_file_is_refused_wherever_it_is_cut(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    write_table(path, X)
    whole = path.read_bytes()
    for length in (1, 3, 9, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"t\.\w+ is not"):
            read_table(path)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    suffix=st.sampled_from(FORMATS),
    where=st.floats(0, 1, exclude_max=True),
    damage=st.binary(min_size=1, max_size=8),
)
def test_damaged_bytes_raise_nothing_but_our_own_errors(suffix: str, where: float, damage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t{suffix}"
        write_table(path, X[:4], NAMES)
        content = bytearray(path.read_bytes())
        start = int(where * len(content))
        content[start : start + len(damage)] = damage
        path.write_bytes(content)
        try:
            x, _ = read_table(path)
        except DiffuscopeError:  # anything else fails the test
            pass
        else:
            assert np.isfinite(x).all()


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('unpickled!')",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_never_opened(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    objects = np.array([Bomb(), Bomb()], dtype=object)
    if suffix == ".npy":
        np.save(path, objects, allow_pickle=True)
    else:
        np.savez(path, x=objects)
    with pytest.raises(FormatError, match="contains Python objects; unpickling them could execute code"):
        read_table(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_a_bare_pickle_is_recognised(tmp_path: Path, suffix: str) -> None:
    X.dump(tmp_path / f"t{suffix}")
    with pytest.raises(FormatError, match="it looks like a Python pickle"):
        read_table(tmp_path / f"t{suffix}")


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": np.zeros(3), "b": np.zeros(4)}, r"do not form one table: a \(3,\), b \(4,\)"),
        ({"a": np.zeros((3, 2)), "b": np.zeros((3, 2))}, r"do not form one table"),
        ({}, "contains no array"),
        ({"x": np.zeros((2, 2, 2))}, "has 3 dimensions"),
        ({"x": X, "columns": np.array(["a", "b"])}, "names 2 columns, but its rows have 3 values"),
    ],
)
def test_arrays_that_make_no_table_are_refused(
    tmp_path: Path, parts: dict[str, np.ndarray], message: str
) -> None:
    np.savez(tmp_path / "t.npz", **parts)
    with pytest.raises((InputError, FormatError), match=message):
        read_table(tmp_path / "t.npz")


def test_an_entry_of_an_archive_that_is_no_array_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        archive.writestr("x.npy", b"hello")
    with pytest.raises(FormatError, match="an entry is not an array"):
        read_table(tmp_path / "t.npz")


def test_parquet_with_text_or_two_columns_of_one_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1.0, 2.0], "town": ["Bonn", "Köln"]}), path)
    with pytest.raises(InputError, match=r"t\.parquet has .*column 'town', such as 'Bonn' in row 0"):
        read_table(path)
    pq.write_table(pa.table([pa.array([1.0, 2.0])] * 2, names=["a", "a"]), path)
    with pytest.raises(InputError, match="several columns named 'a'"):
        read_table(path)


def test_a_missing_file_is_said_to_be_missing_with_the_nearest_name(tmp_path: Path) -> None:
    write_table(tmp_path / "patients.csv", X)
    with pytest.raises(
        InputError, match=r"(?s)There is no file .*patient\.csv.*Did you mean 'patients\.csv'\?"
    ):
        load_dataset(str(tmp_path / "patient.csv"))
    with pytest.raises(InputError, match=r"There is no file nowhere\.csv"):
        load_dataset("nowhere.csv")


def test_an_unknown_suffix_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"(?s)no table format named '\.cvs'.*Did you mean '\.csv'\?.*\.parquet"
    ):
        read_table(tmp_path / "t.cvs")
    (tmp_path / "t").touch()
    with pytest.raises(InputError, match="the name has no suffix"):
        load_dataset(tmp_path / "t")
    with pytest.raises(
        InputError,
        match=r"Cannot read data/s_curve: there is no such file or folder, and the name has no suffix",
    ):
        load_dataset("data/s_curve")


def test_a_folder_is_refused_with_the_formats_that_are_taken(tmp_path: Path) -> None:
    (tmp_path / "pictures.csv").mkdir()
    for folder in (tmp_path, tmp_path / "pictures.csv"):
        with pytest.raises(InputError, match=r"(?s)it is a folder.*Give one file .*\.parquet"):
            load_dataset(str(folder))


# --- writing whole or not at all ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["samples.xls", "samples", "samples.npyy"])
def test_a_name_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    for attempt in (
        lambda path: check_writable(path),
        lambda path: TableWriter(path, 1, 1),
        lambda path: write_table(path, X),
    ):
        with pytest.raises(InputError, match=r"Cannot write .*samples.*\nD?.*Known: \.csv"):
            attempt(tmp_path / "new" / name)
    assert not any(tmp_path.iterdir())


def test_every_known_suffix_is_writable_in_any_case(tmp_path: Path) -> None:
    for suffix in FORMATS:
        check_writable(tmp_path / f"t{suffix.upper()}")
        write_table(tmp_path / f"t{suffix.upper()}", X)
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        check_writable(tmp_path / "folder.csv")


@pytest.mark.parametrize("suffix", FORMATS)
def test_an_error_on_the_way_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"old")

    def interrupted() -> Iterator[np.ndarray]:
        yield X[:5]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_chunks(path, interrupted())
    with pytest.raises(InputError, match=r"5 rows were given for .*, but 20 were declared"):
        write_chunks(path, [X[:5]])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_is_a_run_error_and_leaves_nothing(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "_sync", full)
    with pytest.raises(RunError, match="No space left"):
        write_table(tmp_path / f"t{suffix}", X)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (X[:, :2], r"A chunk of shape \(20, 2\) does not match .*\n.*\(m, 3\)"),
        (X[0], r"A chunk of shape \(3,\)"),
        (np.vstack([X, X]), "More than the declared 20 rows"),
        (X + 1j, "Cannot write values of type complex128"),
        (X.astype(str), "Cannot write values of type <U"),
    ],
)
def test_a_chunk_that_does_not_fit_is_refused(tmp_path: Path, chunk: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        write_chunks(tmp_path / "t.npy", [chunk])
    assert not any(tmp_path.iterdir())


def test_chunks_must_agree_in_type(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"chunk of type float32 does not match .* which has float64"):
        write_chunks(tmp_path / "t.csv", [X[:10], X[10:].astype(np.float32)])


@pytest.mark.parametrize("columns", [["a", "b"], ["a", "a", "b"], ["a", " ", "b"]])
def test_names_that_do_not_fit_are_refused(tmp_path: Path, columns: list[str]) -> None:
    with pytest.raises(InputError, match="do not match the 3 columns"):
        write_table(tmp_path / "t.npz", X, columns)


def test_a_header_of_numbers_is_refused_where_it_would_be_read_as_data(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="would be read back as data"):
        write_table(tmp_path / "t.csv", X, ["0", "1", "2"])
    write_table(tmp_path / "t.parquet", X, ["0", "1", "2"])
    assert read_table(tmp_path / "t.parquet")[1] == ("0", "1", "2")


def test_an_array_that_is_no_table_and_sizes_below_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Cannot write an array of shape \(2, 2, 2\)"):
        write_table(tmp_path / "t.npy", np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match="Cannot write a table of 0 rows"):
        write_table(tmp_path / "t.npy", X[:0])
    with pytest.raises(InputError, match="is not open"):
        TableWriter(tmp_path / "t.npy", 2, 2).append(X)
