"""Do the samplers take the steps that Hugging Face diffusers takes?

Both walk over the same timesteps, with the same denoiser (the exact one of a mixture of two Gaussians) and
the same noise, and are compared after every step. diffusers keeps ᾱ in float32, in which 1 − ᾱ loses digits
at small t and 1 − β at β = 0.999: that alone moves a walk by up to 6e-4 (cosine, 1000 steps). So each walk is
compared twice, with diffusers' table as it is and with ours in float64 in its place. Where diffusers does
something else, a test is named after the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import diffusers
import pytest
import torch
from torch import Tensor

from diffuscope.diffusion.predictions import eps_from_data, training_target
from diffuscope.diffusion.samplers import (
    DDIM,
    DDPM,
    DPMSolver,
    Euler,
    Heun,
    Sampler,
    SamplingState,
    UniPC,
    trajectory,
)
from diffuscope.diffusion.schedules import (
    EDM,
    DiscreteSchedule,
    Grid,
    NoiseLevel,
    cosine,
    linear,
    rescale_zero_terminal_snr,
)

# What numpy says of diffusers' own code, which is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = 1e-4
ROUNDED_TABLE = 1e-3  # for the walks of the cosine schedule and of 1000 steps, see above
DOUBLE = 1e-9
SCHEDULES = {
    "linear": (linear, {"beta_schedule": "linear"}),
    "cosine": (cosine, {"beta_schedule": "squaredcos_cap_v2"}),
}
KINDS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity"}

on_both_schedules = pytest.mark.parametrize("name", SCHEDULES)
at_both_lengths = pytest.mark.parametrize("T", [100, 1000])


def oracle(x: Tensor, level: NoiseLevel) -> Tensor:
    """E[x_0 | x_t] of two round Gaussians of std 0.5 at ±(1, -0.5)."""
    centre = torch.tensor([1.0, -0.5], dtype=x.dtype)
    alpha, sigma = level.alpha.item(), level.sigma.item()
    variance = 0.25 * alpha**2 + sigma**2
    sign = torch.tanh(alpha * (x @ centre) / variance)[:, None]
    return sign * centre + alpha * 0.25 / variance * (x - alpha * sign * centre)


def ours(
    grid: Grid,
    sampler: Sampler,
    x: Tensor,
    seed: int = 0,
    denoiser: Callable[[Tensor, NoiseLevel], Tensor] = oracle,
) -> list[SamplingState]:
    return list(trajectory(denoiser, x, grid, sampler, torch.Generator().manual_seed(seed)))


def grid_over(schedule: DiscreteSchedule, timesteps: Tensor) -> Grid:
    """Our levels at the timesteps that diffusers chose, then clean data."""
    levels = schedule(timesteps)
    zero = torch.zeros(1, dtype=torch.float64)
    return Grid(
        NoiseLevel(
            torch.cat([levels.t.double(), zero]),
            torch.cat([levels.alpha, zero + 1]),
            torch.cat([levels.sigma, zero]),
        ),
        schedule.at_ratio,
    )


def theirs(
    scheduler: Any, grid: Grid, x: Tensor, kind: str = "epsilon", seed: int = 0, **settings: Any
) -> list[Tensor]:
    """All states of a walk by diffusers; ``grid`` tells the oracle the levels."""
    generator = torch.Generator().manual_seed(seed)
    states = [x]
    for i, t in enumerate(scheduler.timesteps):
        level = grid.levels.at(i)
        x_0 = oracle(x, level)
        output = training_target(KINDS[kind], x_0, eps_from_data(x_0, x, level), level)  # type: ignore[arg-type]
        x = scheduler.step(output, t, x, **settings, generator=generator).prev_sample
        states.append(x)
    return states


def largest_difference(states: list[SamplingState], others: list[Tensor]) -> float:
    assert len(states) == len(others)
    return max((a.x - b).abs().max().item() for a, b in zip(states, others, strict=True))


def start(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn((64, 2), generator=torch.Generator().manual_seed(11), dtype=dtype)


class Without:
    """A scheduler whose step takes no generator, told none."""

    def __init__(self, scheduler: Any) -> None:
        self.scheduler = scheduler
        self.timesteps = scheduler.timesteps

    def step(self, output: Tensor, t: Tensor, x: Tensor, generator: torch.Generator) -> Any:
        return self.scheduler.step(output, t, x)


@on_both_schedules
@at_both_lengths
def test_betas_are_those_of_diffusers(name: str, T: int) -> None:
    make, settings = SCHEDULES[name]
    scheduler = diffusers.DDPMScheduler(T, **settings)
    schedule = make(T)
    torch.testing.assert_close(schedule.beta, scheduler.betas.double(), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(schedule.alpha_bar, scheduler.alphas_cumprod.double(), rtol=1e-3, atol=1e-6)


@on_both_schedules
@at_both_lengths
def test_zero_terminal_snr_rescaling_is_that_of_diffusers(name: str, T: int) -> None:
    make, settings = SCHEDULES[name]
    scheduler = diffusers.DDIMScheduler(T, **settings, rescale_betas_zero_snr=True)
    ours_ = rescale_zero_terminal_snr(make(T))
    torch.testing.assert_close(ours_.alpha_bar, scheduler.alphas_cumprod.double(), rtol=0, atol=1e-5)
    assert scheduler.alphas_cumprod[-1] == ours_.alpha_bar[-1] == 0


@on_both_schedules
@at_both_lengths
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
def test_grids_visit_the_timesteps_of_diffusers(name: str, T: int, spacing: str) -> None:
    make, settings = SCHEDULES[name]
    for n_steps in (1, 2, 3, 7, 10, 18, 33, 50, 64, 99, 100):
        scheduler = diffusers.DDIMScheduler(T, **settings, timestep_spacing=spacing)
        scheduler.set_timesteps(n_steps)
        if spacing == "linspace" and n_steps == 1:
            continue  # numpy's linspace of one point is its start: diffusers would ask at t = 0
        grid = make(T).grid(n_steps, "uniform" if spacing == "linspace" else "trailing")
        assert grid.levels.t[:-1].long().tolist() == scheduler.timesteps.tolist(), n_steps


def in_double(scheduler: Any, schedule: DiscreteSchedule) -> Any:
    """Put our float64 table in place of the float32 one of a DDPM or DDIM scheduler."""
    scheduler.alphas_cumprod = schedule.alpha_bar
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    return scheduler


def ddpm(name: str, T: int, n_steps: int, **own: Any) -> tuple[Any, DiscreteSchedule]:
    make, settings = SCHEDULES[name]
    scheduler = diffusers.DDPMScheduler(T, **settings, clip_sample=False, **own)
    scheduler.set_timesteps(n_steps)
    return scheduler, make(T)


@pytest.mark.slow
@on_both_schedules
@at_both_lengths
@pytest.mark.parametrize("n_steps", [10, pytest.param(50, marks=pytest.mark.slow), 100])
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("kind", KINDS)
def test_ddpm_with_posterior_variance_is_fixed_small(
    name: str, T: int, n_steps: int, spacing: str, kind: str
) -> None:
    scheduler, schedule = ddpm(name, T, n_steps, prediction_type=kind, timestep_spacing=spacing)
    grid = schedule.grid(n_steps, "uniform" if spacing == "linspace" else "trailing")
    if kind != "epsilon" or name == "linear":  # x_0 = (x_t − σ ε) / α has no digits at α = 5e-5 in float32
        difference = largest_difference(ours(grid, DDPM(), start()), theirs(scheduler, grid, start(), kind))
        assert difference < (TOLERANCE if name == "linear" else ROUNDED_TABLE)
    x = start(torch.float64)
    others = theirs(in_double(scheduler, schedule), grid, x, kind)
    assert largest_difference(ours(grid, DDPM(), x), others) < DOUBLE


@pytest.mark.slow
@on_both_schedules
@at_both_lengths
def test_ddpm_over_all_steps_is_that_of_diffusers(name: str, T: int) -> None:
    scheduler, schedule = ddpm(name, T, T, prediction_type="sample")
    grid = schedule.grid(T)
    others = theirs(scheduler, grid, start(), "sample")
    assert largest_difference(ours(grid, DDPM(), start()), others) < ROUNDED_TABLE
    x = start(torch.float64)
    others = theirs(in_double(scheduler, schedule), grid, x, "sample")
    assert largest_difference(ours(grid, DDPM(), x), others) < DOUBLE


@on_both_schedules
@at_both_lengths
def test_ddpm_with_beta_variance_is_fixed_large_but_for_the_noise_of_the_last_step(name: str, T: int) -> None:
    """Ho et al.'s Algorithm 2 and diffusers add none at t = 0; the article does, and so do we."""
    scheduler, schedule = ddpm(
        name, T, 50, prediction_type="sample", variance_type="fixed_large", timestep_spacing="linspace"
    )
    grid, x = schedule.grid(50), start(torch.float64)
    states = ours(grid, DDPM("beta"), x)
    others = theirs(in_double(scheduler, schedule), grid, x, "sample")
    assert largest_difference(states[:-1], others[:-1]) < DOUBLE
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        last_noise = torch.randn((64, 2), generator=generator, dtype=torch.float64)
    root_beta_0 = grid.levels.sigma[-2]
    torch.testing.assert_close(states[-1].x - others[-1], root_beta_0 * last_noise, atol=DOUBLE, rtol=0)


@on_both_schedules
@at_both_lengths
@pytest.mark.parametrize("n_steps", [10, pytest.param(50, marks=pytest.mark.slow), 100])
@pytest.mark.parametrize("eta", [0.0, pytest.param(0.4, marks=pytest.mark.slow), 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_ddim_is_that_of_diffusers(name: str, T: int, n_steps: int, eta: float, kind: str) -> None:
    make, settings = SCHEDULES[name]
    scheduler = diffusers.DDIMScheduler(
        T, **settings, prediction_type=kind, clip_sample=False, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(n_steps)
    grid = make(T).grid(n_steps, "trailing")
    if kind != "epsilon" or name == "linear":
        others = theirs(scheduler, grid, start(), kind, eta=eta)
        tolerance = TOLERANCE if name == "linear" else ROUNDED_TABLE
        assert largest_difference(ours(grid, DDIM(eta), start()), others) < tolerance
    x = start(torch.float64)
    others = theirs(in_double(scheduler, make(T)), grid, x, kind, eta=eta)
    assert largest_difference(ours(grid, DDIM(eta), x), others) < DOUBLE


def test_ddim_of_diffusers_leaves_its_own_timesteps_under_linspace_so_trailing_is_compared() -> None:
    """Its step goes to t - T // n, whichever timestep it lists next."""
    scheduler = diffusers.DDIMScheduler(1000, prediction_type="sample", timestep_spacing="linspace")
    scheduler.set_timesteps(10)
    listed = scheduler.timesteps.tolist()
    assert listed[1] == 888 != listed[0] - 1000 // 10


def test_ddim_with_zero_terminal_snr_is_that_of_diffusers() -> None:
    scheduler = diffusers.DDIMScheduler(
        1000,
        prediction_type="v_prediction",
        clip_sample=False,
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )
    scheduler.set_timesteps(20)
    grid = rescale_zero_terminal_snr(linear(1000)).grid(20, "trailing")

    others = theirs(scheduler, grid, start(), "v_prediction")
    assert largest_difference(ours(grid, DDIM(), start()), others) < TOLERANCE


def multistep(kind: str, T: int, settings: dict[str, str], **own: Any) -> Any:
    return {"dpm": diffusers.DPMSolverMultistepScheduler, "unipc": diffusers.UniPCMultistepScheduler}[kind](
        T, **settings, prediction_type="sample", **own
    )


@on_both_schedules
@at_both_lengths
@pytest.mark.parametrize("n_steps", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (10, 20)), 50])
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("algorithm", ["dpmsolver++", "sde-dpmsolver++"])
def test_dpm_solver_is_the_second_order_multistep_of_diffusers(
    name: str, T: int, n_steps: int, spacing: str, algorithm: str
) -> None:
    make, settings = SCHEDULES[name]
    scheduler = multistep("dpm", T, settings, algorithm_type=algorithm, timestep_spacing=spacing)
    scheduler.set_timesteps(n_steps)
    grid = grid_over(make(T), scheduler.timesteps)
    sampler = DPMSolver(stochastic=algorithm.startswith("sde"))
    others = theirs(scheduler, grid, start(), "sample")
    assert largest_difference(ours(grid, sampler, start()), others) < TOLERANCE


@on_both_schedules
@at_both_lengths
@pytest.mark.parametrize("n_steps", [5, *(pytest.param(n, marks=pytest.mark.slow) for n in (10, 20)), 50])
@pytest.mark.parametrize("spacing", ["linspace", "trailing"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_is_that_of_diffusers_at_every_order(
    name: str, T: int, n_steps: int, spacing: str, order: int
) -> None:
    make, settings = SCHEDULES[name]
    scheduler = multistep(
        "unipc", T, settings, solver_order=order, solver_type="bh2", timestep_spacing=spacing
    )
    scheduler.set_timesteps(n_steps)
    grid = grid_over(make(T), scheduler.timesteps)
    others = theirs(Without(scheduler), grid, start(), "sample")
    assert largest_difference(ours(grid, UniPC(order), start()), others) < TOLERANCE


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_in_double_precision_is_that_of_diffusers_to_nine_digits(order: int) -> None:
    scheduler = multistep("unipc", 1000, {}, solver_order=order, timestep_spacing="trailing")
    scheduler.set_timesteps(20)
    grid = grid_over(linear(1000), scheduler.timesteps)
    scheduler.sigmas = grid.levels.ratio
    x = start(torch.float64)
    others = theirs(Without(scheduler), grid, x, "sample")
    assert largest_difference(ours(grid, UniPC(order), x), others) < 1e-9


def test_trailing_spacing_is_what_the_multistep_schedulers_call_trailing() -> None:
    """Their linspace is another: n + 1 points down to t = 0, the last one left out."""
    for n_steps in (5, 20, 30, 64):
        schedule = linear(1000)
        trailing = multistep("dpm", 1000, {}, timestep_spacing="trailing")
        trailing.set_timesteps(n_steps)
        assert schedule.grid(n_steps, "trailing").levels.t[:-1].long().tolist() == trailing.timesteps.tolist()
        linspace = multistep("dpm", 1000, {}, timestep_spacing="linspace")
        linspace.set_timesteps(n_steps)
        uniform = schedule.grid(n_steps + 1).levels.t[:-2].long().tolist()
        assert uniform == linspace.timesteps.tolist()


def test_with_zero_terminal_snr_the_multistep_schedulers_keep_a_rest_of_signal() -> None:
    """Theirs is ᾱ = 2⁻²⁴ in place of 0, so that log α is finite; the walks still agree."""
    schedule = rescale_zero_terminal_snr(linear(1000))
    for kind, sampler in (("dpm", DPMSolver()), ("unipc", UniPC(1))):
        own = {"solver_order": 1} if kind == "unipc" else {}
        scheduler = multistep(kind, 1000, {}, timestep_spacing="trailing", rescale_betas_zero_snr=True, **own)
        assert scheduler.alphas_cumprod[-1] == 2**-24
        scheduler.set_timesteps(20)
        grid = grid_over(schedule, scheduler.timesteps)
        wrapped = scheduler if kind == "dpm" else Without(scheduler)
        others = theirs(wrapped, grid, start(), "sample")
        assert largest_difference(ours(grid, sampler, start()), others) < TOLERANCE


@pytest.mark.parametrize("order", [2, 3])
def test_unipc_from_pure_noise_takes_no_slope_from_there_where_diffusers_does(order: int) -> None:
    """Theirs reaches back to log α = -8.3, ours to -∞, which says nothing; the walks differ by under 1e-3."""
    differences = []
    for n_steps in (10, 20, 50):
        scheduler = multistep(
            "unipc", 1000, {}, solver_order=order, timestep_spacing="trailing", rescale_betas_zero_snr=True
        )
        scheduler.set_timesteps(n_steps)
        grid = grid_over(rescale_zero_terminal_snr(linear(1000)), scheduler.timesteps)
        others = theirs(Without(scheduler), grid, start(), "sample")
        differences.append(largest_difference(ours(grid, UniPC(order), start()), others))
    assert TOLERANCE < differences[0] < 1e-3
    assert differences[1] < TOLERANCE
    assert differences[2] < 1e-5


# Euler and Heun: diffusers steps in the coordinates x / α, in which σ / α is the noise.


@on_both_schedules
@at_both_lengths
@pytest.mark.parametrize("n_steps", [10, 50])
def test_euler_is_that_of_diffusers_in_the_coordinates_x_over_alpha(name: str, T: int, n_steps: int) -> None:
    make, settings = SCHEDULES[name]
    scheduler = diffusers.EulerDiscreteScheduler(T, **settings, prediction_type="sample")
    # From 0.98 T: the cosine schedule's σ / α is 20,000 at the top, where their float32 has no digits left.
    timesteps = torch.linspace(0.98 * T, 0, n_steps).round().long()
    scheduler.set_timesteps(timesteps=timesteps.tolist())
    grid = grid_over(make(T), timesteps)
    x = start()
    states = ours(grid, Euler(), x)
    scaled = x / grid.levels.alpha[0].float()
    for i, t in enumerate(scheduler.timesteps):
        level = grid.levels.at(i)
        scheduler.scale_model_input(scaled, t)
        output = oracle(scaled * level.alpha.float(), level)
        scaled = scheduler.step(output, t, scaled).prev_sample
        scale = grid.levels.alpha[i + 1].float()
        torch.testing.assert_close(states[i + 1].x, scaled * scale, rtol=0, atol=TOLERANCE)


def variance_exploding(schedule: DiscreteSchedule, n_steps: int) -> Grid:
    """The levels of a trailing grid in the coordinates x / α: α = 1, σ = σ / α."""
    levels = schedule.grid(n_steps, "trailing").levels
    return Grid(NoiseLevel(levels.t, torch.ones_like(levels.alpha), levels.ratio), EDM().at_ratio)


@on_both_schedules
@pytest.mark.parametrize("n_steps", [10, 50])
def test_heun_over_variance_exploding_levels_is_that_of_diffusers(name: str, n_steps: int) -> None:
    make, settings = SCHEDULES[name]
    scheduler = diffusers.HeunDiscreteScheduler(
        1000,
        beta_start=1e-4,
        beta_end=0.02,
        **settings,
        prediction_type="sample",
        timestep_spacing="trailing",
    )
    scheduler.set_timesteps(n_steps)
    grid = variance_exploding(make(1000), n_steps)
    torch.testing.assert_close(scheduler.sigmas[1::2].double(), grid.levels.sigma[1:], rtol=1e-4, atol=0)
    scheduler.sigmas = torch.cat(  # the table in double precision, see above
        [grid.levels.sigma[:1], grid.levels.sigma[1:-1].repeat_interleave(2), grid.levels.sigma[-1:]]
    )
    x = start(torch.float64) * grid.levels.sigma[0]
    states = ours(grid, Heun(), x)
    calls = iter(scheduler.timesteps)
    for i in range(n_steps):
        x = scheduler.step(oracle(x, grid.levels.at(i)), next(calls), x).prev_sample
        if i < n_steps - 1:
            x = scheduler.step(oracle(x, grid.levels.at(i + 1)), next(calls), x).prev_sample
        torch.testing.assert_close(states[i + 1].x, x, rtol=DOUBLE, atol=DOUBLE)


def test_heun_over_variance_preserving_levels_is_another_rule_of_the_same_order() -> None:
    """Ours is the trapezoid of x̂ dα + ε̂ dσ, theirs of ε̂ d(σ/α): the difference falls as 1 / n²."""
    differences = []
    for n_steps in (50, 100, 200):
        t = torch.linspace(900, 100, n_steps + 1).round().long()
        levels = linear(1000)(t)
        one = Grid(levels, linear(1000).at_ratio)
        other = Grid(NoiseLevel(levels.t, torch.ones_like(levels.alpha), levels.ratio), EDM().at_ratio)
        x = start(torch.float64)
        end = ours(one, Heun(), x)[-1].x / levels.alpha[-1]
        differences.append((end - ours(other, Heun(), x / levels.alpha[0])[-1].x).abs().max().item())
    assert differences[-1] > 1e-5
    assert math.log2(differences[1] / differences[2]) == pytest.approx(2.0, abs=0.3)


def test_churn_of_diffusers_asks_the_denoiser_before_the_noise_is_added() -> None:
    """Karras et al.'s Algorithm 2, line 6, asks at the raised level, after; we do as the paper does."""
    asked = []

    def spy(x: Tensor, level: NoiseLevel) -> Tensor:
        asked.append(level.sigma.item())
        return oracle(x, level)

    grid = EDM().grid(10, "karras")
    x = start() * 80
    states = ours(grid, Euler(churn=4.0, churn_max=50.0), x, denoiser=spy)
    raised = [s.item() * (1.4 if s <= 50 else 1) for s in grid.levels.sigma[:-1]]
    assert asked == pytest.approx(raised)
    # written out after the paper's Algorithm 2, without lines 9-11
    generator = torch.Generator().manual_seed(0)
    for i, sigma in enumerate(grid.levels.sigma[:-1].tolist()):
        sigma_hat = raised[i]
        if sigma_hat > sigma:
            x = x + math.sqrt(sigma_hat**2 - sigma**2) * torch.randn(x.shape, generator=generator)
        one = torch.tensor(1.0, dtype=torch.float64)
        level = NoiseLevel(one * sigma_hat, one, one * sigma_hat)
        d = (x - oracle(x, level)) / sigma_hat
        x = x + (grid.levels.sigma[i + 1].item() - sigma_hat) * d
        torch.testing.assert_close(states[i + 1].x, x, rtol=1e-5, atol=1e-4)


EDM_SCHEDULERS = {
    "euler": (diffusers.EDMEulerScheduler, {}, Euler()),
    "dpmpp_2m": (diffusers.EDMDPMSolverMultistepScheduler, {}, DPMSolver()),
    "dpmpp_2m_sde": (
        diffusers.EDMDPMSolverMultistepScheduler,
        {"algorithm_type": "sde-dpmsolver++"},
        DPMSolver(stochastic=True),
    ),
}


@pytest.mark.parametrize("n_steps", [10, 18, 40])
@pytest.mark.parametrize("sampler", EDM_SCHEDULERS)
def test_walks_over_karras_levels_are_those_of_diffusers(sampler: str, n_steps: int) -> None:
    make, settings, step = EDM_SCHEDULERS[sampler]
    scheduler = make(sigma_min=0.002, sigma_max=80.0, sigma_data=0.5, prediction_type="epsilon", **settings)
    scheduler.set_timesteps(n_steps)
    grid = EDM().grid(n_steps, "karras")
    torch.testing.assert_close(scheduler.sigmas.double(), grid.levels.sigma, rtol=1e-5, atol=0)
    x = 80 * start()
    states = ours(grid, step, x)
    generator = torch.Generator().manual_seed(0)
    for i, t in enumerate(scheduler.timesteps):
        scheduler.scale_model_input(x, t)
        level = grid.levels.at(i)
        x_0 = oracle(x, level)
        output = training_target("edm", x_0, eps_from_data(x_0, x, level), level, sigma_data=0.5)
        x = scheduler.step(output, t, x, generator=generator).prev_sample
        scale = grid.levels.sigma[i].clamp_min(1.0).item()
        torch.testing.assert_close(states[i + 1].x, x, rtol=0, atol=TOLERANCE * scale)
