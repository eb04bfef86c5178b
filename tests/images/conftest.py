"""What do tests of images share? Runs on images that are there at once: their networks are not trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from diffuscope.data.images.codec import PixelCodec
from diffuscope.model import Model
from diffuscope.recipes import load_recipe

SHAPE = (1, 8, 6)
CLASSES = ("cat", "dog", "T-shirt/top")


@pytest.fixture(scope="session")
def make_image_run(tmp_path_factory) -> Callable[..., Path]:
    """Write a run directory: ``make_image_run(shape, classes)``; its weights are noise."""

    def make(shape=SHAPE, classes=CLASSES) -> Path:
        recipe = load_recipe("digits").changed(
            {
                "data.classes": list(classes),
                "network.width": 8,
                "network.multipliers": [1],
                "network.blocks": 1,
                "sampling.steps": 3,
                "sampling.precision": "float32",
            }
        )
        torch.manual_seed(0)
        denoiser = recipe.make_denoiser(shape)
        with torch.no_grad():
            for weight in denoiser.network.parameters():
                weight.add_(0.1 * torch.randn(weight.shape))
        denoiser.eval()
        path = tmp_path_factory.mktemp("image_runs") / "run"
        path.mkdir()
        Model(recipe, denoiser, PixelCodec(shape)).save(path / "model.safetensors")
        (path / "recipe.toml").write_text(recipe.to_toml(), "utf-8")
        return path

    return make


@pytest.fixture(scope="session")
def image_run(make_image_run) -> Path:
    """A run on grey images of three classes. Nobody writes to it."""
    return make_image_run()


@pytest.fixture(scope="session")
def classless_run(make_image_run) -> Path:
    """A run on images in colour without classes."""
    return make_image_run((3, 6, 6), ())
