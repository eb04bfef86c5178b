r"""At which noise levels is the network wrong, and what does that do to the samples?

At a level with noise-to-signal ratio r the error of a denoiser splits in two,

.. math::
    E|\hat x_0 - x_0|^2 = \underbrace{E|\hat x_0 - E[x_0 \mid x_t]|^2}_{\text{excess}}
                        + \underbrace{E|x_0 - E[x_0 \mid x_t]|^2}_{\text{irreducible}},

and only an oracle knows the second part, which is the zero line of every loss curve. Both are reported on the
scale :math:`(r^2 + s^2)/(r s)^2` of Karras et al. (2022, Table 1), s the deviation of the data, on which a
denoiser that knows nothing but mean and deviation has at most 1 at every level.

What an error does to the samples is measured: the network walks through one band of levels, the exact
denoiser through all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diagnosis.clouds import Clouds, Configuration, Share
from diffuscope.diagnosis.subject import PerCloud, Subject, for_cloud
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike, output_coefficients
from diffuscope.diffusion.process import coefficient, q_sample
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["Band", "LevelErrors", "banded", "level_errors", "measure_bands", "perfect_loss", "telling_levels"]

_LEVELS = 16
_POINTS = 4_096
_DROWNED = 20.0
_BANDS = 4
_BAND_CLOUDS = 4
_LOSS_BATCHES = 8
_LOSS_BATCH = 2_048


@dataclass(frozen=True)
class LevelErrors:
    """The errors of a denoiser, level by level; arrays of shape (k,), from the noisiest on.

    Attributes
    ----------
    ratio : ndarray
        σ/α of the level.
    excess, irreducible : ndarray
        Means per coordinate, on the scale of the module's docstring.
    """

    ratio: NDArray[np.float64]
    excess: NDArray[np.float64]
    irreducible: NDArray[np.float64]

    @property
    def mean_excess(self) -> float:
        """One number for all levels."""
        return float(self.excess.mean())


def level_errors(subject: Subject, denoiser: DenoiserLike) -> LevelErrors:
    """Compare a denoiser with the exact one, along the informative levels of a trajectory."""
    rows = []
    for i in telling_levels(subject, _LEVELS):
        level = subject.grid.levels.at(i)
        x_0, x_t = subject.noised(level, k=1000 + i, n=_POINTS)
        exact = subject.ask(subject.perfect, x_t, level)
        answer = subject.ask(denoiser, x_t, level)
        scale = level_scale(level.ratio, subject.spread)
        rows.append([level.ratio.item(), scale * _mean(answer - exact), scale * _mean(x_0 - exact)])
    return LevelErrors(*np.array(rows).T)


def telling_levels(subject: Subject, count: int) -> list[int]:
    """Return the numbers of up to ``count`` levels of a trajectory, evenly spaced.

    Levels with more than 20 times as much noise as data are left out: there is nothing left to know there but
    the mean, while reading it off a prediction of noise multiplies every error by σ/α.
    """
    grid = subject.grid
    drowned = int((grid.levels.ratio[:-1] > _DROWNED * subject.spread).sum())
    last = grid.n_steps - 1
    picked: list[int] = np.unique(np.linspace(min(drowned, last), last, count).round().astype(int)).tolist()
    return picked


def level_scale(ratio: Tensor, spread: float) -> float:
    """Return the scale of an error at a level; without any signal that of the data alone."""
    r = ratio.item()
    return 1 / spread**2 if not np.isfinite(r) else (r**2 + spread**2) / (r * spread) ** 2


def _mean(error: Tensor) -> float:
    return float(error.double().square().mean())


@dataclass(frozen=True)
class Band:
    """A range of noise levels, and what the network's errors in it do to the samples.

    Attributes
    ----------
    high, low : float
        Noise-to-signal ratios of its ends.
    share : Share
    """

    high: float
    low: float
    share: Share

    def __str__(self) -> str:
        low, high = f"{self.low:.2g}", f"{self.high:.2g}"
        return f"σ/α from {low} to {high}" if low != high else f"σ/α = {low}"


def banded(
    subject: Subject, inside: DenoiserLike, outside: DenoiserLike, first: float, last: float
) -> DenoiserLike:
    """Return a denoiser that is ``inside`` for ratios in [last, first], ``outside`` elsewhere."""

    def of_cloud(k: int) -> DenoiserLike:
        def denoiser(x_t: Tensor, level: NoiseLevel) -> Tensor:
            answer = inside if last <= level.ratio.item() <= first else outside
            return subject.ask(for_cloud(answer, k), x_t.cpu(), level).to(x_t)

        return denoiser

    return PerCloud(of_cloud)


def measure_bands(subject: Subject, clouds: Clouds, own_start: NDArray[np.float64]) -> list[Band]:
    """Measure bands of equally many steps, from the noisiest on; ``own_start`` as the budget has it."""
    ratio = subject.grid.levels.ratio[:-1].numpy()
    count = min(_BAND_CLOUDS, clouds.count)
    bands = []
    for part in np.array_split(ratio, min(_BANDS, len(ratio))):
        mixed = banded(subject, subject.denoiser, subject.perfect, part[0], part[-1])
        values = clouds.distances(Configuration(mixed), count)
        bands.append(Band(float(part[0]), float(part[-1]), clouds.share(values, own_start[:count])))
    return bands


def perfect_loss(subject: Subject) -> float | None:
    """Return what the loss would be of a network that answers exactly; None where there is no network."""
    denoiser, training = subject.denoiser, subject.training
    if not isinstance(denoiser, Denoiser):
        return None
    values = []
    for k in range(_LOSS_BATCHES):
        generator = subject.generator("loss", k)
        x_0 = subject.x[torch.randint(len(subject.x), (_LOSS_BATCH,), generator=generator)]
        level = subject.schedule(training.times.draw(subject.schedule, 1, _LOSS_BATCH, generator)[0])
        eps = torch.randn(x_0.shape, generator=generator)
        examples = training.loss.examples(denoiser, x_0, level, eps)
        x_t = q_sample(x_0, level, eps).double()
        skip, out = (
            coefficient(c, x_t) for c in output_coefficients(denoiser.prediction, level, denoiser.sigma_data)
        )
        answer = (subject.perfect(x_t, level) - skip * x_t) / out
        values.append(training.loss.value(answer.to(x_0), examples).item())
    return float(np.mean(values))
