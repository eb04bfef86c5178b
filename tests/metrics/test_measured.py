"""Does the ratio to the floor say what it should, and its interval as often as it should?"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from diffuscope.errors import InputError
from diffuscope.metrics import Measured, against_floor, energy_distance, relate


def given_distances(values, floors) -> Measured:
    distance = iter([*values, *floors])
    return against_floor(
        lambda *_: next(distance), [0] * len(values), [0] * len(values), [(0, 0)] * len(floors)
    )


def test_the_ratio_is_that_of_the_means():
    measured = given_distances([2.0, 4.0, 3.0, 3.0], [1.0, 2.0])
    assert (measured.value, measured.floor, measured.ratio) == (3.0, 1.5, 2.0)
    assert measured.low < 2.0 < measured.high


def test_the_interval_is_students_for_values_without_a_spread_in_the_floor():
    values = [2.0, 4.0, 3.0, 3.0]
    measured = given_distances(values, [1.5] * 10)
    half = stats.t.ppf(0.975, 3) * np.std(values, ddof=1) / 2 / 1.5
    assert measured.high - measured.ratio == pytest.approx(half)
    assert measured.ratio - measured.low == pytest.approx(half)


def test_without_any_spread_the_interval_is_a_point():
    measured = given_distances([3.0, 3.0], [1.5, 1.5])
    assert measured.low == measured.ratio == measured.high == 2.0


def test_the_interval_never_goes_below_zero():
    assert given_distances([0.1, 8.0], [1.0, 1.1]).low == 0.0


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(400):
        m = given_distances(rng.normal(3, 0.3, 4), rng.normal(1.5, 0.15, 24))
        hits += m.low <= 2.0 <= m.high
    assert 0.90 <= hits / 400 <= 0.99


def test_the_numbers_go_to_json_by_name():
    assert given_distances([3.0, 3.0], [1.5, 1.5]).to_json() == {
        "value": 3.0,
        "floor": 1.5,
        "ratio": 2.0,
        "low": 2.0,
        "high": 2.0,
    }


def test_where_the_ideal_is_zero_the_floor_is_the_root_mean_square():
    measured = relate([3.0, 5.0, 4.0], [1.0, -1.0, 1.0, -1.0], "zero")
    assert (measured.value, measured.floor, measured.ratio) == (4.0, 1.0, 4.0)
    half = stats.t.ppf(0.975, 2) / math.sqrt(3)  # the floor has no spread
    assert (measured.low, measured.high) == pytest.approx((4 - half, 4 + half))


def test_where_the_ideal_is_zero_the_floors_own_error_counts_by_half_of_its_squares():
    floors = np.sqrt([1.0, 3.0, 2.0])
    measured = relate([8.0, 8.0], floors, "zero")
    relative = stats.t.ppf(0.975, 2) / math.sqrt(3) / 2.0  # of the mean square, which is 2
    assert measured.high - measured.ratio == pytest.approx(measured.ratio * relative / 2)


def test_where_the_ideal_is_zero_the_interval_may_go_below_zero():
    measured = relate([-1.0, 0.5, 0.2], [1.0, -1.0, 0.8], "zero")
    assert measured.low < 0 < measured.high
    assert measured.ratio == pytest.approx(measured.value / measured.floor) != abs(measured.ratio)


@pytest.mark.slow
def test_the_ratio_of_perfect_draws_is_zero_plus_or_minus_one_over_the_root_of_their_number():
    rng = np.random.default_rng(3)

    def chance():
        return energy_distance(rng.normal(size=(30, 2)), rng.normal(size=(30, 2)), 16)

    ratios, hits = [], 0
    for _ in range(120):
        measured = relate([chance() for _ in range(9)], [chance() for _ in range(24)], "zero")
        ratios.append(measured.ratio)
        hits += measured.low <= 0 <= measured.high
    assert np.std(ratios) == pytest.approx(1 / 3, rel=0.3)
    assert abs(np.mean(ratios)) < 0.1
    assert 0.87 <= hits / 120 <= 1.0


def test_of_a_single_draw_the_interval_is_infinite():
    measured = relate([2.0], [1.0, 1.5])
    assert (measured.low, measured.high) == (0.0, math.inf)


@pytest.mark.parametrize("ideal", ["floor", "zero"])
def test_a_floor_of_nothing_is_refused(ideal):
    with pytest.raises(InputError, match="do not differ at all"):
        relate([1.0, 1.0], [0.0, 0.0], ideal)
