"""Does a run that is told to stop leave a checkpoint, whoever says so, and the exit code that is expected?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from diffuscope.signals import Stopped, exit_code, noted, stop_by_signals, stopped_by, words_of

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1]
EITHER = [  # in a process of its own; both are noted and handled alike in this one, below
    pytest.param(signal.SIGTERM, id="SIGTERM"),
    pytest.param(signal.SIGHUP, id="SIGHUP", marks=pytest.mark.slow),
    pytest.param(signal.SIGUSR1, id="SIGUSR1", marks=pytest.mark.slow),
]


@pytest.fixture
def started(tmp_path):
    """Start the command line in a process of its own, which is gone after the test."""
    processes = []

    def start(words, **more):
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", "diffuscope", *words],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **more,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_until_it_trains(run, process):
    for _ in range(600):
        log = run / "metrics.jsonl"
        if log.is_file() and log.stat().st_size:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    raise AssertionError("no training")


@pytest.mark.parametrize("number", EITHER)
def test_a_run_that_is_stopped_leaves_a_checkpoint_and_the_way_on(started, tmp_path, tiny_words, number):
    words = [*tiny_words, "--set", "training.batches=shuffled", "--steps", "20000"]
    process = started(["train", "s_curve", "--out", "run", *words])
    wait_until_it_trains(tmp_path / "run", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out == ""
    steps = [int(path.stem[5:]) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    command = "diffuscope train --out run --resume"
    assert err == f"Stopped by {number.name} at step {max(steps)}; resume with: {command}\n"
    assert not list((tmp_path / "run").rglob(".diffuscope*"))


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_stops_nothing(started, tmp_path, tiny_words):
    words = ["train", "s_curve", "--out", "run", *tiny_words, "--steps", "1500"]
    process = started(words, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_until_it_trains(tmp_path / "run", process)
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "quality" in out


@pytest.mark.parametrize("number", EITHER)
def test_a_command_that_is_stopped_leaves_no_half_file(started, tmp_path, run_dir, number):
    words = ["sample", str(run_dir), "-n", "50000000", "-o", "x.csv", "--steps", "50"]
    process = started(words)
    for _ in range(600):
        if list(tmp_path.iterdir()):
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert (out, err) == ("", f"Stopped by {number.name}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_first_signal_is_noted_and_the_second_stops(number):
    before = [signal.getsignal(one) for one in SIGNALS]
    with noted() as seen:
        assert seen() == 0
        os.kill(os.getpid(), number)
        assert seen() == number
        with pytest.raises(Stopped) as stop:
            os.kill(os.getpid(), signal.SIGTERM)
    assert stopped_by(stop.value) == signal.SIGTERM
    assert exit_code(stop.value) == 143
    assert [signal.getsignal(one) for one in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS[:2], ids=lambda number: number.name)
def test_outside_of_training_a_signal_stops_at_once(number):
    with stop_by_signals(), pytest.raises(Stopped, match=number.name):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is signal.SIG_DFL


@pytest.mark.parametrize("number", SIGNALS[:2], ids=lambda number: number.name)
def test_a_program_that_handles_a_signal_itself_keeps_it(number):
    seen = []
    before = signal.signal(number, lambda *_: seen.append(1))
    try:
        with stop_by_signals(), noted() as told:
            os.kill(os.getpid(), number)
            assert told() == 0
    finally:
        signal.signal(number, before)
    assert seen == [1]


def test_in_another_thread_nothing_is_noted():
    told = []

    def work():
        with stop_by_signals(), noted() as seen:
            told.append(seen())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [0]


@pytest.mark.parametrize(
    ("stop", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "Interrupted"),
        (Stopped("", signal.SIGTERM), 143, "Stopped by SIGTERM"),
        (Stopped("", signal.SIGHUP), 129, "Stopped by SIGHUP"),
    ],
)
def test_the_exit_code_is_128_and_the_signal(stop, code, words):
    assert exit_code(stop) == code
    assert words_of(stopped_by(stop)) == words
