"""How long until one sees something: the help, and a whole training run with all its pictures?

Wall time of processes of their own, start of Python included. Asked: the help within half a second.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from report import parser, publish, table, timed


def call(folder: str, *words: str) -> None:
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
            rows.append(
                [
                    f"`diffuscope {' '.join(words)}`",
                    f"{statistics.median(seconds):.2f} s",
                    f"{min(seconds):.2f}–{max(seconds):.2f} s",
                ]
            )
    publish("startup", table(["command", "median", "range"], rows), options.write)


if __name__ == "__main__":
    main()
