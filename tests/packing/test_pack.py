"""Does data of any kind, packed, train as it does unpacked, and is nothing of it trusted?"""

from __future__ import annotations

import gc
import io
import json
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diffuscope
from diffuscope.data import bounds
from diffuscope.data.columnar import pieces, text
from diffuscope.data.images import load_images
from diffuscope.data.packs import read_pack
from diffuscope.data.points import large
from diffuscope.data.tables import load_table
from diffuscope.errors import FormatError, InputError
from diffuscope.modalities.recognition import modality_for
from diffuscope.packing import images


def random():
    return np.random.default_rng(0)


def png(size=(8, 6), colour=0):
    content = io.BytesIO()
    Image.fromarray(np.full((*size, 3), colour, dtype=np.uint8)).save(content, "PNG")
    return content.getvalue()


def add(archive, name, content, **about):
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    for key, value in about.items():
        setattr(entry, key, value)
    archive.addfile(entry, io.BytesIO(content))


def frame(n=60):
    values = random()
    return pd.DataFrame(
        {
            "age": values.integers(18, 90, n),
            "city": values.choice(["Oslo", "Lima, Peru", 'the "old"\ntown'], n),
            "score": values.normal(size=n).round(3),
        }
    )


def test_a_csv_in_pieces_gives_the_table_that_it_is(tmp_path, monkeypatch):
    table = frame()
    table.to_csv(tmp_path / "t.csv", index=False)
    monkeypatch.setattr(text, "_PIECE", 700)
    out = diffuscope.pack(tmp_path / "t.csv", tmp_path / "packed")
    about = read_pack(out)
    assert (about.kind, about.n, about.columns) == ("table", 60, ("age", "city", "score"))
    assert modality_for(str(out)).name == "table"
    assert np.array_equal(load_table(out).x, load_table(tmp_path / "t.csv").x)
    pd.testing.assert_frame_equal(load_table(out).frame, table)


def test_a_later_piece_of_other_types_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 200 + "word,2\n")
    monkeypatch.setattr(text, "_PIECE", 400)
    with pytest.raises(InputError):
        diffuscope.pack(tmp_path / "t.csv", tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_rows_pieces_and_data_sets_become_tables(tmp_path):
    table = frame()
    rows = diffuscope.pack(iter(table.to_dict("records")), tmp_path / "rows")
    pieces = diffuscope.pack((table[i : i + 7] for i in range(0, 60, 7)), tmp_path / "pieces")
    for out in (rows, pieces):
        pd.testing.assert_frame_equal(load_table(out).frame, table)


def test_points_with_classes_or_numbers(tmp_path):
    x, names = random().normal(size=(50, 3)).astype(np.float32), random().choice(["b", "a"], 50)
    out = diffuscope.pack(zip(x, names, strict=True), tmp_path / "classes")
    found = diffuscope.load_dataset(out)
    assert modality_for(out).name == "points"
    assert np.array_equal(found.x, x.astype(np.float64))
    assert [found.classes[i] for i in found.labels] == names.tolist()
    doses = random().random(50)
    found = diffuscope.load_dataset(diffuscope.pack(zip(x, doses, strict=True), tmp_path / "numbers"))
    assert np.array_equal(found.labels[:, 0], doses)
    np.save(tmp_path / "x.npy", x)
    found = diffuscope.load_dataset(diffuscope.pack(tmp_path / "x.npy", tmp_path / "array"))
    assert np.array_equal(found.x, x)


def test_a_tar_of_images_is_read_and_never_unpacked(tmp_path):
    with tarfile.open(tmp_path / "i.tar.gz", "w:gz") as archive:
        for k in range(4):
            add(archive, f"set/{'cat' if k % 2 else 'dog'}/{k}.png", png(colour=60 * k))
        add(archive, "../../escaped.png", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add(archive, "set/cat/device.png", b"", type=tarfile.CHRTYPE)
        add(archive, "set/notes.txt", b"words")
        add(archive, "set/.hidden.png", b"no image")
    said: list[str] = []
    out = diffuscope.pack(tmp_path / "i.tar.gz", tmp_path / "packed", announce=said.extend)
    data = load_images(out)
    assert modality_for(out).name == "images"
    assert data.x.shape == (4, 3, 8, 6)
    assert [data.classes[i] for i in data.labels] == ["dog", "cat"] * 2
    assert data.x[:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    assert not data.x.flags.writeable
    assert any("links" in line for line in said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.tar.gz", "packed"]
    assert sorted(path.name for path in out.iterdir()) == ["images.npy", "labels.npy", "pack.json"]


def test_damaged_and_huge_archives_are_refused(tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        add(archive, "a/1.png", png())
        add(archive, "b/2.png", b"no image")
    with pytest.raises(FormatError, match=r"whole.tar: b/2.png"):
        diffuscope.pack(tmp_path / "whole.tar", tmp_path / "packed")
    content = (tmp_path / "whole.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(content[:700])
    with pytest.raises(FormatError):
        diffuscope.pack(tmp_path / "cut.tar", tmp_path / "packed")
    with tarfile.open(tmp_path / "bomb.tar.gz", "w:gz") as archive:
        add(archive, "a/1.png", bytes(10**6))
    monkeypatch.setattr(images, "_LARGEST", 10**5)
    with pytest.raises(FormatError, match="more than an image may"):
        diffuscope.pack(tmp_path / "bomb.tar.gz", tmp_path / "packed")
    monkeypatch.setattr(bounds, "BOMB_BYTES", 10**5)
    with pytest.raises(FormatError, match="unpack"):
        diffuscope.pack(tmp_path / "bomb.tar.gz", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_an_archive_has_the_classes_of_the_folder_that_it_was_made_of(tmp_path):
    names = {
        "parts": [f"{part}/{one}/{k}.png" for part in ("train", "test") for one in "ab" for k in range(2)],
        "deep": [f"{one}/x{k}/{k}.png" for one in "ab" for k in range(2)],
        "loose": ["a/1.png", "b/2.png", "3.png"],
    }
    for name, entries in names.items():
        with tarfile.open(tmp_path / f"{name}.tar", "w") as archive:
            for k, entry in enumerate(entries):
                add(archive, f"set/{entry}", png(colour=10 * k))
                file = tmp_path / name / entry
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png(colour=10 * k))
        said: dict[str, list[str]] = {name: [], f"{name}.tar": []}
        one, other = (
            load_images(
                diffuscope.pack(tmp_path / source, tmp_path / f"{source}-packed", announce=lines.extend)
            )
            for source, lines in said.items()
        )
        assert sorted(one.x[:, 0, 0, 0]) == sorted(other.x[:, 0, 0, 0])
        assert one.classes == other.classes == (() if name == "loose" else ("a", "b"))
        assert [line.replace(".tar", "") for line in said[f"{name}.tar"][1:]] == said[name][1:] != []
    out = diffuscope.pack(tmp_path / "parts.tar", tmp_path / "chosen", split="test")
    assert load_images(out).x[:, 0, 0, 0].tolist() == [40, 50, 60, 70]


@pytest.mark.parametrize("end", [2 * 1024, 2 * 1024 + 100, 3 * 1024 + 8])
def test_an_archive_that_was_cut_off_or_joined_is_refused(tmp_path, end):
    with tarfile.open(tmp_path / "whole.tar", "w") as archive:
        for k in range(6):
            add(archive, f"a/{k}.png", png())
    content = (tmp_path / "whole.tar").read_bytes()
    for wrong in (content[:end], content[:2048] + b"x" * 512 + content[2560:], content + content):
        (tmp_path / "wrong.tar").write_bytes(wrong)
        with pytest.raises(FormatError, match=r"not a whole|continues after"):
            diffuscope.pack(tmp_path / "wrong.tar", tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_rows_lose_nothing_silently(tmp_path):
    rows = [{"a": 1.0, "b": "x"}, {"a": 2.0}, {"b": "y", "a": 3.0}]
    found = pd.read_feather(diffuscope.pack(rows, tmp_path / "rows") / "rows.arrow")
    assert found["a"].tolist() == [1.0, 2.0, 3.0]
    assert found["b"].isna().tolist() == [False, True, False]
    pieces = [pd.DataFrame({"a": [1.0], "b": [2.0]}), pd.DataFrame({"b": [4.0], "a": [3.0]})]
    found = pd.read_feather(diffuscope.pack(iter(pieces), tmp_path / "pieces") / "rows.arrow")
    assert found.to_numpy().tolist() == [[1.0, 2.0], [3.0, 4.0]]
    masked = np.ma.masked_array(np.ones((2, 2)), mask=[[0, 1], [0, 0]])
    assert np.isnan(np.load(diffuscope.pack(masked, tmp_path / "masked") / "x.npy")).sum() == 1


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([{"a": 1.0}, {"a": 1.0, "z": 2}], "z"),
        ([{"a": 1.0}, {"a": "q"}], "row 0"),
        ([{"a": object()}], "row 0"),
        ([{"a": 1.0}, 5], "Row 1"),
        ([pd.DataFrame({"a": [1.0]}), 5], "row 1"),
        ([pd.DataFrame([[1.0, 2.0]], columns=["a", "a"])], "row 0"),
        (pd.DataFrame({"a": []}), "no rows"),
        ([np.zeros((0, 8, 3), dtype=np.uint8)], "An image of"),
    ],
)
def test_items_that_are_no_rows_are_refused(tmp_path, items, said):
    with pytest.raises(InputError, match=said):
        diffuscope.pack(items, tmp_path / "packed")
    assert not list(tmp_path.iterdir())


def test_damaged_arrays_and_open_quotes_are_refused(tmp_path):
    np.save(tmp_path / "whole.npy", np.zeros((50, 2)))
    np.save(tmp_path / "objects.npy", np.array([[None]]), allow_pickle=True)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-100])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "first.csv").write_text('a,b\n1,"x\n2,y\n')
    (tmp_path / "later.csv").write_text('a,b\n0,z\n1,"x\n2,y\n')
    words = {"objects.npy": "Python objects", "cut.npy": "whole", "empty.npy": "array"}
    for name, said in (words | {"first.csv": "quote", "later.csv": "quote"}).items():
        with pytest.raises(FormatError, match=said):
            diffuscope.pack(tmp_path / name, tmp_path / "packed")


def test_images_of_an_iterable_are_brought_to_the_first_one(tmp_path):
    some = [np.full((8, 8), 9, dtype=np.uint8), Image.new("L", (16, 16), 200)]
    data = load_images(diffuscope.pack(iter(some), tmp_path / "packed"))
    assert data.x.shape == (2, 1, 8, 8)
    assert data.x.mean(axis=(1, 2, 3)).tolist() == [9, 200]


def test_a_data_set_of_hugging_face(tmp_path):
    datasets = pytest.importorskip("datasets")
    table = frame()
    found = load_table(diffuscope.pack(datasets.Dataset.from_pandas(table), tmp_path / "rows")).frame
    pd.testing.assert_frame_equal(found, table)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["x", "y"])})
    rows = {"image": [Image.new("RGB", (8, 8), (k, 0, 0)) for k in range(6)], "label": [0, 1] * 3}
    pictures = datasets.Dataset.from_dict(rows, features=features)
    data = load_images(diffuscope.pack(pictures, tmp_path / "images"))
    assert data.classes == ("x", "y")
    assert data.x[:, 0, 0, 0].tolist() == list(range(6))
    assert data.labels.tolist() == [0, 1] * 3


def test_packs_are_not_trusted(tmp_path):
    out = diffuscope.pack(random().normal(size=(30, 2)), tmp_path / "packed")
    about = json.loads((out / "pack.json").read_text())
    for change in ({"n": 31}, {"kind": "table"}, {"sha256": {"../../x.npy": "0" * 64}}, {"format": "other"}):
        (out / "pack.json").write_text(json.dumps({**about, **change}))
        with pytest.raises((FormatError, InputError)):
            diffuscope.load_dataset(out)
    with pytest.raises(InputError, match="exists"):
        diffuscope.pack([[1.0], [2.0]], out)


def test_a_part_of_large_packed_points_keeps_its_labels(tmp_path, monkeypatch):
    pairs = [(np.full(2, k + random().random()), "ab"[k % 2]) for k in range(40)]
    packed = diffuscope.pack(pairs, tmp_path / "points")
    monkeypatch.setattr(large, "is_large", lambda n, d: True)
    part = diffuscope.load_dataset(packed, size=20)
    np.save(packed / "labels.npy", np.full(40, 2))
    with pytest.raises(FormatError, match="2 classes"):
        diffuscope.load_dataset(packed)
    assert [part.classes[k] for k in part.labels] == ["ab"[int(x) % 2] for x in part.x[:, 0]]


def test_labels_of_packs_and_archives_are_those_that_they_have(tmp_path):
    points = diffuscope.pack(random().normal(size=(9, 2)), tmp_path / "points")
    some = diffuscope.pack([np.full((8, 8), k, dtype=np.uint8) for k in range(4)], tmp_path / "images")
    np.savez(tmp_path / "x.npz", x=random().normal(size=(9, 2)), y=np.arange(9) % 2)
    for wrong in (
        lambda: diffuscope.load_dataset(points, target="y"),
        lambda: load_images(some, target="y"),
        lambda: load_images(some, split="train"),
        lambda: diffuscope.load_dataset(tmp_path / "x.npz", target="z"),
        lambda: diffuscope.load_dataset(some),
    ):
        with pytest.raises(InputError, match=r"packed without labels|no folder|no array|pack of images"):
            wrong()


@pytest.mark.parametrize("is_large", [False, True])
def test_a_damaged_table_that_is_mapped_is_refused(tmp_path, monkeypatch, is_large):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(pieces, "is_large", lambda n, d: is_large)
    packed = diffuscope.pack([{"a": float(k), "b": f"word {k}"} for k in range(50)], tmp_path / "packed")
    file = packed / "rows.arrow"
    content = file.read_bytes()
    at = content.index(np.arange(0, 6 * 9, 6, dtype=np.int64).tobytes()) + 64  # the offsets of the words
    file.write_bytes(content[:at] + (2**40).to_bytes(8, "little") + content[at + 8 :])
    for read in (load_table, diffuscope.load_dataset, lambda path: diffuscope.pack(file, tmp_path / "again")):
        with pytest.raises(FormatError, match=r"rows.arrow is not a (whole|readable)"):
            read(packed)
    gc.collect()
    assert not list((tmp_path / "cache").rglob("*.rows"))


def test_packed_data_trains_as_it_does_unpacked(tmp_path):
    table = frame(200)[["age", "score"]]
    table.to_parquet(tmp_path / "t.parquet")
    few = {"training.steps": 20, "network.width": 8}
    options = {"pictures": False, "progress": False, "settings": few}
    out = diffuscope.pack(tmp_path / "t.parquet", tmp_path / "packed")
    packed = diffuscope.train(out, out=tmp_path / "a", **options)
    plain = diffuscope.train(tmp_path / "t.parquet", out=tmp_path / "b", **options)
    for one, other in zip(packed.model.denoiser.parameters(), plain.model.denoiser.parameters(), strict=True):
        assert (one == other).all()
    assert len(diffuscope.load(tmp_path / "a").data.x) == 200


def test_an_iterable_that_fails_is_no_disk_that_does(tmp_path):
    def rows():
        yield {"x": 1.0}
        raise OSError("the connection was closed")

    with pytest.raises(InputError, match=r"The iterable failed: the connection was closed\."):
        diffuscope.pack(rows(), tmp_path / "packed")
    assert not (tmp_path / "packed").exists()


def test_rows_that_are_no_mappings_are_told_what_rows_of_a_table_are(tmp_path):
    with pytest.raises(InputError) as error:
        diffuscope.pack([("a", 1.0, 2.0)] * 3, tmp_path / "packed")
    assert "mappings of names to values" in error.value.hint
