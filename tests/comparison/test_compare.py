"""Is each model trained once, each result kept, and does one that fails take no other with it?"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

import diffuscope
from diffuscope.comparison.executor import Executor
from diffuscope.comparison.grid import lay_out
from diffuscope.comparison.jobs import Job, trained
from diffuscope.comparison.pool import JobError, Worker, launched
from diffuscope.data.base import Dataset
from diffuscope.data.images import load_images
from diffuscope.errors import InputError, RunError
from diffuscope.modalities.reference import Reference, draw_reference


@pytest.fixture(scope="module")
def done(tmp_path_factory, points, small):
    """Two samplers, two numbers of steps and two seeds, compared once; nobody changes it."""
    said = []
    axes = {**small, "sampling.name": ["ddim", "heun"], "sampling.steps": [3, 5]}
    out = tmp_path_factory.mktemp("comparison") / "out"
    own = {key: values for key, values in axes.items() if key not in small}
    made = diffuscope.compare(points, own, settings=small, seeds=2, out=out, jobs=1, announce=said.append)
    return made, axes, said


def times_of(folder, pattern):
    return {path: path.stat().st_mtime_ns for path in folder.glob(pattern)}


def test_each_model_is_trained_once_and_sampled_in_every_way(done):
    comparison, _, said = done
    assert len(list(comparison.path.glob("runs/*/model.safetensors"))) == 2
    assert len(list(comparison.path.glob("cells/*.json"))) == 8
    assert not comparison.failed
    frame = comparison.frame()
    assert frame["evaluations"].tolist() == [3, 3, 5, 5, 5, 5, 9, 9]  # DDIM: n; Heun: 2n - 1
    assert (frame["ratio"] > 0).all()
    assert frame["points"].eq(8 * 200).all()  # clouds of half of one's own data
    assert len(said) == 1
    assert said[0].startswith("2 trainings of ")
    assert "8 cells of " in said[0]


def test_cells_differ_by_the_sampling_alone(done):
    comparison, _, _ = done
    by_seed = comparison.frame().groupby("seed")
    assert by_seed["train_seconds"].nunique().eq(1).all()
    assert by_seed["floor"].nunique().eq(1).all()


@pytest.mark.slow  # images are compared in test_matrix
@pytest.mark.usefixtures("in_this_process")
def test_images_are_compared_in_features_asked_for_classes_as_the_data_has_them(tmp_path):
    found = load_digits()
    x = np.round(found.images[:240] * (255 / 16)).astype(np.uint8)
    data = load_images(x, labels=found.target[:240])
    axes = {"network.width": 8, "training.steps": 3, "sampling.guidance": 1, "sampling.steps": [2, 4]}
    comparison = diffuscope.compare(data, axes, seeds=2, out=tmp_path / "out", jobs=1)
    assert not comparison.failed
    frame = comparison.frame()
    assert frame["evaluations"].tolist() == [3, 3, 5, 5]  # one more: noise lies around the mean of a class
    assert frame["points"].eq(6 * 120).all()
    assert (frame["ratio"] > 1).all()  # three steps of training leave noise
    run = diffuscope.load(next(iter(comparison.path.glob("runs/*"))))
    assert run.recipe.data.classes == tuple("0123456789")
    assert run.recipe.name == "images"
    said = []
    diffuscope.compare(data, axes, seeds=2, out=tmp_path / "out", jobs=1, announce=said.append)
    assert said == ["all 4 cells are done already"]


def test_a_feature_that_is_the_same_everywhere_is_no_distance(tmp_path):
    x = np.random.default_rng(0).normal(size=(400, 2))
    with_constant = Dataset("x", np.column_stack([x, np.full(400, 7.0)]), None, None, {"kind": "array"})
    reference = draw_reference(with_constant.x)
    reference.save(tmp_path / "reference.npz")
    again = Reference.load(tmp_path / "reference.npz")
    assert again.floors == reference.floors
    for cloud, same in zip(reference.real, again.real, strict=True):
        assert np.isfinite(cloud).all()
        assert np.ptp(cloud[:, 2]) == 0
        np.testing.assert_array_equal(cloud, same)
    assert 0 < np.mean(reference.floors) < 1


def test_an_axis_is_no_setting(points):
    with pytest.raises(InputError, match=r"^sampling.steps is an axis and a setting.\nLeave it out"):
        diffuscope.compare(points, {"sampling.steps": [2, 4]}, settings={"sampling.steps": 3})


def test_the_models_can_be_opened(done):
    run = diffuscope.load(next(iter(done[0].path.glob("runs/*"))))
    assert run.sample(10, seed=0).shape == (10, 2)


def test_files_hold_what_python_returns(done):
    comparison, axes, _ = done
    table = pd.read_csv(comparison.path / "comparison.csv")
    assert table["ratio"].to_numpy() == pytest.approx(comparison.frame()["ratio"].to_numpy())
    told = json.loads((comparison.path / "comparison.json").read_text())
    assert told == json.loads(json.dumps(comparison.to_json()))
    assert [point["sampling.steps"] for point in told["points"]] == [3, 5, 3, 5]
    assert told["seeds"] == [0, 1]
    assert told["axes"]["sampling.steps"] == axes["sampling.steps"]
    assert (comparison.path / "comparison.png").stat().st_size > 5000


def test_again_does_nothing_again(done, points):
    comparison, axes, _ = done
    before = times_of(comparison.path, "cells/*") | times_of(comparison.path, "runs/*/*")
    said = []
    again = diffuscope.compare(points, axes, seeds=2, out=comparison.path, jobs=1, announce=said.append)
    assert said == ["all 8 cells are done already"]
    assert again.to_json() == comparison.to_json()
    assert times_of(comparison.path, "cells/*") | times_of(comparison.path, "runs/*/*") == before


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
def test_a_grown_comparison_does_only_what_is_new_and_a_damaged_result_anew(tmp_path, points, small):
    axes = {**small, "sampling.steps": [3]}
    diffuscope.compare(points, axes, seeds=1, out=tmp_path / "out", jobs=1)
    (kept,) = (tmp_path / "out" / "cells").iterdir()
    models = times_of(tmp_path / "out", "runs/*/*")
    before, said = kept.read_text(), []
    axes["sampling.steps"] = [3, 4]
    diffuscope.compare(points, axes, seeds=1, out=tmp_path / "out", jobs=1, announce=said.append)
    assert said[0].startswith("1 cell (1 more is done already) of ")
    assert kept.read_text() == before
    kept.write_text(before[:-20])
    grown = diffuscope.compare(points, axes, seeds=1, out=tmp_path / "out", jobs=1)
    assert not grown.failed
    assert json.loads(kept.read_text())["distances"] == json.loads(before)["distances"]
    assert times_of(tmp_path / "out", "runs/*/*") == models


@pytest.mark.usefixtures("in_this_process")
def test_a_training_that_fails_takes_no_other_with_it(tmp_path, points, small):
    axes = {**small, "training.learning_rate": [0.01, 1e30], "sampling.steps": [3, 4]}
    comparison = diffuscope.compare(points, axes, seeds=1, out=tmp_path / "out", jobs=1)
    assert [outcome.cell.recipe.training.learning_rate for outcome in comparison.failed] == [1e30] * 2
    assert all("training failed" in str(outcome.error) for outcome in comparison.failed)
    assert comparison.lines()[0]["seeds"] == 1
    assert comparison.frame()["error"].notna().sum() == 2


def cells_of(comparison):
    return comparison.frame().drop(columns=["seconds", "train_seconds"])


ENGINES = [
    pytest.param({}, id="local"),
    pytest.param({"launch": "env"}, id="launcher"),
    pytest.param({"engine": "ray"}, id="ray", marks=pytest.mark.filterwarnings("ignore")),
]


@pytest.mark.slow
@pytest.mark.parametrize("how", ENGINES)
def test_a_launcher_and_ray_give_the_same_cells(tmp_path, points, small, done, how):
    if "engine" in how:
        pytest.importorskip("ray")
    comparison, axes, _ = done
    own = {key: values for key, values in axes.items() if key not in small}
    made = diffuscope.compare(points, own, settings=small, seeds=2, out=tmp_path / "out", jobs=2, **how)
    pd.testing.assert_frame_equal(cells_of(made), cells_of(comparison))


def test_what_a_launcher_prints_is_no_answer(tmp_path):
    launcher = tmp_path / "launcher"
    launcher.write_text(
        "#!/bin/sh\n"
        "echo 7; printf 'modules \\377 loaded\\n'\n"
        """[ "$1" = good ] && echo '{"what": null}' && sleep 1\n"""
        """[ "$1" = endless ] && exec yes\n"""
        "exit 0\n"
    )
    launcher.chmod(0o755)
    job = Job(recipe="", folder="", data=None, device="cpu")
    for how, said in {"good": None, "stop": "modules", "endless": "SIGKILL"}.items():
        worker = Worker([str(launcher), how])
        with contextlib.nullcontext() if said is None else pytest.raises(JobError, match=said):
            worker.run_job(job)
        worker.dismiss()
        worker.await_end()
        worker.close()


def test_what_launches_or_runs_nothing_is_refused(tmp_path, points):
    for wrong in ({"launch": "no-such-program -n1"}, {"launch": "'"}, {"engine": "dask"}, {"jobs": 0}):
        with pytest.raises(InputError):
            diffuscope.compare(points, {}, seeds=1, out=tmp_path / "out", **wrong)
    with pytest.raises(InputError, match="itself"):
        diffuscope.compare(points, {}, seeds=1, out=tmp_path / "out", engine="ray", launch="env")
    assert launched("ssh node{worker}" if shutil.which("ssh") else "env node{worker}", 3)[1] == "node3"


@pytest.mark.slow
@pytest.mark.parametrize("how", ENGINES)
def test_a_worker_that_is_killed_takes_only_its_order_with_it(tmp_path, points, small, how):
    if "engine" in how:
        pytest.importorskip("ray")
    endless = lay_out(points, "fast", {**small, "training.steps": 10_000_000}, [0]).trainings[0]
    short = lay_out(points, "fast", small, [0]).trainings[0]
    np.save(tmp_path / "points.npy", points)
    data = {"path": str(tmp_path / "points.npy"), "name": "p", "columns": None, "source": endless.data.source}
    tasks = [(short, "short"), (endless, "endless")]

    def order(task):
        return Job(task[0].recipe.to_toml(), str(tmp_path / task[1]), data, "cpu")

    def kill_once_it_trains():
        while not (tmp_path / "endless" / "metrics.jsonl").is_file():
            time.sleep(0.05)
        os.kill(int((tmp_path / "endless" / ".diffuscope.lock").read_text().split()[0]), signal.SIGKILL)

    with Executor(1, **how).pool(2) as pool:
        threading.Thread(target=kill_once_it_trains, daemon=True).start()
        results = {task[1]: error for task, error in pool.run(lambda: tasks.pop() if tasks else None, order)}
    assert "SIGKILL" in results["endless"]
    assert results["short"] is None
    assert trained(tmp_path / "short")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_keeps_everything_and_the_same_command_goes_on(
    cli, in_this_process, tmp_path, points, small_words, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", points)
    steps = [w.replace("training.steps=20", "training.steps=2500") for w in small_words]
    words = ["compare", "points.npy", "--sampling-steps", "3,4", "--seeds", "1", *steps, "--jobs", "1"]
    words += ["--out", "out"]
    command = [sys.executable, "-m", "diffuscope.cli", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}

    def listen() -> None:
        """Hear Ctrl-C as at a terminal: what runs in the background has it switched off from above."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(command, preexec_fn=listen, **pipes) as process:
        while process.poll() is None and not any(
            path.stat().st_size for path in tmp_path.glob("out/runs/*/metrics.jsonl")
        ):
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "to resume it" in err
    assert not (tmp_path / "out" / ".diffuscope.lock").exists()
    (metrics,) = tmp_path.glob("out/runs/*/metrics.jsonl")
    before = metrics.read_text()
    assert before
    code, _, err = cli(*words)
    assert code == 0, err
    assert metrics.read_text().startswith(before)  # gone on with, not begun again
    assert len(list(tmp_path.glob("out/cells/*.json"))) == 2
    assert not list(tmp_path.rglob("*.tmp*"))


@pytest.mark.usefixtures("in_this_process")
def test_the_command_prints_a_table_and_where_everything_is(cli, tmp_path, points, small_words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", points)
    words = [
        "compare",
        "points.npy",
        "--sampler",
        "ddim,heun",
        "--sampling-steps",
        "3",
        "--seeds",
        "2",
        "--jobs",
        "1",
        *small_words,
    ]
    code, out, err = cli(*words)
    assert code == 0, err
    assert "2 trainings of" in err
    for word in (
        "sampling.name",
        "× floor",
        "best",
        "comparisons/points/comparison.csv",
        "comparisons/points/runs/",
    ):
        assert word in out
    code, out, _ = cli(*words, "--json")
    told = json.loads(out)
    assert [point["sampling.name"] for point in told["points"]] == ["ddim", "heun"]


@pytest.mark.usefixtures("in_this_process")
def test_a_failed_cell_is_told_and_seen_in_the_exit_status(cli, tmp_path, points, small_words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", points)
    words = [*small_words, "--set", "training.learning_rate=0.01,1e30"]
    code, out, _ = cli("compare", "points.npy", "--seeds", "1", "--jobs", "1", *words)
    assert code == 1
    assert "failed" in out
    assert "training failed" in out


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--sampler", "ddim,nope"], "no sampler named 'nope'"),
        (["--sampling-steps", ","], "empty value"),
        (["--sampling-steps", "3", "--set", "sampling.steps=4"], "given twice"),
        (["--set", "training.steps"], "is not of the form"),
        (["--seeds", "0"], "at least 1"),
        (["--jobs", "0"], "at least 1"),
    ],
)
def test_bad_words_leave_nothing_behind(cli, tmp_path, words, complaint):
    code, _, err = cli("compare", "moons", *words, "--out", tmp_path / "out")
    assert code == 2
    assert complaint in err
    assert not (tmp_path / "out").exists()


def test_a_directory_of_something_else_is_not_touched(tmp_path, points):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not a comparison"):
        diffuscope.compare(points, {}, seeds=1, out=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_two_processes_do_not_share_a_directory(tmp_path, points):
    (tmp_path / "out" / "cells").mkdir(parents=True)
    program = (
        "import sys; from diffuscope.files import sole_writer\n"
        "with sole_writer(sys.argv[1]): print('held', flush=True); input()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "out")], **pipes)
    try:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RunError, match=f"process {other.pid}"):
            diffuscope.compare(points, {}, seeds=1, out=tmp_path / "out")
    finally:
        other.communicate(b"\n")
