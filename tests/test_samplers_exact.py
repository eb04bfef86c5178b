"""Do the samplers solve the equations that they are said to solve, at the speed that they are said to?

Where the data's law is known, so is the denoiser, and so is what a perfect walk does to it:

* Gaussian data N(m, C) (correlated, 2-D): the probability-flow ODE is linear, and its solution between two
  levels is x_s = α_s m + (M_s M_t⁻¹)^½ (x_t − α_t m) with M = α² C + σ² I.
* A mixture of two Gaussians (1-D): the ODE is not linear, but it keeps quantiles, x_s = F_s⁻¹(F_t(x_t)).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice, pairwise

import pytest
import torch
from torch import Tensor

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
    SamplingState,
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
    NoiseLevel,
    Schedule,
    cosine,
    linear,
)

MEAN = torch.tensor([0.7, -1.3], dtype=torch.float64)
COVARIANCE = torch.tensor([[1.1, 0.9], [0.9, 1.7]], dtype=torch.float64)
EYE = torch.eye(2, dtype=torch.float64)


def marginal(level: NoiseLevel) -> Tensor:
    return level.alpha.square() * COVARIANCE + level.sigma.square() * EYE


def root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors @ torch.diag(values.sqrt()) @ vectors.T


class CorrelatedGaussian:
    """Data N(MEAN, COVARIANCE)."""

    dimension = 2

    def __call__(self, x: Tensor, level: NoiseLevel) -> Tensor:
        gain = level.alpha * COVARIANCE @ torch.linalg.inv(marginal(level))
        return MEAN + (x - level.alpha * MEAN) @ gain.T

    def flow(self, x: Tensor, now: NoiseLevel, target: NoiseLevel) -> Tensor:
        matrix = root(marginal(target)) @ torch.linalg.inv(root(marginal(now)))
        return target.alpha * MEAN + (x - now.alpha * MEAN) @ matrix.T


class Mixture:
    """Data 0.3 N(-1.2, 0.4²) + 0.7 N(0.9, 0.6²), in one dimension."""

    dimension = 1
    weight = torch.tensor([0.3, 0.7], dtype=torch.float64)
    mean = torch.tensor([-1.2, 0.9], dtype=torch.float64)
    variance = torch.tensor([0.16, 0.36], dtype=torch.float64)

    def _parts(self, level: NoiseLevel) -> tuple[Tensor, Tensor]:
        return level.alpha * self.mean, level.alpha.square() * self.variance + level.sigma.square()

    def __call__(self, x: Tensor, level: NoiseLevel) -> Tensor:
        mean, variance = self._parts(level)
        logits = self.weight.log() - 0.5 * (x - mean).square() / variance - 0.5 * variance.log()
        each = self.mean + level.alpha * self.variance / variance * (x - mean)
        return (logits.softmax(1) * each).sum(1, keepdim=True)

    def _cdf(self, x: Tensor, level: NoiseLevel) -> Tensor:
        mean, variance = self._parts(level)
        return (self.weight * torch.special.ndtr((x - mean) / variance.sqrt())).sum(1, keepdim=True)

    def flow(self, x: Tensor, now: NoiseLevel, target: NoiseLevel) -> Tensor:
        wanted = self._cdf(x, now)
        low, high = torch.full_like(x, -20.0), torch.full_like(x, 20.0)
        for _ in range(60):
            middle = (low + high) / 2
            below = self._cdf(middle, target) < wanted
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2


PROBLEMS = {"gaussian": CorrelatedGaussian(), "mixture": Mixture()}
# Between two levels that both have signal and noise, so that every quantity is smooth.
STRETCHES: dict[str, tuple[Schedule, float, float]] = {
    "vp": (VP(), 0.9, 0.1),
    "cosine": (ContinuousCosine(), 0.9, 0.1),
    "flow": (Flow(), 0.9, 0.1),
    "edm": (EDM(), 5.0, 0.1),
}


def smooth_grid(name: str, n_steps: int, beyond: int = 0) -> Grid:
    """Equal steps in t (EDM: in σ^(1/7)), and ``beyond`` more of them after the end of the stretch."""
    schedule, first, last = STRETCHES[name]
    power = 7 if name == "edm" else 1
    u = torch.arange(n_steps + 1 + beyond, dtype=torch.float64) / n_steps
    t = (first ** (1 / power) + u * (last ** (1 / power) - first ** (1 / power))) ** power
    return Grid(schedule(t), schedule.at_ratio)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def observed_orders(
    problem: CorrelatedGaussian | Mixture,
    stretch: str,
    sampler: Sampler,
    steps: tuple[int, ...],
    beyond: int = 0,
) -> list[float]:
    """Log-log slopes of the largest error at the end of the stretch, as the steps double."""
    x = torch.linspace(-2.5, 2.5, 30, dtype=torch.float64).reshape(-1, problem.dimension)
    errors = []
    for n_steps in steps:
        grid = smooth_grid(stretch, n_steps, beyond)
        states = trajectory(problem, x, grid, sampler, generator())
        end = next(islice(states, n_steps, None))
        exact = problem.flow(x, grid.levels.at(0), grid.levels.at(n_steps))
        errors.append((end.x - exact).abs().max().item())
    return [math.log2(a / b) for a, b in pairwise(errors)]


on_every_stretch = pytest.mark.parametrize("stretch", STRETCHES)
on_every_problem = pytest.mark.parametrize("problem", PROBLEMS)


@on_every_problem
@on_every_stretch
@pytest.mark.parametrize("sampler", [Euler(), DDIM(0.0)], ids=["euler", "ddim"])
def test_euler_and_ddim_converge_at_first_order(problem: str, stretch: str, sampler: Sampler) -> None:
    orders = observed_orders(PROBLEMS[problem], stretch, sampler, (32, 64, 128, 256))
    assert orders[-1] == pytest.approx(1.0, abs=0.05)


@on_every_problem
@on_every_stretch
def test_heun_converges_at_second_order(problem: str, stretch: str) -> None:
    orders = observed_orders(PROBLEMS[problem], stretch, Heun(), (32, 64, 128, 256))
    assert orders[-1] == pytest.approx(2.0, abs=0.1)


@on_every_problem
@on_every_stretch
def test_dpm_solver_2m_converges_at_second_order(problem: str, stretch: str) -> None:
    orders = observed_orders(PROBLEMS[problem], stretch, DPMSolver(), (128, 256))
    assert orders[-1] == pytest.approx(2.0, abs=0.1)


# UniPC-p: predictor of order p, corrector of order p + 1 (Zhao et al. 2023, Corollary 3.2), away from the
# ends: three steps more follow, because the order falls there. The corrector of the very first step is a
# trapezoidal rule, with an error h³ made once: at large n no more than 3 can be promised of order 3.
@on_every_problem
@on_every_stretch
@pytest.mark.parametrize(("order", "least", "most"), [(1, 1.9, 2.1), (2, 2.8, 3.2), (3, 2.9, 4.1)])
def test_unipc_converges_one_order_above_its_predictor(
    problem: str, stretch: str, order: int, least: float, most: float
) -> None:
    orders = observed_orders(PROBLEMS[problem], stretch, UniPC(order), (128, 256), beyond=3)
    assert least < orders[-1] < most


@on_every_stretch
def test_unipc_of_third_order_is_more_exact_than_of_second_and_that_than_of_first(stretch: str) -> None:
    grid = smooth_grid(stretch, 64, 3)
    problem = PROBLEMS["mixture"]
    x = torch.linspace(-2.5, 2.5, 30, dtype=torch.float64).reshape(-1, 1)
    exact = problem.flow(x, grid.levels.at(0), grid.levels.at(64))
    errors = [
        (next(islice(trajectory(problem, x, grid, UniPC(p), generator()), 64, None)).x - exact)
        .abs()
        .max()
        .item()
        for p in (1, 2, 3)
    ]
    assert errors[0] > 3 * errors[1] > 9 * errors[2]


@pytest.mark.parametrize("order", [2, 3])
def test_unipc_ends_a_walk_to_noisy_data_at_second_order_because_its_last_step_is_of_first(
    order: int,
) -> None:
    orders = observed_orders(PROBLEMS["gaussian"], "cosine", UniPC(order), (128, 256))
    assert orders[-1] == pytest.approx(2.0, abs=0.1)


@on_every_stretch
def test_ddim_is_eulers_method(stretch: str) -> None:
    x = torch.randn((10, 2), dtype=torch.float64, generator=generator())
    grid = smooth_grid(stretch, 12)
    pairs = zip(
        trajectory(PROBLEMS["gaussian"], x, grid, DDIM(), generator()),
        trajectory(PROBLEMS["gaussian"], x, grid, Euler(), generator()),
        strict=True,
    )
    for one, other in pairs:
        torch.testing.assert_close(one.x, other.x, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["vp", "cosine", "flow", "edm"])
def test_first_order_dpm_solver_step_is_ddim(name: str) -> None:
    x = torch.randn((10, 2), dtype=torch.float64, generator=generator())
    grid = smooth_grid(name, 5)
    first, second = (
        next(islice(trajectory(PROBLEMS["gaussian"], x, grid, s, generator()), 1, None)).x
        for s in (DPMSolver(), DDIM())
    )
    torch.testing.assert_close(first, second, rtol=1e-12, atol=1e-12)


# Stochastic samplers. With Gaussian data a whole walk is an affine map of its start and of all its noise:
# x = b + A x_T + Σ_k G_k z_k. Zeros and unit vectors in place of start and noise read off b, A and G, and
# with them the exact mean and covariance of what the sampler makes: no sample, no standard error.


class ScriptedWalk(SamplingContext):
    """A walk whose noise is zero, but for one coordinate of one draw in each row that asks for it."""

    draws = 0

    def noise(self, x: Tensor) -> Tensor:
        z = torch.zeros_like(x)
        first = 3 + 2 * self.draws
        if first < len(z):
            z[first : first + 2] = EYE
        self.draws += 1
        return z


def run_scripted(sampler: Sampler, grid: Grid, x: Tensor) -> tuple[Tensor, int]:
    way = ScriptedWalk(CorrelatedGaussian(), grid, generator())
    for step in range(grid.n_steps):
        way.step = step
        x = sampler(way, x)
    return x, way.draws


def exact_moments(sampler: Sampler, grid: Grid) -> tuple[Tensor, Tensor]:
    """Mean and covariance where walks end that start from the exact q(x_T)."""
    _, draws = run_scripted(sampler, grid, torch.zeros((1, 2), dtype=torch.float64))
    x = torch.zeros((3 + 2 * draws, 2), dtype=torch.float64)
    x[1:3] = EYE
    x, _ = run_scripted(sampler, grid, x)
    offset, gain = x[0], (x[1:] - x[0]).T
    start = grid.levels.at(0)
    mean = offset + gain[:, :2] @ (start.alpha * MEAN)
    covariance = gain[:, :2] @ marginal(start) @ gain[:, :2].T + gain[:, 2:] @ gain[:, 2:].T
    return mean, covariance


STOCHASTIC = {
    "ddpm": (DDPM(), 1),
    "ddpm_beta": (DDPM("beta"), 1),
    "ddim_half": (DDIM(0.5), 1),
    "ddim_full": (DDIM(1.0), 1),
    "euler_churned": (Euler(churn=10.0), 1),
    "heun_churned": (Heun(churn=10.0), 2),
    "dpmpp_2m_sde": (DPMSolver(stochastic=True), 2),
    "predictor_corrector": (PredictorCorrector(), 1),
}
WALKS: dict[str, tuple[Schedule, str]] = {
    "vp": (VP(), "uniform"),
    "cosine": (ContinuousCosine(), "uniform"),
    "flow": (Flow(), "karras"),
    "edm": (EDM(), "karras"),
    "linear": (linear(1000), "uniform"),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("vp", "cosine", "edm")), "flow", "linear"],
)
@pytest.mark.parametrize("name", STOCHASTIC)
def test_stochastic_sampler_reaches_the_mean_and_covariance_at_its_weak_order(
    name: str, schedule: str
) -> None:
    sampler, order = STOCHASTIC[name]
    maker, spacing = WALKS[schedule]
    errors = []
    for n_steps in (100, 200):
        mean, covariance = exact_moments(sampler, maker.grid(n_steps, spacing))  # type: ignore[arg-type]
        torch.testing.assert_close(mean, MEAN, rtol=0, atol=1e-12)
        errors.append((covariance - COVARIANCE).abs().max().item())
    observed = math.log2(errors[0] / errors[1])
    assert observed > order - 0.2  # walks down to clean data: the approach to the order may be from above
    assert errors[-1] < (0.13 if order == 1 else 0.01)


@pytest.mark.parametrize("schedule", WALKS)
@pytest.mark.parametrize(
    "name", [n for n in STOCHASTIC if n not in ("euler_churned", "heun_churned", "predictor_corrector")]
)
def test_one_long_last_step_gives_the_estimate_of_the_data(name: str, schedule: str) -> None:
    """To clean data the posterior is a point: x_0 itself, plus β where the variance is said to be β."""
    sampler, _ = STOCHASTIC[name]
    grid = WALKS[schedule][0].grid(1)
    x = 3 * torch.randn((5, 2), dtype=torch.float64, generator=generator())
    end = list(trajectory(CorrelatedGaussian(), x, grid, sampler, generator(1)))[-1].x
    expected = CorrelatedGaussian()(x, grid.levels.at(0))
    if name == "ddpm_beta":
        z = torch.randn(x.shape, dtype=torch.float64, generator=generator(1))
        expected = expected + grid.levels.sigma[0] * z
    torch.testing.assert_close(end, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("schedule", WALKS)
def test_ddim_with_eta_one_is_ddpm(schedule: str) -> None:
    maker, spacing = WALKS[schedule]
    grid = maker.grid(20, spacing)  # type: ignore[arg-type]
    x = torch.randn((10, 2), dtype=torch.float64, generator=generator())
    one, other = (
        list(trajectory(CorrelatedGaussian(), x, grid, s, generator(5)))[-1].x for s in (DDIM(1.0), DDPM())
    )
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", [VP(), EDM(), Flow(), linear(1000)], ids=["vp", "edm", "flow", "linear"])
def test_churn_keeps_the_marginal(schedule: Schedule) -> None:
    """From q(x_t) to q at the raised level, exactly; the raised level is noisier by 1 + γ."""
    sampler = Euler(churn=3.0)
    grid = schedule.grid(10, "karras")
    way = ScriptedWalk(CorrelatedGaussian(), grid, generator(), step=5)
    rows = torch.cat([torch.zeros((1, 2), dtype=torch.float64), EYE, torch.zeros_like(EYE)])
    moved, raised = sampler._add_churn(way, rows)
    gain = moved[1:].T
    covariance = gain[:, :2] @ marginal(way.now) @ gain[:, :2].T + gain[:, 2:] @ gain[:, 2:].T
    torch.testing.assert_close(covariance, marginal(raised), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gain[:, :2] @ (way.now.alpha * MEAN), raised.alpha * MEAN)
    # a discrete schedule has only its T levels
    assert (raised.ratio / way.now.ratio).item() == pytest.approx(
        1.3, rel=0.02 if schedule.discrete else 1e-9
    )


def test_churn_is_added_only_between_its_bounds_and_at_most_by_the_root_of_two() -> None:
    grid = EDM().grid(10, "karras")
    x = torch.zeros((5, 2), dtype=torch.float64)
    ratios = []
    for step in range(10):
        way = ScriptedWalk(CorrelatedGaussian(), grid, generator(), step=step)
        _, raised = Euler(churn=1e3, churn_min=0.05, churn_max=50.0)._add_churn(way, x)
        ratios.append((raised.ratio / way.now.ratio).item())
        inside = 0.05 <= way.now.ratio <= 50.0
        assert ratios[-1] == pytest.approx(math.sqrt(2) if inside else 1.0)
    assert min(ratios) == 1.0 < max(ratios)


def test_churn_noise_scales_the_noise_that_is_added() -> None:
    grid = EDM().grid(10, "karras")
    x = torch.zeros((5, 2), dtype=torch.float64)
    plain, louder = (
        Euler(churn=2.0, churn_noise=s)._add_churn(
            ScriptedWalk(CorrelatedGaussian(), grid, generator(), step=4), x
        )[0]
        for s in (1.0, 1.5)
    )
    assert plain.abs().max() > 0
    torch.testing.assert_close(louder, 1.5 * plain)


def test_langevin_corrections_settle_at_the_marginal_up_to_half_their_step() -> None:
    """Its steps settle at M (I − δ M⁻¹ / 2)⁻¹ for the marginal M and δ = 2 (snr σ)², as theory says."""
    schedule = VP()
    t = torch.tensor([0.5, 0.4], dtype=torch.float64)
    grid = Grid(schedule(t), schedule.at_ratio)
    many = PredictorCorrector(snr=0.3, corrections=400)
    way = ScriptedWalk(CorrelatedGaussian(), grid, generator())
    x = torch.zeros((3 + 2 * 401, 2), dtype=torch.float64)
    x[1:3] = EYE
    gain = many(way, x)
    gain = (gain[1:] - gain[0]).T[:, 2:]
    matrix, sigma = marginal(way.target), way.target.sigma
    delta = 2 * (0.3 * sigma).square()
    expected = matrix @ torch.linalg.inv(EYE - delta / 2 * torch.linalg.inv(matrix))
    torch.testing.assert_close(gain @ gain.T, expected, rtol=1e-9, atol=1e-9)


def test_predictor_corrector_without_corrections_is_ddpm() -> None:
    grid = VP().grid(10)
    x = torch.randn((10, 2), dtype=torch.float64, generator=generator())
    one, other = (
        list(trajectory(CorrelatedGaussian(), x, grid, s, generator(5)))[-1].x
        for s in (PredictorCorrector(corrections=0), DDPM())
    )
    assert torch.equal(one, other)


def test_samples_drawn_by_every_sampler_have_the_datas_moments() -> None:
    """The affine bookkeeping above against plain sampling, within five standard errors of 20,000 points."""
    n = 20_000
    grid = ContinuousCosine(t_max=0.999).grid(100)
    for name in SAMPLERS:
        if name == "euler":
            continue  # is DDIM
        x = marginal_draw(grid, n)
        end = list(trajectory(CorrelatedGaussian(), x, grid, make_sampler(name), generator(7)))[-1].x
        mean, covariance = exact_moments(make_sampler(name), grid)
        error = (end.mean(0) - mean).abs() / (covariance.diagonal() / n).sqrt()
        assert error.max() < 5, name
        spread = (covariance.square() + torch.outer(covariance.diagonal(), covariance.diagonal())).sqrt()
        assert ((end.T.cov() - covariance).abs() / (spread / math.sqrt(n))).max() < 5, name


def marginal_draw(grid: Grid, n: int) -> Tensor:
    start = grid.levels.at(0)
    z = torch.randn((n, 2), dtype=torch.float64, generator=generator(3))
    return start.alpha * MEAN + z @ root(marginal(start))


@pytest.mark.parametrize("schedule", [cosine(1000), Flow(), EDM()], ids=["cosine", "flow", "edm"])
@pytest.mark.parametrize(
    ("sampler", "bound"), [(Heun(), 2e-2), (DPMSolver(), 2e-2), (UniPC(3), 2e-2), (DDIM(), 0.2)]
)
def test_full_walk_to_clean_data_is_the_exact_flow(
    schedule: Schedule, sampler: Sampler, bound: float
) -> None:
    """From the prior's level down to α = 1, σ = 0; the last step is Euler's and costs what σ is left."""
    grid = schedule.grid(60, "karras")
    x = marginal_draw(grid, 50)
    end = list(trajectory(CorrelatedGaussian(), x, grid, sampler, generator()))[-1]
    assert (end.level.alpha, end.level.sigma) == (1, 0)
    exact = CorrelatedGaussian().flow(x, grid.levels.at(0), end.level)
    assert (end.x - exact).abs().max() < bound


@pytest.mark.parametrize("schedule", [VP(), Flow(), EDM(sigma_max=20.0)], ids=["vp", "flow", "edm"])
def test_prior_has_the_spread_of_the_noisiest_level(schedule: Schedule) -> None:
    grid = schedule.grid(5)
    x = prior(grid, (100_000,), generator())
    first = grid.levels.at(0)
    expected = math.sqrt(first.alpha.item() ** 2 + first.sigma.item() ** 2)
    assert grid.prior_std == pytest.approx(expected)
    assert x.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * 100_000))


def test_own_sampler_is_a_plain_function() -> None:
    def jump(way: SamplingContext, x: Tensor) -> Tensor:
        return way.target.alpha * way.estimate(x)

    def states(sampler: Callable[[SamplingContext, Tensor], Tensor]) -> Iterator[SamplingState]:
        return trajectory(
            CorrelatedGaussian(), torch.ones((4, 2), dtype=torch.float64), grid, sampler, generator()
        )

    grid = Flow().grid(3)
    ends = list(states(jump))
    assert [s.step for s in ends] == [0, 1, 2, 3]
    x = torch.ones((4, 2), dtype=torch.float64)
    for step in range(3):
        x = grid.levels.alpha[step + 1] * CorrelatedGaussian()(x, grid.levels.at(step))
    torch.testing.assert_close(ends[-1].x, x)
