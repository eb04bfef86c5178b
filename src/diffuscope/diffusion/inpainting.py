r"""How does a walk go where a part of every point is known? The known part says what it was.

The estimate of :math:`x_0` is replaced where it is known. A walk that starts there from
:math:`\alpha x_0 + \sigma \epsilon` then stays on :math:`q(x_t \mid x_0)`, whichever sampler walks.
That alone lets what is filled in fit its edges only as well as one look back at each level can make it;
taking each step several times, with fresh noise in between, lets both sides of an edge settle
(Lugmayr et al. 2022, "RePaint", Algorithm 1).
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
    """A denoiser of points of which some coordinates are known.

    Parameters
    ----------
    denoiser : DenoiserLike
    value : Tensor of shape (n, ...)
        What is known, in the units of the model; anything elsewhere.
    unknown : Tensor of shape (n, ...) or one that is broadcast to it, bool
        The coordinates that are asked of the denoiser.
    """

    denoiser: DenoiserLike
    value: Tensor
    unknown: Tensor

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate of x_0, the shape of ``x_t``, with the known coordinates in their place."""
        return torch.where(self.unknown, self.denoiser(x_t, level), self.value)


@dataclass(frozen=True)
class RePaintSampler:
    """A sampler that takes every step but the last several times, with noise in between.

    Parameters
    ----------
    sampler : Sampler
        One that needs nothing of earlier steps.
    times : int
        How often; 1 is the sampler itself.

    Raises
    ------
    InputError
        When ``times`` is not positive.
    """

    sampler: Sampler
    times: int

    def __post_init__(self) -> None:
        if self.times < 1:
            raise InputError(f"A step cannot be taken {self.times} times.", "Choose 1 to 20.")

    def __call__(self, context: SamplingContext, x: Tensor) -> Tensor:
        """Do one step."""
        for again in reversed(range(1 if context.is_last else self.times)):
            context.history = []
            there = self.sampler(context, x)
            if again:
                x = q_step(there, context.target, context.now, context.noise(there))
        return there
