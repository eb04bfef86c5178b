"""Do several processes, and several threads, make the same bytes, and do they end together in words?"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import diffuscope
from diffuscope.training.parts import PartSum, branches, number_of_parts, own_parts, part_bounds

LARGE = {  # of two parts, with masks and dropout
    "data.refine": False,
    "network.width": 1024,
    "network.depth": 1,
    "network.dropout": 0.2,
    "training.batch_size": 250,
    "sampling.steps": 2,
}
POINTS = {"data.size": 300, "network.width": 8, "network.depth": 1, "sampling.steps": 4}


@pytest.fixture(scope="module")
def frame():
    r = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": r.normal(size=301), "b": r.integers(0, 4, 301), "c": r.choice(["x", "y"], 301)}
    )
    table.loc[::7, "a"] = np.nan
    return table


def digest(path):
    """Return a digest of the trained network of a run; what else a model keeps says how it was made."""
    weights = load_file(path / "model.safetensors")
    names = sorted(name for name in weights if name.startswith("network."))
    return hashlib.sha256(b"".join(weights[name].numpy().tobytes() for name in names)).hexdigest()


class Group:
    """Processes of one training, each with its rank, that are gone at the end of a block."""

    def __init__(self, folder, count, words, **env):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", **env}
        own["WORLD_SIZE"] = str(count)
        self.folder = folder
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "diffuscope.cli", *words],
                cwd=folder,
                env={**os.environ, **own, "RANK": str(rank)},
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for rank in range(count)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for process in self.processes:
            process.kill()
            process.communicate()

    def wait_for_line(self, more=1):
        """Wait until so many more lines of the log are there."""
        log = self.folder / "run" / "metrics.jsonl"

        def lines():
            return log.read_text().count("\n") if log.is_file() else 0

        begun, before = time.monotonic(), None
        while before is None or lines() < before + more:
            if before is None and (log.is_file() or time.monotonic() - begun > 1):
                before = 0 if not (self.folder / "run" / "checkpoints").is_dir() else lines()
            assert all(one.poll() is None for one in self.processes), self.ends()
            time.sleep(0.02)

    def ends(self, timeout=60.0):
        """Return exit codes and what was said."""
        return [
            (one.returncode, err) for one in self.processes for _, err in [one.communicate(None, timeout)]
        ]


def words_of(settings, *more):
    return [
        *more,
        "--no-pictures",
        "--device",
        "cpu",
        *(word for name, value in settings.items() for word in ("--set", f"{name}={value}")),
    ]


# --- parts -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("parts", [1, 2, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_branches_of_all_processes_make_up_the_tree_in_its_order(parts, size):
    vectors = torch.randn(parts, 5) * 10.0 ** torch.arange(parts)[:, None]
    alone = PartSum()
    for i in range(parts):
        alone.add(0, i, vectors[i].clone())
    shares = [own_parts(rank, size, parts) for rank in range(size)]
    assert [i for share in shares for i in share] == list(range(parts))
    together = PartSum()
    for share in shares:
        own = PartSum()
        for i in share:
            own.add(0, i, vectors[i].clone())
        assert [node[:2] for node in own.nodes] == branches(share)
        for node in own.nodes:
            together.add(*node)
    assert torch.equal(together.total, alone.total)


def test_few_examples_leave_parts_empty():
    bounds = part_bounds(3, 8)
    assert [i for one in bounds for i in range(3)[one]] == [0, 1, 2]
    assert len(bounds) == 8


def test_small_networks_and_those_of_ones_own_have_one_part():
    small, large = torch.nn.Linear(2, 2), diffuscope.networks.ResMLP(2, width=1024, depth=4)
    assert number_of_parts(small, 128, (2,)) == 1
    assert number_of_parts(large, 16, (2,)) == 1
    assert number_of_parts(large, 2**20, (2,)) == number_of_parts(large, 2**20, (2,), 4) == 8
    assert number_of_parts(large, 2**20, (2,), 16) == 16
    own = torch.nn.Sequential(large)
    assert number_of_parts(own, 2**20, (2,)) == 1
    own.per_example = True
    assert number_of_parts(own, 2**20, (2,)) == 8


# --- the same bytes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "recipe", "settings"),
    [
        ("s_curve", "fast", {**POINTS, "training.steps": 20}),
        ("frame", "table", {**LARGE, "training.steps": 3}),
        pytest.param(
            "digits",
            "digits",
            {"training.steps": 2, "network.dropout": 0.1, "sampling.steps": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_threads_and_accumulation_change_no_byte(frame, tmp_path, data, recipe, settings):
    before, found = torch.get_num_threads(), set()
    try:
        for threads, accumulate in ((1, 1), (2, 4), (4, 1)):
            torch.set_num_threads(threads)
            setup = _setup(frame if data == "frame" else data, recipe, settings, accumulate, tmp_path)
            trainer = setup.trainer()
            trainer.run()
            found.add(trainer.flat.vector.detach().numpy().tobytes())
    finally:
        torch.set_num_threads(before)
    assert len(found) == 1


def _setup(data, recipe, settings, accumulate, folder):
    from diffuscope.runs.plan import plan_new
    from diffuscope.runs.setup import Setup

    changes = {**settings, "training.accumulate": accumulate}
    planned, dataset, _ = plan_new(data, recipe, changes, folder / "run", False)
    return Setup(planned, dataset, torch.device("cpu"))


SCRIPT = """
import json, os, sys
import pandas as pd
import diffuscope
from diffuscope.metrics.features.training import SETTINGS
from diffuscope.modalities import reference
SETTINGS["epochs"] = 1
reference.DRAWN_POINTS, reference.MOST_HALVED = 300, 200
for name, (data, recipe, settings) in json.load(open("cases.json")).items():
    data = pd.read_csv(data) if data.endswith(".csv") else data
    run = diffuscope.train(
        data, recipe=recipe, settings=settings, out=f"{sys.argv[1]}/{name}", pictures=False, device="cpu"
    )
    sys.stdout.write(f"quality {name} {float(run.quality)}\\n")  # in one piece: others write as well
    sys.stdout.flush()
"""


@pytest.mark.slow
def test_one_two_three_and_four_processes_make_the_same_bytes(frame, tmp_path):
    frame.to_csv(tmp_path / "table.csv", index=False)
    small = {**LARGE, "network.width": 16, "training.steps": 40, "training.batch_size": 299}
    cases = {
        "points": ("s_curve", "fast", {**POINTS, "training.steps": 30, "training.batch_size": 32}),
        "table": ("table.csv", "table", small),
        "large": ("table.csv", "table", {**LARGE, "training.steps": 4}),
        "digits": ("digits", "digits", {"training.steps": 2, "network.dropout": 0.1, "sampling.steps": 2}),
        "sums": ("table.csv", "table", {**LARGE, "training.steps": 4, "training.exact": False}),
    }
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (tmp_path / "script.py").write_text(SCRIPT)
    for count in (1, 2, 3, 4):
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        done = subprocess.run(
            [sys.executable, *(launch if count > 1 else []), "script.py", str(count)],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        for name in cases:
            said = [line for line in done.stdout.splitlines() if line.startswith(f"quality {name} ")]
            assert len(said) == count
            assert len(set(said)) == 1
    for name in ("points", "table", "large", "digits"):
        assert len({digest(tmp_path / str(count) / name) for count in (1, 2, 3, 4)}) == 1, name
    one, two = (load_file(tmp_path / str(count) / "sums" / "model.safetensors") for count in (1, 3))
    for name, tensor in one.items():
        if name.startswith("network."):
            torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)


# --- signals and lost processes ----------------------------------------------------------------------------


@pytest.mark.slow
def test_two_then_one_then_four_processes_end_where_one_does(frame, tmp_path):
    frame.to_csv(tmp_path / "table.csv", index=False)
    words = ["train", "table.csv", "--out", "run", "--resume", "auto", "--steps", "60"]
    for count, number in ((2, signal.SIGTERM), (1, signal.SIGUSR1)):
        with Group(tmp_path, count, words_of(LARGE, *words)) as group:
            group.wait_for_line()
            told = time.monotonic()
            group.processes[-1].send_signal(number)  # one hears of it, all stop
            ends = group.ends()
            assert time.monotonic() - told < 5
            assert [code for code, _ in ends] == [128 + number] * count
            assert "--resume" in ends[0][1]
            assert list((tmp_path / "run" / "checkpoints").iterdir())
    with Group(tmp_path, 4, words_of(LARGE, *words)) as group:
        assert [code for code, _ in group.ends(120)] == [0] * 4
    straight = words_of(LARGE, "train", "table.csv", "--out", "straight", "--steps", "60")
    with Group(tmp_path, 1, straight) as group:
        assert group.ends()[0][0] == 0
    assert digest(tmp_path / "run") == digest(tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "data", "killed"),
    [(POINTS, "s_curve", 0), (POINTS, "s_curve", 2), (LARGE, "table.csv", 1), (LARGE, "table.csv", 0)],
)
def test_a_process_that_is_killed_ends_all_others_in_words(frame, tmp_path, settings, data, killed):
    frame.to_csv(tmp_path / "table.csv", index=False)
    words = words_of(settings, "train", data, "--out", "run", "--steps", "200000")
    with Group(tmp_path, 3, words) as group:
        group.wait_for_line()
        group.processes[killed].kill()
        begun = time.monotonic()
        ends = group.ends()
        assert time.monotonic() - begun < 5
    for rank, (code, err) in enumerate(ends):
        if rank != killed:
            assert code == 1
            assert "Traceback" not in err
            assert f"Error: Process {rank} of 3 lost process {killed}" in err
            assert "--resume" in err


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "data"), [(POINTS, "s_curve"), (LARGE, "table.csv")])
def test_a_process_that_stands_still_is_named_after_the_timeout(frame, tmp_path, settings, data):
    frame.to_csv(tmp_path / "table.csv", index=False)
    words = words_of(settings, "train", data, "--out", "run", "--steps", "200000")
    with Group(tmp_path, 2, words, DIFFUSCOPE_TIMEOUT="4") as group:
        group.wait_for_line()
        group.processes[1].send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        _, err = group.processes[0].communicate(None, 60)
        assert time.monotonic() - begun < 4 + 5
    assert "lost process 1: no answer for 4 seconds." in err
    assert "--resume" in err


@pytest.mark.slow
def test_torchrun_starts_again_what_was_killed(tmp_path):
    words = words_of(POINTS, "train", "s_curve", "--out", "run", "--resume", "auto", "--steps", "12000")
    words += ["--set", "training.checkpoint_every=500"]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "2"]
    started = subprocess.Popen(
        [sys.executable, *launch, "-m", "diffuscope.cli", *words],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while not list((tmp_path / "run").glob("checkpoints/step_*")):
            assert started.poll() is None, started.communicate()
            time.sleep(0.05)
        children = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(started.pid)], capture_output=True, text=True, check=True
        )
        os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
        out, err = started.communicate(timeout=120)
    finally:
        started.kill()
        started.communicate()
    assert started.returncode == 0, err
    assert "quality" in out
    run = diffuscope.load(tmp_path / "run")
    steps = [line["step"] for line in run.metrics]
    assert steps == sorted(set(steps))
    assert steps[-1] == 12000


def test_resume_auto_begins_and_goes_on(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = words_of({**POINTS, "training.steps": 20}, "train", "s_curve", "--out", "run", "--resume", "auto")
    assert cli(*words)[0] == 0
    code, out, _ = cli(*words)
    assert code == 0
    assert "run" in out
    (tmp_path / "run" / "summary.json").unlink()  # as if it had been stopped at its end
    code, _, err = cli(*words, "--steps", "10")
    assert code == 2
    assert "run has been trained for 20 steps, which is not less than 10." in err
    assert "--steps" in err
    assert cli(*words)[0] == 0  # measures again
    code, _, err = cli("train", "s_curve", "--resume", "auto")
    assert code == 2
    assert "--out" in err
