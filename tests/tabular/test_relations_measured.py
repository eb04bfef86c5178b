"""Are relations found that hold, none that do not, and is it seen which are broken?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from diffuscope.metrics.tabular.dependencies import _is_function
from diffuscope.metrics.tabular.relations import find_rules, measure_relations
from diffuscope.metrics.tabular.tables import read_tables


def rules(frame):
    return {rule.words: rule.kind for rule in find_rules(read_tables({"training": frame})[0])}


def draw(seed, n=600):
    """Return columns that have nothing to do with each other."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": random.gamma(3, 20, n).round(2),
            "b": random.normal(50, 20, n).round(1),
            "c": random.integers(1, 90, n),
            "d": random.normal(size=n),
            "e": random.choice(list("wxyz"), n),
            "f": random.integers(1, 6, n),
            "g": random.random(n) < 0.3,
        }
    )


OF_LOANS = {
    "'total' = 'amount' + 'fee'": "equation",
    "'job' and 'code' determine each other": "function",
    "'employer' is missing exactly where 'job' is": "missing",
    "'partner_income' is missing exactly where 'partner_age' is": "missing",
    "'start' ≤ 'end'": "order",
    "'repaid' ≤ 'total'": "order",
}


def test_all_relations_of_the_loans_are_found_and_no_others(of_loans, as_splits):
    found = measure_relations(as_splits(*of_loans))[1].found
    said = {
        r.words.replace(" retired or student", "").replace(" student or retired", ""): r.kind for r in found
    }
    assert said == OF_LOANS


def test_perfect_rows_keep_all_that_real_rows_keep(loans, as_splits):
    for seed in range(3):
        metrics, found = measure_relations(as_splits(*(loans(800, 10 * seed + k) for k in range(3))))
        assert not found.off
        assert all(r.synthetic == r.real == 1 for r in found.found)
        kept = metrics["relations_kept"]
        assert (kept.value, kept.floor, kept.ratio) == (1, 1, 1)
        assert "keep them as held-out rows do" in found.line()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (("fee",), "'total' = 'amount' + 'fee'"),
        (("code",), "'job' and 'code' determine each other"),
        (("partner_age",), "'partner_income' is missing exactly where 'partner_age' is"),
        (("employer",), "'employer' is missing exactly where 'job' is"),
        (("end",), "'start' ≤ 'end'"),
    ],
)
def test_the_relation_that_was_broken_is_named_and_no_other(of_loans, as_splits, shuffle, columns, words):
    train, held_out, synthetic = of_loans
    metrics, found = measure_relations(as_splits(train, held_out, shuffle(synthetic, *columns)))
    assert len(found.broken) == 1
    assert found.broken[0].words.startswith(words)
    assert found.broken[0] is found.found[0]
    assert found.broken[0].synthetic < 0.95
    assert metrics["relations_kept"].high < 1
    assert words in found.line()


def test_shares_are_those_of_the_rows(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    wrong = synthetic.copy()
    wrong.loc[wrong.index[:300], "total"] += 1
    found = measure_relations(as_splits(train, held_out, wrong))[1].found[0]
    assert (found.words, found.real, found.synthetic) == ("'total' = 'amount' + 'fee'", 1.0, 0.8)


def test_independent_columns_have_no_relations():
    for seed in range(12):
        assert rules(draw(seed, 300)) == {}


@pytest.mark.parametrize(
    ("words", "column"),
    [
        ("'z' = 'a'", lambda t: t["a"]),
        ("'z' = 1.8 × 'b' + 32", lambda t: (1.8 * t["b"] + 32).round(1)),
        ("'z' = 0.4536 × 'a'", lambda t: 0.4536 * t["a"]),
        ("'z' = 'a' + 'b'", lambda t: (t["a"] + t["b"]).round(2)),
        ("'a' = 'b' + 'z'", lambda t: (t["a"] - t["b"]).round(2)),
        ("'z' = 'a' × 'c'", lambda t: (t["a"] * t["c"]).round(2)),
        ("'z' = 'a' / 'c'", lambda t: (t["a"] / t["c"]).round(2)),
        ("'a' = 'd' × 'z'", lambda t: t["a"] / t["d"]),
        ("'z' = 'a' + 'b' + 'c'", lambda t: (t["a"] + t["b"] + t["c"]).round(2)),
    ],
)
def test_what_can_be_calculated_is_found(words, column):
    frame = draw(0)
    frame["z"] = column(frame)
    found = rules(frame)
    assert found.pop(words) == "equation"
    assert set(found) <= {"'a' ≤ 'z'", "'c' ≤ 'z'"}  # of a product or sum of positive numbers


def test_sums_of_many_columns_are_found_with_their_factors_and_signs():
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.gamma(2, 100, (800, 6)).round(2), columns=list("abcdef"))
    five = frame.assign(net=(frame["a"] + frame["b"] - frame["c"] - frame["d"]).round(2))
    assert set(rules(five)) <= {"'a' = 'c' + 'd' + 'net' − 'b'", "'net' = 'a' + 'b' − 'c' − 'd'"}
    assert len(rules(five)) == 1
    cost = frame.assign(cost=(2.5 * frame["a"] + 0.8 * frame["b"] + frame["c"] + frame["d"]).round(3))
    assert next(iter(rules(cost))) == "'cost' = 2.5 × 'a' + 0.8 × 'b' + 'c' + 'd'"
    rare = frame.assign(fine=np.where(random.random(800) < 0.02, 7.5, 0.0))  # a term that hardly matters
    rare["paid"] = (rare["a"] + rare["b"] + rare["fine"]).round(2)
    assert next(iter(rules(rare))) == "'paid' = 'a' + 'b' + 'fine'"


def test_a_time_of_day_is_the_sum_of_its_parts():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"hour": random.integers(0, 24, 500), "minute": random.integers(0, 60, 500)})
    frame["clock"] = 100 * frame["hour"] + frame["minute"]
    assert rules(frame)["'clock' = 100 × 'hour' + 'minute'"] == "equation"


def test_a_rounded_copy_is_found_where_nothing_says_more():
    frame = draw(5)
    frame["inches"] = (frame["b"] / 2.54).round()
    found = rules(frame)
    assert len(found) == 1
    assert next(iter(found)).startswith("'inches' = 0.39")


def test_a_sum_that_is_off_in_one_row_is_no_relation():
    frame = draw(0)
    frame["z"] = (frame["a"] + frame["b"]).round(2)
    frame.loc[17, "z"] += 0.5
    assert "'z' = 'a' + 'b'" not in rules(frame)


def test_a_duration_is_the_difference_of_two_days(of_loans):
    frame = of_loans[0][["start", "end", "amount"]]
    frame = frame.assign(days=(frame["end"] - frame["start"]).dt.days)
    assert rules(frame)["'end' = 'start' + 'days'"] == "equation"


def test_functions_of_one_column_are_found():
    frame = draw(1)
    frame["region"] = frame["e"].map({"w": "north", "x": "north", "y": "south", "z": "south"})
    frame["grade"] = pd.cut(frame["d"], [-9, -0.8, 0.4, 9], labels=["low", "mid", "high"]).astype(str)
    frame["adult"] = frame["c"] >= 18
    found = rules(frame)
    assert found == {
        "'region' is a function of 'e'": "function",
        "'grade' is given by bands of 'd'": "function",
        "'adult' is True exactly where 'c' is above 17": "function",
    }


def test_a_chain_of_functions_counts_each_link_once():
    frame = draw(2)
    street = np.random.default_rng(0).integers(0, 24, len(frame))
    frame["street"], frame["city"] = [f"s{k}" for k in street], [f"c{k}" for k in street // 4]
    frame["country"] = [f"l{k}" for k in street // 12]
    assert set(rules(frame)) == {"'city' is a function of 'street'", "'country' is a function of 'city'"}


def test_what_decides_on_missing_values_is_found():
    frame = draw(3)
    frame["d"] = frame["d"].where(frame["c"] > 17)
    frame["a"] = frame["a"].where(frame["g"])
    assert rules(frame) == {
        "'d' has a value exactly where 'c' is above 17": "missing",
        "'a' is missing exactly where 'g' is False": "missing",
    }


def test_synthetic_rows_are_judged_by_values_and_bands(as_splits):
    def with_bands(seed):
        frame = draw(seed)[["c", "e", "g"]]
        return frame.assign(
            old=frame["c"] > 60, group=frame["e"].map({"w": "p", "x": "p", "y": "q", "z": "q"})
        )

    made = with_bands(3)
    made.loc[made.index[:60], "old"] = ~made.loc[made.index[:60], "old"]
    made.loc[made.index[:120], "e"] = "new"
    found = {r.words: r for r in measure_relations(as_splits(with_bands(1), with_bands(2), made))[1].found}
    assert found["'old' is True exactly where 'c' is above 60"].synthetic == pytest.approx(0.9)
    assert found["'group' is a function of 'e'"].synthetic == pytest.approx(0.8)


def test_an_order_that_holds_of_far_apart_columns_is_no_relation():
    frame = draw(4)
    frame["income"] = 1_000 + 50_000 * np.random.default_rng(0).random(len(frame))
    assert rules(frame) == {}


def test_orders_that_follow_from_others_are_left_out():
    random = np.random.default_rng(0)
    x = np.sort(random.normal(size=(500, 3)).round(3), axis=1)
    frame = pd.DataFrame(x, columns=["low", "middle", "high"])
    assert set(rules(frame)) == {"'low' ≤ 'middle'", "'middle' ≤ 'high'"}


def test_a_relation_that_held_out_rows_do_not_keep_is_none(of_loans, as_splits, shuffle):
    train, held_out, synthetic = of_loans
    found = measure_relations(as_splits(train, shuffle(held_out, "code"), synthetic))[1]
    assert not [r for r in found.found if "code" in r.words]


def test_missing_values_break_no_relation(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    holed = synthetic.assign(fee=np.nan)
    found = measure_relations(as_splits(train, held_out, holed))[1]
    total = next(r for r in found.found if r.kind == "equation")
    assert (total.synthetic, total.broken) == (None, False)
    json.dumps(found.to_json(), allow_nan=False)


def test_scales_on_which_most_columns_agree_have_no_relations():
    random = np.random.default_rng(0)
    level = random.normal(size=(700, 1))
    answers = np.clip((3 + level + 0.7 * random.normal(size=(700, 40))).round(), 1, 5)
    assert rules(pd.DataFrame(answers, columns=[f"q{k}" for k in range(40)])) == {}


def test_what_few_rows_agree_on_is_no_relation():
    frame = draw(6, 200)[["d"]]
    rare = np.zeros(200, dtype=int)
    rare[[20, 120]] = [1, 2]
    assert rules(frame.assign(one=rare, other=rare)) == {}
    often = np.arange(200) % 3
    assert rules(frame.assign(one=often, other=often)) == {"'other' = 'one'": "equation"}


def test_a_function_holds_in_every_row_not_only_in_neighbouring_ones():
    a, b = np.arange(400) % 20, np.arange(400) % 20 % 3
    assert _is_function(a, b, tried=100)
    b[17] = 7
    assert not _is_function(a, b, tried=100)
    assert not _is_function(np.arange(400), np.arange(400) % 3, tried=100)  # no value comes again
    assert not _is_function(a[:40], b[:40] * 0 + (np.arange(40) == 3), tried=100)
