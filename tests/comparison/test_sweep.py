"""Is every setting tried, what is clearly worse stopped, and the rest trained in full?"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import diffuscope
from diffuscope import Range
from diffuscope.comparison.grid import read_axes
from diffuscope.comparison.search import _laid_out
from diffuscope.errors import InputError


@pytest.fixture
def quick(small):
    own = {"training.steps": 200, "network.width": 32, "network.depth": 2, "training.batch_size": 64}
    return {**small, **own}


def test_what_is_clearly_worse_is_stopped_and_a_sweep_goes_on(in_this_process, tmp_path, points, quick):
    space = {"training.learning_rate": [3e-2, 1e-9], "sampling.steps": [10]}
    options = {"settings": quick, "seeds": 1, "out": tmp_path, "jobs": 1}
    said: list[str] = []
    made = diffuscope.sweep(points, space, announce=said.append, **options)
    by_rate = {one["training.learning_rate"]: one for one in made.trials}
    assert by_rate[3e-2]["state"] == "trained"
    assert by_rate[3e-2]["steps"] == 200
    assert by_rate[1e-9]["state"] == "stopped"
    assert by_rate[1e-9]["steps"] < 200
    assert made.best() == by_rate[3e-2]
    assert len(said) == 3
    assert sorted(path.name for path in tmp_path.glob("sweep.*")) == ["sweep.csv", "sweep.json", "sweep.png"]
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*.json")}
    before = (tmp_path / "sweep.csv").read_text()
    diffuscope.sweep(points, space, **options)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("cells/*.json")} == kept
    assert (tmp_path / "sweep.csv").read_text() == before
    assert pd.read_csv(tmp_path / "sweep.csv")["state"].tolist() == ["trained", "stopped"]


def drawn(space, trials, seed=0):
    fixed = read_axes({"network.width": [8]})
    return _laid_out("moons", "fast", space, fixed, trials, seed, [0], False)


def test_draws_are_within_their_ranges_and_repeat_by_seed():
    space = {
        "training.learning_rate": Range(1e-4, 1e-1, log=True),
        "network.depth": Range(1, 4),
        "loss.weighting": ["edm", "none"],
    }
    grid = drawn(space, 12)
    rates = np.array([point["training.learning_rate"] for point in grid.points])
    assert len(grid.points) == 12
    assert ((rates >= 1e-4) & (rates <= 1e-1)).all()
    assert (rates < 3e-3).any()
    assert {type(point["network.depth"]) for point in grid.points} == {int}
    assert {point["network.depth"] for point in grid.points} <= {1, 2, 3, 4}
    assert drawn(space, 12).points == grid.points
    assert drawn(space, 12, seed=1).points != grid.points
    assert len(drawn({"network.depth": Range(1, 2)}, 50).points) == 2  # there are no more


def test_what_cannot_be_searched_is_refused(tmp_path, points):
    for space, more in (
        ({}, {}),
        ({"network.depth": Range(1, 3)}, {}),  # without trials
        ({"network.depth": [1, 2]}, {"trials": 0}),
        ({"network.depth": [1, 2]}, {"settings": {"network.depth": 2}}),
        ({"network.depth": [1, 2]}, {"seeds": []}),
        ({"no.setting": [1, 2]}, {}),
    ):
        with pytest.raises(InputError):
            diffuscope.sweep(points, space, out=tmp_path / "out", **more)
    for ends in ((3, 1), (0, float("nan"))):
        with pytest.raises(InputError):
            Range(*ends)
    with pytest.raises(InputError):
        Range(0, 1, log=True)
    assert not (tmp_path / "out").exists()


def test_the_command_reads_ranges_and_says_which_is_best(
    cli, in_this_process, tmp_path, monkeypatch, small_words
):
    monkeypatch.chdir(tmp_path)
    words = [
        "sweep",
        "moons",
        "--set",
        "training.learning_rate=1e-3..1e-1:log",
        "--trials",
        "2",
        "--seeds",
        "1",
    ]
    code, out, _ = cli(*words, *small_words, "--all", "--jobs", "1", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["settings"] == ["training.learning_rate"]
    assert [one["state"] for one in told["trials"]] == ["trained", "trained"]
    assert (tmp_path / "sweeps" / "moons" / "sweep.png").is_file()
    code, out, _ = cli(*words, *small_words, "--all", "--jobs", "1")
    assert code == 0
    assert "best" in out


def test_what_is_no_range_and_no_data_is_named(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("1e-3..1e-1:lin", "1e-3.."):
        code, _, said = cli("sweep", "moons", "--set", f"training.learning_rate={text}", "--trials", "2")
        assert code == 2
        assert "is no range" in said
    code, _, said = cli("sweep", "no-data", "--set", "network.depth=2,3")
    assert code == 2
    assert "network.depth" not in said
