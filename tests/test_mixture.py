"""Is the mixture that training learns from the most likely one, and are its posterior means exact?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.data.base import Dataset
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss
from diffuscope.diffusion.mixture import Mixture, NoisedMixture, fit_mixture
from diffuscope.diffusion.mixture_loss import MixtureLoss
from diffuscope.diffusion.predictions import convert
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import EDM, VP, linear
from diffuscope.errors import InputError
from diffuscope.oracle import GaussianMixture, oracle_for
from diffuscope.runs.setup import Setup


def mixture(d: int = 3, k: int = 5) -> Mixture:
    generator = torch.Generator().manual_seed(d)
    root = torch.randn((k, d, d), generator=generator, dtype=torch.float64)
    weights = torch.rand(k, generator=generator, dtype=torch.float64) + 0.1
    means = torch.randn((k, d), generator=generator, dtype=torch.float64)
    return Mixture(weights / weights.sum(), means, 0.1 * root @ root.mT + 0.01 * torch.eye(d).double())


def oracle(m: Mixture) -> GaussianMixture:
    return GaussianMixture(m.means, m.covariances, m.weights)


def points(n: int, d: int = 3) -> torch.Tensor:
    return torch.randn((n, d), generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("sigma", [0.002, 0.1, 3.0])
def test_score_and_density_are_those_of_the_exact_mixture(sigma):
    m, x = mixture(), points(50)
    level = EDM()(torch.tensor(sigma))
    assert torch.allclose(m.log_density(x), oracle(m).log_density(x), atol=1e-9)
    noised = NoisedMixture(m, sigma**2)
    exact = oracle(m).score(x, level)
    assert torch.allclose(noised.score(x), exact, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("schedule", [EDM(), VP(), linear(100)], ids=["edm", "vp", "linear"])
@pytest.mark.parametrize("prediction", ["edm", "noise", "velocity"])
def test_the_targets_are_posterior_means_of_the_noisy_points_that_the_network_sees(schedule, prediction):
    m = mixture()
    denoiser = Denoiser(torch.nn.Identity(), schedule, prediction, 1.0, "log_snr")
    x_0, eps = points(40).float(), points(80).float()[40:]
    middle = schedule.t_min + (schedule.t_max - schedule.t_min) * torch.linspace(0.1, 0.6, 40).double()
    level = schedule(middle.round() if schedule.discrete else middle)
    loss = MixtureLoss(mixture=m, target="mixture")
    seen = loss.examples(denoiser, x_0, level, eps)
    rounded = denoiser.schedule.at_ratio((level.ratio.log() * 8).round().div(8).exp())
    x_t = q_sample(x_0, rounded, eps)
    plain = Loss().examples(denoiser, x_0, rounded, eps)
    assert torch.equal(seen.inputs, plain.inputs)
    assert torch.equal(seen.condition, plain.condition)
    found = convert(seen.target.double(), x_t.double(), rounded, prediction, "data")
    assert torch.allclose(found, oracle(m)(x_t, rounded).double(), atol=2e-3)
    assert (rounded.ratio.log() - level.ratio.log()).abs().max() <= 0.5 / 8 + 1e-9 or schedule.discrete


def test_held_out_points_ask_for_about_as_many_gaussians_as_there_are():
    x = load_dataset("eight_gaussians", size=4000, seed=0).x
    found = fit_mixture(torch.from_numpy(x), fits=1)
    assert 8 <= len(found.weights) <= 16
    law = oracle_for("eight_gaussians")
    fresh = law.draw(4000, 1)
    lost = (law.log_density(fresh) - found.log_density(fresh)).mean().item()
    assert lost < 0.02  # 47 numbers from 4,000 points cost 0.006 in the mean


def test_a_mixture_is_fitted_to_one_point_and_to_equal_ones():
    for x in (torch.zeros(1, 2), torch.ones(30, 2)):
        found = fit_mixture(x)
        assert found.log_density(x.double()).isfinite().all()


def test_equal_seeds_give_equal_mixtures_and_other_starts_other_ones():
    x = torch.from_numpy(load_dataset("moons", size=800, seed=0).x)
    one, again, other = (fit_mixture(x, 6, 2, seed) for seed in (0, 0, 1))
    assert torch.equal(one.means, again.means)
    assert not torch.equal(one.means, other.means)


def test_a_point_that_weighs_three_times_counts_as_three():
    x = points(60, 2)
    weight = torch.ones(60)
    weight[:20] = 3.0
    found = fit_mixture(x, 1, 1, weights=weight)
    tripled = torch.cat([x, x[:20], x[:20]])
    assert torch.allclose(found.means[0], tripled.mean(0), atol=1e-5)
    least = 1e-4 * float(x.var(0, correction=0).mean())
    exact = tripled.T.cov(correction=0) + least * torch.eye(2)
    assert torch.allclose(found.covariances[0], exact, atol=1e-5)


def lost(setup: Setup) -> float:
    """Return KL(law || model) of a trained model of moons, in nats."""
    law = oracle_for("moons")
    x = law.draw(400, 5)
    u = torch.from_numpy(setup.model.log_density(x.numpy(), tolerance=1e-3)) - law.log_density(x)
    return (u.expm1() - u).mean().item()


def test_a_network_that_learns_from_a_mixture_is_nearer_to_the_law_in_as_many_steps():
    found = {}
    for name in ("law", "fast"):
        recipe = diffuscope.load_recipe(name).changed({"training.steps": 250})
        setup = Setup(recipe, load_dataset("moons", size=5000, seed=0), torch.device("cpu"))
        trainer = setup.trainer()
        trainer.run()
        trainer.finish()
        found[name] = lost(setup)
    assert found["law"] < 0.8 * found["fast"]
    assert math.isfinite(found["law"])


def test_labels_have_a_target_that_allows_them(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(300, 2)), np.arange(300) % 2
    run = diffuscope.train(
        diffuscope.load_dataset(x, labels=y), recipe="law", out=tmp_path / "run", steps=3, pictures=False
    )
    assert run.recipe.loss.target == "posterior"


def test_what_a_mixture_is_not_for_is_said():
    recipe = diffuscope.load_recipe("law")
    wide = Dataset("wide", np.random.default_rng(0).normal(size=(50, 40)), None, None, {"kind": "array"})
    with pytest.raises(InputError, match="at most 32 columns"):
        Setup(recipe, wide, torch.device("cpu"))
    with pytest.raises(InputError, match="all numbers are there"):
        recipe.loss.make(partial=0.5)


def test_a_fit_of_many_points_is_made_of_some_of_them(monkeypatch):
    from diffuscope.diffusion import mixture as module

    monkeypatch.setattr(module, "_MOST_POINTS", 500)
    seen = []
    fit = module._fit
    monkeypatch.setattr(module, "_fit", lambda x, *rest: seen.append(len(x)) or fit(x, *rest))
    x = points(3_000, 2)
    weights = torch.linspace(0.5, 1.5, len(x))
    made = fit_mixture(x, components=2, fits=2, weights=weights)
    assert seen == [500, 500]
    assert made.log_density(x).mean() == pytest.approx(-(1 + math.log(2 * math.pi)), abs=0.1)
