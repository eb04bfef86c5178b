"""Do processes that share samples get those of one process, and do they end together in words?"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.utils import parameters_to_vector

import diffuscope
from diffuscope.runs.plan import plan_new
from diffuscope.runs.setup import Setup
from diffuscope.shares import _packed, _unpacked, among, is_first, shared

FEW = {"data.size": 300, "network.width": 8, "network.depth": 1, "training.steps": 20, "sampling.steps": 3}
TABLE = {"data.refine": False, "network.width": 16, "network.depth": 1, "training.steps": 20}


@pytest.fixture(scope="module")
def frame():
    r = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": r.normal(size=400), "b": r.integers(0, 4, 400), "c": r.choice(["x", "y"], 400)}
    )
    table["d"] = table["a"] * 2 + r.normal(size=400) / 10
    table.loc[::7, "a"] = np.nan
    return table


@contextlib.contextmanager
def processes(folder, count, *words, **env):
    """Start processes of one group, which are gone at the end of the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    own = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1", **env}
    own |= {"WORLD_SIZE": str(count)} if count > 1 else {}
    started = [
        subprocess.Popen(
            [sys.executable, *words],
            cwd=folder,
            env={**os.environ, **own, **({"RANK": str(rank)} if count > 1 else {})},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def ends(started, timeout=120.0):
    """Return exit codes, and what was printed to both streams."""
    return [(one.returncode, out, err) for one in started for out, err in [one.communicate(None, timeout)]]


# --- pieces ------------------------------------------------------------------------------------------------


class Beside:
    """One of several threads, in the place of a process."""

    def __init__(self, rank, size, board):
        self.rank, self.size, self.board = rank, size, board

    def come(self, what):
        assert set(self.gather(what.encode(), 0)) == {what.encode()}

    def gather(self, data, place):
        barrier, given = self.board
        given[self.rank] = data
        barrier.wait()
        found = [given[rank] for rank in range(self.size)]
        barrier.wait()
        return found


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_pieces_come_whole_and_in_order_to_all_and_each_is_made_once(size, count):
    board, made, found = (threading.Barrier(size, timeout=30), {}), [], {}

    def do(i):
        made.append(i)
        return torch.full((2,), i), (i, i / 3)

    def run(rank):
        with among(Beside(rank, size, board)):
            assert is_first() == (rank == 0)
            found[rank] = list(shared(do, range(count), what="numbers"))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = list(shared(do, range(count), what="numbers"))
    for rank in range(size):
        assert [rest for _, rest in found[rank]] == [rest for _, rest in alone]
        assert all(torch.equal(a, b) for (a, _), (b, _) in zip(found[rank], alone, strict=True))
    assert sorted(made) == sorted([*range(count), *(range(count) if count > 1 else [0] * size)])


def test_what_is_handed_on_is_the_same():
    value = (torch.arange(3.0, dtype=torch.float64) / 3, (1, 0.1, float("nan"), None), torch.zeros(0, 2))
    back = _unpacked(_packed(value), None)
    assert torch.equal(back[0], value[0])
    assert back[0].dtype == torch.float64
    assert repr(back[1]) == repr(value[1])
    assert back[2].shape == (0, 2)


def test_a_single_process_starts_no_group(run_dir, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    run = diffuscope.load(run_dir)
    with diffuscope.sharing() as alone:
        x = run.sample(5)
    assert (alone.rank, alone.size, alone.is_main) == (0, 1, True)
    assert np.array_equal(x, run.sample(5))
    assert not torch.distributed.is_initialized()


# --- two processes -----------------------------------------------------------------------------------------

MADE = """
import hashlib, json
import diffuscope


def made(points, table, holes):
    x = points.sample(3000, seed=2)
    yield x.tobytes()
    yield points.trajectory(2500, steps=2).tobytes()
    yield points.log_density(x[:1100], tolerance=0.01).tobytes()
    yield table.sample(2500).to_csv().encode()
    yield table.table.impute(holes)[0].to_csv().encode()
    found = diffuscope.evaluate(points, baselines=False, only=["sliced_wasserstein"])
    yield json.dumps(found.to_json()).encode()
    points.sample_to("x.npy", 5000)


def digests(*given):
    return [hashlib.sha256(one).hexdigest() for one in made(*given)]
"""
TWO = f"""
{MADE}
import os, sys
import numpy as np, pandas as pd
from diffuscope.modalities import reference
reference.DRAWN_POINTS, reference.MOST_HALVED = 300, 200
rank = int(os.environ["RANK"])
points, table = (diffuscope.load(path) for path in sys.argv[1:3])
if rank == 0:  # alone, outside of the block
    points.sample(3000)


class Failing:
    def __call__(self, context, x):
        if rank == 1:
            raise diffuscope.DiffuscopeError("a step that fails", "Mend it.")
        return x


with diffuscope.sharing() as own:
    print(*digests(points, table, pd.read_csv("holes.csv")), flush=True)
    try:
        points.sample(5000, sampler=Failing())
    except diffuscope.DiffuscopeError as error:
        print(error.what)
    print(np.array_equal(points.sample(3000), points.sample(3000)), flush=True)  # they go on together
    points.sample(3000 if own.is_main else 4000)
"""


def test_two_processes_give_what_one_gives_and_say_what_goes_wrong(run_dir, frame, tmp_path, monkeypatch):
    run = diffuscope.train(frame, out=tmp_path / "table", settings=TABLE, pictures=False, device="cpu")
    holes = pd.concat([frame] * 6, ignore_index=True).assign(a=np.nan)
    holes.to_csv(tmp_path / "holes.csv", index=False)
    (tmp_path / "two.py").write_text(TWO)
    with processes(tmp_path, 2, "two.py", run_dir, run.path) as started:
        done = ends(started)
    shared_file = (tmp_path / "x.npy").read_bytes()
    monkeypatch.chdir(tmp_path)
    own: dict[str, Any] = {}
    exec(MADE, own)
    alone = own["digests"](diffuscope.load(run_dir), run, pd.read_csv("holes.csv"))
    assert (tmp_path / "x.npy").read_bytes() == shared_file
    for rank, (code, out, err) in enumerate(done):
        lines = out.splitlines()
        assert lines[:1] == [" ".join(alone)], err
        what = "a step that fails"
        assert lines[1:] == [what if rank else f"Process 1 of 2 failed: {what}", "True"]
        assert code == 1
        assert "Process 0 came to sampling 3,000 points" in err
        assert "and process 1 to sampling 4,000 points" in err
    assert not list(tmp_path.glob(".diffuscope-*"))


# --- all commands, and all kinds ---------------------------------------------------------------------------

COMMANDS = """
import contextlib, io, json, os, sys
sys.path.insert(0, sys.argv[1])
import pytest
from conftest import diagnose_quickly, measure_little
from diffuscope.cli import main
from diffuscope.metrics.features.training import SETTINGS
SETTINGS["epochs"] = 1
patch = pytest.MonkeyPatch()
diagnose_quickly(patch), measure_little(patch)
from diffuscope.modalities import reference
reference.DRAWN_POINTS, reference.MOST_HALVED = 300, 200
for name, words in json.load(open("commands.json")).items():
    target = [f"{sys.argv[2]}/{name}"] if words[-1] == "-o" else []
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        main([*words, *target])
    print(json.dumps([name, said.getvalue()]), flush=True)
"""
RULES = {**TABLE, "data.refine": True, "data.constraints": ("a < 1.5",), "training.steps": 60}


@pytest.mark.slow
def test_commands_of_one_two_and_three_processes_write_the_same(frame, tmp_path):
    frame.to_csv(tmp_path / "table.csv", index=False)
    (tmp_path / "run.py").write_text(COMMANDS)
    labelled = {name: value for name, value in FEW.items() if name != "data.size"}
    x = np.random.default_rng(0).normal(size=(300, 2))
    kinds = {
        "points": (x, {"y": np.arange(300) % 3, "settings": labelled}),
        "table": (tmp_path / "table.csv", {"settings": RULES, "target": "c"}),
        "digits": ("digits", {"settings": {"training.steps": 2, "sampling.steps": 2}, "recipe": "digits"}),
        "moons": ("moons", {"settings": FEW}),
    }
    for name, (data, options) in kinds.items():
        diffuscope.train(data, out=tmp_path / name, pictures=False, device="cpu", **options)
    commands = {
        "points.csv": ["sample", "points", "-n", "9000", "--label", "each", "-o"],
        "points.png": ["sample", "moons", "-n", "3000", "-o"],
        "rows.csv": ["sample", "table", "-n", "4000", "-o"],
        "given.csv": ["sample", "table", "-n", "3000", "--given", "b=2", "-o"],
        "holes.csv": ["impute", "table", "table.csv", "-o"],
        "mean.csv": ["impute", "table", "table.csv", "--average", "-o"],
        "digits.npy": ["sample", "digits", "-n", "700", "-o"],
        "digits": ["vary", "digits", "digit.png", "-n", "70", "-o"],
        "moons.json": ["evaluate", "moons", "--json"],
        "table.json": ["evaluate", "table", "--json"],
        "digits.json": ["evaluate", "digits", "-n", "200", "--json"],
        "why.json": ["diagnose", "moons", "--json"],
        "whytable.json": ["diagnose", "table", "--json"],
    }
    diffuscope.load(tmp_path / "digits").sample_to(tmp_path / "digit.png", 1)
    (tmp_path / "commands.json").write_text(json.dumps(commands))
    before = {path.name for path in tmp_path.iterdir()}
    found: dict[str, set[str]] = {name: set() for name in commands}
    for count in (1, 2, 3):
        folder = tmp_path / f"of{count}"
        with processes(tmp_path, count, "run.py", Path(__file__).parents[1], folder.name) as started:
            done = ends(started, 600)
        for rank, (code, out, err) in enumerate(done):
            assert code == 0, (count, rank, err)
            said = dict(map(json.loads, out.splitlines()))
            assert list(said) == list(commands)
            assert {name for name in said if said[name]} == (set() if rank else set(said)), err
            for name, words in commands.items():
                files = [folder / name] if words[-1] == "-o" else []
                if (folder / name).is_dir():
                    files = sorted((folder / name).iterdir())
                data = b"".join(file.read_bytes() for file in files) if files else said[name].encode()
                if files or not rank:
                    found[name].add(hashlib.sha256(data).hexdigest())
        assert len(list(folder.iterdir())) == sum(words[-1] == "-o" for words in commands.values())
    assert {name: len(digests) for name, digests in found.items()} == dict.fromkeys(commands, 1)
    assert {path.name for path in tmp_path.iterdir()} == before | {"of1", "of2", "of3"}
    assert not list(tmp_path.rglob(".diffuscope-*"))


# --- lost, late and stopped --------------------------------------------------------------------------------


def _under_way(folder, started):
    """Wait until samples are being written."""
    while not list(folder.glob(".diffuscope-*")):
        assert all(one.poll() is None for one in started), ends(started)
        time.sleep(0.05)
    time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1, 2])
def test_a_process_that_is_killed_ends_all_others_in_words(run_dir, tmp_path, killed):
    words = ("-m", "diffuscope.cli", "sample", run_dir, "-n", "100000000", "-o", "x.npy")
    with processes(tmp_path, 3, *words) as started:
        _under_way(tmp_path, started)
        started[killed].kill()
        begun = time.monotonic()
        done = ends(started)
        assert time.monotonic() - begun < 5
    for rank, (code, _, err) in enumerate(done):
        if rank != killed:
            assert code == 1
            assert "Traceback" not in err
            assert f"Error: Process {rank} of 3 lost process {killed}" in err
            assert "Start all processes again." in err
    assert not (tmp_path / "x.npy").exists()
    if killed:
        assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_one_that_is_stopped_ends_all(run_dir, tmp_path):
    words = ("-m", "diffuscope.cli", "sample", run_dir, "-n", "100000000", "-o", "x.npy")
    with processes(tmp_path, 2, *words) as started:
        _under_way(tmp_path, started)
        started[1].send_signal(signal.SIGTERM)
        (code, _, err), (other, _, _) = ends(started)
    assert (code, other) == (1, 143)
    assert "Process 0 of 2 ends, as process 1 did: Stopped by SIGTERM" in err
    assert not list(tmp_path.iterdir())


ALONE = """
import os, sys, time
import diffuscope
run = diffuscope.load(sys.argv[1])
with diffuscope.sharing():
    run.sample(3000)
    if os.environ["RANK"] == "0":
        run.sample(3000)
    else:
        time.sleep(30)
"""


@pytest.mark.slow
def test_one_that_does_not_come_is_named_after_the_timeout(run_dir, tmp_path):
    (tmp_path / "alone.py").write_text(ALONE)
    with processes(tmp_path, 2, "alone.py", run_dir, DIFFUSCOPE_TIMEOUT="3") as started:
        _, err = started[0].communicate(None, 60)
    assert "Process 1 of 2 did not come to what is shared within 3 seconds, and process 0 did." in err
    assert "outside of diffuscope.sharing()" in err


# --- sums in any order -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "recipe", "settings"),
    [
        ("s_curve", "fast", {"data.size": 1000, "network.width": 1024, "training.batch_size": 256}),
        ("frame", "table", {"data.refine": False, "network.width": 1024, "training.batch_size": 256}),
        pytest.param("digits", "digits", {}, marks=pytest.mark.slow),
    ],
)
def test_sums_in_another_order_change_a_gradient_by_rounding_only(frame, tmp_path, data, recipe, settings):
    gradients = []
    for exact, accumulate in ((True, 1), (False, 1), (False, 8)):
        changes = {**settings, "network.dropout": 0.0, "training.steps": 1, "training.exact": exact}
        changes["training.accumulate"] = accumulate
        planned, dataset, _ = plan_new(
            frame if data == "frame" else data, recipe, changes, tmp_path / "run", False
        )
        trainer = Setup(planned, dataset, torch.device("cpu")).trainer()
        trainer.run()
        assert (trainer.parts > 1) == exact
        gradients.append(trainer.flat.grad.double())
        assert len(parameters_to_vector(trainer.denoiser.network.parameters())) == len(gradients[-1])
    for other in gradients[1:]:
        assert float((other - gradients[0]).norm() / gradients[0].norm()) < 1e-5
