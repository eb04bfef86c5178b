"""What is the state of sampling, what may a step use, and how are the steps run?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.schedules import Grid, NoiseLevel
from diffuscope.errors import InputError
from diffuscope.seeds import RowStreams

__all__ = ["Estimate", "Sampler", "SamplingContext", "SamplingState", "in_range", "prior", "trajectory"]


class SamplingState(NamedTuple):
    """The points ``x`` (n, ...) of a trajectory after ``step`` steps, and their noise level, shape ()."""

    step: int
    x: Tensor
    level: NoiseLevel

    def __repr__(self) -> str:
        t, alpha, sigma = (value.item() for value in self.level)
        of = f"x {tuple(self.x.shape)} {str(self.x.dtype).removeprefix('torch.')}"
        return f"SamplingState(step {self.step}: {of}, t = {t:.4g}, alpha = {alpha:.4g}, sigma = {sigma:.4g})"


class Estimate(NamedTuple):
    """The data estimate of an earlier step, with its point and level."""

    x_0: Tensor
    x: Tensor
    level: NoiseLevel


@dataclass
class SamplingContext:
    """What a step may use besides the point: the denoiser, the grid, fresh noise, earlier estimates.

    Noise is of the ``generator``, or, where there are ``streams``, of each row's own stream.
    """

    denoiser: DenoiserLike
    grid: Grid
    generator: torch.Generator
    step: int = 0
    history: list[Estimate] = field(default_factory=list)
    streams: RowStreams | None = None

    @property
    def now(self) -> NoiseLevel:
        """The current level of the points."""
        return self.grid.levels.at(self.step)

    @property
    def target(self) -> NoiseLevel:
        """The level at the end of this step."""
        return self.grid.levels.at(self.step + 1)

    @property
    def is_last(self) -> bool:
        """Whether this is the last step."""
        return self.step + 1 == self.grid.n_steps

    def noise(self, x: Tensor) -> Tensor:
        """Return fresh standard normal noise of the shape of ``x``, drawn on the generator's device."""
        if self.streams is not None:
            return self.streams.normal(tuple(x.shape), x.dtype)
        z = torch.randn(x.shape, generator=self.generator, device=self.generator.device, dtype=x.dtype)
        return z.to(x.device)

    def estimate(self, x: Tensor, keep: int = 0) -> Tensor:
        """Evaluate the denoiser at the current level; keep the last ``keep`` estimates in ``history``."""
        x_0 = self.denoiser(x, self.now)
        if keep:
            self.history = [*self.history, Estimate(x_0, x, self.now)][-keep:]
        return x_0


class Sampler(Protocol):
    """One sampling step: from points (n, ...) at ``context.now`` to points at ``context.target``."""

    def __call__(self, context: SamplingContext, x: Tensor, /) -> Tensor:
        """Return the points at the next level, shape (n, ...)."""
        ...


def in_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """Refuse a setting of a sampler that is not between ``low`` and ``high``, both included."""
    if isinstance(value, bool) or not low <= value <= high:
        most = "" if high == math.inf else f" and at most {high:g}"
        raise InputError(
            f"{name} must be at least {low:g}{most}, not {value!r}.", f"The range is {low:g} to {high:g}."
        )


def prior(grid: Grid, shape: tuple[int, ...], generator: torch.Generator | RowStreams) -> Tensor:
    """Draw the starting points of ``grid``: noise of standard deviation ``prior_std``, float32."""
    if isinstance(generator, RowStreams):
        return grid.prior_std * generator.normal(shape)
    noise = torch.randn(shape, generator=generator, device=generator.device, dtype=torch.float32)
    return grid.prior_std * noise


@torch.no_grad()
def trajectory(
    denoiser: DenoiserLike,
    x: Tensor,
    grid: Grid,
    sampler: Sampler,
    generator: torch.Generator,
    streams: RowStreams | None = None,
) -> Iterator[SamplingState]:
    """Sample from ``x`` (n, ...) at the first level of ``grid`` down to its last, without gradients.

    It yields the start and the state after each step: ``grid.n_steps + 1`` of them. With ``streams`` the
    noise of each point is of its own stream, else all is of the ``generator``.
    """
    context = SamplingContext(denoiser, grid, generator, streams=streams)
    yield SamplingState(0, x, grid.levels.at(0))
    for step in range(grid.n_steps):
        context.step = step
        x = sampler(context, x)
        yield SamplingState(step + 1, x, grid.levels.at(step + 1))
