"""Which sampler gets how near in how few steps?

One trained model, every sampler, several numbers of steps: sliced Wasserstein distance from fresh real
points over its floor, the mean of so many clouds of 10,000 points. Heun asks the network twice a step,
predictor_corrector too.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from report import parser, publish, table

import diffuscope
from diffuscope.metrics import against_floor, sliced_wasserstein
from diffuscope.samplers import SAMPLERS

N = 10_000


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", nargs="?", type=Path, help="a finished run; by default one is trained")
    arguments.add_argument("--data", default="s_curve", help="what to train on")
    arguments.add_argument("--steps", type=int, nargs="+", default=[5, 10, 20, 40, 80])
    arguments.add_argument("--samplers", nargs="+", default=list(SAMPLERS), choices=list(SAMPLERS))
    arguments.add_argument("--clouds", type=int, default=4)
    arguments.add_argument("--pairs", type=int, default=48, help="pairs of real clouds for the floor")
    options = arguments.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        run = (
            diffuscope.load(options.run)
            if options.run
            else diffuscope.train(options.data, out=Path(folder) / "run", pictures=False, progress=False)
        )
        draw = run.data.draw
        if draw is None:
            arguments.error("this needs a data set whose law is known, a built-in one")
        draws = [draw(N, i) for i in range(options.clouds + 2 * options.pairs)]
        real, rest = draws[: options.clouds], draws[options.clouds :]
        pairs = list(zip(rest[::2], rest[1::2], strict=True))
        rows = []
        for sampler in options.samplers:
            cells = []
            for steps in options.steps:
                samples = run.sample(options.clouds * N, sampler=sampler, steps=steps, seed=1)
                measured = against_floor(sliced_wasserstein, np.split(samples, options.clouds), real, pairs)
                cells.append(f"{measured.ratio:.2f}")
            rows.append([sampler, *cells])
    head = ["sampler", *(f"{steps} steps" for steps in options.steps)]
    publish("samplers", table(head, rows), options.write)


if __name__ == "__main__":
    main()
