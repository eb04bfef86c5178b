"""What is there of a model of points in the plane? Its data and their law, its denoisers, its samples.

All is in the units of the model, but for what is measured: distances are in those of the data.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils import vector_to_parameters

from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.guidance import ClassifierFreeGuidance
from diffuscope.diffusion.process import q_sample
from diffuscope.diffusion.samplers import make_sampler, prior, trajectory
from diffuscope.diffusion.schedules import DiscreteSchedule, Grid, Schedule
from diffuscope.errors import InputError
from diffuscope.oracle import EmpiricalOracle, Oracle, oracle_of
from diffuscope.runs.setup import Setup
from diffuscope.seeds import stream, stream_seed
from diffuscope.studio.requests import FieldRequest, Sampling
from diffuscope.viewer.positions import middle_and_spread

__all__ = ["Plane", "Points", "Trained"]

Points = NDArray[Any]

_FINE = 50  # steps that stand for infinitely many


@dataclass
class Trained:
    """What came of a training: its losses, and states of the network at some steps."""

    summary: dict[str, Any] = field(default_factory=dict)
    losses: list[tuple[int, float]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    adjusted: bool = False  # while it ran, so that no recipe gives it again


class Plane:
    """A model with its data, the law of the data, and the states of its training.

    Parameters
    ----------
    setup : Setup
        Of points (n, 2).
    law : Oracle, optional
        The law of the data in its own units; that of a built-in set is known.
    of_classes : sequence of Oracle
        The law of each class.
    """

    def __init__(
        self, setup: Setup, law: Oracle | None = None, of_classes: list[Oracle] | None = None
    ) -> None:
        self.setup = setup
        codec, data = setup.model.codec.affine, setup.data
        assert codec is not None
        self.codec = codec
        if law is None and data.source.get("kind") == "builtin":
            law = oracle_of(data)
        self.known = law is not None
        self.empirical: Oracle = EmpiricalOracle(data.x).scaled(codec)
        self.exact: Oracle = law.scaled(codec) if law else self.empirical
        self.classes: list[Oracle] = [own.scaled(codec) for own in of_classes or []]
        self.sets_of_classes: list[Oracle] = [
            EmpiricalOracle(data.x[data.labels == k]).scaled(codec) for k in range(len(self.classes))
        ]
        self.data: Tensor = codec.encode(data.x)
        self.middle, self.spread = middle_and_spread(self.data)
        self.shown = copy.deepcopy(setup.model.denoiser).eval()
        self.trained = Trained()

    # --- denoisers ------------------------------------------------------------------------------------------

    def denoiser(
        self, which: str, snapshot: int | None = None, request: Sampling | FieldRequest | None = None
    ) -> DenoiserLike:
        """Return what is learned, exact, or perfect for the training set; of a class with guidance."""
        label = None if request is None else request.label
        free = self._of_class(which, snapshot, None)
        if request is None or label is None:
            return free
        if not self.classes:
            raise InputError("There are no classes.")
        own = self._of_class(which, snapshot, label)
        return own if request.guidance == 1 else ClassifierFreeGuidance(own, free, request.guidance)

    def _of_class(self, which: str, snapshot: int | None, label: int | None) -> DenoiserLike:
        if which == "exact":
            return self.law(label)
        if which == "set":
            return self.empirical if label is None else self.sets_of_classes[label]
        kept = self.trained.weights
        if kept:
            if snapshot is not None and snapshot >= len(kept):
                raise InputError("There is no such state of the training.")
            weights = kept[-1 if snapshot is None else snapshot]
            vector_to_parameters(weights, self.shown.network.parameters())
        if label is None:
            return self.shown
        return lambda x, level: self.shown(x, level, torch.full((len(x),), label))

    def law(self, label: int | None) -> Oracle:
        """Return the law of a class, or of all."""
        return self.exact if label is None or not self.classes else self.classes[label]

    # --- samples --------------------------------------------------------------------------------------------

    def grid(self, sampling: Sampling, schedule: Schedule | None = None) -> Grid:
        """Return the levels that sampling visits, by the model's schedule or another one."""
        schedule = schedule or self.shown.schedule
        steps = _FINE if sampling.fine else sampling.steps
        steps = min(steps, schedule.T) if isinstance(schedule, DiscreteSchedule) else steps
        return schedule.grid(steps, "karras" if sampling.fine else sampling.spacing, sampling.rho)

    def states(
        self, denoiser: DenoiserLike, n: int, sampling: Sampling, seed: int
    ) -> tuple[Grid, list[Tensor]]:
        """Sample n points from noise, or from noised data; return all states (n, 2)."""
        grid, generator = self.grid(sampling), stream(seed, "studio")
        start = prior(grid, (n, 2), generator)
        if sampling.start:
            eps = torch.randn(start.shape, generator=generator)
            start = q_sample(self.draw(n, "start", seed, label=sampling.label), grid.levels.at(0), eps)
        return grid, self.follow(denoiser, start, grid, sampling, generator)

    def follow(
        self,
        denoiser: DenoiserLike,
        start: Tensor,
        grid: Grid,
        sampling: Sampling,
        generator: torch.Generator,
    ) -> list[Tensor]:
        """Sample from points (n, 2) on; return all states."""
        settings: dict[str, Any] = {}
        if sampling.name == "ddpm":
            settings = {"variance": sampling.variance}
        elif sampling.name == "ddim":
            settings = {"eta": sampling.eta}
        sampler = make_sampler("heun") if sampling.fine else make_sampler(sampling.name, **settings)
        return [state.x for state in trajectory(denoiser, start, grid, sampler, generator)]

    def ends(self, denoiser: DenoiserLike, n: int, sampling: Sampling, seed: int) -> Points:
        """Sample n points, in the units of the data."""
        return self.in_data(self.states(denoiser, n, sampling, seed)[1][-1])

    def draw(self, n: int, *place: str | int, label: int | None = None) -> Tensor:
        """Draw n fresh points (n, 2) of the law; ``place`` is their seed."""
        return self.law(label).draw(n, int(stream_seed(0, "studio", *place) % 2**32)).float()

    def in_data(self, x: Tensor) -> Points:
        """Return points in the scale of the data, in which distances are measured."""
        return np.asarray(x.double().numpy() * self.codec.scale)
