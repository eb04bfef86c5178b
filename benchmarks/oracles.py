"""How exact are the exact denoisers, and how much memory does that of a large training set take?

A curve is a mixture along it. With twice as many components nothing may change: the first columns are the
largest differences of the log-density in nats, and of the denoiser relative to the set's spread, at fresh
points of the set and at the same points noised from σ/α = 0.01 to 10. Target: below 1e-4 nats. Gaussians
and boxes are exact as they stand. The set's own generator knows nothing of the oracle; so the mean of
-log p over its draws must be the oracle's entropy: the last column is by how much it is not.

The empirical oracle of 60,000 × 784, the size of a data set of 28 × 28 images, answers in a process of its
own, whose peak memory the system reports. Target: under 2 GiB.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import torch
from memory import BETWEEN, MIB
from report import parser, publish, table, timed

from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.oracle import EmpiricalOracle, oracle_for

SIGMAS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
ASKED_NATS, ASKED_GIB = 1e-4, 2.0
IMAGES, PIXELS, QUESTIONS = 60_000, 784, 64


def level_of(sigma: float) -> NoiseLevel:
    """Return the level of noise σ with the signal untouched."""
    return NoiseLevel(*(torch.tensor(value, dtype=torch.float64) for value in (sigma, 1.0, sigma)))


def fresh(name: str, n: int) -> torch.Tensor:
    """Return points (n, 2) of the set's generator."""
    draw = load_dataset(name, size=2).draw
    assert draw is not None
    return torch.from_numpy(draw(n, 1)).double()


def doubled(name: str, n: int) -> tuple[float, float, float]:
    """Return the largest changes of log p (clean, noised) and of the denoiser with twice the components."""
    once, twice = oracle_for(name), oracle_for(name, resolution=2)
    x = fresh(name, n)
    clean = (once.log_density(x) - twice.log_density(x)).abs().max().item()
    noised, denoised = [], []
    for i, sigma in enumerate(SIGMAS):
        level = level_of(sigma)
        eps = torch.randn(x.shape, generator=torch.Generator().manual_seed(i), dtype=torch.float64)
        x_t = q_sample(x, level, eps)
        noised.append((once.log_density(x_t, level) - twice.log_density(x_t, level)).abs().max().item())
        denoised.append((once(x_t, level) - twice(x_t, level)).abs().max().item() / x.std().item())
    return clean, max(noised), max(denoised)


def surprise(name: str, n: int) -> tuple[float, float, float]:
    """Return the oracle's entropy, the mean -log p of the generator's draws, and its standard error."""
    law = oracle_for(name)
    values = -law.log_density(fresh(name, n))
    return law.entropy().value, values.mean().item(), values.std().item() / n**0.5


def ask_images() -> float:
    """Return the seconds of an answer at many points of a large training set."""
    x = np.random.default_rng(0).integers(0, 256, (IMAGES, PIXELS), dtype=np.uint8)
    law = EmpiricalOracle(x)
    x_t = torch.from_numpy(x[:QUESTIONS].astype(np.float64)) + 30
    return timed(lambda: law(x_t, level_of(100.0)))


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("-n", type=int, default=2_000, help="points of the differences")
    arguments.add_argument("--draws", type=int, default=100_000, help="points of the mean of -log p")
    arguments.add_argument("--images", action="store_true", help="answer once and print the seconds")
    options = arguments.parse_args()
    if options.images:
        print(json.dumps(ask_images()), file=sys.stderr)
        return
    rows, worst = [], 0.0
    for name in sorted(POINT_SETS):
        clean, noised, denoised = doubled(name, options.n)
        entropy, mean, error = surprise(name, options.draws)
        worst = max(worst, clean, noised)
        off = f"{mean - entropy:+.4f} ({abs(mean - entropy) / max(error, 1e-12):.1f})"
        rows.append([name, f"{clean:.1e}", f"{noised:.1e}", f"{denoised:.1e}", f"{entropy:.4f}", off])
    words = [sys.executable, "-c", BETWEEN, sys.executable, __file__, "--images"]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    seconds, peak = json.loads(done.stderr.strip().splitlines()[-1]), int(done.stdout) / MIB / 1024
    head = [
        "set",
        "log p, clean",
        "log p, noised",
        "denoiser",
        "entropy, nats",
        "mean -log p less it (std. errors)",
    ]
    verdict = "met" if worst <= ASKED_NATS else "not met"
    fits = "met" if peak <= ASKED_GIB else "not met"
    text = (
        f"{table(head, rows)}\n\nDifferences with twice the components, {options.n:,} points; target: at "
        f"most {ASKED_NATS:g} nats: {verdict} (worst: {worst:.1e}).\n\nThe denoiser of {IMAGES:,} × {PIXELS} "
        f"numbers at {QUESTIONS} points: {seconds:.1f} s; {peak:.2f} GiB at the peak of the process, all "
        f"included; target: {ASKED_GIB:g} GiB: {fits}."
    )
    publish("oracles", text, options.write)


if __name__ == "__main__":
    main()
