"""How long until one sees something: the help, and a whole training run with all its pictures?

Wall time of processes of their own, start of Python included. Asked: the help
within 0.5 s, the run within 15 s on two cores.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from report import parser, publish, table, timed

ASKED = {"--help": 0.5, "train s_curve": 15.0}


def call(folder: str, *words: str) -> None:
    """Run the program once, in a process of its own."""
    program = [str(Path(sys.executable).with_name("diffuscope")), *words]
    subprocess.run(program, cwd=folder, check=True, capture_output=True)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    arguments.add_argument("--trainings", type=int, default=3)
    options = arguments.parse_args()

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for words, rounds in (
            (("--help",), options.rounds),
            (("list", "samplers"), options.rounds),
            (("train", "s_curve"), options.trainings),
            (("train", "s_curve", "--no-pictures"), options.trainings),
        ):
            seconds = [timed(partial(call, folder, *words)) for _ in range(rounds)]
            middle = statistics.median(seconds)
            asked = ASKED.get(" ".join(words))
            verdict = "met" if asked and middle <= asked else "NOT met, on this machine as busy as it was"
            rows.append(
                [
                    f"`diffuscope {' '.join(words)}`",
                    f"{middle:.2f} s",
                    f"{min(seconds):.2f}–{max(seconds):.2f} s",
                    f"{asked:g} s: {verdict}" if asked else "–",
                ]
            )
    publish("startup", table(["command", "median", "range", "asked"], rows), options.write)


if __name__ == "__main__":
    main()
