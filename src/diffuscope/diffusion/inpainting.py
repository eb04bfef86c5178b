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
    """A denoiser of points with some known coordinates.

    Parameters
    ----------
    denoiser : DenoiserLike
    value : Tensor of shape (n, ...)
        The known values, in the units of the model; ignored elsewhere.
    unknown : Tensor of shape (n, ...) or broadcastable to it, bool
        The coordinates to be generated.
    """

    denoiser: DenoiserLike
    value: Tensor
    unknown: Tensor

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate of x_0, the shape of ``x_t``, with the known values inserted."""
        return torch.where(self.unknown, self.denoiser(x_t, level), self.value)


@dataclass(frozen=True)
class RePaintSampler:
    """A sampler that repeats every step but the last, with fresh noise in between.

    Parameters
    ----------
    sampler : Sampler
        A single-step sampler.
    times : int
        Number of repetitions; 1 is the sampler itself.

    Raises
    ------
    InputError
        When ``times`` is not positive.
    """

    sampler: Sampler
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(
                f"The number of repetitions of a step must be at least 1, not {self.times}.",
                "Choose 1 to 20.",
            )

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        for again in reversed(range(1 if context.is_last else self.times)):
            context.history = []
            there = self.sampler(context, x)
            if again:
                x = q_step(there, context.target, context.now, context.noise(there))
        return there
