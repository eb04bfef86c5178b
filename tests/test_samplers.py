"""Does a walk keep its promises, whatever the sampler, the shape of the points and the schedule?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.samplers import (
    DDIM,
    DDPM,
    SAMPLERS,
    DPMSolver,
    Euler,
    Heun,
    PredictorCorrector,
    Sampler,
    SamplingContext,
    UniPC,
    make_sampler,
    prior,
    trajectory,
)
from diffuscope.diffusion.schedules import (
    EDM,
    VP,
    ContinuousCosine,
    Flow,
    Grid,
    Schedule,
    Spacing,
    cosine,
    linear,
    rescale_zero_terminal_snr,
)
from diffuscope.errors import InputError


class Waves(nn.Module):
    """A network with parameters, for points of any shape."""

    conditioning = "log_snr"

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.8))

    def forward(self, x: Tensor, log_snr: Tensor) -> Tensor:
        return torch.tanh(self.scale * x + log_snr.reshape(-1, *[1] * (x.ndim - 1)) / 20)


EVERY_SAMPLER: dict[str, Sampler] = {
    **{name: make_sampler(name) for name in SAMPLERS},
    "ddpm_beta": DDPM("beta"),
    "ddim_full": DDIM(1.0),
    "euler_churned": Euler(churn=10.0),
    "heun_churned": Heun(churn=10.0),
    "unipc_1": UniPC(1),
    "unipc_3": UniPC(3),
    "two_corrections": PredictorCorrector(corrections=2),
}
SILENT: dict[str, Schedule] = {
    "linear": rescale_zero_terminal_snr(linear(60)),
    "cosine": rescale_zero_terminal_snr(cosine(60)),
    "flow": Flow(),
    "continuous_cosine": ContinuousCosine(),
}
LOUD: dict[str, Schedule] = {"linear": linear(60), "vp": VP(), "edm": EDM()}
on_every_sampler = pytest.mark.parametrize("sampler", EVERY_SAMPLER)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(
    schedule: Schedule,
    sampler: Sampler,
    shape: tuple[int, ...] = (6, 2),
    n_steps: int = 7,
    spacing: Spacing = "uniform",
    seed: int = 0,
) -> list[Tensor]:
    grid = schedule.grid(n_steps, spacing)
    draws = generator(seed)
    denoiser = Denoiser(Waves(), schedule, "velocity")
    return [s.x for s in trajectory(denoiser, prior(grid, shape, draws), grid, sampler, draws)]


@on_every_sampler
def test_walk_yields_the_start_and_the_state_after_each_step(sampler: str) -> None:
    schedule = VP()
    grid = schedule.grid(5)
    x = torch.ones((3, 2))
    states = list(
        trajectory(Denoiser(Waves(), schedule, "velocity"), x, grid, EVERY_SAMPLER[sampler], generator())
    )
    assert [s.step for s in states] == list(range(6))
    assert torch.equal(states[0].x, torch.ones((3, 2)))
    for s in states:
        assert s.level == grid.levels.at(s.step)
        assert s.x.shape == (3, 2)
        assert s.x.dtype == torch.float32
    assert torch.equal(x, torch.ones((3, 2)))  # and leaves its start alone


@on_every_sampler
@pytest.mark.parametrize("n_steps", [1, 2, 3])
def test_the_shortest_walks_end_too(sampler: str, n_steps: int) -> None:
    for schedule in (*SILENT.values(), *LOUD.values()):
        states = run(schedule, EVERY_SAMPLER[sampler], n_steps=n_steps)
        assert len(states) == n_steps + 1
        assert torch.isfinite(states[-1]).all()


@on_every_sampler
def test_walk_follows_no_gradients_and_leaves_the_callers_mode_alone(sampler: str) -> None:
    schedule = LOUD["vp"]
    denoiser = Denoiser(Waves(), schedule, "velocity")
    for state in trajectory(
        denoiser, torch.ones((3, 2)), schedule.grid(4), EVERY_SAMPLER[sampler], generator()
    ):
        assert not state.x.requires_grad
        assert torch.is_grad_enabled()
    assert denoiser(torch.ones((3, 2)), schedule(torch.tensor(0.5))).requires_grad


@on_every_sampler
def test_same_seed_walks_to_the_same_bytes(sampler: str) -> None:
    first, second = (run(LOUD["edm"], EVERY_SAMPLER[sampler], spacing="karras") for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one.numpy().tobytes() == other.numpy().tobytes()
    assert not torch.equal(first[-1], run(LOUD["edm"], EVERY_SAMPLER[sampler], seed=1)[-1])


STOCHASTIC = {
    "ddpm", "ddpm_beta", "ddim_full", "euler_churned", "heun_churned", "dpmpp_2m_sde",
    "predictor_corrector", "two_corrections",
}  # fmt: skip


@on_every_sampler
def test_only_stochastic_samplers_draw_noise(sampler: str) -> None:
    schedule = LOUD["vp"]
    draws = generator()
    before = draws.get_state()
    denoiser = Denoiser(Waves(), schedule, "velocity")
    for _ in trajectory(denoiser, torch.ones((3, 2)), schedule.grid(4), EVERY_SAMPLER[sampler], draws):
        pass
    assert torch.equal(before, draws.get_state()) == (sampler not in STOCHASTIC)


def test_a_sampler_keeps_nothing_from_one_walk_to_the_next() -> None:
    for sampler in EVERY_SAMPLER.values():
        before = run(LOUD["vp"], sampler)[-1]
        run(LOUD["edm"], sampler, n_steps=3)
        assert torch.equal(run(LOUD["vp"], sampler)[-1], before)


@pytest.mark.parametrize("sampler", sorted(set(EVERY_SAMPLER) - STOCHASTIC))
@pytest.mark.parametrize("shape", [(6,), (3, 2), (1, 6), (2, 1, 3), (1, 1, 2, 3)])
def test_points_walk_alike_in_every_shape(sampler: str, shape: tuple[int, ...]) -> None:
    schedule = LOUD["vp"]
    denoiser = Denoiser(Waves(), schedule, "velocity")
    x = torch.linspace(-2, 2, 6)
    flat, shaped = (
        list(trajectory(denoiser, x.reshape(s), schedule.grid(6), EVERY_SAMPLER[sampler], generator()))[-1].x
        for s in ((6, 1), shape)
    )
    assert shaped.shape == shape
    torch.testing.assert_close(shaped.flatten(), flat.flatten())


@on_every_sampler
@pytest.mark.parametrize("shape", [(5,), (5, 2), (5, 3, 4, 4)])
def test_stochastic_walks_take_every_shape_too(sampler: str, shape: tuple[int, ...]) -> None:
    states = run(LOUD["linear"], EVERY_SAMPLER[sampler], shape)
    assert all(x.shape == shape for x in states)
    assert torch.isfinite(states[-1]).all()


@on_every_sampler
@pytest.mark.parametrize("spacing", ["uniform", "trailing", "karras"])
@pytest.mark.parametrize("schedule", SILENT)
def test_walks_from_where_no_signal_is_left_stay_finite(
    sampler: str, spacing: Spacing, schedule: str
) -> None:
    grid = SILENT[schedule].grid(12, spacing)
    assert grid.levels.alpha[0] == 0
    states = run(SILENT[schedule], EVERY_SAMPLER[sampler], n_steps=12, spacing=spacing)
    assert all(torch.isfinite(x).all() for x in states)
    assert all(x.abs().max() < 10 for x in states)  # Waves says |v| < 1: nothing may blow up


# A constant estimate of the data, c: the exact first step from pure noise is known for every sampler.


@pytest.mark.parametrize("schedule", SILENT)
@pytest.mark.parametrize("sampler", [DDIM(), Euler(), Heun(), DPMSolver(), UniPC(1), UniPC(2), UniPC(3)])
def test_deterministic_walk_of_a_constant_estimate_is_exact_from_pure_noise_on(
    schedule: str, sampler: Sampler
) -> None:
    """With x̂_0 = c the noise ε̂ never changes: x_s = α_s c + σ_s ε, at every level."""
    grid = SILENT[schedule].grid(10, "karras")
    eps = torch.randn((6, 2), generator=generator(), dtype=torch.float64)
    c = torch.tensor([0.3, -1.1], dtype=torch.float64)
    for state in trajectory(lambda x, _: c.expand_as(x), eps, grid, sampler, generator()):
        torch.testing.assert_close(state.x, state.level.alpha * c + state.level.sigma * eps)


@pytest.mark.parametrize("schedule", SILENT)
@pytest.mark.parametrize("sampler", [DDPM(), DDIM(1.0), DPMSolver(stochastic=True)])
def test_stochastic_step_from_pure_noise_forgets_it(schedule: str, sampler: Sampler) -> None:
    """q(x_s | x_T, x_0) is q(x_s | x_0) where x_T holds nothing of the data."""
    grid = SILENT[schedule].grid(10)
    c = torch.tensor([0.3, -1.1], dtype=torch.float64)
    way = SamplingContext(lambda x, _: c.expand_as(x), grid, generator(4))
    x = sampler(way, torch.randn((6, 2), generator=generator(), dtype=torch.float64))
    z = torch.randn((6, 2), generator=generator(4), dtype=torch.float64)
    torch.testing.assert_close(x, way.target.alpha * c + way.target.sigma * z, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sampler", ["heun", "dpmpp_2m", "unipc", "predictor_corrector", "dpmpp_2m_sde"])
def test_denoiser_is_never_asked_at_clean_data(sampler: str) -> None:
    asked = []

    def spy(x: Tensor, level: object) -> Tensor:
        asked.append(level.sigma.item())  # type: ignore[attr-defined]
        return 0.5 * x

    for _ in trajectory(spy, torch.ones((2, 2)), Flow().grid(6), make_sampler(sampler), generator()):
        pass
    assert min(asked) > 0


@pytest.mark.parametrize(
    ("sampler", "evaluations"),
    [("ddpm", 8), ("ddim", 8), ("euler", 8), ("heun", 15), ("dpmpp_2m", 8), ("unipc", 8),
     ("predictor_corrector", 15)],
)  # fmt: skip
def test_walk_asks_the_denoiser_as_often_as_its_method_needs(sampler: str, evaluations: int) -> None:
    calls = []

    def spy(x: Tensor, level: object) -> Tensor:
        calls.append(1)
        return 0.5 * x

    for _ in trajectory(spy, torch.ones((2, 2)), VP().grid(8), make_sampler(sampler), generator()):
        pass
    assert len(calls) == evaluations


def test_prior_draws_single_precision_of_the_grids_spread_from_its_generator() -> None:
    grid = EDM(sigma_max=7.0).grid(3)
    x = prior(grid, (4, 3), generator(2))
    assert x.dtype == torch.float32
    assert grid.prior_std == pytest.approx(50**0.5)
    torch.testing.assert_close(x, 50**0.5 * torch.randn((4, 3), generator=generator(2)))


def test_history_keeps_the_last_estimates_with_their_points_and_levels() -> None:
    grid: Grid = VP().grid(5)
    way = SamplingContext(lambda x, _: 2 * x, grid, generator())
    for step in range(4):
        way.step = step
        way.estimate(torch.full((1, 1), float(step)), keep=2)
    assert [e.x.item() for e in way.history] == [2.0, 3.0]
    assert [e.x_0.item() for e in way.history] == [4.0, 6.0]
    assert [e.level.t for e in way.history] == [grid.levels.t[2], grid.levels.t[3]]


@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc_remembers_no_more_estimates_than_its_order(order: int) -> None:
    kept = []

    def watched(way: SamplingContext, x: Tensor) -> Tensor:
        x = UniPC(order)(way, x)
        kept.append(len(way.history))
        return x

    for _ in trajectory(lambda x, _: 0.5 * x, torch.ones((2, 2)), VP().grid(6), watched, generator()):
        pass
    assert kept == [min(i + 1, order) for i in range(6)]


def test_posterior_variance_draws_no_noise_in_the_step_to_clean_data() -> None:
    """Beta does: the article's last step is noisy."""
    for sampler, draws in ((DDPM(), 5), (DDIM(1.0), 5), (DDPM("beta"), 6)):
        used = generator()
        for _ in trajectory(lambda x, _: 0.5 * x, torch.ones((2, 2)), VP().grid(6), sampler, used):
            pass
        expected = generator()
        for _ in range(draws):
            torch.randn((2, 2), generator=expected)
        assert torch.equal(used.get_state(), expected.get_state())


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_registered_name_makes_its_sampler(name: str) -> None:
    assert callable(make_sampler(name))


def test_names_make_the_samplers_that_they_name() -> None:
    assert make_sampler("ddpm", variance="beta") == DDPM("beta")
    assert make_sampler("ddim", eta=0.5) == DDIM(0.5)
    assert make_sampler("euler", churn=3.0) == Euler(churn=3.0)
    assert make_sampler("heun") == Heun()
    assert make_sampler("dpmpp_2m") == DPMSolver()
    assert make_sampler("dpmpp_2m_sde") == DPMSolver(stochastic=True)
    assert make_sampler("unipc", order=3) == UniPC(3)
    assert make_sampler("predictor_corrector", snr=0.2) == PredictorCorrector(0.2)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: make_sampler("huen"), "Did you mean 'heun'"),
        (lambda: make_sampler("xyzzy"), "Known: ddim"),
        (lambda: make_sampler("ddim", steps=3), "steps"),
        (lambda: make_sampler("heun", eta=1.0), "eta"),
        (lambda: make_sampler("dpmpp_2m_sde", eta=1.0), "eta"),
        (lambda: make_sampler("unipc", order=7), "Choose 1, 2 or 3"),
        (lambda: UniPC(0), "order 0"),
        (lambda: make_sampler("ddpm", variance="betas"), "Did you mean 'beta'"),
    ],
)
def test_what_cannot_be_made_is_said(make: Callable[[], object], says: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert says in str(caught.value)
