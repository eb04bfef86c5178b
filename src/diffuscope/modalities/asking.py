r"""What does a model answer at one noise level, and what is one step of its walks? In the units of the data.

Noisy points are brought to the units of the data as clean ones are. With data :math:`x = s z + m`, z in the
units of the model, that is :math:`s (\alpha z_0 + \sigma \epsilon) + m`: what a trajectory consists of.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.predictions import score_from_data
from diffuscope.diffusion.process import q_step
from diffuscope.diffusion.samplers import trajectory
from diffuscope.diffusion.schedules import Grid, NoiseLevel
from diffuscope.errors import InputError
from diffuscope.modalities.generator import Generator
from diffuscope.model import ORIGIN
from diffuscope.request import Request, as_numbers
from diffuscope.seeds import stream

__all__ = ["Asking", "Level"]

Points = NDArray[np.float64]
Level = float | Tensor | NDArray[Any] | NoiseLevel
"""A time of the schedule, also as a tensor or an array of one number, or a noise level."""


class Asking:
    """A trained model whose data and noise have the same units, such as points and images.

    InputError for others: a table has categories, which no noise can be added to.
    """

    def __init__(self, generator: Generator) -> None:
        self.generator, self.model = generator, generator.model
        affine = self.model.codec.affine
        if affine is None:
            raise InputError(
                f"Noisy {generator.unit} have no units of the data.",
                "Ask the model in its own units: run.model.denoiser(x_t, level).",
            )
        self._affine: Scaling = affine

    def level(self, at: Level) -> NoiseLevel:
        """Return the level at a time, shape (); InputError where the schedule has no such time."""
        if isinstance(at, NoiseLevel):
            if at.t.ndim:
                raise InputError("There are several levels, and one is asked for.", "Give levels.at(0).")
            return at
        if isinstance(at, Tensor | np.ndarray) and at.ndim == 0:
            at = at.item()
        schedule = self.model.denoiser.schedule
        low, high = schedule.t_min, schedule.t_max
        valid = isinstance(at, int | float | np.number) and not isinstance(at, bool) and low <= at <= high
        if not valid or (schedule.discrete and at != int(at)):
            what = "a whole number" if schedule.discrete else "a time"
            raise InputError(f"{at!r} is not a level of this run.", f"Give {what} from {low:g} to {high:g}.")
        return schedule(torch.tensor(int(at) if schedule.discrete else float(at)))

    def denoise(self, x: ArrayLike, at: Level, **options: Any) -> Points:
        """Return the estimate of E[x_0 | x_t], (n, ...); options are those of a condition."""
        level, z = self.level(at), self._encode(x)
        return self._decode(self._denoiser(options, len(z))(z, level))

    def score(self, x: ArrayLike, at: Level, **options: Any) -> Points:
        """Return the gradient of log q(x_t) by x, (n, ...), per unit of the data."""
        level, z = self.level(at), self._encode(x)
        if ORIGIN in self.model.extras:
            raise InputError("A flow from another data set has no score.", "Use denoise.")
        if level.sigma == 0:
            raise InputError("Without noise there is no score.", "Give a level with noise.")
        score = score_from_data(self._denoiser(options, len(z))(z, level), z, level)
        return score.double().cpu().numpy() / self._affine.scale.reshape(self.model.shape)

    def forward_step(self, x: ArrayLike, now: Level | None, to: Level, seed: int = 0) -> Points:
        """Add noise to points (n, ...) from a level, None: clean data, up to a noisier one."""
        target, z = self.level(to), self._encode(x)
        clean = NoiseLevel(*(torch.tensor(value, dtype=torch.float64) for value in (0.0, 1.0, 0.0)))
        source = clean if now is None else self.level(now)
        if source.ratio > target.ratio:
            raise InputError("The forward walk leads to more noise.", "Exchange the levels.")
        eps = torch.randn(z.shape, generator=_between(seed, "forward step", source, target)).to(z)
        return self._decode(q_step(z, source, target, eps))

    def reverse_step(self, x: ArrayLike, now: Level, to: Level, request: Request) -> Points:
        """Take one step of a sampler from points (n, ...) at a level to a cleaner one."""
        source, target, z = self.level(now), self.level(to), self._encode(x)
        if source.ratio < target.ratio:
            raise InputError("The reverse walk leads to less noise.", "Exchange the levels.")
        _, sampler = self.model.plan(request)
        both = NoiseLevel(*(torch.stack(pair) for pair in zip(source, target, strict=True)))
        grid = Grid(both, self.model.denoiser.schedule.at_ratio)
        denoiser = self._of(request, len(z))
        random = _between(request.seed, "reverse step", source, target)
        *_, last = trajectory(denoiser, z, grid, sampler, random)
        return self._decode(last.x)

    def _encode(self, x: ArrayLike) -> Tensor:
        shape = self.model.shape
        expected = f"Give finite numbers of shape (n, {', '.join(map(str, shape))})."
        points = as_numbers(x)
        if points is None:
            raise InputError("What was given is no array of numbers.", expected)
        if points.shape[1:] != shape or not len(points):
            what = f"Points of shape {points.shape} do not match a model of points of shape {shape}."
            raise InputError(what, expected)
        if not np.isfinite(points).all():
            raise InputError("Some of these points are not finite.", expected)
        z = (points.reshape(len(points), math.prod(shape)) - self._affine.shift) / self._affine.scale
        weight = next(self.model.denoiser.network.parameters())
        return torch.from_numpy(z.reshape(-1, *shape)).to(weight.dtype).to(weight.device)

    def _decode(self, z: Tensor) -> Points:
        flat = z.double().flatten(1).cpu().numpy()
        return (flat * self._affine.scale + self._affine.shift).reshape(-1, *self.model.shape)

    def _denoiser(self, options: Any, n: int) -> DenoiserLike:
        return self._of(self.generator.request(options, n), n)

    def _of(self, request: Request, n: int) -> DenoiserLike:
        """Return the denoiser of a request, without gradients."""
        conditioned = self.generator.conditioned(request, n)
        denoiser = self.model.denoiser if conditioned is None else conditioned(np.arange(n))

        def answer(x_t: Tensor, level: NoiseLevel) -> Tensor:
            with torch.no_grad():
                return denoiser(x_t, level)

        return answer


def _between(seed: int, purpose: str, source: NoiseLevel, target: NoiseLevel) -> torch.Generator:
    """Return the stream of a step between two levels: steps one after the other have independent noise."""
    ends = np.array([float(one) for one in (source.alpha, source.sigma, target.alpha, target.sigma)])
    return stream(seed, purpose, *ends.view(np.uint64).tolist())
