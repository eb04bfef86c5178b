"""What is left when a process is killed at any moment? The old file or the new one, whole.

    python benchmarks/kills.py [--kills 60] [--seed 0]

Real processes are really killed (SIGKILL), at random moments of four jobs: training on points, training on a
table, sampling into a file that is there already, filling a table into one. A training that was killed goes
on with ``--resume``; at the end its model must have the bytes of one that was never killed. A file that was
being written must be the old one or the new one, byte for byte, after each kill. No temporary file may be
left once a job has come to its end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import diffuscope
from diffuscope.cli import main as command_line

TRAIN = [
    "--no-pictures",
    "--steps",
    "1200",
    "--set",
    "training.checkpoint_every=20",
    "--set",
    "network.width=32",
]
ROWS, STEPS = 100_000, 200  # of the file of samples, and for each row that is filled


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(words: list[str]) -> int:
    """Start a command in a process of its own, a copy of this one: that saves loading torch each time."""
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    code = 9
    try:
        command_line(words)
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        os._exit(code)  # nothing of this process is to run in the copy


def finish(words: list[str]) -> float:
    """Run a command to its end; return the seconds it took."""
    begun = time.perf_counter()
    _, status = os.waitpid(start(words), 0)
    assert status == 0, words
    return time.perf_counter() - begun


def kill(words: list[str], after: float) -> bool:
    """Start a command and kill it after some seconds; return whether it was still there."""
    child = start(words)
    until = time.perf_counter() + after
    while time.perf_counter() < until:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.0002)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def temporary(folder: Path) -> int:
    return sum(1 for path in folder.rglob(".diffuscope-*"))


def kill_training(data: list[str], folder: Path, kills: int, chance: random.Random) -> tuple[int, int, int]:
    """Kill a training again and again; return kills, wrong bytes, temporary files."""
    finish(["train", *data, *TRAIN, "--out", str(folder / "whole")])
    took = finish(["train", *data, *TRAIN, "--out", str(folder / "again")])
    whole = digest(folder / "whole" / "model.safetensors")
    wrong = int(digest(folder / "again" / "model.safetensors") != whole)
    done, round_ = 0, 0
    while done < kills:
        round_ += 1
        out = folder / f"killed-{round_}"
        while not (out / "summary.json").exists():
            resume = ["--resume", "--no-pictures"] if (out / "recipe.toml").exists() else []
            if done < kills:
                done += kill(["train", *([] if resume else [*data, *TRAIN]), *resume, "--out", str(out)],
                             chance.uniform(0, 0.5 * took))  # fmt: skip
            else:
                finish(["train", *([] if resume else [*data, *TRAIN]), *resume, "--out", str(out)])
        wrong += digest(out / "model.safetensors") != whole
    return done, wrong, temporary(folder)


def kill_writing(words: list[str], out: Path, kills: int, chance: random.Random) -> tuple[int, int, int]:
    """Kill the writing of a file again and again; return kills, files that are neither, temporary ones."""
    took = finish([*words, "-o", str(out)])
    new = digest(out)
    done = wrong = 0
    while done < kills:
        out.write_text("old")
        killed = kill([*words, "-o", str(out), "--force"], chance.uniform(0, took))
        done += killed
        wrong += out.read_bytes() != b"old" and digest(out) != new
    finish([*words, "-o", str(out), "--force"])
    wrong += digest(out) != new
    return done, wrong, temporary(out.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp())
    try:
        sys.exit(run(folder, options.kills, random.Random(options.seed)))
    finally:
        shutil.rmtree(folder)


def run(folder: Path, kills: int, chance: random.Random) -> bool:
    """Kill all jobs so often in all; print what was left and return whether anything was wrong."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"x": rng.normal(size=900), "n": rng.integers(0, 9, 900), "c": rng.choice(list("abc"), 900)}
    )
    table.to_csv(folder / "table.csv", index=False)
    table.mask(rng.random(table.shape) < 0.3).to_csv(folder / "holes.csv", index=False)
    points = str(folder / "points" / "whole")
    rows = str(folder / "rows" / "whole")
    share = -(-kills // 4)
    jobs: dict[str, Callable[[], tuple[int, int, int]]] = {
        "training on points": lambda: kill_training(
            ["s_curve", "--size", "2000"], folder / "points", share, chance
        ),
        "training on a table": lambda: kill_training(
            [str(folder / "table.csv")], folder / "rows", share, chance
        ),
        "sampling into a file": lambda: kill_writing(
            ["sample", points, "-n", str(ROWS), "--steps", "3"], folder / "s" / "x.csv", share, chance
        ),
        "filling a table": lambda: kill_writing(
            ["impute", rows, str(folder / "holes.csv"), "--steps", str(STEPS)],
            folder / "i" / "x.csv",
            share,
            chance,
        ),
    }
    print(f"{'job':<22} {'kills':>6} {'wrong':>6} {'left over':>10}")
    bad = False
    begun = time.perf_counter()
    # What is first used by a copy of this process would be set up in each of them.
    diffuscope.train("s_curve", out=folder / "first", steps=1, settings={"data.size": 9}, pictures=False)
    for name, job in jobs.items():
        done, wrong, left = job()
        print(f"{name:<22} {done:>6} {wrong:>6} {left:>10}", flush=True)
        bad |= bool(wrong or left)
    print(f"in {time.perf_counter() - begun:.0f} s")
    return bad


if __name__ == "__main__":
    main()
