"""Do runs of images give what is asked of them, from Python and from the command line?"""

from __future__ import annotations

import csv
import dataclasses
import math

import numpy as np
import pytest
from PIL import Image

import diffuscope
from diffuscope.data.images import load_images, read_image, save_grid
from diffuscope.data.images.sheets import as_sheet
from diffuscope.errors import InputError
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.modalities.recognition import modality

from .conftest import CLASSES, SHAPE

FAST = ("--steps", 2)


@pytest.fixture
def run(image_run):
    return diffuscope.load(image_run)


@pytest.fixture
def photo(tmp_path):
    """A file with an image of the model's size, and its pixels."""
    x = np.random.default_rng(0).integers(0, 256, (1, *SHAPE), dtype=np.uint8)
    save_grid(x, tmp_path / "photo.png")
    return tmp_path / "photo.png", x


@pytest.fixture
def mask(tmp_path):
    """A file with a mask, and what it says: the upper half is to be drawn."""
    holes = np.zeros(SHAPE[1:], bool)
    holes[: SHAPE[1] // 2] = True
    Image.fromarray(holes.astype(np.uint8) * 255).save(tmp_path / "mask.png")
    return tmp_path / "mask.png", holes


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- from Python -------------------------------------------------------------------------------------------


def test_samples_are_images_of_the_class_asked_for(run):
    x = run.sample(5, label="dog", guidance=2.0, steps=2, seed=1)
    assert (x.shape, x.dtype) == ((5, *SHAPE), np.uint8)
    np.testing.assert_array_equal(x, run.sample(5, label=1, guidance=2.0, steps=2, seed=1))
    for other in ({"label": "cat", "guidance": 2.0}, {"label": 1}, {}, {"label": "dog", "guidance": 4.0}):
        assert (x != run.sample(5, steps=2, seed=1, **other)).any(), other


def test_guidance_outside_its_interval_is_none(run):
    asked = {"label": "dog", "steps": 3, "seed": 1}
    plain, guided = run.sample(4, guidance=1.0, **asked), run.sample(4, guidance=5.0, **asked)
    none = run.sample(4, guidance=5.0, interval=(1e6, 1e7), **asked)
    some = run.sample(4, guidance=5.0, interval=(0.1, 10.0), **asked)
    np.testing.assert_array_equal(plain, none)
    assert (plain != some).any()
    assert (guided != some).any()


def test_guidance_and_its_interval_are_by_default_the_recipes(run):
    asked = {"label": "dog", "steps": 3, "seed": 1}
    own = run.recipe.changed({"sampling.guidance": 3.0, "sampling.guidance_interval": [0.1, 10.0]})
    usual = ImageGenerator(dataclasses.replace(run.model, recipe=own))
    spoken = run.sample(4, guidance=3.0, interval=(0.1, 10.0), **asked)
    np.testing.assert_array_equal(usual.sample(4, **asked), spoken)
    np.testing.assert_array_equal(usual.sample(4, guidance=3.0, **asked), spoken)
    everywhere = usual.sample(4, interval=(0.0, math.inf), **asked)
    np.testing.assert_array_equal(everywhere, run.sample(4, guidance=3.0, **asked))
    assert (everywhere != spoken).any()


@pytest.mark.slow
def test_quality_is_that_of_images_of_classes_as_they_come_in_the_data(run, features_are_pixels):
    x = np.random.default_rng(0).integers(0, 256, (400, *SHAPE), dtype=np.uint8)
    data = load_images(x, labels=np.repeat([0, 2], [300, 100]))
    own, codec = modality("images"), run.model.codec
    reference, measure = own.reference(data, codec, seed=1), own.measurable(data, codec)
    labels = reference.condition
    assert np.bincount(labels, minlength=3)[1] == 0
    assert 0.65 < (labels == 0).mean() < 0.85
    wanted = {"n": len(labels), "seed": reference.sampling_seed}
    conditional = run.sample(y=labels, **wanted)
    made = np.concatenate(reference.clouds(measure(own.sampled(run.model, reference))))
    np.testing.assert_array_equal(made, conditional.reshape(len(labels), -1).astype(np.float32) / 255)
    assert (conditional != run.sample(**wanted)).any()


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "folder", "x.png"])
def test_what_is_written_are_the_samples(run, tmp_path, name):
    asked = {"label": "each", "steps": 2, "seed": 3}
    x = run.sample(7, **asked)
    path = run.sample_to(tmp_path / name, 7, **asked)
    if name == "folder":
        with (path / "metadata.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["class"] for row in rows] == [CLASSES[i % 3] for i in range(7)]
        written = np.stack([read_image(path / row["file_name"], SHAPE) for row in rows])
        np.testing.assert_array_equal(written, x)
    elif name == "x.png":
        named = as_sheet(x, class_names=CLASSES, labels=np.arange(7) % 3)  # each column is of one class
        np.testing.assert_array_equal(pixels(path), named[:, :, 0])
    else:
        written = np.load(path)
        np.testing.assert_array_equal(written["images"] if name == "x.npz" else written, x)
        if name == "x.npz":
            assert list(written["labels"]) == [0, 1, 2, 0, 1, 2, 0]
            assert tuple(written["classes"]) == CLASSES
            written.close()


def test_a_request_that_cannot_be_met_leaves_no_file(run, tmp_path):
    for name in ("x.png", "folder", "x.npz"):
        for wrong in ({"label": "bird"}, {"guidance": 2.0}, {"label": 0, "guidance": np.nan}, {"steps": 0}):
            with pytest.raises(InputError):
                run.sample_to(tmp_path / name, 4, **wrong)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_not_sampled_first(run, tmp_path, monkeypatch):
    monkeypatch.setattr(type(run.model), "ends", lambda *_: pytest.fail("sampled"))
    for name, what in (("x.png", "too large"), ("x.jpg", "'.jpg'")):
        with pytest.raises(InputError, match=what):
            run.sample_to(tmp_path / name, 10**7)


def test_images_are_no_table_and_points_are_no_images(run, run_dir):
    with pytest.raises(InputError, match="as a table"):
        run.sample_frame(3)
    with pytest.raises(InputError, match="not of images"):
        diffuscope.load(run_dir).images  # noqa: B018


# --- sample ------------------------------------------------------------------------------------------------


def test_sample_draws_64_images_on_a_sheet(image_run, cli, tmp_path):
    out = tmp_path / "grid.png"
    assert cli("sample", image_run, "-o", out, "--seed", 2, *FAST) == (0, f"64 images in {out}\n", "")
    expected = diffuscope.load(image_run).sample(64, seed=2, steps=2)
    np.testing.assert_array_equal(pixels(out), as_sheet(expected, columns=8)[:, :, 0])


def test_sample_draws_as_many_of_each_class_a_column_for_each(image_run, cli, tmp_path):
    out = tmp_path / "x.npz"
    assert cli("sample", image_run, "-o", out, "--label", "each", *FAST)[:2] == (0, f"63 images in {out}\n")
    with np.load(out) as archive:
        assert np.bincount(archive["labels"]).tolist() == [21, 21, 21]


@pytest.mark.parametrize("label", ["dog", "1"])
def test_every_option_reaches_the_model(image_run, cli, tmp_path, label):
    code, _, err = cli(
        *("sample", image_run, "-n", 5, "-o", tmp_path / "x.npy", "--label", label, "--guidance", 3),
        *("--interval", "0.1,10", "--steps", 4, "--sampler", "ddim", "--set", "eta=0.5", "--seed", 7),
        *("--spacing", "uniform", "--device", "cpu"),
    )
    assert (code, err) == (0, "")
    expected = diffuscope.load(image_run).sample(
        *(5,),
        **{"label": "dog", "guidance": 3.0, "interval": (0.1, 10.0), "steps": 4, "sampler": "ddim"},
        **{"eta": 0.5, "seed": 7, "spacing": "uniform"},
    )
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)


def test_sample_fills_an_empty_folder_and_no_other(image_run, cli, tmp_path):
    out = tmp_path / "folder"
    out.mkdir()
    words = ("sample", image_run, "-n", 3, "-o", out, *FAST)
    assert cli(*words) == (0, f"3 images in {out}\n", "")
    for more in ((), ("--force",)):
        code, _, err = cli(*words, *more)
        assert code == 2
        assert "is not empty" in err
    assert len(list(out.iterdir())) == 3


# --- inpaint, vary, interpolate ----------------------------------------------------------------------------


def test_inpaint_draws_under_the_mask_and_nowhere_else(image_run, cli, tmp_path, photo, mask):
    out = tmp_path / "out.png"
    words = ("inpaint", image_run, photo[0], "--mask", mask[0], "-o", out, "--label", "dog", "--seed", 1)
    assert cli(*words, *FAST) == (0, f"1 image in {out}\n", "")
    made = pixels(out)
    assert made.shape == SHAPE[1:]
    np.testing.assert_array_equal(made[~mask[1]], photo[1][0, 0][~mask[1]])
    assert (made[mask[1]] != photo[1][0, 0][mask[1]]).mean() > 0.5
    asked = {"label": "dog", "seed": 1, "steps": 2}
    expected = diffuscope.load(image_run).images.inpaint(photo[1], mask[1], **asked)
    np.testing.assert_array_equal(made, expected[0, 0])


def test_inpaint_draws_several_and_takes_steps_again(image_run, cli, tmp_path, photo, mask):
    words = ("inpaint", image_run, photo[0], "--mask", mask[0], "-n", 3, *FAST)
    assert cli(*words, "-o", tmp_path / "a.npy")[0] == 0
    assert cli(*words, "-o", tmp_path / "b.npy", "--resample", 3)[0] == 0
    a, b = np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy")
    assert a.shape == b.shape == (3, *SHAPE)
    assert len(np.unique(a, axis=0)) == 3
    assert (a != b).any()


def test_a_sheet_of_several_shows_the_image_and_what_of_it_was_given(
    image_run, cli, tmp_path, photo, mask, monkeypatch
):
    sheets = []

    def keep(images, path, columns, names, labels):
        sheets.append((images, [names[label] for label in labels]))

    monkeypatch.setattr("diffuscope.data.images.save_grid", keep)
    words = ("inpaint", image_run, photo[0], "--mask", mask[0], "-n", 3, *FAST, "-o", tmp_path / "a.png")
    assert cli(*words)[0] == 0
    ((images, names),) = sheets
    assert names == ["original", "given", "1", "2", "3"]
    np.testing.assert_array_equal(images[0], photo[1][0])
    np.testing.assert_array_equal(images[1][0][~mask[1]], photo[1][0, 0][~mask[1]])
    assert set(images[1][0][mask[1]]) == {128}


def test_vary_keeps_more_of_an_image_the_weaker_it_is(image_run, cli, tmp_path, photo):
    distance = []
    for strength in (0.25, 1.0):
        out = tmp_path / f"{strength}.npy"
        words = ("vary", image_run, photo[0], "-o", out, "--strength", strength, "-n", 4)
        assert cli(*words, "--steps", 8) == (0, f"4 images in {out}\n", "")
        made = np.load(out)
        assert made.shape == (4, *SHAPE)
        distance.append(np.abs(made.astype(float) - photo[1]).mean())
    assert distance[0] < distance[1]


def test_interpolate_leads_from_one_image_to_the_other(image_run, cli, tmp_path, photo):
    other = 255 - photo[1]
    save_grid(other, tmp_path / "other.png")
    out = tmp_path / "way.npy"
    words = ("interpolate", image_run, "-o", out, "--from", photo[0], "--to", tmp_path / "other.png")
    assert cli(*words, "-n", 5, *FAST) == (0, f"5 images in {out}\n", "")
    made = np.load(out)
    assert made.shape == (5, *SHAPE)
    np.testing.assert_array_equal(made[0], photo[1][0])
    np.testing.assert_array_equal(made[-1], other[0])
    assert len(np.unique(made, axis=0)) == 5


def test_interpolate_stands_side_by_side_or_moves_there_and_back(image_run, cli, tmp_path):
    words = ("interpolate", image_run, *FAST, "--label", "cat", "--sampler", "ddim")
    assert cli(*words, "-o", tmp_path / "way.png") == (0, f"9 images in {tmp_path / 'way.png'}\n", "")
    assert pixels(tmp_path / "way.png").shape == (8 * 12, (9 * 7 - 1) * 12)
    assert cli(*words, "-n", 4, "-o", tmp_path / "way.gif")[0] == 0
    with Image.open(tmp_path / "way.gif") as image:
        assert image.n_frames == 6  # 0 1 2 3 2 1


# --- what cannot be ----------------------------------------------------------------------------------------


def wrong_words(name, photo, mask):
    image, full = photo[0], ("--mask", mask[0])
    return {
        "no such class": ("sample", "--label", "bird"),
        "a number beyond": ("sample", "--label", "3"),
        "guidance without a class": ("sample", "--guidance", "2"),
        "guidance that is no number": ("sample", "--label", "0", "--guidance", "nan"),
        "an interval without guidance": ("sample", "--label", "0", "--guidance", "1", "--interval", "1,2"),
        "an interval that is none": ("sample", "--label", "0", "--guidance", "2", "--interval", "1"),
        "an interval upside down": ("sample", "--label", "0", "--guidance", "2", "--interval", "2,1"),
        "columns of images": ("sample", "--given", "a=1"),
        "no images": ("sample", "-n", "0"),
        "each of a variant": ("vary", image, "--label", "bird"),
        "no strength": ("vary", image, "--strength", "0"),
        "no variants": ("vary", image, "-n", "0"),
        "no image": ("vary", image.parent / "none.png"),
        "inpaint without a mask": ("inpaint", image),
        "an empty mask": ("inpaint", image, "--mask", image.parent / "black.png"),
        "a mask of another size": ("inpaint", image, "--mask", image.parent / "large.png"),
        "an image of another size": ("inpaint", image.parent / "large.png", *full),
        "no times": ("inpaint", image, *full, "--resample", "0"),
        "guidance of a hole": ("inpaint", image, *full, "--guidance", "2"),
        "one end": ("interpolate", "--from", image),
        "chance": ("interpolate", "--sampler", "ancestral"),
        "one image": ("interpolate", "-n", "1"),
    }[name]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("no such class", "There is no class named 'bird'"),
        ("a number beyond", "this model has 3"),
        ("guidance without a class", "none was given"),
        ("guidance that is no number", "must be a finite number"),
        ("an interval without guidance", "needs guidance"),
        ("an interval that is none", "'1' is not a valid interval"),
        ("an interval upside down", "is not valid"),
        ("columns of images", "There is no option named 'given'"),
        ("no images", "at least 1, not 0"),
        ("each of a variant", "There is no class named 'bird'"),
        ("no strength", "not 0"),
        ("no variants", "-n"),
        ("no image", "no such file"),
        ("inpaint without a mask", "--mask"),
        ("an empty mask", "The mask is empty"),
        ("a mask of another size", "20 × 20 pixels, but the image has 8 × 6"),
        ("an image of another size", "20 × 20 pixels; expected 8 × 6"),
        ("no times", "at least 1, not 0"),
        ("guidance of a hole", "none was given"),
        ("one end", "Only one end"),
        ("chance", "random"),
        ("one image", "-n"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_written(image_run, cli, tmp_path, photo, mask, name, what):
    Image.new("L", (6, 8), 0).save(tmp_path / "black.png")
    Image.new("L", (20, 20), 255).save(tmp_path / "large.png")
    command, *words = wrong_words(name, photo, mask)
    out = tmp_path / "out" / "x.png"
    code, _, err = cli(command, image_run, *words, "-o", out)
    assert code == 2
    assert what in err
    assert not out.parent.exists()


def test_an_image_of_another_size_is_resized_on_request(image_run, cli, tmp_path, mask):
    Image.new("RGB", (20, 20), (10, 10, 10)).save(tmp_path / "large.png")
    words = ("inpaint", image_run, tmp_path / "large.png", "--mask", mask[0], "--resize")
    assert cli(*words, "-o", tmp_path / "out.png", *FAST)[0] == 0
    assert (pixels(tmp_path / "out.png")[~mask[1]] == 10).all()


def test_a_model_without_classes_says_so(classless_run, cli, tmp_path):
    assert cli("sample", classless_run, "-n", 3, "-o", tmp_path / "x.npy", *FAST)[0] == 0
    assert np.load(tmp_path / "x.npy").shape == (3, 3, 6, 6)
    for words in (("--label", "1"), ("--label", "each"), ("--guidance", "2")):
        code, _, err = cli("sample", classless_run, "-o", tmp_path / "y.npy", *words)
        assert code == 2
        assert "trained without classes" in err


@pytest.mark.parametrize("command", ["inpaint", "vary", "interpolate"])
def test_runs_of_points_cannot_be_asked_for_images(run_dir, cli, tmp_path, photo, mask, command):
    words = {"inpaint": (photo[0], "--mask", mask[0]), "vary": (photo[0],), "interpolate": ()}[command]
    code, _, err = cli(command, run_dir, *words, "-o", tmp_path / "x.png")
    assert code == 2
    assert "not of images" in err


@pytest.mark.parametrize("words", [("--label", "1"), ("--guidance", "2", "--interval", "1,2")])
def test_points_have_no_classes(run_dir, cli, tmp_path, words):
    code, _, err = cli("sample", run_dir, "-o", tmp_path / "x.npy", *words)
    assert code == 2
    assert "without classes" in err or "none was given" in err


@pytest.mark.parametrize("command", ["sample", "inpaint", "vary", "interpolate"])
def test_files_are_replaced_only_if_told(image_run, cli, tmp_path, photo, mask, command):
    words = {"inpaint": (photo[0], "--mask", mask[0]), "vary": (photo[0],)}.get(command, ())
    out = tmp_path / "x.png"
    out.write_text("mine")
    code, _, err = cli(command, image_run, *words, "-o", out, *FAST)
    assert code == 2
    assert "already exists" in err
    assert out.read_text() == "mine"
    assert cli(command, image_run, *words, "-o", out, "--force", *FAST)[0] == 0
    assert pixels(out).ndim == 2


@pytest.mark.parametrize("command", ["sample", "inpaint", "vary", "interpolate"])
def test_formats_that_images_cannot_have_are_refused(image_run, cli, tmp_path, photo, mask, command):
    words = {"inpaint": (photo[0], "--mask", mask[0]), "vary": (photo[0],)}.get(command, ())
    code, _, err = cli(command, image_run, *words, "-o", tmp_path / "x.csv")
    assert code == 2
    assert "'.csv' is not supported" in err
