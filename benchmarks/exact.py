"""What does it cost to sum gradients in one order, whatever the number of processes and threads?

Two trainers of one recipe take steps in turns in this process, one with ``training.exact = true``, one with
false. Compared is the CPU time of a step, which other work on the machine disturbs less than its duration.
"""

from __future__ import annotations

import statistics
import time

import torch
from report import parser, publish, table

from diffuscope.runs.plan import plan_new
from diffuscope.runs.setup import Setup
from diffuscope.training import Trainer

CASES = {  # data, steps of a round
    "points (fast)": ("s_curve", "fast", 200),
    "points, width 1024": ("s_curve", "fast", 10),
    "images (digits)": ("digits", "digits", 4),
}
WIDE = {"network.width": 1024, "training.batch_size": 512}


def trainer(data: str, recipe: str, exact: bool, wide: bool) -> Trainer:
    """Return a trainer at its first step."""
    changes = {"training.exact": exact, **(WIDE if wide else {})}
    planned, dataset, _ = plan_new(data, recipe, changes, "unused", False)
    return Setup(planned, dataset, torch.device("cpu")).trainer()


def cpu_time(one: Trainer, steps: int) -> float:
    """Return the milliseconds of all cores for a step."""
    settings = one.settings
    one.settings = settings.model_copy(update={"steps": one.step + steps, "epochs": None})
    begun = time.process_time()
    one.run()
    one.settings = settings
    return (time.process_time() - begun) / steps * 1e3


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=7)
    options = arguments.parse_args()
    rows = []
    for name, (data, recipe, steps) in CASES.items():
        exact, free = (trainer(data, recipe, one, "1024" in name) for one in (True, False))
        times = [(cpu_time(exact, steps), cpu_time(free, steps)) for _ in range(options.rounds + 1)][1:]
        ratios = [a / b for a, b in times]
        rows.append(
            [
                name,
                str(exact.parts),
                f"{statistics.median(a for a, _ in times):.2f} ms",
                f"{statistics.median(b for _, b in times):.2f} ms",
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})",
            ]
        )
    head = ["CPU time of a step", "parts", "exact", "not exact", "ratio, round by round"]
    text = f"\n\n{options.rounds} rounds in turns, {torch.get_num_threads()} threads."
    publish("exact", table(head, rows) + text, options.write)


if __name__ == "__main__":
    main()
