"""Are the columns named that give synthetic rows away, and no others?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from diffuscope.metrics.tabular import measure_table
from diffuscope.metrics.tabular.detection import _area, _bins, tell_apart


def detect(as_splits, frames):
    return tell_apart(as_splits(*frames))[2]


@pytest.mark.slow
def test_of_perfect_rows_no_column_is_named(of_loans, as_splits):
    found = detect(as_splits, of_loans)
    assert not found.off
    assert found.giveaways() == []
    assert found.area.low < 1
    assert "not told from real ones" in found.line()


@pytest.mark.slow
def test_a_column_whose_values_are_off_is_named_by_itself(of_loans, as_splits):
    train, held_out, synthetic = of_loans
    wrong = synthetic.assign(income=1.3 * synthetic["income"])
    found = detect(as_splits, (train, held_out, wrong))
    assert found.giveaways() == ["income"]
    column = found.columns["income"]
    assert column.by_itself
    assert column.alone.low > 1.05
    assert column.alone.value > 0.6
    assert "'income' (by itself 0." in found.line()
    assert not any(other.by_itself for name, other in found.columns.items() if name != "income")


@pytest.fixture(scope="module")
def of_shuffled(of_loans, as_splits, shuffle):
    """What tells rows of which a column is shuffled."""
    train, held_out, synthetic = of_loans
    return detect(as_splits, (train, held_out, shuffle(synthetic, "code")))


@pytest.mark.slow
def test_columns_that_do_not_go_together_are_named_though_their_values_are_right(
    of_shuffled,
):
    found = of_shuffled
    assert set(found.giveaways(2)) == {"job", "code"}
    for name in ("job", "code"):
        assert found.columns[name].with_others
        assert not found.columns[name].by_itself
        assert found.columns[name].fall > 5 * found.columns[name].real_fall
    assert "'code' (shuffled −0." in found.line()


def test_plain_data_says_which(of_shuffled):
    plain = of_shuffled.to_json()
    assert set(plain["given_away_by"][:2]) == {"job", "code"}
    assert plain["columns"]["code"]["gives_away"]
    assert not plain["columns"]["end"]["gives_away"]
    assert plain["area"]["value"] > 0.7


@pytest.mark.slow
def test_the_column_of_a_wide_table_is_found(as_splits):
    def wide(n, seed):
        x = np.random.default_rng(seed).normal(size=(n, 50))
        return pd.DataFrame(x.round(3), columns=[f"c{k}" for k in range(50)])

    made = wide(300, 3)
    made["c20"] += 1.5
    assert detect(as_splits, (wide(300, 1), wide(300, 2), made)).giveaways() == ["c20"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["income", pytest.param("employer", marks=pytest.mark.slow)])
def test_missing_values_alone_give_a_column_away(of_loans, as_splits, name):
    train, held_out, synthetic = of_loans
    filled = synthetic.assign(**{name: synthetic[name].fillna(train[name].median())})
    assert name in detect(as_splits, (train, held_out, filled)).giveaways(2)


def test_the_area_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    truth = random.random(300) < 0.3
    chance = (random.random(300) + truth * 0.4).round(1)  # with ties
    assert _area(chance, truth) == pytest.approx(roc_auc_score(truth, chance))
    assert _area(np.full(300, 0.5), truth) == 0.5


def test_frequent_and_missing_values_have_bins_of_their_own():
    codes = np.concatenate([np.full(300, 7), np.full(100, -1), np.arange(600) % 50 + 20])
    bins = _bins(codes, 100)
    assert len(bins) == 101
    assert (bins == bins[7]).sum() == 1
    assert (bins == bins[-1]).sum() == 1
    seldom = bins[20:70]
    assert (np.diff(seldom) >= 0).all() or len(set(seldom.tolist())) == 50  # in order, or each its own


@pytest.mark.slow
def test_a_column_that_is_known_in_hardly_any_row_is_measured() -> None:
    random = np.random.default_rng(0)

    def rows(n: int) -> pd.DataFrame:
        frame = pd.DataFrame({"x": random.normal(size=n), "y": random.choice(["a", "b"], n)})
        return frame.assign(seldom=np.where(np.arange(n) < 3, 1.5 + np.arange(n), np.nan))

    quality = measure_table(rows(400), rows(200), rows(400), "y", 0)
    assert np.isfinite(quality.metrics["classifier_auc"].value)
