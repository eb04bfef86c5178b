r"""What is the best that the tutorial's own settings can reach, and whose fault is the rest?

A perfect denoiser, the posterior mean under the S-curve's own law (:mod:`diffuscope.oracle`), takes the
place of the network. Sampling starts from N(0, I), as in the tutorial, or from the q(x_T) that training ended
with: fresh data, noised to the last level. The tutorial adds noise of variance beta in every step, the last
one too; beside it stands the posterior's variance, with no noise in the last step. Distances are sliced
Wasserstein distances between clouds of 10,000 points, over that of two real clouds (the floor).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from report import parser, publish, table
from torch import Tensor

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.data.points import load_dataset
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import DDPM, Sampler, trajectory
from diffuscope.diffusion.schedules import Grid, Schedule
from diffuscope.metrics import against_floor, sliced_wasserstein
from diffuscope.oracle import oracle_for

N = 10_000
UNIT = 10.0
OLD_FLOOR = 0.00266  # of the first measurements of the tutorial's script: one pair varies by 40%

Start = Callable[[Grid, int], Tensor]


def from_pure_noise(grid: Grid, seed: int) -> Tensor:
    """Start as the tutorial does, from N(0, I)."""
    return torch.randn(N, 2, generator=torch.Generator().manual_seed(seed))


def from_noised_data(grid: Grid, seed: int) -> Tensor:
    """Start where the forward process ends, from q(x_T)."""
    eps = torch.randn(N, 2, generator=torch.Generator().manual_seed(seed))
    return q_sample(torch.from_numpy(real(seed)).float(), grid.levels.at(0), eps)


def real(seed: int) -> np.ndarray:
    """Draw real points, in the tutorial's units."""
    return load_dataset("s_curve", size=N, seed=seed).x / UNIT


def sample(
    denoiser: DenoiserLike, schedule: Schedule, sampler: Sampler, start: Start, seed: int
) -> np.ndarray:
    """Sample in all steps of the schedule."""
    grid = schedule.grid(100)
    generator = torch.Generator().manual_seed(seed + 1)
    *_, last = trajectory(denoiser, start(grid, seed), grid, sampler, generator)
    return last.x.numpy()


def memory(seed: int) -> np.ndarray:
    """Draw from a training set of 10,000 points as if it were the law."""
    return np.random.default_rng(seed).choice(real(seed), N)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--run", type=Path, help="a finished run of the recipe 'article' (same data)")
    arguments.add_argument("--clouds", type=int, default=24, help="clouds per row")
    arguments.add_argument("--pairs", type=int, default=120, help="pairs of real clouds for the floor")
    options = arguments.parse_args()

    schedule = diffuscope.load_recipe("article").schedule.make()
    beta, posterior = DDPM(variance="beta"), DDPM(variance="posterior")
    starts = {
        "N(0, I), as in the tutorial": from_pure_noise,
        "q(x_T), where training ended": from_noised_data,
    }
    perfect = oracle_for("s_curve").scaled(Scaling(np.zeros(2), np.full(2, UNIT)))
    kinds: list[tuple[str, DenoiserLike, str, Sampler]] = [
        ("perfect", perfect, "β, as in the tutorial", beta),
        ("perfect", perfect, "posterior", posterior),
    ]
    if options.run is not None:
        run = diffuscope.load(options.run, device="cpu")
        kinds.append(
            (f"trained, {run.summary['steps']:,} steps", run.model.denoiser, "β, as in the tutorial", beta)
        )
    rows: list[tuple[str, str, str, Callable[[int], np.ndarray]]] = [
        (name, variance, place, partial(sample, denoiser, schedule, sampler, start))
        for name, denoiser, variance, sampler in kinds
        for place, start in starts.items()
    ]
    rows.append(("none: 10,000 training points, drawn again", "–", "–", memory))

    seeds = [1_000_000 + 10 * i for i in range(max(options.clouds, options.pairs))]
    pairs = [(real(s + 3), real(s + 4)) for s in seeds[: options.pairs]]
    lines = []
    for denoiser, variance, place, draw in rows:
        generated = [draw(s) for s in seeds[: options.clouds]]
        measured = against_floor(
            sliced_wasserstein, generated, [real(s + 5) for s in seeds[: options.clouds]], pairs
        )
        floor = measured.floor
        lines.append(
            [
                denoiser,
                variance,
                place,
                f"{measured.value:.5f}",
                f"{measured.ratio:.2f}",
                f"{measured.low:.2f}–{measured.high:.2f}",
                f"{measured.value / OLD_FLOOR:.2f}",
            ]
        )
    end = schedule(torch.tensor(schedule.t_max))
    text = (
        f"The schedule ends at ᾱ_T = {end.alpha.square():.3f}: terminal signal-to-noise ratio {end.snr:.2f} "
        f"for data of variance 1, noise of deviation {end.sigma:.3f}. Distances are in the tutorial's units. "
        f"The floor is {floor:.5f}, the mean of {options.pairs} pairs; earlier figures took {OLD_FLOOR} for "
        f"it, from few pairs, and the last column does as well. Each row is the mean of "
        f"{options.clouds} clouds.\n\n"
    )
    head = ["denoiser", "noise of a step", "start", "distance", "÷ floor", "95% interval", f"÷ {OLD_FLOOR}"]
    publish("article_error_budget", text + table(head, lines), options.write)


if __name__ == "__main__":
    main()
