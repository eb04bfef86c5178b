"""How much memory does sampling into a file take, and does it grow with the number of points?

``diffuscope sample`` runs in a process of its own, whose peak resident size the system reports. Compare
``--n 1000000`` with ``--n 10000000``: the memory should be the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from report import parser, publish, table

import diffuscope

MIB = 1024**2 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, KiB elsewhere


def sample(run: Path, n: int, out: Path) -> tuple[float, float]:
    """Sample n points in a child; return its peak in MiB and its seconds."""
    begun = perf_counter()
    words = [sys.executable, "-m", "diffuscope.cli", "sample", str(run), "-n", str(n), "-o", str(out)]
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(words)} ended with {child.returncode}")
    return usage.ru_maxrss / MIB, perf_counter() - begun


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--n", type=int, nargs="+", default=[10_000, 200_000], help="points")
    arguments.add_argument("--formats", nargs="+", default=["npy", "csv"])
    options = arguments.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        diffuscope.train("s_curve", out=run, pictures=False, progress=False)
        for suffix in options.formats:
            for n in options.n:
                out = Path(folder) / f"samples.{suffix}"
                peak, seconds = sample(run, n, out)
                size = out.stat().st_size / 1024**2
                out.unlink()
                rows.append(
                    [f"{n:,}", f".{suffix}", f"{size:.1f} MiB", f"{peak:.0f} MiB", f"{seconds:.1f} s"]
                )
    head = ["points", "format", "file", "peak memory of the process", "time"]
    publish("memory", table(head, rows), options.write)


if __name__ == "__main__":
    main()
