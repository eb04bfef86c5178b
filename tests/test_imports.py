"""Does a command load only what it uses? Each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

# What only some data, some formats or some extras need.
OPTIONAL = {
    *("sklearn", "pandas", "ot", "narwhals", "polars", "rich", "jinja2"),
    *("onnx", "onnxruntime", "diffusers", "tensorboard", "imageio_ffmpeg"),
}
COMPILER = {"torch._dynamo", "torch._inductor", "sympy"}
PICTURES = {"matplotlib", "PIL"}

TRAIN = ("train", "points.npy", "--steps", "20")
PROGRAM = """
import json, sys
import diffuscope.beside
diffuscope.beside.can_fork = lambda: False  # pictures are drawn here, where it is seen what they load
from diffuscope.cli import main
loaded = []
for words in json.loads(sys.argv[1]):
    try:
        main(words)
    except SystemExit as done:
        assert not done.code, done.code
    loaded.append(sorted(sys.modules))
sys.stderr.write("\\nloaded: " + json.dumps(loaded))
"""


def loaded(folder, *commands: tuple[str, ...]) -> list[set[str]]:
    """Run commands one after another in a new process; return the modules loaded after each."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(commands)], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return [set(modules) for modules in json.loads(done.stderr.rpartition("loaded: ")[2])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imports")
    np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(200, 2)))
    return folder


@pytest.fixture(scope="module")
def by_training(folder) -> list[set[str]]:
    """What a training without pictures loads, and then one with some."""
    few = ("--set", "pictures.forward_frames=3", "--set", "sampling.steps=3")
    return loaded(folder, (*TRAIN, "--no-pictures", "--out", "run"), (*TRAIN, *few, "--out", "drawn"))


def test_what_is_only_said_needs_no_torch(folder):
    commands = [("--help",), ("--version",), ("train", "--help")]
    commands += [("list", what) for what in ("datasets", "recipes", "samplers", "settings")]
    heavy = {"torch", "scipy", "pyarrow"} | OPTIONAL | PICTURES
    for words, modules in zip(commands, loaded(folder, *commands), strict=True):
        assert not heavy & modules, words


def test_training_on_points_loads_no_tables_no_pictures_and_no_compiler(by_training):
    assert "torch" in by_training[0]
    assert not ({"pyarrow"} | OPTIONAL | COMPILER | PICTURES) & by_training[0]


def test_pictures_of_points_need_matplotlib_alone(by_training):
    shown = by_training[1]
    assert shown >= PICTURES
    assert not ({"pyarrow", "matplotlib.pyplot"} | OPTIONAL | COMPILER) & shown


def test_samples_as_a_file_need_no_pictures_no_pandas_and_no_compiler(folder, run_dir):
    suffixes = ("npy", "csv", "parquet")
    commands = [("sample", str(run_dir), "-n", "10", "-o", f"x.{suffix}") for suffix in suffixes]
    for suffix, wrote in zip(suffixes, loaded(folder, *commands), strict=True):
        assert ("pyarrow" in wrote) == (suffix != "npy")
        assert not ({"scipy"} | OPTIONAL | COMPILER | PICTURES) & wrote, suffix
