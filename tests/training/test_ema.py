"""Does the average follow its formula, and do the right weights come out of training?"""

from __future__ import annotations

import torch

from diffuscope.training.weights import WeightAverage


def test_the_average_is_the_recursion_with_a_decay_that_warms_up():
    torch.manual_seed(0)
    weights = torch.randn(60, 5, dtype=torch.float64)
    average = WeightAverage(weights[0], 0.8)
    expected = weights[0].clone()
    for k in range(1, 60):
        average.update(weights[k], average.share(k))
        decay = min(0.8, (1 + k) / (10 + k))
        expected = decay * expected + (1 - decay) * weights[k]
        torch.testing.assert_close(average.weights, expected)


def test_the_decay_warms_up_from_two_elevenths():
    average = WeightAverage(torch.zeros(1), 0.999)
    average.update(torch.ones(1), average.share(1))
    torch.testing.assert_close(average.weights, torch.tensor([9 / 11]))


def test_decay_zero_follows_the_weights():
    average = WeightAverage(torch.zeros(2), 0.0)
    average.update(torch.tensor([3.0, 4.0]), average.share(1000))
    assert average.weights.tolist() == [3.0, 4.0]


def test_the_average_does_not_share_memory_with_the_weights():
    weights = torch.zeros(2)
    average = WeightAverage(weights, 0.5)
    weights += 1
    assert average.weights.tolist() == [0.0, 0.0]
