"""Is the forward process one process: do its steps compose, and does its posterior run_job Bayes?"""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffuscope.diffusion.process import coefficient, q_posterior, q_sample, q_step, transition
from diffuscope.diffusion.schedules import (
    EDM,
    VP,
    ContinuousCosine,
    Flow,
    NoiseLevel,
    Schedule,
    cosine,
    linear,
    rescale_zero_terminal_snr,
)

SCHEDULES: dict[str, Schedule] = {
    "linear": linear(200),
    "cosine": cosine(200),
    "silent": rescale_zero_terminal_snr(linear(200)),
    "vp": VP(),
    "edm": EDM(),
    "flow": Flow(),
    "continuous_cosine": ContinuousCosine(),
}
quick = settings(max_examples=60, deadline=None, derandomize=True)
names = st.sampled_from(sorted(SCHEDULES))


def level_at(name: str, u: float) -> NoiseLevel:
    """The level at the fraction u of a schedule's times."""
    schedule = SCHEDULES[name]
    t = schedule.t_min + u * (schedule.t_max - schedule.t_min)
    return schedule(torch.tensor(t, dtype=torch.float64).round() if schedule.discrete else torch.tensor(t))


def ordered(us: list[float], name: str) -> list[NoiseLevel]:
    return [level_at(name, u) for u in sorted(us)]


CLEAN = NoiseLevel(*(torch.tensor(v, dtype=torch.float64) for v in (0.0, 1.0, 0.0)))
fractions = st.lists(st.integers(0, 50).map(lambda i: i / 50), min_size=3, max_size=3, unique=True)


@quick
@given(names, fractions)
def test_steps_compose_to_q_of_x_t_given_x_0(name: str, us: list[float]) -> None:
    """From clean data over two levels to a third: the coefficients of x_0 and of all noise are q_sample's."""
    levels = [CLEAN, *ordered(us, name)]
    signal, variance = torch.tensor(1.0, dtype=torch.float64), torch.tensor(0.0, dtype=torch.float64)
    for source, target in pairwise(levels):
        step = transition(source, target)
        signal, variance = step.alpha * signal, step.alpha.square() * variance + step.variance
        torch.testing.assert_close(signal, target.alpha, rtol=1e-12, atol=1e-15)
        torch.testing.assert_close(variance, target.sigma.square(), rtol=1e-12, atol=1e-15)


@quick
@given(names, fractions)
def test_transition_over_two_steps_is_the_composition_of_both(name: str, us: list[float]) -> None:
    first, second, third = ordered(us, name)
    one, two, both = transition(first, second), transition(second, third), transition(first, third)
    torch.testing.assert_close(both.alpha, one.alpha * two.alpha, rtol=1e-10, atol=1e-14)
    composed = two.alpha.square() * one.variance + two.variance
    torch.testing.assert_close(both.variance, composed, rtol=1e-9, atol=1e-14)


def test_neighbours_step_by_the_root_of_one_minus_beta_and_add_beta() -> None:
    schedule = linear(200)
    steps = transition(schedule(torch.arange(199)), schedule(torch.arange(1, 200)))
    torch.testing.assert_close(steps.alpha, (1 - schedule.beta[1:]).sqrt(), rtol=1e-12, atol=0)
    torch.testing.assert_close(steps.variance, schedule.beta[1:], rtol=1e-9, atol=0)


def test_posterior_of_neighbours_is_ho_et_al() -> None:
    """Eq. 6-7, from β and ᾱ."""
    schedule = linear(200)
    t = torch.arange(1, 200)
    x_0 = torch.linspace(-1, 1, 199, dtype=torch.float64)
    x_t = torch.linspace(2, -2, 199, dtype=torch.float64)
    mean, variance = q_posterior(x_0, x_t, schedule(t), schedule(t - 1))
    beta, bar, before = schedule.beta[t], schedule.alpha_bar[t], schedule.alpha_bar[t - 1]
    expected = before.sqrt() * beta / (1 - bar) * x_0 + (1 - beta).sqrt() * (1 - before) / (1 - bar) * x_t
    torch.testing.assert_close(mean, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(variance, schedule.posterior_variance[t], rtol=1e-9, atol=0)


def log_normal_density(x: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
    return -0.5 * ((x - mean).square() / variance + (2 * math.pi * variance).log())


@quick
@given(names, fractions, st.floats(-2, 2), st.floats(-2, 2))
def test_posterior_obeys_bayes(name: str, us: list[float], x_0: float, at: float) -> None:
    """q(x_s | x_t, x_0) q(x_t | x_0) = q(x_t | x_s) q(x_s | x_0), for any x_s."""
    s, t = ordered(us[:2], name)
    zero = torch.tensor(x_0, dtype=torch.float64)
    x_t = t.alpha * zero + at * t.sigma
    mean, variance = q_posterior(zero, x_t, t, s)
    x_s = mean + variance.sqrt() * torch.linspace(-2, 2, 5, dtype=torch.float64)
    step = transition(s, t)
    left = log_normal_density(x_s, mean, variance) + log_normal_density(x_t, t.alpha * zero, t.sigma.square())
    right = log_normal_density(x_t, step.alpha * x_s, step.variance)
    right = right + log_normal_density(x_s, s.alpha * zero, s.sigma.square())
    torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-6)


@quick
@given(names, st.floats(0.01, 1.0), st.floats(-3, 3))
def test_posterior_of_clean_data_is_the_data(name: str, u: float, x_0: float) -> None:
    zero = torch.tensor([x_0], dtype=torch.float64)
    mean, variance = q_posterior(zero, zero + 7.0, level_at(name, u), CLEAN)
    torch.testing.assert_close(mean, zero, rtol=1e-12, atol=1e-12)
    assert variance == 0


def test_posterior_without_any_signal_knows_only_the_data() -> None:
    """Where x_t is pure noise, q(x_s | x_t, x_0) is q(x_s | x_0)."""
    schedule = Flow()
    now, earlier = level_at("flow", 1.0), schedule(torch.tensor(0.6))
    x_0 = torch.tensor([1.5, -0.5], dtype=torch.float64)
    mean, variance = q_posterior(x_0, torch.tensor([9.0, -9.0], dtype=torch.float64), now, earlier)
    torch.testing.assert_close(mean, earlier.alpha * x_0)
    torch.testing.assert_close(variance, earlier.sigma.square())


def test_q_sample_and_q_step_use_the_coefficients_of_their_laws() -> None:
    schedule = cosine(50)
    s, t = schedule(torch.tensor(10)), schedule(torch.tensor(30))
    x, eps = torch.randn((2, 7, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(q_sample(x, t, eps), t.alpha * x + t.sigma * eps)
    step = transition(s, t)
    torch.testing.assert_close(q_step(x, s, t, eps), step.alpha * x + step.variance.sqrt() * eps)


@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 1, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_levels_of_each_row_broadcast_over_any_shape(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    schedule = linear(50)
    t = torch.tensor([0, 10, 20, 30, 49])
    generator = torch.Generator().manual_seed(0)
    x, eps = (torch.randn(shape, generator=generator, dtype=dtype) for _ in range(2))
    together = q_sample(x, schedule(t), eps)
    assert together.dtype == dtype
    means, variances = q_posterior(x, together, schedule(t), schedule((t - 1).clamp_min(0)))
    for i in range(5):
        alone = q_sample(x[i : i + 1], schedule(t[i]), eps[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)
        earlier = schedule((t[i] - 1).clamp_min(0))
        mean, variance = q_posterior(x[i : i + 1], alone, schedule(t[i]), earlier)
        torch.testing.assert_close(means[i : i + 1], mean)
        torch.testing.assert_close(variances[i], variance)


def test_coefficients_take_the_type_and_rank_of_the_points() -> None:
    c = torch.tensor([1.0, 2.0], dtype=torch.float64)
    assert coefficient(c, torch.zeros(2, 3, 4, 4)).shape == (2, 1, 1, 1)
    assert coefficient(c[0], torch.zeros(2, 3)).shape == ()
    assert coefficient(c, torch.zeros(2, 3)).dtype == torch.float32
