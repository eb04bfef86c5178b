"""Does whatever a user calls images come in as it is, and is the rest refused in plain words?"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import struct
import subprocess
import sys
import urllib.request
import warnings
import zipfile
import zlib
from http.client import IncompleteRead
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

import diffuscope
from diffuscope.data import bounds
from diffuscope.data.images import (
    ImageData,
    are_images,
    builtin,
    folders,
    load_images,
    save_images,
    splits,
)
from diffuscope.data.images.loading import check_distinct
from diffuscope.errors import DiffuscopeError, FormatError, InputError, RunError


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch) -> Path:
    """Keep out of the user's own cache, and of what the machine has."""
    place = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr(builtin, "_DEBIAN", place / "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    monkeypatch.delenv("DIFFUSCOPE_DATA", raising=False)
    return place / "diffuscope"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(path: Path, pixels: np.ndarray, mode: str | None = None, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path, **how)
    return path


# --- sets by name ------------------------------------------------------------------------------------------


def test_digits_are_the_real_ones_and_can_be_had_back():
    data = load_images("digits")
    real = load_digits()
    assert data.x.shape == (1500, 1, 8, 8)
    assert data.held_out is not None
    assert data.held_out.x.shape == (297, 1, 8, 8)
    both = np.concatenate([data.x, data.held_out.x])[:, 0]
    back = np.round(both / (255 / 16))
    assert {one.tobytes() for one in back} == {one.tobytes() for one in real.images}
    for part in (data, data.held_out):
        share = np.bincount(part.labels) / len(part.labels)
        assert np.abs(share - 0.1).max() < 0.01


def idx(array: np.ndarray) -> bytes:
    head = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    return gzip.compress(head + array.astype(np.uint8).tobytes())


def fashion(folder: Path, n: int = 12) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", n), ("t10k", n // 2)):
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(idx(noise(count, 28, 28)))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(idx(np.arange(count) % 10))
    return folder


@pytest.mark.parametrize("place", ["", "fashion-mnist"])
def test_fashion_mnist_is_found_in_a_folder_of_ones_own(tmp_path, monkeypatch, place):
    fashion(tmp_path / place)
    monkeypatch.setenv("DIFFUSCOPE_DATA", str(tmp_path))
    data = load_images("fashion_mnist")
    assert (data.x.shape, data.held_out.x.shape) == ((12, 1, 28, 28), (6, 1, 28, 28))
    assert np.array_equal(data.x[:, 0], noise(12, 28, 28))
    assert data.classes[data.labels[9]] == "Ankle boot"


def test_fashion_mnist_is_found_in_the_cache(cache):
    fashion(cache / "fashion-mnist")
    assert len(load_images("fashion_mnist").x) == 12


def test_where_there_is_none_all_ways_to_it_are_named(monkeypatch):
    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    with pytest.raises(InputError) as refused:
        load_images("fashion_mnist")
    said = f"{refused.value.what} {refused.value.hint}"
    for words in (
        "no network",
        "DIFFUSCOPE_DATA",
        "dataset-fashion-mnist",
        "internet",
        "train-images-idx3-ubyte.gz",
    ):
        assert words in said


def test_what_is_fetched_is_kept_if_it_is_the_real_thing_and_thrown_away_if_not(cache, monkeypatch, tmp_path):
    real = fashion(tmp_path / "far away")

    class Answer(BytesIO):
        pass

    def fetch(url, timeout):
        return Answer((real / url.rsplit("/", 1)[1]).read_bytes())

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    with pytest.raises(InputError, match="wrong checksum"):
        load_images("fashion_mnist")
    assert not list(cache.rglob("*.gz"))
    known = {
        name: (hashlib.sha256(gzip.decompress((real / name).read_bytes())).hexdigest(), 10**6)
        for name in builtin._FILES
    }
    monkeypatch.setattr(builtin, "_FILES", known)
    assert len(load_images("fashion_mnist").x) == 12
    assert len(list(cache.rglob("*.gz"))) == 4


@pytest.mark.parametrize("cut", [IncompleteRead(b""), TimeoutError("timed out"), zlib.error("broken")])
def test_a_transfer_that_breaks_off_is_told_and_leaves_nothing(cache, monkeypatch, cut):
    def fetch(url, timeout):
        assert timeout <= 60
        raise cut

    monkeypatch.setattr(urllib.request, "urlopen", fetch)
    with pytest.raises(InputError, match="could not be downloaded"):
        load_images("fashion_mnist")
    assert not list(cache.rglob("*.gz"))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"not a gzip file",
        lambda data: gzip.compress(b"\0\0\x08\x04" + gzip.decompress(data)[4:]),
        lambda data: data[:10] + b"\7" + data[11:],  # a kind of block that there is not
        lambda data: gzip.compress(gzip.decompress(data)[:-1]),
        lambda data: gzip.compress(gzip.decompress(data) + b"\0"),
        lambda data: gzip.compress(struct.pack(">4I", 0x803, 2**31, 28, 28)),
        lambda data: gzip.compress(struct.pack(">4I", 0x803, 2**31, 2**31, 2**31)),
        lambda data: idx(noise(12, 27, 28)),
    ],
)
def test_a_damaged_file_of_a_set_is_named(tmp_path, monkeypatch, damage):
    path = fashion(tmp_path) / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setenv("DIFFUSCOPE_DATA", str(tmp_path))
    with pytest.raises(FormatError, match="train-images"):
        load_images("fashion_mnist")


def test_labels_out_of_range_are_refused(tmp_path, monkeypatch):
    fashion(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(idx(np.full(12, 10)))
    monkeypatch.setenv("DIFFUSCOPE_DATA", str(tmp_path))
    with pytest.raises(FormatError, match="do not match"):
        load_images("fashion_mnist")


# --- folders -----------------------------------------------------------------------------------------------


def test_a_folder_of_one_size_comes_in_as_it_is(tmp_path):
    pixels = noise(12, 9, 7)
    for i, one in enumerate(pixels):
        write(tmp_path / "a" / f"{i}.png", one)
    data = load_images(tmp_path / "a")
    assert np.array_equal(data.x[:, 0], pixels)  # in natural order: 10 after 9
    assert (data.labels, data.classes, data.name) == (None, (), "a")
    assert data.source["kind"] == "folder"


def test_folders_in_it_are_classes_in_natural_order(tmp_path):
    for name in ("class 10", "class 9", "class 1"):
        for i in range(2):
            write(tmp_path / name / f"{i}.png", np.full((4, 4), int(name.split()[1]), np.uint8))
    data = load_images(tmp_path)
    assert data.classes == ("class 1", "class 9", "class 10")
    assert data.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert data.x[:, 0, 0, 0].tolist() == [1, 1, 9, 9, 10, 10]


def test_any_mode_and_size_is_brought_to_one(tmp_path):
    colour = noise(40, 50, 3)
    for mode in ("RGB", "L", "P", "CMYK", "1", "I", "F", "LA", "RGBA"):
        write(tmp_path / f"{mode}.tif", colour, mode)
    Image.fromarray(noise(64, 64).astype(np.uint16) * 256).save(tmp_path / "16.png")
    write(
        tmp_path / "x.gif", colour, save_all=True, append_images=[Image.fromarray(noise(40, 50, 3, seed=1))]
    )
    data = load_images(tmp_path)
    assert data.x.shape == (11, 3, 40, 40)
    assert "40 × 40 pixels" in " ".join(data.notes)
    assert "first" in " ".join(data.notes)
    assert load_images(tmp_path, size=16, channels=1).x.shape == (11, 1, 16, 16)
    assert load_images(tmp_path, size=(8, 12)).x.shape == (11, 3, 8, 12)


def test_grey_images_stay_grey_and_a_turned_one_is_put_upright(tmp_path):
    write(tmp_path / "a.png", noise(6, 4))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    write(tmp_path / "b.png", np.rot90(noise(6, 4), 1), exif=exif)
    data = load_images(tmp_path)
    assert np.array_equal(data.x[0], data.x[1])
    assert data.x.shape == (2, 1, 6, 4)


def test_a_broken_file_is_named_or_left_out(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", noise(16, 16, seed=i))
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "2.jpg").write_text("no image")
    (tmp_path / "notes.txt").write_text("left alone")
    with pytest.raises(FormatError, match=r"2\.jpg|1\.png") as refused:
        load_images(tmp_path)
    assert "skip_broken" in refused.value.hint
    data = load_images(tmp_path, skip_broken=True)
    assert np.array_equal(data.x[:, 0], [noise(16, 16, seed=0), noise(16, 16, seed=2)])
    assert "2 unreadable files" in " ".join(data.notes)


def test_labels_stay_with_their_images_when_some_are_left_out(tmp_path):
    for name in ("a", "b"):
        for i in range(3):
            write(tmp_path / name / f"{i}.png", np.full((4, 4), ord(name), np.uint8))
    (tmp_path / "a" / "1.png").write_bytes(b"broken")
    for _ in range(2):  # decoded, and opened again
        data = load_images(tmp_path, skip_broken=True)
        assert data.labels.tolist() == [0, 0, 1, 1, 1]
        assert data.x[:, 0, 0, 0].tolist() == [97, 97, 98, 98, 98]


def test_a_folder_without_images_is_refused_and_one_image_is_enough(tmp_path):
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(InputError, match="contains no images"):
        load_images(tmp_path)
    write(tmp_path / "0.png", noise(4, 4))
    assert load_images(tmp_path).x.shape == (1, 1, 4, 4)


def test_bombs_are_refused_with_the_limit_named(tmp_path):
    write(tmp_path / "a.png", noise(4, 4))
    Image.new("1", (10_000, 10_000)).save(tmp_path / "b.png")
    with pytest.raises(FormatError, match=r"b\.png.*67,108,864|b\.png.*10,000"):
        load_images(tmp_path)


def test_images_of_one_pixel_are_images(tmp_path):
    for i in range(2):
        write(tmp_path / f"{i}.png", noise(1, 1, seed=i))
    assert load_images(tmp_path).x.shape == (2, 1, 1, 1)


def test_links_that_lead_back_and_hidden_files_do_no_harm(tmp_path):
    for i in range(2):
        write(tmp_path / "a" / f"{i}.png", noise(4, 4))
    write(tmp_path / "a" / ".hidden.png", noise(4, 4))
    (tmp_path / "a" / "back").symlink_to(tmp_path)
    (tmp_path / "b").symlink_to(tmp_path / "b")
    assert len(load_images(tmp_path).x) == 2


@pytest.mark.parametrize("odd", ["dangling", "loop", "pipe", "folder"])
def test_what_is_named_like_an_image_and_is_no_file_stops_nothing(tmp_path, odd):
    for i in range(2):
        write(tmp_path / f"{i}.png", noise(4, 4))
    path = tmp_path / "odd.png"
    if odd == "pipe":
        os.mkfifo(path)
    elif odd == "folder":
        path.mkdir()
    else:
        path.symlink_to(path if odd == "loop" else tmp_path / "nowhere.png")
    if odd != "folder":
        with pytest.raises(FormatError, match=r"odd\.png"):
            load_images(tmp_path)
    assert len(load_images(tmp_path, skip_broken=True).x) == 2


def test_a_folder_that_may_not_be_read_is_named_and_not_left_out(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        write(tmp_path / name / "0.png", noise(4, 4))
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match="b cannot be read: Permission denied"):
        load_images(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("019²٣½Ⅷax-. "), max_size=6), max_size=8, unique=True))
def test_any_names_have_one_natural_order(names):
    backwards = names[::-1]
    assert sorted(backwards, key=splits.natural) == sorted(names, key=splits.natural)


def test_the_natural_order_is_that_of_numbers():
    names = ["a2", "a10", "01", "1", "²", "10", "9", "a1²2"]
    assert sorted(names, key=splits.natural) == ["01", "1", "9", "10", "a1²2", "a2", "a10", "²"]


def test_images_beside_folders_are_said_to_take_the_classes_away(tmp_path):
    for name in ("a/0.png", "b/0.png", "preview.png"):
        write(tmp_path / name, noise(4, 4))
    for _ in range(2):  # decoded, and opened again
        data = load_images(tmp_path)
        assert data.labels is None
        assert "Images in no subfolder" in " ".join(data.notes)


def test_what_was_written_as_a_folder_comes_back(tmp_path):
    pixels, labels = noise(6, 1, 8, 8), np.array([0, 1, 2, 0, 1, 2])
    save_images([pixels], tmp_path / "made", 6, labels=labels, class_names=("cat", "dog", "eel"))
    data = load_images(tmp_path / "made")
    assert data.classes == ("cat", "dog", "eel")
    order = np.argsort(labels, kind="stable")
    assert np.array_equal(data.x, pixels[order])
    assert data.labels.tolist() == labels[order].tolist()


# --- the store ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path) -> Path:
    for i in range(4):
        write(tmp_path / "photos" / f"{i}.png", noise(8, 8, seed=i))
    return tmp_path / "photos"


@pytest.fixture
def decoded(monkeypatch) -> list[Path]:
    """The files that were decoded."""
    seen: list[Path] = []
    read = folders.read_image
    monkeypatch.setattr(
        folders, "read_image", lambda path, *rest, **how: seen.append(path) or read(path, *rest, **how)
    )
    return seen


def test_images_are_decoded_once_and_mapped(folder, decoded):
    first, second = load_images(folder), load_images(folder)
    assert len(decoded) == 4
    assert isinstance(second.x, np.memmap)
    assert not second.x.flags.writeable
    assert np.array_equal(first.x, second.x)


def test_a_folder_that_changed_is_decoded_anew(folder, decoded):
    load_images(folder)
    write(folder / "2.png", noise(8, 8, seed=9))
    assert np.array_equal(load_images(folder).x[2, 0], noise(8, 8, seed=9))
    assert len(decoded) == 8
    load_images(folder, size=4)
    assert len(decoded) == 12


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", [b"", b"{}", b"\x93NUMPY\x01\x00garbage", None])
def test_a_damaged_store_is_made_again(folder, cache, decoded, suffix, damage):
    expected = np.array(load_images(folder).x)
    (store,) = cache.rglob(f"*{suffix}")
    if damage is None:
        store.unlink()
    else:
        store.write_bytes(damage)
    assert np.array_equal(load_images(folder).x, expected)
    assert len(decoded) == 8


def test_facts_that_do_not_fit_the_store_are_not_believed(folder, cache, decoded):
    load_images(folder)
    (facts,) = cache.rglob("*.json")
    told = json.loads(facts.read_text())
    facts.write_text(json.dumps({**told, "good": [0, 1, 2, 99]}))
    assert len(load_images(folder).x) == 4
    assert len(decoded) == 8


def test_where_nothing_can_be_kept_it_is_said_and_works(folder, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    data = load_images(folder)
    assert np.array_equal(data.x[:, 0], [noise(8, 8, seed=i) for i in range(4)])
    assert "could not be cached" in " ".join(data.notes)


def test_a_full_disk_is_noticed_before_anything_is_written_to_a_mapped_file(folder, cache, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")

    def reserve(handle, start, length):
        assert length > 4 * 8 * 8
        raise full

    monkeypatch.setattr(os, "posix_fallocate", reserve)
    with pytest.raises(RunError, match="disk space for 256 bytes"):
        load_images(folder)
    assert not [path for path in cache.rglob("*") if path.is_file()]
    full = OSError(errno.EOPNOTSUPP, "Operation not supported")  # a file system that promises nothing
    assert len(load_images(folder).x) == 4


@pytest.mark.slow
def test_processes_that_decode_the_same_folder_at_once_do_not_disturb_each_other(folder, cache):
    code = (
        "import sys, hashlib\n"
        "from diffuscope.data.images import folders\n"
        "from diffuscope.data.images.folders import load_folder\n"
        "from diffuscope.progress import Reporter\n"
        "from pathlib import Path\n"
        "finish = folders._finish\n"
        "def wait(*args):\n"
        "    print('ready', flush=True); sys.stdin.readline()\n"
        "    return finish(*args)\n"
        "folders._finish = wait\n"
        "data = load_folder(Path(sys.argv[1]), None, None, False, Reporter(False))\n"
        "print(hashlib.sha256(data.x.tobytes()).hexdigest())\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:  # both have decoded all, and kept nothing yet
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert said == [hashlib.sha256(load_images(folder).x.tobytes()).hexdigest()] * 2
    assert sorted(path.suffix for path in cache.rglob("*.*")) == [".json", ".npy"]


def test_what_a_killed_process_left_in_the_cache_is_cleared_away(folder, cache):
    left = cache / "images" / ".diffuscope-999999999-x.npy"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    load_images(folder)
    assert sorted(path.suffix for path in left.parent.iterdir()) == [".json", ".npy"]
    assert not left.exists()


def test_decoding_in_threads_leaves_warnings_as_they_were(folder, monkeypatch):
    for i in range(4, 200):
        write(folder / f"{i}.png", noise(8, 8, seed=i))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    before, interval = list(warnings.filters), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads overlap
    try:
        load_images(folder)
    finally:
        sys.setswitchinterval(interval)
    assert list(warnings.filters) == before


@pytest.mark.parametrize("failure", [FormatError("torn", "mend it"), KeyboardInterrupt()])
def test_nothing_is_left_where_decoding_fails(folder, cache, monkeypatch, failure):
    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(folders, "read_image", fail)
    with pytest.raises(type(failure)):
        load_images(folder)
    assert not [path for path in cache.rglob("*") if path.is_file()]


# --- arrays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 8, 6), (5, 1, 8, 6)),
        ((5, 8, 6, 3), (5, 3, 8, 6)),
        ((5, 3, 8, 6), (5, 3, 8, 6)),
        ((5, 1, 8, 8), (5, 1, 8, 8)),
        ((5, 8, 8, 1), (5, 1, 8, 8)),
    ],
)
def test_arrays_are_read_in_their_layouts_and_it_is_said_how(tmp_path, shape, expected):
    pixels = noise(*shape)
    data = load_images(pixels)
    assert data.x.shape == expected
    assert str(shape[0]) in data.notes[0]
    assert set(np.unique(data.x)) <= set(np.unique(pixels))
    np.savez(tmp_path / "x.npz", pixels)
    assert np.array_equal(load_images(tmp_path / "x.npz").x, data.x)
    assert are_images(tmp_path / "x.npz")


def test_labels_and_classes_of_an_npz_are_read(tmp_path):
    np.savez(tmp_path / "x.npz", images=noise(4, 5, 5), labels=[0, 1, 1, 0], classes=["cat", "dog"])
    data = load_images(tmp_path / "x.npz")
    assert (data.labels.tolist(), data.classes) == ([0, 1, 1, 0], ("cat", "dog"))


@pytest.mark.parametrize(
    ("source", "how"),
    [
        (noise(5, 8, 8).astype(complex), {}),
        (noise(0, 8, 8), {}),
        (noise(5, 8, 8, 7), {}),
        (noise(5, 0, 8), {}),
        (noise(5, 8), {}),
        (noise(5, 8, 8), {"labels": [0, 1]}),
        (noise(5, 8, 8), {"labels": [0, 1, 2, 3, -1]}),
        (noise(5, 8, 8), {"labels": [0, 1, 2, 3, 99]}),
        (noise(5, 8, 8), {"labels": [0.5, 1, 2, 3, 4], "condition": "classes"}),
        (noise(5, 8, 8), {"labels": [0.5, 1, 2, 3, np.nan]}),
        (noise(5, 8, 8), {"limit": 6}),
        (noise(5, 8, 8), {"limit": 1}),
        (noise(5, 8, 8), {"limit": 2.0}),
        (noise(5, 8, 8), {"limit": 2, "seed": -1}),
        (noise(5, 8, 8), {"limit": 2, "seed": 1.5}),
        (noise(5, 8, 8), {"size": 4}),
        *(("digits", {"size": size}) for size in (0, -3, True, 8.0, "8", (8,), (8, 8, 8), (8, 1.5), 100_000)),
        *(("digits", {"channels": channels}) for channels in (0, 2, 4, 5, "3", 1.5)),
        ("digits", {"labels": [0, 1]}),
        (ImageData("own", noise(5, 1, 8, 8), None, None, {}), {"size": 4}),
        (ImageData("own", noise(5, 1, 8, 8), None, None, {}), {"labels": [0] * 5}),
        ("not_there", {}),
        ("not_there.npz", {}),
    ],
)
def test_what_are_no_images_is_refused_with_a_hint(source, how):
    with pytest.raises(InputError) as refused:
        load_images(source, **how)
    assert refused.value.hint


def head_of(*shape: int, kind: str = "|u1") -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": shape, "fortran_order": False, "descr": kind})
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    return buffer.getvalue()


def archive(path: Path, compression: int = zipfile.ZIP_STORED, **entries: bytes) -> Path:
    with zipfile.ZipFile(path, "w", compression) as file:
        for name, data in entries.items():
            file.writestr(f"{name}.npy", data)
    return path


def test_files_that_are_damaged_or_lie_are_refused_and_nothing_in_them_is_run(tmp_path):
    np.savez(tmp_path / "objects.npz", x=np.array([{}, []], dtype=object))
    np.savez(tmp_path / "numbers.npz", x=np.zeros((3, 4)))
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "good.npz", x=noise(5, 8, 8))
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[:-20])
    archive(tmp_path / "lying.npz", x=head_of(2**20, 2**10, 2**10) + bytes(100))
    locked = bytearray(archive(tmp_path / "locked.npz", x=npy(noise(5, 8, 8))).read_bytes())
    locked[6] |= 1  # said to be encrypted, where it begins and in the list of contents
    locked[locked.find(b"PK\1\2") + 8] |= 1
    (tmp_path / "locked.npz").write_bytes(locked)
    for name in ("objects", "numbers", "empty", "cut", "lying", "locked"):
        path = tmp_path / f"{name}.npz"
        assert not are_images(path), name
        with pytest.raises(DiffuscopeError):
            load_images(path)


@pytest.mark.parametrize("count", [2**50, 2**70])
def test_labels_that_would_not_fit_into_any_memory_are_refused(tmp_path, count):
    path = archive(tmp_path / "x.npz", images=npy(noise(5, 8, 8)), labels=head_of(count, kind="<i8"))
    with pytest.raises(FormatError, match=r"x\.npz is not a whole"):
        load_images(path)


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(bounds, "BOMB_BYTES", 2**16)
    black = npy(np.zeros((5, 200, 200), np.uint8))
    with pytest.raises(FormatError, match=r"would unpack .* to 200,000"):
        load_images(archive(tmp_path / "bomb.npz", zipfile.ZIP_DEFLATED, x=black))
    assert len(load_images(archive(tmp_path / "plain.npz", x=black)).x) == 5


def test_no_bytes_of_an_archive_bring_an_error_of_another_kind(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, images=noise(20, 8, 8), labels=np.arange(20) % 3, classes=["a", "b", "c"])
    good, random = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        data = bytearray(good)
        for at in random.integers(0, len(data), 3):
            data[at] = random.integers(0, 256)
        path.write_bytes(data)
        are_images(path)
        try:
            load_images(path)
        except DiffuscopeError:
            refused += 1
    assert refused > 100


def test_a_part_is_random_stays_in_order_and_is_described(tmp_path):
    whole = load_images("digits")
    part = load_images("digits", limit=50, seed=3)
    assert part.x.shape == (50, 1, 8, 8)
    assert np.array_equal(part.x, load_images("digits", limit=50, seed=3).x)
    assert not np.array_equal(part.x, load_images("digits", limit=50, seed=4).x)
    assert part.source["size"] == 50
    assert {one.tobytes() for one in part.x} <= {one.tobytes() for one in whole.x}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("digits", True),
        ("s_curve", False),
        (noise(3, 4, 4), True),
        (noise(3, 4), False),
        (np.zeros((3, 4, 4)), True),
        (np.zeros((3, 4)), False),
        (None, False),
        (len, False),
        ("no such file.npz", False),
    ],
)
def test_what_are_images_is_seen_at_a_glance(source, expected):
    assert are_images(source) == expected


def test_a_folder_is_images_and_a_run_directory_is_not(tmp_path):
    assert are_images(tmp_path)
    (tmp_path / "recipe.toml").write_text("")
    assert not are_images(tmp_path)


def test_a_set_of_images_is_handed_through():
    data = load_images(noise(4, 5, 5))
    assert isinstance(data, ImageData)
    assert load_images(data) is data
    assert are_images(data)


def test_labels_with_gaps_are_the_classes_that_there_are():
    x = np.random.default_rng(0).integers(0, 255, (60, 8, 8)).astype(np.uint8)
    data = load_images(x, labels=np.repeat([3, 7], 30))
    assert data.classes == ("3", "7")
    assert data.labels.tolist() == [0] * 30 + [1] * 30
    assert load_images(x, labels=np.arange(60) % 3).classes == ("0", "1", "2")
    assert load_images(x, labels=np.repeat([0, 10**15], 30)).classes == ("0", "1000000000000000")


def test_a_list_of_images_is_images():
    x = np.random.default_rng(0).integers(0, 255, (20, 8, 8)).astype(np.uint8)
    for images in (list(x), [Image.fromarray(one) for one in x]):
        assert np.array_equal(load_images(images).x[:, 0], x)
        assert are_images(images)
    with pytest.raises(InputError, match=r"different shapes: \(7, 8\), \(8, 8\)"):
        load_images([x[0], x[1][:7]])


def test_images_that_are_all_the_same_are_refused():
    with pytest.raises(InputError, match=r"^All 20 images are the same\."):
        diffuscope.train(np.zeros((20, 8, 8), np.uint8))
    check_distinct(np.zeros((1, 1, 8, 8), np.uint8))
    late = np.zeros((200, 1, 8, 8), np.uint8)
    late[150] = 1
    check_distinct(late)


def test_an_alpha_channel_that_is_laid_over_white_is_said(tmp_path):
    for i in range(3):
        pixels = np.full((8, 8, 4), 40 * i, np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    assert "Images with an alpha channel: 3, laid over white" in " ".join(load_images(tmp_path).notes)
    assert "alpha" not in " ".join(load_images(tmp_path, channels=4).notes)
