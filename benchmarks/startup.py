"""How long until one sees something: help, lists, samples in a file, a whole training with all its pictures?

Wall time of processes of their own, start of Python included. Target: help within 0.5 s, a list within 0.3 s,
1,000 samples as a file within 2 s, a training with pictures and GIFs within 5 s, on two cores.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from report import parser, publish, table, timed

ASKED = {
    "--help": 0.5,
    "list datasets": 0.3,
    "list recipes": 0.3,
    "list samplers": 0.3,
    "train s_curve --out run": 5.0,
    "train s_curve --out run --no-pictures": None,
    "sample run -n 1000 -o x.csv": 2.0,
}


def seconds(folder: Path, words: str) -> float:
    """Run the program once, in a process of its own that finds nothing where it writes."""
    (folder / "x.csv").unlink(missing_ok=True)
    if words.startswith("train"):
        shutil.rmtree(folder / "run", ignore_errors=True)
    program = [sys.executable, "-m", "diffuscope.cli", *words.split()]
    return timed(lambda: subprocess.run(program, cwd=folder, check=True, capture_output=True))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for words, asked in ASKED.items():
            took = [seconds(Path(folder), words) for _ in range(options.rounds)]
            middle = statistics.median(took)
            verdict = "met" if asked and middle <= asked else "NOT met, on this machine as busy as it was"
            rows.append(
                [
                    f"`diffuscope {words}`",
                    f"{middle:.2f} s",
                    f"{min(took):.2f}–{max(took):.2f} s",
                    f"{asked:g} s: {verdict}" if asked else "–",
                ]
            )
    publish("startup", table(["command", "median", "range", "target"], rows), options.write)


if __name__ == "__main__":
    main()
