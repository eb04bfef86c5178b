"""Do trees tell apart what differs and nothing else, and learn what rows teach?"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from diffuscope.metrics.tabular.detection import tell_apart
from diffuscope.metrics.tabular.splits import Splits
from diffuscope.metrics.tabular.tables import read_tables
from diffuscope.metrics.tabular.trees import area_of_classes, train_on_synthetic


def splits(train, unseen, synthetic):
    one, other, made = read_tables({"training": train, "held-out": unseen, "synthetic": synthetic})
    return Splits(made, one, other)


def test_rows_of_the_same_law_are_not_told_apart(three):
    train, unseen, synthetic = three
    metrics, test, _ = tell_apart(splits(train, unseen, synthetic))
    assert test.low < 0.5 < test.high
    assert test.p_value > 0.05
    for measured in metrics.values():
        assert measured.low < 1 < measured.high


@pytest.mark.slow
def test_columns_that_were_drawn_each_for_itself_are_told_apart(three):
    train, unseen, synthetic = three
    random = np.random.default_rng(0)
    loose = synthetic.apply(lambda column: column.sample(frac=1, random_state=random).to_numpy())
    metrics, test, _ = tell_apart(splits(train, unseen, loose))
    assert test.p_value < 1e-4
    assert test.low <= test.accuracy <= test.high
    assert metrics["classifier_auc"].low > 1.1
    assert metrics["classifier_accuracy"].value == test.accuracy


@pytest.mark.slow
@pytest.mark.parametrize("what", [pytest.param("a category", marks=pytest.mark.slow), "missing values"])
def test_a_single_fault_is_enough(three, what):
    train, unseen, synthetic = three
    wrong = synthetic.copy()
    if what == "a category":
        wrong["ward"] = wrong["ward"].replace("geriatrics", "cardiology")
    else:
        wrong["lab"] = wrong["lab"].fillna(train["lab"].median())
    assert tell_apart(splits(train, unseen, wrong))[1].p_value < 0.01


@pytest.mark.slow
def test_the_p_value_is_not_small_more_often_than_it_says(patients):
    small = 0
    for seed in range(6):
        rows = [patients(100, 3 * seed + k)[["age", "pressure", "ward"]] for k in range(3)]
        small += tell_apart(splits(*rows))[1].p_value < 0.1
    assert small <= 2  # of 6, where one or none is expected


def test_the_area_of_several_classes_is_that_of_scikit_learn():
    random = np.random.default_rng(0)
    truth = random.choice(4, 400, p=[0.5, 0.3, 0.15, 0.05])
    chances = random.dirichlet(np.ones(4), 400) + 0.3 * np.eye(4)[truth]
    chances /= chances.sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth, chances, multi_class="ovr", average="weighted")
    assert area_of_classes(chances, np.arange(4), truth) == pytest.approx(expected)
    unlearned = area_of_classes(chances[:, :3], np.arange(3), truth)
    own = roc_auc_score(truth == 3, chances[:, 3])
    assert unlearned == pytest.approx(expected + (0.5 - own) * (truth == 3).mean())


def test_learning_from_perfect_rows_is_as_good_as_from_real_ones(three):
    part = splits(*three)
    found = train_on_synthetic(part, part.train.place("pressure"))
    assert set(found) == {"target_r2"}
    assert found["target_r2"].floor > 0.15
    assert found["target_r2"].low < 1 < found["target_r2"].high


@pytest.mark.slow
def test_what_synthetic_rows_do_not_teach_is_missed(three):
    train, unseen, synthetic = three
    lost = synthetic.assign(pressure=synthetic["pressure"].sample(frac=1, random_state=0).to_numpy())
    part = splits(train, unseen, lost)
    assert train_on_synthetic(part, part.train.place("pressure"))["target_r2"].high < 0.5
    lost = synthetic.assign(ward=synthetic["ward"].sample(frac=1, random_state=0).to_numpy())
    found = train_on_synthetic(splits(train, unseen, lost), part.train.place("ward"))
    assert found["target_auc"].floor > 0.7
    assert found["target_auc"].value == pytest.approx(0.5, abs=0.08)
    assert found["target_auc"].high < 1


@pytest.mark.slow
def test_classes_are_judged_by_their_own_area_even_if_synthetic_rows_lack_one(three):
    train, unseen, synthetic = three
    without = synthetic[synthetic["ward"] != "surgery"]
    part = splits(train, unseen, without)
    found = train_on_synthetic(part, part.train.place("ward"))
    assert 0.5 < found["target_auc"].value < found["target_auc"].floor
    only = synthetic.assign(ward="surgery")
    found = train_on_synthetic(splits(train, unseen, only), part.train.place("ward"))
    assert found["target_auc"].value == pytest.approx(0.5)
    assert found["target_accuracy"].value == pytest.approx((unseen["ward"] == "surgery").mean(), abs=0.1)


@pytest.mark.slow
def test_an_integer_of_two_values_is_a_class_and_one_of_many_a_number(three):
    frames = [frame.assign(smoker=frame["smoker"].astype(int)) for frame in three]
    part = splits(*frames)
    assert "target_auc" in train_on_synthetic(part, part.train.place("smoker"))
    assert "target_r2" in train_on_synthetic(part, part.train.place("age"))


@pytest.mark.slow
def test_rows_without_a_target_are_left_out(three):
    part = splits(*three)
    found = train_on_synthetic(part, part.train.place("lab"))
    assert np.isfinite(found["target_r2"].ratio) if isinstance(found, dict) else "no R²" in found


@pytest.mark.slow
def test_a_target_that_cannot_be_learned_is_no_measure(three):
    frames = [f.assign(noise=np.random.default_rng(k).normal(size=len(f))) for k, f in enumerate(three)]
    part = splits(*frames)
    assert "no R² above 0" in train_on_synthetic(part, part.train.place("noise"))
    part = splits(*(frame.assign(noise=1.0) for frame in three))
    assert "the same in all real rows" in train_on_synthetic(part, part.train.place("noise"))
