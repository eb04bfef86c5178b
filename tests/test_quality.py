"""Does the quality of a run say how its samples compare with real points?"""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.data.images import load_images
from diffuscope.data.points import load_dataset
from diffuscope.data.spread import centre_and_scale
from diffuscope.errors import RunError
from diffuscope.modalities.recognition import modality
from diffuscope.recipes import load_recipe

GAUSS = np.array([[2.0, 0.5], [0.5, 1.0]])


class Perfect:
    """A model whose samples are the data's own law, or a cloud shifted from it."""

    def __init__(self, draw, shift=0.0):
        self.draw, self.shift = draw, shift


def measure_quality(model, data, seed=0):
    """Measure the model's samples as a run's are."""
    own = modality(data.kind)
    section = load_recipe("images" if data.kind == "images" else "fast").data
    codec = own.codec(data, section)
    reference = own.reference(data, codec, seed=seed)
    samples = model.draw(reference.samples, reference.sampling_seed) + model.shift
    measured = own.measurable(data, codec)(codec.encode(samples))
    return {"sliced_wasserstein": reference.ratio(reference.clouds(measured))}


def gauss(n, rng):
    return rng.normal(size=(n, 2)) @ GAUSS


def independent(n, seed):
    return gauss(n, np.random.default_rng([seed, 77]))


def test_perfect_samples_are_at_the_floor():
    data = load_dataset(gauss, size=1000)
    quality = measure_quality(Perfect(independent), data)["sliced_wasserstein"]
    assert quality.low < 1 < quality.high
    assert 0.7 < quality.ratio < 1.4
    assert quality.floor > 0


def test_wrong_samples_are_above_the_floor_by_what_is_wrong_in_the_datas_units():
    data = load_dataset(gauss, size=1000)
    quality = measure_quality(Perfect(independent, shift=3.0), data)["sliced_wasserstein"]
    shift = 3.0 / centre_and_scale(data.x)[1]  # in deviations of each column
    assert quality.value == pytest.approx(np.linalg.norm(shift) / np.sqrt(2), rel=0.05)
    assert quality.low > 10


def test_data_of_ones_own_meets_halves_of_itself_in_units_of_its_deviations():
    x = load_dataset(gauss, size=2000).x * [1.0, 1000.0]
    data = load_dataset(x)
    sample = Perfect(lambda n, seed: independent(n, seed) * [1.0, 1000.0])
    quality = measure_quality(sample, data)["sliced_wasserstein"]
    assert 0.7 < quality.ratio < 1.4
    assert quality.value < 0.2  # without the units the second column alone would count
    wrong = Perfect(sample.draw, shift=np.array([10.0, 0.0]))
    assert measure_quality(wrong, data)["sliced_wasserstein"].ratio > 20


def test_data_far_from_zero_has_the_floor_of_the_same_data_near_it():
    x = load_dataset(gauss, size=400).x
    floors = [
        measure_quality(Perfect(independent), load_dataset(x + shift))["sliced_wasserstein"].floor
        for shift in (0.0, 1e9)
    ]
    assert floors[1] == pytest.approx(floors[0], rel=1e-3)


def test_the_same_seed_gives_the_same_numbers():
    data = load_dataset("s_curve", size=300)
    model = Perfect(lambda n, seed: load_dataset("s_curve", size=n, seed=seed).x)
    assert measure_quality(model, data, 3) == measure_quality(model, data, 3)
    assert measure_quality(model, data, 3) != measure_quality(model, data, 4)


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_a_handful_of_rows_is_measured_too(rows):
    x = np.random.default_rng(0).normal(size=(rows, 3))
    quality = measure_quality(Perfect(lambda n, seed: np.zeros((n, 3))), load_dataset(x))
    assert np.isfinite(quality["sliced_wasserstein"].ratio)


def test_samples_that_are_not_finite_are_a_failed_run_whose_model_is_kept(run_dir):
    run = diffuscope.load(run_dir)
    with torch.no_grad():
        run.model.denoiser.network.output.bias.fill_(math.nan)
    with pytest.raises(RunError, match="not finite"):
        run.measure()


def test_images_that_lie_class_by_class_are_met_by_all_classes(features_are_pixels):
    random = np.random.default_rng(0)
    brightness = np.repeat([20, 230], 3000)[:, None, None]
    x = np.clip(brightness + random.normal(0, 8, (6000, 4, 4)), 0, 255).astype(np.uint8)
    data = load_images(x)
    mixed = Perfect(lambda n, seed: data.x[np.random.default_rng(seed).integers(len(x), size=n)])
    quality = measure_quality(mixed, data)["sliced_wasserstein"]
    assert quality.low < 1 < quality.high
    dark = Perfect(lambda n, seed: data.x[:n])
    assert measure_quality(dark, data)["sliced_wasserstein"].low > 2
