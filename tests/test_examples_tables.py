"""Do the examples on tables run as they stand, and is what they say true?"""

from __future__ import annotations

import re
import runpy
import sys
from functools import partial
from pathlib import Path

import matplotlib
import pandas as pd
import pytest
import sklearn.datasets
from sklearn.datasets import load_breast_cancer

import diffuscope

FOLDER = Path(__file__).parents[1] / "examples" / "tables"


@pytest.fixture(params=[300, pytest.param(None, marks=pytest.mark.slow)], ids=["briefly", "as it stands"])
def run_example(request, tmp_path, monkeypatch, capsys):
    """Run an example, with small models trained for 300 steps or as it stands: what it says holds of both."""
    width = None if request.param is None else 64
    model = partial(diffuscope.DiffusionModel, steps=request.param, width=width)
    monkeypatch.setattr(diffuscope, "DiffusionModel", model)

    def run(name, every=1):
        """Run it by its name; briefly, with only every so many rows of scikit-learn's tumours."""
        if request.param is not None and every > 1:
            few = [whole[::every] for whole in load_breast_cancer(return_X_y=True, as_frame=True)]
            monkeypatch.setattr(sklearn.datasets, "load_breast_cancer", lambda **_: few)
        monkeypatch.setattr(sys, "argv", [name, str(tmp_path / "out")])
        monkeypatch.chdir(tmp_path)
        with matplotlib.rc_context({"backend": "agg"}):
            runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out, tmp_path / "out"

    return run


def test_every_example_is_tested():
    text = Path(__file__).read_text("utf-8")
    assert all(f'run_example("{path.stem}"' in text for path in FOLDER.glob("*.py"))


@pytest.mark.slow
def test_the_s_curve_takes_five_lines(run_example):
    out, folder = run_example("s_curve_in_five_lines")
    assert float(re.search(r"data (-?[\d.]+) nats", out)[1]) > -1.0
    assert (folder / "s_curve.png").stat().st_size > 20_000
    lines = (
        (FOLDER / "s_curve_in_five_lines.py").read_text("utf-8").split("DiffusionModel\n")[1].split("\n\n")[1]
    )
    assert len(lines.splitlines()) <= 5


@pytest.mark.slow
def test_synthetic_patients_are_like_real_ones(run_example):
    out, folder = run_example("synthetic_patients")
    mean, real = map(int, re.search(r"ill: (\d+) years old, real ones (\d+)", out).groups())
    assert abs(mean - real) < 5
    assert "Nearer to training rows" in out
    rows = pd.read_csv(folder / "synthetic.csv")
    assert len(rows) == 3000
    assert set(rows["diagnosis"]) == {"none", "mild", "severe"}


@pytest.mark.slow
def test_holes_are_filled_better_than_by_simpler_methods(run_example):
    out, _ = run_example("imputation")
    error = {
        name.strip(): float(x) for name, x in re.findall(r"^(.*?) error ([\d.]+) stand", out, re.MULTILINE)
    }
    best = error["diffusion, average of 16 draws"]
    assert best < error["nearest neighbours"]
    assert best < error["chained ridge regressions"]
    assert 75 <= int(re.search(r"hold (\d+)%", out)[1]) <= 95


@pytest.mark.slow
def test_anomalies_have_little_density(run_example, request):
    out, _ = run_example("anomaly_detection", every=3)
    assert float(re.search(r"diffusion model\s+area under the ROC curve ([\d.]+)", out)[1]) > (
        0.85 if "briefly" in request.node.name else 0.92
    )


@pytest.mark.slow
def test_digits_are_those_they_were_drawn_for(run_example):
    out, folder = run_example("class_conditional_digits")
    assert float(re.search(r"drawn for: ([\d.]+)%", out)[1]) > 95
    assert (folder / "digits.png").stat().st_size > 5_000
