"""Does a model file hold the whole model, and open as nothing but that?"""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
import torch
from torch import nn

from diffuscope.data.points.codec import PointsCodec
from diffuscope.errors import DiffuscopeError, FormatError, InputError
from diffuscope.model import Model, pick_device
from diffuscope.recipes import load_recipe
from diffuscope.request import Request
from diffuscope.tensors import load_tensors, save_tensors

KIND = "diffuscope-model-2"
FAST = load_recipe("fast").changed({"network.width": 8, "network.depth": 1, "sampling.steps": 4})


def make(recipe=FAST, d=2, columns=None, seed=0) -> Model:
    torch.manual_seed(seed)
    denoiser = recipe.make_denoiser(d)
    for p in denoiser.network.parameters():
        nn.init.normal_(p, std=0.3)
    return Model(recipe, denoiser.eval(), PointsCodec(np.arange(d) + 5.0, np.arange(d) + 0.5, columns))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    make(columns=("höhe", "b, c")).save(path)
    return path


def test_a_model_comes_back_whole(file):
    model, again = make(columns=("höhe", "b, c")), Model.load(file)
    assert again.recipe == model.recipe
    assert again.columns == ("höhe", "b, c")
    np.testing.assert_array_equal(again.codec.shift, model.codec.shift)
    np.testing.assert_array_equal(again.codec.scale, model.codec.scale)
    for name, tensor in model.denoiser.network.state_dict().items():
        assert torch.equal(again.denoiser.network.state_dict()[name], tensor)
    np.testing.assert_array_equal(again.sample(50, seed=1), model.sample(50, seed=1))
    assert not again.denoiser.training


def test_the_same_model_is_the_same_file(file, tmp_path):
    Model.load(file).save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


@pytest.mark.parametrize("name", ["article", "notebook"])
def test_models_of_the_other_recipes_come_back(name, tmp_path):
    recipe = load_recipe(name).changed({"network.width": 4, "sampling.steps": 3})
    make(recipe, d=3).save(tmp_path / "m.safetensors")
    assert Model.load(tmp_path / "m.safetensors").sample(7).shape == (7, 3)


def test_the_same_seed_gives_the_same_bytes_and_another_one_others():
    model = make()
    for sampler in (None, "ddpm", "dpmpp_2m_sde"):
        one, same, other = (model.sample(100, sampler=sampler, seed=s).tobytes() for s in (1, 1, 2))
        assert one == same != other


def test_sampling_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    make().sample(10, sampler="ddpm")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("n", [1, 16_383, 16_384, 16_385, 40_000])
def test_sampling_in_pieces_adds_up_to_sampling_at_once(n):
    model = make()
    pieces = [model.codec.decode(x) for x in model.coordinates(n, Request(steps=1))]
    assert sum(len(piece) for piece in pieces) == n
    np.testing.assert_array_equal(np.concatenate(pieces), model.sample(n, steps=1))


def test_every_piece_has_noise_of_its_own():
    pieces = list(make().coordinates(40_000, Request(steps=1)))
    assert len(np.unique(np.concatenate(pieces)[:, 0])) > 39_000


def test_the_first_points_are_the_same_however_many_follow_in_other_pieces():
    model = make()
    np.testing.assert_array_equal(
        model.sample(40_000, steps=1)[:16_384], model.sample(20_000, steps=1)[:16_384]
    )


def test_pieces_are_small_for_points_of_many_coordinates():
    sizes = [len(piece) for piece in make(d=3000).coordinates(1000, Request(steps=1))]
    assert max(sizes) * 3000 <= 2**20
    assert sum(sizes) == 1000


def test_samples_have_the_units_of_the_data():
    class Zero(nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = nn.Parameter(torch.zeros(1))

        def forward(self, x, t):
            return 0 * x

    recipe = FAST.changed({"denoiser.prediction": "data"})
    denoiser = recipe.make_denoiser(2, network=Zero())
    model = Model(recipe, denoiser, PointsCodec(np.array([5.0, -1.0]), np.array([2.0, 3.0])))
    np.testing.assert_allclose(model.sample(3), [[5.0, -1.0]] * 3, atol=1e-4)


def test_a_sampler_is_a_name_with_settings_or_a_function():
    model = make()
    half, full = model.sample(20, sampler="ddim", eta=0.5), model.sample(20, sampler="ddim", eta=1.0)
    assert not np.array_equal(half, full)
    np.testing.assert_allclose(
        model.sample(20, sampler=lambda context, x: torch.zeros_like(x)), np.tile([5.0, 6.0], (20, 1))
    )


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"n": 0}, "at least 1, not 0"),
        ({"n": -3}, "at least 1, not -3"),
        ({"steps": 0}, "0 steps"),
        ({"steps": -1}, "-1 steps"),
        ({"steps": 10**12}, "too many"),
        ({"seed": -1}, "seed must be a whole number of at least 0, not -1"),
        ({"sampler": "hein"}, "Did you mean 'heun'"),
        ({"spacing": "karas"}, "Did you mean 'karras'"),
        ({"sampler": "ddim", "eta": "high"}, "eta = 'high'"),
        ({"sampler": "ddim", "etta": 1.0}, "Did you mean 'eta'"),
        ({"sampler": lambda context, x: x, "eta": 1.0}, "takes no settings"),
    ],
)
def test_what_cannot_be_sampled_is_refused(wanted, words):
    with pytest.raises(InputError, match=words):
        make().sample(**{"n": 5, **wanted})


def test_more_steps_than_the_schedule_has_are_refused():
    recipe = load_recipe("article").changed({"network.width": 4})
    with pytest.raises(InputError, match="101 steps: the model's schedule has only T = 100"):
        make(recipe).sample(5, steps=101)


def test_devices_are_picked_by_name():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("tpu9", "cuda:99", "meta meta", ""):
        with pytest.raises(InputError, match="is not available"):
            pick_device(name)


def codec(**changes) -> str:
    """The codec of a small model, with other content."""
    plain = {"kind": "points", "shift": [5.0, 6.0], "scale": [0.5, 1.5], "columns": None}
    return json.dumps({**plain, **changes})


def rewritten(file, tensors=None, text=None, drop=(), drop_text=()):
    """The file with other content, its digest right."""
    old_tensors, old_text = load_tensors(file, KIND)
    together = {**old_tensors, **(tensors or {})}
    kept = {k: v for k, v in {**old_text, **(text or {})}.items() if k not in drop_text}
    save_tensors(file, {k: v for k, v in together.items() if k not in drop}, KIND, kept)


RECIPE = FAST.to_toml()
HOSTILE = {
    "no recipe": {"text": {"recipe": ""}},
    "a recipe that is not TOML": {"text": {"recipe": "= ="}},
    "absurd width": {"text": {"recipe": RECIPE.replace("width = 8", f"width = {10**9}")}},
    "absurd width, overflowing": {"text": {"recipe": RECIPE.replace("width = 8", f"width = {10**18}")}},
    "absurd depth": {"text": {"recipe": RECIPE.replace("depth = 1", f"depth = {10**9}")}},
    "wide and deep": {
        "text": {"recipe": RECIPE.replace("depth = 1", "depth = 1000").replace("width = 8", "width = 65536")}
    },
    "absurd steps": {"text": {"recipe": RECIPE.replace("steps = 4", f"steps = {10**12}")}},
    "another width": {"text": {"recipe": RECIPE.replace("width = 8", "width = 9")}},
    "another network": {"text": {"recipe": RECIPE.replace('"resmlp"', '"article_mlp"')}},
    "a custom network": {"text": {"recipe": RECIPE.replace('"resmlp"', '"custom"')}},
    "no codec": {"drop_text": ["codec"]},
    "a weight missing": {"drop": ["network.input.weight"]},
    "a weight too many": {"tensors": {"network.more": torch.ones(2)}},
    "a weight of another shape": {"tensors": {"network.input.weight": torch.ones(2, 8)}},
    "a weight of another type": {"tensors": {"network.input.weight": torch.ones(8, 2).double()}},
    "a codec of another dimension": {"text": {"codec": codec(shift=[0.0] * 3, scale=[1.0] * 3)}},
    "an absurd dimension": {"text": {"codec": codec(shift=[0.0] * 10**5, scale=[1.0] * 10**5)}},
    "a shift of another length": {"text": {"codec": codec(shift=[0.0] * 3)}},
    "an empty scaling": {"text": {"codec": codec(shift=[], scale=[])}},
    "a flat scaling": {"text": {"codec": codec(scale=[0.0, 0.0])}},
    "a scaling that is not finite": {"text": {"codec": codec(scale=[1.0, float("inf")])}},
    "a scaling of text": {"text": {"codec": codec(scale=["a", "b"])}},
    "a scaling that is a table": {"text": {"codec": codec(shift=[[0.0] * 2] * 2, scale=[[1.0] * 2] * 2)}},
    "a codec of no known kind": {"text": {"codec": codec(kind="sequences")}},
    "a codec of another kind": {"text": {"codec": codec(kind="images", shape=[1, 4, 4])}},
    "a codec without content": {"text": {"codec": '{"kind": "points"}'}},
    "a codec that is a list": {"text": {"codec": "[]"}},
    "a recipe nested without end": {"text": {"recipe": "name = " + "[" * 100_000}},
    "a codec that is not JSON": {"text": {"codec": "["}},
    "columns that are not names": {"text": {"codec": codec(columns=[1, 2])}},
    "too many columns": {"text": {"codec": codec(columns=["a", "b", "c"])}},
    "a codec nested without end": {"text": {"codec": "[" * 100_000}},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_foreign_model_is_refused_before_memory_is_taken(file, case, monkeypatch):
    rewritten(file, **HOSTILE[case])
    largest = [0]
    real = torch.nn.Linear.__init__

    def watch(self, *args, **kwargs):
        real(self, *args, **kwargs)
        if self.weight.device.type != "meta":
            largest[0] = max(largest[0], self.weight.numel())

    monkeypatch.setattr(torch.nn.Linear, "__init__", watch)
    with pytest.raises((FormatError, InputError)) as error:
        Model.load(file)
    assert str(file) in error.value.what or "custom Python object" in error.value.what
    assert largest[0] == 0


def test_a_checkpoint_is_not_taken_for_a_model(tmp_path):
    save_tensors(tmp_path / "x.safetensors", {"weights": torch.ones(3)}, "diffuscope-checkpoint-1", {})
    with pytest.raises(FormatError, match="expected 'diffuscope-model-2'"):
        Model.load(tmp_path / "x.safetensors")


def test_no_mutation_of_a_model_file_raises_anything_but_a_format_error(file):
    whole = file.read_bytes()
    rng = random.Random(1)
    header = 8 + int.from_bytes(whole[:8], "little")
    for i in range(400):
        data = bytearray(whole)
        where = rng.randrange(header if i % 2 else len(data))  # half of them in the header
        match i % 5:
            case 0:
                data[where] ^= 1 << rng.randrange(8)
            case 1:
                data[where : where + 4] = rng.randbytes(4)
            case 2:
                del data[where : where + rng.randrange(1, 200)]
            case 3:
                data[where:where] = data[rng.randrange(len(data)) :][:50]
            case 4:
                del data[where:]
        if bytes(data) != whole:
            file.write_bytes(bytes(data))
            with pytest.raises(FormatError):
                Model.load(file)


def test_no_mutation_of_the_recipe_in_a_model_file_raises_anything_but_our_errors(file):
    tensors, text = load_tensors(file, KIND)
    rng = random.Random(2)
    letters = list('0123456789.="[]\n-e_ax')
    refused = 0
    for _ in range(200):
        recipe = list(text["recipe"])
        for _ in range(rng.randrange(1, 4)):
            recipe[rng.randrange(len(recipe))] = rng.choice(letters)
        save_tensors(file, tensors, KIND, {**text, "recipe": "".join(recipe)})
        try:
            Model.load(file)
        except DiffuscopeError:
            refused += 1
    assert refused > 50
