"""Does a whole table become points and come back, whatever it holds, and can it be written down?"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from diffuscope.data.tables import TableCodec
from diffuscope.errors import DiffuscopeError, FormatError, InputError

N = 60


def mixed(n: int = N, holes: bool = True) -> pd.DataFrame:
    """Return a column of each kind."""
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "normal": r.standard_normal(n),
            "skewed": np.exp(2 * r.standard_normal(n)),
            "rain": np.where(r.random(n) < 0.6, 0.0, r.exponential(size=n)),
            "price": np.round(r.exponential(9.0, n), 2).astype("float32"),
            "count": pd.array(r.poisson(4, n), dtype="Int16"),
            "ok": pd.array(r.random(n) < 0.3, dtype="boolean"),
            "colour": pd.Categorical(r.choice(["b", "a"], n), categories=["b", "x", "a"], ordered=True),
            "age": pd.cut(r.random(n), [0, 0.5, 1]),
            "note": pd.array(r.choice(["x", "y", "ß"], n), dtype="str"),
            "day": pd.Timestamp("2020-03-01") + pd.to_timedelta(r.integers(0, 50, n), unit="D"),
            "when": pd.date_range("2020-10-20", periods=n, freq="h", tz="Europe/Berlin"),
            "one": ["same"] * n,
            "none": np.full(n, np.nan),
        }
    )
    if holes:
        for j, name in enumerate(frame.columns[:-2]):
            frame.loc[j::11, name] = None
    return frame


# --- tables of all kinds -----------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=5)
MOMENTS = st.datetimes(pd.Timestamp("1900-01-01"), pd.Timestamp("2100-01-01")).map(
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)  # finer ones need a short range
)


def normal(x: float) -> float:
    """Return a float, 0 for those so small that a column of them is refused."""
    return x if abs(x) > 1e-290 else 0.0


VALUES: dict[str, st.SearchStrategy] = {
    "float64": st.floats(-1e300, 1e300).map(normal),
    "float32": st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False),
    "Float64": st.floats(-1e3, 1e3).map(normal),
    "double[pyarrow]": st.floats(-1e3, 1e3).map(normal),
    "int8": st.integers(-128, 127),
    "uint64": st.integers(2**64 - 2**40, 2**64 - 1),
    "Int64": st.integers(-(2**47), 2**47),
    "UInt8": st.integers(0, 255),
    "int16[pyarrow]": st.integers(-(2**15), 2**15 - 1),
    "bool": st.booleans(),
    "boolean": st.booleans(),
    "bool[pyarrow]": st.booleans(),
    "str": TEXT,
    "object": TEXT,
    "string": TEXT,
    "large_string[pyarrow]": TEXT,
    "category": TEXT | st.just("common"),
    "datetime64[us]": MOMENTS,
    "datetime64[s, UTC]": MOMENTS,
    "timestamp[ms][pyarrow]": MOMENTS,
}
NO_HOLES = ("int8", "uint64", "bool")


@st.composite
def columns(draw: st.DrawFn, n: int) -> pd.Series:
    dtype = draw(st.sampled_from(sorted(VALUES)))
    value = VALUES[dtype] if dtype in NO_HOLES else VALUES[dtype] | st.none()
    values = draw(st.lists(value, min_size=n, max_size=n))
    if dtype == "datetime64[s, UTC]":
        return pd.Series(values, dtype="datetime64[s]").dt.tz_localize("UTC")
    if dtype == "timestamp[ms][pyarrow]":
        return pd.Series(values, dtype="datetime64[ms]").astype(dtype)
    return pd.Series(values, dtype=dtype)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    n = draw(st.integers(1, 12))
    names = draw(st.lists(TEXT | st.integers(-9, 9), min_size=1, max_size=4, unique=True))
    return pd.DataFrame({name: draw(columns(n)) for name in names})


def settled(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as it comes back: holes in a column with one value are that value."""
    for name in table:
        present = table[name].dropna()
        if len(present) and present.nunique() == 1:
            table[name] = table[name].fillna(present.iloc[0])
    return table


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(table=tables(), coding=st.sampled_from(["onehot", "bits"]), seed=st.integers(0, 9))
def test_any_table_comes_back_from_its_points(table: pd.DataFrame, coding: str, seed: int) -> None:
    codec = TableCodec.fit(table, categories=coding)
    points = codec.encode(table)
    assert points.shape == (len(table), codec.width)
    assert points.dtype == np.float64
    assert not np.isinf(points).any()
    wanted = settled(table.copy())
    spread = float(np.abs(table.select_dtypes("float").to_numpy(float, na_value=0)).max(initial=0))
    close = {"rtol": 1e-9, "atol": 1e-15 * spread}
    pd.testing.assert_frame_equal(codec.decode(points), wanted, **close)
    dequantised = codec.encode(table, dequantise=True, seed=seed)
    pd.testing.assert_frame_equal(codec.decode(dequantised), wanted, **close)
    assert np.isfinite(codec.log_volume(table)).all()
    again = TableCodec.from_json(json.loads(json.dumps(codec.to_json())))
    assert again == codec
    np.testing.assert_array_equal(again.encode(table), points)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    array=hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.uint16, np.int32, np.bool_, "U3"]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements={"allow_nan": True, "allow_infinity": False, "allow_subnormal": False},
    ).filter(lambda a: a.dtype.kind != "f" or np.nanmax(np.abs(a.astype(float)), initial=0) < 1e300)
)
def test_any_array_comes_back_from_its_points(array: np.ndarray) -> None:
    if array.dtype.kind == "f":
        array[np.abs(array) < 1e-290] = 0  # a range as small is refused
    codec = TableCodec.fit(array)
    back = codec.decode(codec.encode(array))
    assert back.dtype == (np.float64 if array.dtype.kind == "f" else array.dtype)
    if array.dtype.kind != "f":
        np.testing.assert_array_equal(back, array)
        return
    for column, wanted in zip(back.T, array.T.astype(float), strict=True):
        present = ~np.isnan(wanted)
        size = np.abs(wanted[present]).max(initial=0)
        np.testing.assert_allclose(column[present], wanted[present], rtol=1e-9, atol=1e-15 * size)


def test_the_coordinates_of_a_column_are_where_slices_say() -> None:
    table = mixed()
    codec = TableCodec.fit(table)
    points = codec.encode(table)
    assert codec.names == tuple(table.columns)
    for name, where in codec.slices.items():
        np.testing.assert_array_equal(points[:, where], codec[name].encode(table[name]))
    assert sum(where.stop - where.start for where in codec.slices.values()) == codec.width
    assert codec.width == 7 + 2 + 2 + 2 + 3  # numbers and times, truth values, two categoricals, text
    assert codec.slices["none"] == slice(codec.width, codec.width)


def test_draws_of_a_model_that_is_perfect_look_like_the_table() -> None:
    table = mixed(4000, holes=False)
    codec = TableCodec.fit(table)
    noise = np.random.default_rng(1).standard_normal((4000, codec.width))
    drawn = codec.decode(noise)
    assert (drawn.dtypes == table.dtypes).all()
    for name in ("count", "day", "when", "price"):
        assert drawn[name].min() >= table[name].min()
        assert drawn[name].max() <= table[name].max()
    assert (drawn["rain"] == 0).mean() == pytest.approx((table["rain"] == 0).mean(), abs=0.03)
    for name in ("normal", "skewed", "price", "count"):  # each by itself is its own law
        levels = [0.1, 0.5, 0.9]
        off = (drawn[name].quantile(levels) - table[name].quantile(levels)).abs().max()
        assert off <= (1 if name == "count" else 0.2 * table[name].std())
    assert set(drawn["colour"]) == {"a", "b"}


def test_dequantising_depends_on_the_seed_only_and_touches_only_what_has_room() -> None:
    table = mixed(holes=False)
    codec = TableCodec.fit(table)
    plain = codec.encode(table)
    first, again, other = (codec.encode(table, dequantise=True, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    moved = {name for name, where in codec.slices.items() if (first[:, where] != other[:, where]).any()}
    assert moved == {"rain", "price", "count", "day", "when"}
    still = [where for name, where in codec.slices.items() if name not in moved]
    for where in still:
        np.testing.assert_array_equal(first[:, where], plain[:, where])


def test_log_volumes_add_up_over_columns() -> None:
    table = mixed()
    codec = TableCodec.fit(table)
    total = sum(codec[name].log_volume(table[name]) for name in table)
    np.testing.assert_allclose(codec.log_volume(table), total)
    assert np.ptp(total) > 0


def test_what_a_table_is_can_be_read() -> None:
    shown = repr(TableCodec.fit(mixed()))
    for part in ("pandas", "width=16", "Number('price'", "2 decimals", "3 categories", "missing", "'same'"):
        assert part in shown


# --- columns that are other ones ---------------------------------------------------------------------------


def test_columns_are_recognised_by_name_in_any_order() -> None:
    table = mixed()
    codec = TableCodec.fit(table)
    turned = table[table.columns[::-1]]
    np.testing.assert_array_equal(codec.encode(turned), codec.encode(table))
    pd.testing.assert_frame_equal(codec.decode(codec.encode(turned), like=turned).dropna(), table.dropna())


def test_columns_are_recognised_by_place_where_one_table_has_no_names() -> None:
    array = np.random.default_rng(0).standard_normal((N, 2))
    named = pd.DataFrame(array, columns=["b", "a"])
    for fitted, other in ((array, named), (named, array), (named, array.tolist())):
        codec = TableCodec.fit(fitted)
        np.testing.assert_array_equal(codec.encode(other), codec.encode(fitted))


def test_tables_of_other_kinds_have_the_same_points() -> None:
    table = pd.DataFrame({"a": [1.5, 2.5, None], "b": ["x", "y", "x"], "c": [1, 2, 9]})
    codec = TableCodec.fit(table)
    for other in (
        pl.from_pandas(table),
        table.to_numpy(object),
        table.convert_dtypes(),
        table.astype(object),
    ):
        np.testing.assert_array_equal(codec.encode(other), codec.encode(table))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="rain"), "missing: 'rain'"),
        (lambda t: t.assign(new=1), "new: 'new'"),
        (lambda t: t.rename(columns={"rain": "snow"}), "missing: 'rain'; new: 'snow'"),
        (lambda t: t.to_numpy(object)[:, :3], "X has 3 features, but TableCodec is expecting 13 features"),
        (lambda t: t.assign(note="z"), "'note' has the value 'z' in row 0"),
        (lambda t: t.assign(count=2.5), r"'count' had only integers, and 2\.5 is not one"),
        (lambda t: t.assign(normal="x"), "'normal' had numbers"),
        (lambda t: t.assign(normal=np.inf), "'normal' has 60 infinite"),
        (lambda t: t.assign(when=t["day"]), "'when' .* time zone"),
        (lambda t: t.assign(one="other"), "'one' was 'same' in every row"),
        (lambda t: t.assign(none=1.0), "'none' was missing in every row"),
    ],
)
def test_another_table_is_refused_by_what_differs(change: Any, message: str) -> None:
    table = mixed(holes=False)
    codec = TableCodec.fit(table)
    with pytest.raises(InputError, match=message):
        codec.encode(change(table))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((3, 4)), r"expected \(n, 16\)"),
        (np.zeros(16), r"expected \(n, 16\)"),
        (np.full((2, 16), np.inf), "Point 0"),
        (np.vstack([np.zeros(16), np.full(16, -np.inf)]), "Point 1"),
    ],
)
def test_points_that_are_none_are_refused(points: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        TableCodec.fit(mixed()).decode(points)


def test_a_coding_that_there_is_not_is_refused() -> None:
    with pytest.raises(InputError, match="onehot"):
        TableCodec.fit(mixed(), categories="one-hot")  # type: ignore[arg-type]


def test_as_many_points_as_rows_are_needed() -> None:
    codec = TableCodec.fit(mixed())
    with pytest.raises(InputError, match="2 points for 60 rows"):
        codec.fill(mixed(), np.zeros((2, 16)))


# --- filling holes -----------------------------------------------------------------------------------------


def test_filling_holes_leaves_what_is_given_bit_for_bit_and_no_hole() -> None:
    table = mixed().set_index(pd.Index(range(100, 100 + N)))
    codec = TableCodec.fit(table)
    points = np.random.default_rng(2).standard_normal((N, codec.width))
    filled = codec.fill(table, points)
    assert filled.drop(columns="none").notna().all(axis=None)
    assert filled["none"].isna().all()
    assert (filled.dtypes == table.dtypes).all()
    pd.testing.assert_index_equal(filled.index, table.index)
    decoded = codec.decode(points, like=table)
    for name in table.columns.drop("none"):
        given = table[name].notna()
        assert filled[name][given].tolist() == table[name][given].tolist()
        assert filled[name][~given].tolist() == decoded[name][~given].tolist()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_filling_an_array_of_floats_leaves_what_is_given_bit_for_bit(dtype: str) -> None:
    array = np.exp(np.random.default_rng(0).standard_normal((N, 3))).astype(dtype)
    array[0, 0] = -0.0
    whole = array.copy()
    array[::3, 1] = np.nan
    filled = TableCodec.fit(whole.astype(float)).fill(array, np.ones((N, 3)))
    present = ~np.isnan(array)
    assert filled[present].tobytes() == array[present].astype(float).tobytes()
    assert not np.isnan(filled).any()


def test_filling_integers_that_are_floats_for_their_holes_gives_integers() -> None:
    whole = pd.DataFrame({"a": [1, 2, 7], "b": [True, False, True]})
    holes = pd.DataFrame({"a": [1, None, 7], "b": [True, None, True]})
    filled = TableCodec.fit(whole).fill(holes, np.zeros((3, 3)))
    assert filled.dtypes.tolist() == whole.dtypes.tolist()
    assert filled["a"].tolist()[::2] == [1, 7]


def test_filling_refuses_what_its_column_could_not_keep() -> None:
    codec = TableCodec.fit(pd.DataFrame({"a": [1, 2, 7]}))
    with pytest.raises(InputError, match=r"2\.5 is not one"):
        codec.fill(pd.DataFrame({"a": [2.5, None]}), np.zeros((2, 1)))


def test_filling_keeps_a_category_that_was_not_seen() -> None:
    codec = TableCodec.fit(pd.DataFrame({"a": pd.Categorical(["x", "y", "y"])}))
    holes = pd.DataFrame({"a": pd.Categorical(["z", None])})
    filled = codec.fill(holes, np.zeros((2, codec.width)))["a"]
    assert filled.tolist() == ["z", "y"]
    assert filled.cat.categories.tolist() == ["x", "y", "z"]


@pytest.mark.parametrize("kind", ["polars", "list", "object array", "reordered"])
def test_filling_gives_the_kind_of_table_that_has_the_holes(kind: str) -> None:
    table = pd.DataFrame({"a": [1.5, None, 3.25], "b": ["x", "y", None], "c": [1, 2, 4]})
    rows = [[1.5, "x", 1], [None, "y", 2], [3.25, None, 4]]
    codec = TableCodec.fit(table)
    given = {"polars": pl.from_pandas(table), "list": rows, "object array": np.array(rows, dtype=object)}.get(
        kind, table[["c", "b", "a"]]
    )
    filled = codec.fill(given, np.zeros((3, codec.width)))
    assert type(filled) is type(given)
    back = filled.rows() if kind == "polars" else np.asarray(filled, dtype=object).tolist()
    assert [back[0][0], back[0][1], back[2][2]] == [1.5, "x", 4]
    assert not any(value is None or value != value for row in back for value in row)


# --- written down ------------------------------------------------------------------------------------------

FITTED = {
    "pandas": lambda: TableCodec.fit(mixed()),
    "polars": lambda: TableCodec.fit(
        pl.DataFrame({"a": pl.Series(["x", "y"], dtype=pl.Enum(["y", "x"])), "b": [1.5, 2.5]})
    ),
    "array": lambda: TableCodec.fit(np.array([[1.0, 2.0], [2.5, 3.0]])),
    "text": lambda: TableCodec.fit(np.array([["a", "b"], ["c", "d"]])),
    "structured": lambda: TableCodec.fit(np.array([(1, "a"), (2, "b")], dtype=[("x", "i2"), ("y", "S1")])),
    "list": lambda: TableCodec.fit([[1, "a", True], [2**40, "b", False], [5, None, None]]),
}


@pytest.mark.parametrize("kind", FITTED)
def test_a_table_written_down_is_the_same_table(kind: str) -> None:
    codec = FITTED[kind]()
    again = TableCodec.from_json(json.loads(json.dumps(codec.to_json(), allow_nan=False)))
    assert again == codec
    assert hash(again) == hash(codec)
    assert repr(again) == repr(codec)
    points = np.random.default_rng(0).standard_normal((20, codec.width))
    assert repr(again.decode(points)) == repr(codec.decode(points))


HOSTILE: list[Any] = [
    *(None, True, False, -1, 0, 1, 10**400, -(10**9), 0.5, -1e300, 1e300, 1e-320),
    *("", "x", "float64", "object", "category", "datetime64[us, Mars/Base]", "arrow:timestamp[us, tz=x]"),
    *("arrow:list<item: int64>", "int8", "str[nonsense]", "<U999999", "M8[25s]", "f4,f4", "O"),
    *([], {}, [[]], {"kind": "standard"}, [0.5, 0.5], [1.0, -1.0], ["a", "a"]),
]


def places(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where something stands in plain data; of long lists the first two entries."""
    yield path
    entries = (
        data.items() if isinstance(data, dict) else enumerate(data[:2]) if isinstance(data, list) else ()
    )
    for key, value in entries:
        yield from places(value, (*path, key))


def changed(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = data.copy()
    copy[path[0]] = changed(data[path[0]], path[1:], value)
    return copy


@pytest.mark.parametrize("kind", FITTED)
def test_whatever_is_changed_in_it_is_refused_as_a_format_or_works(kind: str) -> None:
    data = FITTED[kind]().to_json()
    accepted = refused = 0
    random = np.random.default_rng(0)
    for path in places(data):
        for value in random.permutation(len(HOSTILE))[: 3 if kind == "pandas" else 8]:
            try:
                codec = TableCodec.from_json(changed(data, path, HOSTILE[value]))
            except FormatError:
                refused += 1
                continue
            accepted += 1
            with np.errstate(all="ignore"):
                rows = codec.decode(np.full((2, codec.width), 0.3))
                with contextlib.suppress(DiffuscopeError):
                    codec.log_volume(rows)
    assert refused > 5 * accepted


@pytest.mark.parametrize(
    "data",
    [None, [], "text", 3, {}, {"format": "diffuscope-table-2"}, float("nan"), {"columns": object()}, {1, 2}],
)
def test_plain_data_of_another_form_is_a_format_error(data: Any) -> None:
    with pytest.raises(FormatError):
        TableCodec.from_json(data)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("pandas", ("container", "enums"), ["note"]),
        ("polars", ("container", "enums"), ["b"]),
        ("polars", ("container", "enums"), ["c"]),
        ("pandas", ("container", "labels"), "int64"),
        ("array", ("container", "names"), [1, 0]),
        ("array", ("container", "types"), ["<f8", "<f8"]),
        ("structured", ("container", "types"), ["<i2"]),
        ("pandas", ("columns", 8, "labels", "values"), ["x", "x", "y"]),
        ("pandas", ("columns", 8, "codes", "shares"), [0.5, 0.5]),
        ("pandas", ("columns", 8, "codes", "shares"), [0.5, 0.4, 0.3]),
        ("pandas", ("columns", 6, "all_labels", "values"), ["b", "x"]),
        ("pandas", ("columns", 9, "low"), 2**63 - 10),
        ("pandas", ("columns", 4, "low"), 2**15 - 1),
        ("pandas", ("columns", 0, "low"), 1e9),
        ("pandas", ("columns", 1, "line", "z"), [0.0] * 9),
        ("pandas", ("columns", 11, "value", "values"), ["a", "b"]),
    ],
)
def test_what_contradicts_itself_is_a_format_error(kind: str, path: tuple, value: object) -> None:
    data = FITTED[kind]().to_json()
    assert changed(data, path, value) != data
    with pytest.raises(FormatError):
        TableCodec.from_json(changed(data, path, value))


def test_a_field_more_or_less_is_a_format_error() -> None:
    data = FITTED["pandas"]().to_json()
    for path in places(data):
        if not path or not isinstance(path[-1], str):
            continue
        parent = data
        for key in path[:-1]:
            parent = parent[key]
        defaults = path[-1] in (
            "format",
            "kind",
            "labels",
            "types",
            "enums",
            "closed",
            "ordered",
            "all_labels",
            "atoms",
            "counts",
            "between",
            "step",
            "below",
            "above",
            "end",
            "rhythm",
        )
        less = {key: value for key, value in parent.items() if key != path[-1]}
        for other in ([] if defaults else [less]) + [{**parent, "more": 1}]:
            with pytest.raises(FormatError):
                TableCodec.from_json(changed(data, path[:-1], other))


def test_nesting_without_end_is_a_format_error() -> None:
    data: Any = []
    for _ in range(100_000):
        data = [data]
    with pytest.raises(FormatError):
        TableCodec.from_json({"columns": data})
