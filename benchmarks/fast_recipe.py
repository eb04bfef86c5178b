"""How good is the default recipe on every built-in set, and how good could anyone be with as many points?

For each set and seed: the seconds of training (by the clock, and of a core's work, which other work on the
machine disturbs less) and the sliced Wasserstein distance of 10,000 samples from
10,000 fresh points, over the mean distance of two fresh clouds (the floor). Beside it what perfect memory
would give: the training points drawn again, with replacement, as if they were samples. Their own sampling
error adds to that of both clouds, so that memory sits near sqrt(3/2) = 1.22 times the floor.

A seed sets the training set, the weights and the noise. Its quality is the mean over --clouds clouds, each
against a fresh real one; the floor is the mean over --pairs independent pairs. The table shows the mean over
the seeds, with the range.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from report import interval, parser, publish, table, timed

import diffuscope
from diffuscope.data.base import Dataset
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.metrics import sliced_wasserstein
from diffuscope.model import Model
from diffuscope.training import Batches, Resident, Trainer

N = 10_000
ASKED_RATIO, ASKED_SECONDS = 1.2, 1.0
OLD_FLOOR = 0.0266  # of the S-curve in the first measurements, from few pairs: one pair varies by 40%

Points = np.ndarray


def distances(pairs: Sequence[tuple[Points, Points]]) -> list[float]:
    """Measure pairs of clouds side by side."""
    with ThreadPoolExecutor() as pool:
        return list(pool.map(lambda pair: sliced_wasserstein(*pair), pairs))


def fresh(data: Dataset, how_many: int, first: int) -> list[Points]:
    """Draw clouds that no training has seen."""
    assert data.draw is not None
    return [data.draw(N, first + i) for i in range(how_many)]


def trained(name: str, recipe_name: str, seed: int) -> tuple[Model, Dataset, tuple[float, float]]:
    """Train as ``diffuscope train`` does, but keep, measure and draw nothing.

    Returns
    -------
    model, data
    seconds : tuple
        By the clock, and of the processor's work.
    """
    recipe = diffuscope.load_recipe(recipe_name)
    data = load_dataset(name, size=recipe.data.size or N, seed=seed)
    scaling = PointsCodec.fit(data.x, recipe.data.scaling, recipe.data.divisor)
    torch.manual_seed(seed)
    denoiser = recipe.make_denoiser(data.x.shape[1])
    x, settings = scaling.encode(data.x), recipe.training
    batches = Batches(
        Resident(x), denoiser.schedule, recipe.times.make(), settings.batch_size, settings.batches, seed
    )
    trainer = Trainer(denoiser, batches, recipe.loss.make(), settings)
    worked = time.process_time()
    seconds = timed(trainer.run)
    worked = time.process_time() - worked
    trainer.finish()
    return Model(recipe, denoiser, scaling), data, (seconds, worked)


def measure(name: str, recipe: str, seed: int, clouds: int) -> tuple[float, float, float, float]:
    """Train once; return seconds, the distance of samples and that of perfect memory."""
    model, data, seconds = trained(name, recipe, seed)
    real = fresh(data, clouds, 50_000 + 1000 * seed)
    samples = np.split(model.sample(clouds * N, seed=seed), clouds)
    rng = np.random.default_rng(seed)
    memory = [rng.choice(data.x, N) for _ in range(clouds)]
    quality = distances(list(zip(samples, real, strict=True)))
    remembered = distances(list(zip(memory, real, strict=True)))
    return *seconds, statistics.mean(quality), statistics.mean(remembered)


def verdict(seconds: Sequence[float], worked: Sequence[float], quality: Sequence[float], floor: float) -> str:
    """Say how the S-curve stands against the targets."""
    ratio = statistics.mean(quality) / floor
    older = statistics.mean(quality) / OLD_FLOOR
    error = statistics.stdev(quality) / len(quality) ** 0.5 / floor if len(quality) > 1 else float("inf")
    took = statistics.median(seconds)
    within = ", within that error" if abs(ratio - ASKED_RATIO) < 2 * error else ""
    return (
        f"\n\nThe S-curve, with a target of at most {ASKED_RATIO} × floor: {ratio:.2f} (standard error of "
        f"that mean {error:.2f}) by this floor, from many pairs: {_met(ratio <= ASKED_RATIO)}{within}; "
        f"{older:.2f} by the floor of the first measurements, {OLD_FLOOR} from few pairs, which flatters: "
        f"{_met(older <= ASKED_RATIO)}. Training, with a target of at most {ASKED_SECONDS:g} s: {took:.2f} s "
        f"in the median, {min(seconds):.2f} s at best, {statistics.median(worked):.2f} s of a processor's "
        f"work: {_met(took <= ASKED_SECONDS)}. Perfect memory is what a model would reach that learned its "
        "10,000 points and nothing else; to come below it, a model must have learned what lies between them."
    )


def _met(good: bool) -> str:
    return "met" if good else "NOT met"


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--recipe", default="fast", help="a name or a file")
    arguments.add_argument("--datasets", nargs="+", default=list(POINT_SETS), choices=list(POINT_SETS))
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--clouds", type=int, default=3, help="clouds of samples per seed")
    arguments.add_argument("--pairs", type=int, default=400, help="pairs of real clouds for the floor")
    options = arguments.parse_args()

    rows = []
    text = ""
    for name in options.datasets:
        draws = fresh(load_dataset(name), 2 * options.pairs, 0)
        floors = distances(list(zip(draws[::2], draws[1::2], strict=True)))
        floor = statistics.mean(floors)
        results = [measure(name, options.recipe, seed, options.clouds) for seed in range(options.seeds)]
        seconds, worked, quality, memory = zip(*results, strict=True)
        rows.append(
            [
                name,
                f"{floor:.4f} ± {1.96 * statistics.stdev(floors) / options.pairs**0.5:.4f}",
                f"{statistics.median(seconds):.2f} ({min(seconds):.2f}–{max(seconds):.2f})",
                f"{statistics.median(worked):.2f}",
                interval([value / floor for value in quality]),
                interval([value / floor for value in memory]),
            ]
        )
        print(" | ".join(rows[-1]), flush=True)
        if name == "s_curve":
            text = verdict(seconds, worked, quality, floor)
    head = ["data", "floor, 95%", "training, s", "its work, s", "samples ÷ floor", "perfect memory ÷ floor"]
    publish("fast_recipe", table(head, rows) + text, options.write)


if __name__ == "__main__":
    main()
