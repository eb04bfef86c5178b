"""Does an exported model answer as it did, and can it be sampled without torch?"""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from diffuscope.data.images.codec import PixelCodec
from diffuscope.data.points.codec import PointsCodec
from diffuscope.errors import InputError
from diffuscope.exchange import export_onnx
from diffuscope.model import Model
from diffuscope.recipes import load_recipe

EXAMPLE = Path(__file__).parents[1] / "examples" / "exported" / "sample_without_torch.py"

NUMBERS = {"names": ["dose", "age"], "mean": [1, 40], "deviation": [2, 9], "low": [0, 1], "high": [5, 90]}


def noisy(recipe: str, shape: tuple[int, ...], **changes) -> Model:
    """A model whose weights are noise."""
    made = load_recipe(recipe).changed(changes)
    torch.manual_seed(0)
    denoiser = made.make_denoiser(shape).eval()
    with torch.no_grad():
        for weight in denoiser.network.parameters():
            weight.add_(0.1 * torch.randn(weight.shape))
    x = np.random.default_rng(0).normal(3, 2, (50, *shape))
    if len(shape) == 3:
        return Model(made, denoiser, PixelCodec(shape))
    return Model(made, denoiser, PointsCodec.fit(x, made.data.scaling, made.data.divisor, ("a", "b")))


MODELS = {
    "points": lambda: noisy("fast", (2,), **{"network.width": 8, "sampling.steps": 5}),
    "numbers": lambda: noisy(
        "fast", (2,), **{"network.width": 8, "sampling.steps": 5, "data.numbers": NUMBERS}
    ),
    "article": lambda: noisy("article", (2,), **{"network.width": 8}),
    "images": lambda: noisy(
        "digits",
        (1, 8, 6),
        **{
            "network.width": 8,
            "network.blocks": 1,
            "data.classes": ["cat", "dog"],
            "sampling.steps": 5,
            "network.attention": [4],
        },
    ),
    "transformer": lambda: noisy(
        "digits",
        (3, 4, 4),
        **{"network.name": "dit", "network.width": 16, "network.depth": 1, "sampling.steps": 3},
    ),
    "diffusers": lambda widths=(8,): noisy(
        "diffusers",
        (1, 8, 8),
        **{
            "network.block_out_channels": list(widths),
            "network.down_block_types": ["AttnDownBlock2D"] * len(widths),
            "network.up_block_types": ["AttnUpBlock2D"] * len(widths),
            "network.layers_per_block": 1,
            "network.norm_num_groups": 4,
            "data.classes": ["cat", "dog"],
            "sampling.steps": 5,
        },
    ),
    "annotated": lambda multipliers=(1,): noisy(
        "annotated_fashion",
        (1, 8, 8),
        **{"network.width": 8, "network.multipliers": list(multipliers), "sampling.steps": 6},
    ),
}
# One resolution takes a third of the time; that a graph holds two of them is shown by "images" as well.
MODELS["diffusers, resampled"] = lambda: MODELS["diffusers"]((8, 16))
MODELS["annotated, resampled"] = lambda: MODELS["annotated"]((1, 2))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "points" else pytest.mark.slow) for name in MODELS],
)
def test_an_exported_model_is_sampled_without_torch_to_what_ours_would_be(name, tmp_path, monkeypatch):
    model = MODELS[name]()
    path = export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path))
    about = json.loads(session.get_modelmeta().custom_metadata_map["diffuscope"])
    assert about["shape"] == list(model.shape)
    assert about["codec"]["kind"] == ("points" if len(model.shape) == 1 else "images")
    assert about["schedule"]["name"] == model.recipe.schedule.name
    assert about["classes"] == list(model.recipe.data.classes)
    monkeypatch.setattr(sys, "argv", ["x", str(path), "4", str(tmp_path / "samples.npy")])
    monkeypatch.setitem(sys.modules, "torch", None)  # whoever imports it fails
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    monkeypatch.undo()
    from diffuscope.diffusion.samplers import make_sampler, trajectory

    grid, _ = model.plan()
    noise = np.random.default_rng(0).normal(size=(4, *model.shape)).astype(np.float32)
    start = torch.from_numpy((grid.prior_std * noise).astype(np.float32))
    *_, last = trajectory(model.denoiser, start, grid, make_sampler("ddim"), torch.Generator())
    affine, x = model.codec.affine, last.x.flatten(1)
    ours, theirs = affine.decode(x).reshape(last.x.shape), np.load(tmp_path / "samples.npy")
    assert np.abs(ours - theirs).max() <= 1e-3 * np.abs(ours).max()


def test_the_example_has_at_most_twenty_lines():
    lines = [line for line in EXAMPLE.read_text("utf-8").splitlines() if line.strip()]
    assert len(lines) <= 20


def test_what_cannot_be_exported_is_refused_with_a_hint(tmp_path, monkeypatch):
    model = MODELS["points"]()
    with pytest.raises(InputError, match="ONNX file") as refused:
        export_onnx(model, tmp_path / "model.bin")
    assert refused.value.hint
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(InputError) as refused:
        export_onnx(model, tmp_path / "model.onnx")
    assert "diffuscope[onnx]" in refused.value.hint
    assert not list(tmp_path.iterdir())
