"""Is the variational bound what a Gaussian says that it is, term by term, and a bound?"""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from diffuscope.diffusion.schedules import EDM, DiscreteSchedule, NoiseLevel, cosine, linear
from diffuscope.errors import InputError
from diffuscope.likelihood import Bins, bits_per_dimension, log_density, variational_bound
from diffuscope.oracle import GaussianMixture, oracle_for

MEAN = torch.tensor([0.3, -0.2], dtype=torch.float64)
VARIANCE = torch.tensor([0.5, 1.2], dtype=torch.float64)
LAW = GaussianMixture(MEAN[None], VARIANCE[None])


def closed_form(x: Tensor, schedule: DiscreteSchedule, variance: str) -> Tensor:
    """The terms (T + 1, n) for the exact denoiser of N(MEAN, diag VARIANCE)."""
    terms = []
    for t in range(schedule.T):
        alpha, sigma = schedule.sqrt_alpha_bar[t], schedule.sqrt_one_minus_alpha_bar[t]
        total = alpha**2 * VARIANCE + sigma**2
        # x_0 minus its estimate is sigma²/total (x_0 - mean) - alpha sigma c/total eps
        square = (sigma**2 / total * (x - MEAN)).square() + (alpha * sigma * VARIANCE / total).square()
        if t == 0:
            v = schedule.beta[0]
            terms.append((0.5 * (square / v + (2 * math.pi * v).log())).sum(1))
            continue
        posterior, beta = schedule.posterior_variance[t], schedule.beta[t]
        v = posterior if variance == "posterior" else beta
        gain = schedule.sqrt_alpha_bar[t - 1] * beta / sigma**2
        ratio = posterior / v
        terms.append((gain**2 * square / v + ratio - 1 - ratio.log()).sum(1) / 2)
    alpha_bar = schedule.alpha_bar[-1]
    noise = 1 - alpha_bar
    terms.append((alpha_bar * x.square() + noise - 1 - noise.log()).sum(1) / 2)
    return torch.stack(terms)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
def test_every_term_of_a_gaussian_has_its_closed_form(variance):
    schedule, x = linear(20, 0.01, 0.4), LAW.draw(40, 1)
    found = variational_bound(LAW, schedule, x, variance=variance, draws=400)
    exact = closed_form(x, schedule, variance)
    off = (found.terms - exact.mean(1))[:-1] / found.terms_error[:-1]
    assert off.abs().max() < 4
    assert found.terms[-1].item() == pytest.approx(exact[-1].mean().item(), abs=1e-12)
    assert found.terms_error[-1] == 0
    assert (found.terms_error[:-1] < 0.05).all()
    off = (found.value - exact.sum(0)) / found.error
    assert 0.7 < off.std() < 1.3
    assert abs(off.mean()) < 4 / math.sqrt(40)


def test_the_terms_add_up_to_the_mean_of_the_points():
    x = LAW.draw(30, 1)
    found = variational_bound(LAW, cosine(50), x)
    assert found.terms.shape == (51,)
    assert found.terms.sum().item() == pytest.approx(found.value.mean().item(), rel=1e-12)


@pytest.mark.parametrize("variance", ["posterior", "beta"])
@pytest.mark.parametrize("name", ["moons", "eight_gaussians"])
def test_it_lies_above_minus_the_log_density(name, variance):
    law = oracle_for(name)
    x = law.draw(500, 1)
    found = variational_bound(law, linear(100, 1e-4, 0.2), x, variance=variance, draws=2)
    gap = found.value.mean() + law.log_density(x).mean()
    assert gap > 2 * found.error.square().sum().sqrt() / len(x)


@pytest.mark.slow
def test_the_gap_of_a_perfect_model_falls_with_the_number_of_steps():
    x = LAW.draw(2000, 1)
    gaps = []
    for T in (5, 20, 80, 320):
        # the same noise at the first level and the last, in ever finer steps between them
        log_alpha_bar = -torch.linspace(1e-4**0.5, 12**0.5, T, dtype=torch.float64).square()
        before = torch.cat([torch.zeros(1, dtype=torch.float64), log_alpha_bar[:-1]])
        schedule = DiscreteSchedule(-torch.expm1(log_alpha_bar - before))
        exact = closed_form(x, schedule, "beta").sum(0)
        gaps.append((exact + LAW.log_density(x)).mean().item())
        few = variational_bound(LAW, schedule, x[:200], variance="beta", draws=2)
        uncertain = few.error.square().sum().sqrt() / 200
        assert abs(few.value.mean() - exact[:200].mean()) < 4 * uncertain
    assert all(fewer > 1.5 * more for fewer, more in pairwise(gaps)), gaps
    assert 0 < gaps[-1] < 0.05


def test_bins_that_are_narrow_hold_the_density_times_their_width():
    schedule, x = linear(20, 0.01, 0.4), LAW.draw(30, 1)
    width = 1e-3
    fine = variational_bound(LAW, schedule, x, bins=Bins(width, -10.0, 10.0))
    smooth = variational_bound(LAW, schedule, x)
    torch.testing.assert_close(fine.value, smooth.value - 2 * math.log(width), rtol=0, atol=1e-5)
    torch.testing.assert_close(fine.terms[1:], smooth.terms[1:])


def test_the_probabilities_of_all_bins_add_up_to_one():
    # One step, and an answer that is always the same: the bound without L_T is -log P(bin).
    schedule = DiscreteSchedule(torch.tensor([0.3], dtype=torch.float64))
    values = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]

    def constant(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return torch.full_like(x_t, 0.4)

    found = variational_bound(constant, schedule, values, bins=Bins(0.25))
    last = (0.7 * values[:, 0].square() + 0.3 - 1 - math.log(0.3)) / 2  # L_T
    assert (last - found.value).exp().sum().item() == pytest.approx(1, abs=1e-9)


def test_a_worse_model_needs_more_nats_where_it_is_worse():
    schedule, x = linear(20, 0.01, 0.4), LAW.draw(100, 1)

    def worse(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return LAW(x_t, level) + (0.5 if level.t == 7 else 0.0)

    good, bad = (variational_bound(model, schedule, x, draws=50) for model in (LAW, worse))
    more = bad.terms - good.terms
    assert more.argmax() == 7
    assert more[7] > 0.1
    assert not torch.cat([more[:7], more[8:]]).any()


def test_single_precision_and_shapes_make_no_difference():
    schedule, x = linear(20, 0.01, 0.4), LAW.draw(50, 1)
    double = variational_bound(LAW, schedule, x, draws=200).value.mean()
    single = variational_bound(LAW, schedule, x.float().view(50, 2, 1), draws=200)
    assert single.value.mean().item() == pytest.approx(double.item(), abs=0.05)
    assert single.value.dtype == torch.float64


def test_what_cannot_be_bounded_is_refused():
    x = LAW.draw(3, 1)
    with pytest.raises(InputError, match="continuous"):
        variational_bound(LAW, EDM(), x)
    with pytest.raises(InputError, match="variance"):
        variational_bound(LAW, linear(10), x, variance="betta")  # type: ignore[arg-type]
    for wrong in ({"draws": 1}, {"bins": Bins(0.0)}, {"bins": Bins(0.1, 1.0, -1.0)}):
        with pytest.raises(InputError, match="are not valid for the variational bound"):
            variational_bound(LAW, linear(10), x, **wrong)
    with pytest.raises(InputError, match="are not valid for the variational bound"):
        variational_bound(LAW, linear(10), x[:0])


@pytest.mark.slow
def test_it_lies_above_the_density_of_the_flow_too():
    schedule, x = linear(), LAW.draw(200, 1)
    flow = log_density(LAW, schedule, x, prior=LAW)
    found = variational_bound(LAW, schedule, x, variance="beta", draws=2)
    assert found.value.mean() + flow.value.mean() > 0


# --- bits per dimension ------------------------------------------------------------------------------------

SCALE = torch.tensor([10.0, 0.01], dtype=torch.float64)  # data = SCALE * x


def test_bits_per_dimension_have_the_closed_form_in_the_units_of_the_data():
    schedule, x = linear(20, 0.01, 0.4), LAW.draw(200, 1)
    volume = -SCALE.log().sum().item()
    found = bits_per_dimension(LAW, schedule, x, volume, draws=50)
    exact = closed_form(x, schedule, "posterior")
    nats, bit = exact.sum(0) - volume, 2 * math.log(2)
    noise = variational_bound(LAW, schedule, x, draws=50)  # the same draws: their uncertainty
    uncertain = noise.error.square().sum().sqrt().item() / 200
    assert found.value == pytest.approx(nats.mean().item() / bit, abs=4 * uncertain / bit)
    assert 4 * uncertain / bit < 0.15
    assert found.error == pytest.approx(
        math.hypot(nats.std().item() / math.sqrt(200), uncertain) / bit, rel=0.2
    )
    assert found.prior == pytest.approx(exact[-1].mean().item(), abs=1e-12)
    terms = torch.tensor([found.decoder + volume, *found.steps], dtype=torch.float64)
    assert ((terms - exact[:-1].mean(1)) / noise.terms_error[:-1]).abs().max() < 4
    entropy = 0.5 * (2 * math.pi * math.e * VARIANCE * SCALE.square()).log().sum().item()
    assert found.value > entropy / (2 * math.log(2))


def test_a_volume_for_each_point_counts_as_its_mean():
    schedule, x = linear(20, 0.01, 0.4), LAW.draw(50, 1)
    each = torch.linspace(-1, 3, 50)
    one, many = (bits_per_dimension(LAW, schedule, x, volume) for volume in (1.0, each))
    assert many.value == pytest.approx(one.value)
    assert many.decoder == pytest.approx(one.decoder)
    assert many.nats == pytest.approx(many.value * 2 * math.log(2))


@pytest.mark.parametrize("T", [1, 2, 5, 9, 100])
def test_its_terms_add_up_as_data_and_in_words(T):
    found = bits_per_dimension(LAW, linear(T, 0.01, 0.4), LAW.draw(20, 1), -3.0)
    told = json.loads(json.dumps(found.to_json()))
    assert [term["t"] for term in told["terms"]] == list(range(1, T))
    total = told["decoder"] + told["prior"] + sum(term["nats"] for term in told["terms"])
    assert told["nats"] == pytest.approx(total)
    assert told["bits_per_dimension"] == pytest.approx(total / (2 * math.log(2)))
    first, heads, *rows = str(found).splitlines()
    assert first.startswith(f"{found.value:.4f} ± {found.error:.4f} bits per dimension")
    assert heads.split() == ["nats", "share"]
    assert len(rows) == min(T + 1, 10)
    assert (rows[0].split()[0], rows[-1].split()[0]) == ("decoder,", "prior")
    numbers = [float(re.search(r"(-?\d+\.\d{4})", row)[1]) for row in rows]
    assert sum(numbers) == pytest.approx(total, abs=1e-3)
    shares = [float(row.split()[-1].rstrip("%")) for row in rows[1:]]
    assert sum(shares) == pytest.approx(100, abs=1)
    if T == 100:
        ranges = [re.match(r"t = \d+ to \d+", row)[0] for row in rows[1:-1]]
        assert (ranges[:2], ranges[-1]) == (["t = 1 to 12", "t = 13 to 24"], "t = 87 to 99")
