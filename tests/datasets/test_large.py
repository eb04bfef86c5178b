"""Does data that is larger than what is held stay where it lies, and is all of it trained on?"""

from __future__ import annotations

import gc
import mmap

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
import torch

import diffuscope
from diffuscope.data import stored
from diffuscope.data.columnar import pieces
from diffuscope.data.stored import Scratch, Stored, held_of
from diffuscope.errors import InputError, RunError
from diffuscope.runs.plan import plan_new
from diffuscope.runs.setup import Setup

N, HELD = 2000, 300


@pytest.fixture
def few(monkeypatch):
    """Have a thousand rows count as many, of which 300 are held."""
    monkeypatch.setattr(stored, "_LARGE_ROWS", 1000)
    monkeypatch.setattr(stored, "HELD_ROWS", HELD)
    monkeypatch.setattr(stored, "_MAPPED", 0)
    monkeypatch.setattr(pieces, "_ROWS", 256)


def points(n=N, d=2):
    random = np.random.default_rng(0)
    return random.normal(size=(n, d)).astype(np.float32)


def setup_of(source, recipe="fast", **changes):
    planned, data, _ = plan_new(source, recipe, {"training.batch_size": 64, **changes}, "none")
    return Setup(planned, data, torch.device("cpu"))


def rows_seen(setup, epochs=1):
    """Return all points of so many epochs, in the order of training, in the units of the model."""
    steps = epochs * setup.batches.steps_per_epoch
    return torch.cat([chunk.x_0 for chunk in setup.batches.chunks(0, steps)]).numpy()


def test_a_large_file_stays_mapped_and_training_sees_all_of_it(few, tmp_path):
    x = points()
    np.save(tmp_path / "x.npy", x)
    setup = setup_of(tmp_path / "x.npy", **{"training.batches": "shuffled"})
    data = setup.data
    assert data.n == N
    assert data.x.shape == (HELD, 2)
    owner = data.stored.values
    while isinstance(owner, np.ndarray):
        assert not owner.flags.writeable
        owner = owner.base
    assert isinstance(owner, mmap.mmap)
    assert np.array_equal(data.x, x[data.stored.held].astype(np.float64))
    seen = setup.model.codec.decode(torch.from_numpy(rows_seen(setup)))
    assert np.allclose(np.sort(seen, axis=0), np.sort(x, axis=0), atol=1e-5)


def test_held_rows_are_drawn_by_the_seed():
    first, again, other = held_of(10**7, 2, 0), held_of(10**7, 2, 0), held_of(10**7, 2, 1)
    assert len(first) == 200_000
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert (np.diff(first) > 0).all()
    assert len(held_of(10**7, 1000, 0)) == 2**24 // 1000  # of wide rows fewer
    assert abs(first.mean() / 10**7 - 0.5) < 0.01


def test_rows_are_read_by_their_numbers_where_they_lie(few, tmp_path):
    x = points(500, 3)
    np.save(tmp_path / "x.npy", x)
    whole = np.load(tmp_path / "x.npy", mmap_mode="r")
    index = np.random.default_rng(1).integers(0, 100, 50)
    for values in (whole, whole[200:], whole[::3], np.asfortranarray(x), x):
        assert np.array_equal(Stored(values, len(values), "", index).at(index), values[index])


def test_rows_that_are_left_out_are_never_seen(few, tmp_path):
    x = points()
    x[[7, 1500], [0, 1]] = 1e6
    np.save(tmp_path / "x.npy", x)
    setup = setup_of(tmp_path / "x.npy", **{"training.batches": "shuffled"})
    assert (setup.data.n, len(setup.source)) == (N - 2, N - 2)
    assert setup.data.stored.left_out.tolist() == [7, 1500]
    assert np.abs(rows_seen(setup)).max() < 10
    assert any("2 rows are left out" in note for note in setup.data.notes)


def test_held_out_rows_are_some_of_those_that_are_held(few, tmp_path):
    x = np.arange(N, dtype=np.float32)[:, None] + points(N, 2) / 100
    np.save(tmp_path / "x.npy", x)
    setup = setup_of(tmp_path / "x.npy", **{"training.hold_out": 0.2, "training.batches": "shuffled"})
    held = setup.model.codec.decode(setup.held[0])
    assert len(held) == HELD // 5
    assert len(setup.source) == N - HELD // 5
    seen = setup.model.codec.decode(torch.from_numpy(rows_seen(setup)))
    assert not set(np.rint(held[:, 0])) & set(np.rint(seen[:, 0]))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_value_anywhere_is_found(few, tmp_path, bad):
    x = points()
    x[1999, 1] = bad
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(InputError, match=r"column 1 \(counted from 0\), row 1999"):
        diffuscope.load_dataset(tmp_path / "x.npy")


def test_a_column_of_one_value_is_found(few):
    x = points()
    x[:, 1] = 3
    with pytest.raises(InputError, match="same value"):
        diffuscope.load_dataset(x)
    rare = points()
    rare[:, 1] = 0
    rare[3, 1] = 1
    with pytest.raises(InputError, match="300 rows drawn"):
        diffuscope.load_dataset(rare)


def test_labels_stay_with_their_rows(few):
    x = points()
    labels = np.arange(N) % 5
    x[:, 0] = labels
    setup = setup_of(diffuscope.load_dataset(x, labels=labels.astype(str)))
    assert np.array_equal(setup.data.x[:, 0], setup.data.labels)
    chunk = next(setup.batches.chunks(0, 1))
    decoded = setup.model.codec.decode(chunk.x_0)
    kept = chunk.label < 5  # others are dropped, for guidance
    assert np.array_equal(np.rint(decoded[kept.numpy(), 0]), chunk.label[kept].numpy())


def test_the_fingerprint_is_that_of_all_rows(few, tmp_path):
    x = points()
    np.save(tmp_path / "x.npy", x)
    before = setup_of(tmp_path / "x.npy").fingerprint()
    outside = next(i for i in range(N) if i not in diffuscope.load_dataset(x).stored.held)
    x[outside, 0] += 0.1
    np.save(tmp_path / "x.npy", x)
    assert setup_of(tmp_path / "x.npy").fingerprint() != before


def frame(n=N):
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "whole": random.integers(0, 50, n),
            "number": random.normal(size=n),
            "city": random.choice(["Oslo", "Lima", "Bonn"], n),
            "gap": np.where(random.random(n) < 0.2, np.nan, random.normal(size=n)),
            "flag": random.random(n) < 0.3,
        }
    )


def write(path, table):
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=700)
    else:
        pyarrow.feather.write_feather(table, path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_a_large_table_is_encoded_once_and_all_of_it(few, tmp_path, suffix):
    table = frame()
    path = write(tmp_path / f"t{suffix}", table)
    setup = setup_of(path, "table", **{"data.target": "city"})
    data, values = setup.data, setup.data.stored.values
    assert values.shape == (N, data.rows.width)
    assert data.x.shape == (HELD, data.rows.width)
    pd.testing.assert_frame_equal(data.frame, table.iloc[data.stored.held].reset_index(drop=True))
    decoded = data.rows.decode(values.astype(np.float64))
    assert decoded["city"].tolist() == table["city"].tolist()
    assert decoded["whole"].tolist() == table["whole"].tolist()
    assert decoded["flag"].tolist() == table["flag"].tolist()
    assert np.array_equal(decoded["gap"].isna(), table["gap"].isna())
    assert len(setup.source) == N - len(setup.held[0])
    next(setup.batches.chunks(0, 2))


def test_what_is_too_rare_to_be_held_counts_as_missing(few, tmp_path):
    table = frame()
    held = held_of(N, 5, 0)
    outside = [i for i in range(N) if i not in held][:2]
    table.loc[outside, "city"] = "Rome"
    table["constant"] = 1
    table.loc[outside[0], "constant"] = 2
    path = write(tmp_path / "t.parquet", table)
    setup_data = plan_new(path, "table", {}, "none")[1]
    with pytest.warns(UserWarning, match=r"'city' \(2\)"):
        values = setup_data.stored.values
    at = setup_data.rows.place("city")
    assert np.isnan(values[outside, at]).all()
    assert np.isnan(values[:, at]).any(axis=1).sum() == 2


def test_points_come_out_of_a_large_table_as_well(few, tmp_path):
    table = frame()[["number", "whole"]]
    path = write(tmp_path / "t.parquet", table)
    data = plan_new(path, "fast", {"data.target": "whole"}, "none")[1]
    assert data.columns == ("number",)
    assert np.array_equal(data.stored.values[:, 0], table["number"])
    named = [int(data.classes[i]) for i in data.labels]
    assert named == table["whole"].iloc[data.stored.held].tolist()


def test_a_training_on_large_data_can_be_resumed_and_measured(few, tmp_path):
    np.save(tmp_path / "x.npy", points())
    changes = {"training.batch_size": 16, "network.width": 8, "training.checkpoint_every": 10}
    options = {"settings": changes, "pictures": False, "progress": False, "recipe": "fast"}
    whole = diffuscope.train(tmp_path / "x.npy", out=tmp_path / "whole", steps=60, **options)
    assert whole.quality
    diffuscope.train(tmp_path / "x.npy", out=tmp_path / "parts", steps=30, **options)
    again = diffuscope.load(tmp_path / "whole")
    assert again.data.n == N
    assert again.measure()


def test_scratch_is_removed_with_its_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "cache_folder", lambda: tmp_path)
    scratch = Scratch(3)
    scratch.append(np.arange(6).reshape(2, 3))
    scratch.append(np.arange(3).reshape(1, 3))
    rows = scratch.rows()
    assert np.array_equal(rows, [[0, 1, 2], [3, 4, 5], [0, 1, 2]])
    assert len(list((tmp_path / "rows").iterdir())) == 1
    del rows
    gc.collect()
    assert not list((tmp_path / "rows").iterdir())


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(stored, "cache_folder", lambda: tmp_path)
    scratch = Scratch(3)

    class Full:
        def write(self, _):
            raise OSError(28, "No space left on device")

    scratch._file.close()
    scratch._file = Full()
    with pytest.raises(RunError, match="Not enough disk space"):
        scratch.append(np.zeros((1, 3)))
