r"""How small can the mean squared error of x_0 be, at each of many levels? Measured at some, with errors.

The error changes smoothly with the logarithm of r = σ/α once it is divided by that of a denoiser that knows
nothing but a deviation s, :math:`r^2 s^2 / (r^2 + s^2)`. So it is measured at some levels and interpolated.
Interpolation is linear in the measured values; so what a row contributes to the mean over all levels is
known, and with it the error of that mean. What interpolation itself may cost is its difference from that of
every other level. The same rows and noise serve all levels. :math:`|\epsilon|^2 - d` and
:math:`\epsilon \cdot x_0` have mean 0, and explain much of the chance in the error of a row: they serve as
control variates.

Where the law is known the denoiser is exact, and rows are drawn from the law.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.schedules import NoiseLevel
from diffuscope.monitoring.visited import Visited
from diffuscope.oracle import Oracle
from diffuscope.seeds import stream, stream_seed
from diffuscope.threads import side_by_side

__all__ = ["CERTAIN", "Curve", "Measure", "Nodes", "exact_curve", "measure", "row_errors"]

Array = NDArray[np.float64]

CERTAIN = 1.96  # standard errors to either side: 95%
_ALL = 64  # so few levels are all measured
_DROWNED = 1e3
_WORK = 2e8  # numbers in the intermediate results of an oracle: a few seconds
_MOST, _LEAST = 16_384, 1_024
_LEAST_REGRESSED = 20


@dataclass(frozen=True)
class Curve:
    """Floors at k levels and their mean as training draws levels, each with its 95% interval.

    ``value``, ``low`` and ``high`` (k,) are losses, ``mean`` the three for the mean over levels.
    """

    value: Array
    low: Array
    high: Array
    mean: tuple[float, float, float]


@dataclass(frozen=True)
class Nodes:
    """The levels that are measured, and how their values become those of all levels.

    ``index`` (m,) are their numbers among all, ``matrix`` (k, m) is the interpolation, ``coarse`` that of
    every other one; ``scale`` (k,) is the error that knowing nothing but s would have.
    """

    index: NDArray[np.int_]
    matrix: Array
    coarse: Array
    scale: Array

    @classmethod
    def of(cls, visited: Visited, spread: float, count: int, smooth: bool) -> Nodes:
        """Choose levels evenly in log σ/α; ``smooth`` interpolates by cubic splines, else by lines."""
        ratio = visited.level.ratio.numpy()
        with np.errstate(invalid="ignore", over="ignore"):
            scale = np.where(np.isinf(ratio), spread**2, 1 / (1 / ratio**2 + 1 / spread**2))
        k = len(ratio)
        if k <= _ALL:
            eye = np.eye(k)
            return cls(np.arange(k), eye, eye, scale)
        z = np.log(np.minimum(ratio, _DROWNED * spread))
        keep = np.flatnonzero(np.diff(z, prepend=-np.inf) > 1e-9)  # beyond, there is nothing but noise
        wanted = np.linspace(z[keep[0]], z[keep[-1]], count)
        index = np.unique(keep[np.abs(z[keep][None] - wanted[:, None]).argmin(1)])
        every_other = np.unique([*range(0, len(index), 2), len(index) - 1])
        some = np.zeros((k, len(index)))
        some[:, every_other] = _interpolation(z[index[every_other]], z, smooth)
        return cls(index, _interpolation(z[index], z, smooth), some, scale)


def _interpolation(at: Array, z: Array, smooth: bool) -> Array:
    """Return the matrix (k, m) from values at m places to those at k."""
    if smooth and len(at) >= 4:
        from scipy.interpolate import CubicSpline

        return np.asarray(CubicSpline(at, np.eye(len(at)))(z))
    return np.stack([np.interp(z, at, unit) for unit in np.eye(len(at))], axis=1)


def row_errors(denoiser: DenoiserLike, x_0: Tensor, eps: Tensor, level: NoiseLevel) -> Array:
    """Return the mean squared error of the estimate of each row (n,) at one level."""
    error = denoiser(level.alpha * x_0 + level.sigma * eps, level) - x_0
    return np.asarray(error.double().square().mean(1).numpy())


def noise_like(x: Tensor, seed: int, place: str) -> Tensor:
    """Return standard normal noise of the shape of ``x``, float64."""
    return torch.randn(x.shape, generator=stream(seed, "loss floor", place), dtype=torch.float64)


@dataclass(frozen=True)
class Measure:
    """Errors of independent rows (n,) at the nodes, over the error of knowing nothing, and over all levels.

    ``at_nodes`` is (m, n); ``whole`` (n,) is what each row adds to the loss that a training reports. What
    the noise explains of their chance is taken out.
    """

    nodes: Nodes
    weight: Array  # (k,): share of the training, times what turns an error into a loss
    at_nodes: Array
    whole: Array

    @property
    def mean(self) -> Array:
        """Of the rows, (m,)."""
        return np.asarray(self.at_nodes.mean(1))

    @property
    def deviation(self) -> Array:
        """Of the rows, (m,)."""
        return np.asarray(self.at_nodes.std(1, ddof=1))

    @property
    def bend(self) -> Array:
        """What interpolation may cost at each level, (k,)."""
        return np.asarray(np.abs((self.nodes.coarse - self.nodes.matrix) @ self.mean))

    @property
    def bend_of_whole(self) -> float:
        """What interpolation may cost the mean over all levels."""
        return abs(float(self.weight @ (self.nodes.coarse - self.nodes.matrix) @ self.mean))


def measure(
    denoiser: DenoiserLike, x_0: Tensor, seed: int, place: str, visited: Visited, nodes: Nodes, rows: int
) -> Measure:
    """Measure a denoiser on x_0 (N, d), which are ``rows`` different ones, again and again in this order."""
    eps = torch.randn(x_0.shape, generator=stream(seed, "loss floor", place), dtype=torch.float64)
    levels = [visited.level.at(int(i)) for i in nodes.index]
    errors = np.stack(list(side_by_side(lambda level: row_errors(denoiser, x_0, eps, level), levels)))
    values = errors / nodes.scale[nodes.index, None]
    weight = visited.share * visited.factor * nodes.scale
    controls = torch.stack([eps.square().sum(1) - eps.shape[1], (eps * (x_0 - x_0.mean(0))).sum(1)]).numpy()
    together = np.concatenate([values, (weight @ nodes.matrix @ values)[None], controls])
    by_row = together.reshape(len(together), -1, rows).mean(1)
    adjusted = _adjusted(by_row[:-2], by_row[-2:])
    return Measure(nodes, weight, adjusted[:-1], adjusted[-1])


def exact_curve(oracle: Oracle, visited: Visited, spread: float, seed: int) -> Curve:
    """Return the floor of a known law, in the units of the model."""
    nodes = Nodes.of(visited, spread, count=48, smooth=True)
    first = visited.level.at(slice(0, 1))
    cost = oracle._cost(first.alpha.reshape(1, 1), first.sigma.reshape(1, 1)) + 4 * oracle.d
    n = int(np.clip(_WORK / (cost * len(nodes.index)), _LEAST, _MOST))
    x_0 = oracle.draw(n, int(stream_seed(seed, "loss floor", "rows") % 2**32))
    found = measure(oracle, x_0, seed, "noise", visited, nodes, n)
    unit = visited.factor * nodes.scale
    chance = CERTAIN / math.sqrt(n)
    value = unit * np.maximum(nodes.matrix @ found.mean, 0)
    half = unit * (chance * np.abs(nodes.matrix) @ found.deviation + found.bend)
    whole = float(found.whole.mean())
    off = chance * float(found.whole.std(ddof=1)) + found.bend_of_whole
    mean = whole, max(whole - off, 0.0), whole + off
    return Curve(value, np.maximum(value - half, 0), value + half, mean)


def _adjusted(values: Array, controls: Array) -> Array:
    """Return values (m, n) without what controls (c, n), of mean 0, explain of their chance."""
    n = values.shape[1]
    if n < _LEAST_REGRESSED:
        return values
    centred = controls - controls.mean(1, keepdims=True)
    slope = np.linalg.lstsq(centred.T, (values - values.mean(1, keepdims=True)).T, rcond=None)[0]
    return np.asarray(values - slope.T @ controls)
