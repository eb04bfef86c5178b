"""Does a run end with the same bytes however often, and however roughly, it was stopped on the way?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import diffuscope
from diffuscope.errors import InputError, RunError
from diffuscope.runs import execution
from diffuscope.training import Interrupted

SHUFFLED = {"training.batches": "shuffled", "training.steps": 60}  # 10 steps a chunk
STREAM = {
    "training.batches": "stream",
    "training.batch_size": 256,
    "training.steps": 700,
}  # 256 steps a chunk
ARTICLE = {
    "data.size": 300,
    "network.width": 8,
    "schedule.T": 20,
    "training.epochs": 10,
    "training.batch_size": 32,
    "sampling.steps": 4,
}


def weights(folder) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def log(folder) -> list[tuple[int, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"]) for line in lines]


def assert_same_run(one, other):
    assert weights(one) == weights(other)
    assert log(one) == log(other)
    assert (one / "recipe.toml").read_bytes() == (other / "recipe.toml").read_bytes()
    for folder in (one, other):
        assert not list(folder.rglob(".diffuscope-*"))
        assert (folder / "summary.json").is_file()


@pytest.fixture
def stop_after(monkeypatch):
    """Press Ctrl-C when the log has got its n-th line."""

    def arm(n: int) -> None:
        lines = []
        append = execution.append_text

        def append_and_stop(path, text):
            append(path, text)
            lines.append(text)
            if len(lines) == n:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(execution, "append_text", append_and_stop)

    return arm


VARIANTS = {
    "shuffled": SHUFFLED,
    "noise of the device": {**SHUFFLED, "training.noise": "device"},
    "shuffled, plain": {
        **SHUFFLED,
        "training.ema_decay": 0.0,
        "training.decay": "none",
        "training.warmup": 0.0,
    },
    "streamed, averaged, warmed up, decaying": {
        **STREAM,
        "training.ema_decay": 0.99,
        "training.warmup": 0.5,
        "training.decay": "linear",
    },
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_stopped_and_resumed_has_the_bytes_of_one_that_was_not(tiny, tmp_path, stop_after, name):
    changes = VARIANTS[name]
    whole = tiny(changes, out="whole")
    for resume in (False, True):
        stop_after(1)
        with pytest.raises(Interrupted) as stop:
            tiny(changes, out="stopped", resume=resume)
        step = log(tmp_path / "stopped")[-1][0]
        assert str(stop.value).startswith(f"Interrupted at step {step}; resume with: ")
        assert (tmp_path / "stopped" / "checkpoints" / f"step_{step:09d}.safetensors").is_file()
    resumed = tiny(changes, out="stopped", resume=True)
    assert_same_run(whole.path, resumed.path)


def test_the_article_stopped_and_resumed_has_the_bytes_of_one_that_was_not(tmp_path, stop_after):
    def train(out, **arguments):
        return diffuscope.train(
            "s_curve", recipe="article", settings=ARTICLE, out=tmp_path / out, pictures=False, **arguments
        )

    whole = train("whole")
    stop_after(3)
    with pytest.raises(Interrupted):
        train("stopped")
    assert_same_run(
        whole.path, diffuscope.train(None, out=tmp_path / "stopped", resume=True, pictures=False).path
    )


def test_a_network_with_dropout_and_buffers_resumes_to_the_same_bytes(tiny, stop_after):
    torch = pytest.importorskip("torch")

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.2), torch.nn.Linear(8, 2)
            )

        def forward(self, x, t):
            return self.layers(torch.cat([x, t[:, None].to(x)], dim=1))

    def net():
        torch.manual_seed(3)
        return Net()

    whole = tiny(SHUFFLED, out="whole", network=net())
    stop_after(2)
    with pytest.raises(Interrupted, match=r"diffuscope\.train\(\.\.\., out="):
        tiny(SHUFFLED, out="stopped", network=net())
    resumed = tiny(SHUFFLED, out="stopped", network=net(), resume=True)
    assert_same_run(whole.path, resumed.path)


@pytest.mark.slow  # another signal does so to a process in test_signals, and an interrupt to this one, above
def test_an_interrupt_ends_with_130_a_checkpoint_and_the_way_on(tmp_path, tiny_words, cli):
    out = tmp_path / "stopped run"
    words = [*tiny_words, "--set", "training.batches=shuffled", "--steps", "20000"]
    process = subprocess.Popen(
        [sys.executable, "-m", "diffuscope.cli", "train", "s_curve", "--out", str(out), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_lines(out / "metrics.jsonl", 3, process)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    steps = [int(path.stem[5:]) for path in (out / "checkpoints").iterdir()]
    assert stdout == ""
    assert stderr == (
        f"Interrupted at step {max(steps)}; resume with: diffuscope train --out '{out}' --resume\n"
    )
    assert log(out)[-1][0] == max(steps)
    assert not (out / "model.safetensors").exists()
    code, _, err = cli("sample", out, "-o", tmp_path / "x.csv")
    assert code == 2
    assert "its training has not finished" in err
    assert "--resume" in err


def wait_for_lines(path, n, process):
    begun = time.monotonic()
    while not path.exists() or path.read_bytes().count(b"\n") < n:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < 30
        time.sleep(0.005)


# One process imports everything, then forks a process for each attempt and kills it: the first ones at
# once, the others at a random moment after their first new line of the log. The last one may finish.
KILLER = """
import os, random, signal, sys, time
import torch
torch.set_num_threads(1)
import diffuscope
from diffuscope.cli import main
from diffuscope.modalities import reference
reference.DRAWN_POINTS = 300
wait = random.Random(0)
out, *words = sys.argv[1:]
diffuscope.train("s_curve", out=out + "-first", steps=1, settings={"data.size": 9}, pictures=False)

def log_time():
    try:
        return os.stat(out + "/metrics.jsonl").st_mtime_ns
    except OSError:
        return 0

killed_while_training = 0
for attempt in range(12):
    resume = ["--resume"] if os.path.exists(out + "/recipe.toml") else []
    before = log_time()
    child = os.fork()
    if child == 0:
        sys.stdout = sys.stderr
        main(["train", "s_curve", "--out", out, *words, *resume])
    done, status = 0, 0
    until = time.monotonic() + 0.02 * attempt if attempt < 4 else None
    while attempt < 11 and not done and (until is None or time.monotonic() < until):
        done, status = os.waitpid(child, os.WNOHANG)
        if log_time() != before and until is None:
            until = time.monotonic() + wait.uniform(0, 0.06)
        time.sleep(0.0005)
    if attempt == 11 and not done:
        done, status = os.waitpid(child, 0)
    if not done:
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed_while_training += until is not None and attempt >= 4
    elif status or os.path.exists(out + "/summary.json"):
        sys.exit(print(killed_while_training) or status)
"""


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_with_the_same_bytes(tiny, tmp_path, tiny_words):
    changes = {"training.batches": "shuffled", "training.steps": 1000, "training.checkpoint_every": 20}
    words = list(tiny_words)
    for key, value in changes.items():
        words += ["--set", f"{key}={value}"]
    out = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", KILLER, str(out), *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) >= 5
    assert "Traceback" not in done.stderr
    assert_same_run(tiny(changes, out="whole").path, out)


def test_a_run_killed_before_its_recipe_was_whole_can_be_started_again(tiny, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (folder / f".diffuscope-{dead.pid}-recipe.toml").write_text("half")
    assert tiny().path == folder
    assert not list(folder.rglob(".diffuscope-*"))


def test_the_temporary_files_of_a_killed_process_go_when_the_run_goes_on(stopped, tiny):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for folder in (stopped, stopped / "checkpoints"):
        (folder / f".diffuscope-{dead.pid}-x.safetensors").write_bytes(b"half")
    tiny(SHUFFLED, out="stopped", resume=True)
    assert not list(stopped.rglob(".diffuscope-*"))


def test_a_log_cut_short_by_a_kill_is_mended(tiny, tmp_path, stop_after):
    whole = tiny(SHUFFLED, out="whole")
    stop_after(3)
    with pytest.raises(Interrupted):
        tiny(SHUFFLED, out="cut")
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "loss": 0.1, "seconds": 3}\n{"step": 50, "lo')
    assert_same_run(whole.path, tiny(SHUFFLED, out="cut", resume=True).path)


def test_the_temporary_files_of_a_living_process_stay(tiny, tmp_path, stop_after):
    stop_after(1)
    with pytest.raises(Interrupted):
        tiny(SHUFFLED)
    alive = tmp_path / "run" / f".diffuscope-{os.getppid()}-somebody.csv"
    alive.write_text("being written")
    tiny(SHUFFLED, resume=True)
    assert alive.exists()


@pytest.fixture
def stopped(tiny, tmp_path, stop_after):
    stop_after(2)
    with pytest.raises(Interrupted):
        tiny(SHUFFLED, out="stopped")
    return tmp_path / "stopped"


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"data": "moons"}, "data"),
        ({"seed": 5}, "settings"),
        ({"recipe": "article"}, "settings"),
        ({"settings": {"training.learning_rate": 0.1}}, "settings"),
    ],
)
def test_resuming_with_something_else_is_refused(stopped, arguments, word):
    before = contents(stopped)
    with pytest.raises(InputError, match=f"was started with different {word}"):
        diffuscope.train(**{"data": "s_curve", **arguments}, out=stopped, resume=True, pictures=False)
    assert contents(stopped) == before


def test_resuming_on_other_points_is_refused(tiny, stop_after, tmp_path):
    points = np.random.default_rng(0).normal(size=(300, 2))
    stop_after(2)
    with pytest.raises(Interrupted):
        tiny(SHUFFLED, data=points)
    with pytest.raises(RunError, match="other data, another recipe or another seed"):
        tiny(SHUFFLED, data=points + 1, resume=True)
    finished = tiny(SHUFFLED, data=points, resume=True)
    with pytest.raises(RunError, match="other data"):
        tiny(SHUFFLED, data=points + 1, resume=True)
    assert diffuscope.load(finished.path).recipe == finished.recipe


def test_resuming_with_the_same_words_goes_on(stopped, tiny):
    assert tiny(SHUFFLED, out="stopped", resume=True, recipe="fast", seed=0).summary["steps"] == 60


def test_resuming_a_finished_run_returns_it_unchanged(tiny):
    run = tiny(SHUFFLED)
    before = contents(run.path)
    again = tiny(SHUFFLED, resume=True)
    assert contents(run.path) == before
    np.testing.assert_array_equal(again.sample(10), run.sample(10))


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(InputError, match="no run to resume"):
        diffuscope.train("s_curve", out=tmp_path / "nothing", resume=True)
    with pytest.raises(InputError, match="No run to resume"):
        diffuscope.train("s_curve", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_the_seconds_of_training_add_up_over_the_parts(tiny, stop_after):
    stop_after(3)
    with pytest.raises(Interrupted):
        tiny(SHUFFLED)
    run = tiny(SHUFFLED, resume=True)
    seconds = [line["seconds"] for line in run.metrics]
    assert seconds == sorted(seconds)
    assert run.summary["train_seconds"] >= seconds[-1] > 0
