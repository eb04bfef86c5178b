r"""How does a network learn a law without noise in its targets? From the posterior means of a mixture.

A training target is the clean point, or its noise, given only the noisy one: mostly noise, which the network
has to average out. A mixture of Gaussians fitted to the points has a posterior mean in closed form, by
Tweedie's formula, with the score of :mod:`diffuscope.diffusion.mixture`, :math:`y = x_t / \alpha` and
:math:`r = \sigma / \alpha`,

.. math::
    E[x_0 \mid x_t] = y + r^2\, \nabla \log q_r(y), \qquad
    E[\epsilon \mid x_t] = -r\, \nabla \log q_r(y) .

The network is trained towards these: its targets have no noise, and what is rough in the mixture for having
been fitted to few points is smoothed. Levels are rounded to a fixed grid, so that all points of a level share
their matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Examples, Loss
from diffuscope.diffusion.mixture import Mixture, NoisedMixture
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["MixtureLoss"]

_LEVELS_PER_UNIT = 8  # of log(σ/α)
_ROWS = 512  # whose shares of all components fit into a core's cache


@dataclass(frozen=True)
class MixtureLoss(Loss):
    """The distance of a network from the posterior means of a ``mixture``, in the units of the model.

    For points (n, d) without labels.
    """

    mixture: Mixture = field(kw_only=True)
    _noised: dict[float, NoisedMixture] = field(default_factory=dict, init=False, repr=False, compare=False)

    def examples(
        self,
        denoiser: Denoiser,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        label: Tensor | None = None,
    ) -> Examples:
        """Add the noise ``eps`` to ``x_0`` (n, d) at ``level`` (n,), rounded; return inputs and targets."""
        ratio = (level.ratio.log() * _LEVELS_PER_UNIT).round().div(_LEVELS_PER_UNIT).exp()
        return super().examples(denoiser, x_0, denoiser.schedule.at_ratio(ratio), eps, label)

    def means(
        self,
        denoiser: Denoiser,
        x_t: Tensor,
        x_0: Tensor,
        level: NoiseLevel,
        eps: Tensor,
        label: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the posterior means of data and noise at noisy points (n, d)."""
        y = x_t / level.alpha.to(x_t)[:, None]
        ratios, kind = torch.unique(level.ratio, return_inverse=True)
        score = torch.empty_like(y)
        counts = kind.bincount(minlength=len(ratios)).tolist()
        for ratio, index in zip(ratios.tolist(), torch.split(kind.argsort(), counts), strict=True):
            noised = self._at(ratio)
            for part in torch.split(index, _ROWS):
                score[part] = noised.score(y[part])
        r = level.ratio.to(x_t)[:, None]
        return y + r.square() * score, -r * score

    def _at(self, ratio: float) -> NoisedMixture:
        """Return the mixture with noise of this deviation."""
        if ratio not in self._noised:
            self._noised[ratio] = NoisedMixture(self.mixture, ratio**2)
        return self._noised[ratio]
