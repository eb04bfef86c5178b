r"""How is a flow integrated together with its change of volume, and what is the error of a step?

The flow is :math:`dz/ds = f(s, z)`, its log-volume :math:`dV/ds = \nabla \cdot f`. The result is
:math:`\log p_s(z_s) = \log p_T(z_T) + V`. A step's error (e_z, e_V) in both changes it by

.. math::  e = e_V + \nabla \log p_s(z) \cdot e_z,

independently of later steps: errors are measured in nats, step by step.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from diffuscope.errors import RunError

__all__ = ["Flow", "Slope", "State", "follow", "follow_nodes", "follow_steps"]

_FIRST_STEP = 0.1
_LEAST_STEP = 1e-10
_MOST_STEPS = 3_000
_ROUNDINGS = 4
_SAFETY, _LEAST_FACTOR, _MOST_FACTOR = 0.9, 0.2, 5.0
_MULTISTEP_ORDER = 3

# Dormand and Prince 1980, Table 2, order 5(4). The last row is the result; its slope is the first of the next
# step. _ERROR is the difference of the two orders.
_ROWS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_WITHOUT_VOLUME = 1  # the slope that neither of them has: what it would do to the volume is not needed
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class Slope(NamedTuple):
    """Derivatives with respect to s of the points (n, ...), and of k estimates of the log-volume (n, k)."""

    z: Tensor
    volume: Tensor


class State(NamedTuple):
    """Points (n, ...), log-volume (n, k) and error in nats (n,) so far, and the nodes of all steps."""

    z: Tensor
    volume: Tensor
    error: Tensor
    nodes: tuple[float, ...]


class Flow(Protocol):
    """A vector field with a density: its slope, and the gradient of log p given the slope."""

    def __call__(self, s: float, z: Tensor, /) -> Slope:
        """Return the slope at points (n, ...)."""

    def velocity(self, s: float, z: Tensor, /) -> Tensor:
        """Return the slope of the points alone, of their shape (n, ...)."""

    def score(self, s: float, z: Tensor, slope: Slope, /) -> Tensor:
        """Return the gradient of the log-density at points (n, ...), of the same shape."""


def follow(flow: Flow, z: Tensor, start: float, stop: float, tolerance: float) -> State:
    """Integrate a flow with adaptive steps (Dormand and Prince, order 5) from z (n, ...) at ``start``.

    All points take the same steps, determined by the point with the largest error. ``tolerance`` is the
    largest error of a step: in nats, as a multiple of 1 + ε²/2 where ε is the noise in a point, and in
    position, as a multiple of the noise's standard deviation in z, 1 / cosh s. A flow that is not finite, or
    a step size that underflows, is a RunError.
    """
    s, h, slope = start, _FIRST_STEP, flow(start, z)
    state = State(z, torch.zeros_like(slope.volume), z.new_zeros(len(z)), (start,))
    for _ in range(_MOST_STEPS):
        last = s + h >= stop
        h = stop - s if last else h
        after, end_slope, score, error = _step(flow, state, slope, s, h, s + h)
        excess = _excess(after.z, score, error, 1 / math.cosh(s + h), tolerance)
        if excess <= 1:
            s, slope = stop if last else s + h, end_slope
            state = after._replace(nodes=(*state.nodes, s))
            if last:
                return state
        # An excess that is not finite reduces the step size, like a large one.
        factor = _SAFETY * max(excess, 1e-9) ** -0.2 if math.isfinite(excess) else 0.0
        h *= min(max(factor, _LEAST_FACTOR), _MOST_FACTOR)
        if h < _LEAST_STEP:
            break
    raise RunError(
        "The log-density could not be computed: the integration failed at sigma / alpha = "
        f"{1 / math.sinh(-s):.3g}, where the denoiser is not finite or not smooth at one of the points.",
        "Check weights and points for values that are not finite or far from the data, or raise tolerance.",
    )


def follow_steps(flow: Flow, z: Tensor, nodes: Sequence[float]) -> State:
    """Integrate a flow like :func:`follow`, with given steps: points do not depend on each other."""
    slope = flow(nodes[0], z)
    state = State(z, torch.zeros_like(slope.volume), z.new_zeros(len(z)), tuple(nodes))
    for s, stop in itertools.pairwise(nodes):
        state, slope, _, _ = _step(flow, state, slope, s, stop - s, stop)
    return state


def follow_nodes(flow: Flow, z: Tensor, nodes: Sequence[float]) -> State:
    """Integrate a flow that is defined at given nodes only, from each to the next.

    Implicit Adams method of order 3 for variable steps, with the explicit one as predictor: one evaluation a
    node. The error is the difference from order 2.
    """
    slope = flow(nodes[0], z)
    past = [slope]
    state = State(z, torch.zeros_like(slope.volume), z.new_zeros(len(z)), tuple(nodes))
    for i in range(1, len(nodes)):
        s, known = nodes[i], list(nodes[max(0, i - _MULTISTEP_ORDER) : i])
        guess = state.z + _adams_step(known, past, nodes[i - 1], s).z
        past.append(flow(s, guess))
        known.append(s)
        orders = (_MULTISTEP_ORDER, _MULTISTEP_ORDER - 1)
        step, coarse = (_adams_step(known[-k:], past[-k:], nodes[i - 1], s) for k in orders)
        error = Slope(step.z - coarse.z, step.volume - coarse.volume)
        z = state.z + step.z
        nats = _nats(flow.score(s, z, past[-1]), error)
        state = State(z, state.volume + step.volume, state.error + nats.abs(), state.nodes)
        past = past[-_MULTISTEP_ORDER:]
    return state


def _step(
    flow: Flow, state: State, slope: Slope, s: float, h: float, end: float
) -> tuple[State, Slope, Tensor, Slope]:
    """Take a step from s to ``end``; return the state, slope and score there, and the step's error."""
    slopes, z = [slope], state.z
    for i, (node, row) in enumerate(zip(_NODES, _ROWS, strict=True), 1):
        moves = (a * k.z for a, k in zip(row, slopes, strict=True) if a)
        z = state.z + h * sum(moves, torch.zeros_like(z))
        if i == _WITHOUT_VOLUME:
            slopes.append(Slope(flow.velocity(s + node * h, z), torch.zeros_like(state.volume)))
        else:
            slopes.append(flow(s + node * h, z))
    volume, error = _sum(_ROWS[-1], slopes, h).volume, _sum(_ERROR, slopes, h)
    score = flow.score(end, z, slopes[-1])
    nats = _nats(score, error).abs()
    return State(z, state.volume + volume, state.error + nats, state.nodes), slopes[-1], score, error


def _sum(weights: Sequence[float], slopes: Sequence[Slope], h: float) -> Slope:
    pairs = [(h * w, k) for w, k in zip(weights, slopes, strict=False) if w]
    z = sum((w * k.z for w, k in pairs[1:]), pairs[0][0] * pairs[0][1].z)
    return Slope(z, sum((w * k.volume for w, k in pairs[1:]), pairs[0][0] * pairs[0][1].volume))


def _nats(score: Tensor, error: Slope) -> Tensor:
    """Return the error of the log-density after a step, in nats, (n,)."""
    return error.volume.mean(1) + (score * error.z).flatten(1).sum(1)


def _excess(z: Tensor, score: Tensor, error: Slope, noise: float, tolerance: float) -> float:
    """Return the largest error of all points over the tolerance plus rounding."""
    rounding = _ROUNDINGS * torch.finfo(z.dtype).eps * z.flatten(1).norm(dim=1)
    size = score.flatten(1).norm(dim=1)
    in_nats = _nats(score, error).abs() / (tolerance * (1 + (noise * size).square() / 2) + size * rounding)
    in_position = error.z.flatten(1).norm(dim=1) / (tolerance * noise + rounding)
    return torch.maximum(in_nats, in_position).max().item()


def _adams_step(nodes: Sequence[float], slopes: Sequence[Slope], start: float, stop: float) -> Slope:
    """Return the integral over [start, stop] of the polynomial through the slopes at ``nodes``."""
    h = stop - start
    scaled = torch.tensor([(node - start) / h for node in nodes], dtype=torch.float64)
    powers = torch.arange(len(nodes), dtype=torch.float64)
    weights = h * torch.linalg.solve(scaled ** powers[:, None], 1 / (powers + 1))
    return _sum(weights.tolist(), slopes, 1.0)
