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

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from diffuscope.diagnosis.distances import FIRST_CLOUDS, Clouds, Share
from diffuscope.diagnosis.subject import PerCloud, Points, Subject, for_cloud
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.diffusion.predictions import convert
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = [
    "Band",
    "LevelErrors",
    "MeasuredLoss",
    "level_errors",
    "level_scale",
    "mean_error",
    "measure_bands",
    "measured_loss",
    "perfect_loss",
    "telling_levels",
]

_LEVELS = 16
_POINTS = 4_096
_DROWNED = 20.0
_BANDS = 4
_LOSS_BATCHES = 8
_LOSS_BATCH, _LOSS_NUMBERS = 2_048, 2**19


@dataclass(frozen=True)
class LevelErrors:
    """Mean errors per coordinate at k levels, noisiest first, on the scale of the module's docstring."""

    ratio: Points  # σ/α
    excess: Points
    irreducible: Points

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
        errors = subject.ask(denoiser, x_t, level) - exact, x_0 - exact
        scale = level_scale(level.ratio, subject.spread)
        rows.append([level.ratio.item(), *(scale * float(e.double().square().mean()) for e in errors)])
    return LevelErrors(*np.array(rows).T)


def mean_error(subject: Subject, denoiser: DenoiserLike) -> float:
    """Return one number for the errors of a denoiser, which only its own errors change.

    Where the law is known it is the mean excess error; elsewhere the mean squared error itself, as an
    empirical oracle is no measure of a network that generalises beyond its points.
    """
    if subject.is_exact:
        return level_errors(subject, denoiser).mean_excess
    errors = []
    for i in telling_levels(subject, _LEVELS):
        level = subject.grid.levels.at(i)
        x_0, x_t = subject.noised(level, k=1000 + i, n=_POINTS)
        error = (subject.ask(denoiser, x_t, level) - x_0).double().square().mean()
        errors.append(level_scale(level.ratio, subject.spread) * float(error))
    return float(np.mean(errors))


def telling_levels(subject: Subject, count: int) -> list[int]:
    """Return the numbers of up to ``count`` levels of a trajectory, evenly spaced.

    Levels with more than 20 times as much noise as data are left out: there is nothing left to know there but
    the mean, while reading it off a prediction of noise multiplies every error by σ/α.
    """
    drowned = int((subject.grid.levels.ratio[:-1] > _DROWNED * subject.spread).sum())
    last = subject.grid.n_steps - 1
    picked: list[int] = np.unique(np.linspace(min(drowned, last), last, count).round().astype(int)).tolist()
    return picked


def level_scale(ratio: Tensor, spread: float) -> float:
    """Return the scale of an error at a level; without any signal that of the data alone."""
    r = ratio.item()
    return 1 / spread**2 if not np.isfinite(r) else (r**2 + spread**2) / (r * spread) ** 2


@dataclass(frozen=True)
class Band:
    """A range of noise-to-signal ratios, and what the network's errors in it do to the samples."""

    high: float
    low: float
    share: Share

    def __str__(self) -> str:
        low, high = f"{self.low:.2g}", f"{self.high:.2g}"
        return f"σ/α from {low} to {high}" if low != high else f"σ/α = {low}"


def measure_bands(clouds: Clouds) -> list[Band]:
    """Measure bands of equally many steps, from the noisiest on."""
    subject, exact = clouds.subject, clouds.subject.perfect

    def mixed(high: float, low: float) -> DenoiserLike:
        """Return the network between two ratios, and the exact denoiser elsewhere."""

        def of_cloud(k: int) -> DenoiserLike:
            def denoiser(x_t: Tensor, level: NoiseLevel) -> Tensor:
                inside = low <= level.ratio.item() <= high
                answer = subject.denoiser if inside else for_cloud(exact, k)
                return subject.ask(answer, x_t.cpu(), level).to(x_t)

            return denoiser

        return PerCloud(of_cloud)

    ratio = subject.grid.levels.ratio[:-1].numpy()
    bands = []
    for part in np.array_split(ratio, min(_BANDS, len(ratio))):
        high, low = float(part[0]), float(part[-1])
        values = clouds.distances(mixed(high, low), FIRST_CLOUDS)
        bands.append(Band(high, low, clouds.share(values, clouds.own_start[: len(values)])))
    return bands


def perfect_loss(subject: Subject) -> float | None:
    """Return what the loss would be of a network that answers exactly; None where that is not known."""
    denoiser = subject.denoiser
    if type(denoiser) is not Denoiser or not subject.is_exact:
        return None

    def answer(x_t: Tensor, level: NoiseLevel) -> Tensor:
        exact = subject.perfect(x_t.double(), level)
        return convert(exact, x_t.double(), level, "data", denoiser.prediction, denoiser.sigma_data).to(x_t)

    return _loss(subject, denoiser, answer).value


class MeasuredLoss(NamedTuple):
    """A mean loss over batches, and its standard error."""

    value: float
    error: float


def measured_loss(subject: Subject) -> MeasuredLoss:
    """Return the loss of the network as it stands, on training data with fresh noise and times."""
    denoiser = subject.denoiser
    assert isinstance(denoiser, Denoiser)

    def answer(x_t: Tensor, level: NoiseLevel) -> Tensor:
        with torch.no_grad():
            return denoiser.network_output(x_t.to(subject.device), level).to(x_t)

    return _loss(subject, denoiser, answer)


def _loss(
    subject: Subject, denoiser: Denoiser, answer: Callable[[Tensor, NoiseLevel], Tensor]
) -> MeasuredLoss:
    """Return the loss of training of whatever answers (x_t, level) as the network does."""
    training, values = subject.training, []
    for k in range(_LOSS_BATCHES):
        generator = subject.generator("loss", k)
        size = min(_LOSS_BATCH, max(16, _LOSS_NUMBERS // subject.d))
        x_0 = subject.x[torch.randint(len(subject.x), (size,), generator=generator)]
        level = subject.schedule(training.times.draw(subject.schedule, 1, size, generator)[0])
        eps = torch.randn(x_0.shape, generator=generator)
        examples = training.loss.examples(denoiser, x_0, level, eps)
        x_t = q_sample(x_0, level, eps)
        values.append(training.loss.value(answer(x_t, level), examples).item())
    return MeasuredLoss(float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values))))
