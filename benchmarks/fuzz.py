"""What does Diffuscope do with files that are damaged, or meant to harm?

    python benchmarks/fuzz.py [--mutations 10000] [--seed 0]

Every kind of file that Diffuscope reads is changed at random: bits are flipped, parts cut off, doubled or
set to zero, headers exchanged for those of other files or given absurd sizes, shapes, types and names, texts
given absurd settings. Models and checkpoints carry a digest that finds most of this, so half of theirs are
signed again after the change, as somebody who means harm would. Each file is then read, and a model that is
read draws two samples. Nothing but a ``DiffuscopeError`` may come of it, or what the file still says,
with memory and time within bounds.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import resource
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

import diffuscope
from diffuscope import DiffuscopeError, DiffusionModel
from diffuscope.data.columnar import read_rows, read_table, write_rows
from diffuscope.model import Model
from diffuscope.recipes import read_recipe
from diffuscope.tensors import _digest
from diffuscope.training import Checkpoints

FORMATS = Path(__file__).parents[1] / "tests" / "formats" / "0.1.0"
MOST_SECONDS = 20
MOST_BYTES = 2 * 2**30


class Kind(NamedTuple):
    """A kind of file: an example of it, what reads it, and whether it is signed."""

    name: str
    path: Path
    read: Callable[[Path], Any]
    signed: bool = False


def read_model(path: Path) -> Any:
    model = Model.load(path, device="cpu")
    model.sample(2, steps=2)
    return model


def read_estimator(path: Path) -> Any:
    model = DiffusionModel.load(path, device="cpu")
    model.set_params(sampling_steps=2)
    return model.sample(2)


def read_checkpoint(path: Path) -> Any:
    """Read as a run does that is resumed; the fingerprint is the one that the file says."""
    folder = path.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    there = folder / "step_000000032.safetensors"
    there.write_bytes(path.read_bytes())
    return Checkpoints(folder, FINGERPRINT).load_last()


def read_run(name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        folder = path.parent / "run"
        folder.mkdir(exist_ok=True)
        (folder / "model.safetensors").write_bytes((FORMATS / "points" / "model.safetensors").read_bytes())
        (folder / name).write_bytes(path.read_bytes())
        run = diffuscope.load(folder, device="cpu")
        return run.quality if name == "summary.json" else run.metrics

    return read


FINGERPRINT = re.search(
    rb'"fingerprint":"(\w+)"', next((FORMATS / "points" / "checkpoints").glob("*")).read_bytes()
)[1].decode()


def kinds(folder: Path) -> list[Kind]:
    """Return all kinds of files, with examples of those that are no part of a run."""
    frame = pd.DataFrame(
        {
            "a": np.arange(40.0),
            "b": np.arange(40) % 7,
            "c": list("wxyz") * 10,
            "d": pd.date_range("2024", periods=40),
        }
    )
    numbers = frame[["a", "b"]]
    for name, table in (("t.csv", frame), ("t.parquet", frame), ("n.npy", numbers), ("n.npz", numbers)):
        write_rows(folder / name, table)
    points, table = FORMATS / "points", FORMATS / "table"
    checkpoint = next((points / "checkpoints").glob("*"))
    return [
        Kind("model of points", points / "model.safetensors", read_model, True),
        Kind("model of a table", table / "model.safetensors", read_estimator, True),
        Kind("checkpoint", checkpoint, read_checkpoint, True),
        Kind(
            "recipe.toml", points / "recipe.toml", lambda path: read_recipe(path).make_denoiser(2, empty=True)
        ),
        Kind("summary.json", points / "summary.json", read_run("summary.json")),
        Kind("metrics.jsonl", points / "metrics.jsonl", read_run("metrics.jsonl")),
        Kind("data.csv", folder / "t.csv", read_rows),
        Kind("data.parquet", folder / "t.parquet", read_rows),
        Kind("data.npy", folder / "n.npy", read_table),
        Kind("data.npz", folder / "n.npz", read_table),
    ]


# --- changes -----------------------------------------------------------------------------------------------

HUGE = [2**31, 2**53, 2**63 - 1, 2**64, 10**30, 1e308, float("inf"), float("nan")]
ABSURD = [*HUGE, 0, -1, 1, "", "../../x", None, True, [], {}, "é\x00\ud7ff", "[" * 999]


def change_bytes(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Change a file without looking at what it means."""
    data = bytearray(data)
    way = chance.randrange(8)
    at = chance.randrange(len(data))
    if way == 0:
        data[at] ^= 1 << chance.randrange(8)
    elif way == 1:
        for _ in range(chance.randrange(2, 60)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    elif way == 2:
        del data[at:]
    elif way == 3:
        data[at : at + chance.randrange(1, 200)] = b""
    elif way == 4:
        data[at:at] = data[chance.randrange(len(data)) :][: chance.randrange(1, 400)]
    elif way == 5:
        other = chance.choice(others)
        cut = chance.choice([8, 64, chance.randrange(1, 4000)])
        data[:cut] = other[:cut]
    elif way == 6:
        size = chance.choice([0, 1, 2**31, 2**40, 2**60, 2**63, 2**64 - 1])
        data[: chance.choice([8, 8, 4])] = size.to_bytes(8, "little")
    else:
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    return bytes(data)


def change_value(value: Any, chance: random.Random) -> Any:
    """Change one place somewhere in plain data."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(list(value))
        changed = dict(value)
        what = chance.random()
        if what < 0.1:
            del changed[key]
        elif what < 0.2:
            changed[chance.choice(["../../../tmp/x", "", "a" * 5000, key + "\x00"])] = changed.pop(key)
        else:
            changed[key] = change_value(value[key], chance)
        return changed
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        what = chance.random()
        if what < 0.15:
            return value[:at] + value[at + 1 :]
        if what < 0.3:
            return value + value * chance.randrange(1, 50)
        return [*value[:at], change_value(value[at], chance), *value[at + 1 :]]
    if isinstance(value, int | float) and not isinstance(value, bool) and chance.random() < 0.5:
        return value * chance.choice([-1, 0, 2, 1000, 10**12])
    return chance.choice(ABSURD)


def change_text(text: str, chance: random.Random) -> str:
    """Change numbers and words of a text."""
    words = list(re.finditer(r"[\w.+-]+", text))
    for word in chance.sample(words, min(len(words), chance.randrange(1, 4))):
        text = text.replace(word[0], str(chance.choice([*ABSURD, word[0] * 9, "-" + word[0]])), 1)
    return text


def change_signed(data: bytes, chance: random.Random) -> bytes:
    """Change what a safetensors file says, and sign it again where it still is one."""
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), bytearray(data[8 + length :])
    way = chance.randrange(4)
    if way == 0:
        name = chance.choice([key for key in header if key != "__metadata__"])
        header[name] = change_value(header[name], chance)
    elif way == 1:
        text = header["__metadata__"]
        key = chance.choice([key for key in text if key != "sha256"])
        try:
            text[key] = json.dumps(change_value(json.loads(text[key]), chance))
        except ValueError:
            text[key] = change_text(text[key], chance)
    elif way == 2:
        header = change_value(header, chance)
    else:
        numbers = np.frombuffer(bytes(body[: len(body) // 4 * 4]), np.float32).copy()
        where = [chance.randrange(len(numbers)) for _ in range(20)]
        numbers[where] = chance.choice([np.nan, np.inf, 3e38, -1e30, 0.0])
        body[: 4 * len(numbers)] = numbers.tobytes()
    written = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
    signed = len(written).to_bytes(8, "little") + written + bytes(body)
    return sign(signed, header) or signed


def sign(data: bytes, header: Any) -> bytes | None:
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    try:
        tensors = load(data)
        text = {key: value for key, value in header["__metadata__"].items() if key != "sha256"}
        return save(tensors, {**text, "sha256": _digest(tensors, text)})
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError, RuntimeError, OverflowError):
        return None


def change(kind: Kind, data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """Change a file of some kind."""
    if kind.signed and chance.random() < 0.5:
        return change_signed(data, chance)
    if kind.path.suffix in (".toml", ".json", ".jsonl", ".csv") and chance.random() < 0.5:
        return change_text(data.decode(), chance).encode("utf-8", "replace")
    return change_bytes(data, chance, others)


# --- reading -----------------------------------------------------------------------------------------------


class TooSlowError(Exception):
    """A file kept a reader busy for too long."""


def too_slow(*_: object) -> None:
    raise TooSlowError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mutations", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, too_slow)
    with tempfile.TemporaryDirectory() as name:
        failures = run(Path(name), options.mutations, options.seed)
    sys.exit(bool(failures))


def run(folder: Path, mutations: int, seed: int) -> list[str]:
    """Read changed files of all kinds; print what came of it and return what should not have."""
    corpus = kinds(folder)
    originals = [kind.path.read_bytes() for kind in corpus]
    work = folder / "work"
    work.mkdir()
    for kind, data in zip(corpus, originals, strict=True):
        kind.read(_written(work, kind, data))  # unchanged it is read
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))
    outside = set(folder.iterdir())
    counts: dict[str, collections.Counter[str]] = {kind.name: collections.Counter() for kind in corpus}
    slowest, failures = 0.0, []
    for i in range(mutations):
        which = i % len(corpus)
        kind, chance = corpus[which], random.Random(f"{seed} {i}")
        path = _written(work, kind, change(kind, originals[which], chance, originals))
        begun = time.perf_counter()
        signal.alarm(MOST_SECONDS)
        try:
            kind.read(path)
            came = "read"
        except DiffuscopeError:
            came = "refused"
        except BaseException as error:
            came = "FAILED"
            failures.append(f"mutation {i} of seed {seed}, {kind.name}: {type(error).__name__}: {error}")
        signal.alarm(0)
        slowest = max(slowest, time.perf_counter() - begun)
        counts[kind.name][came] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{'kind':<20} {'refused':>8} {'read':>8} {'FAILED':>8}")
    for name, counter in counts.items():
        print(f"{name:<20} {counter['refused']:>8} {counter['read']:>8} {counter['FAILED']:>8}")
    print(
        f"{mutations:,} files; the slowest took {slowest:.2f} s, memory grew by "
        f"{(peak - before) / 1024:.0f} MiB, files written elsewhere: {len(set(folder.iterdir()) - outside)}"
    )
    for failure in failures[:50]:
        print(failure[:400])
    return failures


def _written(work: Path, kind: Kind, data: bytes) -> Path:
    path = work / f"file{kind.path.suffix}"
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    main()
