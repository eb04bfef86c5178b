"""Is a diagnosis readable, for people and for machines, and are errors in what was asked clear?"""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from torch import nn

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.schedules import cosine, linear
from diffuscope.errors import InputError
from diffuscope.oracle import EmpiricalOracle

from ..conftest import diagnose_quickly
from .conftest import Perfect

BETA = cosine(20).beta.numpy()


@pytest.fixture(scope="module")
def broken():
    perfect = Perfect()
    with pytest.MonkeyPatch.context() as patch:
        diagnose_quickly(patch)
        return perfect.diagnose(lambda x_t, level: perfect.oracle(x_t, level).clamp(-0.5, 0.5))


@pytest.mark.slow
def test_json_has_budget_and_findings_as_documented(broken):
    plain = json.loads(json.dumps(broken.to_json(), allow_nan=False))
    assert set(plain) == {"budget", "findings"}
    for row in plain["budget"]:
        assert set(row) == {"part", "title", "value", "ratio", "low", "high"}
        assert row["title"] in str(broken)
        assert row["low"] <= row["ratio"] <= row["high"]
    assert set(plain["findings"][0]) == {
        *("code", "title", "evidence", "gain", "fix", "sure", "needs", "interval")
    }


def test_the_text_has_a_line_for_each_row_and_a_paragraph_for_each_finding(broken):
    text = str(broken)
    for row in broken.budget.rows:
        assert row.title in text
    for number, finding in enumerate(broken.findings, 1):
        assert f"{number}. {finding.title}" in text
    assert "Fix: Do not clamp x_0" in text
    assert "The distribution of this data is known" in text
    assert max(map(len, text.splitlines())) <= 110


def test_the_picture_and_the_numbers_are_kept(broken, tmp_path):
    broken.save(tmp_path)
    assert json.loads((tmp_path / "diagnosis.json").read_text("utf-8")) == broken.to_json()
    assert (tmp_path / "figures" / "diagnosis.png").read_bytes()[:4] == b"\x89PNG"
    waterfall, levels = broken.plot().axes
    shown = [" ".join(label.get_text().split()) for label in waterfall.get_yticklabels()]
    assert shown == [row.title for row in broken.budget.rows]
    assert [patch.get_width() for patch in waterfall.patches] == pytest.approx(
        [row.share.ratio for row in broken.budget.rows]
    )
    assert levels.get_xscale() == levels.get_yscale() == "log"


def test_the_bars_begin_in_one_column_however_large_a_row_is(broken):
    lines = [line for line in str(broken).splitlines() if "█" in line]
    assert len(lines) > 2
    assert len({line.index("█") for line in lines}) == 1


@pytest.mark.slow
def test_findings_on_a_run_name_options_that_exist(run_dir, cli, tmp_path, quick):
    found = diffuscope.diagnose(run_dir, progress=False)
    fix = next(finding.fix for finding in found.findings if finding.code == "few_steps")
    (options,) = re.findall(r"\((--sampler \w+ --steps \d+)\)", fix)
    code, _, err = cli("sample", run_dir, "-n", 10, "-o", tmp_path / "x.npy", *options.split())
    assert code == 0, err


@pytest.mark.slow
def test_the_same_seed_gives_the_same_numbers(perfect):
    first = perfect.diagnose().to_json()
    assert perfect.diagnose().to_json() == first
    assert perfect.diagnose(seed=1).to_json() != first


@pytest.mark.slow
def test_where_the_law_is_not_known_the_text_says_what_stands_for_it(quick):
    x = load_dataset("eight_gaussians", size=1_200, seed=4).x
    told = {"scaling": (x.mean(0), x.std(0)), "sampler": "ddim", "progress": False}
    oracle = EmpiricalOracle(x[:600]).scaled(Scaling(x.mean(0), x.std(0)))
    found = diffuscope.diagnose(lambda x_t, level: oracle(x_t, level), cosine(20), x, **told)
    assert "is unknown" in found.certainty
    unseen = load_dataset("eight_gaussians", size=600, seed=5).x
    with_unseen = diffuscope.diagnose(
        lambda x_t, level: oracle(x_t, level), cosine(20), x, held_out=unseen, **told
    )
    assert with_unseen.certainty != found.certainty


def test_the_command_prints_writes_and_speaks_json(cli, tiny, little):
    run = tiny()
    code, out, err = cli("diagnose", run.path)
    assert code == 0, err
    assert "Error budget" in out
    assert "1. " in out  # 30 steps of training leave much to find
    numbers = json.loads((run.path / "diagnosis.json").read_text("utf-8"))
    assert (run.path / "figures" / "diagnosis.png").is_file()
    code, out, _ = cli("diagnose", run.path, "--json")
    assert code == 0
    assert json.loads(out) == numbers


def test_a_run_whose_training_blew_up_is_diagnosed_without_a_model(cli, tmp_path, tiny_words):
    out_dir = tmp_path / "run"
    words = [*tiny_words, "--set", "training.learning_rate=1e8", "--out", out_dir]
    code, _, _ = cli("train", "s_curve", *words)
    assert code == 1
    code, out, _ = cli("diagnose", out_dir)
    assert code == 0
    assert "A learning rate of 1e+08 is too high: training failed before there was a model" in out
    assert "--set training.learning_rate=0.01" in out
    code, out, _ = cli("diagnose", out_dir, "--json")
    assert json.loads(out)["findings"][0]["code"] == "learning_rate_high"
    (out_dir / "recipe.toml").unlink()  # without it the cause is not known
    _, out, _ = cli("diagnose", out_dir, "--json")
    assert json.loads(out)["findings"][0]["code"] == "not_finite"


class Line(nn.Module):
    def __init__(self, d=2):
        super().__init__()
        self.layer = nn.Linear(d, 2)

    def forward(self, x, t):
        return self.layer(x)


@pytest.mark.parametrize(
    ("given", "told", "said"),
    [
        ((Line(),), {}, "its schedule and its data"),
        ((Line(), BETA), {}, "its schedule and its data"),
        ((Line(), [0.1, 1.5], "moons"), {}, "beta"),
        ((Line(), "linear", "moons"), {}, "A str is not a schedule"),
        ((3, BETA, "moons"), {}, "int cannot be diagnosed"),
        ((Line(3), BETA, "moons"), {}, "fails for points"),
        ((lambda x, level: x[:, :1], BETA, "moons"), {}, "but returned"),
        ((Line(), BETA, np.eye(5)), {}, "too few"),
        ((Line(), BETA, "mooons"), {}, "mooons"),
        ((Line(), BETA, "moons"), {"sampler": "dppm"}, "dppm"),
        ((Line(), BETA, "moons"), {"steps": 21}, "21"),
        ((Line(), BETA, "moons"), {"samples": np.zeros((10, 3))}, "3 columns"),
        ((Line(), BETA, "moons"), {"samples": np.zeros(10)}, "shape"),
        ((Line(), BETA, "moons"), {"held_out": np.full((10, 2), np.nan)}, "not finite"),
    ],
)
def test_bad_input_is_named(given, told, said):
    with pytest.raises(InputError, match=said) as caught:
        diffuscope.diagnose(*given, progress=False, **told)
    assert caught.value.hint


def test_a_run_knows_its_own_schedule(run_dir):
    with pytest.raises(InputError, match="schedule cannot be set for a run"):
        diffuscope.diagnose(run_dir, linear(10, 1e-4, 0.02))
