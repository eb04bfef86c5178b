"""Does a run directory open as what it is, and give back what went in?"""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest

import diffuscope
from diffuscope.errors import FormatError, InputError


@pytest.fixture
def copy(run_dir, tmp_path):
    return shutil.copytree(run_dir, tmp_path / "copy")


def test_a_run_opens_as_it_was_left(tiny):
    run = tiny()
    again = diffuscope.load(run.path)
    assert again.recipe == run.recipe
    assert again.summary == run.summary
    assert float(again.quality) == run.summary["quality"]["sliced_wasserstein"]["ratio"]
    assert again.metrics == run.metrics
    np.testing.assert_array_equal(again.sample(100, seed=3), run.sample(100, seed=3))
    np.testing.assert_array_equal(again.data.x, run.data.x)


def test_samples_are_float32_points_in_the_units_of_the_data(run_dir):
    run = diffuscope.load(run_dir)
    x = run.sample(50, sampler="ddim", steps=3, seed=1)
    assert x.shape == (50, 2)
    assert x.dtype == np.float32


def test_a_run_can_be_moved(copy):
    assert len(diffuscope.load(copy).sample(3)) == 3


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.csv", "x.tsv", "x.parquet"])
def test_samples_written_are_the_samples_drawn(run_dir, tmp_path, name):
    run = diffuscope.load(run_dir)
    path = run.sample_to(tmp_path / name, 20_000, seed=2, steps=1)
    written = diffuscope.load_dataset(path).x
    np.testing.assert_allclose(written, run.sample(20_000, seed=2, steps=1), rtol=1e-6)


def test_a_frame_has_the_columns_of_the_data(tiny):
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(100, 3)), columns=["höhe", "b c", "x,y"])
    run = tiny(data=frame)
    sampled = run.sample_frame(7)
    assert list(sampled.columns) == list(frame.columns)
    assert list(diffuscope.load(run.path).sample_frame(2).columns) == list(frame.columns)


def test_a_frame_without_names_has_numbers(run_dir):
    assert list(diffuscope.load(run_dir).sample_frame(2).columns) == [0, 1]


def test_a_walk_ends_in_the_samples(run_dir):
    run = diffuscope.load(run_dir)
    states = run.trajectory(50, seed=4)
    assert states.shape == (5, 50, 2)
    np.testing.assert_array_equal(states[-1], run.sample(50, seed=4))


def test_no_directory_and_no_run_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="There is no run directory"):
        diffuscope.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="it is not a run"):
        diffuscope.load(tmp_path)
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(InputError, match="its training has not finished"):
        diffuscope.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="There is no run directory"):
        diffuscope.load(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"3"])
def test_a_damaged_summary_is_said(copy, content):
    (copy / "summary.json").write_bytes(content)
    with pytest.raises(FormatError, match=r"summary\.json"):
        diffuscope.load(copy).summary  # noqa: B018


@pytest.mark.parametrize("content", [b"{", b"\xff\xfe"])
def test_a_damaged_log_is_said(copy, content):
    (copy / "metrics.jsonl").write_bytes(content)
    with pytest.raises(FormatError, match=r"metrics\.jsonl"):
        diffuscope.load(copy).metrics  # noqa: B018


def test_the_data_of_a_run_on_a_file_are_found_again(tiny, tmp_path, monkeypatch):
    np.save(tmp_path / "points.npy", np.random.default_rng(0).normal(size=(60, 2)))
    monkeypatch.chdir(tmp_path)
    path = tiny(data="points.npy").path
    monkeypatch.chdir("/")
    np.testing.assert_array_equal(diffuscope.load(path).data.x, np.load(tmp_path / "points.npy"))


def test_the_data_of_a_run_on_an_array_are_asked_for(tiny):
    x = np.random.default_rng(0).normal(size=(60, 2))
    path = tiny(data=x).path
    with pytest.raises(InputError, match=r"passed from Python(.|\n)*data=\.\.\."):
        diffuscope.load(path).data  # noqa: B018
    np.testing.assert_array_equal(diffuscope.load(path, data=x).data.x, x)


def test_nothing_in_a_run_directory_is_a_pickle(run_dir):
    assert {path.suffix for path in run_dir.rglob("*") if path.is_file()} <= {
        ".toml",
        ".jsonl",
        ".json",
        ".safetensors",
    }
