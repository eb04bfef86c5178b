"""Does one call say truly how like real rows synthetic ones are, of any table?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from diffuscope.errors import InputError
from diffuscope.metrics.tabular import TABLE_METRICS, measure_table
from diffuscope.metrics.tabular.marginals import column_distances
from diffuscope.metrics.tabular.splits import Splits, relate_few, relate_parts
from diffuscope.metrics.tabular.tables import read_tables


@pytest.fixture(scope="module")
def perfect(three):
    return measure_table(*three, target="ward")


@pytest.fixture(scope="module")
def faulty(three):
    train, held_out, synthetic = three
    wrong = synthetic.assign(
        age=synthetic["age"] + 12,
        lab=synthetic["lab"].fillna(5.0),
        pressure=synthetic["pressure"].sample(frac=1, random_state=0).to_numpy(),
        sex="unknown",
    )
    return measure_table(train, held_out, wrong, target="pressure")


@pytest.mark.slow
def test_perfect_rows_are_as_good_as_real_ones_by_every_metric(perfect):
    # One column has missing values, and none is a function of another.
    absent = {"target_r2", "missing_together", "relations_kept"}
    assert set(perfect.metrics) == set(TABLE_METRICS) - absent
    assert {perfect.off(name) for name in perfect.metrics} == {"as real"}
    assert perfect.left_out == {}
    assert perfect.worst_columns() == []
    said = " ".join(perfect.verdict())
    assert "no better than chance" in said
    assert "No sign that training rows were copied" in said


def test_faults_are_found_where_they_are(faulty):
    assert faulty.worst_columns()[0] == "sex"
    assert set(faulty.worst_columns()) == {"sex", "lab", "age"}
    for name in ("marginals", "associations", "classifier_auc", "target_r2"):
        assert faulty.off(name) == "worse", name
    assert faulty.columns["sex"].new_values == 1
    assert faulty.columns["lab"].synthetic_missing == 0
    assert faulty.columns["lab"].missing > 0.2
    said = " ".join(faulty.verdict())
    assert "far better than chance" in said
    assert "'sex', 'lab' and 'age'" in said or "'sex', 'age' and 'lab'" in said


@pytest.mark.slow
def test_training_rows_handed_out_again_are_called_copies(three):
    train, held_out, _ = three
    quality = measure_table(train, held_out, train.sample(frac=1, random_state=0))
    assert quality.privacy.copies == 1
    assert quality.off("distance_to_training") == "copied"
    assert "100.0% of the rows are copies" in quality.verdict()[-1]
    assert quality.off("marginals") == "as real"  # which is why privacy is measured


def test_the_interval_of_perfect_rows_holds_one(patients):
    """Of 95% intervals, over fresh worlds; and it is not so wide that it says nothing."""
    held, widths = 0, []
    for seed in range(0, 60, 3):
        tables = read_tables({k: patients(n, 50 + seed + i) for i, (k, n) in enumerate(SIZES.items())})
        values, floors, factor = Splits(tables[2], tables[0], tables[1], seed).compare(column_distances)
        measured = relate_parts(values.mean(axis=1), floors.mean(axis=1), factor)
        held += measured.low <= 1 <= measured.high
        widths.append(measured.high - measured.low)
    assert held >= 17  # of 20
    assert np.mean(widths) < 0.6


SIZES = {"training": 800, "held-out": 200, "synthetic": 800}


@pytest.mark.slow
def test_without_held_out_rows_it_says_what_that_costs(three):
    train, _, synthetic = three
    quality = measure_table(train, None, synthetic)
    assert quality.privacy is None
    assert set(quality.left_out) == {"closer_to_training", "distance_to_training"}
    assert "memorised its training rows would look perfect" in quality.certainty
    assert quality.off("marginals") == "as real"
    assert measure_table(train, None, train).off("marginals") == "as real"
    assert set(quality.rows) == {"train", "synthetic"}


@pytest.mark.slow
def test_the_same_call_gives_the_same_numbers_and_another_seed_others(three):
    train, held_out, synthetic = (frame[["age", "sex"]] for frame in three)
    first = measure_table(train, held_out, synthetic).to_json()
    assert measure_table(train, held_out, synthetic).to_json() == first
    assert measure_table(train, held_out, synthetic, seed=1).to_json() != first


@pytest.mark.slow
def test_plain_data_is_json_whatever_the_table(little):
    random = np.random.default_rng(0)

    def draw(n):
        return pd.DataFrame(
            {
                0: random.normal(size=n),
                1: ["always"] * n,
                2: [None] * n,
                3: random.integers(0, 2, n),
                4: [f"id {k}" for k in random.integers(10**9, size=n)],
            }
        )

    quality = measure_table(draw(80), draw(40), draw(80).assign(**{"1": 0}).drop(columns="1"), target=3)
    plain = json.loads(json.dumps(quality.to_json(), allow_nan=False))
    assert list(plain["columns"]) == ["0", "1", "2", "3", "4"]
    assert quality.columns[1].distance.ratio == quality.columns[2].distance.ratio == 1
    made = draw(80)
    made[1] = "never"
    plain = measure_table(draw(80), draw(40), made).to_json()
    assert plain["columns"]["1"]["distance"]["ratio"] is None  # without end
    json.dumps(plain, allow_nan=False)


def test_a_column_on_its_own_can_be_measured(three):
    quality = measure_table(*(frame[["age"]] for frame in three), target="age")
    assert quality.associations is None
    assert "two columns" in quality.left_out["associations"]
    assert "predict" in quality.left_out["target_r2"]
    assert {"marginals", "classifier_auc", "closer_to_training"} <= set(quality.metrics)


def test_small_tables_lose_only_what_needs_more_rows(patients):
    quality = measure_table(patients(40, 1), patients(20, 2), patients(40, 3), target="sex")
    assert set(quality.left_out) == {
        "classifier_accuracy", "classifier_auc", "missing_rates", "missing_together", "missing_beside",
        "heap_rates", "heap_share", "relations_kept", "target_accuracy", "target_auc",
    }  # fmt: skip
    assert (
        quality.told_apart
        is quality.detection
        is quality.missing
        is quality.heaps
        is quality.relations
        is None
    )
    assert quality.lines() == quality.troubles() == []
    assert "It needs at least 40 rows in each table; the smallest has 20." in " ".join(str(quality).split())
    assert str(quality)


def test_the_report_names_every_column_and_metric(perfect, faulty):
    for quality in (perfect, faulty):
        text = str(quality)
        for name in quality.columns:
            assert str(name) in text
        for name in quality.metrics:
            assert TABLE_METRICS[name].title in text
        assert max(map(len, text.splitlines())) <= 110


def test_names_that_look_like_markup_are_left_as_they_are(three):
    frames = [frame[["age", "sex"]].rename(columns={"age": "[red]age[/red]"}) for frame in three]
    assert "[red]age[/red]" in str(measure_table(*frames))


@pytest.mark.slow
def test_other_kinds_of_tables_will_do(three):
    arrays = [frame[["age", "pressure"]].to_numpy() for frame in three]
    frames = [frame[["age", "pressure"]].astype(float) for frame in three]
    one, other = measure_table(*arrays), measure_table(*frames)
    assert one.metrics == other.metrics
    assert list(one.columns) == [0, 1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t, h, s: (t, h, s[:10]), "only 10 synthetic rows"),
        (lambda t, h, s: (t, h, s.drop(columns="age")), "missing: 'age'"),
        (lambda t, h, s: (t[:0], h, s), "no rows"),
    ],
)
def test_tables_that_cannot_be_measured_are_refused(three, change, said):
    with pytest.raises(InputError, match=said):
        measure_table(*change(*three))


def test_a_target_that_is_not_there_is_refused(three):
    with pytest.raises(InputError, match="no column named 'cost'"):
        measure_table(*three, target="cost")


def test_the_interval_of_few_shares_holds_one_and_excludes_it_where_they_are_off():
    """Fieller's: of 95% intervals over fresh worlds, with floors of two or three rows."""
    held = excluded = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        frames = {
            name: pd.DataFrame({"x": random.random(n) < 0.1})
            for name, n in {"training": 600, "held-out": 300, "synthetic": 600}.items()
        }
        tables = read_tables(frames)
        wrong = read_tables({**frames, "synthetic": frames["synthetic"] | (random.random((600, 1)) < 0.3)})
        for made, count in ((tables, 0), (wrong, 1)):
            values, floors, factor = Splits(made[2], made[0], made[1], seed).compare(column_distances)
            measured = relate_few(values[:, 0], floors[:, 0], factor)
            assert measured.low <= measured.ratio <= measured.high
            if count:
                excluded += measured.low > 1
            else:
                held += measured.low <= 1 <= measured.high
    assert held >= 36
    assert excluded >= 36
