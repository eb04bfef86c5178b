"""Is it said what is missing, and is no file read but the one that published distances use?"""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch

from diffuscope.errors import InputError
from diffuscope.metrics.features import InceptionFeatures
from diffuscope.metrics.features import inception as module

IMAGES = np.random.default_rng(0).integers(256, size=(70, 3, 8, 8)).astype(np.uint8)


class Network(torch.nn.Module):
    """Stands for the package's: takes uint8 in colour, says each image's mean 2,048 times."""

    def __init__(self, name, features_list, feature_extractor_weights_path):
        super().__init__()
        self.path = feature_extractor_weights_path
        assert features_list == ["2048"]

    def forward(self, x):
        assert x.dtype == torch.uint8
        assert x.shape[1] == 3
        return (x.double().mean(dim=(1, 2, 3))[:, None].expand(-1, 2048),)


@pytest.fixture
def package(monkeypatch):
    """Put a package of that name in place; the real one is no dependency."""
    inside = ModuleType("torch_fidelity.feature_extractor_inceptionv3")
    inside.FeatureExtractorInceptionV3 = Network
    monkeypatch.setitem(sys.modules, "torch_fidelity", ModuleType("torch_fidelity"))
    monkeypatch.setitem(sys.modules, inside.__name__, inside)


@pytest.fixture
def weights(monkeypatch, tmp_path):
    """Make a file of weights be the right one."""
    path = tmp_path / "hub" / "checkpoints" / module._FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"weights")
    monkeypatch.setattr(module, "_SHA256", module._digest(path))
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path / "hub"))
    return path


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(InputError, match="pip install torch-fidelity"):
        InceptionFeatures()


def test_without_the_weights_it_says_where_they_belong_and_downloads_nothing(package, weights, monkeypatch):
    weights.unlink()
    with pytest.raises(InputError, match=r"not at .*hub.*6726825d\.pth"):
        InceptionFeatures()


def test_a_file_that_is_another_is_not_handed_on(package, weights, tmp_path):
    (tmp_path / "other.pth").write_bytes(b"other weights")
    with pytest.raises(InputError, match="was not read"):
        InceptionFeatures(tmp_path / "other.pth")


def test_features_come_in_order_in_batches_and_grey_images_are_taken_for_colour(package, weights):
    extractor = InceptionFeatures()
    found = extractor.features(IMAGES)
    assert found.shape == (70, 2048)
    assert found.dtype == np.float32
    assert found[:, 7] == pytest.approx(IMAGES.mean(axis=(1, 2, 3)), rel=1e-6)
    grey = InceptionFeatures(weights).features(IMAGES[:, :1])
    assert grey[:, 0] == pytest.approx(IMAGES[:, :1].mean(axis=(1, 2, 3)), rel=1e-6)
    assert extractor.features(IMAGES[:0]).shape == (0, 2048)


def test_images_of_two_channels_are_refused(package, weights):
    with pytest.raises(InputError, match="2 channels"):
        InceptionFeatures().features(IMAGES[:, :2])
