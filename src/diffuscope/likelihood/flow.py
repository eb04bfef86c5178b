r"""What is the density of a model, in nats, at a point?

The probability-flow ODE carries data to noise without any chance, so that densities change only by the
volume that it makes (Song et al. 2021, Eq. 39). It is followed in coordinates in which nothing is
singular at either end. With the angle :math:`\varphi = \arctan(\sigma/\alpha)` and

.. math::
    z = \frac{x_t}{\sqrt{\alpha^2 + \sigma^2}}, \qquad
    s = \log\tan\frac{\varphi}{2} = -\operatorname{arsinh}\frac{\alpha}{\sigma},

the flow :math:`dx = \hat x_0\, d\alpha + \hat\epsilon\, d\sigma` of any schedule is

.. math::  \frac{dz}{ds} = z \cos\varphi - \hat x_0, \qquad \cos\varphi = -\tanh s,

and s is log(σ/2α) where there is little noise and 0 where there is no signal. Along it

.. math::
    \log p_s(z_s) = \log p_T(z_T) + \int_s^{s_T} \nabla \cdot \frac{dz}{ds'}\, ds'.

**Which density.** A model is asked down to t_min, not below. The value is the density of
:math:`x_{t_{min}} / \alpha_{t_{min}}`: that of the data with Gaussian noise of standard deviation
:math:`r = \sigma/\alpha` at t_min. From the density p of clean data it differs by about
:math:`\tfrac12 r^2\, \nabla^2 p / p`, relatively: by nothing where r is small against the finest structure
of the data; by much at sharp edges, and for data on a curve or in points, which have no density of
their own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.process import coefficient
from diffuscope.diffusion.schedules import NoiseLevel, Schedule
from diffuscope.errors import InputError
from diffuscope.likelihood.ode import Slope, follow, follow_nodes, follow_steps
from diffuscope.oracle import Oracle
from diffuscope.seeds import stream
from diffuscope.threads import side_by_side

__all__ = ["LogDensity", "ModelFlow", "log_density"]

_POINTS = 2**10
_NUMBERS = 2**20
# Where a schedule ends without any signal the flow is left this much earlier, at α/σ = 1e-6: derivatives
# of oracles may be 0/0 there.
_SILENT = -1e-6


class LogDensity(NamedTuple):
    """Log-densities, and how well they are known.

    Attributes
    ----------
    value : Tensor of shape (n,), float64
        In nats, for points in the units in which they were given.
    error : Tensor of shape (n,), float64
        Estimate of the numerical error in nats: the sum of what all steps got wrong, by the difference of
        two orders. As a rule it is much larger than the error.
    standard_error : Tensor of shape (n,), float64
        Of Hutchinson's estimate, over its probes; 0 where the divergence is exact.
    evaluations : int
        How often a point was shown to the denoiser.
    nodes : tuple of float
        Where the steps ended; of the piece with most of them.
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
) -> LogDensity:
    r"""Return the log-density of a model at points, through its probability-flow ODE.

    With a continuous schedule the steps are chosen to a tolerance; so they are with a discrete one if the
    denoiser is an oracle, or a network that is told the signal-to-noise ratio. A network that is told
    an integer time has no answers between: there the flow is followed from each of the schedule's
    levels to the next. What those are too coarse for shows in ``error``; ``tolerance`` has no part in it.

    Parameters
    ----------
    denoiser : DenoiserLike
        Differentiable; each row of its answer may depend on that row of the points only.
    schedule : Schedule
        Its t_min says which density this is, see above.
    x : Tensor of shape (n, ...)
        Clean points in the units of the model. The work is done in their type and on their device.
    prior : Oracle, optional
        The law, in the units of the model, whose noised density stands at the noisy end. By default that is
        :math:`N(0, (\alpha^2 + \sigma^2) I)`, from which samplers start.
    tolerance : float
        Largest error of a step at any point, in nats, as a multiple of :math:`1 + |\hat\epsilon|^2/2`:
        relative where a point is as unlikely as noise of that size.
    probes : int
        Products with the denoiser's Jacobian that an evaluation may cost. In up to so many dimensions
        the divergence is exact; above, it is Hutchinson's estimate by so many Rademacher vectors, the
        same ones all along a point's way.
    seed : int
        Of those vectors.
    batch : int, optional
        Points that are worked on together: 1,024 by default, or fewer in high dimension. The steps are
        common to them, so that it changes values within the error.
    nodes : sequence of float, optional
        Take the steps that an earlier call took, its ``nodes``, whatever the tolerance: then a point's value
        depends on no other point. Only where the steps are chosen.

    Returns
    -------
    LogDensity

    Raises
    ------
    InputError
        When ``tolerance``, ``probes`` or ``batch`` is not above 0.
    RunError
        When the denoiser is not finite on the way, or too rough to be followed.

    References
    ----------
    Song et al. 2021, section 4.3 and appendix D.2; Grathwohl et al. 2019, section 3.1.
    """
    if not 0 < tolerance < math.inf or probes < 1 or (batch is not None and batch < 1):
        raise InputError(
            f"tolerance = {tolerance!r}, probes = {probes!r} and batch = {batch!r} are not all above 0.",
            "Leave them out for 1e-5, 16 and 1,024.",
        )
    d = math.prod(x.shape[1:])
    splits = enumerate(torch.split(x, batch or max(1, min(_POINTS, _NUMBERS // d))))

    def piece(numbered: tuple[int, Tensor]) -> LogDensity:
        i, points = numbered
        flow = ModelFlow(denoiser, schedule, _probes(points, probes, seed, i))
        return _piece(flow, points, prior, tolerance, nodes)

    pieces = list(side_by_side(piece, splits, x.device)) if len(x) else []
    if not pieces:
        none = torch.zeros(0, dtype=torch.float64)
        return LogDensity(none, none, none, 0, ())
    value, error, standard_error, evaluations, ways = zip(*pieces, strict=True)
    whole = (torch.cat(value), torch.cat(error), torch.cat(standard_error))
    return LogDensity(*whole, max(evaluations), max(ways, key=len))


def _probes(x: Tensor, probes: int, seed: int, piece: int) -> Tensor | None:
    """Return signs of shape (probes, n, ...), or None where the divergence can be exact."""
    if math.prod(x.shape[1:]) <= probes:
        return None
    bits = torch.randint(0, 2, (probes, *x.shape), generator=stream(seed, "probe", piece))
    return (2 * bits - 1).to(x.dtype).to(x.device)


def _piece(
    flow: ModelFlow, x: Tensor, prior: Oracle | None, tolerance: float, steps: Sequence[float] | None
) -> LogDensity:
    d = math.prod(x.shape[1:])
    start, stop, nodes = flow.way()
    shrink = -math.tanh(start)  # z = x cos φ
    with torch.no_grad():
        z = x.detach() * shrink
        if nodes:
            state = follow_nodes(flow, z, nodes)
        elif steps is not None:
            state = follow_steps(flow, z, steps)
        else:
            state = follow(flow, z, start, stop, tolerance)
        volumes = state.volume.double().cpu()
        end = _log_end(state.z, flow.level(stop), prior)
    value = end + volumes.mean(1) + d * math.log(shrink)
    k = volumes.shape[1]
    spread = volumes.std(1) / math.sqrt(k) if k > 1 else torch.full_like(value, math.nan)
    known = flow.probes is None
    standard_error = torch.zeros_like(value) if known else spread
    return LogDensity(value, state.error.double().cpu(), standard_error, flow.evaluations, state.nodes)


def _log_end(z: Tensor, level: NoiseLevel, prior: Oracle | None) -> Tensor:
    """Log-density (n,) of z at the noisy end."""
    d = math.prod(z.shape[1:])
    z = z.double().cpu()
    if prior is None:
        return -0.5 * z.flatten(1).square().sum(1) - 0.5 * d * math.log(2 * math.pi)
    scale = level.alpha.hypot(level.sigma)
    return prior.log_density(scale * z, level) + d * scale.log()


@dataclass
class ModelFlow:
    """The probability flow of a model in z and s, with its divergence; it counts its evaluations.

    Attributes
    ----------
    denoiser : DenoiserLike
    schedule : Schedule
    probes : Tensor of shape (k, n, ...) or None
        The vectors of Hutchinson's estimate; without them the divergence is exact.
    evaluations : int
        Calls of the denoiser so far.
    """

    denoiser: DenoiserLike
    schedule: Schedule
    probes: Tensor | None
    evaluations: int = 0

    @property
    def _any_level(self) -> bool:
        """Whether the denoiser has answers between the schedule's times."""
        told_ratio = getattr(self.denoiser, "conditioning", "time") == "log_snr"
        return not self.schedule.discrete or told_ratio or isinstance(self.denoiser, Oracle)

    def way(self) -> tuple[float, float, list[float]]:
        """Return s at both ends, and at all levels between if there are no others."""
        if self._any_level:
            ends = torch.tensor([self.schedule.t_min, self.schedule.t_max])
            start, stop = (-(1 / self.schedule(ends).ratio).asinh()).tolist()
            return start, min(stop, _SILENT), []
        times = torch.arange(int(self.schedule.t_min), int(self.schedule.t_max) + 1)
        nodes = (-(1 / self.schedule(times).ratio).asinh()).tolist()
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
        cos = -math.tanh(s)
        scale = coefficient(level.alpha.hypot(level.sigma), z)
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            x_0 = self.denoiser(scale * leaf, level)
            traces = self._traces(x_0, leaf)
        d = math.prod(z.shape[1:])
        return Slope(cos * z - x_0.detach(), d * cos - traces)

    def _traces(self, x_0: Tensor, leaf: Tensor) -> Tensor:
        """Trace (n, 1) of the Jacobian of x_0 by ``leaf``, or an estimate by each probe (n, k)."""
        if self.probes is None:
            flat = x_0.flatten(1)
            total = torch.zeros(len(leaf), dtype=leaf.dtype, device=leaf.device)
            for j in range(flat.shape[1]):
                total += _gradient(flat[:, j].sum(), leaf, j + 1 < flat.shape[1]).flatten(1)[:, j]
            return total[:, None]
        k = len(self.probes)
        products = [
            (_gradient((x_0 * v).sum(), leaf, i + 1 < k) * v).flatten(1).sum(1)
            for i, v in enumerate(self.probes)
        ]
        return torch.stack(products, 1)

    def score(self, s: float, z: Tensor, slope: Slope) -> Tensor:
        r"""Return :math:`(\hat x_0 \cos\varphi - z)/\sin^2\varphi`, with the estimate in the slope."""
        cos = -math.tanh(s)
        return -z - slope.z * (cos * math.cosh(s) ** 2)


def _gradient(value: Tensor, leaf: Tensor, again: bool) -> Tensor:
    (gradient,) = torch.autograd.grad(value, leaf, retain_graph=again)
    return gradient
