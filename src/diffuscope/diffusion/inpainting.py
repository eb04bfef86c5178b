r"""How are points sampled of which some coordinates are known? By inpainting.

The estimate of :math:`x_0` is replaced by the known values. A trajectory that starts there from
:math:`\alpha x_0 + \sigma \epsilon` then stays on :math:`q(x_t \mid x_0)`, for every sampler.
The generated part may still fit its surroundings poorly. Repeating each step several times, with fresh noise
in between, harmonises the two (Lugmayr et al. 2022, "RePaint", Algorithm 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import q_step
from diffuscope.diffusion.samplers import Sampler, SamplingContext
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError

__all__ = ["InpaintingDenoiser", "RePaintSampler"]


@dataclass(frozen=True)
class InpaintingDenoiser:
    """A denoiser of points with some known coordinates: ``value``, (n, ...), in the units of the model.

    ``unknown``, bool, broadcastable to that shape, says which coordinates are to be generated.
    """

    denoiser: DenoiserLike
    value: Tensor
    unknown: Tensor

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate of x_0 with the known values inserted."""
        return torch.where(self.unknown, self.denoiser(x_t, level), self.value)


@dataclass(frozen=True)
class RePaintSampler:
    """A single-step sampler that does all steps but the last ``times`` times, with fresh noise between."""

    sampler: Sampler
    times: int

    def __post_init__(self) -> None:
        if not 1 <= self.times <= 10_000:
            few = "at least 1" if self.times < 1 else "at most 10,000"
            raise InputError(
                f"The number of repetitions of a step must be {few}, not {self.times}.", "Choose 1 to 20."
            )

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        for again in reversed(range(1 if context.is_last else self.times)):
            context.history = []
            there = self.sampler(context, x)
            if again:
                x = q_step(there, context.target, context.now, context.noise(there))
        return there
