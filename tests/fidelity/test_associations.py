"""Are associations those of their formulas, without the bias of many categories?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, rankdata

from diffuscope.metrics.tabular.associations import Associations, Associator
from diffuscope.metrics.tabular.tables import read_tables


def associations(frame):
    table = read_tables({"training": pd.DataFrame(frame)})[0]
    associate = Associator(table)
    return associate.names, associate(table)


def difference(train, one, other):
    tables = read_tables({"training": train, "one": one, "other": other})
    return Associator(tables[0]).difference(*tables[1:])


def normal_scores(x):
    return norm.ppf((rankdata(x) - 0.5) / len(x))


def test_numbers_are_correlated_by_normal_scores(patients):
    frame = patients(400, 1)[["age", "pressure", "smoker"]]
    scores = np.stack([normal_scores(frame[name].astype(float)) for name in frame])
    np.testing.assert_allclose(associations(frame)[1], np.corrcoef(scores), atol=1e-12)


def test_missing_values_leave_the_rows_where_both_are_present(patients):
    frame = patients(400, 1)[["pressure", "lab"]]
    there = frame["lab"].notna().to_numpy()
    x, y = normal_scores(frame["pressure"])[there], normal_scores(frame["lab"][there])
    names, found = associations(frame)
    assert names == ("pressure", "lab", "lab is missing")
    assert found[0, 1] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-12)


def test_a_number_that_its_group_determines_has_a_ratio_of_one_and_an_independent_one_of_zero():
    random = np.random.default_rng(0)
    group = random.choice(list("abcdefghij"), 300)
    own = pd.Series(group).map({c: k for k, c in enumerate("abcdefghij")}).astype(float)
    assert associations({"g": group, "x": own})[1][0, 1] == pytest.approx(1)
    squares = []
    for _ in range(200):
        free = {"g": random.choice(list("abcdefghij"), 100), "x": random.normal(size=100)}
        squares.append(associations(free)[1][0, 1] ** 2)
    # Clipped at 0, of a ratio whose raw square would be 9/99 on average.
    assert np.mean(squares) < 0.03


def test_the_correlation_ratio_is_kelleys():
    random = np.random.default_rng(1)
    group = random.integers(4, size=120)
    x = normal_scores(group + 2 * random.normal(size=120))
    within = sum(((x[group == k] - x[group == k].mean()) ** 2).sum() for k in range(4))
    expected = 1 - within / ((x - x.mean()) ** 2).sum() * 119 / 116
    found = associations({"g": np.array(list("abcd"))[group], "x": x})[1][0, 1]
    assert found == pytest.approx(np.sqrt(expected), abs=0.01)


def test_cramers_v_is_one_of_renamed_categories_and_unbiased_of_independent_ones():
    random = np.random.default_rng(2)
    group = random.choice(list("abcdef"), 400)
    assert associations({"g": group, "h": np.char.upper(group)})[1][0, 1] == pytest.approx(1)
    free = [
        associations({"g": random.choice(list("abcdef"), 100), "h": random.choice(list("uvwxyz"), 100)})[1]
        for _ in range(100)
    ]
    assert np.mean([found[0, 1] for found in free]) < 0.08  # uncorrected: 0.22


def test_cramers_v_is_bergsmas():
    cells = np.array([[20, 5, 5], [4, 16, 10]])
    rows = [(i, j) for i in range(2) for j in range(3) for _ in range(cells[i, j])]
    n, p = 60, cells / 60
    phi = ((p - np.outer(p.sum(1), p.sum(0))) ** 2 / np.outer(p.sum(1), p.sum(0))).sum()
    expected = np.sqrt((phi - 2 / (n - 1)) / (min(2 - 1 / (n - 1), 3 - 4 / (n - 1)) - 1))
    frame = {"g": ["ab"[i] for i, _ in rows], "h": ["xyz"[j] for _, j in rows]}
    assert associations(frame)[1][0, 1] == pytest.approx(expected, rel=1e-12)


def test_a_dependence_that_is_turned_around_is_seen(patients):
    frame = patients(500, 1)[["age", "pressure"]]
    turned = frame.assign(pressure=-frame["pressure"])
    r = associations(frame)[1][0, 1]
    assert difference(frame, frame, turned) == pytest.approx(2 * abs(r))


def test_it_is_seen_where_rows_lack_values(patients):
    frame = patients(2000, 1)[["ward", "lab"]]
    moved = frame.copy()
    moved["lab"] = frame["lab"].sample(frac=1, random_state=0).to_numpy()
    names, found = associations(frame)
    assert found[names.index("ward"), names.index("lab is missing")] > 0.25
    assert difference(frame, frame, moved) > 0.1


def test_columns_that_do_not_vary_are_associated_with_nothing():
    frame = {"x": np.arange(30.0), "one": [1.0] * 30, "c": ["a"] * 30, "none": [None] * 30}
    np.testing.assert_array_equal(associations(frame)[1], np.eye(4))


def test_names_are_in_the_order_of_the_matrix(patients):
    frame = patients(3000, 1)
    names, found = associations(frame)
    assert names == (*frame.columns, "lab is missing")
    alone = associations(frame[["ward", "age"]])[1][0, 1]
    assert found[names.index("ward"), names.index("age")] == pytest.approx(alone)
    assert (found == found.T).all()


def test_the_furthest_pairs_come_first():
    real = np.array([[1, 0.5, 0.0], [0.5, 1, 0.2], [0.0, 0.2, 1]])
    synthetic = np.array([[1, 0.4, 0.0], [0.4, 1, -0.3], [0.0, -0.3, 1]])
    pairs = Associations(("a", "b", "c"), real, synthetic).furthest()
    assert pairs == [("b", "c", 0.2, -0.3), ("a", "b", 0.5, 0.4)]
