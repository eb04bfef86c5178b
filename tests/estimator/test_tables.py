"""Do rows come back as the kind of table that came in, and does odd input get an answer or a reason?"""

from __future__ import annotations

import datetime
import itertools

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope import DiffuscopeError, DiffusionImputer, DiffusionModel
from diffuscope.errors import InputError

QUICK = {"steps": 5, "width": 8, "random_state": 0}


def test_a_frame_comes_back_with_its_names_and_types(people, people_model):
    X, _ = people
    rows = people_model.sample(300, random_state=0)
    assert (rows.dtypes == X.dtypes).all()
    assert list(rows.columns) == list(X.columns)
    assert rows.index.equals(pd.RangeIndex(300))
    assert set(rows["sex"]) == {"male", "female"}  # "other" was never seen
    assert rows["age"].between(X["age"].min(), X["age"].max()).all()
    assert rows["seen"].between(X["seen"].min(), X["seen"].max()).all()
    assert (rows["seen"] == rows["seen"].dt.normalize()).all()
    assert (rows["hospital"] == "St. Mary").all()
    assert (rows.isna().mean() - X.isna().mean()).abs().max() < 0.1
    assert not people_model.sample(50, missing="none", random_state=0).isna().any(axis=None)


def test_a_filled_frame_has_its_index_and_all_its_values(new_people, people_model):
    X, y = new_people
    holes = X.mask(np.random.default_rng(0).random(X.shape) < 0.3)
    holes.loc[holes.index[0]] = None  # nothing is known of the first
    filled = people_model.impute(holes)
    assert filled.index.equals(X.index)
    assert not filled.isna().any(axis=None)
    for name in X.columns:
        kept = holes[name].notna()
        assert (filled[name][kept] == holes[name][kept]).all()
    averaged = people_model.impute(holes, y, n_draws=4, average=True)
    assert set(averaged["sex"]) == {"male", "female"}
    complete = X.dropna()
    assert people_model.impute(complete).equals(complete)


def test_filled_values_depend_on_the_rest_of_the_row(new_people, people_model):
    X, _ = new_people
    holes = X.assign(height=np.nan)
    filled = people_model.impute(holes, n_draws=8, average=True)
    by_sex = filled["height"].groupby(X["sex"], observed=True).mean()
    assert by_sex["male"] > by_sex["female"] + 6


def test_given_columns_come_back_as_they_were_given(people_model):
    known = {"sex": "male", "height": 180.25, "age": 40, "smokes": True, "seen": pd.Timestamp("2024-02-29")}
    rows = people_model.sample(50, given=known)
    for name, value in known.items():
        assert (rows[name] == value).all()
    assert rows["weight"].mean() > 66


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"given": {"shoe": 3}}, "no column 'shoe'"),
        ({"given": {"sex": "unknown"}}, "unknown"),
        ({"given": {"sex": "other"}}, "other"),
        ({"given": {"height": None}}, "missing"),
        ({"given": {"height": [1.0, 2.0]}}, "inconsistent numbers"),
        ({"given": {"height": "tall"}}, "tall"),
        ({"y": "dead"}, "dead"),
        ({"y": ["ill", "well"]}, "inconsistent numbers"),
        ({"n_samples": 0}, "n_samples"),
        ({"n_samples": 2.5}, "n_samples"),
    ],
)
def test_what_cannot_be_asked_for_is_said(people_model, arguments, words):
    with pytest.raises(InputError, match=words):
        people_model.sample(**{"n_samples": 3, **arguments})


def test_polars_frames_come_back_as_such(people):
    X, y = people
    frame = pl.from_pandas(X[["sex", "weight", "age", "smokes", "seen"]].reset_index(drop=True)[:300])
    model = DiffusionModel(**QUICK).fit(frame, pl.Series("state", y[:300].tolist()))
    rows, states = model.sample(9, return_y=True)
    assert isinstance(rows, pl.DataFrame)
    assert rows.schema == frame.schema
    assert isinstance(states, pl.Series)
    assert set(states) <= {"ill", "well"}
    filled = model.impute(frame)
    assert filled.null_count().sum_horizontal().item() == 0
    assert np.isfinite(model.score_samples(frame)).all()


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float16", "float32", "bool", ">f8"])
def test_arrays_of_any_type_are_learned_from(dtype):
    X = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 50, size=(200, 3)).astype(dtype)
    rows = DiffusionModel(**QUICK).fit(X).sample(40)
    assert rows.dtype == (np.float64 if X.dtype.kind == "f" else X.dtype)
    assert (np.abs(rows.astype(float) - 25) <= 50).all()
    assert dtype == "float16" or (rows == np.round(rows)).all()  # floats so short have no decimals


@pytest.mark.slow
def test_the_layout_of_memory_does_not_matter():
    X = np.random.default_rng(0).normal(size=(100, 3))
    frozen = X.copy()
    frozen.flags.writeable = False
    wide = np.zeros((100, 6))
    wide[:, ::2] = X
    expected = DiffusionModel(**QUICK).fit(X).score_samples(X[:20])
    for other in (np.asfortranarray(X), frozen, wide[:, ::2], X.tolist()):
        some = other[:20] if isinstance(other, list) else np.asarray(other)[:20]
        assert np.array_equal(DiffusionModel(**QUICK).fit(other).score_samples(some), expected)


def test_classes_keep_their_type():
    X = np.random.default_rng(0).normal(size=(60, 2))
    for y in (np.arange(60) % 3, np.array(["a", "b", "c"] * 20), np.arange(60) % 2 == 0, np.arange(60) / 7):
        drawn = DiffusionModel(**QUICK).fit(X, y).sample(20, return_y=True)[1]
        assert drawn.shape == (20,)
        assert drawn.dtype == y.dtype or drawn.dtype == object
        if y.dtype.kind != "f":
            assert set(drawn.tolist()) <= set(y.tolist())


@pytest.mark.slow
def test_some_targets_may_be_missing(people):
    X, y = people
    some = y.mask(np.arange(len(y)) % 2 == 0)
    model = DiffusionModel(steps=300, width=32, random_state=0).fit(X[["age", "height"]], some)
    ages = [model.sample(1500, y=state, random_state=1)["age"].mean() for state in ("ill", "well")]
    assert ages[0] > ages[1] + 10


REFUSED = {
    "one row": (np.ones((1, 3)), "n_samples = 1"),
    "one value": (np.ones((9, 3)), "No column varies"),
    "no columns": (np.ones((9, 0)), "no columns"),
    "no rows": (np.ones((0, 3)), "no rows"),
    "one axis": (np.ones(9), "two dimensions"),
    "three axes": (np.ones((9, 3, 2)), "two dimensions"),
    "infinite": (np.array([[1.0, 2.0], [np.inf, 3.0], [0.0, 1.0]]), "infinite"),
    "sparse": (scipy.sparse.eye_array(5), "sparse"),
    "complex": (np.ones((9, 2)) * 1j, "Complex"),
    "ragged": ([[1, 2], [3]], "same length"),
    "mixed": (pd.DataFrame({"x": [1, "a", 2.5] * 5, "z": range(15)}, dtype=object), "'x'"),
    "identifiers": (pd.DataFrame({"id": [f"id-{i}" for i in range(2000)]}), "'id'"),
    "beyond floats": (np.array([[1e308, 0.0], [-1e308, 1.0], [0.0, 2.0]]), "range"),
    "dictionaries": (pd.DataFrame({"x": [{}, {"a": 1}] * 5}), "'x'"),
    "nothing": (None, "NoneType"),
    "text": ("s_curve", "str"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_with_a_reason(name):
    X, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        DiffusionModel(**QUICK).fit(X)
    assert caught.value.hint


ACCEPTED = {
    "two rows": np.array([[0.0, 1.0], [1.0, 0.0]]),
    "duplicates": np.repeat(np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0]]), 50, axis=0),
    "large": np.random.default_rng(0).normal(size=(50, 2)) * 1e300,
    "small": np.random.default_rng(0).normal(size=(50, 2)) * 1e-300,
    "far": 1e9 + 1e-3 * np.random.default_rng(0).normal(size=(50, 2)),
    "heavy tails": np.random.default_rng(0).standard_cauchy(size=(500, 2)),
    "a column of holes": np.column_stack([np.arange(50.0), np.full(50, np.nan)]),
    "mostly holes": np.where(
        np.random.default_rng(0).random((60, 3)) < 0.8, np.nan, np.arange(180).reshape(60, 3) * 1.0
    ),
    "zeros and few others": np.where(
        np.random.default_rng(0).random((300, 2)) < 0.9,
        0.0,
        np.random.default_rng(1).exponential(size=(300, 2)),
    ),
    "more columns than rows": np.random.default_rng(0).normal(size=(10, 60)),
    "two hundred columns": np.random.default_rng(0).normal(size=(80, 200)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCEPTED)
@pytest.mark.filterwarnings("ignore:Without any value in training")
def test_odd_tables_are_learned_from(name):
    X = ACCEPTED[name]
    model = DiffusionModel(**QUICK).fit(X)
    rows = model.sample(30, missing="none", random_state=0)
    holes = np.isnan(X).all(axis=0)
    assert np.isfinite(rows[:, ~holes]).all()
    assert np.isnan(rows[:, holes]).all()
    scale = np.nanmax(np.abs(X[:, ~holes]), axis=0)
    assert (np.abs(rows[:, ~holes]) <= 1e3 * scale).all()
    if X.shape[1] < 50:
        assert np.isfinite(model.score_samples(X[:10])).all()
        filled = model.impute(np.where(np.eye(len(X), X.shape[1]) > 0, np.nan, X))
        assert np.isfinite(filled[:, ~holes]).all()


def cells():
    return st.one_of(
        st.none(),
        st.integers(-(2**40), 2**40),
        st.floats(width=32),
        st.booleans(),
        st.text(max_size=3),
        st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 1, 1)).map(pd.Timestamp),
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Without any value in training")
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    st.lists(
        st.one_of(
            st.lists(st.floats(width=64), min_size=6, max_size=6),
            st.lists(st.one_of(st.none(), st.integers(-(2**62), 2**62)), min_size=6, max_size=6),
            st.lists(st.sampled_from(["a", "b", None]), min_size=6, max_size=6),
            st.lists(cells(), min_size=6, max_size=6),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_random_columns_are_learned_from_or_refused_with_a_reason(columns):
    table = pd.DataFrame(dict(enumerate(columns)))
    try:
        model = DiffusionModel(steps=2, width=4, sampling_steps=3, random_state=0).fit(table)
    except DiffuscopeError:
        return
    rows = model.sample(4)
    assert (rows.dtypes == table.dtypes).all()
    filled = model.impute(table)
    assert filled.notna().all(axis=None) or table.isna().all().any()
    assert not np.isnan(model.score_samples(table)).any()


@pytest.mark.slow
def test_a_file_of_rows_is_not_copied_whole(tmp_path):
    import tracemalloc

    rows = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (3_000_000, 4))
    rows[::1000] = np.random.default_rng(0).normal(size=(3000, 4))
    rows.flush()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    tracemalloc.start()
    model = DiffusionModel(steps=20, width=8, random_state=0).fit(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert model.sample(2).shape == (2, 4)
    assert (
        peak < 1.7 * mapped.nbytes
    )  # a column at a time, in float64, with its mask; never the 96 MB as such


def test_bits_stand_for_categories_where_they_are_asked_for():
    table = pd.DataFrame({"c": list("abcde") * 40, "x": np.arange(200.0)})
    model = DiffusionModel(**{**QUICK, "steps": 200}, categories="bits").fit(table)
    assert model.model_.dimension == 4
    assert set(model.sample(50)["c"]) <= set("abcde")
    assert model.impute(table.mask(np.eye(200, 2) > 0)).notna().all(axis=None)
    with pytest.raises(InputError, match="bits"):
        model.score_samples(table)


def test_without_partial_rows_a_network_is_for_whole_rows_of_numbers():
    X = np.random.default_rng(0).normal(size=(100, 2))
    model = DiffusionModel(**QUICK, partial=0.0).fit(X)
    assert model.sample(3).shape == (3, 2)
    assert np.isfinite(model.score_samples(X)).all()
    for ask in (lambda: model.sample(2, given={0: 1.0}), lambda: model.impute(np.array([[0.0, np.nan]]))):
        with pytest.raises(InputError, match="partial"):
            ask()


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0}, {"width": -1}, {"partial": 2.0}, {"categories": "three"}, {"validation_fraction": 1.0},
        {"sampler": "hun"}, {"sampling_steps": 0}, {"device": "tpu"}, {"learning_rate": float("nan")},
    ],
)  # fmt: skip
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError, match=str(next(iter(wrong.values())))):
        DiffusionModel(**{**QUICK, **wrong}).fit(np.random.default_rng(0).normal(size=(30, 2)))


def test_noise_that_cannot_be_is_refused(normal_model):
    for noise in (-1.0, np.nan, [0.1, 0.2]):
        with pytest.raises(InputError, match="noise_std"):
            normal_model.denoise(np.zeros((2, 3)), noise)


def test_an_imputer_takes_what_the_model_takes(people):
    X, _ = people
    filled = DiffusionImputer(DiffusionModel(**QUICK), n_draws=2).fit_transform(X[:200])
    assert (filled.dtypes == X.dtypes).all()
    assert not filled.isna().any(axis=None)


def test_draws_differ_and_names_are_all_kinds(people_model, people):
    holes = people[0][:5].assign(weight=np.nan)
    first, second, third = people_model.impute(holes, n_draws=3)
    for one, other in itertools.pairwise([first, second, third]):
        assert (one["weight"] != other["weight"]).all()
