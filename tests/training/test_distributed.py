"""Do several processes train the model that one would, and does only one of them write and speak?"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

import diffuscope
from diffuscope.errors import InputError
from diffuscope.model import pick_device
from diffuscope.training import World, join_world
from diffuscope.training.parts import PartSum
from diffuscope.training.peers import Peers, meet


def test_alone_the_world_does_nothing(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    world = join_world(torch.device("cpu"))
    assert world == World(0, 1)
    assert world.is_main
    x = torch.ones(2)
    world.copy_first_(x)
    world.wait()
    assert x.tolist() == [1.0, 1.0]
    assert world.agree(3, 0) == [3, 0]
    assert world.text("runs/one") == "runs/one"


def torchrun(count, words, folder, timeout=180):
    """Run ``python WORDS`` in as many processes; return what they said."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    done = subprocess.run(
        [sys.executable, *launch, *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def together(tmp_path_factory, tiny_words):
    """Train with two processes; return what they said, and where they worked."""
    folder = tmp_path_factory.mktemp("together")
    words = [*tiny_words, "--set", "training.batches=shuffled", "--set", "training.batch_size=299"]
    words = ["-m", "diffuscope.cli", "train", "s_curve", "--device", "cpu", *words]
    return torchrun(2, words, folder, timeout=60), folder


def test_two_processes_end_with_the_weights_of_one(together, tmp_path):
    # Batches of 299 of 300 points: the second batch of an epoch has one point, and one process none.
    _, folder = together
    recipe = folder / "runs" / "s_curve" / "recipe.toml"
    alone = diffuscope.train("s_curve", recipe=recipe, out=tmp_path / "alone", pictures=False, device="cpu")
    weights = load_file(folder / "runs" / "s_curve" / "model.safetensors")
    expected = load_file(alone.path / "model.safetensors")
    assert weights.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(weights[name], tensor)
    losses = [line["loss"] for line in alone.metrics]
    assert [line["loss"] for line in diffuscope.load(folder / "runs" / "s_curve").metrics] == losses


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "noise"), [(2, "host"), (3, "host"), (2, "device")])
def test_masks_and_dropout_do_not_depend_on_the_number_of_processes(tmp_path, processes, noise):
    r = np.random.default_rng(0)
    table = pd.DataFrame(
        {"a": r.normal(size=301), "b": r.integers(0, 4, 301), "c": r.choice(["x", "y"], 301)}
    )
    table.loc[::7, "a"] = np.nan
    table.to_csv(tmp_path / "table.csv", index=False)
    settings = ["network.width=16", "network.dropout=0.2", "training.steps=40", "training.batch_size=299"]
    settings.append(f"training.noise={noise}")
    words = ["train", "table.csv", "--no-pictures", "--device", "cpu", "--set", "data.refine=false"]
    words += [word for one in settings for word in ("--set", one)]
    weights = []
    for count in (1, processes):
        torchrun(count, ["-m", "diffuscope.cli", *words, "--out", f"run{count}"], tmp_path)
        weights.append(load_file(tmp_path / f"run{count}" / "model.safetensors"))
    for name, tensor in weights[0].items():
        assert torch.equal(weights[1][name], tensor)


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others_in_words(tmp_path, tiny_words):
    words = [
        *tiny_words,
        "--set",
        "training.steps=200000",
        "--out",
        "run",
        "--no-pictures",
        "--device",
        "cpu",
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    first, second = (
        subprocess.Popen(
            [sys.executable, "-m", "diffuscope.cli", "train", "s_curve", *words],
            cwd=tmp_path,
            env={**os.environ, **world, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(2)
    )
    log = tmp_path / "run" / "metrics.jsonl"
    try:
        while not (log.is_file() and log.stat().st_size):
            assert first.poll() is None, first.communicate()
            time.sleep(0.1)
        second.kill()
        _, err = first.communicate(timeout=60)
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()
    assert first.returncode == 1
    assert "Error: Process 0 of 2 lost process 1" in err
    assert "--resume" in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_all_processes_of_a_script_return_with_the_run_when_it_is_whole(tmp_path):
    settings = {"data.size": 300, "network.width": 8, "training.steps": 20, "sampling.steps": 4}
    script = f"""
import sys
import diffuscope
run = diffuscope.train("s_curve", settings={settings}, out="run", device="cpu", pictures=False)
sys.stdout.write(f"quality {{float(run.quality):.9f}}\\n")
"""
    (tmp_path / "script.py").write_text(script)
    done = torchrun(2, ["script.py"], tmp_path, timeout=120)
    first, second = (line for line in done.stdout.splitlines() if line.startswith("quality"))
    assert first == second


def test_each_process_of_several_has_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.setenv("LOCAL_RANK", "2")
    for name in ("auto", "cuda"):
        assert pick_device(name) == torch.device("cuda", 2)
    monkeypatch.setenv("LOCAL_RANK", "3")
    with pytest.raises(InputError, match="3 GPUs"):
        pick_device("cuda")


def test_between_gpus_gradients_go_over_nccl_and_all_else_over_gloo(monkeypatch):
    from torch.testing._internal.distributed import fake_pg  # noqa: F401  (makes the backend "fake")

    init = dist.init_process_group
    asked, bound = [], []

    def fake_init(backend, *, device_id, **options):
        asked.append((backend, device_id))
        init("fake", **options)

    def fake_group(*, backend, timeout):  # the default one: a group waits for the others when it is made
        asked.append((backend, None))

    store = dist.TCPStore("127.0.0.1", 0, is_master=True)
    module = sys.modules["torch.distributed.rendezvous"]
    monkeypatch.setattr(module, "rendezvous", lambda *_, **__: [(store, 0, 2)])
    monkeypatch.setattr(dist, "init_process_group", fake_init)
    monkeypatch.setattr(dist, "new_group", fake_group)
    monkeypatch.setattr("torch.cuda.set_device", bound.append)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    other = threading.Thread(target=meet, args=(store.clone(), 1, 2, 10.0))
    other.start()
    device = torch.device("cuda", 0)
    try:
        world = join_world(device)
        other.join()
        assert asked == [("nccl", device), ("gloo", None)]
        assert bound == [device]
        assert (world.rank, world.size) == (0, 2)
        assert join_world(device) is world
        x = torch.ones(3)
        world.begin_sum(x)()
        world.copy_first_(x)
        total = PartSum()
        total.add(0, 0, x)
        assert world.sum_parts(total, 2, x).shape == (3,)
    finally:
        world.peers.close()
        dist.destroy_process_group()


@pytest.mark.parametrize("said", ["soon", "1", "-3"])
def test_a_timeout_is_a_number_of_seconds(monkeypatch, said):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("DIFFUSCOPE_TIMEOUT", said)
    with pytest.raises(InputError, match="DIFFUSCOPE_TIMEOUT"):
        join_world(torch.device("cpu"))


def test_processes_that_do_not_come_are_missed():
    store = dist.TCPStore("127.0.0.1", 0, is_master=True)
    with pytest.raises(TimeoutError):
        meet(store, 0, 2, 0.1)


def test_the_words_of_an_earlier_start_are_not_heard():
    store = dist.TCPStore("127.0.0.1", 0, is_master=True)
    words = []
    for _ in range(2):
        with ThreadPoolExecutor(3) as pool:
            heard = list(pool.map(lambda rank: meet(store.clone(), rank, 3, 10.0), (2, 1, 0)))
        assert len(set(heard)) == 1
        words += heard[:1]
    assert words[0] != words[1]


@pytest.mark.parametrize(("rank", "lost"), [(0, "lost torchrun"), (1, "lost process 0: it ended")])
def test_a_store_that_ended_is_torchruns_or_the_first_processs(rank, lost):
    class Ended:
        def __getattr__(self, name):
            raise RuntimeError("connection reset")

    peers = object.__new__(Peers)
    peers.rank, peers.size, peers.timeout, peers.lost = rank, 2, 10.0, False
    peers._store, peers._hint = Ended(), "Start all again."
    peers._seen = {}
    assert f"Process {rank} of 2 {lost}" in str(peers.error())


def test_only_one_process_writes_and_speaks(together):
    done, folder = together
    assert [path.name for path in (folder / "runs").iterdir()] == ["s_curve"]
    run = diffuscope.load(folder / "runs" / "s_curve")
    assert run.summary["processes"] == 2
    steps = [line["step"] for line in run.metrics]
    assert len(steps) == len(set(steps))
    assert done.stdout.count("quality ") == 1
    assert done.stdout.count("\n") == 6
    assert "Error" not in done.stderr
    assert "Warning" not in done.stderr
    assert "training" not in done.stderr
