r"""What is the density of a model, in nats, at a point?

The probability-flow ODE maps data to noise deterministically, so that log-densities change only by its
divergence (Song et al. 2021, Eq. 39). It is integrated in coordinates that are not singular at either end.
With the angle :math:`\varphi = \arctan(\sigma/\alpha)` and

.. math::
    z = \frac{x_t}{\sqrt{\alpha^2 + \sigma^2}}, \qquad
    s = \log\tan\frac{\varphi}{2} = -\operatorname{arsinh}\frac{\alpha}{\sigma},

the flow :math:`dx = \hat x_0\, d\alpha + \hat\epsilon\, d\sigma` of any schedule is

.. math::  \frac{dz}{ds} = z \cos\varphi - \hat x_0, \qquad \cos\varphi = -\tanh s,

where s is about log(σ/2α) at low noise and 0 without signal. Along the flow

.. math::
    \log p_s(z_s) = \log p_T(z_T) + \int_s^{s_T} \nabla \cdot \frac{dz}{ds'}\, ds'.

**Which density.** The model is evaluated from t_min on. The value is the density of
:math:`x_{t_{min}} / \alpha_{t_{min}}`: that of the data with Gaussian noise of standard deviation
:math:`r = \sigma/\alpha` at t_min. Its relative difference from the density p of clean data is about
:math:`\tfrac12 r^2\, \nabla^2 p / p`: negligible where r is small against the finest structure of the data;
large at sharp edges, and for data on a curve or in isolated points, which have no density.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.errors import InputError
from diffuscope.likelihood.ode import Slope, follow, follow_nodes, follow_steps
from diffuscope.oracle import Oracle
from diffuscope.seeds import stream
from diffuscope.shares import shared

__all__ = ["LogDensity", "ModelFlow", "log_density"]

_POINTS = 2**10
_NUMBERS = 2**20
# If a schedule ends without signal, the integration stops at α/σ = 1e-6: derivatives of oracles may be 0/0
# beyond.
_NO_SIGNAL = -1e-6


class LogDensity(NamedTuple):
    """Log-densities and their errors, all of shape (n,) and float64, in nats.

    Attributes
    ----------
    error : Tensor
        Estimate of the numerical error: the sum over all steps of the difference of two orders. Usually it
        is much larger than the actual error.
    standard_error : Tensor
        Of Hutchinson's estimate, over its probes; 0 where the divergence is exact.
    evaluations : int
        Evaluations of the denoiser per point.
    nodes : tuple of float
        The ends of the steps; of the batch with the most steps.
    """

    value: Tensor
    error: Tensor
    standard_error: Tensor
    evaluations: int
    nodes: tuple[float, ...]


def log_density(
    denoiser: DenoiserLike,
    schedule: Schedule,
    x: Tensor,
    *,
    prior: Oracle | None = None,
    tolerance: float = 1e-5,
    probes: int = 16,
    seed: int = 0,
    batch: int | None = None,
    nodes: Sequence[float] | None = None,
    conditioned: Callable[[NDArray[np.intp]], DenoiserLike] | None = None,
) -> LogDensity:
    r"""Return the log-density of a model at points, through its probability-flow ODE.

    Steps are adaptive for continuous schedules, for oracles and for networks that are conditioned on the
    log-SNR. A network that is conditioned on an integer time is defined at the schedule's levels only: there
    the ODE is integrated from each level to the next, ``tolerance`` is ignored, and ``error`` shows whether
    the levels are too coarse.

    Parameters
    ----------
    denoiser : DenoiserLike
        Differentiable; each row of its output may depend on the same row of the points only.
    schedule : Schedule
        Its t_min determines which density this is, see above.
    x : Tensor of shape (n, ...)
        Clean points in the units of the model. The computation uses their type and device.
    prior : Oracle, optional
        The distribution, in the units of the model, whose noised density is used at the noisy end. By default
        :math:`N(0, (\alpha^2 + \sigma^2) I)`, from which samplers start.
    tolerance : float
        Largest error of a step at any point, in nats, as a multiple of :math:`1 + |\hat\epsilon|^2/2`:
        relative for points that are as unlikely as noise of that size.
    probes : int
        Number of vector-Jacobian products per evaluation. In up to this many dimensions the divergence is
        exact; above, it is Hutchinson's estimate with this many Rademacher vectors, fixed along the
        trajectory of a point.
    seed : int
        Of those vectors.
    batch : int, optional
        Points per batch: 1,024 by default, or fewer in high dimension. A batch shares its steps, so that the
        batch size changes values within the error.
    nodes : sequence of float, optional
        Use the steps of an earlier call, its ``nodes``, instead of a tolerance: then a point's value does not
        depend on other points. For adaptive steps only.
    conditioned : callable, optional
        Gives the denoiser of the points with these numbers (m,), such as one of their classes, in the place
        of ``denoiser``.

    Raises
    ------
    InputError
        When ``tolerance``, ``probes`` or ``batch`` is not positive.
    RunError
        When the denoiser is not finite, or not smooth enough to be integrated.

    References
    ----------
    Song et al. 2021, section 4.3 and appendix D.2; Grathwohl et al. 2019, section 3.1.
    """
    if not 0 < tolerance < math.inf or probes < 1 or (batch is not None and batch < 1):
        raise InputError(
            f"tolerance = {tolerance!r}, probes = {probes!r} and batch = {batch!r} must be above 0.",
            "Omit them for the defaults 1e-5, 16 and 1,024.",
        )
    d = math.prod(x.shape[1:])
    size = batch or max(1, min(_POINTS, _NUMBERS // d))
    splits = list(enumerate(torch.split(x, size)))

    def piece(numbered: tuple[int, Tensor]) -> LogDensity:
        i, points = numbered
        signs = None  # the divergence is exact
        if d > probes:
            bits = torch.randint(0, 2, (probes, *points.shape), generator=stream(seed, "probe", i))
            signs = (2 * bits - 1).to(x.dtype).to(x.device)
        own = denoiser if conditioned is None else conditioned(np.arange(len(points)) + i * size)
        flow = ModelFlow(own, schedule, signs)
        start, stop, levels = flow.interval()
        shrink = -math.tanh(start)  # z = x cos φ
        with torch.no_grad():
            z = points.detach() * shrink
            if levels:
                state = follow_nodes(flow, z, levels)
            elif nodes is not None:
                state = follow_steps(flow, z, nodes)
            else:
                state = follow(flow, z, start, stop, tolerance)
            volumes, z, level = state.volume.double().cpu(), state.z.double().cpu(), flow.level(stop)
            if prior is None:
                end = -0.5 * z.flatten(1).square().sum(1) - 0.5 * d * math.log(2 * math.pi)
            else:
                scale = level.alpha.hypot(level.sigma)
                end = prior.log_density(scale * z, level) + d * scale.log()
        value = end + volumes.mean(1) + d * math.log(shrink)
        standard_error = torch.full_like(value, 0.0 if signs is None else math.nan)
        if volumes.shape[1] > 1:
            standard_error = volumes.std(1) / math.sqrt(probes)
        return LogDensity(value, state.error.double().cpu(), standard_error, flow.evaluations, state.nodes)

    what = f"log-densities of {len(x):,} points"
    pieces = list(shared(piece, splits, x.device, what=what)) if len(x) else []
    if not pieces:
        none = torch.zeros(0, dtype=torch.float64)
        return LogDensity(none, none, none, 0, ())
    value, error, standard_error, evaluations, paths = zip(*pieces, strict=True)
    whole = (torch.cat(value), torch.cat(error), torch.cat(standard_error))
    return LogDensity(*whole, max(evaluations), max(paths, key=len))


@dataclass
class ModelFlow:
    """The probability flow of a model in z and s, with its divergence; it counts its evaluations.

    ``probes`` (k, n, ...) are the vectors of Hutchinson's estimate; without them the divergence is exact.
    """

    denoiser: DenoiserLike
    schedule: Schedule
    probes: Tensor | None
    evaluations: int = 0

    @property
    def _any_level(self) -> bool:
        """Whether the denoiser is defined between the schedule's times."""
        on_log_snr = getattr(self.denoiser, "conditioning", "time") == "log_snr"
        return not self.schedule.discrete or on_log_snr or isinstance(self.denoiser, Oracle)

    def interval(self) -> tuple[float, float, list[float]]:
        """Return s at both ends, and at all levels if the denoiser is defined at those only."""
        first, last = self.schedule.t_min, self.schedule.t_max
        times = torch.tensor([first, last]) if self._any_level else torch.arange(int(first), int(last) + 1)
        nodes = (-(1 / self.schedule(times).ratio).asinh()).tolist()
        if self._any_level:
            return nodes[0], min(nodes[1], _NO_SIGNAL), []
        return nodes[0], nodes[-1], nodes

    def level(self, s: float) -> NoiseLevel:
        """Return the noise level at s."""
        ratio = 1 / torch.tensor(-s, dtype=torch.float64).sinh()
        level = self.schedule.at_ratio(ratio)
        if self.schedule.discrete and self._any_level:
            angle = ratio.atan()
            return NoiseLevel(level.t, angle.cos(), angle.sin())
        return level

    def __call__(self, s: float, z: Tensor) -> Slope:
        """Return the slope at points (n, ...), and its divergence: (n, 1) or (n, k)."""
        self.evaluations += 1
        level = self.level(s)
        cos, d = -math.tanh(s), math.prod(z.shape[1:])
        scale = coefficient(level.alpha.hypot(level.sigma), z)
        written_out = getattr(self.denoiser, "with_trace", None)  # of a perceptron, without autograd
        if self.probes is None and written_out and (known := written_out(scale * z, level)) is not None:
            x_0, trace = known
            return Slope(cos * z - x_0, (d * cos - scale * trace)[:, None])
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            x_0 = self.denoiser(scale * leaf, level)
            if self.probes is None:  # the trace (n, 1) of the Jacobian of x_0
                traces, flat = z.new_zeros(len(z), 1), x_0.flatten(1)
                for j in range(d):
                    traces[:, 0] += _gradient(flat[:, j].sum(), leaf, j + 1 < d).flatten(1)[:, j]
            else:  # an estimate of it by each probe (n, k)
                k = len(self.probes)
                products = [
                    (_gradient((x_0 * v).sum(), leaf, i + 1 < k) * v).flatten(1).sum(1)
                    for i, v in enumerate(self.probes)
                ]
                traces = torch.stack(products, 1)
        return Slope(cos * z - x_0.detach(), d * cos - traces)

    @torch.no_grad()
    def velocity(self, s: float, z: Tensor) -> Tensor:
        """Return the slope of the points alone, of their shape (n, ...)."""
        self.evaluations += 1
        level = self.level(s)
        return -math.tanh(s) * z - self.denoiser(coefficient(level.alpha.hypot(level.sigma), z) * z, level)

    def score(self, s: float, z: Tensor, slope: Slope) -> Tensor:
        r"""Return :math:`(\hat x_0 \cos\varphi - z)/\sin^2\varphi`, with the estimate in the slope."""
        cos = -math.tanh(s)
        return -z - slope.z * (cos * math.cosh(s) ** 2)


def _gradient(value: Tensor, leaf: Tensor, again: bool) -> Tensor:
    (gradient,) = torch.autograd.grad(value, leaf, retain_graph=again)
    return gradient
