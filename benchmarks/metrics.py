"""How long does the whole table of metrics take, and how much memory?

100,000 generated points in clouds of 10,000, as many real ones, 32 real pairs of that size and 100,000
points of training, all Gaussian: each metric on the points, draws and pairs that it uses, the time for the
first model and that for the second, which finds the real pairs measured. Target: under 10 s and 2 GiB on two
cores for two columns. Each row is a process of its own; its time is without imports, its peak with them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from time import perf_counter

import numpy as np
from memory import BETWEEN, MIB
from report import parser, publish, table

from diffuscope.metrics import MetricSuite

DRAWS, PAIRS, POINTS, TRAINING = 10, 32, 10_000, 100_000


def log_density(x: np.ndarray) -> np.ndarray:
    """Return that of a standard Gaussian."""
    return -0.5 * (np.square(x).sum(axis=1) + x.shape[1] * np.log(2 * np.pi))


def measure(d: int) -> dict[str, float]:
    """Return the seconds of two models in a row, and how many metrics there were."""
    import ot  # noqa: F401
    import scipy.stats  # noqa: F401
    import sklearn.ensemble  # noqa: F401

    rng = np.random.default_rng(0)
    real, generated = rng.normal(size=(2, DRAWS, POINTS, d))
    pairs = [tuple(rng.normal(size=(2, POINTS, d))) for _ in range(PAIRS)]
    begun = perf_counter()
    suite = MetricSuite(real, pairs, training=rng.normal(size=(TRAINING, d)), log_density=log_density)
    metrics = len(suite.measure(generated))
    first = perf_counter()
    suite.measure(1.1 * generated)
    return {"metrics": metrics, "first": first - begun, "second": perf_counter() - first}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--columns", type=int, nargs="+", default=[1, 2, 8, 64])
    arguments.add_argument("--child", type=int, help="measure this many columns and print the numbers")
    options = arguments.parse_args()
    if options.child is not None:
        print(json.dumps(measure(options.child)), file=sys.stderr)
        return
    rows = []
    for d in options.columns:
        words = [sys.executable, "-c", BETWEEN, sys.executable, __file__, "--child", str(d)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        found = json.loads(done.stderr.strip().splitlines()[-1])
        times = [f"{found[model]:.1f} s" for model in ("first", "second")]
        rows.append([str(d), str(found["metrics"]), *times, f"{int(done.stdout) / MIB:,.0f} MiB"])
    publish(
        "metrics", table(["columns", "metrics", "first model", "further model", "peak"], rows), options.write
    )


if __name__ == "__main__":
    main()
