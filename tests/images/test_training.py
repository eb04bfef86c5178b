"""Is a model of images trained as it is said to be, whole, in parts, in 16 bits, stopped and gone on with?"""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

import diffuscope
from diffuscope.data.images import ImageData, ImageRows, load_images, nearest
from diffuscope.data.stored import let_go
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.errors import FormatError, InputError
from diffuscope.modalities.images.evaluation import evaluate_images
from diffuscope.modalities.images.flattened import flat_denoiser
from diffuscope.modalities.images.modality import extractor_for
from diffuscope.model import Model
from diffuscope.precision import half_type
from diffuscope.progress import Reporter
from diffuscope.recipes import load_recipe
from diffuscope.runs import execution
from diffuscope.runs.run import load
from diffuscope.runs.setup import Setup
from diffuscope.tensors import load_tensors, save_tensors
from diffuscope.training import Interrupted

CPU = torch.device("cpu")
SMALL = {
    "network.width": 8,
    "network.multipliers": [1],
    "network.head_width": 8,
    "training.steps": 12,
    "training.batch_size": 16,
    "sampling.steps": 3,
}


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load_images("digits")


def fitted(data: ImageData, **changes) -> Model:
    recipe = load_recipe("digits").changed({**SMALL, "data.classes": data.classes, **changes})
    fitting = Setup(recipe, data, CPU)
    trainer = fitting.trainer()
    trainer.run()
    trainer.finish()
    return fitting.model


def weights(model: Model) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.denoiser.network.parameters()])


# --- rows --------------------------------------------------------------------------------------------------


def test_rows_are_pixels_in_the_models_units_mirrored_as_often_as_not():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 2, 4, 5), dtype=np.uint8)
    rows = ImageRows(pixels, None, CPU, flip=True)
    index = torch.arange(3).repeat(400)
    x, label = rows.take(index, torch.Generator().manual_seed(0))
    assert label is None
    plain = ((torch.from_numpy(pixels).float() - 127.5) / 127.5)[index]
    mirrored = (x != plain).flatten(1).any(1)
    torch.testing.assert_close(torch.where(mirrored[:, None, None, None], x.flip(3), x), plain)
    assert 0.45 < mirrored.float().mean() < 0.55
    again, _ = rows.take(index, torch.Generator().manual_seed(0))
    assert torch.equal(x, again)
    assert (plain.min(), plain.max()) >= (-1, 0.9)


def test_so_many_labels_are_dropped_as_is_asked():
    pixels, labels = np.zeros((4, 1, 2, 2), np.uint8), np.arange(4)
    rows = ImageRows(pixels, labels, CPU, none=4, drop_labels=0.2)
    _, label = rows.take(torch.arange(4).repeat(1000), torch.Generator().manual_seed(0))
    dropped = label == 4
    assert 0.17 < dropped.float().mean() < 0.23
    assert torch.equal(label[~dropped], torch.arange(4).repeat(1000)[~dropped])
    some = rows.only(torch.tensor([3, 1]))
    assert len(some) == 2
    assert some.as_they_are(torch.tensor([0, 1]))[1].tolist() == [3, 1]


def memory(what: str) -> int:
    """Bytes that the process holds: its own (RssAnon), those of files that are mapped (RssFile), or all."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"{what}:\s+(\d+)", status)[1])


@pytest.mark.slow
def test_memory_does_not_grow_with_what_is_read_of_a_mapped_file(tmp_path):
    n = 50_000
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (n, 1, 64, 64))  # 205 MB
    x.flush()
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")[: n - 1]  # a part of it is mapped as well
    rows = ImageRows(mapped, None, CPU)
    for start in range(0, 2_000, 100):  # so that the memory of batches is there
        rows.as_they_are(torch.arange(start, start + 100))
    let_go(mapped)
    own, files, most = memory("RssAnon"), memory("RssFile"), 0
    for start in range(0, n - 100, 100):
        rows.as_they_are(torch.arange(start, start + 100))
        most = max(most, memory("RssFile") - files)
    assert most < 100e6
    assert memory("RssAnon") - own < 20e6
    nearest(np.zeros((1, 1, 64, 64), np.uint8), mapped)
    assert memory("RssFile") - files < 20e6


def test_what_is_in_memory_or_can_be_written_to_stays_as_it_is(tmp_path):
    pixels = np.arange(2 * 9, dtype=np.uint8).reshape(2, 1, 3, 3)
    let_go(pixels)
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, pixels.shape)
    mapped[:] = pixels
    let_go(mapped)
    np.testing.assert_array_equal(mapped, pixels)
    copied = np.load(tmp_path / "x.npy", mmap_mode="c")  # changes are this process's alone
    copied += 1
    let_go(copied)
    np.testing.assert_array_equal(copied, pixels + 1)


# --- training ----------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_labels_are_learned(digits):
    one, other = fitted(digits), fitted(digits)
    assert torch.equal(weights(one), weights(other))
    assert not torch.equal(weights(one), weights(fitted(digits, **{"seed": 1})))
    assert one.denoiser.classes == 10
    table = one.denoiser.network.embedding.label.weight
    assert (table.std() > 0).all()


def test_a_batch_in_parts_is_the_batch(digits):
    changes = {"training.exact": False}
    whole, parts = (fitted(digits, **changes, **{"training.accumulate": n}) for n in (1, 3))
    assert not torch.equal(weights(whole), weights(parts))  # other sums
    torch.testing.assert_close(weights(whole), weights(parts), rtol=0.05, atol=3e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training.accumulate": 2, "training.batch_size": 64},
        pytest.param({"training.batch_size": 13}, marks=pytest.mark.slow),
    ],
)
def test_a_batch_shared_among_cores_is_the_batch(digits, changes):
    """What several cores make of parts of a batch is what one makes of it whole, up to the order of sums."""
    changes = {"training.steps": 6, "training.exact": False, **changes}
    before = torch.get_num_threads()
    made = []
    try:
        for threads in (1, 3, 3):
            torch.set_num_threads(threads)
            made.append(weights(fitted(digits, **changes)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(made[1], made[2])  # the same bytes each time
    assert not torch.equal(made[0], made[1])
    torch.testing.assert_close(made[0], made[1], rtol=0.05, atol=3e-3)


def test_what_is_drawn_in_a_network_is_drawn_in_order(digits):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        one, other = (weights(fitted(digits, **{"network.dropout": 0.3})) for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16", pytest.param("float16", marks=pytest.mark.slow)])
def test_training_in_16_bits_comes_near_to_32(digits, precision):
    changes = {"training.steps": 30}
    full, half = fitted(digits, **changes), fitted(digits, **changes, **{"training.precision": precision})
    x = torch.randn(8, 1, 8, 8)
    level = full.denoiser.schedule.at_ratio(torch.tensor([0.7], dtype=torch.float64)).at(0)
    with torch.no_grad():
        answers = [model.denoiser(x, level) for model in (full, half)]
    assert answers[1].dtype == torch.float32
    assert (answers[0] - answers[1]).abs().mean() < 0.1 * answers[0].abs().mean()
    assert all(p.dtype == torch.float32 for p in half.denoiser.network.parameters())


def test_16_bits_are_taken_where_a_device_has_them_alone():
    assert half_type("float32", CPU) is None
    assert half_type("bfloat16", CPU) is torch.bfloat16
    assert half_type("auto", torch.device("meta")) is None
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert half_type("auto", CPU) is (torch.bfloat16 if native else None)


@pytest.mark.parametrize("precision", ["float32", pytest.param("float16", marks=pytest.mark.slow)])
def test_a_run_on_images_that_was_stopped_ends_with_the_same_bytes(tmp_path, digits, precision, monkeypatch):
    changes = {
        **SMALL,
        "training.precision": precision,
        "training.steps": 32,
        "training.checkpoint_every": 8,
    }
    whole = diffuscope.train("digits", out=tmp_path / "whole", settings=changes, pictures=False)
    append, lines = execution.append_text, []

    def press(path, text):
        append(path, text)
        lines.append(text)
        if len(lines) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(execution, "append_text", press)
    with pytest.raises(Interrupted):
        diffuscope.train("digits", out=tmp_path / "stopped", settings=changes, pictures=False)
    monkeypatch.setattr(execution, "append_text", append)
    diffuscope.train(None, out=tmp_path / "stopped", resume=True, pictures=False)
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped"))
    assert one == other
    assert whole.summary["quality"]["sliced_wasserstein"]["ratio"] > 0


def test_held_out_images_decide_when_it_is_enough(digits):
    recipe = load_recipe("digits").changed(
        {**SMALL, "data.classes": digits.classes, "training.hold_out": 0.1, "training.steps": 8}
    )
    fitting = Setup(recipe, digits, CPU)
    trainer = fitting.trainer()
    trainer.run()
    assert len(fitting.source) == 1350
    assert trainer.held_out is not None
    assert trainer.held_out.best[0] < 2
    assert trainer.held_out.weights is not None


# --- plans and files ---------------------------------------------------------------------------------------


def test_every_kind_of_images_finds_its_recipe(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", pixels, labels=np.arange(40) % 2)
    changes = SMALL | {"training.steps": 2, "network.patch": 1}
    run = diffuscope.train(tmp_path / "x.npz", out=tmp_path / "run", settings=changes, pictures=False)
    assert run.recipe.name == "images"
    assert run.recipe.data.classes == ("0", "1")
    again = load(tmp_path / "run", device="cpu")
    assert again.model.shape == (3, 8, 8)
    assert np.array_equal(again.data.x, run.data.x)
    assert np.array_equal(run.sample(3, label="1", seed=1), again.sample(3, label=1, seed=1))
    plain = diffuscope.train(
        pixels, out=tmp_path / "plain", settings=changes | {"data.labels": False}, pictures=False
    )
    assert plain.recipe.data.classes == ()
    with pytest.raises(InputError, match="without classes"):
        plain.sample(2, label=0)


@pytest.mark.parametrize(("data", "recipe"), [("digits", "fast"), ("s_curve", "digits"), ("digits", "table")])
def test_a_recipe_for_other_data_is_refused(tmp_path, data, recipe):
    with pytest.raises(InputError) as refused:
        diffuscope.train(data, recipe=recipe, out=tmp_path / "run", pictures=False)
    assert refused.value.hint
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("shape", [[1, 8], [2, 8, 6], [0, 8, 6], [1, 1, 8, 6], "abc", [1, 8, 10**9]])
def test_a_model_file_whose_codec_is_of_another_shape_is_refused(image_run, tmp_path, shape):
    tensors, metadata = load_tensors(image_run / "model.safetensors", "diffuscope-model-2")
    kept = {key: text for key, text in metadata.items() if key not in ("format", "sha256")}
    kept["codec"] = json.dumps({"kind": "images", "shape": shape})
    save_tensors(tmp_path / "model.safetensors", tensors, "diffuscope-model-2", kept)
    with pytest.raises(FormatError):
        Model.load(tmp_path / "model.safetensors", device="cpu")


# --- what a person does ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.usefixtures("little")
def test_digits_are_trained_sampled_measured_diagnosed_and_moved_from_the_command_line(cli, tmp_path):
    run = tmp_path / "run"
    words = [word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    code, out, err = cli("train", "digits", "--out", run, *words)
    assert code == 0, err
    assert f"diffuscope sample {run} -o samples.png --label each" in out
    assert {p.name for p in (run / "figures").iterdir()} == {
        f"{name}.png" for name in ("dataset", "forward", "loss", "reverse", "samples")
    }
    assert {p.name for p in run.glob("*.gif")} == {"forward.gif", "reverse.gif"}
    assert cli("sample", run, "-o", tmp_path / "x.png", "--label", "each")[0] == 0
    code, out, err = cli("evaluate", run, "-n", "200")
    assert code == 0, err
    assert "to the requested class" in out
    assert "test images that come with the data" in out
    assert (run / "figures" / "nearest.png").is_file()
    found = json.loads((run / "evaluation.json").read_text())
    assert found["metrics"]["frechet_distance"]["ratio"] > 2  # it has learned next to nothing
    code, out, err = cli("animate", run, "--forward", "--reverse", "-o", tmp_path / "x.html")
    assert code == 0, err
    code, out, err = cli("diagnose", run)
    assert code == 0, err
    assert "network" in out
    assert (run / "figures" / "diagnosis.png").is_file()


class Stand:
    """A generator whose samples are others' images."""

    label_type, classes = None, ()

    def __init__(self, pixels):
        self.pixels = pixels

    def batches(self, n, request):
        yield self.pixels[:n]


@pytest.mark.slow
def test_real_images_in_place_of_samples_are_as_good_as_real_and_copies_are_seen(digits, image_run):
    model = load(image_run, device="cpu").model
    halves = np.random.default_rng(0).permutation(digits.held_out.pixels)
    quiet = Reporter(False)
    extractor = extractor_for(digits)
    stand = Stand(halves[:148])
    fresh = evaluate_images(model, digits, stand, halves[148:], None, 0, quiet, extractor, samples=148)
    assert fresh.quality["frechet_distance"].low < 1 < fresh.quality["frechet_distance"].high
    assert fresh.copies == pytest.approx(1, abs=0.1)
    assert "samples are copies" not in " ".join(str(fresh).split())
    stand = Stand(digits.pixels)
    copied = evaluate_images(model, digits, stand, None, None, 0, quiet, extractor, samples=300)
    assert copied.copies == 0
    assert "samples are copies" in " ".join(str(copied).split())


def test_rows_of_pixels_are_the_images_to_a_denoiser(image_run):
    model = load(image_run, device="cpu").model
    flat = flat_denoiser(model.denoiser, model.shape)
    x = torch.randn(4, *model.shape)
    level = model.denoiser.schedule.at_ratio(torch.tensor([0.5], dtype=torch.float64)).at(0)
    with torch.no_grad():
        torch.testing.assert_close(flat(x.flatten(1), level), model.denoiser(x, level).flatten(1))
    assert isinstance(flat, Denoiser)


def test_a_classifier_is_trained_once_for_all_that_measure(digits, monkeypatch):
    first = extractor_for(digits)
    from diffuscope.metrics.features import cache

    monkeypatch.setattr(cache, "train_classifier", None)  # whoever trains again fails
    second = extractor_for(digits)
    assert np.array_equal(first.features(digits.pixels[:5]), second.features(digits.pixels[:5]))
