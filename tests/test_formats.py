"""Are the files of earlier versions read as they were meant?"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import diffuscope
from diffuscope import DiffusionModel

VERSIONS = sorted(path.parent for path in (Path(__file__).parent / "formats").glob("*/expected.json"))


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def version(request):
    return request.param, json.loads((request.param / "expected.json").read_text("utf-8"))


def test_there_is_a_version_to_read():
    assert VERSIONS


def test_a_run_of_points_answers_as_it_did(version):
    folder, expected = version
    run = diffuscope.load(folder / "points")
    assert run.sample(5, seed=1) == pytest.approx(np.array(expected["points"]), abs=1e-3)
    assert run.log_density(np.zeros((1, 2))) == pytest.approx(expected["point_densities"], abs=1e-2)
    assert float(run.quality) > 0
    assert run.metrics
    assert len(run.data.x) == 500


def test_a_run_of_a_table_answers_as_it_did(version):
    folder, expected = version
    model = DiffusionModel.load(folder / "table")
    rows = diffuscope.load(folder / "table").sample(5, seed=1)
    then = pd.DataFrame(expected["rows"]["data"], columns=expected["rows"]["columns"])
    then["seen"] = pd.to_datetime(then["seen"])
    assert list(rows.columns) == list(then.columns)
    for name in ("sex", "smokes", "state"):
        assert (rows[name] == then[name]).all()
    assert (rows["seen"] - then["seen"]).abs().max() <= pd.Timedelta(days=1)
    assert rows["income"].to_numpy() == pytest.approx(then["income"].to_numpy(), rel=1e-2)
    densities = model.score_samples(then.drop(columns="state"))
    assert densities == pytest.approx(expected["row_densities"], abs=1e-2)


def test_a_run_that_was_interrupted_is_gone_on_with(version, tmp_path):
    folder, _ = version
    shutil.copytree(folder / "points", tmp_path / "run")
    for name in ("model.safetensors", "summary.json"):
        (tmp_path / "run" / name).unlink()
    run = diffuscope.train(None, out=tmp_path / "run", resume=True, pictures=False)
    was = diffuscope.load(folder / "points")
    assert run.sample(50) == pytest.approx(was.sample(50), abs=1e-2)
