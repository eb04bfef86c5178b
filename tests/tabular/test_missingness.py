"""Is it seen where, together with what and beside what values are missing?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from diffuscope.metrics.tabular.missingness import measure_missing


def test_of_perfect_rows_nothing_is_named_more_often_than_it_says(loans, as_splits):
    named = 0
    for seed in range(10):
        frames = [loans(800, 10 * seed + k) for k in range(3)]
        metrics, found = measure_missing(as_splits(*frames))
        named += found.off
        assert set(metrics) == {"missing_rates", "missing_together", "missing_beside"}
        assert all(m.low < 1.05 for m in metrics.values())
        assert found.off or "where and as often as" in found.line()
    assert named <= 1  # of 10, where 0.3 are expected


def test_rates_that_are_off_are_named_with_both_shares(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    filled = synthetic.assign(income=synthetic["income"].fillna(30_000))
    metrics, found = measure_missing(as_splits(train, held_out, filled))
    worst = found.rates[0]
    assert (worst.column, worst.synthetic, worst.off) == ("income", 0.0, True)
    assert worst.real == pytest.approx(pd.concat([train, held_out])["income"].isna().mean())
    assert [rate.column for rate in found.rates if rate.off] == ["income"]
    assert metrics["missing_rates"].low > 1
    assert "'income' is missing in 0%, not " in found.line()


def test_columns_that_are_no_longer_missing_together_are_named(of_loans, as_splits, shuffle):
    train, held_out, synthetic = of_loans
    metrics, found = measure_missing(as_splits(train, held_out, shuffle(synthetic, "partner_age")))
    assert [(pair.one, pair.other) for pair in found.together] == [("partner_age", "partner_income")]
    pair = found.together[0]
    assert pair.real == pytest.approx(0.7, abs=0.05)
    assert pair.synthetic == pytest.approx(0.49, abs=0.05)
    assert not any(rate.off for rate in found.rates)
    assert metrics["missing_together"].low > 1
    assert metrics["missing_rates"].low < 1.05


def test_values_beside_which_another_is_missing_are_named(of_loans, as_splits, shuffle):
    train, held_out, synthetic = of_loans
    metrics, found = measure_missing(as_splits(train, held_out, shuffle(synthetic, "employer")))
    assert {b.column for b in found.beside} == {"employer"}
    assert {b.other for b in found.beside} == {"job", "code"}
    by_job = next(b for b in found.beside if b.other == "job")
    assert by_job.where == "'job' is employed"
    assert by_job.real == 0
    assert by_job.synthetic == pytest.approx(0.3, abs=0.05)
    assert metrics["missing_beside"].low > 1
    assert found.together == ()


def test_a_table_without_missing_values_has_none(of_loans, as_splits):
    assert measure_missing(as_splits(*(frame[["job", "amount"]] for frame in of_loans))) is None


def test_holes_that_no_real_row_has_are_named(of_loans, as_splits):
    train, held_out, synthetic = (frame[["job", "amount"]] for frame in of_loans)
    holed = synthetic.assign(amount=synthetic["amount"].where(np.arange(len(synthetic)) % 10 > 0))
    metrics, found = measure_missing(as_splits(train, held_out, holed))
    assert [(rate.column, rate.real, rate.off) for rate in found.rates] == [("amount", 0.0, True)]
    assert found.rates[0].synthetic == pytest.approx(0.1)
    assert np.isinf(metrics["missing_rates"].ratio)


def test_what_is_missing_at_random_is_not_named_beside_a_column_that_is_off(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    moved = synthetic.assign(amount=2 * synthetic["amount"])
    assert measure_missing(as_splits(train, held_out, moved))[1].beside == ()


def test_plain_data_is_json_whatever_the_names(of_loans, as_splits):
    frames = [frame.set_axis(range(frame.shape[1]), axis=1) for frame in of_loans]
    frames[2] = frames[2].assign(**{"x": 1}).drop(columns="x")
    frames[2][10] = frames[2][10].sample(frac=1, random_state=0).to_numpy()
    plain = json.loads(json.dumps(measure_missing(as_splits(*frames))[1].to_json(), allow_nan=False))
    assert plain["together"][0]["one"] == "10"
    assert {entry["column"] for entry in plain["rates"]} == {"2", "9", "10", "11"}
