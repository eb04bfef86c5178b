r"""What can be said of a point's coordinates? Each is noisy, known or absent.

A model of a table is asked in many ways: for whole rows, for the holes of a row, for rows of a class, for
the density of what was measured. One network answers them all, if it is told the state of every coordinate:

* *noisy*: :math:`x_t = \alpha x_0 + \sigma \epsilon`, as ever;
* *known*: :math:`x_0` itself stands in the place of the noisy value;
* *absent*: nothing is known of it, and 0 stands there.

It is trained towards :math:`E[x_0 \mid \text{noisy}, \text{known}]` with states drawn at random, on noisy
coordinates alone. Then

* all noisy is the model of whole rows; some known is that of the rest given these: imputation, classes;
* some absent is the model of the others alone, exactly what their density asks for; values that are
  missing in the training data are absent whatever is drawn;
* the difference of known and absent is what classifier-free guidance amplifies (Ho & Salimans 2022).

Masks as in CSDI (Tashiro et al. 2021, section 4.2); the third state is what lets rows with holes be learned
from without first being filled.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diffuscope.denoiser import Denoiser, DenoiserLike, input_scale, output_coefficients, training_target
from diffuscope.forward import coefficient, q_sample
from diffuscope.losses import Examples, Loss, posterior_means
from diffuscope.schedules import NoiseLevel

__all__ = ["FLAGS", "Given", "Guided", "PartialDenoiser", "PartialLoss"]

FLAGS = 2
"""Numbers that a network is told of each coordinate besides its value: whether it is known, or absent."""


class Given(NamedTuple):
    """What is known of points, and what is left out.

    Attributes
    ----------
    value : Tensor of shape (n, d)
        Clean values, where they are known; anything finite elsewhere.
    known, absent : Tensor of shape (n, d), bool
        Never both.
    """

    value: Tensor
    known: Tensor
    absent: Tensor

    @classmethod
    def nothing(cls, like: Tensor) -> Given:
        """All coordinates are noisy."""
        none = torch.zeros_like(like, dtype=torch.bool)
        return cls(torch.zeros_like(like), none, none)

    def at(self, index: Tensor | slice) -> Given:
        """Return what is given of the points at ``index``."""
        return Given(self.value[index], self.known[index], self.absent[index])


class PartialDenoiser(Denoiser):
    """A denoiser whose network maps (n, 3d), (n,) to (n, d): coordinates, and which are known and absent."""

    def network_inputs(self, x_t: Tensor, level: NoiseLevel, given: Given) -> Tensor:
        """Return what the network sees, shape (n, 3d)."""
        c_in = coefficient(input_scale(self.prediction, level, self.sigma_data), x_t)
        point = torch.where(given.known, given.value, c_in * x_t).masked_fill(given.absent, 0.0)
        return torch.cat([point, given.known.to(point.dtype), given.absent.to(point.dtype)], 1)

    def forward(self, x_t: Tensor, level: NoiseLevel, given: Given | None = None) -> Tensor:
        """Return the estimate of x_0 (n, d); known values as they are."""
        given = Given.nothing(x_t) if given is None else given
        inputs = self.network_inputs(x_t, level, given)
        output = self.network(inputs, self.condition(level, x_t).expand(len(x_t)))
        skip, out = output_coefficients(self.prediction, level, self.sigma_data)
        x_0 = coefficient(skip, x_t) * x_t + coefficient(out, x_t) * output
        return torch.where(given.known, given.value, x_0)

    def told(self, given: Given) -> DenoiserLike:
        """Return the denoiser of the points of which that is given, row by row."""

        def denoise(x_t: Tensor, level: NoiseLevel) -> Tensor:
            return self.forward(x_t, level, given)

        return denoise


@dataclass(frozen=True)
class Guided:
    r"""Classifier-free guidance: :math:`D = D_{absent} + w\,(D_{known} - D_{absent})` (Ho & Salimans 2022).

    Parameters
    ----------
    denoiser : PartialDenoiser
    given : Given
        With the guiding coordinates known.
    guiding : Tensor of shape (d,), bool
        Which they are.
    scale : float
        w; 1 is the plain conditional model.
    low, high : float
        Noise-to-signal ratios between which it is done; elsewhere w = 1 (Kynkäänniemi et al. 2024).
    """

    denoiser: PartialDenoiser
    given: Given
    guiding: Tensor
    scale: float
    low: float = 0.0
    high: float = float("inf")

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the guided estimate of x_0."""
        known = self.denoiser.forward(x_t, level, self.given)
        if self.scale == 1 or not self.low <= level.ratio <= self.high:
            return known
        value, was_known, absent = self.given
        without = Given(value, was_known & ~self.guiding, absent | self.guiding)
        free = self.denoiser.forward(x_t, level, without)
        return torch.where(self.given.known, known, free + self.scale * (known - free))


@dataclass(frozen=True)
class PartialLoss(Loss):
    """The loss of a :class:`PartialDenoiser`, with states drawn at random; NaN in the data is absent.

    Parameters
    ----------
    partial : float
        Share of rows in which any coordinate is known or absent.
    groups : tuple of int
        The column that each coordinate belongs to: those of one column are in one state. Empty: each is
        a column of its own.
    """

    partial: float = 0.5
    groups: tuple[int, ...] = ()

    def of_columns(self, columns: Sequence[int]) -> PartialLoss:
        """Return the loss for coordinates of such columns."""
        return dataclasses.replace(self, groups=tuple(columns))

    def examples(self, denoiser: Denoiser, x_0: Tensor, level: NoiseLevel, eps: Tensor) -> Examples:
        """Draw states, noise ``x_0`` (n, d) and say what the network should answer."""
        assert isinstance(denoiser, PartialDenoiser)
        given = self._draw(x_0)
        missing = x_0.isnan()
        x_0 = x_0.nan_to_num(0.0)
        x_t = q_sample(x_0, level, eps)
        target_x, target_eps = x_0, eps
        if self.target == "posterior" and not missing.any():
            whole = ~(given.known | given.absent).any(1, keepdim=True)
            mean_x, mean_eps = posterior_means(x_0, level, eps, self.group)
            target_x, target_eps = torch.where(whole, mean_x, x_0), torch.where(whole, mean_eps, eps)
        noisy = (~(given.known | given.absent)).to(x_0.dtype)
        weight = noisy * (noisy.numel() / noisy.sum().clamp_min(1))
        own = self._weight(denoiser, level)
        return Examples(
            inputs=denoiser.network_inputs(x_t, level, given),
            condition=denoiser.condition(level, x_0),
            target=training_target(denoiser.prediction, target_x, target_eps, level, denoiser.sigma_data),
            weight=weight if own is None else weight * coefficient(own, x_0),
        )

    def _draw(self, x_0: Tensor) -> Given:
        """Draw which coordinates are known and absent, from torch's own random state."""
        n, d = x_0.shape
        groups = torch.tensor(self.groups or range(d), device=x_0.device)
        columns = int(groups.max()) + 1
        u = torch.rand(n, columns + 3, device=x_0.device)
        some = u[:, :1] < self.partial
        known = some & (u[:, 3:] < u[:, 1:2])
        again = torch.rand(n, columns, device=x_0.device)
        # In every second partial row some of what is not known is absent.
        absent = some & (u[:, 2:3] < 0.5) & ~known & (again < 2 * u[:, 2:3])
        missing = x_0.isnan()
        absent = absent[:, groups] | missing
        return Given(x_0.nan_to_num(0.0), known[:, groups] & ~missing, absent)
