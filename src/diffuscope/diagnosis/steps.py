r"""Does a step of the sampler do what a step must?

Any sampler whose answer is affine in the point and in the data estimate makes

.. math::  x_s = A\, x_t + B\, \hat x_0 + \sqrt{v}\, z,

and A, B, v can be read off by handing it chosen points and a denoiser of a constant answer. To keep the
noised distribution, :math:`x_s \sim N(\alpha_s x_0, \sigma_s^2)`, they have to satisfy

.. math::  B = \alpha_s - A \alpha_t, \qquad v = \sigma_s^2 - A^2 \sigma_t^2

(Song et al. 2021, Lemma 1). Where they do not, they are compared with those of the loops with a mistake
(:mod:`.loops`). An answer that stops growing with :math:`\hat x_0` is clipped; noise that is the same in two
steps, with other random numbers, is drawn once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from diffuscope.diagnosis.loops import LOOPS, SOUND, Coefficients, Loop, coefficients
from diffuscope.diffusion.process import transition
from diffuscope.diffusion.samplers import Sampler, SamplingContext
from diffuscope.diffusion.schedules import Grid, NoiseLevel, Schedule

__all__ = ["Step", "mistake_of", "probe_step", "probe_steps", "reuses_noise"]

_POINTS = 4_096
_PROBED = 6
_SWEEP = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
_NOISE_CLOSE, _CLOSE, _SIGNAL_CLOSE = 0.06, 0.02, 0.002
_ALIKE = 0.9  # correlation of the noise of two steps


@dataclass(frozen=True)
class Step:
    """What one step of a sampler does, from the level ``now`` to ``target``."""

    now: NoiseLevel
    target: NoiseLevel
    signal: float  # A
    data: float  # B
    noise: float  # √v
    clipped_at: float | None  # where the answer stops growing with the data estimate, in the model's units
    step: int = 0

    @property
    def due_noise(self) -> float:
        """The noise that goes with A: none in a deterministic step."""
        kept = (self.signal * self.now.sigma.item()) ** 2
        rest = self.target.sigma.item() ** 2 - kept
        # what rounding leaves of a difference of nearly equal numbers is no noise
        return math.sqrt(rest) if rest > 1e-5 * kept else 0.0

    @property
    def most_noise(self) -> float:
        """The most that a published sampler adds: the variance of the forward step."""
        added = transition(self.target, self.now).variance.sqrt().item() if self.now.alpha > 0 else math.inf
        return max(self.due_noise, added)

    @property
    def due_data(self) -> float:
        """The weight of the data estimate that goes with A."""
        return self.target.alpha.item() - self.signal * self.now.alpha.item()

    @property
    def is_last(self) -> bool:
        """Whether it leads to clean data."""
        return self.target.sigma.item() == 0


def probe_steps(sampler: Sampler, grid: Grid, spread: float) -> list[Step]:
    """Probe some steps of a walk, from the noisiest on, the last one among them."""
    return [probe_step(sampler, grid, i, spread) for i in _picked(grid)]


def _picked(grid: Grid) -> list[int]:
    picked: list[int] = torch.linspace(0, grid.n_steps - 1, min(_PROBED, grid.n_steps)).round().int().tolist()
    return sorted(set(picked))


def probe_step(sampler: Sampler, grid: Grid, step: int, spread: float) -> Step:
    """Read off what ``sampler`` does in step 0, 1, ... of a trajectory over ``grid``."""

    def respond(x: float, x_0: float) -> Tensor:
        context = SamplingContext(
            lambda x_t, _: torch.full_like(x_t, x_0), grid, torch.Generator().manual_seed(0), step=step
        )
        with torch.no_grad():
            return sampler(context, torch.zeros(_POINTS, 1) + x).double()

    still = respond(0.0, 0.0)
    sweep = [(respond(0.0, c * spread) - still).mean().item() / (c * spread) for c in _SWEEP]
    first, last = sweep[0], sweep[-1]
    return Step(
        now=grid.levels.at(step),
        target=grid.levels.at(step + 1),
        signal=(respond(spread, 0.0) - still).mean().item() / spread,
        data=first,
        noise=still.std().item(),
        step=step,
        clipped_at=last * _SWEEP[-1] * spread / first if abs(first) > 1e-6 and last / first < 0.75 else None,
    )


def reuses_noise(sampler: Sampler, grid: Grid) -> bool:
    """Whether two steps of a sampler add the same noise, though random numbers differ."""
    if grid.n_steps < 3:
        return False

    def noise(step: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        context = SamplingContext(lambda x_t, _: torch.zeros_like(x_t), grid, generator, step=step)
        with torch.no_grad():
            made = sampler(context, torch.zeros(_POINTS, 1)).double()[:, 0]
        return made - made.mean()

    a, b = noise(0, 1), noise(grid.n_steps // 2, 2)
    norm = (a.norm() * b.norm()).item()
    return bool(norm > 0 and abs((a @ b).item()) / norm > _ALIKE)


def mistake_of(steps: Sequence[Step], grid: Grid, schedule: Schedule) -> Loop | None:
    """Return the mistaken loop whose coefficients the probed steps have, where no sound one has them too."""

    def miss(loop: Loop) -> float:
        misses = [_miss(step, coefficients(loop, grid, step.step, schedule)) for step in steps]
        return sum(misses) if max(misses) <= 1 else math.inf

    if any(math.isfinite(miss(loop)) for loop in SOUND):
        return None
    found = [(miss(loop), loop) for loop in LOOPS if loop.is_affine]
    least, loop = min(found, key=lambda pair: pair[0])
    return loop if math.isfinite(least) else None


def _miss(step: Step, due: Coefficients) -> float:
    """Return how far a probed step is from what a loop does, in tolerances."""
    noise = abs(step.noise - due.noise) / (_NOISE_CLOSE * due.noise + 1e-6)
    data = abs(step.data - due.data) / (_CLOSE * abs(due.data) + 1e-4)
    signal = abs(step.signal - due.signal) / (_SIGNAL_CLOSE * abs(due.signal) + 1e-4)
    return max(noise, data, signal)
