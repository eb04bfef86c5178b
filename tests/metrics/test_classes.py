"""Do classes count as they should: balance, certainty, and the share of samples that are as asked for?"""

from __future__ import annotations

import numpy as np
import pytest

from diffuscope.errors import InputError
from diffuscope.metrics import MetricSuite, judge_classes


def certain(labels, k=4):
    return np.eye(k)[np.asarray(labels)]


def test_imbalance_is_the_share_that_would_have_to_be_of_another_class():
    even, odd = certain([0, 1, 2, 3] * 5), certain([0] * 8 + [1] * 5 + [2] * 5 + [3] * 2)
    assert judge_classes(odd, even).imbalance == pytest.approx(3 / 20)
    assert judge_classes(certain([0] * 3), certain([1] * 7)).imbalance == 1
    assert judge_classes(even, even[::-1]).imbalance == 0


def test_entropies_are_those_of_the_law_and_of_each_sample():
    half = np.full((6, 4), [0.5, 0.5, 0, 0])
    found = judge_classes(half, certain([0, 1, 2, 3]))
    assert (found.balance, found.entropy) == pytest.approx((np.log(2), np.log(2)))
    assert (found.real_balance, found.real_entropy) == pytest.approx((np.log(4), 0))
    assert found.imbalance == pytest.approx(0.5)
    assert found.accuracy is None
    gaps = [judge_classes(*pair).entropy_gap for pair in ((half, certain([0])), (certain([0]), half))]
    assert gaps == pytest.approx([np.log(2)] * 2)


def test_accuracy_is_of_those_that_were_asked_for_with_wilsons_interval():
    p = certain([0, 1, 2, 3] * 25)
    asked = np.array([0, 1, 2, 3] * 25)
    asked[:10] = (asked[:10] + 1) % 4
    asked[50:] = 4  # nothing was asked for
    share = judge_classes(p, p, asked).accuracy
    z, n, rate = 1.959964, 50, 0.8
    middle = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    assert share == pytest.approx((rate, middle - half, middle + half, n), abs=1e-6)
    assert judge_classes(p, p, np.full(100, 4)).accuracy is None


def test_among_other_metrics_they_have_a_floor():
    random = np.random.default_rng(0)

    def clouds(count, shares):
        return [random.dirichlet(shares, 200) for _ in range(count)]

    law, other = [0.3, 0.3, 0.3], [0.1, 0.1, 0.5]
    pairs = list(zip(clouds(16, law), clouds(16, law), strict=True))
    names = ["class_imbalance", "entropy_gap"]
    suite = MetricSuite(clouds(8, law), pairs, only=names)
    perfect = suite.measure(clouds(8, law))
    assert all(m.low < 1 < m.high for m in perfect.values())
    wrong = suite.measure(clouds(8, other))
    assert all(m.low > 2 for m in wrong.values())


def test_what_is_no_probability_and_no_class_is_refused():
    p = certain([0, 1, 2])
    with pytest.raises(InputError, match="not probabilities"):
        judge_classes(p + 1, p)
    with pytest.raises(InputError, match="not probabilities"):
        judge_classes(p, p - [[0.1, -0.1, 0, 0]])
    for asked in ([0, 1], [0, 1, 5], [0, 1, -1], [0.0, 1.0, 2.0]):
        with pytest.raises(InputError, match="are not valid for 3 samples of 4 classes"):
            judge_classes(p, p, asked)
