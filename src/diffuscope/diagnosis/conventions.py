"""Does the network mean what its owner thinks it means?

Two mistakes make a good network look hopeless, and leave a trace that can be read. An output that is taken
for the wrong quantity (noise, data, velocity, flow) becomes right when it is read as another. And a
network that was trained under another schedule answers a time as if it meant another noise level: for
each time there is a level at which its answers are right, only not the one that the schedule says.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from diffuscope.diagnosis.levels import LevelErrors, level_errors, level_scale, telling_levels
from diffuscope.diagnosis.subject import Points, Subject
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike, Prediction, convert, output_coefficients
from diffuscope.diffusion.schedules import NoiseLevel

__all__ = ["Labels", "Reading", "better_labels", "better_reading"]

_READINGS: tuple[Prediction, ...] = ("noise", "data", "velocity", "flow")
_MUCH_BETTER = 0.25
_FITS = 0.3  # a trained network, rightly read, is far below; knowing nothing is 1, a wrong reading near it
_A_SAY = 0.5
_FITS_WELL = 0.1  # so many ratios are tried that one always fits by half
_TIMES = 7
_RATIOS = 49
_REACH = 30.0
_POINTS = 1_024
_SAME = 1.25


@dataclass(frozen=True)
class Reading:
    """The network with its output read as ``meant`` and not as ``assumed``, and the errors of that."""

    assumed: Prediction
    meant: Prediction
    denoiser: DenoiserLike
    errors: LevelErrors


def better_reading(subject: Subject, now: LevelErrors) -> Reading | None:
    """Look for a reading with a quarter of the present error or less, in which the network has a say.

    An output of 0 says nothing, and is a fair guess in some readings: the error must be half of its or less.
    """
    own = subject.denoiser.prediction if isinstance(subject.denoiser, Denoiser) else None
    found = []
    for assumed, meant in permutations(_READINGS, 2):
        if own in (None, assumed):
            read = _reread(subject.denoiser, assumed, meant)
            errors = level_errors(subject, read)
            if np.isfinite(errors.mean_excess):
                found.append(Reading(assumed, meant, read, errors))
    best = min(found, key=lambda reading: reading.errors.mean_excess, default=None)
    if best is None or best.errors.mean_excess > min(_FITS, _MUCH_BETTER * now.mean_excess):
        return None
    meant = best.meant
    silence = level_errors(subject, lambda x, level: convert(torch.zeros_like(x), x, level, meant, "data"))
    return best if best.errors.mean_excess < _A_SAY * silence.mean_excess else None


def _reread(denoiser: DenoiserLike, assumed: Prediction, meant: Prediction) -> DenoiserLike:
    """Take the output of which ``denoiser`` made x_0 as ``assumed`` for what is ``meant``."""

    def read(x_t: Tensor, level: NoiseLevel) -> Tensor:
        output = convert(denoiser(x_t, level), x_t, level, "data", assumed)
        return convert(output, x_t, level, meant, "data")

    return read


@dataclass(frozen=True)
class Labels:
    """What noise levels the network takes its times for.

    Times ``t`` with their σ/α under the schedule and the σ/α at which the network's answers fit best, all of
    shape (k,); the mean error of the answers then, and the network at the times it would give the levels.
    """

    t: Points
    claimed: Points
    believed: Points
    error: float
    denoiser: DenoiserLike


def better_labels(subject: Subject) -> Labels | None:
    """Look for the noise levels that the network's answers fit; None if they are those of the schedule."""
    denoiser = subject.denoiser
    if not isinstance(denoiser, Denoiser):
        return _labels(subject, "noise") or _labels(subject, "data")
    # one that is conditioned on the level itself has no times
    return None if denoiser.conditioning == "log_snr" else _labels(subject, denoiser.prediction)


def _labels(subject: Subject, prediction: Prediction) -> Labels | None:
    rows = []
    for i in telling_levels(subject, _TIMES):
        level = subject.grid.levels.at(i)
        claimed = level.ratio.item()
        ratios = np.geomspace(max(claimed / _REACH, 1e-3), min(claimed * _REACH, 1e3), _RATIOS)
        errors = [_error_at(subject, prediction, level, r, k) for k, r in enumerate(ratios)]
        own = _error_at(subject, prediction, level, claimed, 0)
        best = int(np.argmin(errors))
        rows.append((level.t.item(), claimed, ratios[best], errors[best], own))
    t, claimed, believed, best_error, own_error = np.array(rows).T
    off = np.exp(np.abs(np.log(believed / claimed)))
    if np.median(off) < _SAME or best_error.mean() > min(_FITS_WELL, _MUCH_BETTER * own_error.mean()):
        return None
    return Labels(t, claimed, believed, float(best_error.mean()), _relabelled(subject, t, believed))


def _error_at(subject: Subject, prediction: Prediction, level: NoiseLevel, ratio: float, k: int) -> float:
    """Return the network's error when it gets ``level`` with points at another ratio."""
    shown = _level_like(level, ratio)
    _, x_t = subject.noised(shown, k=2000 + k, n=_POINTS)
    answer = subject.ask(subject.denoiser, x_t, level)
    # Undo the affine map of the claimed level, do that of the level shown: the bare output stays.
    skip, out = output_coefficients(prediction, level)
    output = (answer.double() - skip * x_t) / out
    skip, out = output_coefficients(prediction, shown)
    exact = subject.oracle(0)(x_t, shown)
    error = (skip * x_t + out * output - exact).square().mean().item()
    return level_scale(shown.ratio, subject.spread) * error


def _level_like(level: NoiseLevel, ratio: float) -> NoiseLevel:
    """Return the level of a ratio in the family of ``level``: α = 1, α + σ = 1, or α² + σ² = 1."""
    alpha, sigma = level.alpha.item(), level.sigma.item()
    if abs(alpha - 1) < 1e-9:
        a = 1.0
    elif abs(alpha + sigma - 1) < 1e-9:
        a = 1 / (1 + ratio)
    else:
        a = (1 + ratio**2) ** -0.5
    return NoiseLevel(level.t, *torch.tensor([a, a * ratio], dtype=torch.float64))


def _relabelled(subject: Subject, t: Points, believed: Points) -> DenoiserLike:
    order = np.argsort(believed)
    at, times = np.log(believed[order]), t[order]

    def denoiser(x_t: Tensor, level: NoiseLevel) -> Tensor:
        time = torch.tensor(np.interp(np.log(level.ratio.item()), at, times), dtype=torch.float64)
        dtype = level.t.dtype
        own = time if dtype.is_floating_point else time.round().to(dtype)
        return subject.denoiser(x_t, level._replace(t=own))

    return denoiser
