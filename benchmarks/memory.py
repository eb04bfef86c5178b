"""How much memory does sampling into a file take, and does it grow with the number of points?

``diffuscope sample`` runs in a process of its own, whose peak resident size the system reports. Target: a
memory that does not grow with the number of points, at most 4 GiB at 10 million. More steps take more time,
not more memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from report import parser, publish, table

import diffuscope

MIB = 1024**2 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, KiB elsewhere


# A process counts its starter's memory as its own until it runs its own program, so that a child of this one
# would seem to need what torch takes here: a small process in between starts it and reports.
BETWEEN = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def sample(run: Path, n: int, out: Path, *more: str) -> tuple[float, float]:
    """Sample n points in a process of its own; return its peak in MiB and its seconds."""
    begun = perf_counter()
    words = [sys.executable, "-m", "diffuscope.cli", "sample", str(run), "-n", str(n), "-o", str(out), *more]
    said = subprocess.run(
        [sys.executable, "-c", BETWEEN, *words], check=True, stdout=subprocess.PIPE, text=True
    )
    return int(said.stdout) / MIB, perf_counter() - begun


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--n", type=int, nargs="+", default=[10_000, 200_000], help="points")
    arguments.add_argument("--sampler", help="a sampler's name; the run's by default")
    arguments.add_argument("--steps", help="steps of the sampler; the run's by default")
    arguments.add_argument("--training-steps", type=int, help="of the model; the recipe's by default")
    arguments.add_argument("--formats", nargs="+", default=["npy", "csv"])
    options = arguments.parse_args()

    more = [f"--{name}={getattr(options, name)}" for name in ("sampler", "steps") if getattr(options, name)]
    rows, peaks = [], []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        diffuscope.train("s_curve", out=run, steps=options.training_steps, pictures=False, progress=False)
        for suffix in options.formats:
            for n in options.n:
                out = Path(folder) / f"samples.{suffix}"
                peak, seconds = sample(run, n, out, *more)
                peaks.append(peak)
                size = out.stat().st_size / 1024**2
                out.unlink()
                rows.append(
                    [f"{n:,}", f".{suffix}", f"{size:.1f} MiB", f"{peak:.0f} MiB", f"{seconds:.1f} s"]
                )
                print(" | ".join(rows[-1]), flush=True)
    head = ["points", "format", "file", "peak memory of the process", "time"]
    largest, rounds = max(peaks), len(options.n)
    grown = ", ".join(
        f"{max(part) - min(part):.0f} MiB for .{suffix}"
        for i, suffix in enumerate(options.formats)
        for part in [peaks[i * rounds : (i + 1) * rounds]]
    )
    text = (
        f"\n\nFrom the least to the largest peak of a format: {grown}. Target: flat, and at most 4 GiB: "
        f"{'met' if largest <= 4096 else 'NOT met'} ({largest / 1024:.2f} GiB)."
    )
    publish("memory", table(head, rows) + text, options.write)


if __name__ == "__main__":
    main()
