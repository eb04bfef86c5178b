"""Are networks of one's own on images diagnosed as such? Three prototypes, with noise of their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.data.images import save_images
from diffuscope.diffusion.predictions import eps_from_data, training_target
from diffuscope.diffusion.schedules import linear
from diffuscope.errors import InputError
from diffuscope.oracle import GaussianMixture

SCHEDULE = linear(40, 1e-3, 0.4)
SHAPE, D = (3, 4, 4), 48
RANDOM = np.random.default_rng(0)
MEANS = RANDOM.uniform(60, 200, size=(3, D))
LAW = GaussianMixture(MEANS, np.full((3, D), 20.0**2))
SCALING = Scaling(np.full(D, 127.5), np.full(D, 127.5))


def images(n: int, seed: int) -> np.ndarray:
    return LAW.draw(n, seed).numpy().round().clip(0, 255).astype(np.uint8).reshape(n, *SHAPE)


class Exact(nn.Module):
    """Images (n, 3, 4, 4) and times to noise or velocity, by the law."""

    def __init__(self, predicts="noise"):
        super().__init__()
        self.oracle, self.predicts = LAW.scaled(SCALING), predicts

    def forward(self, x, t):
        assert x.shape[1:] == SHAPE
        level, x_t = SCHEDULE(t.long()), x.double().flatten(1)
        x_0 = self.oracle(x_t, level)
        value = training_target(self.predicts, x_0, eps_from_data(x_0, x_t, level), level)
        return value.to(x).reshape(x.shape)


@pytest.fixture(scope="module")
def data():
    return images(600, 1)


def codes(network, data, **known):
    found = diffuscope.diagnose(network, SCHEDULE.beta, data, progress=False, **known)
    return [finding.code for finding in found.findings]


def test_a_sound_network_has_no_findings(quick, features_are_pixels, data):
    known = {"held_out": images(300, 2), "samples": images(600, 3)}
    assert codes(Exact(), data, **known) == []


@pytest.mark.slow  # it is named of points in test_foreign_pipelines
@pytest.mark.parametrize("scaling", [None, (127.5, 127.5), ([127.5] * 3, np.full(3, 127.5))], ids=str)
def test_velocity_that_is_read_as_noise_is_named(quick, features_are_pixels, data, scaling):
    assert codes(Exact("velocity"), data, scaling=scaling)[0] == "prediction_type"
    assert codes(Exact("velocity"), data, scaling=scaling, prediction="velocity") == []


@pytest.mark.slow
def test_units_that_the_network_was_not_trained_in_are_named(quick, features_are_pixels, data):
    assert codes(Exact(), data, scaling=(0.0, 255.0))[0] == "units"


@pytest.mark.slow
def test_a_denoiser_and_a_folder_are_taken_as_well(quick, features_are_pixels, data, tmp_path):
    save_images([data[:300]], tmp_path / "images", 300)
    network = Exact()

    def denoiser(x_t, level):
        assert x_t.shape[1:] == SHAPE
        return network.oracle(x_t.double().flatten(1), level).to(x_t).reshape(x_t.shape)

    assert codes(denoiser, tmp_path / "images") == []


def test_samples_of_another_shape_are_refused(data):
    with pytest.raises(InputError, match="samples have shape"):
        codes(Exact(), data, samples=np.zeros((8, 3, 2, 2)))
