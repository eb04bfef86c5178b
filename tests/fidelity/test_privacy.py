"""Are copies of training rows found, in whatever disguise, and honest rows left in peace?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from diffuscope.metrics.tabular.privacy import measure_privacy, points_of
from diffuscope.metrics.tabular.splits import Splits
from diffuscope.metrics.tabular.tables import read_tables


def splits(train, unseen, synthetic):
    one, other, made = read_tables({"training": train, "held-out": unseen, "synthetic": synthetic})
    return Splits(made, one, other)


def test_honest_rows_are_as_near_to_training_rows_as_unseen_ones_are(patients):
    metrics, privacy = measure_privacy(splits(patients(800, 1), patients(800, 2), patients(800, 3)))
    for measured in metrics.values():
        assert measured.low < 1 < measured.high
    assert metrics["closer_to_training"].floor == 0.5
    assert privacy.copies == privacy.unseen_copies == 0


def test_the_interval_of_honest_rows_holds_one_half(patients):
    held = 0
    for seed in range(0, 60, 3):
        rows = [patients(150, 100 + seed + k) for k in range(3)]
        _, privacy = measure_privacy(splits(*rows))
        held += privacy.low <= 0.5 <= privacy.high
    assert held >= 17  # of 20


def test_copies_are_counted(patients):
    train, unseen, fresh = patients(400, 1), patients(400, 2), patients(300, 3)
    made = pd.concat([fresh, train.sample(100, random_state=0)])
    metrics, privacy = measure_privacy(splits(train, unseen, made))
    assert privacy.copies == 0.25
    assert privacy.rows == 400
    assert privacy.too_many_copies
    assert metrics["closer_to_training"].low > 1


def test_more_copies_than_chance_makes_are_too_many_also_where_real_rows_agree_often(patients):
    train, unseen, made = (patients(n, k)[["age", "sex", "ward"]] for n, k in ((600, 1), (400, 2), (600, 3)))
    _, honest = measure_privacy(splits(train, unseen, made))
    assert 0.2 < honest.unseen_copies < 0.9
    assert not honest.too_many_copies
    assert measure_privacy(splits(train, unseen, pd.concat([made, train])))[1].too_many_copies


def test_rounding_errors_do_not_hide_copies(patients):
    train, unseen = patients(300, 1), patients(300, 2)
    made = train.assign(pressure=train["pressure"] * (1 + 1e-12), lab=train["lab"] + 1e-11)
    assert measure_privacy(splits(train, unseen, made))[1].copies == 1


def test_copies_with_a_little_noise_are_nearer_than_they_should_be(patients):
    train, unseen = patients(600, 1), patients(600, 2)
    random = np.random.default_rng(0)
    made = train.assign(
        pressure=train["pressure"] + random.normal(0, 0.5, 600),
        age=train["age"] + random.integers(-1, 2, 600),
    )
    metrics, privacy = measure_privacy(splits(train, unseen, made))
    assert privacy.copies == 0
    assert privacy.closer > 0.9
    assert metrics["distance_to_training"].high < 0.3


def test_rows_beside_the_data_are_far_from_training_rows(patients):
    train, unseen, made = patients(400, 1), patients(400, 2), patients(400, 3)
    loose = pd.DataFrame({c: made[c].sample(frac=1, random_state=j).to_numpy() for j, c in enumerate(made)})
    metrics, _ = measure_privacy(splits(train, unseen, loose))
    assert metrics["distance_to_training"].low > 1
    assert metrics["closer_to_training"].low < 1 < metrics["closer_to_training"].high


def test_in_a_table_of_few_categories_agreement_is_no_copying():
    def draw(n, seed):
        random = np.random.default_rng(seed)
        return pd.DataFrame({"a": random.choice(list("uvw"), n), "b": random.random(n) < 0.5})

    metrics, privacy = measure_privacy(splits(draw(300, 1), draw(300, 2), draw(300, 3)))
    assert set(metrics) == {"closer_to_training"}
    assert privacy.closer == 0.5
    assert privacy.copies == privacy.unseen_copies == 1
    assert not privacy.too_many_copies


def test_categories_and_gaps_are_at_a_distance_of_one():
    frame = pd.DataFrame({"c": list("abca"), "x": [1.0, 2.0, 3.0, np.nan], "y": [1.0, 1.0, 1.0, 1.0]})
    part = splits(frame, frame, frame)
    points = points_of(part, [part.train])[0]
    middle = points.copy()
    c = middle[:, :4]
    assert np.linalg.norm(c[0] - c[1]) == pytest.approx(1)
    assert np.linalg.norm(points[1] - points[3]) == pytest.approx(np.sqrt(2))  # another category, and a gap


def test_many_categories_are_at_a_distance_of_about_one():
    frame = pd.DataFrame({"c": [f"name {k}" for k in range(500)]})
    part = splits(frame, frame, frame)
    points = points_of(part, [part.train])[0]
    assert points.shape == (500, 32)
    apart = np.linalg.norm(points[:250] - points[250:], axis=1)
    assert apart.min() > 0.5
    assert apart.mean() == pytest.approx(1, abs=0.02)


def test_two_random_rows_are_at_a_mean_squared_distance_of_one_a_number():
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.lognormal(0, 3, 4000)})
    part = splits(frame, frame, frame)
    points = points_of(part, [part.train])[0]
    assert np.square(points[:2000] - points[2000:]).mean() == pytest.approx(1, abs=0.06)
