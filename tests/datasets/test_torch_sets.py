"""Are the containers of torch, and arrays of images of any kind, read as what they hold?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import diffuscope
from diffuscope.data.images import load_images, save_images
from diffuscope.data.torch_sets import is_torch_set, unpacked
from diffuscope.errors import InputError
from diffuscope.modalities.recognition import modality_for

from ..conftest import TINY

X = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 2)))
PIXELS = np.random.default_rng(1).integers(0, 256, (20, 1, 8, 8), dtype=np.uint8)
IMAGES = {
    "network.width": 8,
    "network.multipliers": [1],
    "network.blocks": 1,
    "training.batch_size": 8,
    "training.steps": 3,
    "sampling.steps": 2,
}


class Items(Dataset):
    """A data set of whatever a function gives for a number."""

    def __init__(self, n, item):
        self.n, self.item = n, item

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.item(i)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(X)


def test_a_loader_is_its_data_set_in_order_whatever_it_shuffles():
    for source in (TensorDataset(X), DataLoader(TensorDataset(X), batch_size=7, shuffle=True)):
        assert is_torch_set(source)
        x, y = unpacked(source)
        np.testing.assert_array_equal(x, X.numpy())
        assert y is None
    assert not is_torch_set(X)


@pytest.mark.parametrize("wrap", [TensorDataset, lambda x: Items(len(x), lambda i: x[i]), DataLoader])
def test_training_on_a_container_is_training_on_its_points(tiny, wrap):
    one, other = tiny(data=X.numpy(), out="one"), tiny(data=wrap(X), out="other")
    np.testing.assert_array_equal(one.sample(20), other.sample(20))


def test_labels_of_points_are_not_dropped_in_silence(tiny):
    run = tiny(data=TensorDataset(X, torch.arange(60) % 2))
    assert run.data.classes == ("0", "1")
    assert run.data.labels.tolist() == [0, 1] * 30
    assert run.sample(4, y="each").shape == (4, 2)
    with pytest.raises(InputError, match="labels, and y gives others"):
        tiny(data=TensorDataset(X, torch.arange(60) % 2), y=np.zeros(60), out="other")


@pytest.mark.parametrize("form", ["bytes", "floats", "pillow"])
def test_images_with_classes_come_out_of_a_data_set(tmp_path, features_are_pixels, form):
    def item(i):
        if form == "pillow":
            return Image.fromarray(PIXELS[i, 0]), i % 2
        x = torch.from_numpy(PIXELS[i])
        return (x if form == "bytes" else x.float() / 255), i % 2

    source = Items(20, item)
    assert modality_for(source).name == "images"
    run = diffuscope.train(source, settings=IMAGES, out=tmp_path / "run", pictures=False)
    np.testing.assert_array_equal(run.data.x, PIXELS)
    np.testing.assert_array_equal(run.data.labels, np.arange(20) % 2)
    assert run.recipe.data.classes == ("0", "1")


@pytest.mark.parametrize(
    ("source", "word"),
    [
        (Stream(), "iterable"),
        (Items(0, lambda i: X[0]), "0 items"),
        (Items(5, lambda i: torch.zeros(2 + i % 2)), "shapes"),
        (Items(5, lambda i: "text"), "shapes"),
        (TensorDataset(X, X, X), "3 parts"),
    ],
)
def test_what_is_no_data_is_refused(source, word):
    with pytest.raises(InputError, match=word):
        diffuscope.train(source, out="nowhere")


def test_images_as_a_tensor_and_as_a_file_of_an_array_are_images(tmp_path):
    np.save(tmp_path / "a.npy", PIXELS)
    np.save(tmp_path / "points.npy", X.numpy())
    for source in (torch.from_numpy(PIXELS), tmp_path / "a.npy", str(tmp_path / "a.npy")):
        assert modality_for(source).name == "images"
        np.testing.assert_array_equal(load_images(source).x, PIXELS)
    assert modality_for(str(tmp_path / "points.npy")).name == "points"
    (tmp_path / "broken.npy").write_bytes(b"\x93NUMPY\x01\x00")
    assert modality_for(str(tmp_path / "broken.npy")).name == "points"


@pytest.mark.slow
@pytest.mark.parametrize("n", [1, pytest.param(3, marks=pytest.mark.slow), 15])
def test_few_images_are_learned_on_purpose(tmp_path, n):
    announced = []
    run = diffuscope.train(
        PIXELS[:n], settings=IMAGES, out=tmp_path / "run", pictures=True, announce=announced.extend
    )
    assert run.sample(2).shape == (2, 1, 8, 8)
    assert any("by heart" in note for note in announced)
    assert (run.summary["quality"] == {}) == (n < 4)
    assert (run.path / "figures" / "samples.png").is_file()
    assert "images" in repr(run)
    assert "<img" in run._repr_html_()


def test_a_folder_of_one_image_says_why_nothing_was_measured(tmp_path, cli):
    (tmp_path / "one").mkdir()
    Image.fromarray(PIXELS[0, 0]).save(tmp_path / "one" / "a.png")
    words = [word for key, value in IMAGES.items() for word in ("--set", f"{key}={value}")]
    code, said, _ = cli("train", tmp_path / "one", "--out", tmp_path / "run", "--no-pictures", *words)
    assert code == 0
    assert "quality     Too few images to measure quality: 1, and at least 4 are needed." in said


@pytest.mark.parametrize("channels", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_alpha_is_kept_from_a_file_to_a_sample(tmp_path, channels, features_are_pixels):
    random = np.random.default_rng(channels)
    pixels = random.integers(0, 256, (20, channels, 8, 8), dtype=np.uint8)
    save_images([pixels], tmp_path / "there", len(pixels))
    with Image.open(tmp_path / "there" / "00000.png") as image:
        first = np.asarray(image)
    np.testing.assert_array_equal(first.transpose(2, 0, 1), pixels[0])
    back = load_images(tmp_path / "there", channels=channels)
    if channels == 4:
        np.testing.assert_array_equal(back.x, pixels)
    np.testing.assert_array_equal(back.x[:, -1], pixels[:, -1])
    run = diffuscope.train(
        tmp_path / "there",
        settings={**IMAGES, "data.channels": channels},
        out=tmp_path / "run",
        pictures=True,
    )
    assert run.sample(3).shape == (3, channels, 8, 8)
    run.sample_to(tmp_path / "one.png", 1)
    with Image.open(tmp_path / "one.png") as image:
        assert image.mode == {2: "LA", 4: "RGBA"}[channels]
    assert diffuscope.load(run.path).model.shape == (channels, 8, 8)


def test_without_alpha_a_file_lies_over_white(tmp_path):
    pixels = np.zeros((2, 4, 8, 8), np.uint8)  # black, and not to be seen
    save_images([pixels], tmp_path / "there", 2)
    assert (load_images(tmp_path / "there").x == 255).all()


class Double(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        self.seen = set()

    def forward(self, x, t):
        self.seen |= {x.dtype, t.dtype}
        return self.layer(torch.cat([x, t[:, None]], dim=1))


def test_a_network_in_float64_is_trained_sampled_and_asked_in_float64(tiny):
    network = Double().double()
    run = tiny(data=X.numpy(), network=network)
    assert run.sample(5).shape == (5, 2)
    assert run.denoise(np.zeros((4, 2)), 1.0).dtype == np.float64
    assert network.seen == {torch.float64}


def test_a_process_whose_floats_are_64_bits_trains_saves_and_loads(tiny, tmp_path):
    settings = {key: value for key, value in TINY.items() if key != "data.size"}
    torch.set_default_dtype(torch.float64)
    try:
        run = diffuscope.train(X, settings=settings, out=tmp_path / "run", pictures=False)
        expected = run.sample(6)
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(diffuscope.load(run.path).sample(6), expected, rtol=1e-6)
