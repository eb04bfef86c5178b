"""Does a command load only what it uses? Each in a process of its own."""

from __future__ import annotations

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
import sys
from diffuscope.cli import main
try:
    main(sys.argv[1:])
except SystemExit as done:
    assert not done.code, done.code
sys.stderr.write("\\nloaded: " + " ".join(sys.modules))
"""


def loaded(folder, *words: str) -> set[str]:
    """Return the modules that a command has loaded when it is done."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.rpartition("loaded: ")[2].split())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("imports")
    np.save(folder / "points.npy", np.random.default_rng(0).normal(size=(200, 2)))
    return folder


@pytest.fixture(scope="module")
def by_training(folder) -> set[str]:
    return loaded(folder, *TRAIN, "--no-pictures", "--out", "run")


@pytest.mark.parametrize(
    "words",
    [
        *[("--help",), ("--version",), ("train", "--help"), ("list", "datasets"), ("list", "recipes")],
        *[("list", "samplers"), ("list", "settings")],
    ],
)
def test_what_is_only_said_needs_no_torch(folder, words):
    heavy = {"torch", "scipy", "pyarrow"} | OPTIONAL | PICTURES
    assert not heavy & loaded(folder, *words)


def test_training_on_points_loads_no_tables_no_pictures_and_no_compiler(by_training):
    assert "torch" in by_training
    assert not ({"pyarrow"} | OPTIONAL | COMPILER | PICTURES) & by_training


def test_pictures_of_points_need_matplotlib_alone(folder):
    shown = loaded(folder, *TRAIN, "--out", "drawn")
    assert shown >= PICTURES
    assert not ({"pyarrow", "matplotlib.pyplot"} | OPTIONAL | COMPILER) & shown


@pytest.mark.usefixtures("by_training")
@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet"])
def test_samples_as_a_file_need_no_pictures_no_pandas_and_no_compiler(folder, suffix):
    wrote = loaded(folder, "sample", "run", "-n", "10", "-o", f"x.{suffix}")
    assert ("pyarrow" in wrote) == (suffix != "npy")
    assert not ({"scipy"} | OPTIONAL | COMPILER | PICTURES) & wrote
