"""Are the oracles exact: against brute force, against each other, and against the sets' own generators?"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from diffuscope.data.affine import Scaling
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.diffusion.samplers import DDIM, Heun, prior, trajectory
from diffuscope.diffusion.schedules import EDM, VP, NoiseLevel
from diffuscope.errors import InputError
from diffuscope.metrics import sliced_wasserstein
from diffuscope.oracle import (
    CurveOracle,
    EmpiricalOracle,
    GaussianMixture,
    Oracle,
    UniformBoxes,
    oracle_for,
    oracle_of,
)
from diffuscope.oracle.boxes import log_mean_normal, truncated_normal_place

CURVES = sorted(set(POINT_SETS) - {"checkerboard", "eight_gaussians"})
MEANS = [[-1.0, 0.5], [2.0, 1.0], [0.0, -1.5]]
WEIGHTS = [0.5, 0.2, 0.3]
FULL = [[[0.3, 0.1], [0.1, 0.2]], [[0.5, -0.2], [-0.2, 0.3]], [[0.2, 0.0], [0.0, 0.4]]]
SCALING = Scaling(np.array([0.3, -1.0]), np.array([2.0, 0.7]))

LAWS: dict[str, Oracle] = {
    "isotropic": GaussianMixture(MEANS, 0.3, WEIGHTS),
    "diagonal, shared": GaussianMixture(MEANS, [0.2, 0.6], WEIGHTS),
    "diagonal, each": GaussianMixture(MEANS, [[0.2, 0.6], [0.4, 0.3], [0.5, 0.5]], WEIGHTS),
    "full": GaussianMixture(MEANS, FULL, WEIGHTS),
    "boxes": UniformBoxes([[-2.0, -1.0], [0.0, 0.5]], [[-1.0, 1.0], [1.5, 1.0]], weights=[0.4, 0.6]),
    "boxes, blurred": UniformBoxes([[-2.0, -1.0], [0.0, 0.5]], [[-1.0, 1.0], [1.5, 1.0]], [0.2, 0.3]),
    **{name: oracle_for(name) for name in POINT_SETS},
}
SCALED: dict[str, Oracle] = {f"{name}, scaled": law.scaled(SCALING) for name, law in LAWS.items()}
ALL = {**LAWS, **SCALED, "points": EmpiricalOracle(MEANS)}
LEVELS = [(1.0, 0.05), (1.0, 0.7), (0.6, 0.8), (0.02, 1.0), (1.0, 40.0)]


def level(alpha: float | list[float], sigma: float | list[float]) -> NoiseLevel:
    a, s = (torch.tensor(c, dtype=torch.float64) for c in (alpha, sigma))
    return NoiseLevel(torch.zeros_like(a), a, s)


def noised(law: Oracle, at: NoiseLevel, n: int = 40, seed: int = 1) -> Tensor:
    x = law.draw(n, seed)
    noise = torch.from_numpy(np.random.default_rng(seed).standard_normal(x.shape))
    return at.alpha.reshape(-1, 1) * x + at.sigma.reshape(-1, 1) * noise


def grid_of(law: Oracle, at: NoiseLevel | None, m: int) -> tuple[Tensor, float]:
    """Points (m², 2) over all of a density, and the area for which each stands."""
    x = law.draw(2000, 3)
    spread = 0.0 if at is None else at.sigma.item()
    alpha = 1.0 if at is None else at.alpha.item()
    margin = 6.5 * spread + alpha * 0.45 * (x.amax(0) - x.amin(0))
    low, high = alpha * x.amin(0) - margin, alpha * x.amax(0) + margin
    cell = (high - low) / m
    axes = [low[j] + cell[j] * (torch.arange(m, dtype=torch.float64) + 0.5) for j in range(2)]
    return torch.cartesian_prod(*axes), cell.prod().item()


def gradient(law: Oracle, x: Tensor, at: NoiseLevel | None) -> Tensor:
    x = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(law.log_density(x, at).sum(), x)
    return slope


@pytest.mark.parametrize("name", ALL)
def test_the_score_is_the_gradient_of_the_log_density(name):
    for alpha, sigma in LEVELS:
        at = level(alpha, sigma)
        x = noised(ALL[name], at)
        slope = gradient(ALL[name], x, at)
        torch.testing.assert_close(ALL[name].score(x, at), slope, rtol=1e-6, atol=1e-6 / sigma)


@pytest.mark.parametrize("name", ["full", "boxes, blurred", "s_curve", "s_curve, scaled"])
def test_clean_data_has_a_score_too(name):
    law = ALL[name]
    x, clean, nearly = law.draw(40, 1), level(1.0, 0.0), level(1.0, 1e-5)
    torch.testing.assert_close(law.score(x, clean), gradient(law, x, None))
    torch.testing.assert_close(law.score(x, clean), law.score(x, nearly), rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="no density"):
        ALL["points"].score(x, clean)


@pytest.mark.parametrize("name", ALL)
def test_the_denoiser_is_tweedies_formula(name):
    at = level(0.6, 0.8)
    law, x = ALL[name], noised(ALL[name], at)
    x_0 = (x + 0.8**2 * gradient(law, x, at)) / 0.6
    torch.testing.assert_close(law(x, at), x_0, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["isotropic", "diagonal, each", "full", "boxes, blurred", "s_curve"])
@pytest.mark.parametrize(("alpha", "sigma"), [(1.0, 0.3), (0.6, 0.8)])
def test_the_noised_law_is_the_convolution_of_the_clean_one(name, alpha, sigma):
    law, at = LAWS[name], level(alpha, sigma)
    x_0, cell = grid_of(law, None, 220)
    x = noised(law, at, 30)
    clean = law.log_density(x_0)
    kernel = -(x[:, None] - alpha * x_0).square().sum(2) / (2 * sigma**2) - math.log(2 * math.pi * sigma**2)
    joint = (clean + kernel + math.log(cell)).exp()  # (30, grid)
    torch.testing.assert_close(law.log_density(x, at), joint.sum(1).log(), rtol=0, atol=1e-5)
    torch.testing.assert_close(law(x, at), joint @ x_0 / joint.sum(1, keepdim=True), rtol=0, atol=1e-5)


def test_in_one_dimension_too_the_noised_law_is_the_convolution():
    laws = [
        GaussianMixture([[0.0], [2.0]], [[0.1], [0.5]], [0.3, 0.7]),
        UniformBoxes([[0.0], [2.0]], [[1.0], [2.5]], 0.2),
    ]
    x_0 = torch.linspace(-8, 12, 20_001, dtype=torch.float64)
    x = torch.linspace(-3, 4, 15, dtype=torch.float64)[:, None]
    for law in laws:
        kernel = (-(x - 0.7 * x_0).square() / (2 * 0.4**2)).exp() / (0.4 * math.sqrt(2 * math.pi))
        joint = kernel * law.log_density(x_0[:, None]).exp() * 1e-3
        at = level(0.7, 0.4)
        torch.testing.assert_close(law.log_density(x, at).exp(), joint.sum(1), rtol=1e-8, atol=1e-12)
        torch.testing.assert_close(law(x, at)[:, 0], joint @ x_0 / joint.sum(1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 3.0])
@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_the_checkerboard_agrees_with_quadrature_over_its_squares(noise, sigma):
    law, at, alpha = oracle_for("checkerboard", noise), level(0.8, sigma), 0.8
    far = 3.2 + 6 * sigma  # further out the mass sits in an edge too thin for the rule below
    x = torch.cat([noised(law, at, 30), torch.tensor([[far, far], [-0.9, far + sigma]])])
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = np.linspace(0, 2, 41)  # panels of 0.05: ample for a Gaussian of 0.01
    t = torch.from_numpy((edges[:-1, None] + 0.025 * (nodes + 1)).ravel())
    log_w = torch.from_numpy(np.tile(weights / 2 / 40, 40)).log()
    log_p, mean = [], []
    variance = (alpha * noise) ** 2 + sigma**2
    for low in law.low:
        u = low[:, None] + t  # (2, m)
        joint = log_w - (x[:, :, None] - alpha * u).square() / (2 * variance)  # (n, 2, m)
        log_p.append((joint.logsumexp(2) - 0.5 * math.log(2 * math.pi * variance)).sum(1))
        mean.append((torch.softmax(joint, 2) * u).sum(2))
    joint = torch.stack(log_p, 1) - math.log(8)
    r = torch.softmax(joint, 1)
    centre = (r[:, :, None] * torch.stack(mean, 1)).sum(1)
    expected = centre + alpha * noise**2 / variance * (x - alpha * centre)
    torch.testing.assert_close(law.log_density(x, at), joint.logsumexp(1), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(law(x, at), expected, rtol=0, atol=1e-8)


def test_cut_off_normals_keep_their_digits_in_tails_and_slivers():
    nodes, weights = np.polynomial.legendre.leggauss(60)
    v, w = (torch.from_numpy(a) / 2 for a in (nodes, weights))
    for width in (1e-9, 5e-4, 0.002, 0.1, 1.0):
        for middle in (-50.0, -3.0, 0.0, 0.4, 8.0, 50.0):
            q, p = (torch.tensor(middle + s * width / 2, dtype=torch.float64) for s in (-1, 1))
            exponent = -middle * width * v - 0.5 * (width * v).square()
            log_mean = (w * exponent.exp()).sum().log() - 0.5 * middle**2 - 0.5 * math.log(2 * math.pi)
            place = 0.5 + (w * exponent.exp() * v).sum() / (w * exponent.exp()).sum()
            found = log_mean_normal(q, p)
            torch.testing.assert_close(found, log_mean, rtol=1e-12, atol=1e-11)
            torch.testing.assert_close(truncated_normal_place(q, p, found), place, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", {**LAWS, **SCALED})
def test_densities_integrate_to_one(name):
    for at in (None, level(0.6, 0.8)):
        if at is None and name.startswith(("boxes", "checkerboard")):
            continue  # a sum over a grid does not see sharp edges exactly
        points, cell = grid_of(ALL[name], at, 130)
        total = ALL[name].log_density(points, at).exp().sum().item() * cell
        assert total == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("name", CURVES)
def test_twice_the_components_change_nothing(name):
    x = load_dataset(name, size=2).draw(2000, 4)
    once, twice = oracle_for(name), oracle_for(name, resolution=2.0)
    assert twice.mixture().k > 1.5 * once.mixture().k
    assert (twice.log_density(x) - once.log_density(x)).abs().max() < 1e-6
    for ratio in (0.05, 1.0, 30.0):
        at = level(1.0, ratio)
        x_t = noised(once, at, 500)
        torch.testing.assert_close(once(x_t, at), twice(x_t, at), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", POINT_SETS)
def test_the_generators_draws_have_the_entropy_of_the_law(name):
    dataset = load_dataset(name, size=2)
    law = oracle_of(dataset)
    surprise = -law.log_density(dataset.draw(20_000, 7))
    error = surprise.std().item() / math.sqrt(20_000)
    entropy = law.entropy()
    assert entropy.method in ("exact", "quadrature")
    assert entropy.error < 1e-4
    assert surprise.mean().item() == pytest.approx(entropy.value, abs=4 * error + 1e-12)


@pytest.mark.parametrize("name", POINT_SETS)
def test_the_generators_draws_lie_where_the_density_says(name):
    """Pearson's chi-squared over a grid of cells, each with its mass by the midpoint rule."""
    law = oracle_for(name)
    if name == "checkerboard":
        law = oracle_for(name, 0.2)
    x = load_dataset(name, size=2, noise=0.2 if name == "checkerboard" else None).draw(20_000, 8).T
    cells, inside = 24, 6
    low, high = x.min(1), x.max(1)
    edges = [np.linspace(low[j], high[j], cells + 1) for j in range(2)]
    counts = np.histogram2d(*x, bins=edges)[0]
    step = (high - low) / (cells * inside)
    axes = [torch.from_numpy(low[j] + step[j] * (np.arange(cells * inside) + 0.5)) for j in range(2)]
    p = law.log_density(torch.cartesian_prod(*axes)).exp().numpy() * step.prod()
    expected = p.reshape(cells, inside, cells, inside).sum((1, 3)) * 20_000
    common = expected >= 8
    rare = expected[~common].sum() + 20_000 - expected.sum(), counts[~common].sum()
    statistic = ((counts - expected) ** 2 / np.maximum(expected, 1e-9))[common].sum()
    statistic += (rare[1] - rare[0]) ** 2 / max(rare[0], 1.0)
    assert chi2.sf(statistic, int(common.sum())) > 1e-3


@pytest.mark.parametrize("name", LAWS)
def test_an_oracle_draws_from_its_own_law(name):
    law = LAWS[name]
    x = law.draw(20_000, 9)
    assert torch.equal(x, law.draw(20_000, 9))
    assert not torch.equal(x, law.draw(20_000, 10))
    surprise, entropy = -law.log_density(x), law.entropy()
    error = math.hypot(surprise.std().item() / math.sqrt(20_000), entropy.error)
    assert surprise.mean().item() == pytest.approx(entropy.value, abs=4 * error + 1e-12)


def test_entropies_have_their_closed_forms():
    c = np.array([[0.3, 0.1], [0.1, 0.2]])
    one = GaussianMixture([[3.0, -1.0]], c[None])
    expected = 0.5 * math.log(np.linalg.det(2 * math.pi * math.e * c))
    assert one.entropy().value == pytest.approx(expected, abs=1e-9)
    at = level(0.5, 0.8)
    noisy = 0.5 * math.log(np.linalg.det(2 * math.pi * math.e * (0.25 * c + 0.64 * np.eye(2))))
    assert one.entropy(at).value == pytest.approx(noisy, abs=1e-9)
    board = oracle_for("checkerboard").entropy()
    assert (board.value, board.method) == (pytest.approx(math.log(32), abs=1e-12), "exact")
    in_five = GaussianMixture(np.zeros((1, 5)), 2.0).entropy()
    assert in_five.method == "monte carlo"
    assert in_five.value == pytest.approx(2.5 * math.log(4 * math.pi * math.e), abs=4 * in_five.error)


@pytest.mark.parametrize("name", LAWS)
def test_scaling_is_the_change_of_variables(name):
    law, small = LAWS[name], SCALED[f"{name}, scaled"]
    shift, scale = (torch.from_numpy(a) for a in (SCALING.shift, SCALING.scale))
    assert type(small) is type(law)
    x = law.draw(50, 2)
    moved = small.log_density((x - shift) / scale)
    torch.testing.assert_close(moved, law.log_density(x) + scale.log().sum(), rtol=1e-8, atol=1e-8)
    volume = small.entropy().value + math.log(1.4)
    assert volume == pytest.approx(law.entropy().value, abs=1e-6)
    if name != "full":  # where the draws' principal axes are turned by the scaling
        torch.testing.assert_close(small.draw(5, 1), (law.draw(5, 1) - shift) / scale)
    # A scaling of equal sides shrinks the noise with the data, so the denoiser follows by hand
    even = Scaling(np.array([0.3, -1.0]), np.array([2.0, 2.0]))
    at, wide = level(0.6, 0.4), level(0.6, 0.8)
    x_t = noised(law.scaled(even), at)
    expected = (law(2 * x_t + 0.6 * shift, wide) - shift) / 2
    torch.testing.assert_close(law.scaled(even)(x_t, at), expected, rtol=0, atol=1e-7)
    back = small.scaled(Scaling(-SCALING.shift / SCALING.scale, 1 / SCALING.scale))
    torch.testing.assert_close(back(x_t, at), law(x_t, at), rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ALL)
def test_the_ends_of_a_schedule_are_answered_exactly(name):
    law = ALL[name]
    x = 3 * torch.from_numpy(np.random.default_rng(5).standard_normal((6, 2)))
    mean = law(x, level(0.0, 1.0))
    torch.testing.assert_close(mean, mean[:1].expand(6, 2))
    draws = law.draw(40_000, 6)
    assert ((mean[0] - draws.mean(0)).abs() < 5 * draws.std(0) / 200).all()
    if name != "points":
        normal = -0.5 * x.square().sum(1) - math.log(2 * math.pi)
        torch.testing.assert_close(law.log_density(x, level(0.0, 1.0)), normal)
    assert torch.equal(law(x, level(0.5, 0.0)), x / 0.5)
    several = level([0.0, 0.5, 1.0, 1.0, 0.6, 1.0], [1.0, 0.0, 1e-3, 100.0, 0.8, 0.0])
    one_by_one = torch.cat([law(x[i : i + 1], several.at(slice(i, i + 1))) for i in range(6)])
    torch.testing.assert_close(law(x, several), one_by_one, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sigma", [1e-3, 100.0])
def test_extreme_levels_stay_finite_and_inside_the_data(name, sigma):
    law, at = ALL[name], level(1.0, sigma)
    x = torch.cat([noised(law, at, 20), torch.tensor([[40.0, -40.0], [0.0, 0.0]])])
    assert law.log_density(x, at).isfinite().all()
    assert law.score(x, at).isfinite().all()
    draws = law.draw(4000, 1)
    if sigma == 100.0:
        assert ((law(x, at) - draws.mean(0)).abs() < draws.amax(0) - draws.amin(0)).all()
    else:
        close = (law(x[:20], at) - x[:20]).abs().amax()
        assert close < 0.01


def test_answers_come_in_the_type_and_shape_of_the_question():
    law, at = LAWS["s_curve"], level(1.0, 0.3)
    x = noised(law, at)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        asked = x.to(dtype)
        assert law(asked, at).dtype == dtype
        torch.testing.assert_close(law(asked, at), law(asked.double(), at).to(dtype), rtol=0, atol=0)
    assert law.log_density(x.float()).dtype == torch.float64
    assert law.log_density(x.numpy()).shape == (40,)
    assert law(x[:0], at).shape == (0, 2)
    images = EmpiricalOracle(np.random.default_rng(0).random((7, 1, 3, 3)))
    assert images(torch.zeros(2, 1, 3, 3), at).shape == (2, 1, 3, 3)


@pytest.mark.parametrize("name", CURVES)
def test_a_curve_without_noise_has_a_denoiser_and_no_density(name):
    bare = oracle_for(name, 0.0)
    with pytest.raises(InputError, match="no density"):
        bare.log_density([[0.0, 0.0]])
    with pytest.raises(InputError, match="no density"):
        bare.entropy()
    with pytest.raises(InputError, match="no density"):
        bare.log_density([[0.0, 0.0]], level(1.0, 0.0))
    x = bare.draw(30, 3)
    at = level(1.0, 0.01)
    assert (bare(x, at) - x).norm(dim=1).max() < 1e-2  # stays on the curve
    # Its noised density is the clean one of the set with that noise.
    torch.testing.assert_close(
        bare.log_density(x, level(1.0, 0.1)), oracle_for(name, 0.1).log_density(x), rtol=0, atol=1e-5
    )


def test_nodes_suffice_for_noise_that_is_small_in_the_units_of_the_data():
    bare = oracle_for("moons", 0.0)
    small = Scaling(np.zeros(2), np.array([0.05, 0.05]))
    x = bare.draw(30, 3) + 0.02 * torch.from_numpy(np.random.default_rng(0).standard_normal((30, 2)))
    scaled = bare.scaled(small).log_density(x / 0.05, level(1.0, 0.4))
    expected = bare.log_density(x, level(1.0, 0.02)) + 2 * math.log(0.05)
    torch.testing.assert_close(scaled, expected, rtol=0, atol=1e-5)


def test_every_row_is_answered_at_its_own_level_across_blocks():
    law = oracle_for("pinwheel")
    random = np.random.default_rng(0)
    each = level((0.1 + random.random(300)).tolist(), (0.1 + random.random(300)).tolist())
    x = noised(law, each, 300)
    together, density = law(x, each), law.log_density(x, each)
    for i in range(0, 300, 13):
        alone = law(x[i : i + 1], each.at(i))
        torch.testing.assert_close(together[i], alone[0], rtol=0, atol=1e-9)
        torch.testing.assert_close(density[i], law.log_density(x[i : i + 1], each.at(i))[0])


def test_the_empirical_oracle_is_a_softmax_over_the_data():
    random = np.random.default_rng(0)
    data = torch.from_numpy(random.standard_normal((300, 5)))
    for far in (0.0, 1e4):
        law = EmpiricalOracle(data + far)
        for alpha, sigma in [(1.0, 0.1), (0.6, 0.8), (1.0, 50.0)]:
            x = alpha * (data[:40] + far) + sigma * torch.from_numpy(random.standard_normal((40, 5)))
            distance = (x[:, None] - alpha * (data + far)).square().sum(2)
            r = torch.softmax(-distance / (2 * sigma**2), 1)
            at = level(alpha, sigma)
            torch.testing.assert_close(law(x, at) - far, r @ data, rtol=0, atol=1e-7)
    with pytest.raises(InputError, match="no density"):
        law.log_density(data)


def test_a_large_training_set_is_asked_in_small_blocks(monkeypatch):
    seen: list[int] = []
    joint = GaussianMixture._log_joint

    def counted(self, x, alpha, sigma):
        result = joint(self, x, alpha, sigma)
        seen.append(result.numel())
        return result

    monkeypatch.setattr(GaussianMixture, "_log_joint", counted)
    law = EmpiricalOracle(torch.randn(60_000, 4, generator=torch.Generator().manual_seed(0)))
    whole = law(torch.ones(50, 4), level(1.0, 0.5))
    assert whole.shape == (50, 4)
    assert max(seen) <= 60_000 * 4
    assert len(seen) >= 12
    wide = EmpiricalOracle(np.eye(784))
    at = torch.ones(1, 1, dtype=torch.float64)
    assert 8 * 60_000 * wide._block_rows(at, at) < 2**26.5  # bytes of weights for 60,000 images


@pytest.mark.parametrize(("schedule", "sampler"), [(EDM(), Heun()), (VP(), DDIM())], ids=["edm", "vp"])
@pytest.mark.parametrize("name", ["s_curve", "checkerboard"])
def test_walks_from_an_oracle_end_in_the_data(name, schedule, sampler):
    law = oracle_for(name)
    scaling = PointsCodec.fit(law.draw(4000, 1).numpy())
    grid = schedule.grid(40, "karras")
    generator = torch.Generator().manual_seed(0)
    x = prior(grid, (3000, 2), generator)
    *_, last = islice(trajectory(law.scaled(scaling), x, grid, sampler, generator), 50)
    generated = scaling.decode(last.x)
    a, b, c = (law.draw(3000, seed).numpy() for seed in (2, 3, 4))
    floor = (sliced_wasserstein(a, b) + sliced_wasserstein(a, c) + sliced_wasserstein(b, c)) / 3
    assert sliced_wasserstein(generated, a) < 3 * floor


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    k=st.integers(1, 5),
    d=st.integers(1, 4),
    shape=st.sampled_from(["one", "d", "k1", "kd", "full", "full, one"]),
    alpha=st.floats(0.0, 2.0),
    sigma=st.floats(1e-2, 50.0),
    seed=st.integers(0, 2**31),
)
def test_any_mixture_is_the_sum_of_its_components(k, d, shape, alpha, sigma, seed):
    random = np.random.default_rng(seed)
    means, weights = 3 * random.standard_normal((k, d)), random.random(k) + 0.01
    root = random.standard_normal((1 if "one" in shape else k, d, d))
    full = root @ root.transpose(0, 2, 1) + 0.01 * np.eye(d)
    variance = {"one": (), "d": (d,), "k1": (k, 1), "kd": (k, d)}
    given_as = full if "full" in shape else random.random(variance[shape]) + 0.01
    if "full" not in shape:
        full = np.broadcast_to(given_as, (k, d))[:, :, None] * np.eye(d)
    law, at = GaussianMixture(means, given_as, weights), level(alpha, sigma)
    x = noised(law, at, 7, seed)
    m, c = torch.from_numpy(means), torch.from_numpy(np.broadcast_to(full, (k, d, d)).copy())
    noisy = alpha**2 * c + sigma**2 * torch.eye(d, dtype=torch.float64)
    components = MultivariateNormal(alpha * m, noisy)
    mixture = MixtureSameFamily(Categorical(torch.from_numpy(weights)), components)
    torch.testing.assert_close(law.log_density(x, at), mixture.log_prob(x), rtol=1e-8, atol=1e-8)
    r = torch.softmax(components.log_prob(x[:, None]) + torch.from_numpy(weights).log(), 1)
    step = torch.linalg.solve(noisy, (x[:, None] - alpha * m)[..., None])
    each = m + alpha * (c @ step)[..., 0]
    torch.testing.assert_close(law(x, at), (r[..., None] * each).sum(1), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: GaussianMixture([1.0, 2.0], 1.0), "finite numbers"),
        (lambda: GaussianMixture([[math.nan]], 1.0), "finite numbers"),
        (lambda: GaussianMixture([[0.0, 1.0]], [1.0, 2.0, 3.0]), "does not fit"),
        (lambda: GaussianMixture([[0.0, 1.0]], -1.0), "negative"),
        (lambda: GaussianMixture([[0.0, 1.0]], [[[1.0, 2.0], [0.0, 1.0]]]), "symmetric"),
        (lambda: GaussianMixture([[0.0], [1.0]], 1.0, [1.0, -1.0]), "Weights"),
        (lambda: GaussianMixture([[0.0], [1.0]], 1.0, [0.0, 0.0]), "Weights"),
        (lambda: UniformBoxes([[0.0], [0.5]], [[1.0], [2.0]]), "overlap"),
        (lambda: UniformBoxes([[1.0]], [[0.0]]), "corners of the boxes"),
        (lambda: UniformBoxes([[0.0]], [[1.0]], -0.1), "negative"),
        (lambda: oracle_for("s_curv"), "s_curve"),
        (lambda: oracle_for("s_curve", math.inf), "noise"),
        (lambda: oracle_of(load_dataset(np.random.default_rng(0).random((9, 2)))), "unknown"),
        (lambda: LAWS["full"](torch.zeros(3, 5), level(1.0, 1.0)), "2 dimensions"),
        (lambda: GaussianMixture([[0.0]], 0.0).log_density([[0.0]]), "no density"),
        (lambda: EmpiricalOracle([]), "finite numbers"),
    ],
)
def test_what_cannot_be_is_said(make, says):
    with pytest.raises(InputError, match=says):
        make()


def test_a_dataset_brings_its_own_noise():
    law = oracle_of(load_dataset("moons", size=5, noise=0.3))
    assert isinstance(law, CurveOracle)
    assert law.noise == 0.3
