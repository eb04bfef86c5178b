r"""How is a class, or whatever else is asked for, made more of than the law itself makes of it?

.. math::  D_w = D_{uncond} + w\,(D_{cond} - D_{uncond})

Classifier-free guidance (Ho & Salimans 2022): w = 1 is the conditional law, more makes samples more typical
and less varied. Kynkäänniemi et al. (2024) find that it helps at middling noise only, and so it can be bound
to an interval of :math:`\sigma/\alpha`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError

__all__ = ["ClassifierFreeGuidance"]


@dataclass(frozen=True)
class ClassifierFreeGuidance:
    """A denoiser that is drawn from one answer past another.

    Parameters
    ----------
    conditional, unconditional : DenoiserLike
    scale : float
        w.
    low, high : float
        Noise-to-signal ratios between which it is done; elsewhere w = 1.

    Raises
    ------
    InputError
        When the scale is not finite, or nothing lies between the ratios.
    """

    conditional: DenoiserLike
    unconditional: DenoiserLike
    scale: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise InputError(f"A guidance of {self.scale} is not a finite number.", "1 is none; take 1 to 5.")
        if not 0 <= self.low < self.high:
            raise InputError(
                f"No noise lies between the ratios {self.low} and {self.high} of guidance.",
                "Give two ratios of noise to signal, the smaller first, such as 0.2 and 5.",
            )

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the guided estimate of x_0, the shape of ``x_t`` (n, ...), at a level of shape ()."""
        conditional = self.conditional(x_t, level)
        if self.scale == 1 or not self.low <= level.ratio <= self.high:
            return conditional
        unconditional = self.unconditional(x_t, level)
        return unconditional + self.scale * (conditional - unconditional)
