"""Are columns' distances those of their formulas, and do missing values count as values?"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from diffuscope.metrics.tabular.marginals import column_distances, column_p_values
from diffuscope.metrics.tabular.tables import read_tables


def distances(one, other):
    return column_distances(*read_tables({"training": pd.DataFrame(one), "synthetic": pd.DataFrame(other)}))


def test_without_missing_values_it_is_kolmogorovs_distance(patients):
    one, other = patients(300, 1), patients(170, 2)
    other["age"] += 3
    names = ["age", "pressure", "admitted"]
    expected = []
    for name in names:
        a, b = (t[name].astype("int64" if name == "admitted" else float).to_numpy() for t in (one, other))
        expected.append(ks_2samp(a, b).statistic)
    np.testing.assert_allclose(distances(one[names], other[names]), expected, rtol=1e-12)


def test_of_categories_it_is_total_variation():
    one = {"c": ["a"] * 5 + ["b"] * 3 + ["c"] * 2, "b": [True] * 4 + [False] * 6}
    other = {"c": ["a"] * 2 + ["b"] * 4 + ["d"] * 4, "b": [True] * 9 + [False]}
    np.testing.assert_allclose(distances(one, other), [0.5, 0.5])


def test_values_that_no_real_row_has_are_as_far_as_can_be():
    assert distances({"c": ["a", "b"]}, {"c": ["x", "y"]})[0] == 1


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0, 4.0], ["a", "b", "c", "d"]])
def test_missing_values_count_by_their_share(values):
    lacking = [*values[:2], None, None]
    assert distances({"x": values * 5}, {"x": lacking * 5})[0] == pytest.approx(0.5)


@pytest.mark.parametrize("end", ["low", "high"])
def test_missing_values_do_not_make_up_for_values_at_either_end(end):
    gone = [np.nan] * 3 + [2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    shifted = [0.0 if end == "low" else 10.0] * 3 + gone[3:]
    assert distances({"x": gone}, {"x": shifted})[0] == pytest.approx(0.3)


def test_low_values_are_not_taken_for_missing_ones():
    lacking = [np.nan] * 3 + [9.0] * 7
    low = [1.0] * 5 + [9.0] * 5
    assert distances({"x": lacking}, {"x": low})[0] == pytest.approx(0.5)  # P(X <= 1)
    assert distances({"x": low}, {"x": lacking})[0] == pytest.approx(0.5)


def test_units_and_scales_do_not_matter(patients):
    one, other = patients(200, 1)[["pressure", "lab"]], patients(200, 4)[["pressure", "lab"]]
    np.testing.assert_allclose(distances(np.log(one), np.log(other)), distances(one, other))


@pytest.mark.slow
def test_p_values_are_as_small_as_they_say(patients):
    """Of equal laws, rarely small; of columns one value of which is a little too common, always."""
    small, missed = np.zeros(7), 0
    for seed in range(60):
        one, other = patients(300, 200 + 2 * seed), patients(200, 201 + 2 * seed)
        small += column_p_values(*read_tables({"training": one, "synthetic": other})) < 0.1
        wrong = other.assign(age=other["age"] + 8, ward=other["ward"].replace("cardiology", "surgery"))
        p = column_p_values(*read_tables({"training": one, "synthetic": wrong}))
        missed += (p[0] > 0.05) + (p[4] > 0.05)
    assert (small <= 13).all()  # of 60, where 6 are expected at most
    assert small[[1, 2, 4]].sum() >= 8  # categories, whose p-values are not cautious: 18 are expected
    assert missed <= 6


def test_categories_that_are_all_rare_are_compared_as_one():
    one = {"c": [f"a{k}" for k in range(50)] + ["common"] * 50}
    other = {"c": [f"b{k}" for k in range(50)] + ["common"] * 50}
    assert (
        column_p_values(*read_tables({"training": pd.DataFrame(one), "synthetic": pd.DataFrame(other)}))[0]
        == 1
    )
