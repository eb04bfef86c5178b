"""Do guidance, inpainting, variants and ways between images do what their formulas say?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.inpainting import InpaintingDenoiser, RePaintSampler
from diffuscope.diffusion.samplers import make_sampler, trajectory
from diffuscope.diffusion.schedules import EDM
from diffuscope.errors import InputError
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.model import Model
from diffuscope.oracle import GaussianMixture
from diffuscope.request import Request
from diffuscope.runs.run import load

SCHEDULE = EDM(0.002, 20.0)
GRID = SCHEDULE.grid(20, "karras")


def level(ratio: float):
    return SCHEDULE.at_ratio(torch.tensor([ratio], dtype=torch.float64)).at(0)


def gaussian(mean, covariance) -> GaussianMixture:
    return GaussianMixture(np.array([mean]), np.array([covariance]))


# --- guidance ----------------------------------------------------------------------------------------------


def test_guidance_goes_from_one_answer_past_the_other_inside_its_interval_alone():
    asked, free = gaussian([1.0, 0.0], np.eye(2)), gaussian([0.0, 0.0], 4 * np.eye(2))
    x, at = torch.randn(5, 2), level(1.0)
    plain, other = asked(x, at), free(x, at)
    torch.testing.assert_close(ClassifierFreeGuidance(asked, free, 3.0)(x, at), other + 3 * (plain - other))
    assert torch.equal(ClassifierFreeGuidance(asked, free, 1.0)(x, at), plain)
    assert torch.equal(ClassifierFreeGuidance(asked, free, 3.0, low=1.5)(x, at), plain)
    assert torch.equal(ClassifierFreeGuidance(asked, free, 3.0, high=0.5)(x, at), plain)
    assert torch.equal(ClassifierFreeGuidance(asked, free, 0.0)(x, at), other)


@pytest.mark.parametrize(
    ("scale", "low", "high"), [(math.nan, 0, 1), (math.inf, 0, 1), (2, 1, 1), (2, 2, 1), (2, -1, 1)]
)
def test_guidance_that_cannot_be_is_refused(scale, low, high):
    with pytest.raises(InputError) as refused:
        ClassifierFreeGuidance(len, len, scale, low, high)
    assert refused.value.hint


# --- inpainting --------------------------------------------------------------------------------------------

COVARIANCE = np.array([[1.0, 0.9], [0.9, 1.0]])
KNOWN = torch.tensor([[1.5, 0.0]])
UNKNOWN = torch.tensor([[False, True]])


@pytest.mark.parametrize("name", ["ddim", "euler", "heun", "dpmpp_2m", "unipc"])
def test_what_is_known_walks_along_its_own_noising(name):
    denoiser = InpaintingDenoiser(gaussian([0.0, 0.0], COVARIANCE), KNOWN, UNKNOWN)
    noise = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    start = GRID.levels.at(0)
    x = start.alpha.float() * KNOWN * ~UNKNOWN + start.sigma.float() * noise
    for state in trajectory(denoiser, x, GRID, make_sampler(name), torch.Generator()):
        expected = state.level.alpha.float() * KNOWN[0, 0] + state.level.sigma.float() * noise[:, 0]
        torch.testing.assert_close(state.x[:, 0], expected, rtol=1e-3, atol=1e-4)


def filled(times: int, n: int = 4000) -> torch.Tensor:
    """Fill the second coordinate of a Gaussian, given the first."""
    denoiser = InpaintingDenoiser(gaussian([0.0, 0.0], COVARIANCE), KNOWN, UNKNOWN)
    generator = torch.Generator().manual_seed(1)
    start = GRID.levels.at(0)
    x = start.sigma.float() * torch.randn(n, 2, generator=generator) + KNOWN * ~UNKNOWN
    sampler = RePaintSampler(make_sampler("ddim", eta=1.0), times)
    *_, last = trajectory(denoiser, x, GRID, sampler, generator)
    return last.x[:, 1]


def test_a_step_taken_often_brings_what_is_filled_in_to_its_conditional_law():
    truth = 0.9 * 1.5
    once, often = filled(1), filled(20)
    assert abs(often.mean() - truth) < 0.5 * abs(once.mean() - truth)
    assert often.mean().item() == pytest.approx(truth, abs=0.05)
    assert often.std().item() == pytest.approx(math.sqrt(1 - 0.9**2), rel=0.2)


def test_a_step_taken_once_is_the_sampler_itself():
    oracle = gaussian([0.0, 0.0], COVARIANCE)
    x = torch.randn(6, 2)
    ends = []
    for sampler in (make_sampler("ddpm"), RePaintSampler(make_sampler("ddpm"), 1)):
        *_, last = trajectory(oracle, x, GRID, sampler, torch.Generator().manual_seed(3))
        ends.append(last.x)
    assert torch.equal(*ends)
    with pytest.raises(InputError):
        RePaintSampler(make_sampler("ddpm"), 0)


# --- asking a model ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(image_run) -> Model:
    return load(image_run, device="cpu").model


@pytest.fixture(scope="module")
def asked(model) -> ImageGenerator:
    return ImageGenerator(model)


def exact(model: Model, pixels: np.ndarray) -> ImageGenerator:
    """The same model with a denoiser that knows the law: normal around some pixels, 20 grey levels wide."""
    mean = (pixels.reshape(-1).astype(float) - 127.5) / 127.5
    oracle = GaussianMixture(mean[None], (20 / 127.5) ** 2 * np.eye(mean.size)[None])

    class Known(Denoiser):
        def forward(self, x_t, at, label=None):
            return oracle(x_t, at)

    known = Known(model.denoiser.network, model.denoiser.schedule, "edm")
    return ImageGenerator(Model(model.recipe, known.eval(), model.codec))


def test_labels_are_numbers_names_or_each_in_turn(asked):
    def classes(label, n):
        return asked.request({"label": label}, n).condition

    assert classes(None, 3) is None
    assert classes("dog", 2).tolist() == [1, 1]
    assert classes("2", 2).tolist() == [2, 2]
    assert classes("each", 5).tolist() == [0, 1, 2, 0, 1]
    assert classes(["cat", 2, "dog"], 3).tolist() == [0, 2, 1]
    for wrong in ("bird", 3, -1, 1.5, ["cat"]):
        with pytest.raises(InputError) as refused:
            classes(wrong, 2)
        assert refused.value.hint


def test_each_image_has_its_own_class(asked):
    mixed = asked.sample(6, label=[0, 1, 2, 2, 1, 0], guidance=1.0, seed=4)
    for label in range(3):
        alone = asked.sample(6, label=label, guidance=1.0, seed=4)
        chosen = np.array([0, 1, 2, 2, 1, 0]) == label
        assert np.array_equal(mixed[chosen], alone[chosen])


def test_what_lies_outside_the_mask_stays_to_the_last_byte(asked, model):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *model.shape), dtype=np.uint8)
    mask = np.zeros(model.shape[1:], bool)
    mask[3:, 2:] = True
    made = asked.inpaint(pixels, mask, n=3, label=["cat", "dog"], resample=2, seed=1)
    assert made.shape == (6, *model.shape)
    for i in range(6):
        assert np.array_equal(made[i][:, ~mask], pixels[i // 3][:, ~mask])
    assert (made[0][:, mask] != made[1][:, mask]).any()


def test_variants_are_near_where_little_is_walked_and_free_where_all_is(model):
    pixels = np.random.default_rng(1).integers(40, 216, (1, *model.shape), dtype=np.uint8)
    law = exact(model, pixels)
    distance = [
        np.abs(law.vary(pixels, strength, n=8, steps=20, seed=2).astype(float) - pixels).mean()
        for strength in (0.2, 1.0)
    ]
    assert distance[0] < 8
    assert distance[1] == pytest.approx(20 * math.sqrt(2 / math.pi), rel=0.25)  # anew from the law


def test_noise_of_an_image_leads_back_to_it(model):
    pixels = np.random.default_rng(2).integers(40, 216, (2, *model.shape), dtype=np.uint8)
    law = exact(model, np.full(model.shape, 128, np.uint8))
    noise = law.encode(pixels, steps=30)
    grid, sampler = model.plan(Request(sampler="heun", steps=30))
    *_, last = trajectory(law.model.denoiser, noise, grid, sampler, torch.Generator())
    assert (last.x * 127.5 + 127.5 - torch.from_numpy(pixels)).abs().max() < 3
    between = law.interpolate(5, images=pixels, steps=30)
    assert np.array_equal(between[[0, -1]], pixels)


def test_a_way_leads_from_one_sample_to_another_without_jumps(model, asked):
    law = exact(model, np.full(model.shape, 128, np.uint8))
    way = law.interpolate(9, steps=20, seed=5).astype(float)
    steps = np.sqrt(np.square(np.diff(way, axis=0)).mean(axis=(1, 2, 3)))
    assert steps.max() < 1.5 * steps.min()
    length = np.sqrt(np.square(way - 128).mean(axis=(1, 2, 3)))
    assert length.max() < 1.5 * length.min()  # along a circle, not through its middle
    with pytest.raises(InputError, match="random"):
        asked.interpolate(3, sampler="ddpm")


@pytest.mark.parametrize(
    "ask",
    [
        lambda asked, x: asked.inpaint(x, np.zeros((2, 2), bool)),
        lambda asked, x: asked.inpaint(x, np.zeros(x.shape[2:], bool)),
        lambda asked, x: asked.inpaint(x[:, :, 1:], np.ones(x.shape[2:], bool)),
        lambda asked, x: asked.vary(x.astype(float)),
        lambda asked, x: asked.vary(x, 0.0),
        lambda asked, x: asked.vary(x, 1.5),
        lambda asked, x: asked.interpolate(1),
        lambda asked, x: asked.interpolate(3, images=x),
        lambda asked, x: asked.sample(2, guidance=2.0),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_hint(asked, model, ask):
    with pytest.raises(InputError) as refused:
        ask(asked, np.zeros((1, *model.shape), np.uint8))
    assert refused.value.hint
