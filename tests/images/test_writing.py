"""Do images go out whole, exact, in flat memory, and the same every time?"""

from __future__ import annotations

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffuscope.data.images import ImageWriter, save_grid, save_images
from diffuscope.data.images.sheets import as_sheet
from diffuscope.data.images.writing import folder_names
from diffuscope.errors import InputError
from diffuscope.files import atomic_folder


def images(n: int, channels: int = 1, side: int = 4) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, channels, side, side + 1), dtype=np.uint8)


def in_batches(x: np.ndarray, size: int = 3):
    return (x[i : i + size] for i in range(0, len(x), size))


def opened(path) -> np.ndarray:
    with Image.open(path) as image:
        x = np.asarray(image)
    return x[None] if x.ndim == 2 else x.transpose(2, 0, 1)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- sheets ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sheet_shows_every_image_enlarged_by_a_whole_factor(tmp_path, channels):
    x = images(7, channels, 8)
    save_grid(x, tmp_path / "sheet.png", columns=3)
    sheet = opened(tmp_path / "sheet.png")
    assert sheet.shape == (channels, (3 * 8 + 2) * 10, (3 * 9 + 2) * 10)  # 96 // 9 = 10
    small = sheet[:, ::10, ::10]
    np.testing.assert_array_equal(small.repeat(10, axis=1).repeat(10, axis=2), sheet)  # nearest neighbour
    for i, image in enumerate(x):
        top, left = i // 3 * 9, i % 3 * 10
        np.testing.assert_array_equal(small[:, top : top + 8, left : left + 9], image)
    assert (small[:, 8] == 255).all()
    assert (small[:, :, 9] == 255).all()
    assert (small[:, 18:, 10:] == 255).all()  # places that are left


def test_one_image_is_written_as_it_is(tmp_path):
    x = images(1, 3)
    save_grid(x, tmp_path / "one.png")
    np.testing.assert_array_equal(opened(tmp_path / "one.png"), x[0])


def test_images_of_all_classes_in_turn_stand_below_one_another():
    x = images(20)
    np.testing.assert_array_equal(as_sheet(x, class_names="0123456789"), as_sheet(x, columns=10))
    np.testing.assert_array_equal(as_sheet(x), as_sheet(x, columns=5))


def dark(sheet: np.ndarray) -> np.ndarray:
    """Where something is written: images are white here."""
    return (sheet < 128).all(axis=2)


@pytest.mark.parametrize(
    ("labels", "columns", "expected"),
    [
        ([0, 1, 2] * 2, 3, ["above", "above", "above"]),
        ([0, 0, 1, 1, 2, 2], 2, ["beside", "beside", "beside"]),
        ([0, 1, 2, 2, 1, 0], 3, ["below"] * 6),
    ],
)
def test_names_of_classes_stand_where_they_belong_and_on_no_image(labels, columns, expected):
    white = np.full((6, 1, 20, 40), 255, np.uint8)
    white[:, :, 0] = white[:, :, :, 0] = 200  # edges to be found by
    bare = as_sheet(white, columns, scale=3)
    sheet = as_sheet(white, columns, ("cat", "dog", "T-shirt/top"), labels=np.array(labels), scale=3)
    ink, edges = dark(sheet), (sheet == 200).all(axis=2)
    assert edges.sum() == (bare == 200).all(axis=2).sum()  # nothing was covered
    ys, xs = np.nonzero(edges)
    if expected[0] == "above":
        assert ink[: ys.min()].any()
        assert not ink[ys.min() :].any()
        centres = [(i * 41 + 20) * 3 for i in range(3)]
        found = [np.nonzero(ink[:, c - 60 : c + 60])[1].mean() - 60 for c in centres]
    elif expected[0] == "beside":
        assert ink[:, : xs.min()].any()
        assert not ink[:, xs.min() :].any()
        middles = [(i * 21 + 10) * 3 for i in range(3)]
        found = [np.nonzero(ink[m - 30 : m + 30])[0].mean() - 30 for m in middles]
    else:
        strips = [sheet[top + 60 : top + 76] for top in (0, 63 + 16)]
        assert sum(dark(strip).sum() for strip in strips) == ink.sum()
        centres = [(i * 41 + 20) * 3 for i in range(3)]
        found = [
            np.nonzero(dark(strip)[:, c - 60 : c + 60])[1].mean() - 60 for strip in strips for c in centres
        ]
    assert len(found) == len(expected)
    assert np.abs(found).max() < 4


def test_names_are_those_of_the_labels_and_too_long_ones_are_cut(tmp_path):
    white = np.full((2, 1, 8, 8), 255, np.uint8)

    def sheet(*names: str) -> np.ndarray:
        return as_sheet(white, 2, names, labels=np.array([0, 1]))

    assert not np.array_equal(sheet("cat", "dog"), sheet("dog", "cat"))
    assert np.array_equal(sheet("猫", "dog"), sheet("class 0", "dog"))  # no font of the machine is asked for
    assert not np.array_equal(sheet("Ж é ß", "dog"), sheet("class 0", "dog"))
    assert np.array_equal(sheet("line\nbreak", "dog"), sheet("line break", "dog"))
    assert dark(sheet("x" * 500, "y")[:, :100]).any()
    assert np.array_equal(sheet("x" * 500, "y")[:, 100:], sheet("x", "y")[:, 100:])  # 96 wide, 12 between
    save_grid(white, tmp_path / "x.png", labels=[0, 3])  # numbers, where there are no names
    assert opened(tmp_path / "x.png").shape[0] == 1


@pytest.mark.parametrize("how", [{"columns": 0}, {"scale": 0}, {"labels": [0]}, {"labels": [0, -1]}])
def test_a_sheet_that_cannot_be_is_refused(tmp_path, how):
    with pytest.raises(InputError):
        save_grid(images(2), tmp_path / "sheet.png", **how)
    with pytest.raises(InputError, match="too large"):
        save_grid(images(2), tmp_path / "sheet.png", scale=10_000)
    assert not list(tmp_path.iterdir())


def test_a_sheet_that_nobody_can_look_at_is_refused_before_it_is_held(tmp_path):
    x = np.broadcast_to(np.uint8(0), (1000, 1, 28, 28))
    with pytest.raises(InputError, match="too large"):
        save_images((x for _ in range(100)), tmp_path / "sheet.png", 100_000)
    assert not list(tmp_path.iterdir())
    assert as_sheet(x).size <= 3 * 2**24


@pytest.mark.parametrize("x", [images(0), images(2, 5), images(2).astype(float), images(2)[0]])
def test_what_is_no_images_is_refused(tmp_path, x):
    with pytest.raises(InputError):
        save_grid(x, tmp_path / "sheet.png")
    with pytest.raises(InputError):
        save_images([x], tmp_path / "x.npy", len(x) or 1)
    assert not list(tmp_path.iterdir())


# --- arrays and folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_arrays_hold_what_was_given(tmp_path, channels):
    x, labels = images(10, channels), np.arange(10) % 3
    save_images(in_batches(x), tmp_path / "x.npy", 10)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), x)
    save_images(in_batches(x), tmp_path / "x.npz", 10, labels, ("a", "b", "ç"))
    with np.load(tmp_path / "x.npz") as archive:
        np.testing.assert_array_equal(archive["images"], x)
        np.testing.assert_array_equal(archive["labels"], labels)
        assert list(archive["classes"]) == ["a", "b", "ç"]


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_holds_a_file_for_each(tmp_path, channels):
    x = images(7, channels)
    save_images(in_batches(x), tmp_path / "samples", 7)
    assert names_in(tmp_path / "samples") == [f"{i:05d}.png" for i in range(7)]
    for i, image in enumerate(x):
        np.testing.assert_array_equal(opened(tmp_path / "samples" / f"{i:05d}.png"), image)


def test_labelled_images_go_into_folders_of_their_classes_and_a_list(tmp_path):
    x, labels = images(5), np.array([0, 2, 2, 0, 2])
    names = ("T-shirt/top", "Trouser", "Coat")
    save_images(in_batches(x), tmp_path / "s", 5, labels, names)
    with (tmp_path / "s" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == list(labels)
    assert [row["class"] for row in rows] == [names[i] for i in labels]
    for row, image in zip(rows, x, strict=True):
        assert row["file_name"].split("/")[0] == {"0": "T-shirt-top", "2": "Coat"}[row["label"]]
        np.testing.assert_array_equal(opened(tmp_path / "s" / row["file_name"]), image)
    assert {p.name for p in (tmp_path / "s").iterdir()} == {"T-shirt-top", "Coat", "metadata.csv"}


def test_no_name_of_a_class_leads_out_of_the_folder_or_into_another():
    names = ("..", "/etc", "a/../b", "", "NUL", "con.txt", "Ab", "aB", "x" * 300, "é", "\x00", "7")
    folders = folder_names(names)
    assert len({name.casefold() for name in folders}) == len(names)
    for name in folders:
        assert name not in ("", ".", "..")
        assert not set(name) & set("/\\\x00:")
        assert len(name) < 100
        assert name.split(".")[0].casefold() not in ("nul", "con")  # devices, on some systems
    assert (folders[6], folders[9], folders[-1]) == ("Ab", "é", "7")


@pytest.mark.parametrize("name", ["s", "x.npy", "x.npz", "x.png"])
def test_the_same_images_give_the_same_bytes_in_whatever_batches(tmp_path, name):
    x, labels = images(9), np.arange(9) % 3
    for folder, size in (("one", 2), ("other", 9)):
        save_images(in_batches(x, size), tmp_path / folder / name, 9, labels)
    one, other = (
        {
            p.relative_to(tmp_path / folder): p.read_bytes()
            for p in (tmp_path / folder).rglob("*")
            if p.is_file()
        }
        for folder in ("one", "other")
    )
    assert one == other
    assert one


@pytest.mark.parametrize("name", ["s", "x.npy", "x.npz", "x.png"])
def test_what_is_not_whole_does_not_appear(tmp_path, name):
    x = images(6)

    def breaking():
        yield x[:3]
        raise KeyboardInterrupt

    for batches, error in (
        (breaking(), KeyboardInterrupt),
        ([x[:4]], InputError),  # too few
        ([x, x], InputError),  # too many
        ([x[:3], images(3, side=5)], InputError),
    ):
        with pytest.raises(error):
            save_images(batches, tmp_path / name, 6)
        assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        save_images([images(2)], tmp_path / "full", 2)
    assert names_in(tmp_path / "full") == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    save_images([images(2)], tmp_path / "empty", 2)
    assert len(names_in(tmp_path / "empty")) == 2
    assert names_in(tmp_path) == ["empty", "full"]


def test_a_folder_that_a_killed_process_left_is_cleared_away(tmp_path):
    dead = tmp_path / ".diffuscope-999999999-s"
    dead.mkdir()
    (dead / "00000.png").write_bytes(b"")
    with atomic_folder(tmp_path / "s") as temporary:
        (temporary / "x").write_text("x")
    assert names_in(tmp_path) == ["s"]


def test_the_current_folder_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (".", ".."):
        with pytest.raises(InputError, match="the current folder"):
            ImageWriter(name, 2)


@pytest.mark.parametrize(
    ("name", "what"), [("x.jpg", "'.jpg'"), ("file", "it is a file"), ("folder.png", "it is a folder")]
)
def test_a_name_that_images_cannot_have_is_refused(tmp_path, name, what):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InputError, match=what):
        ImageWriter(tmp_path / name, 2)


@pytest.mark.parametrize("labels", [[0], [0, -1], [0, 3], [0.0, 1.0]])
def test_labels_that_do_not_fit_are_refused(tmp_path, labels):
    with pytest.raises(InputError):
        ImageWriter(tmp_path / "s", 2, labels, ("a", "b", "c"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["s", "x.npy", "x.npz"])
def test_memory_does_not_grow_with_the_number_of_images(tmp_path, name):
    x = images(100, 3, 16)
    save_images([x], tmp_path / "once" / name, 100)  # what is imported on the way does not count
    tracemalloc.start()
    save_images((x.copy() for _ in range(20)), tmp_path / name, 2000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * x.nbytes  # all of them are 20 times as much
