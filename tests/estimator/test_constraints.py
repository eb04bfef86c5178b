"""Do sampled and filled rows keep relations between columns, and are only such relations read?"""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

import diffuscope
from diffuscope import DiffusionModel
from diffuscope.data.tables.columns.computed import Computed, in_type
from diffuscope.data.tables.columns.fitting import fit_column
from diffuscope.data.tables.constraints import as_numbers, in_order, read_constraint
from diffuscope.errors import InputError, RunError

QUICK = {"steps": 5, "width": 8, "random_state": 0}
TEXTS = ["total == net + `sales tax`", "end == start + days", "low < high"]


def few_days_for_x(frame: pd.DataFrame) -> pd.Series:
    return (frame["kind"] != "x") | (frame["days"] < 15)


def orders(n: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    net, tax = (np.round(random.gamma(2, 5, n), 2) for _ in range(2))
    start = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 300, n), unit="D")
    kind = random.choice(["x", "y"], n)
    days = np.where(kind == "x", random.integers(1, 15, n), random.integers(1, 25, n))
    low = random.normal(size=n)
    return pd.DataFrame(
        {
            "net": net,
            "sales tax": tax,
            "total": np.round(net + tax, 2),
            "start": start,
            "days": days,
            "end": start + pd.to_timedelta(days, unit="D"),
            "low": low,
            "high": low + 0.3 * random.exponential(size=n),
            "kind": kind,
        }
    )


def kept(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    return {
        "total": np.abs(rows["total"] - rows["net"] - rows["sales tax"]) < 0.006,
        "end": rows["end"] == rows["start"] + pd.to_timedelta(rows["days"], unit="D"),
        "low": rows["low"] < rows["high"],
        "kind": few_days_for_x(rows),
    }


@pytest.fixture(scope="module")
def table():
    return orders(1500)


@pytest.fixture(scope="module")
def model(table):
    rules = [*TEXTS, few_days_for_x]
    return DiffusionModel(steps=300, width=32, sampling_steps=8, random_state=0, constraints=rules).fit(table)


@pytest.fixture(scope="module")
def free(table):
    return DiffusionModel(steps=300, width=32, sampling_steps=8, random_state=0, refine=False).fit(table)


@pytest.mark.slow
def test_all_sampled_rows_keep_what_some_would_break(model, free, table):
    rows = model.sample(2000, random_state=1)
    assert (rows.dtypes == table.dtypes).all()
    assert all(good.all() for good in kept(rows).values())
    broken = kept(free.sample(2000, random_state=1))
    assert all(good.mean() < 0.97 for name, good in broken.items() if name != "kind")
    assert not broken["kind"].all()
    assert rows["total"].mean() == pytest.approx(table["total"].mean(), rel=0.1)


def test_given_rows_keep_them_too(model):
    rows = model.sample(300, given={"low": 1.0, "net": 3.5, "kind": ["x", "y", "x"] * 100})
    assert all(good.all() for good in kept(rows).values())
    assert (rows["low"] == 1).all()
    assert (rows["net"] == 3.5).all()
    assert rows["kind"].tolist() == ["x", "y", "x"] * 100


@pytest.mark.slow
def test_filled_rows_keep_them_where_they_can(model):
    whole = orders(200, 5)
    holes = whole.mask(np.random.default_rng(0).random(whole.shape) < 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filled = model.impute(holes, random_state=0)
    assert not filled.isna().any(axis=None)
    assert all(good.mean() > 0.99 for good in kept(filled).values())
    for name in holes:
        there = holes[name].notna()
        assert (filled[name][there] == holes[name][there]).all()
    averaged = model.impute(holes[:100], n_draws=3, average=True, random_state=0)
    good = kept(averaged)
    assert good["total"].mean() > 0.99
    assert good["end"].mean() > 0.99
    assert good["low"].mean() > 0.97


def test_what_an_equality_leaves_for_one_column_is_put_there(model):
    holes = orders(60, 6).astype({"net": float, "days": float})
    true = holes.copy()
    holes["net"], holes["days"] = np.nan, np.nan
    filled = model.impute(holes, random_state=0)
    np.testing.assert_allclose(filled["net"], true["net"], atol=0.006)
    assert (filled["days"] == true["days"]).all()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:What is given contradicts")
def test_rows_that_break_them_by_what_is_known_stay_and_others_are_told_of(model):
    new = orders(50, 7)
    broken = new.assign(low=5.0, high=-5.0)
    broken.loc[:9, "net"] = np.nan
    filled = model.impute(broken, only=["net"], random_state=0)
    assert (filled["low"] == 5).all()
    hopeless = new.assign(low=1e3, high=np.nan)
    with pytest.warns(UserWarning, match="'low < high' is kept by 0.00%"):
        model.impute(hopeless[:5], random_state=0)


def test_what_cannot_be_is_said(model, monkeypatch):
    monkeypatch.setattr("diffuscope.modalities.tables.redrawing._ATTEMPTS", 2)
    monkeypatch.setattr("diffuscope.modalities.tables.redrawing._MOST_EACH", 8)
    monkeypatch.setattr("diffuscope.modalities.tables.refinement._AGAIN", 2)
    with pytest.raises(InputError, match="'total' is computed"):
        model.sample(2, given={"total": 3.0})
    few = pytest.warns(UserWarning, match="0 have such values of low, high as are given")
    with few, pytest.raises(RunError, match=r"'low < high' is kept by 0\.00%"):
        model.sample(2, given={"low": 1.0, "high": 0.0})


def test_text_is_kept_with_the_model_and_functions_are_not(model, tmp_path):
    with pytest.warns(UserWarning, match="few_days_for_x"):
        path = model.save(tmp_path / "model")
    again = DiffusionModel.load(path)
    assert again.constraints == TEXTS
    rows = again.sample(500, random_state=1)
    good = kept(rows)
    assert good["total"].all()
    assert good["end"].all()
    assert good["low"].all()
    assert clone(model).constraints[:3] == TEXTS


@pytest.mark.slow
def test_the_law_is_that_of_rows_that_keep_them():
    """Two uniform numbers of which the first is the less: its mean is a third, the other's two thirds."""
    x = np.random.default_rng(0).random((4000, 2))
    with pytest.warns(UserWarning, match=r"[45]\d\.\d\d% of the rows break the constraint 'x0 < x1'"):
        model = DiffusionModel(steps=300, width=32, random_state=0, constraints=["x0 < x1"]).fit(x)
    rows = model.sample(4000, random_state=1)
    assert (rows[:, 0] < rows[:, 1]).all()
    assert rows.mean(axis=0) == pytest.approx([1 / 3, 2 / 3], abs=0.02)


def test_a_row_with_a_missing_value_keeps_them():
    random = np.random.default_rng(0)
    a = pd.Series(random.normal(size=600)).where(random.random(600) < 0.7)
    frame = pd.DataFrame({"a": a, "b": random.normal(size=600) + 1, "whole": 0.0})
    frame["whole"] = frame["a"] + frame["b"]
    texts = ["whole == a + b", "a < b"]
    with pytest.warns(UserWarning, match="'a < b'"):
        model = DiffusionModel(steps=300, width=32, random_state=0, constraints=texts).fit(frame)
    rows = model.sample(1500, random_state=0)
    assert rows["a"].isna().mean() == pytest.approx(0.3, abs=0.12)
    assert (rows["whole"].isna() == rows["a"].isna()).all()
    there = rows.dropna()
    np.testing.assert_allclose(there["whole"], there["a"] + there["b"])
    assert (there["a"] < there["b"]).all()


def test_tables_of_other_kinds_and_a_computed_column_of_a_computed_one():
    random = np.random.default_rng(0)
    frame = pl.DataFrame({"a": random.integers(0, 9, 300), "b": random.integers(0, 9, 300)})
    frame = frame.with_columns(c=pl.col("a") + pl.col("b")).with_columns(d=2 * pl.col("c"))
    model = DiffusionModel(**QUICK, constraints=["2 * c == d", "a + b == c", "a != 4"])
    with pytest.warns(UserWarning, match="'a != 4'"):
        model.fit(frame)
    rows = model.sample(40)
    assert isinstance(rows, pl.DataFrame)
    assert rows.schema == frame.schema
    assert (rows["a"] + rows["b"] == rows["c"]).all()
    assert (rows["d"] == 2 * rows["c"]).all()
    assert (rows["a"] != 4).all()
    listed = DiffusionModel(**QUICK, constraints="x2 == x0 + x1").fit(frame.to_numpy()[:, :3].tolist())
    assert all(row[2] == row[0] + row[1] for row in listed.sample(20))


def test_equalities_that_rows_break_are_told_with_their_share(table):
    wrong = table.copy()
    wrong.loc[:149, "total"] += 1
    with pytest.warns(UserWarning, match="10.00% of the rows break the constraint 'total"):
        DiffusionModel(**QUICK, constraints=TEXTS[:1]).fit(wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        DiffusionModel(**QUICK, constraints=TEXTS[:1]).fit(table.astype({"total": "float32"}))


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("start = end", "two signs"),
        ("start <", "cannot be read"),
        ("", "cannot be read"),
        ("start", "no comparison"),
        ("3 < 4", "names no column"),
        ("strat < end", "did you mean 'start'"),
        ("sales tax > 0", "backticks"),
        ("`sales tax > 0", "backtick without another"),
        ("`sales` > 0", "no column named 'sales'"),
        ("net ** 2 < 3", r"net \*\* 2"),
        ("net % 2 < 3", "net % 2"),
        ("net.mean() < 3", r"net.mean\(\)"),
        ("__import__('os').system('true') < 3", "no name, number"),
        ("(lambda: net)() < 3", "no name, number"),
        ("net < True", "True"),
        ("kind < 3", "'kind', which holds text"),
        ("net < 'a'", "'a'"),
        ("net < 1e999", "beyond 1e308"),
        ("low in high", "no comparison"),
        ("low < high and net > 0", "no comparison"),
        ("(a := net) < 3", "no name, number"),
        ("net[0] < 3", "no name, number"),
        ("net + total == 3 * net", "does not say|which column|total"),
        ("total == 2 * total", "which column"),
        ("3 == 4", "names no column|which column"),
        ("total == 3", "which column"),
        ("net == total == days", "Split it"),
        ("-" * 990 + "1 < net", "read|nested|long|deep"),
        ("(" * 400 + "net" + ")" * 400 + " < 3", "cannot be read"),
        ("net <" + " " * 1000 + "3", "at most 1000"),
        ("kind == net", "kind"),
        (3, "neither"),
        (["net < 3"], "neither"),
        (lambda frame: frame["nett"] > 0, "KeyError"),
        (lambda frame: frame["net"], "truth value"),
        (lambda frame: True, "truth value"),
    ],
)
def test_what_is_no_constraint_is_refused_with_a_reason(table, constraint, words):
    with pytest.raises(InputError, match=re.compile(words, re.IGNORECASE)):
        DiffusionModel(**QUICK, constraints=[constraint]).fit(table)


def test_equalities_must_not_go_round_in_circles(table):
    for texts, words in (
        (["net == total", "total == net"], "of each other"),
        (["total == net", "total == days"], "both give 'total'"),
    ):
        with pytest.raises(InputError, match=words):
            DiffusionModel(**QUICK, constraints=texts).fit(table)
    rules = [read_constraint(text, list("abc")) for text in ("a == b + 1", "b == c + 1")]
    assert [rule.computes for rule in in_order(rules)] == ["b", "a"]


def test_a_type_without_missing_values_cannot_be_computed_of_them():
    frame = pd.DataFrame({"a": [1.0, np.nan] * 30, "b": range(60)})
    with pytest.raises(InputError, match="does not support"):
        DiffusionModel(**QUICK, constraints=["b == a"]).fit(frame)


def test_a_warm_start_keeps_its_constraints(table):
    model = DiffusionModel(**QUICK, warm_start=True, constraints=TEXTS).fit(table)
    model.fit(table)
    with pytest.raises(InputError, match="warm start"):
        model.set_params(constraints=None).fit(table)


def test_equal_within_rounding_is_equal():
    frame = pd.DataFrame({"a": [0.1, 33.3], "b": [0.2, 66.7], "c": [0.3, 100.0]})
    for sign, good in (("<=", True), ("<", False), (">=", True), ("!=", False)):
        text = f"a + b {sign} c"
        assert read_constraint(text, list("abc")).kept(frame).tolist() == [good, good]
    assert read_constraint("a < b < c", list("abc")).kept(frame).tolist() == [True, True]
    assert read_constraint("a < c > b", list("abc")).kept(frame).tolist() == [True, True]
    assert read_constraint("-a - 1 / 2 <= b * +2", list("abc")).kept(frame).tolist() == [True, True]


def test_times_and_durations_count_in_days():
    day = pd.Timestamp("2024-03-01 12:00")
    for dtype in ("datetime64[s]", "datetime64[ns]", "datetime64[us, Europe/Berlin]", object):
        times = pd.Series([day, pd.NaT])
        if dtype is object:
            times = pd.Series([day.date(), None], dtype=object)
        else:
            times = times.dt.tz_localize("UTC").astype(dtype) if "Berlin" in dtype else times.astype(dtype)
        days = as_numbers(times, "t")
        assert days[0] == (day - pd.Timestamp("1970-01-01")).days + (0 if dtype is object else 0.5)
        assert np.isnan(days[1])
    assert as_numbers(pd.Series([pd.Timedelta(hours=36)]), "t").tolist() == [1.5]


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([1.25, 3.5, -7.0]),
        pd.Series([1, 250, 7], dtype="uint8"),
        pd.Series([1, 2**40, 7], dtype="Int64"),
        pd.Series(pd.to_datetime(["2024-01-01 12:30", "2024-05-01 00:00"])).astype("datetime64[ns]"),
        pd.Series(pd.to_datetime(["2024-01-01", "2024-05-01", "2020-05-01"])).dt.tz_localize("Asia/Tokyo"),
        pd.Series(pd.to_timedelta(np.array([1, 5, 90]), unit="min")),
        pd.Series(pd.to_datetime(["2024-01-01", "2024-05-01", "2020-05-01"]).date, dtype=object),
    ],
    ids=lambda values: str(values.dtype),
)
def test_numbers_come_back_as_values_of_a_column(values):
    column = fit_column(values, "x")
    back = in_type(column, as_numbers(values, "x"))
    pd.testing.assert_series_equal(back, values, check_names=False)
    computed = Computed.of(column, False, "x == y")
    assert Computed.from_json(computed.to_json()) == computed


LEAVES = st.sampled_from(["a", "`b b`", "c", "1", "2.5", "0"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda t: f"-{t}"),
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(EXPRESSIONS, st.sampled_from(["<", "<=", ">", ">=", "!="]), EXPRESSIONS)
def test_any_comparison_is_what_pandas_says_of_it(left, sign, right):
    frame = pd.DataFrame({"a": [1.0, -2.0, np.nan], "b b": [4, 5, 6], "c": [True, False, True]})
    if not re.search("[abc]", left + right):
        return
    found = read_constraint(f"{left} {sign} {right}", list(frame.columns)).kept(frame)
    plain = frame.rename(columns={"b b": "b"}).astype(float)
    with np.errstate(all="ignore"):
        names = {name: plain[name].to_numpy() for name in plain}
        sides = [
            np.broadcast_to(np.asarray(_reckoned(side.replace("`b b`", "b"), names)), 3)
            for side in (left, right)
        ]
        close = np.isclose(*sides, rtol=1e-6, atol=1e-6, equal_nan=True)
        true = (
            {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}.get(
                sign, np.not_equal
            )(*sides)
            | np.isnan(sides[0])
            | np.isnan(sides[1])
        )
    assert (found == true)[~close].all()


def _reckoned(text, names):
    """Return what pandas says an expression is; numbers are columns, so that none divides by zero."""
    numbers = {f"k{word.replace('.', '_')}": np.full(3, float(word)) for word in ("0", "1", "2.5")}
    text = re.sub(r"\d[\d.]*", lambda match: f"k{match[0].replace('.', '_')}", text)
    return pd.eval(text, local_dict={**names, **numbers}, engine="python")


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.text(max_size=30), st.text(alphabet="ab `<>=!+-*/().,0123:[]'e", max_size=20)))
def test_any_text_is_read_or_refused_with_a_reason(text):
    try:
        rule = read_constraint(text, ["a", "b b", "e"])
    except InputError:
        return
    assert set(rule.columns) <= {"a", "b b", "e"}


@pytest.mark.slow
def test_a_file_is_trained_on_with_constraints_and_keeps_them(cli, table, tmp_path):
    table.to_csv(tmp_path / "orders.csv", index=False)
    words = [word for text in TEXTS for word in ("--constraint", text)]
    settings = ["--steps", "60", "--target", "kind", "--no-pictures", "--out", tmp_path / "run"]
    code, out, err = cli("train", tmp_path / "orders.csv", *words, *settings)
    assert code == 0, err
    assert "low < high: kept by 100.00% of the rows" in out
    assert out.count("computed of other columns") == 2
    code, _, err = cli("sample", tmp_path / "run", "-n", "300", "-o", tmp_path / "new.csv")
    assert code == 0, err
    dates = ["start", "end"]
    rows = pd.read_csv(tmp_path / "new.csv", parse_dates=dates)
    good = kept(rows)
    assert good["total"].all()
    assert good["end"].all()
    assert good["low"].all()
    assert diffuscope.load(tmp_path / "run").model.recipe.data.constraints == tuple(TEXTS)
    holes = table[:40].mask(np.random.default_rng(0).random((40, 9)) < 0.2)
    holes.to_csv(tmp_path / "holes.csv", index=False)
    code, _, err = cli("impute", tmp_path / "run", tmp_path / "holes.csv", "-o", tmp_path / "filled.csv")
    assert code == 0, err
    filled = pd.read_csv(tmp_path / "filled.csv", parse_dates=dates)
    assert not filled.isna().any(axis=None)
    assert kept(filled)["total"].mean() > 0.9
    assert kept(filled)["low"].mean() > 0.9


def test_any_name_can_stand_in_backticks():
    names = ["a b", "class", "x`y", "1st", "0", "é", "a`` `b", "µ", "column0"]
    for name in names:
        word = "`" + name.replace("`", "``") + "`"
        rule = read_constraint(f"{word} < 3 + `a b`", names)
        assert set(rule.columns) == {name, "a b"}
    assert read_constraint("µ < column0", names).columns == ("µ", "column0")  # though Python reads another µ
