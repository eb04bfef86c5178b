"""Does the command line do what it says, quickly, and say where everything is?"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import diffuscope
from diffuscope.cli.parts import parts_and_settings
from diffuscope.data.images import IMAGE_SETS
from diffuscope.data.points import POINT_SETS
from diffuscope.diffusion.samplers import SAMPLERS
from diffuscope.diffusion.schedules import SCHEDULES
from diffuscope.networks import NETWORKS
from diffuscope.recipes import RECIPES

HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "pydantic", "pandas", "PIL")


@pytest.fixture(scope="module")
def table_run(tmp_path_factory, tiny_words, shell):
    """A run on a CSV file with names, trained from the shell."""
    folder = tmp_path_factory.mktemp("table")
    x = np.random.default_rng(0).normal([5, -3, 100], [1, 0.1, 20], size=(200, 3))
    pd.DataFrame(x, columns=["weight (kg)", "höhe", "a,b"]).to_csv(folder / "people.csv", index=False)
    words = [word for word in tiny_words if "data.size" not in word]
    words = [w for i, w in enumerate(words) if not (w == "--set" and words[i + 1 : i + 2] in ([], ["--set"]))]
    words += ["--set", "data.refine=false"]
    done = shell("train", "people.csv", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder / "runs" / "people", done


def test_help_answers_without_anything_heavy():
    program = (
        "import sys\nfrom diffuscope.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit as stop: code = stop.code\n"
        f"print(code, [name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.endswith("0 []\n"), done.stdout + done.stderr
    for command in ("train", "sample", "animate", "list"):
        assert f"\n  {command} " in done.stdout


@pytest.mark.parametrize("command", ["train", "sample", "animate", "list"])
def test_every_command_has_help(cli, command):
    code, out, _ = cli(command, "--help")
    assert code == 0
    assert out.startswith("Usage:")


def test_without_a_command_there_is_help(cli):
    _, out, err = cli()
    assert "Commands:" in out + err


def test_the_version_is_told(cli):
    assert cli("--version") == (0, f"diffuscope {diffuscope.__version__}\n", "")


@pytest.mark.parametrize("module", ["diffuscope", "diffuscope.cli"])
def test_the_package_runs_as_a_module(module):
    words = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"diffuscope {diffuscope.__version__}\n", "")


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("datasets", POINT_SETS | IMAGE_SETS),
        ("recipes", RECIPES),
        ("schedules", SCHEDULES),
        ("samplers", SAMPLERS),
        ("networks", NETWORKS),
    ],
)
def test_list_names_all_there_is(cli, what, names):
    code, out, err = cli("list", what)
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(names)
    assert all(len(line.split()) > 1 for line in out.splitlines())


def test_the_lists_that_are_kept_as_text_are_those_of_the_code():
    kept = resources.files("diffuscope.cli").joinpath("parts.json").read_text("utf-8")
    assert json.loads(kept) == parts_and_settings(), "write it anew: python -m diffuscope.cli.parts"


def test_train_says_where_everything_is_and_how_good(table_run):
    path, done = table_run
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["run"] == "runs/people/"
    assert lines["model"] == "runs/people/model.safetensors"
    assert "× floor" in lines["quality"]
    assert lines["next"] == "diffuscope evaluate runs/people --html"
    assert done.stderr == ""
    assert {p.name for p in path.iterdir()} == {
        "recipe.toml",
        "model.safetensors",
        "metrics.jsonl",
        "summary.json",
        "checkpoints",
    }
    summary = json.loads((path / "summary.json").read_text())
    assert summary["data"]["kind"] == "file"
    assert summary["quality"]["sliced_wasserstein"].keys() == {"value", "floor", "ratio", "low", "high"}


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_sampled_tables_have_the_columns_of_the_data(table_run, cli, tmp_path, suffix):
    path, _ = table_run
    out = tmp_path / f"new.{suffix}"
    assert cli("sample", path, "-n", 50, "-o", out) == (0, f"50 rows in {out}\n", "")
    if suffix == "parquet":
        table = pd.read_parquet(out)
    else:
        table = pd.read_csv(out, sep="\t" if suffix == "tsv" else ",")
    assert list(table.columns) == ["weight (kg)", "höhe", "a,b"]
    assert len(table) == 50
    assert abs(table["weight (kg)"].mean() - 5) < 3


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "tsv", "parquet"])
def test_sampled_points_are_those_of_the_seed(run_dir, cli, tmp_path, suffix):
    out = tmp_path / "deep" / f"x.{suffix}"
    code, _, err = cli(
        *("sample", run_dir, "-n", 200, "-o", out, "--seed", 3, "--steps", 2),
        *("--sampler", "ddim", "--set", "eta=0.5", "--spacing", "trailing"),
    )
    assert (code, err) == (0, "")
    expected = diffuscope.load(run_dir).sample(
        200, seed=3, steps=2, sampler="ddim", eta=0.5, spacing="trailing"
    )
    np.testing.assert_allclose(diffuscope.load_dataset(out).x, expected, rtol=1e-6)
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_samples_can_be_a_picture_beside_the_data(run_dir, cli, tmp_path):
    code, _, err = cli("sample", run_dir, "-n", 100, "-o", tmp_path / "x.png")
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "x.png") as image:
        assert image.width > 200


def test_sample_replaces_a_file_only_if_told(run_dir, cli, tmp_path):
    out = tmp_path / "x.csv"
    out.write_text("mine")
    code, _, err = cli("sample", run_dir, "-n", 5, "-o", out)
    assert code == 2
    assert f"{out} already exists." in err
    assert out.read_text() == "mine"
    code, _, err = cli("sample", run_dir, "-n", 5, "-o", out, "--force")
    assert (code, err) == (0, "")
    assert len(diffuscope.load_dataset(out).x) == 5


@pytest.mark.parametrize("words", [["--forward"], ["--reverse"], ["--forward", "--reverse"], []])
def test_animate_makes_a_gif(run_dir, cli, tmp_path, words):
    run = shutil.copytree(run_dir, tmp_path / "run")
    code, out, err = cli("animate", run, *words)
    assert (code, err) == (0, "")
    name = {"--forward": "forward", "--forward--reverse": "both"}.get("".join(words), "reverse")
    assert re.fullmatch(rf"{re.escape(str(run / name))}\.gif \([\d.,]+ KB\)\n", out)
    with Image.open(run / f"{name}.gif") as image:
        assert image.n_frames > 3


def test_animate_makes_one_file_of_html_and_does_not_replace_it(run_dir, cli, tmp_path):
    out = tmp_path / "walk.html"
    code, said, err = cli("animate", run_dir, "-o", out)
    assert (code, said.split(" (")[0], err) == (0, str(out), "")
    before = out.read_bytes()
    assert b"<html" in before.lower()
    code, _, err = cli("animate", run_dir, "-o", out)
    assert code == 2
    assert "already exists" in err
    assert out.read_bytes() == before


def test_the_recipe_of_a_run_makes_byte_identical_weights(cli, tmp_path, tiny_words):
    assert cli("train", "moons", "--out", tmp_path / "a", "--seed", 4, "--noise", 0.05, *tiny_words)[0] == 0
    code, _, err = cli(
        "train", "--recipe", tmp_path / "a" / "recipe.toml", "--out", tmp_path / "b", "--no-pictures"
    )
    assert (code, err) == (0, "")
    one, two = (tmp_path / name / "model.safetensors" for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_every_option_of_train_reaches_the_recipe(cli, tmp_path):
    code, _, err = cli(
        *("train", "moons", "-o", tmp_path / "a", "--recipe", "article", "--no-pictures"),
        *("--seed", 3, "--epochs", 2, "--size", 50, "--noise", 0.2, "--schedule", "cosine"),
        *("--sampler", "ddim", "--sampling-steps", 7, "--zero-terminal-snr", "--device", "cpu"),
        *("--set", "denoiser.prediction=velocity", "--set", "schedule.T=20", "--set", "sampling.eta=0.5"),
        *("--set", "network.width = 8", "--set", 'description="a = b"'),
    )
    assert (code, err) == (0, "")
    recipe = diffuscope.load_recipe(tmp_path / "a" / "recipe.toml")
    assert (recipe.seed, recipe.training.epochs, recipe.training.steps) == (3, 2, None)
    assert (recipe.data.source, recipe.data.size, recipe.data.noise) == ("moons", 50, 0.2)
    assert recipe.schedule.name == "cosine"
    assert recipe.schedule.settings["T"] == 20
    assert recipe.schedule.zero_terminal_snr
    assert (recipe.sampling.name, recipe.sampling.steps) == ("ddim", 7)
    assert recipe.sampling.settings == {"eta": 0.5}
    assert recipe.denoiser.prediction == "velocity"
    assert recipe.network.settings["width"] == 8
    assert recipe.description == "a = b"
