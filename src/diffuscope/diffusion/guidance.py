r"""How is the influence of a condition, such as a class, strengthened? By classifier-free guidance.

.. math::  D_w = D_{uncond} + w\,(D_{cond} - D_{uncond})

(Ho & Salimans 2022). w = 1 samples the conditional distribution; a larger w makes samples more typical and
less diverse. Kynkäänniemi et al. (2024) find that guidance helps at medium noise only, so it can be limited
to an interval of :math:`\sigma/\alpha`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.errors import InputError

__all__ = ["ClassifierFreeGuidance", "check_scale"]

_LARGEST = 1e3


def check_scale(scale: float) -> None:
    """Refuse a scale of guidance that is not a number from 0 to 1,000."""
    number = not isinstance(scale, bool | str)
    if not number or not 0 <= scale <= _LARGEST:
        raise InputError(
            f"The guidance scale must be a finite number from 0 to {_LARGEST:,.0f}, not {scale!r}.",
            "0 samples without the condition, 1 without guidance; 1 to 5 is usual.",
        )


@dataclass(frozen=True)
class ClassifierFreeGuidance:
    """A denoiser that extrapolates from the unconditional estimate past the conditional one.

    ``scale`` is w, from 0 to 1,000. Guidance is applied at noise-to-signal ratios from ``low`` to ``high``;
    elsewhere w = 1.
    """

    conditional: DenoiserLike
    unconditional: DenoiserLike
    scale: float
    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        check_scale(self.scale)
        if not 0 <= self.low < self.high:
            raise InputError(
                f"The guidance interval from {self.low} to {self.high} is not valid.",
                "Give two noise-to-signal ratios, the smaller first, such as 0.2 and 5.",
            )

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the guided estimate of x_0 at a level of shape ()."""
        conditional = self.conditional(x_t, level)
        if self.scale == 1 or not self.low <= level.ratio <= self.high:
            return conditional
        unconditional = self.unconditional(x_t, level)
        return unconditional + self.scale * (conditional - unconditional)
