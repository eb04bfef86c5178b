"""How good is the default recipe on every built-in set, and how good could anyone be with as many points?

For each set and seed: the seconds of training and the sliced Wasserstein distance of 10,000 samples from
10,000 fresh points, over the mean distance of two fresh clouds (the floor). Beside it what perfect memory
would give: the training points drawn again, with replacement, as if they were samples. Their own sampling
error adds to that of both clouds, so that memory sits near sqrt(3/2) = 1.22 times the floor.

The quality of a seed is the mean over --clouds clouds, the floor that of --pairs pairs; the table shows
mean and range over the seeds.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from report import interval, parser, publish, table

import diffuscope
from diffuscope.datasets import POINT_SETS, Dataset
from diffuscope.metrics import sliced_wasserstein

N = 10_000
Points = np.ndarray


def mean_distance(pairs: list[tuple[Points, Points]]) -> float:
    return float(np.mean([sliced_wasserstein(a, b) for a, b in pairs]))


def fresh(data: Dataset, how_many: int, first: int) -> list[Points]:
    assert data.draw is not None
    return [data.draw(N, first + i) for i in range(how_many)]


def measure(name: str, recipe: str, seed: int, clouds: int, floor: float) -> tuple[float, float, float]:
    """Train once; return seconds, quality and the quality of perfect memory, both over the floor."""
    with tempfile.TemporaryDirectory() as folder:
        run = diffuscope.train(
            name, recipe=recipe, seed=seed, out=Path(folder) / "run", pictures=False, progress=False
        )
        seconds = run.summary["train_seconds"]
        real = fresh(run.data, clouds, 50_000 + 1000 * seed)
        samples = np.split(run.sample(clouds * N, seed=seed), clouds)
        rng = np.random.default_rng(seed)
        memory = [rng.choice(run.data.x, N) for _ in range(clouds)]
    quality = mean_distance(list(zip(samples, real, strict=True)))
    remembered = mean_distance(list(zip(memory, real, strict=True)))
    return seconds, quality / floor, remembered / floor


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--recipe", default="fast", help="a name or a file")
    arguments.add_argument("--sets", nargs="+", default=list(POINT_SETS), choices=list(POINT_SETS))
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--clouds", type=int, default=8, help="clouds of samples per seed")
    arguments.add_argument("--pairs", type=int, default=48, help="pairs of real clouds for the floor")
    options = arguments.parse_args()

    rows = []
    for name in options.sets:
        data = diffuscope.load_dataset(name)
        draws = fresh(data, 2 * options.pairs, 0)
        floor = mean_distance(list(zip(draws[::2], draws[1::2], strict=True)))
        results = [
            measure(name, options.recipe, seed, options.clouds, floor) for seed in range(options.seeds)
        ]
        seconds, quality, memory = zip(*results, strict=True)
        rows.append([name, f"{floor:.4f}", interval(seconds, 1), interval(quality), interval(memory)])
    head = ["data", "floor", "training, s", "samples ÷ floor", "perfect memory ÷ floor"]
    publish("fast_recipe", table(head, rows), options.write)


if __name__ == "__main__":
    main()
