"""Which sampler gets how near in how few evaluations of the network?

One trained model, every sampler, several numbers of steps: sliced Wasserstein distance from fresh real
points over its floor, the mean of so many clouds of 10,000 points, with the evaluations of the network that
it took. All samplers start from the same noise and meet the same real clouds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from fast_recipe import N, distances, fresh, trained
from report import parser, publish, table

import diffuscope
from diffuscope.diffusion.samplers import SAMPLERS, trajectory
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.request import Request


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--run", type=Path, help="a finished run; by default one is trained")
    arguments.add_argument("--data", default="s_curve", help="what to train on")
    arguments.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 40])
    arguments.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    arguments.add_argument("--clouds", type=int, default=3)
    arguments.add_argument("--pairs", type=int, default=400, help="pairs of real clouds for the floor")
    options = arguments.parse_args()

    if options.run:
        run = diffuscope.load(options.run)
        model, data = run.model, run.data
    else:
        model, data, _ = trained(options.data, "fast", seed=0)
    if data.draw is None:
        arguments.error("this needs a data set whose law is known, a built-in one")
    real = fresh(data, options.clouds, 50_000)
    draws = fresh(data, 2 * options.pairs, 0)
    floor = np.mean(distances(list(zip(draws[::2], draws[1::2], strict=True))))

    asked = 0

    def counted(x_t: torch.Tensor, level: NoiseLevel) -> torch.Tensor:
        nonlocal asked
        asked += 1
        return model.denoiser(x_t, level)

    rows = []
    for sampler in options.samplers:
        cells = []
        for steps in options.steps:
            asked = 0
            grid, way = model.plan(Request(sampler=sampler, steps=steps))
            for _ in trajectory(counted, torch.zeros(1, model.dimension), grid, way, torch.Generator()):
                pass
            samples = np.split(model.sample(options.clouds * N, sampler=sampler, steps=steps), options.clouds)
            ratio = np.mean(distances(list(zip(samples, real, strict=True)))) / floor
            cells.append(f"{ratio:.2f} ({asked})")
        rows.append([sampler, *cells])
        print(" | ".join(rows[-1]), flush=True)
    text = (
        f"\n\nDistance ÷ floor (evaluations of the network), the means of {options.clouds} clouds; the floor "
        f"is {floor:.4f}, the mean of {options.pairs} pairs. Single clouds vary by tens of percent: "
        "differences of less than 0.2 say nothing. The grid is the recipe's (karras) for all."
    )
    head = ["sampler", *(f"{steps} steps" for steps in options.steps)]
    publish("samplers", table(head, rows) + text, options.write)


if __name__ == "__main__":
    main()
