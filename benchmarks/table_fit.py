"""How long does a table take to learn? ``DiffusionModel().fit`` of 10,000 rows and 30 columns, as it comes.

The table is the one of eight correlated Gaussians of ``on_tables/data.py``. Each fit has another seed.
"""

from __future__ import annotations

import time
from statistics import median

import pandas as pd
import torch
from on_tables.data import TABLES
from report import parser, publish, table

from diffuscope import DiffusionModel

ROWS, COLUMNS, ASKED = 10_000, 30, 30.0


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--fits", type=int, default=5, help="how many, 5 by default")
    options = arguments.parse_args()
    x = pd.concat([TABLES["gaussians"]().split(seed)[0] for seed in (0, 1)]).iloc[:ROWS]
    assert x.shape == (ROWS, COLUMNS)
    seconds, steps = [], []
    for seed in range(options.fits):
        begun = time.perf_counter()
        steps.append(DiffusionModel(random_state=seed).fit(x).n_iter_)
        seconds.append(time.perf_counter() - begun)
    rows = [[f"{ROWS:,} × {COLUMNS}", f"{median(seconds):.1f} s", f"{min(seconds):.1f}–{max(seconds):.1f} s"]]
    met = "met" if median(seconds) <= ASKED else "NOT met"
    publish(
        "table_fit",
        table(["rows × columns", "median of a fit", "range"], rows)
        + f"\n\n{options.fits} fits of at most {max(steps):,} steps, on {torch.get_num_threads()} threads at "
        f"most. Target: {ASKED:.0f} s: {met}.",
        options.write,
    )


if __name__ == "__main__":
    main()
