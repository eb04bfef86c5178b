"""Is the information that a model loses the divergence of the textbook, and do runs say it?"""

from __future__ import annotations

import math

import numpy as np
import pytest

import diffuscope
from diffuscope.metrics import NatsLost, nats_lost


def normal(x, mean, std):
    return -0.5 * ((x - mean) / std) ** 2 - math.log(std) - 0.5 * math.log(2 * math.pi)


def pair(mean, std, n=20_000):
    x = np.random.default_rng(0).standard_normal(n)
    return normal(x, 0, 1), normal(x, mean, std)


@pytest.mark.parametrize(("mean", "std"), [(0.1, 1.05), (0.0, 1.3), (0.5, 1.0)])
def test_both_estimates_are_the_divergence_of_two_gaussians(mean, std):
    exact = math.log(std) + (1 + mean**2) / (2 * std**2) - 0.5
    for everywhere in (True, False):
        found = nats_lost(*pair(mean, std), everywhere)
        half = found.high - found.nats
        assert found.nats == pytest.approx(exact, abs=2 * half)


def test_the_estimate_for_laws_with_a_density_everywhere_is_far_more_certain_and_never_negative():
    log_p, log_q = pair(0.1, 1.05)
    sure, plain = nats_lost(log_p, log_q), nats_lost(log_p, log_q, everywhere=False)
    assert sure.high - sure.low < 0.3 * (plain.high - plain.low)
    assert nats_lost(log_p[:5], log_q[:5]).nats >= 0


def test_it_prints_with_its_interval():
    assert str(NatsLost(0.0123, 0.0071, 0.0169)) == "0.012 nats from the law (0.007 to 0.017)"


def test_a_run_of_a_known_law_says_what_it_loses_and_others_do_not(tmp_path):
    run = diffuscope.train("moons", out=tmp_path / "moons", steps=100, pictures=False)
    assert 0 < run.nats_lost.low < run.nats_lost.high < 1
    assert diffuscope.load(tmp_path / "moons").nats_lost == run.nats_lost
    x = np.random.default_rng(0).normal(size=(300, 2))
    assert diffuscope.train(x, out=tmp_path / "own", steps=3, pictures=False).nats_lost is None
