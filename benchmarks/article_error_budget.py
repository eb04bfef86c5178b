r"""What is the best that the tutorial's own settings can reach, and whose fault is the rest?

A perfect denoiser takes the place of the network. The S-curve's law is a curve c(t), t uniform, plus
Gaussian noise of deviation s, so that with c replaced by K points close together

.. math::
    E[x_0 \mid x_t] = m + \frac{\alpha s^2}{v} (x_t - \alpha m), \qquad
    m = \sum_k \mathrm{softmax}_k\!\left(-\frac{|x_t - \alpha c_k|^2}{2 v}\right) c_k, \qquad
    v = \alpha^2 s^2 + \sigma^2.

Walks start from N(0, I), as in the tutorial, or from the q(x_T) that training ended with. Distances are
sliced Wasserstein distances between clouds of 10,000 points, over that of two real clouds (the floor).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from report import parser, publish, table
from torch import Tensor

import diffuscope
from diffuscope.datasets import load_dataset
from diffuscope.denoiser import DenoiserLike
from diffuscope.forward import q_sample
from diffuscope.metrics import against_floor, sliced_wasserstein
from diffuscope.samplers import DDPM, walk
from diffuscope.schedules import Grid, NoiseLevel, Schedule

N = 10_000
UNIT = 10.0
NOISE = 0.1 / UNIT
BLOCK = 1024

Start = Callable[[Grid, int], Tensor]


class PerfectDenoiser:
    """The posterior mean under the S-curve's own law, in the tutorial's units (divided by 10)."""

    def __init__(self, components: int) -> None:
        t = (torch.arange(components, dtype=torch.float64) + 0.5) / components * 3 * math.pi - 1.5 * math.pi
        centres = torch.stack([t.sin(), t.sign() * (t.cos() - 1)], dim=1) / UNIT  # (components, 2)
        self.centres = centres.float()

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return E[x_0 | x_t], shape (n, 2), at a level of shape ()."""
        alpha, sigma = level.alpha.item(), level.sigma.item()
        v = (alpha * NOISE) ** 2 + sigma**2
        c = self.centres
        bias = c.square().sum(1) * (-(alpha**2) / (2 * v))
        blocks = [torch.softmax(torch.addmm(bias, x, c.T, alpha=alpha / v), 1) @ c for x in x_t.split(BLOCK)]
        m = torch.cat(blocks)
        return m + alpha * NOISE**2 / v * (x_t - alpha * m)


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


def sample(denoiser: DenoiserLike, schedule: Schedule, start: Start, seed: int) -> np.ndarray:
    """Walk back in all steps of the schedule with the tutorial's sampler."""
    grid = schedule.grid(100)
    generator = torch.Generator().manual_seed(seed + 1)
    *_, last = walk(denoiser, start(grid, seed), grid, DDPM(variance="beta"), generator)
    return last.x.numpy()


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("run", nargs="?", type=Path, help="a finished run of the recipe 'article'")
    arguments.add_argument("--draws", type=int, default=24, help="clouds per row, and pairs for the floor")
    arguments.add_argument("--components", type=int, default=2000, help="points along the curve")
    options = arguments.parse_args()

    schedule = diffuscope.load_recipe("article").schedule.make()
    perfect = PerfectDenoiser(options.components)
    rows: list[tuple[str, str, Callable[[int], np.ndarray]]] = [
        ("no model: the 10,000 training points, drawn again", "–", memory),
        ("perfect", "N(0, I), as in the tutorial", lambda s: sample(perfect, schedule, from_pure_noise, s)),
        ("perfect", "q(x_T), where training ended", lambda s: sample(perfect, schedule, from_noised_data, s)),
    ]
    if options.run is not None:
        model = diffuscope.load(options.run, device="cpu").model
        trained = f"trained, {diffuscope.load(options.run).summary['steps']:,} steps"
        rows += [
            (
                trained,
                "N(0, I), as in the tutorial",
                lambda s: sample(model.denoiser, schedule, from_pure_noise, s),
            ),
            (
                trained,
                "q(x_T), where training ended",
                lambda s: sample(model.denoiser, schedule, from_noised_data, s),
            ),
        ]

    seeds = [1_000_000 + 10 * i for i in range(options.draws)]
    pairs = [(real(s + 3), real(s + 4)) for s in seeds]
    lines = []
    for denoiser, start, draw in rows:
        generated = [draw(s) for s in seeds]
        measured = against_floor(sliced_wasserstein, generated, [real(s + 5) for s in seeds], pairs)
        lines.append(
            [
                denoiser,
                start,
                f"{measured.value:.5f}",
                f"{measured.ratio:.2f}",
                f"{measured.low:.2f}–{measured.high:.2f}",
            ]
        )
        floor = measured.floor
    end = schedule(torch.tensor(schedule.t_max))
    text = (
        f"The schedule ends at ᾱ_T = {end.alpha.square():.3f}: signal-to-noise ratio {end.snr:.2f}, "
        f"noise of deviation {end.sigma:.3f}. Floor {floor:.5f}, the mean of {options.draws} pairs; "
        f"each row is the mean of {options.draws} clouds.\n\n"
    )
    head = ["denoiser", "start", "distance", "÷ floor", "95% interval"]
    publish("article_error_budget", text + table(head, lines), options.write)


def memory(seed: int) -> np.ndarray:
    """Draw from a training set of 10,000 points as if it were the law."""
    return np.random.default_rng(seed).choice(real(seed), N)


if __name__ == "__main__":
    main()
