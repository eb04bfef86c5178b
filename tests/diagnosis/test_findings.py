"""Is a planted fault the first finding, and is nothing found where nothing is wrong?

Exact denoisers stand in the place of networks, so that nothing has to be trained.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.data.points import load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.diagnosis import findings
from diffuscope.diagnosis.findings import Finding, in_order
from diffuscope.diagnosis.probes import Probe
from diffuscope.diagnosis.training_faults import _by_promise
from diffuscope.diffusion.schedules import cosine, linear
from diffuscope.modalities import reference
from diffuscope.oracle import EmpiricalOracle


def codes(diagnosis):
    return [finding.code for finding in diagnosis.findings]


def ancestral(context, x, noise="sound", clip=None):
    """Take a step as a sampler of one's own does, soundly or not."""
    x_0 = context.estimate(x)
    if clip is not None:
        x_0 = x_0.clamp(-clip, clip)
    now, target = context.now, context.target
    share = (now.alpha / target.alpha).item()
    added = now.sigma.item() ** 2 - share**2 * target.sigma.item() ** 2
    kept = share * target.sigma.item() ** 2 / now.sigma.item() ** 2
    mean = kept * x + target.alpha.item() * added / now.sigma.item() ** 2 * x_0
    std = math.sqrt(added) * target.sigma.item() / now.sigma.item()
    if noise == "none":
        return mean
    if noise == "last" and context.is_last:
        std = 0.4
    return mean + std * context.noise(x)


# --- nothing is wrong


@pytest.mark.slow
def test_an_exact_denoiser_has_no_findings(perfect):
    found = perfect.diagnose()
    assert found.findings == ()
    # What its samples have that a perfect denoiser's have not is nothing; memory is worse than that.
    assert abs(found.budget["network"].ratio + found.budget["finite_data"].ratio) < 1e-6
    assert found.budget["total"].ratio < 2
    assert "No findings" in str(found)


def test_an_exact_network_of_plain_torch_has_no_findings_in_three_lines(perfect, network):
    model = network().train()
    beta = perfect.schedule.beta
    found = perfect.diagnose(model, beta.tolist())
    assert found.findings == ()
    assert model.training  # as it was


@pytest.mark.slow
def test_a_sound_sampler_of_ones_own_has_no_findings(perfect):
    assert perfect.diagnose(sampler=ancestral).findings == ()


def test_samples_of_a_sound_loop_of_ones_own_have_no_findings(perfect, network, own_loop):
    found = perfect.diagnose(network(), samples=own_loop(4_000))
    assert found.findings == ()
    assert abs(found.budget["rest"].ratio) < 0.6


# --- the walk


@pytest.mark.slow
def test_a_schedule_that_ends_in_signal_is_named_with_a_last_beta_that_mends_it(pipeline):
    moons = pipeline(load_dataset("moons", size=1_200), linear(40, 2.5e-5, 1.25e-2))
    found = moons.diagnose()
    assert codes(found)[0] == "terminal_snr"
    first = found.findings[0]
    assert "training never saw noise above 0.47" in first.evidence
    assert "terminal SNR 3.5" in first.evidence
    assert first.gain == found.budget["prior"].ratio
    mended = float(first.fix.split("Raise the last β to ")[1].split()[0])
    assert "--" not in first.fix  # a denoiser of one's own has no such options
    moons.schedule = linear(40, 2.5e-5, mended)
    assert moons.diagnose().budget["prior"].ratio < first.gain / 4


@pytest.mark.slow
def test_a_start_that_is_too_narrow_is_named(perfect):
    assert codes(perfect.diagnose(start_std=0.4, sampler="ddim")) == ["start"]


@pytest.mark.slow
def test_too_few_steps_are_named_with_a_way_that_needs_no_training(perfect):
    found = perfect.diagnose(sampler="ddim", steps=4)
    assert codes(found) == ["few_steps"]
    assert re.match(r"Sample with \w+ in \d+ steps: 0\.\d\d × floor remains", found.findings[0].fix)
    assert 0 < found.findings[0].gain <= found.budget["discretisation"].ratio


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code", "size"),  # the smaller a fault is beside the floor, the larger clouds have to be
    [
        ({"noise": "none"}, "noise_missing", 2_500),
        ({"noise": "last"}, "noise_last_step", 2_500),
        ({"clip": 0.5}, "clipping", 2_500),
    ],
    ids=["no noise", "noise in the last step", "clipped"],
)
def test_a_broken_sampler_is_named(perfect, monkeypatch, fault, code, size):
    monkeypatch.setattr(reference, "DRAWN_POINTS", size)
    found = perfect.diagnose(sampler=lambda context, x: ancestral(context, x, **fault))
    assert codes(found)[:1] == [code]


@pytest.mark.slow
def test_a_loop_of_ones_own_without_noise_is_known_by_its_samples(perfect, network, own_loop):
    found = perfect.diagnose(network(), samples=own_loop(4_000, keep_noise=False))
    assert codes(found) == ["noise_missing"]
    assert found.budget["rest"].ratio > 1


@pytest.mark.slow
def test_samples_that_look_like_no_known_mistake_are_the_sampling_code(perfect, network, own_loop):
    found = perfect.diagnose(network(), samples=own_loop(4_000) * [2.0, 0.5])
    assert codes(found) == ["sampling_code"]


@pytest.mark.slow
def test_data_in_the_hundreds_is_not_scaled(perfect):
    shift, scale = perfect.scaling.shift, perfect.scaling.scale
    oracle = perfect.oracle.scaled(Scaling(np.zeros(2), np.full(2, 0.005)))
    found = perfect.diagnose(lambda x_t, level: oracle(x_t, level), scaling=(shift, scale * 0.005))
    assert codes(found)[:1] == ["data_scale"]
    assert "Standardise" in found.findings[0].fix


# --- the network


@pytest.mark.slow
def test_answers_that_are_clamped_inside_the_data_are_named(perfect):
    found = perfect.diagnose(lambda x_t, level: perfect.oracle(x_t, level).clamp(-0.8, 0.8))
    assert codes(found)[:1] == ["clipping"]
    assert "-0.8 and 0.8" in found.findings[0].evidence


@pytest.mark.slow
@pytest.mark.parametrize("predicts", ["velocity", "data"])
def test_a_prediction_that_is_read_as_noise_is_named_by_what_it_is(perfect, network, predicts):
    found = perfect.diagnose(network(predicts))
    assert codes(found)[:1] == ["prediction_type"]
    assert f'prediction="{predicts}"' in found.findings[0].fix
    assert perfect.diagnose(network(predicts), prediction=predicts).findings == ()


def test_a_network_of_another_schedule_is_named(perfect, network):
    found = perfect.diagnose(network(schedule=linear(40, 1e-4, 0.4)))
    assert codes(found)[:1] == ["schedule_mismatch"]


@pytest.mark.slow
def test_a_network_that_is_told_fractions_of_the_time_is_named(perfect, network):
    class Fractions(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x, t):
            return self.network(x, (t / 40).round().long())

    assert codes(perfect.diagnose(Fractions()))[:1] == ["schedule_mismatch"]


def test_nan_is_found_where_it_first_occurs(perfect, network):
    class Logarithm(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network()

        def forward(self, x, t):
            return self.network(x, t) + 0 * t.double().log()[:, None].to(x)

    found = perfect.diagnose(Logarithm())
    assert codes(found)[0] == "not_finite"
    assert "sampling step 39, t = 0" in found.findings[0].evidence
    assert "total" not in found.budget


def test_a_loss_that_became_nan_is_found_by_its_step(perfect, network):
    found = perfect.diagnose(network(), losses=[1.0, 0.5, float("nan"), float("nan")])
    assert codes(found)[0] == "not_finite"
    assert "step 2" in found.findings[0].evidence


def test_weights_that_are_not_finite_are_named(perfect, network):
    model = network()
    with torch.no_grad():
        model.off[0] = torch.inf
    assert "'off'" in perfect.diagnose(model).findings[0].evidence


@pytest.mark.slow
def test_few_points_that_were_learned_by_heart_are_named(quick):
    data = load_dataset("eight_gaussians", size=60)
    scaling = PointsCodec.fit(data.x)
    memory = EmpiricalOracle(data.x).scaled(scaling)
    found = diffuscope.diagnose(
        lambda x_t, level: memory(x_t, level),
        cosine(40),
        data,
        scaling=(scaling.shift, scaling.scale),
        progress=False,
    )
    assert codes(found)[:1] == ["few_data"]
    assert "memorised" in found.findings[0].title


@pytest.mark.slow
def test_an_average_that_lags_behind_the_weights_is_named(perfect, network):
    slow, last = network(), network()
    with torch.no_grad():
        slow.off.fill_(0.3)
    found = perfect.diagnose(slow, raw=last, trained_steps=1_000)
    assert codes(found) == ["ema_slow"]
    assert "0.99 at most" in found.findings[0].fix


class Small(nn.Module):
    """A network that can learn, but has not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(3, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)
        )

    def forward(self, x, t):
        return self.layers(torch.cat([x, t[:, None] / 20 - 1], 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("told", "code"),
    [
        ({"learning_rate": 1e-2}, "undertrained"),
        ({"learning_rate": 1e-7}, "learning_rate_low"),
    ],
    ids=["too short", "too slow"],
)
def test_a_network_that_has_not_learned_yet_is_told_why(perfect, told, code):
    found = perfect.diagnose(Small(), trained_steps=3, **told)
    assert codes(found)[:1] == [code]
    assert found.budget["network"].ratio > 2


def test_of_rates_above_ones_own_the_lowest_that_is_nearly_as_good_is_advised():
    def probe(rate, error):
        return Probe("anew", rate, 400, None, error)

    high, middle, low = probe(1e-2, 0.5), probe(1e-3, 1.0), probe(1e-4, 20.0)
    assert _by_promise([low, middle, high], 30.0, 1e-5)[:2] == [middle, high]
    assert _by_promise([low, middle, high], 3.0, 1e-5)[:2] == [high, middle]  # half a unit is much there
    assert _by_promise([low, middle, high], 30.0, 1e-1)[:2] == [high, middle]
    assert _by_promise([low, middle, high], 30.0, None)[:2] == [high, middle]
    assert _by_promise([high], math.nan, 1e-5) == [high]


# --- their order


def test_they_are_ordered_by_gain_behind_what_must_be_mended_first():
    def finding(code, gain, sure="certain"):
        return Finding(code, "", "", gain, "", sure)

    def order(*given):
        return [f.code for f in in_order(given)]

    assert order(finding("undertrained", 1.0), finding("terminal_snr", 0.5)) == [
        "undertrained",
        "terminal_snr",
    ]
    assert order(finding("network_error", 3.0), finding("few_steps", 1.0))[0] == "few_steps"
    assert order(finding("network_error", 9.0), finding("few_steps", 1.0))[0] == "network_error"
    assert order(finding("few_steps", 9.0), finding("not_finite", None))[0] == "not_finite"
    assert order(finding("few_steps", 0.4), finding("differs", None)) == ["few_steps", "differs"]
    assert order(finding("outliers", None, "possible"), finding("few_steps", 0.4))[0] == "few_steps"


def test_every_code_that_is_made_has_its_meaning():
    folder = Path(findings.__file__).parent
    text = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    made = set(re.findall(r'(?:Finding|Suspect)\(\s*"([a-z_]+)",', text))
    made |= set(re.findall(r'Loop\(\s*f?"[^"]*",\s*"([a-z_]+)",', text))
    assert len(made) > 15
    assert made <= set(findings.CODES)
