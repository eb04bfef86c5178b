"""Do the judges of ``benchmarks/tables.py`` give the right answer where it is known?"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import tables as tables_script
from on_tables import cells, judges, relations, summary
from on_tables.contestants.trees import SequentialTrees
from on_tables.smooth import smoothed
from on_tables.tables import TABLES, Table, half_of
from on_tables.view import View


def _law(n: int, seed: int, related: bool = True, shift: float = 0.0) -> pd.DataFrame:
    """Two numbers, a category that follows the first, a heaped number, and holes where the first is large."""
    random = np.random.default_rng(seed)
    a = random.standard_normal(n)
    b = (0.9 * a + 0.4 * random.standard_normal(n)) if related else random.standard_normal(n)
    group = np.where(a > 1.8, "rare", np.where(a > 0, "high", "low"))
    price = np.where(random.random(n) < 0.5, 9.99, 10 * random.random(n))
    holes = (a if related else random.standard_normal(n)) > 1
    return pd.DataFrame(
        {
            "a": a + shift,
            "b": b,
            "group": pd.Categorical(group, categories=["high", "low", "rare"]),
            "price": price,
            "later": np.where(holes, np.nan, random.standard_normal(n)),
            "late": np.where(holes, np.nan, random.standard_normal(n)),
        }
    )


@pytest.fixture(scope="module")
def real():
    return _law(1_000, 0), _law(1_000, 3)


def _judge(real, synthetic, target="b", kind="number", own=()):
    return judges.judge(*real, synthetic, target, kind, own, seed=0)


@pytest.fixture(scope="module")
def fresh(real):
    return _judge(real, _law(1_000, 2))


@pytest.mark.slow
def test_fresh_draws_of_the_law_are_at_the_floor_and_at_chance(fresh):
    assert fresh["told_apart"] == pytest.approx(0.5, abs=0.06)
    assert fresh["nearer_to_training"] == pytest.approx(0.5, abs=0.06)
    assert fresh["utility"] == pytest.approx(1.0, abs=0.06)
    assert fresh["copies"] == fresh["copies_chance"] == 0
    for name in ("columns", "pairs", "missing_rates", "missing_together", "missing_related", "heap_rates"):
        assert 0.2 < fresh[name] < 3, name
    assert fresh["heaps"] == pytest.approx(1.0, abs=0.1)
    assert fresh["rare_5"] == pytest.approx(1.0, abs=0.4)


@pytest.mark.slow
def test_columns_that_are_independent_show_in_pairs_and_not_in_columns(real, fresh):
    marks = _judge(real, _law(1_000, 2, related=False))
    assert marks["columns"] < 2.0
    assert marks["pairs"] > 1.5 * fresh["pairs"]
    assert marks["told_apart"] > 0.8
    assert marks["utility"] < 0.2
    assert marks["missing_rates"] < 3
    assert marks["missing_together"] < 3
    assert marks["missing_related"] > 2 * fresh["missing_related"]


@pytest.mark.slow
def test_holes_that_do_not_come_together_show_in_pairs_of_holes_only(real, fresh):
    synthetic = _law(1_000, 2)
    synthetic["late"] = synthetic["late"].sample(frac=1, random_state=0).to_numpy()
    marks = _judge(real, synthetic)
    assert marks["missing_rates"] == fresh["missing_rates"]
    assert marks["missing_together"] > 3 * fresh["missing_together"]


@pytest.mark.slow
def test_a_shift_shows_in_its_column(real, fresh):
    marks = _judge(real, _law(1_000, 2, shift=1.0))
    assert marks["columns"] > 4 > 2 * fresh["columns"]
    assert marks["told_apart"] > 0.75


@pytest.mark.slow
def test_no_holes_at_all_show_in_the_rates(real):
    synthetic = _law(1_000, 2)
    synthetic[["late", "later"]] = 0.5
    assert _judge(real, synthetic)["missing_rates"] > 8


@pytest.mark.slow
def test_training_rows_are_found_out_as_copies(real):
    marks = _judge(real, real[0])
    assert marks["copies"] == marks["copies_excess"] == 1.0
    assert marks["nearer_to_training"] > 0.95
    assert marks["utility"] == pytest.approx(1.0)
    assert marks["told_apart"] < 0.56


def test_equal_rows_that_chance_makes_are_no_excess():
    coins = [
        pd.DataFrame(np.random.default_rng(seed).integers(2, size=(400, 3)), columns=list("abc"))
        for seed in range(3)
    ]
    rows = judges.Rows(*coins, seed=0)
    assert judges.copies(rows) == {"copies": 1.0, "copies_chance": 1.0, "copies_excess": 0.0}


@pytest.mark.slow
def test_heaps_and_rare_values_that_are_lost_show(real):
    synthetic = _law(1_000, 2)
    synthetic["price"] += 0.001
    synthetic["group"] = synthetic["group"].replace({"rare": "low"})
    marks = _judge(real, synthetic)
    assert marks["heaps"] == 0.0
    assert marks["heap_rates"] > 10
    assert marks["rare_5"] < 0.05
    assert marks["rare_rates"] > 3


def test_a_rare_value_that_comes_twice_as_often_has_a_rate_of_two():
    def frame(n_rare):
        return pd.DataFrame({"x": ["rare"] * n_rare + ["often"] * (1000 - n_rare)}).astype("category")

    rows = judges.Rows(frame(20), frame(20), frame(40), seed=0)
    assert judges.rare(rows)["rare_5"] == pytest.approx(40.5 / 20.5)


def test_relations_are_counted_row_by_row():
    train = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [2.0, 4, 6, 8], "k": list("xxyy"), "v": [1.0, 1, 2, 2]})
    rows = train.assign(b=[2.0, 4, 7, np.nan], v=[1.0, 2, 2, np.nan])

    def shares(relation):
        return relation.kept(rows, train)

    np.testing.assert_array_equal(shares(relations.linear("b", {"a": 2})), [1, 1, 0, np.nan])
    np.testing.assert_array_equal(shares(relations.at_most("b", "v")), [0, 0, 0, np.nan])
    np.testing.assert_array_equal(shares(relations.determines(["k"], "v")), [1, 0, 1, np.nan])
    gone = relations.missing_where("b", "a > 2", lambda f: f["a"] > 2)
    np.testing.assert_array_equal(shares(gone), [1, 1, 0, 1])
    kept = judges.kept(judges.Rows(train, train, rows, 0), (relations.linear("b", {"a": 2}),))
    assert kept == pytest.approx(2 / 3)


def test_a_time_repeats_its_month():
    rows = pd.DataFrame({"t": pd.to_datetime(["2020-03-01", "2020-04-01", None]), "m": [3, 5, 1]})
    np.testing.assert_array_equal(relations.moment("t", "m", "month").kept(rows, rows), [1, 0, np.nan])


def test_holes_are_made_at_the_share_that_was_asked_and_leave_something_in_every_row(real):
    truth = real[1]
    asked = judges.holes_in(truth, 0.3, seed=0)
    made = (asked.isna() & truth.notna()).to_numpy()
    assert made.sum() / truth.notna().to_numpy().sum() == pytest.approx(0.3, abs=0.03)
    assert asked.notna().any(axis=1).all()
    one = judges.holes_in(truth[["a"]], 0.5, seed=0)
    assert one["a"].notna().all()


def test_errors_of_known_answers(real):
    train, truth = real
    asked = judges.holes_in(truth, 0.3, seed=0)
    assert judges.imputation(train, truth, asked, truth) == (0.0, 0.0, 0.0)
    means = asked.fillna({name: train[name].mean() for name in ("a", "b", "price", "late", "later")})
    means["group"] = means["group"].fillna("rare")
    off, ranks, wrong = judges.imputation(train, truth, asked, means)
    assert off == pytest.approx(1.0, abs=0.08)
    assert ranks == pytest.approx(1.0, abs=0.15)
    gaps = truth["group"][asked["group"].isna()]
    assert wrong == pytest.approx((gaps != "rare").mean())
    # What stays missing is wrong, or counts as the mean.
    still = judges.imputation(train, truth, asked, asked)
    assert still[0] == pytest.approx(off)
    assert still[2] == 1.0


def test_classes_of_numbers_are_predicted_as_classes():
    def frame(seed):
        random = np.random.default_rng(seed)
        x = random.standard_normal(500)
        return pd.DataFrame({"x": x, "y": (x + 0.1 * random.standard_normal(500) > 0).astype(int)})

    synthetic = frame(2).astype({"y": float})
    synthetic["y"] += 0.2  # as if it were a number
    rows = judges.Rows(frame(0), frame(1), synthetic, seed=0)
    assert judges.utility(rows, "y", "class")["utility"] == pytest.approx(1, abs=0.05)


def test_a_view_knows_new_categories_and_times():
    train = pd.DataFrame(
        {"k": pd.Categorical(["a", "a", "b"]), "t": pd.to_datetime(["1970-01-02", None, "1970-01-03"])}
    )
    view = View(train)
    rows = pd.DataFrame({"k": ["b", "new", None], "t": pd.to_datetime(["1970-01-02 12:00"] * 3)})
    np.testing.assert_array_equal(view.encode(rows), [[1, 1.5], [2, 1.5], [np.nan, 1.5]])
    np.testing.assert_array_equal(view.bins(view.encode(rows))[:, 0], [1, 2, 3])
    np.testing.assert_array_equal(view.features(view.encode(rows))[0, 2:], [1, 0.5])


def test_trees_keep_what_is_exact_and_where_values_are_missing():
    random = np.random.default_rng(0)
    n = 1_500
    a = random.integers(0, 10, n)
    table = pd.DataFrame(
        {
            "a": a,
            "twice": 2.0 * a,
            "group": pd.Categorical(np.where(a < 5, "low", "high")),
            "later": np.where(a < 5, np.nan, a + random.random(n)),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(a, unit="D"),
        }
    )
    rows = SequentialTrees(random_state=0).fit(table).sample(2_000, random_state=1)
    assert (rows.dtypes == table.dtypes).all()
    assert (rows["twice"] == 2 * rows["a"]).all()
    assert ((rows["group"] == "low") == (rows["a"] < 5)).all()
    assert (rows["later"].isna() == (rows["a"] < 5)).all()
    assert (rows["when"].dt.day == rows["a"] + 1).all()
    shares = rows["a"].value_counts(normalize=True).sort_index() - pd.Series(a).value_counts(normalize=True)
    assert shares.abs().max() < 0.03


@pytest.mark.slow
def test_trees_follow_the_law_that_they_were_grown_on(real):
    train, _ = real
    rows = SequentialTrees(random_state=0).fit(train).sample(1_000, random_state=1)
    marks = _judge(real, rows)
    assert marks["told_apart"] < 0.7
    assert marks["pairs"] < 1.5
    assert marks["missing_related"] < 2.0
    assert set(rows["price"]) <= set(train["price"])


def test_the_half_of_a_table_is_that_of_its_name():
    assert half_of("flchain") == "tuning"
    assert half_of("diamonds") == "held-back"
    assert len(TABLES) >= 24
    assert min(sum(table.half == half for table in TABLES.values()) for half in ("tuning", "held-back")) >= 10


def test_a_smoothed_table_has_no_heaps_and_keeps_what_is_counted():
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "tenths": random.integers(0, 10, 400) / 10,
            "uneven": random.choice([0.0, 1.0, 5.0], 400),
            "count": random.integers(0, 5, 400),
            "late": np.where(random.random(400) < 0.3, np.nan, 1.5),
            "when": pd.Timestamp("2020-01-01"),
            "exact": random.standard_normal(400),
        }
    )
    table.loc[0, "exact"] = np.nan
    made = smoothed(table)
    assert list(made) == ["tenths", "uneven", "count", "exact"]
    assert len(made) == 399
    assert made["tenths"].nunique() == made["uneven"].nunique() == 399
    assert (np.round(made["tenths"], 1) - table["tenths"][1:].to_numpy()).abs().max() < 1e-9
    cells_of = made["uneven"].groupby(table["uneven"][1:].to_numpy())
    np.testing.assert_allclose(cells_of.min(), [-0.5, 0.5, 3.0], atol=0.1)
    np.testing.assert_allclose(cells_of.max(), [0.5, 3.0, 7.0], atol=0.1)
    assert (made["count"] == table["count"][1:].to_numpy()).all()
    assert (made["exact"] == table["exact"][1:].to_numpy()).all()


@pytest.fixture
def a_table(monkeypatch, real):
    table = Table("law", "drawn here", lambda: real[0], "b", "number", "one law")
    monkeypatch.setitem(TABLES, "law", table)
    monkeypatch.setattr(cells, "frame_of", lambda name: pd.concat(real, ignore_index=True))


@pytest.mark.slow
@pytest.mark.usefixtures("a_table")
def test_a_cell_is_run_once_and_its_record_is_kept(tmp_path, capsys):
    plan, path = cells.Plan(rows=500, asked=50, foreign=False), tmp_path / "results.jsonl"
    wanted = [("memory", "", "law", 0), ("means", "", "law", 0)]
    tables_script.run(wanted, plan, path)
    memory, means = tables_script.read(path)
    assert memory["error"] is None
    assert means["error"] is None
    assert memory["marks"]["copies"] == 1.0
    assert memory["marks"]["told_apart"] == pytest.approx(0.5, abs=0.07)
    assert means["marks"]["ranks_30"] == pytest.approx(1, abs=0.3)
    assert set(means["seconds_of"]) == {"fit", "impute_10", "impute_30"}
    assert capsys.readouterr().out.count("/2 ") == 2
    done = {cells.key_of(one) for one in (memory, means) if cells.is_finished(one)}
    assert done == {(*one[:3], "rows", 0, 500, judges.VERSION) for one in wanted}


@pytest.mark.usefixtures("a_table")
def test_a_contestant_without_its_environment_is_a_record_that_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(cells, "ENVIRONMENTS", tmp_path)
    record = cells.measure("arf", "", "law", 0, cells.Plan(rows=500))
    assert "arfpy is not installed" in record["error"]
    assert not cells.is_finished(record)


def test_a_summary_has_medians_over_tables_and_counts_who_is_better():
    def record(contestant, table, value, seed=0):
        return {
            "contestant": contestant,
            "label": "",
            "table": table,
            "half": "tuning",
            "seed": seed,
            "rows": 100,
            "error": None,
            "marks": {"told_apart": value},
        }

    records = [record("ours", name, value) for name, value in zip("abc", (0.6, 0.7, 0.9), strict=True)]
    records += [record("ours", "a", 0.62, seed=1), record("ours", "a", 0.64, seed=2)]
    records += [record("trees", name, 0.65) for name in "abc"]
    text = summary.summarise(records)
    row = next(line for line in text.splitlines() if line.startswith("| told apart"))
    assert row.startswith("| told apart by trees, ROC area (0.5) | 3 | 0.700 (0.620 to 0.900) | 0.650 (0.650")
    assert "1 of 3: -0.050" in text
    assert summary.by_table(records, "told_apart").splitlines()[-3:] == [
        "| a | 0.620 | 0.650 |",
        "| b | 0.700 | 0.650 |",
        "| c | 0.900 | 0.650 |",
    ]
