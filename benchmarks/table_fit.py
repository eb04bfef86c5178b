"""How long does a table take to learn? ``DiffusionModel().fit`` of 10,000 rows and 30 columns, as it comes.

Rows are drawn from eight Gaussians in 30 columns, each with its own correlations. Each fit has another seed.
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np
import pandas as pd
import torch
from report import parser, publish, table

from diffuscope import DiffusionModel

ROWS, COLUMNS, ASKED = 10_000, 30, 30.0


def gaussians(n: int, random: np.random.Generator, components: int = 8) -> pd.DataFrame:
    """Draw n rows of a mixture of Gaussians."""
    law, d = np.random.default_rng(8), COLUMNS
    weights = law.dirichlet(np.full(components, 4.0))
    means = 1.2 * law.standard_normal((components, d)) * (law.random((components, d)) < 0.5)
    factors = law.standard_normal((components, d, 4)) * 0.6
    roots = np.linalg.cholesky(factors @ factors.transpose(0, 2, 1) + 0.2 * np.eye(d))
    which = random.choice(components, n, p=weights)
    x = means[which] + np.einsum("nij,nj->ni", roots[which], random.standard_normal((n, d)))
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(d)])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--fits", type=int, default=5, help="how many, 5 by default")
    options = arguments.parse_args()
    x = gaussians(ROWS, np.random.default_rng(1000))
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
