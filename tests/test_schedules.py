"""Are the schedules those of their papers, to the last digits, and do their grids fall to clean data?"""

from __future__ import annotations

import math
from collections.abc import Callable

import mpmath
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from diffuscope.diffusion.schedules import (
    EDM,
    SCHEDULES,
    VP,
    ContinuousCosine,
    DiscreteSchedule,
    Flow,
    NoiseLevel,
    Piecewise,
    Schedule,
    cosine,
    linear,
    make_schedule,
    quadratic,
    rescale_zero_terminal_snr,
    sigmoid,
)
from diffuscope.errors import InputError

DISCRETE: dict[str, Callable[[int], DiscreteSchedule]] = {
    "linear": linear,
    "quadratic": quadratic,
    "sigmoid": sigmoid,
    "cosine": cosine,
}
CONTINUOUS: dict[str, Schedule] = {
    "vp": VP(),
    "edm": EDM(),
    "flow": Flow(),
    "continuous_cosine": ContinuousCosine(),
    "piecewise": Piecewise((8.0, 1.0, 0.5, -3.0, -9.0)),
    "flow_short": Flow(t_max=0.9),
    "edm_loud": EDM(sigma_max=500.0),
    "vp_quiet": VP(beta_max=2.0),
}
SPACINGS = ("uniform", "trailing", "karras")
quick = settings(max_examples=40, deadline=None, derandomize=True)
lengths = st.integers(1, 400)


def falls_strictly(x: Tensor) -> bool:
    return bool((x[1:] < x[:-1]).all())


@quick
@given(st.sampled_from(sorted(DISCRETE)), lengths)
def test_alpha_bar_falls_strictly_inside_zero_and_one(name: str, T: int) -> None:
    schedule = DISCRETE[name](T)
    assert schedule.T == T == len(schedule.alpha_bar)
    assert (schedule.t_min, schedule.t_max) == (0, T - 1)
    assert falls_strictly(schedule.alpha_bar)
    assert (schedule.alpha_bar > 0).all()
    assert (schedule.alpha_bar < 1).all()


@quick
@given(st.sampled_from(sorted(DISCRETE)), lengths)
def test_snr_is_positive_and_falls_strictly(name: str, T: int) -> None:
    schedule = DISCRETE[name](T)
    assert (schedule.snr > 0).all()
    assert falls_strictly(schedule.snr)
    levels = schedule(torch.arange(T))
    torch.testing.assert_close(levels.snr, schedule.snr, rtol=1e-12, atol=0)
    torch.testing.assert_close(levels.ratio, schedule.snr.rsqrt(), rtol=1e-12, atol=0)


@quick
@given(st.sampled_from(sorted(DISCRETE)), lengths)
def test_discrete_schedules_preserve_variance(name: str, T: int) -> None:
    levels = DISCRETE[name](T)(torch.arange(T))
    total = levels.alpha.square() + levels.sigma.square()
    torch.testing.assert_close(total, torch.ones(T, dtype=torch.float64), rtol=0, atol=1e-14)


@quick
@given(st.floats(1e-3, 1.0))
def test_vp_and_cosine_preserve_variance(t: float) -> None:
    for schedule in (VP(), ContinuousCosine()):
        level = schedule(torch.tensor(t, dtype=torch.float64))
        assert level.alpha**2 + level.sigma**2 == pytest.approx(1.0, abs=1e-14)


@quick
@given(st.sampled_from(sorted(DISCRETE)), st.integers(2, 400))
def test_posterior_variance_is_below_beta_and_nothing_at_the_first_step(name: str, T: int) -> None:
    schedule = DISCRETE[name](T)
    before, now = 1 - schedule.alpha_bar[:-1], 1 - schedule.alpha_bar[1:]
    expected = schedule.beta[1:] * before / now
    torch.testing.assert_close(schedule.posterior_variance[1:], expected, rtol=1e-9, atol=0)
    assert schedule.posterior_variance[0] == 0
    assert (schedule.posterior_variance[1:] > 0).all()
    assert (schedule.posterior_variance[1:] < schedule.beta[1:]).all()


@pytest.mark.parametrize("T", [1000, 4000])
@pytest.mark.parametrize("name", DISCRETE)
def test_coefficients_have_twelve_digits(name: str, T: int) -> None:
    """Against products of the same betas in 50 digits: also 1 - ᾱ and β̃ near t = 0, where it cancels."""
    schedule = DISCRETE[name](T)
    with mpmath.workdps(50):
        product, before = mpmath.mpf(1), mpmath.mpf(0)
        for t, beta in enumerate(schedule.beta.tolist()):
            product *= 1 - mpmath.mpf(beta)
            rest = 1 - product
            exact = {
                "alpha_bar": product,
                "sqrt_alpha_bar": mpmath.sqrt(product),
                "sqrt_one_minus_alpha_bar": mpmath.sqrt(rest),
                "posterior_variance": beta * before / rest,
                "snr": product / rest,
            }
            before = rest
            for attribute, value in exact.items():
                got = getattr(schedule, attribute)[t].item()
                assert abs(got - value) <= 1e-12 * abs(value), (attribute, t)


@pytest.mark.parametrize("T", [1000, 4000])
def test_cosine_betas_have_twelve_digits(T: int) -> None:
    beta = cosine(T).beta.tolist()
    with mpmath.workdps(50):
        offset = mpmath.mpf(0.008)

        def f(t: int) -> mpmath.mpf:
            return mpmath.cos((mpmath.mpf(t) / T + offset) / (1 + offset) * mpmath.pi / 2) ** 2

        for t in range(T):
            exact = min(1 - f(t + 1) / f(t), mpmath.mpf(0.999))
            assert abs(beta[t] - exact) <= 1e-12 * exact, t


def test_cosine_alpha_bar_is_the_squared_cosine_up_to_the_clipped_end() -> None:
    schedule = cosine(1000)
    f = [math.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(1001)]
    expected = torch.tensor([x / f[0] for x in f[1:-1]], dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha_bar[:-1], expected, rtol=1e-10, atol=0)
    assert schedule.beta[-1] == 0.999


def test_cosine_is_clipped_to_its_start_and_end() -> None:
    beta = cosine(100, start=0.01, end=0.5).beta
    free = cosine(100).beta
    assert torch.equal(beta, free.clamp(0.01, 0.5))
    assert (free < 0.01).any()
    assert (free > 0.5).any()


@quick
@given(st.integers(2, 200), st.floats(1e-6, 0.4), st.floats(1e-6, 0.4))
def test_linear_quadratic_and_sigmoid_follow_their_formulas(T: int, start: float, end: float) -> None:
    def at(t: int) -> dict[str, float]:
        u = t / (T - 1)
        squash = 1 / (1 + math.exp(6 - 12 * u))
        return {
            "linear": start + u * (end - start),
            "quadratic": (math.sqrt(start) + u * (math.sqrt(end) - math.sqrt(start))) ** 2,
            "sigmoid": start + squash * (end - start),
        }

    for name in ("linear", "quadratic", "sigmoid"):
        beta = SCHEDULES[name](T=T, start=start, end=end).beta.tolist()  # type: ignore[attr-defined]
        assert beta == pytest.approx([at(t)[name] for t in range(T)], rel=1e-9)


def test_linear_of_the_original_paper_ends_in_noise() -> None:
    """Ho et al. 2020: β from 1e-4 to 0.02 over 1000 steps; ᾱ_T = 4.04e-5."""
    schedule = linear(1000)
    assert (schedule.beta[0], schedule.beta[-1]) == (1e-4, 0.02)
    assert schedule.alpha_bar[-1].item() == pytest.approx(4.0358e-5, rel=1e-4)


def test_schedule_of_the_article_keeps_most_of_the_signal() -> None:
    assert linear(100, start=1e-5, end=0.5e-2).alpha_bar[-1].item() == pytest.approx(0.778, abs=5e-4)


@quick
@given(st.sampled_from(sorted(DISCRETE)), st.integers(2, 400))
def test_zero_terminal_snr_silences_the_last_step_and_keeps_the_first(name: str, T: int) -> None:
    schedule = DISCRETE[name](T)
    rescaled = rescale_zero_terminal_snr(schedule)
    assert rescaled.alpha_bar[-1] == rescaled.sqrt_alpha_bar[-1] == rescaled.snr[-1] == 0
    assert rescaled.sqrt_one_minus_alpha_bar[-1] == rescaled.beta[-1] == 1
    assert rescaled.alpha_bar[0].item() == pytest.approx(schedule.alpha_bar[0].item(), abs=1e-15)
    assert falls_strictly(rescaled.alpha_bar)
    assert torch.isfinite(rescaled.posterior_variance).all()
    root = schedule.sqrt_alpha_bar
    expected = root[0] * (root - root[-1]) / (root[0] - root[-1])
    torch.testing.assert_close(rescaled.sqrt_alpha_bar, expected, rtol=1e-9, atol=1e-15)


@quick
@given(st.sampled_from(sorted(DISCRETE)), st.integers(2, 100))
def test_zero_terminal_snr_twice_is_once(name: str, T: int) -> None:
    once = rescale_zero_terminal_snr(DISCRETE[name](T))
    torch.testing.assert_close(rescale_zero_terminal_snr(once).alpha_bar, once.alpha_bar, rtol=0, atol=1e-14)


def test_zero_terminal_snr_through_make_schedule() -> None:
    schedule = make_schedule("linear", T=50, zero_terminal_snr=True)
    assert isinstance(schedule, DiscreteSchedule)
    assert schedule.alpha_bar[-1] == 0
    assert make_schedule("linear", T=50).snr[-1] > 0  # type: ignore[attr-defined]


# Continuous schedules


def level(schedule: Schedule, t: float) -> NoiseLevel:
    return schedule(torch.tensor(t, dtype=torch.float64))


def test_vp_has_the_known_integral() -> None:
    """∫_0^1 β = (0.1 + 20) / 2 = 10.05; ∫_0^½ β = 0.05 + 19.9 / 8 (Song et al. 2021, Eq. 33)."""
    assert level(VP(), 1.0).alpha.item() == pytest.approx(math.exp(-10.05 / 2), rel=1e-14)
    assert level(VP(), 0.5).alpha.item() == pytest.approx(math.exp(-(0.05 + 19.9 / 8) / 2), rel=1e-14)
    assert level(VP(), 1.0).sigma.item() == pytest.approx(math.sqrt(1 - math.exp(-10.05)), rel=1e-14)


def test_vp_keeps_its_digits_at_small_times() -> None:
    with mpmath.workdps(50):
        integral = mpmath.mpf(1e-3) * mpmath.mpf(0.1) + mpmath.mpf(1e-3) ** 2 * (20 - mpmath.mpf(0.1)) / 2
        exact = mpmath.sqrt(1 - mpmath.exp(-integral))
    assert level(VP(), 1e-3).sigma.item() == pytest.approx(float(exact), rel=1e-13)


def test_edm_is_one_and_t_flow_is_a_straight_line_cosine_a_quarter_circle() -> None:
    assert (level(EDM(), 3.0).alpha, level(EDM(), 3.0).sigma) == (1.0, 3.0)
    assert (level(Flow(), 0.25).alpha, level(Flow(), 0.25).sigma) == (0.75, 0.25)
    third = level(ContinuousCosine(), 1 / 3)
    assert third.alpha.item() == pytest.approx(math.sqrt(3) / 2)
    assert third.sigma.item() == pytest.approx(0.5)


@pytest.mark.parametrize("schedule", [Flow(), ContinuousCosine()], ids=["flow", "cosine"])
def test_flow_and_cosine_end_without_any_signal(schedule: Schedule) -> None:
    end = level(schedule, 1.0)
    assert (end.alpha, end.sigma, end.snr) == (0, 1, 0)
    assert math.isinf(end.ratio)


@quick
@given(st.sampled_from(sorted(CONTINUOUS)), st.floats(0, 1))
def test_time_at_ratio_inverts_the_ratio(name: str, u: float) -> None:
    schedule = CONTINUOUS[name]
    t = torch.tensor(schedule.t_min + u * (schedule.t_max - schedule.t_min), dtype=torch.float64)
    back = schedule.time_at_ratio(schedule(t).ratio)
    torch.testing.assert_close(back, t, rtol=1e-9, atol=0)


@quick
@given(st.sampled_from(sorted(DISCRETE)), st.integers(2, 300), st.booleans())
def test_time_at_ratio_of_a_discrete_schedule_finds_every_step(name: str, T: int, silent: bool) -> None:
    schedule = DISCRETE[name](T)
    if silent:
        schedule = rescale_zero_terminal_snr(schedule)
    t = torch.arange(T)
    assert torch.equal(schedule.time_at_ratio(schedule(t).ratio), t)


@quick
@given(st.sampled_from(sorted(DISCRETE)), st.floats(-8, 8))
def test_time_at_ratio_of_a_discrete_schedule_is_the_nearest_on_a_log_scale(
    name: str, log_ratio: float
) -> None:
    schedule = DISCRETE[name](60)
    distance = (schedule(torch.arange(60)).ratio.log() - log_ratio).abs()
    got = schedule.time_at_ratio(torch.tensor(math.exp(log_ratio), dtype=torch.float64))
    assert distance[got].item() == pytest.approx(distance.min().item(), abs=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_time_at_ratio_stays_between_the_ends(name: str) -> None:
    schedule = CONTINUOUS[name]
    t = schedule.time_at_ratio(torch.tensor([0.0, 1e-30, 1e30, math.inf]))
    expected = [schedule.t_min, schedule.t_min, schedule.t_max, schedule.t_max]
    assert t.tolist() == pytest.approx(expected, rel=1e-14)


# Grids


def check_grid(schedule: Schedule, n_steps: int, spacing: str) -> None:
    grid = schedule.grid(n_steps, spacing)  # type: ignore[arg-type]
    levels = grid.levels
    assert grid.n_steps == n_steps
    assert levels.t.shape == levels.alpha.shape == levels.sigma.shape == (n_steps + 1,)
    assert levels.t.dtype == levels.alpha.dtype == levels.sigma.dtype == torch.float64
    assert falls_strictly(levels.ratio)
    assert (levels.t[-1], levels.alpha[-1], levels.sigma[-1]) == (0, 1, 0)
    assert levels.t[0] == schedule.t_max
    own = schedule(levels.t[:-1])
    assert torch.equal(own.alpha, levels.alpha[:-1])
    assert torch.equal(own.sigma, levels.sigma[:-1])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(DISCRETE)), st.sampled_from(SPACINGS), lengths, st.integers(1, 400), st.booleans()
)
def test_discrete_grid_falls_strictly_from_the_last_step_to_clean_data(
    name: str, spacing: str, T: int, n_steps: int, silent: bool
) -> None:
    assume(n_steps <= T)
    schedule = DISCRETE[name](T)
    if silent:
        assume(T > 1)
        schedule = rescale_zero_terminal_snr(schedule)
    check_grid(schedule, n_steps, spacing)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CONTINUOUS)), st.sampled_from(SPACINGS), st.integers(1, 400))
def test_continuous_grid_falls_strictly_from_t_max_to_clean_data(
    name: str, spacing: str, n_steps: int
) -> None:
    check_grid(CONTINUOUS[name], n_steps, spacing)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("name", DISCRETE)
def test_grid_of_all_steps_visits_each_once(name: str, spacing: str) -> None:
    grid = DISCRETE[name](50).grid(50, spacing)  # type: ignore[arg-type]
    assert grid.levels.t[:-1].tolist() == list(range(49, -1, -1))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(2, 60), st.floats(1e-4, 0.1), st.floats(1.0, 1000.0), st.floats(1.0, 10.0))
def test_karras_grid_of_edm_is_the_papers_formula(
    n_steps: int, sigma_min: float, sigma_max: float, rho: float
) -> None:
    """Karras et al. 2022, Eq. 5."""
    sigma = EDM(sigma_min, sigma_max).grid(n_steps, "karras", rho).levels.sigma
    a, b = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    expected = [(a + i / (n_steps - 1) * (b - a)) ** rho for i in range(n_steps)]
    assert sigma.tolist() == pytest.approx([*expected, 0.0], rel=1e-9)


def test_karras_grid_where_no_signal_is_left_starts_its_spacing_at_eighty() -> None:
    for schedule in (Flow(), ContinuousCosine()):
        ratio = schedule.grid(10, "karras").levels.ratio.tolist()
        a, b = 80 ** (1 / 7), level(schedule, schedule.t_min).ratio.item() ** (1 / 7)
        expected = [(a + i / 8 * (b - a)) ** 7 for i in range(9)]
        assert math.isinf(ratio[0])
        assert ratio[1:-1] == pytest.approx(expected, rel=1e-9)


def test_uniform_and_trailing_grids_have_equal_steps() -> None:
    assert linear(100).grid(5).levels.t.tolist() == [99, 74, 50, 25, 0, 0]
    assert linear(100).grid(5, "trailing").levels.t.tolist() == [99, 79, 59, 39, 19, 0]
    trailing = Flow().grid(4, "trailing").levels.t.tolist()
    assert trailing == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    uniform = Flow(t_min=0.1).grid(4).levels.t.tolist()
    assert uniform == pytest.approx([1, 0.7, 0.4, 0.1, 0])


@pytest.mark.parametrize("T", [997, 4000])
def test_trailing_grid_rounds_exact_multiples(T: int) -> None:
    for n_steps in (3, 64, T - 1):
        expected = [round(T - i * (T / n_steps)) - 1 for i in range(n_steps)]
        assert linear(T).grid(n_steps, "trailing").levels.t[:-1].tolist() == expected


def test_at_ratio_of_a_grid_is_that_of_its_schedule() -> None:
    found = EDM().grid(5).at_ratio(torch.tensor(3.0))
    assert (found.alpha, found.sigma) == (1, 3)
    discrete = linear(100)
    assert discrete.grid(5).at_ratio(discrete(torch.tensor(41)).ratio).t == 41


def test_levels_are_indexed_together() -> None:
    levels = linear(10)(torch.arange(10))
    assert levels.at(3).t == 3
    assert levels.at(slice(2, 5)).alpha.tolist() == levels.alpha[2:5].tolist()


# Errors


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: linear(10).grid(11), "T = 10"),
        (lambda: linear(10).grid(0), "at least 1 step"),
        (lambda: VP().grid(-3), "at least 1 step"),
        (lambda: linear(10).grid(5, "karas"), "Did you mean 'karras'"),
        (lambda: linear(0), "T = 0"),
        (lambda: cosine(-5), "T = -5"),
        (lambda: quadratic(0), "T = 0"),
        (lambda: sigmoid(0), "T = 0"),
        (lambda: linear(10, start=0.0), "step 0"),
        (lambda: linear(10, end=1.2), "outside (0, 1)"),
        (lambda: linear(10, start=-1e-3), "outside (0, 1)"),
        (lambda: quadratic(10, start=-1.0), "start = -1"),
        (lambda: quadratic(10, end=-1.0), "end = -1"),
        (lambda: sigmoid(10, end=1.5), "outside (0, 1)"),
        (lambda: cosine(10, end=1.0), "not valid bounds"),
        (lambda: cosine(10, start=0.5, end=0.1), "not valid bounds"),
        (lambda: DiscreteSchedule(torch.tensor([[0.1, 0.2]])), "shape (1, 2)"),
        (lambda: DiscreteSchedule(torch.tensor([])), "shape (0,)"),
        (lambda: DiscreteSchedule(torch.tensor([0.1, 1.0, 0.2])), "step 1"),
        (lambda: DiscreteSchedule(torch.tensor([0.1, math.nan])), "step 1"),
        (lambda: rescale_zero_terminal_snr(linear(1)), "at least 2"),
        (lambda: VP(beta_min=5.0, beta_max=1.0), "beta_min"),
        (lambda: VP(t_min=0.0), "t_min"),
        (lambda: Flow(t_max=1.5), "t_max"),
        (lambda: ContinuousCosine(t_min=0.9, t_max=0.5), "t_min"),
        (lambda: EDM(sigma_min=0.0), "sigma_min"),
        (lambda: EDM(sigma_min=3.0, sigma_max=2.0), "sigma_max"),
        (lambda: make_schedule("cosin"), "Did you mean 'cosine'"),
        (lambda: make_schedule("edm", T=100), "T"),
        (lambda: make_schedule("linear", beta_start=0.1), "beta_start"),
        (lambda: make_schedule("edm", zero_terminal_snr=True), "continuous"),
    ],
)
def test_what_cannot_be_had_is_said(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert says in str(caught.value)
