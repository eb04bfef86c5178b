r"""How is a flow followed, together with the volume that it makes, and how wrong is a step?

The flow is :math:`dz/ds = f(s, z)`, its volume :math:`dV/ds = \nabla \cdot f`. What is wanted of them is
:math:`\log p_s(z_s) = \log p_T(z_T) + V`. A step's error (e_z, e_V) in both moves that number by

.. math::  e = e_V + \nabla \log p_s(z) \cdot e_z,

whatever comes after it: errors are counted in nats, as they arise.
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

# Dormand and Prince 1980, Table 2, order 5(4). The last row is the result; the slope there begins the next
# step. Below them the difference of the two orders.
_ROWS = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_NODES = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_ERROR = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)


class Slope(NamedTuple):
    """Derivatives by s of the points (n, ...), and of as many estimates of the volume (n, k)."""

    z: Tensor
    volume: Tensor


class State(NamedTuple):
    """Points (n, ...), volume made (n, k) and error in nats (n,) so far, and the places of all steps."""

    z: Tensor
    volume: Tensor
    error: Tensor
    nodes: tuple[float, ...]


class Flow(Protocol):
    """A field with a density: its slope, and the gradient of log p where the slope is known."""

    def __call__(self, s: float, z: Tensor, /) -> Slope:
        """Return the slope at points (n, ...)."""
        ...

    def score(self, s: float, z: Tensor, slope: Slope, /) -> Tensor:
        """Return the gradient of the log-density at points (n, ...), of the same shape."""
        ...


def follow(flow: Flow, z: Tensor, start: float, stop: float, tolerance: float) -> State:
    """Follow a flow with steps as large as the tolerance allows (Dormand and Prince, order 5).

    All points take the same steps, those that the most difficult of them needs.

    Parameters
    ----------
    flow : Flow
    z : Tensor of shape (n, ...)
    start, stop : float
        start < stop.
    tolerance : float
        Largest error of a step: in nats, as a multiple of 1 + ε²/2 where ε is the noise that a point has
        in it, and in place, as a multiple of the noise's standard deviation in z, 1 / cosh s.

    Raises
    ------
    RunError
        When the flow is not finite, or too rough for steps that make headway.
    """
    s, h, slope = start, _FIRST_STEP, flow(start, z)
    state = State(z, torch.zeros_like(slope.volume), z.new_zeros(len(z)), (start,))
    for _ in range(_MOST_STEPS):
        last = s + h >= stop
        h = stop - s if last else h
        slopes, z = _stages(flow, s, h, state.z, slope)
        step = _sum(_ROWS[-1], slopes, h)
        wrong = _sum(_ERROR, slopes, h)
        score = flow.score(s + h, z, slopes[-1])
        nats = _nats(score, wrong)
        excess = _excess(z, score, wrong, nats, 1 / math.cosh(s + h), tolerance)
        if excess <= 1:
            s, slope = stop if last else s + h, slopes[-1]
            state = State(z, state.volume + step.volume, state.error + nats.abs(), (*state.nodes, s))
            if last:
                return state
        # An excess that is not finite makes the step smaller, as a large one does.
        factor = _SAFETY * max(excess, 1e-9) ** -0.2 if math.isfinite(excess) else 0.0
        h *= min(max(factor, _LEAST_FACTOR), _MOST_FACTOR)
        if h < _LEAST_STEP:
            break
    raise RunError(
        f"The flow could not be followed beyond a noise of {1 / math.sinh(-s):.3g} times the data's unit: "
        "the denoiser is not finite there, or jumps near one of the points.",
        "Look for weights and points that are not finite or far from all data; or allow a larger tolerance.",
    )


def follow_steps(flow: Flow, z: Tensor, nodes: Sequence[float]) -> State:
    """Follow a flow as :func:`follow` does, in given steps: no point's way depends on another's."""
    slope = flow(nodes[0], z)
    state = State(z, torch.zeros_like(slope.volume), z.new_zeros(len(z)), tuple(nodes))
    for s, stop in itertools.pairwise(nodes):
        h = stop - s
        slopes, z = _stages(flow, s, h, state.z, slope)
        step, wrong = _sum(_ROWS[-1], slopes, h), _sum(_ERROR, slopes, h)
        nats = _nats(flow.score(stop, z, slopes[-1]), wrong)
        state = State(z, state.volume + step.volume, state.error + nats.abs(), state.nodes)
        slope = slopes[-1]
    return state


def follow_nodes(flow: Flow, z: Tensor, nodes: Sequence[float]) -> State:
    """Follow a flow that has answers at some places only, from each to the next.

    Adams' implicit formula of order 3 for uneven steps, whose point is predicted by the explicit one:
    one evaluation a node. The error is told by the formula of an order less.
    """
    slope = flow(nodes[0], z)
    past = [slope]
    state = State(z, torch.zeros_like(slope.volume), z.new_zeros(len(z)), tuple(nodes))
    for i in range(1, len(nodes)):
        s, known = nodes[i], list(nodes[max(0, i - _MULTISTEP_ORDER) : i])
        guess = state.z + _sum(_adams(known, nodes[i - 1], s), past, 1.0).z
        past.append(flow(s, guess))
        known.append(s)
        step = _adams_step(known, past, nodes[i - 1], s, _MULTISTEP_ORDER)
        coarse = _adams_step(known, past, nodes[i - 1], s, _MULTISTEP_ORDER - 1)
        wrong = Slope(step.z - coarse.z, step.volume - coarse.volume)
        z = state.z + step.z
        nats = _nats(flow.score(s, z, past[-1]), wrong)
        state = State(z, state.volume + step.volume, state.error + nats.abs(), state.nodes)
        past = past[-_MULTISTEP_ORDER:]
    return state


def _stages(flow: Flow, s: float, h: float, z: Tensor, first: Slope) -> tuple[list[Slope], Tensor]:
    """Return the seven slopes of a step, and the point that it leads to, where the last of them is."""
    slopes, place = [first], z
    for node, row in zip(_NODES, _ROWS, strict=True):
        place = z + h * sum((a * k.z for a, k in zip(row, slopes, strict=True) if a), torch.zeros_like(z))
        slopes.append(flow(s + node * h, place))
    return slopes, place


def _sum(weights: Sequence[float], slopes: Sequence[Slope], h: float) -> Slope:
    pairs = [(h * w, k) for w, k in zip(weights, slopes, strict=False) if w]
    z = sum((w * k.z for w, k in pairs[1:]), pairs[0][0] * pairs[0][1].z)
    return Slope(z, sum((w * k.volume for w, k in pairs[1:]), pairs[0][0] * pairs[0][1].volume))


def _nats(score: Tensor, wrong: Slope) -> Tensor:
    """By how much the log-density is wrong after such a step, (n,)."""
    return wrong.volume.mean(1) + (score * wrong.z).flatten(1).sum(1)


def _excess(z: Tensor, score: Tensor, wrong: Slope, nats: Tensor, noise: float, tolerance: float) -> float:
    """How many times what is allowed the worst point's error is; nobody can do better than rounding."""
    rounding = _ROUNDINGS * torch.finfo(z.dtype).eps * z.flatten(1).norm(dim=1)
    size = score.flatten(1).norm(dim=1)
    in_nats = nats.abs() / (tolerance * (1 + (noise * size).square() / 2) + size * rounding)
    in_place = wrong.z.flatten(1).norm(dim=1) / (tolerance * noise + rounding)
    return torch.maximum(in_nats, in_place).max().item()


def _adams_step(
    nodes: Sequence[float], slopes: Sequence[Slope], start: float, stop: float, order: int
) -> Slope:
    weights = _adams(nodes[-order:], start, stop)
    return _sum(weights, slopes[-len(weights) :], 1.0)


def _adams(nodes: Sequence[float], start: float, stop: float) -> list[float]:
    """Weights with which slopes at ``nodes`` give the integral of their polynomial over [start, stop]."""
    h = stop - start
    places = torch.tensor([(node - start) / h for node in nodes], dtype=torch.float64)
    powers = torch.arange(len(nodes), dtype=torch.float64)
    weights: list[float] = (h * torch.linalg.solve(places ** powers[:, None], 1 / (powers + 1))).tolist()
    return weights
