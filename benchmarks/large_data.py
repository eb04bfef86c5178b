"""What does data cost that is larger than memory? Resident memory, work before the first step, and a step.

Files are made of a mixture of Gaussians, or of eight kinds of columns, in a folder of their own. Trainings
run in processes of their own, whose memory is read from the system while they run: all that is resident,
files that are mapped among it, and what is private to them. Targets: a .npy file of 10 GB trains within
1.5 GiB, by
two processes within 2 GiB of private memory together; a step on 50 million rows costs at most 1.2 of one on
10,000; a Parquet file of 3 million rows of 8 columns takes at most 1.5 GiB and 15 s of a processor's work
before the first step; a table of 300,000 rows of 20 columns is fitted, sampled and evaluated within 3 GiB.
"""

from __future__ import annotations

import io
import os
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from report import parser, publish, table

CLI = [sys.executable, "-m", "diffuscope.cli"]
RANKS = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
GIB = 2**30
BLOCK = 2**20


def write_points(path: Path, n: int, d: int) -> Path:
    """Write n points (n, d), float32, of three clusters."""
    from diffuscope.packing.writing import Growing

    random = np.random.default_rng(0)
    with Growing(path) as file:
        for start in range(0, n, BLOCK):
            some = min(BLOCK, n - start)
            middle = 2 * random.integers(0, 3, (some, 1)).astype(np.float32)
            file.append(middle + 0.3 * random.standard_normal((some, d), dtype=np.float32))
    return path


def write_parquet(path: Path, n: int, width: int) -> Path:
    """Write n rows of whole numbers, numbers, categories, truth values and dates, some of them missing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random, writer = np.random.default_rng(0), None
    cities = np.array(["Oslo", "Lima", "Bonn", "Pune", "Kyiv", "Wuhan", "Lyon", "Turin"])
    for start in range(0, n, BLOCK // 2):
        m = min(BLOCK // 2, n - start)
        columns = {}
        for k in range(-(-width // 8)):
            age = random.integers(18, 95, m)
            columns |= {
                f"age{k}": age.astype(np.int32),
                f"income{k}": np.round(np.exp(random.normal(10, 0.6, m) + age / 100), 2),
                f"city{k}": cities[random.integers(0, 8, m)],
                f"member{k}": random.random(m) < 0.3,
                f"score{k}": pa.array(random.normal(size=m).astype(np.float32), mask=random.random(m) < 0.1),
                f"visits{k}": random.poisson(3, m),
                f"when{k}": (np.datetime64("2020-01-01") + random.integers(0, 1500, m)).astype("M8[D]"),
                f"kind{k}": np.array(list("abcd"))[random.integers(0, 4, m)],
            }
        some = pa.table(dict(list(columns.items())[:width]))
        writer = writer or pq.ParquetWriter(path, some.schema)
        writer.write_table(some)
    writer.close()
    return path


def write_tar(path: Path, n: int) -> Path:
    """Write n images of 32 × 32 pixels as PNG, in ten folders of a .tar file."""
    random = np.random.default_rng(0)
    with tarfile.open(path, "w") as archive:
        for k in range(n):
            content = io.BytesIO()
            small = random.integers(0, 256, (4, 4, 3), dtype=np.uint8)
            Image.fromarray(small).resize((32, 32)).save(content, "PNG")
            entry = tarfile.TarInfo(f"{k % 10}/{k}.png")
            entry.size = content.tell()
            content.seek(0)
            archive.addfile(entry, content)
    return path


def write_csv(path: Path, n: int) -> Path:
    """Write n rows of four columns as text."""
    random = np.random.default_rng(0)
    for start in range(0, n, BLOCK):
        m = min(BLOCK, n - start)
        frame = pd.DataFrame(
            {
                "age": random.integers(18, 95, m),
                "income": random.lognormal(10, 0.6, m).round(2),
                "city": random.choice(["Oslo", "Lima", "Bonn"], m),
                "score": random.normal(size=m).round(4),
            }
        )
        frame.to_csv(path, mode="a", header=start == 0, index=False)
    return path


def watched(words: list[str]) -> dict[str, float]:
    """Run a command; return its seconds, and the peaks of its processes together, in GiB."""
    begun = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    peaks = {"resident": 0.0, "private": 0.0, "largest": 0.0}
    while process.poll() is None:
        found = [memory(pid) for pid in family(process.pid)]
        peaks["resident"] = max(peaks["resident"], sum(one[0] for one in found))
        peaks["largest"] = max(peaks["largest"], *(one[0] for one in found), 0.0)
        peaks["private"] = max(peaks["private"], sum(one[1] for one in found))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(process.stderr.read())
    return {**peaks, "seconds": time.perf_counter() - begun}


def family(pid: int) -> list[int]:
    """Return a process and all below it that run diffuscope."""
    found, look = [], [pid]
    while look:
        one = look.pop()
        try:
            words = Path(f"/proc/{one}/cmdline").read_text()
            look += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())
        except OSError:
            continue
        if "diffuscope" in words and "torch.distributed.run" not in words:
            found.append(one)
    return found


def memory(pid: int) -> tuple[float, float]:
    """Return resident and private memory of a process in GiB."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0, 0.0
    sizes = {
        key: int(size) * 1024 / GIB for key, size in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)
    }
    return sizes.get("Rss", 0.0), sizes.get("Private_Clean", 0.0) + sizes.get("Private_Dirty", 0.0)


def train(source: Path, out: Path, *more: str, ranks: bool = False) -> dict[str, float]:
    """Train on a file; return what it took."""
    command = [*RANKS, "-m", "diffuscope.cli"] if ranks else CLI
    return watched([*command, "train", str(source), "--out", str(out), *more])


def step_times(large: Path, small: Path, steps: int) -> tuple[float, float]:
    """Return the medians of milliseconds of a step on both, taken in turns."""
    from diffuscope.runs.plan import plan_new
    from diffuscope.runs.setup import Setup

    torch.set_num_threads(1)
    trainers = []
    for path in (large, small):
        recipe, data, _ = plan_new(path, "fast", {}, "none")
        trainers.append(Setup(recipe, data, torch.device("cpu")).trainer())
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(15):
        for trainer, found in zip(trainers, times, strict=True):
            goal = trainer.step + steps
            trainer.settings = trainer.settings.model_copy(update={"steps": goal})
            begun = time.process_time()
            trainer.run()
            found.append((time.process_time() - begun) / steps * 1e3)
    return statistics.median(times[0][1:]), statistics.median(times[1][1:])


BEFORE = """
import resource, sys, time
import torch
from diffuscope.modalities.recognition import modality
from diffuscope.runs.plan import plan_new
from diffuscope.runs.setup import Setup
recipe, data, _ = plan_new(sys.argv[1], None, {}, "none")
setup = Setup(recipe, data, torch.device("cpu"))
setup.fingerprint()
modality(data.kind).training_notes(data)
next(setup.batches.chunks(0, 1))
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20)
"""


def before_the_first_step(source: Path) -> tuple[float, float]:
    """Return seconds of a processor's work and GiB until a training could begin, in a process of its own."""
    between = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:]).returncode)"
    words = [sys.executable, "-c", between, sys.executable, "-c", BEFORE, str(source)]
    seconds, peak = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return float(seconds), float(peak)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--gigabytes", type=float, default=10.0, help="of the .npy file")
    arguments.add_argument("--rows", type=int, default=50_000_000, help="of the points whose steps are timed")
    arguments.add_argument("--table-rows", type=int, default=3_000_000, help="of the Parquet file")
    arguments.add_argument("--images", type=int, default=100_000, help="of the .tar file that is packed")
    arguments.add_argument("--csv-rows", type=int, default=10_000_000, help="of the .csv file that is packed")
    arguments.add_argument("--parts", nargs="+", default=["npy", "ranks", "steps", "parquet"])
    options = arguments.parse_args()
    rows: list[list[str]] = []

    def add(what: str, memory: str, seconds: str, target: str, met: bool) -> None:
        rows.append([what, memory, seconds, target, "met" if met else "NOT met"])
        print(" | ".join(rows[-1]), flush=True)

    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        place = Path(folder)
        if {"npy", "ranks"} & set(options.parts):
            n = int(options.gigabytes * 1e9 / 64)
            big = write_points(place / "big.npy", n, 16)
            size = f".npy of {options.gigabytes:g} GB, {n:,} × 16"
            if "npy" in options.parts:
                took = train(big, place / "one", "--recipe", "fast")
                peak = took["largest"]
                add(f"{size}, trained", f"{peak:.2f} GiB", f"{took['seconds']:.0f} s", "1.5 GiB", peak <= 1.5)
            if "ranks" in options.parts:
                took = train(big, place / "two", "--recipe", "fast", ranks=True)
                peak = took["private"]
                text = f"{peak:.2f} GiB private together"
                add("the same, two processes", text, f"{took['seconds']:.0f} s", "2 GiB", peak <= 2)
            big.unlink()
        if "steps" in options.parts:
            large = write_points(place / "large.npy", options.rows, 2)
            small = write_points(place / "small.npy", 10_000, 2)
            long, short = step_times(large, small, 128)
            text = f"{long:.2f} ms, {short:.2f} ms on 10,000"
            add(f"a step on {options.rows:,} × 2", "", text, "1.2 times", long <= 1.2 * short)
            large.unlink()
        if "parquet" in options.parts:
            path = write_parquet(place / "large.parquet", options.table_rows, 8)
            seconds, peak = before_the_first_step(path)
            what = f"Parquet, {options.table_rows:,} × 8, before the first step"
            good = seconds <= 15 and peak <= 1.5
            add(what, f"{peak:.2f} GiB", f"{seconds:.1f} s of work", "1.5 GiB, 15 s", good)
        if "table" in options.parts:
            path, run = write_parquet(place / "table.parquet", 300_000, 20), place / "table"
            for what, words in (
                ("fitted", ["train", str(path), "--out", str(run)]),
                (
                    "300,000 rows sampled",
                    ["sample", str(run), "-n", "300000", "-o", str(place / "s.parquet")],
                ),
                ("evaluated", ["evaluate", str(run)]),
            ):
                took = watched([*CLI, *words])
                peak = took["largest"]
                name = f"Parquet, 300,000 × 20, {what}"
                add(name, f"{peak:.2f} GiB", f"{took['seconds']:.0f} s", "3 GiB", peak <= 3)
        if "pack" in options.parts:
            for source in (
                write_tar(place / "images.tar", options.images),
                write_csv(place / "rows.csv", options.csv_rows),
            ):
                took = watched([*CLI, "pack", str(source), "--out", str(place / f"{source.stem}-packed")])
                size = source.stat().st_size / 1e9
                what = f"`pack` of {source.name}, {size:.2f} GB"
                peak = took["largest"]
                add(what, f"{peak:.2f} GiB", f"{took['seconds']:.0f} s", "1.5 GiB", peak <= 1.5)
    text = table(["what", "peak memory", "time", "target", ""], rows)
    alone = {"table": "large tables", "pack": "packing"}  # sections of their own
    section = alone.get(options.parts[0], "large data") if len(options.parts) == 1 else "large data"
    publish(section, text, options.write)


if __name__ == "__main__":
    main()
