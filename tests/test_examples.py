"""Do the examples run as they stand, and is one's own part as short as is said?"""

from __future__ import annotations

import re
import runpy
import sys
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

import diffuscope

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
SMALL = {"data.size": 2000, "training.batch_size": 128, "sampling.steps": 18}
PART = re.compile(r"^# --- own part\n(.*?)^# ---$", re.MULTILINE | re.DOTALL)


def own_lines(text: str) -> list[str]:
    """Return the lines of an example's own part that are not empty."""
    (part,) = PART.findall(text)
    return [line for line in part.splitlines() if line.strip()]


def test_there_is_an_example_for_every_part_that_can_be_handed_over():
    parts = {"network", "schedule", "data", "loss", "sampler"}
    assert {path.stem for path in EXAMPLES} == {f"own_{part}" for part in parts}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_own_part_is_under_fifteen_lines(path):
    assert 2 <= len(own_lines(path.read_text("utf-8"))) < 15


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs_and_its_part_learns_the_data(path, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(plt, "show", lambda: pytest.fail("an example waits for a window"))
    monkeypatch.setattr(sys, "argv", [str(path), str(tmp_path / "run")])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(diffuscope, "train", partial(diffuscope.train, steps=200, settings=SMALL))
    names = runpy.run_path(str(path), run_name="__main__")
    run = names["run"]
    assert isinstance(run, diffuscope.Run)
    assert run.path == tmp_path / "run"
    assert {p.name for p in tmp_path.iterdir()} == {"run"}  # it writes where it is told to, nowhere else
    assert float(run.quality) < 5  # untrained: some 30
    assert (run.path / "samples.png").stat().st_size > 10_000
    assert "× floor" in capsys.readouterr().out
