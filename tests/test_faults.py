"""What is left when a process is killed, interrupted, or finds no room or another one at work?"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from diffuscope.errors import RunError
from diffuscope.files import sole_writer, write_text

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
KILLS = """
import kills
from diffuscope.modalities import reference
from diffuscope.modalities.tables import boosting, refinement

reference.DRAWN_POINTS, reference.MOST_HALVED, reference.DRAWS, reference.PAIRS = 300, 200, 3, 6
boosting._TREES, refinement._MOST_ROWS, refinement._DRAWN = 15, 300, 1.0
kills.ROWS, kills.STEPS = 100 * {0}, {0} // 6
kills.TRAIN += ["--steps", "{0}"]
kills.main()
"""
WORDS = [
    "--no-pictures",
    "--size",
    "500",
    "--set",
    "network.width=16",
    "--set",
    "sampling.steps=5",
    "--set",
    "training.checkpoint_every=50",
]


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def start():
    """Start a command in a process of its own."""
    started = []

    def begin(*words, **options):
        process = subprocess.Popen(
            [sys.executable, "-m", "diffuscope.cli", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def wait_for(path, process):
    begun = time.monotonic()
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - begun < 60
        time.sleep(0.005)


def leftovers(folder):
    return list(folder.rglob(".diffuscope-*"))


@pytest.mark.slow
@pytest.mark.parametrize(("steps", "kills"), [(180, 2), (1200, 15)], ids=["few", "many"])
def test_what_is_killed_at_random_moments_leaves_whole_files_and_the_same_bytes(steps, kills):
    found = subprocess.run(
        [sys.executable, "-c", KILLS.format(steps), "--kills", str(4 * kills), "--seed", "1"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), *sys.path])},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    rows = [line.split()[-3:] for line in found.stdout.splitlines()[1:5]]
    assert rows == [[str(kills), "0", "0"]] * 4  # kills, wrong bytes, files left over


def test_only_one_process_at_a_time_writes_into_a_run(tmp_path, start, cli):
    first = start("train", "s_curve", *WORDS, "--steps", 200_000, "--out", "run")
    wait_for(tmp_path / "run" / "metrics.jsonl", first)
    code, out, err = cli("train", "--out", "run", "--resume")
    assert code == 1, out + err
    assert "Error: run is in use by another process; nothing was changed." in err
    assert first.poll() is None  # it is not disturbed
    first.kill()
    first.wait()
    with sole_writer(tmp_path / "run"):  # the lock of a killed process is gone with it
        pass


def test_a_locked_folder_is_free_again_after_the_block(tmp_path):
    with sole_writer(tmp_path):
        descriptor = os.open(tmp_path, os.O_RDONLY)
        with pytest.raises(RunError, match="another process"), sole_writer(tmp_path):
            pass
        os.close(descriptor)
    assert not list(tmp_path.iterdir())
    with sole_writer(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_two_interrupts_leave_whole_files_and_a_run_to_go_on_with(tmp_path, start, cli):
    words = ["train", "s_curve", *WORDS, "--steps", 600]
    process = start(*words, "--out", "run")
    wait_for(tmp_path / "run" / "checkpoints", process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "Traceback" not in err
    assert not (tmp_path / "run" / "model.safetensors").exists()
    for again in (["train", "--out", "run", "--resume", "--no-pictures"], [*words, "--out", "whole"]):
        code, _, err = cli(*again)
        assert code == 0, err
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert models[0] == models[1]
    assert not leftovers(tmp_path)


def limited():
    resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))


@pytest.mark.slow
def test_a_training_that_finds_no_room_goes_on_once_there_is_some(tmp_path, start, cli):
    words = ["train", "s_curve", *WORDS, "--steps", 100]
    process = start(*words, "--out", "run", preexec_fn=limited)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, out + err
    assert "Error: No space left for run" in err
    assert not leftovers(tmp_path)
    for again in (["train", "--out", "run", "--resume", "--no-pictures"], [*words, "--out", "whole"]):
        code, _, err = cli(*again)
        assert code == 0, err
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert models[0] == models[1]


def test_a_place_where_nothing_can_be_written_is_said(tmp_path, cli):
    (tmp_path / "file").write_text("no folder")  # binds root too, whom permissions do not
    code, _, err = cli("train", "s_curve", *WORDS, "--steps", 20, "--out", "file/run")
    assert code == 1
    assert "Error: Cannot create the run directory file/run" in err
    assert (tmp_path / "file").read_text() == "no folder"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_process_left_beside_a_file_goes_when_it_is_written_again(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    half, other = (tmp_path / f".diffuscope-{dead.pid}-{name}" for name in ("x.csv", "y.csv"))
    half.write_text("half")
    other.write_text("half")
    write_text(tmp_path / "x.csv", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "x.csv"]
