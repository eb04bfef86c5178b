"""How does a network see what is known, what is absent and what is noisy, and what is made of its answer?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike, input_scale, output_coefficients
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.masked.choices import Choices
from diffuscope.diffusion.masked.factors import Factors
from diffuscope.diffusion.masked.mask import Mask
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["FLAGS", "MaskedDenoiser"]

FLAGS = 2
"""Numbers that a network is told of each coordinate besides its value: whether it is known, or absent."""


class MaskedDenoiser(Denoiser):
    """A denoiser whose network maps (n, 3d), (n,) to (n, d): coordinates, and which are known and absent."""

    def network_inputs(self, x_t: Tensor, level: NoiseLevel, given: Mask) -> Tensor:
        """Return what the network sees, shape (n, 3d)."""
        c_in = coefficient(input_scale(self.prediction, level, self.sigma_data), x_t)
        point = torch.where(given.known, given.value, c_in * x_t).masked_fill(given.absent, 0.0)
        return torch.cat([point, given.known.to(point.dtype), given.absent.to(point.dtype)], 1)

    def forward(  # type: ignore[override]
        self, x_t: Tensor, level: NoiseLevel, given: Mask | None = None
    ) -> Tensor:
        """Return the estimate of x_0 (n, d); known values as they are."""
        given = Mask.nothing(x_t) if given is None else given
        inputs = self.network_inputs(x_t, level, given)
        output = answer = self.network(inputs, self.condition(level, x_t).expand(len(x_t)))
        skip, out = output_coefficients(self.prediction, level, self.sigma_data)
        if self.factors is not None:
            output = output - self.foreseen(x_t, level, given)
        x_0 = coefficient(skip, x_t) * x_t + coefficient(out, x_t) * output
        if self.factors is not None:
            x_0 = self.factors.within(x_0, x_t / coefficient(level.alpha, x_t), level.ratio)
        if self.choices is not None:
            where, y = self.choices.where, x_t / coefficient(level.alpha, x_t)
            logits = self.choices.prior(y, level.ratio.square()) + answer[:, where]
            x_0 = x_0.index_copy(1, where, self.choices.means(self.choices.log_softmax(logits)))
        return torch.where(given.known, given.value, x_0)

    def log_probabilities(self, x_t: Tensor, level: NoiseLevel, given: Mask) -> Tensor:
        """Return log-probabilities of categories by all but their own points, shape (n, c)."""
        assert self.choices is not None
        inputs = self.network_inputs(x_t, level, given)
        answer = self.network(inputs, self.condition(level, x_t).expand(len(x_t)))
        return self.choices.log_softmax(self.choices.prior(x_t) + answer[:, self.choices.where])

    @property
    def choices(self) -> Choices | None:
        """The coordinates that are those of categories, where there are some."""
        choices: Choices | None = getattr(self.network, "choices", None)
        return choices if choices is not None and (choices.group >= 0).any() else None

    @property
    def factors(self) -> Factors | None:
        """The normal law that the network's answer is added to, where it has one."""
        return getattr(self.network, "factors", None)

    def foreseen(self, x_t: Tensor, level: NoiseLevel, given: Mask) -> Tensor:
        r"""Return what a normal law of the data takes from the network's answer, shape (n, d).

        :math:`(c_{skip} x_t - E_{normal}[x_0 \mid x_t]) / c_{out}`, written so that nothing cancels where
        there is little noise. Of the prediction "edm".
        """
        assert self.factors is not None
        ratio, s = coefficient(level.ratio, x_t), self.sigma_data
        y = x_t / coefficient(level.alpha, x_t)
        noise = self.factors.noise(y, level.ratio.square(), given)
        width = (ratio.square() + s**2).sqrt()
        return ratio * width / s * (noise - y / width.square())

    def conditioned(self, given: Mask) -> DenoiserLike:  # type: ignore[override]
        """Return the denoiser of the points of which that is given, row by row."""

        def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
            return self.forward(x_t, level, given)

        return denoise

    def guided(
        self, given: Mask, guiding: Tensor, scale: float, low: float = 0.0, high: float = math.inf
    ) -> DenoiserLike:
        """Return the denoiser that amplifies some of the condition (:mod:`diffuscope.diffusion.guidance`).

        Parameters
        ----------
        given : Mask
            With the guiding coordinates known.
        guiding : Tensor of shape (d,), bool
            Which they are.
        scale, low, high : float
        """
        value, known, absent = given
        without = Mask(value, known & ~guiding, absent | guiding)
        beyond = ClassifierFreeGuidance(self.conditioned(given), self.conditioned(without), scale, low, high)

        def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
            x_0 = beyond(x_t, level)
            if self.factors is not None:
                x_0 = self.factors.within(x_0, x_t / coefficient(level.alpha, x_t), level.ratio)
            return torch.where(known, value, x_0)

        return denoise
