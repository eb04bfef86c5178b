"""Are images of more than 8 bits read in one range, folders of parts as parts, and is what was done said?"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import diffuscope
from diffuscope.data.images import load_images
from diffuscope.data.images.ranges import checked_range, to_bytes, usual_range
from diffuscope.errors import InputError
from diffuscope.modalities.recognition import modality_for


def write(folder, name, values, **options):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)
    return path


def said(data):
    return " ".join(data.notes)


def ramp(most, dtype, shape=(8, 8)):
    return np.linspace(0, most, shape[0] * shape[1]).reshape(shape).astype(dtype)


def test_float_images_of_a_folder_share_one_range(tmp_path):
    write(tmp_path, "a.tif", ramp(1.00, np.float32))
    write(tmp_path, "b.tif", ramp(1.01, np.float32))
    data = load_images(tmp_path)
    assert data.x[0].max() == round(255 / 1.01)  # 1.00 is the same grey in both
    assert data.x[1].max() == 255
    assert "0 is black and 1.01 white" in said(data)


def test_twelve_bits_in_a_png_of_sixteen_are_not_black(tmp_path):
    for name in "ab":
        write(tmp_path, f"{name}.png", ramp(4095, np.uint16))
    data = load_images(tmp_path)
    assert data.x.max() == 255
    assert abs(int(data.x[0, 0, 4, 0]) - 130) < 3
    assert "0 is black and 4095 white" in said(data)
    assert "--range" in said(data)


def test_a_given_range_counts_and_what_is_beyond_is_said(tmp_path):
    for name in "ab":
        write(tmp_path, f"{name}.png", ramp(4095, np.uint16))
    data = load_images(tmp_path, value_range=(0, 2047))
    assert (data.x == 255).mean() > 0.45
    assert "clipped" in said(data)
    assert "clipped" not in said(load_images(tmp_path, value_range=(0, 65535)))
    assert load_images(tmp_path, value_range=(0, 65535)).x.max() == 16


def test_a_range_is_none_of_images_of_eight_bits(tmp_path):
    for name in "ab":
        write(tmp_path, f"{name}.png", ramp(200, np.uint8))
    data = load_images(tmp_path, value_range=(0, 100))
    assert data.x.max() == 200
    assert "the range has no effect" in said(data)


@pytest.mark.parametrize("form", ["array", "npy", "npz", "torch"])
@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 1, 8, 8), (6, 8, 8, 3)])
def test_floats_from_minus_1_to_1_are_images(tmp_path, form, shape):
    x = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape).astype(np.float32)
    source = x
    if form == "npy":
        source = str(tmp_path / "x.npy")
        np.save(source, x)
    elif form == "npz":
        source = str(tmp_path / "x.npz")
        np.savez(source, images=x)
    elif form == "torch":
        source = torch.from_numpy(x)
    assert modality_for(source).name == "images"
    data = load_images(source)
    assert (data.x.min(), data.x.max()) == (0, 255)
    assert "-1 is black and 1 white" in said(data)
    flat = data.x.transpose(0, 2, 3, 1).reshape(-1) if shape[-1] == 3 else data.x.reshape(-1)
    assert np.abs(flat.astype(float) - (x.reshape(-1) + 1) * 127.5).max() < 0.51


@given(
    st.floats(-1e6, 1e6, allow_nan=False).map(float),
    st.floats(1e-3, 1e6, allow_nan=False),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_a_usual_range_clips_nothing_and_is_not_much_too_wide(low, width, whole):
    if whole:
        low, width = float(round(low)), float(round(width) + 1)
    black, white = usual_range(low, low + width, whole)
    assert black <= low
    assert low + width <= white
    assert white - black <= 5 * max(low + width, 1) + 5 * max(-low, 0) or (low >= 0 and whole)
    grey = to_bytes(np.array([low, low + width]), (black, white))
    assert grey[1] >= grey[0]


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 255, True, (0, 255)),
        (0, 900, True, (0, 1023)),
        (3, 4000, True, (0, 4095)),
        (0, 16000, True, (0, 16383)),
        (0, 60000, True, (0, 65535)),
        (0, 1, True, (0, 1)),
        (0.0, 0.4, False, (0, 1)),
        (-0.9, 0.9, False, (-1, 1)),
        (0.0, 254.5, False, (0, 255)),
        (0.0, 1.3, False, (0, 1.3)),
        (-5.0, 5.0, False, (-5, 5)),
        (-1000, 3000, True, (-1000, 3000)),
        (7.0, 7.0, False, (0, 7)),
        (0.0, 0.0, False, (0, 1)),
        (-3.0, -3.0, False, (-3, -2)),
    ],
)
def test_usual_ranges(low, high, whole, expected):
    assert usual_range(low, high, whole) == expected


@pytest.mark.parametrize("bad", [(1, 0), (0, 0), (0,), "x", (0, float("nan")), (0, float("inf"))])
def test_a_range_that_is_none_is_refused(bad):
    with pytest.raises(InputError, match="smaller first"):
        checked_range(bad)


def test_the_command_line_takes_a_range_and_a_split(tmp_path, cli, features_are_pixels):
    for part in ("train", "val"):
        for kind in ("cat", "dog"):
            for i in range(12):
                noise = np.random.default_rng(i).integers(0, 4096, (8, 8)).astype(np.uint16)
                write(tmp_path / "pets", f"{part}/{kind}/{i}.png", noise)
    out = tmp_path / "run"
    words = ["--set", "training.steps=3", "--set", "sampling.steps=2", "--set", "width=8", "--no-pictures"]
    code, printed, err = cli("train", tmp_path / "pets", "--out", out, "--range", "0,8191", *words)
    assert code == 0, err
    assert "0 is black and 8191 white" in printed
    assert "24 images of 'train' are learned, 24 of 'val' are held out" in printed
    run = diffuscope.load(out)
    assert run.recipe.data.range == (0, 8191)
    assert run.recipe.data.classes == ("cat", "dog")
    assert run.data.x.max() <= 128
    code, _, err = cli("train", tmp_path / "pets", "--out", tmp_path / "other", "--split", "vall", *words)
    assert code != 0
    assert "val" in err
    code, _, err = cli("train", tmp_path / "pets", "--out", tmp_path / "other", "--range", "5", *words)
    assert code != 0
    assert "--range LOW,HIGH" in err


def pets(folder, parts=("train", "val"), kinds=("cat", "dog"), n=3):
    for part in parts:
        for kind in kinds:
            for i in range(n):
                write(folder, f"{part}/{kind}/{i}.png", ramp(100 + i, np.uint8))


def test_the_last_folder_is_the_class_where_the_first_is_a_part(tmp_path):
    pets(tmp_path)
    data = load_images(tmp_path)
    assert data.classes == ("cat", "dog")
    assert len(data.x) == 6
    assert data.held_out is not None
    assert data.held_out.classes == data.classes
    assert np.bincount(data.held_out.labels).tolist() == [3, 3]
    assert "6 images of 'train' are learned, 6 of 'val' are held out" in said(data)


def test_a_split_is_chosen_and_what_is_left_is_said(tmp_path):
    pets(tmp_path, ("train", "val", "test"))
    data = load_images(tmp_path, split="test")
    assert "6 images of 'test' are learned" in said(data)
    assert "not used: 6 of 'train'" in said(data)
    with pytest.raises(InputError, match="trian"):
        load_images(tmp_path, split="trian")


def test_any_subfolder_can_be_chosen(tmp_path):
    pets(tmp_path, ("inside", "outside"))
    plain = load_images(tmp_path)
    assert plain.classes == ("inside", "outside")
    assert "Folders within those of classes are not used as classes: inside/cat" in said(plain)
    assert load_images(tmp_path, split="inside").classes == ("cat", "dog")


def test_other_files_and_foreign_classes_are_said(tmp_path):
    pets(tmp_path)
    write(tmp_path, "val/bird/1.png", ramp(50, np.uint8))
    (tmp_path / "labels.csv").write_text("a,b\n")
    data = load_images(tmp_path)
    assert "Files that are no images, and not used: 1 (labels.csv)" in said(data)
    assert "Images of 'val' of other classes, and not used: 1" in said(data)
    assert data.classes == ("cat", "dog")
    assert data.held_out is not None
    assert len(data.held_out.x) == 6


def test_parts_without_classes_are_parts(tmp_path):
    for part in ("training", "test"):
        for i in range(4):
            write(tmp_path, f"{part}/{i}.png", ramp(100 + i, np.uint8))
    data = load_images(tmp_path)
    assert (data.classes, data.labels, len(data.x)) == ((), None, 4)
    assert data.held_out is not None


def test_held_out_images_have_the_range_of_those_that_are_learned(tmp_path):
    for part, most in (("train", 4000), ("val", 1000)):
        for i in range(3):
            write(tmp_path, f"{part}/x/{i}.png", ramp(most, np.uint16))
    data = load_images(tmp_path)
    assert data.held_out is not None
    assert abs(int(data.held_out.x.max()) - round(1000 / 4095 * 255)) <= 1


def test_values_that_are_not_finite_are_said():
    x = np.random.default_rng(0).random((4, 8, 8))
    x[0, 0, 0] = np.nan
    assert "1 values are not finite" in said(load_images(x))


@pytest.mark.parametrize("sampler", ["ddpm", pytest.param("heun", marks=pytest.mark.slow)])
def test_fewer_images_are_the_first_of_more_to_the_last_bit(tmp_path, sampler, features_are_pixels):
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)
    settings = {"training.steps": 3, "sampling.steps": 3, "network.width": 8}
    run = diffuscope.train(
        images, y=["a", "b"] * 10, out=tmp_path / "run", settings=settings, pictures=False, progress=False
    )
    assert run.recipe.data.classes == ("a", "b")
    for few, many in ((3, 5), (1, 40), (16, 17), (500, 700)):
        options = {"sampler": sampler, "seed": 3, "y": "b"}
        assert run.sample(few, **options).tobytes() == run.sample(many, **options)[:few].tobytes()
