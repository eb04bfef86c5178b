"""Is the density that a flow gives the density of the law, for every set, schedule and kind of denoiser?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from diffuscope.data.points import POINT_SETS
from diffuscope.data.points.codec import PointsCodec
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.predictions import score_from_data
from diffuscope.diffusion.schedules import (
    EDM,
    VP,
    Flow,
    NoiseLevel,
    Schedule,
    cosine,
    linear,
    rescale_zero_terminal_snr,
)
from diffuscope.errors import InputError, RunError
from diffuscope.likelihood import log_density
from diffuscope.likelihood.ode import Slope, follow, follow_nodes
from diffuscope.likelihood.probability_flow import ModelFlow
from diffuscope.networks import ResMLP
from diffuscope.oracle import GaussianMixture, Oracle, oracle_for

SCHEDULES = {"edm": EDM(), "vp": VP(), "flow": Flow()}
NOISY = sorted(set(POINT_SETS) - {"checkerboard"})


class OnTimes:
    """A denoiser that knows the integer times of a schedule and nothing between them."""

    def __init__(self, denoiser, schedule: Schedule) -> None:
        self.denoiser, self.schedule = denoiser, schedule
        self.seen: list[int] = []

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        assert level.t.dtype == torch.int64
        assert level.alpha == self.schedule(level.t).alpha
        self.seen.append(int(level.t))
        return self.denoiser(x_t, level)


def least(schedule: Schedule) -> NoiseLevel:
    return schedule(torch.tensor(schedule.t_min))


def truth(law: Oracle, schedule: Schedule, x: Tensor) -> Tensor:
    """Log-density of the data with the noise of t_min."""
    level = least(schedule)
    return law.log_density(level.alpha * x, level) + law.d * level.alpha.log()


def on_and_off(law: Oracle, width: float, n: int = 15) -> Tensor:
    """Points of the law, and others some widths away."""
    x = law.draw(n, 1)
    away = torch.from_numpy(np.random.default_rng(2).standard_normal(x.shape))
    return torch.cat([x, x + 3 * width * away])


def gaussian(d: int, seed: int = 0) -> tuple[GaussianMixture, MultivariateNormal]:
    root = torch.from_numpy(np.random.default_rng(seed).standard_normal((d, d))) / math.sqrt(d)
    covariance = root @ root.T + 0.2 * torch.eye(d, dtype=torch.float64)
    mean = torch.linspace(-1, 1, d, dtype=torch.float64)
    law = GaussianMixture(mean[None], covariance[None])
    return law, MultivariateNormal(mean, covariance)


# Every law with one schedule, and with the others one law of each family: boxes, a mixture, a curve.
LAWS = [
    *(
        pytest.param(name, "edm", marks=[] if name in ("s_curve", "checkerboard") else pytest.mark.slow)
        for name in POINT_SETS
    ),
    *(("moons", kind) for kind in ("vp", "flow")),
    *(
        pytest.param(name, kind, marks=pytest.mark.slow)
        for name in ("checkerboard", "eight_gaussians")
        for kind in ("vp", "flow")
    ),
]


@pytest.mark.parametrize(("name", "kind"), LAWS)
def test_the_flow_of_a_perfect_model_has_the_density_of_its_law(name, kind):
    law, schedule = oracle_for(name), SCHEDULES[kind]
    width = math.hypot(POINT_SETS[name].noise, least(schedule).ratio.item())
    x = on_and_off(law, width)
    found = log_density(law, schedule, x, prior=law)
    torch.testing.assert_close(found.value, truth(law, schedule, x), rtol=0, atol=1e-3)
    assert found.evaluations < 600
    assert not found.standard_error.any()


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "s_curve" else pytest.mark.slow) for name in NOISY]
)
def test_it_is_the_density_of_clean_data_where_t_min_is_small_against_their_noise(name):
    law, noise = oracle_for(name), POINT_SETS[name].noise
    x = on_and_off(law, noise)
    found = log_density(law, EDM(sigma_min=noise / 500), x, prior=law)
    torch.testing.assert_close(found.value, law.log_density(x), rtol=0, atol=1e-3)


@pytest.mark.slow
def test_sharp_edges_are_blurred_by_the_noise_at_t_min():
    law, schedule = oracle_for("checkerboard"), EDM()
    inside, edge = torch.tensor([[-3.0, -3.0]]), torch.tensor([[-4.0, -3.0]])
    x = torch.cat([inside, edge]).double()
    found = log_density(law, schedule, x, prior=law).value - law.log_density(x)
    torch.testing.assert_close(found, torch.tensor([0.0, -math.log(2)]).double(), rtol=0, atol=1e-3)


@pytest.mark.parametrize("schedule", [*SCHEDULES.values(), EDM(sigma_min=0.5), VP(t_min=0.3)])
def test_a_gaussian_has_the_density_of_the_textbook(schedule):
    law, exact = gaussian(5)
    x = law.draw(50, 1)
    blurred = MultivariateNormal(
        exact.mean, exact.covariance_matrix + least(schedule).ratio ** 2 * torch.eye(5)
    )
    found = log_density(law, schedule, x, prior=law)
    torch.testing.assert_close(found.value, blurred.log_prob(x), rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_smaller_tolerance_gives_a_smaller_error():
    law, schedule = oracle_for("eight_gaussians"), EDM()
    x = on_and_off(law, 0.35)
    worst = []
    for tolerance in (1e-3, 1e-6, 1e-9):
        found = log_density(law, schedule, x, prior=law, tolerance=tolerance)
        worst.append((found.value - truth(law, schedule, x)).abs().max().item())
    assert worst[0] > 20 * worst[1] > 400 * worst[2]
    assert worst[2] < 1e-6


@pytest.mark.parametrize("tolerance", [1e-4, 1e-5, 1e-6])
def test_the_error_is_known_to_within_a_factor_of_ten(tolerance):
    law, schedule = oracle_for("s_curve"), EDM()
    x = law.draw(200, 1)
    found = log_density(law, schedule, x, prior=law, tolerance=tolerance)
    actual = (found.value - truth(law, schedule, x)).abs().mean()
    assert actual / 2 < found.error.mean() < 20 * actual


def test_walks_begin_in_a_normal_law_unless_the_true_one_is_given():
    # Data N(0, c I), a schedule that ends with signal left: the flow is linear, so that the
    # model is N(0, c' I) for the c' that the flow maps to the variance of the prior.
    c, schedule = 0.3, EDM(sigma_min=1e-3, sigma_max=0.5)
    law = GaussianMixture([[0.0, 0.0]], c)
    x = law.draw(50, 1)
    variance = (c + 1e-6) * (1 + 0.5**2) / (c + 0.5**2)
    model = MultivariateNormal(torch.zeros(2).double(), variance * torch.eye(2).double())
    found = log_density(law, schedule, x)
    torch.testing.assert_close(found.value, model.log_prob(x), rtol=0, atol=1e-4)
    assert (found.value - truth(law, schedule, x)).abs().max() > 0.3


@pytest.mark.slow
def test_hutchinsons_estimate_is_unbiased_and_knows_its_error():
    law, _ = gaussian(24)
    schedule = EDM()
    x = law.draw(300, 1)
    found = log_density(law, schedule, x, prior=law, probes=12, tolerance=1e-4)
    off = (found.value - truth(law, schedule, x)) / found.standard_error
    assert found.standard_error.mean() > 20 * found.error.mean()
    assert abs(off.mean()) < 4 / math.sqrt(300)
    assert 0.85 < off.std() < 1.3  # Student's t of 11 degrees of freedom: 1.11
    one, same, other = (
        log_density(law, schedule, x[:20], prior=law, probes=12, tolerance=1e-4, seed=seed).value
        for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert (other - one).abs().min() > 1e-6
    every = log_density(law, schedule, x[:20], prior=law, probes=24, tolerance=1e-4)
    torch.testing.assert_close(every.value, truth(law, schedule, x[:20]), rtol=0, atol=1e-2)
    assert not every.standard_error.any()


def test_one_probe_does_not_know_its_error():
    law, _ = gaussian(3)
    found = log_density(law, EDM(), law.draw(5, 1), prior=law, probes=1)
    assert found.standard_error.isnan().all()


@pytest.mark.parametrize("schedule", [linear(), cosine(), rescale_zero_terminal_snr(linear())])
def test_an_oracle_is_asked_between_the_times_of_a_discrete_schedule(schedule):
    law = oracle_for("moons")
    x = on_and_off(law, 0.1)
    found = log_density(law, schedule, x, prior=law)
    torch.testing.assert_close(found.value, truth(law, schedule, x), rtol=0, atol=1e-3)
    assert found.evaluations < 400


@pytest.mark.slow
@pytest.mark.parametrize(
    "schedule", [linear(), pytest.param(rescale_zero_terminal_snr(linear()), marks=pytest.mark.slow)]
)
def test_a_network_that_is_told_integer_times_is_asked_at_each_of_them_once(schedule):
    law = oracle_for("moons")
    denoiser = OnTimes(law, schedule)
    x = law.draw(100, 1)
    found = log_density(denoiser, schedule, x, prior=law)
    assert denoiser.seen == list(range(1000))
    actual = (found.value - truth(law, schedule, x)).abs()
    assert actual.mean() < 5e-4
    assert actual.mean() < found.error.mean() < 5 * actual.mean()


@pytest.mark.slow
def test_a_network_that_is_told_the_ratio_is_asked_between_the_times_too():
    torch.manual_seed(0)
    network, schedule = ResMLP(2, width=16), linear()
    torch.nn.init.normal_(network.output.weight, std=0.1)
    denoiser = Denoiser(network, schedule, "edm")
    x = torch.randn(50, 2)
    found = log_density(denoiser, schedule, x)
    assert found.evaluations < 500
    on_times = log_density(OnTimes(denoiser, schedule), schedule, x)
    torch.testing.assert_close(found.value, on_times.value, rtol=0, atol=3e-3)


@pytest.mark.slow
def test_single_precision_neither_stalls_nor_costs_much():
    torch.manual_seed(0)
    network = ResMLP(2, width=16)
    torch.nn.init.normal_(network.output.weight, std=0.1)
    single, x = Denoiser(network, EDM(), "edm"), torch.randn(50, 2)
    found = log_density(single, EDM(), x, tolerance=1e-9)
    assert found.evaluations < 1500
    exact = log_density(single.double(), EDM(), x.double(), tolerance=1e-9)
    torch.testing.assert_close(found.value, exact.value, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_points_come_back_in_their_order_whatever_the_batch():
    law = oracle_for("eight_gaussians")
    x = law.draw(50, 1)
    whole = log_density(law, EDM(), x, prior=law)
    parts = log_density(law, EDM(), x, prior=law, batch=7)
    torch.testing.assert_close(parts.value, whole.value, rtol=0, atol=1e-4)
    assert log_density(law, EDM(), x[:0], prior=law).value.shape == (0,)


@pytest.mark.slow
def test_points_may_have_any_shape():
    law, _ = gaussian(4)
    x = law.draw(6, 1)
    flat = log_density(law, VP(), x, prior=law)
    square = log_density(law, VP(), x.view(6, 2, 2), prior=law)
    torch.testing.assert_close(square.value, flat.value, rtol=0, atol=1e-9)
    estimated = log_density(law, VP(), x.view(6, 2, 2), prior=law, probes=3)
    assert ((estimated.value - flat.value).abs() < 8 * estimated.standard_error).all()


def test_a_model_has_a_density_in_the_units_of_the_data(tiny):
    run = tiny(data=lambda n, seed: np.random.default_rng(seed).normal([50.0, -2.0], [20.0, 0.1], (n, 2)))
    scale, shift = run.model.codec.scale, run.model.codec.shift
    ticks = (np.arange(80) + 0.5) / 8 - 5  # ten standard deviations in 80 cells
    z = np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2)
    log_p = run.log_density(shift + scale * z)
    assert log_p.shape == (6400,)
    assert log_p.dtype == np.float64
    assert np.exp(log_p).sum() * scale.prod() / 64 == pytest.approx(1, abs=2e-3)
    twice = run.model
    twice.codec = PointsCodec(2 * shift, 2 * scale)
    same = twice.log_density(2 * (shift + scale * z[:50]))
    np.testing.assert_allclose(same, log_p[:50] - 2 * math.log(2), rtol=0, atol=1e-3)


def test_points_that_do_not_fit_are_refused(tiny):
    run = tiny()
    with pytest.raises(InputError, match="do not match"):
        run.log_density(np.zeros((4, 3)))
    with pytest.raises(InputError, match="do not match"):
        run.log_density(np.zeros(2))
    with pytest.raises(InputError, match="not finite"):
        run.log_density(np.array([[0.0, math.nan]]))
    with pytest.raises(InputError, match="above 0"):
        run.log_density(np.zeros((4, 2)), tolerance=0.0)
    with pytest.raises(InputError, match="above 0"):
        run.log_density(np.zeros((4, 2)), probes=0)


def test_a_flow_that_is_not_finite_is_an_error_that_says_where():
    levels = []

    def broken(x_t: Tensor, level: NoiseLevel) -> Tensor:
        levels.append(level)
        return x_t / (level.sigma < 0.5)

    with pytest.raises(RunError, match=r"failed at sigma / alpha = 0\.5"):
        log_density(broken, EDM(), torch.zeros(3, 2))
    assert len(levels) < 1000


@pytest.mark.parametrize("s", [-5.0, -1.0, -0.1])
def test_the_flow_knows_the_slope_of_its_density(s):
    law, schedule = oracle_for("pinwheel"), VP(t_min=1e-5)
    flow = ModelFlow(law, schedule, None)
    level = flow.level(s)
    assert level.ratio.item() == pytest.approx(math.exp(s) * 2 / -math.expm1(2 * s))
    x = level.alpha * law.draw(20, 1) + 0.3 * level.sigma
    scale = level.alpha.hypot(level.sigma)
    slope = flow(s, x / scale)
    torch.testing.assert_close(
        flow.score(s, x / scale, slope), scale * score_from_data(law(x, level), x, level)
    )
    step = 1e-5
    later = log_density_in_z(law, flow, s + step, x / scale + step * slope.z)
    change = (later - log_density_in_z(law, flow, s, x / scale)) / step
    torch.testing.assert_close(change, -slope.volume[:, 0], rtol=1e-3, atol=1e-3)


def log_density_in_z(law: Oracle, flow: ModelFlow, s: float, z: Tensor) -> Tensor:
    level = flow.level(s)
    scale = level.alpha.hypot(level.sigma)
    return law.log_density(scale * z, level) + law.d * scale.log()


class Swell:
    """The field dz/ds = cos(s) z in two dimensions, of volume 2 sin s."""

    def __call__(self, s: float, z: Tensor) -> Slope:
        return Slope(math.cos(s) * z, torch.full((len(z), 1), 2 * math.cos(s), dtype=z.dtype))

    def velocity(self, s: float, z: Tensor) -> Tensor:
        return math.cos(s) * z

    def score(self, s: float, z: Tensor, slope: Slope) -> Tensor:
        return -z


def test_following_from_node_to_node_is_of_third_order():
    z = torch.ones(1, 2, dtype=torch.float64)
    wrong = []
    for n in (40, 80, 160):
        u = np.linspace(0, 1, n + 1)
        state = follow_nodes(Swell(), z, (-2 + 1.5 * u + 0.5 * u**2).tolist())  # uneven steps
        exact = math.exp(math.sin(0.0) - math.sin(-2.0))
        wrong.append(abs(state.z[0, 0].item() - exact))
    orders = np.log2(np.array(wrong[:-1]) / wrong[1:])
    assert (orders > 2.8).all(), orders


def test_following_to_a_tolerance_keeps_to_it():
    z = torch.ones(1, 2, dtype=torch.float64)
    state = follow(Swell(), z, -2.0, -0.1, 1e-10)
    turned = math.sin(-0.1) - math.sin(-2.0)
    assert state.z[0, 0].item() == pytest.approx(math.exp(turned), abs=1e-8)
    assert state.volume.item() == pytest.approx(2 * turned, abs=1e-8)


@pytest.mark.slow
def test_in_steps_of_an_earlier_call_a_point_depends_on_no_other():
    law = oracle_for("moons")
    x = law.draw(200, 1)
    first = log_density(law, EDM(), x, prior=law)
    assert len(first.nodes) > 10
    again = log_density(law, EDM(), x, prior=law, nodes=first.nodes)
    assert (again.value - first.value).abs().max() < 1e-9
    alone = log_density(law, EDM(), x[7:8], prior=law, nodes=first.nodes)
    assert abs(alone.value[0] - again.value[7]) < 1e-12
    own_steps = log_density(law, EDM(), x[7:8], prior=law)
    assert own_steps.nodes != first.nodes


@pytest.mark.parametrize("label", [None, torch.tensor([0, 1, 2, 1, 0])])
def test_a_trace_that_is_written_out_is_that_of_autograd(label):
    torch.manual_seed(0)
    network = ResMLP(3, width=16, depth=2, classes=0 if label is None else 2).double().eval()
    torch.nn.init.normal_(network.output.weight)
    if label is not None:
        torch.nn.init.normal_(network.label.weight)
    denoiser = Denoiser(network, EDM(), "edm", 0.7)
    x, level = torch.randn(5, 3, dtype=torch.float64), EDM()(torch.tensor(0.4))
    rows = torch.autograd.functional.jacobian(lambda x: denoiser(x, level, label), x)
    own = denoiser if label is None else denoiser.conditioned(label)
    estimate, trace = own.with_trace(x, level)
    assert torch.allclose(estimate, denoiser(x, level, label), atol=1e-12)
    assert torch.allclose(trace, torch.einsum("njnj->n", rows), atol=1e-12)


def test_without_a_written_trace_the_density_is_the_same(monkeypatch):
    torch.manual_seed(0)
    network = ResMLP(2, width=16, depth=2).double().eval()
    torch.nn.init.normal_(network.output.weight, std=0.1)
    denoiser, x = Denoiser(network, EDM(), "edm"), torch.randn(20, 2, dtype=torch.float64)
    found = log_density(denoiser, EDM(), x).value
    monkeypatch.delattr(ResMLP, "with_trace")
    assert torch.allclose(found, log_density(denoiser, EDM(), x).value, atol=1e-10)
