"""How is a network conditioned on a mask, and how is its output turned into an estimate of the data?"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.masked.categorical import Choices
from diffuscope.diffusion.masked.gaussian import Factors
from diffuscope.diffusion.masked.mask import Mask
from diffuscope.diffusion.predictions import input_scale, output_coefficients
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["FLAGS", "MaskedDenoiser"]

FLAGS = 2
"""Inputs of each column beside its coordinates: whether it is known, and whether it is absent."""


class MaskedDenoiser(Denoiser):
    """A denoiser whose network maps (n, d + 2c), (n,) to (n, d): coordinates, and two flags of c columns.

    ``columns`` has the column of each coordinate, by default its own; all coordinates of one share a state.
    """

    first: Tensor

    def __init__(self, *arguments: Any, columns: Sequence[int] | None = None, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.pattern: Mask | None = None  # of one row: the mask where none is given
        first = [] if columns is None else [columns.index(column) for column in sorted(set(columns))]
        self.register_buffer("first", torch.tensor(first, dtype=torch.int64))

    def prior(self, x_t: Tensor, level: NoiseLevel) -> Tensor | None:
        """Return log-probabilities (n, c) of categories by their noisy points alone, if there are any."""
        if self.choices is None:
            return None
        return self.choices.prior(x_t / coefficient(level.alpha, x_t), level.ratio.square())

    def network_inputs(
        self, x_t: Tensor, level: NoiseLevel, mask: Mask, prior: Tensor | None = None
    ) -> Tensor:
        """Return the input of the network, shape (n, d + 2c).

        A noisy number is scaled to variance 1. A noisy category is replaced by its posterior mean given its
        own coordinates alone: of many categories these are mostly noise, which would drown the numbers. The
        ``prior`` is that of :meth:`prior`, which is computed where it is not given.
        """
        c_in = coefficient(input_scale(self.prediction, level, self.sigma_data), x_t)
        point = c_in * x_t
        if self.choices is not None:
            prior = self.prior(x_t, level) if prior is None else prior
            assert prior is not None
            means = self.choices.means(self.choices.log_softmax(prior))
            point = point.index_copy(1, self.choices.where, means)
        point = torch.where(mask.known, mask.value, point).masked_fill(mask.absent, 0.0)
        flags = [
            part.index_select(1, self.first) if len(self.first) else part
            for part in (mask.known, mask.absent)
        ]
        return torch.cat([point, *(flag.to(point.dtype) for flag in flags)], 1)

    def forward(  # type: ignore[override]
        self, x_t: Tensor, level: NoiseLevel, mask: Mask | None = None
    ) -> Tensor:
        """Return the estimate of x_0 (n, d); known values are unchanged, absent ones are 0."""
        mask = self.default_mask(x_t) if mask is None else mask
        prior = self.prior(x_t, level)
        output = raw = self._raw(x_t, level, mask, prior)
        skip, out = output_coefficients(self.prediction, level, self.sigma_data)
        if self.factors is not None:
            output = output - self.gaussian_offset(x_t, level, mask)
        x_0 = self._clamp(coefficient(skip, x_t) * x_t + coefficient(out, x_t) * output, x_t, level)
        if self.choices is not None and prior is not None:
            where = self.choices.where
            means = self.choices.means(self.choices.log_softmax(prior + raw.index_select(1, where)))
            x_0 = x_0.index_copy(1, where, means)
        return torch.where(mask.known, mask.value, x_0.masked_fill(mask.absent, 0.0))

    def default_mask(self, like: Tensor) -> Mask:
        """Return the pattern for points (n, d); where there is none, all coordinates are noisy."""
        if self.pattern is None:
            return Mask.all_noisy(like)
        value, known, absent = (part.to(like.device).expand(len(like), -1) for part in self.pattern)
        return Mask(value.to(like.dtype), known, absent)

    def with_pattern(self, pattern: Mask) -> MaskedDenoiser:
        """Return the denoiser, of the same network, that has a mask of one row where none is given."""
        made = copy.copy(self)
        made.pattern = pattern
        return made

    def log_probabilities(self, x_t: Tensor, level: NoiseLevel, mask: Mask) -> Tensor:
        """Return log-probabilities of categories without their own noisy points, shape (n, c)."""
        assert self.choices is not None
        output = self._raw(x_t, level, mask)
        return self.choices.log_softmax(self.choices.prior(x_t) + output.index_select(1, self.choices.where))

    def _raw(self, x_t: Tensor, level: NoiseLevel, mask: Mask, prior: Tensor | None = None) -> Tensor:
        inputs = self.network_inputs(x_t, level, mask, prior)
        return self.network(inputs, self.condition(level, x_t).expand(len(x_t)))  # type: ignore[no-any-return]

    def _clamp(self, x_0: Tensor, x_t: Tensor, level: NoiseLevel) -> Tensor:
        if self.factors is None:
            return x_0
        return self.factors.clamp(x_0, x_t / coefficient(level.alpha, x_t), level.ratio)

    @property
    def choices(self) -> Choices | None:
        """The categorical coordinates, if there are any."""
        choices: Choices | None = getattr(self.network, "choices", None)
        return choices if choices is not None and len(choices.where) else None

    @property
    def factors(self) -> Factors | None:
        """The Gaussian model that the network's output is added to, if there is one."""
        return getattr(self.network, "factors", None)

    def gaussian_offset(self, x_t: Tensor, level: NoiseLevel, mask: Mask) -> Tensor:
        r"""Return the offset between target and output of the network that the Gaussian model makes, (n, d).

        :math:`(c_{skip} x_t - E_{normal}[x_0 \mid x_t]) / c_{out}`, written without cancellation at low
        noise. For the prediction "edm".
        """
        assert self.factors is not None
        ratio, s = coefficient(level.ratio, x_t), self.sigma_data
        y = x_t / coefficient(level.alpha, x_t)
        noise = self.factors.noise(y, level.ratio.square(), mask)
        width = (ratio.square() + s**2).sqrt()
        return ratio * width / s * (noise - y / width.square())

    def conditioned(self, mask: Mask) -> DenoiserLike:  # type: ignore[override]
        """Return the denoiser conditioned on a mask, row by row."""
        return partial(self.forward, mask=mask)

    def guided(
        self, mask: Mask, guiding: Tensor, scale: float, low: float = 0.0, high: float = math.inf
    ) -> DenoiserLike:
        """Return the denoiser guided by some known coordinates of the mask: ``guiding``, shape (d,), bool.

        ``scale``, ``low`` and ``high`` are those of :mod:`diffuscope.diffusion.guidance`.
        """
        value, known, absent = mask
        unguided = Mask(value, known & ~guiding, absent | guiding)
        guide = ClassifierFreeGuidance(self.conditioned(mask), self.conditioned(unguided), scale, low, high)

        def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
            return torch.where(known, value, self._clamp(guide(x_t, level), x_t, level))

        return denoise
