"""What is diagnosed? A denoiser with all that is known about how it was trained and how it samples.

Everything is in the model's units, except for distances, which are measured in those of
:meth:`Subject.shown`: the units of the run's own reference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffuscope.data.affine import Scaling
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.samplers import DPMSolver, Sampler
from diffuscope.diffusion.schedules import Grid, NoiseLevel, Schedule
from diffuscope.modalities.flattened import Flattened
from diffuscope.oracle import EmpiricalOracle, Oracle, oracle_of
from diffuscope.recipes.schema import Recipe
from diffuscope.seeds import stream_seed
from diffuscope.training import LossLike

__all__ = ["PerCloud", "Points", "Subject", "Training", "for_cloud"]

Points = NDArray[np.float64]

_SUPPORT = 4_000
_SAME_START = 2e-3  # of the noise, and twice the Kullback-Leibler divergence in nats
_LOCK = threading.Lock()  # clouds are measured side by side
_ROWS = 2048  # of a CPU's cache
_BRIEF_STEPS = 20


@dataclass(frozen=True)
class Training:
    """What is known of how a network was trained; None is not known.

    ``losses`` are pairs of step and loss, ``raw`` is the network with its last weights where the one that
    samples has averaged ones, ``recipe`` that of a run.
    """

    loss: LossLike
    times: Times
    learning_rate: float | None = None
    steps: int | None = None
    losses: Sequence[tuple[int, float]] = ()
    raw: nn.Module | None = None
    recipe: Recipe | None = None

    def flag(self, words: str) -> str:
        """Return ``" (words)"`` for a run of this package; a network of one's own has no such option."""
        return "" if self.recipe is None else f" ({words})"


@dataclass(frozen=True)
class PerCloud:
    """A denoiser that differs from cloud to cloud, as exact ones do where real points are halved."""

    make: Callable[[int], DenoiserLike]

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate of cloud 0."""
        return self.make(0)(x_t, level)


def for_cloud(denoiser: DenoiserLike, k: int) -> DenoiserLike:
    """Return the denoiser of the k-th cloud."""
    return denoiser.make(k) if isinstance(denoiser, PerCloud) else denoiser


@dataclass(frozen=True, kw_only=True)
class Subject(Flattened):
    """A model and its data as points, with its training and the trajectory that samples."""

    schedule: Schedule
    grid: Grid
    sampler: Sampler
    start_std: float  # deviation of the noise from which sampling starts
    training: Training
    scaling: Scaling  # from the units of the data to the model's: ``codec``, unless another one is tried
    in_training_mode: bool = False  # the network, as it was given
    samples: Points | None = None  # of the user's own sampling code, (m, d), in the units of the data
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    _oracles: dict[int, Oracle] = field(default_factory=dict, init=False)

    @property
    def d(self) -> int:
        """Coordinates of a point."""
        return int(self.data.x.shape[1])

    @cached_property
    def x(self) -> Tensor:
        """The training data in the model's units, (n, d), float32."""
        return self.scaling.encode(self.data.x)

    @cached_property
    def spread(self) -> float:
        """Root mean square of the training data in the model's units: 1 where it is standardised."""
        return float(self.x.double().square().mean().sqrt())

    @cached_property
    def starts_in_noise(self) -> bool:
        """Whether sampling starts from the law at the first level, all but exactly."""
        level = self.grid.levels.at(0)
        same = abs(self.start_std - level.sigma.item()) < _SAME_START * level.sigma.item()
        x = self.x.double().square().sum(1).mean()
        return bool(same and level.snr.item() * x.item() < _SAME_START)

    @property
    def is_exact(self) -> bool:
        """Whether the law of the data is known, and with it the exact denoiser."""
        return self.data.source.get("kind") == "builtin"

    @property
    def brief(self) -> Subject:
        """The subject with few steps of a good sampler, where many of its own would take minutes.

        Networks are compared by it: what is exchanged in a network changes samples of any sampler.
        """
        if self.probe or self.grid.n_steps <= _BRIEF_STEPS:
            return self
        grid = self.schedule.grid(_BRIEF_STEPS, "uniform" if self.schedule.discrete else "karras")
        return replace(self, grid=grid, sampler=DPMSolver())

    def with_clouds(self, n: int) -> Subject:
        """Return the subject with real clouds of ``n`` points; as it is where it has no more."""
        if n >= self.reference.n or self.reference.points is None:
            return self
        return replace(self, reference=self.reference.of_size(n), points=replace(self.points, n=n))

    @property
    def halves(self) -> bool:
        """Whether real clouds are halves of the training data, as nothing else is known of its law."""
        return not self.is_exact and self.data.draw is None and self.held_out is None

    @property
    def perfect(self) -> DenoiserLike:
        """The exact denoiser; where real points are halved, one for each cloud."""
        return PerCloud(self.oracle) if self.halves else self.oracle(0)

    def oracle(self, k: int) -> Oracle:
        """Return the exact denoiser of the law, or that of a finite set without the k-th real cloud."""
        with _LOCK:
            if k not in self._oracles:
                if self.is_exact:
                    oracle = oracle_of(self.data)
                elif self.halves or self.data.draw is not None:
                    oracle = EmpiricalOracle(self.points.rest(k, _SUPPORT))
                else:
                    order = self.random("support", 0).permutation(len(self.data.x))
                    oracle = EmpiricalOracle(self.data.x[order[:_SUPPORT]].astype(np.float64))
                self._oracles[k] = oracle.scaled(self.scaling)
            return self._oracles[k]

    def noised(self, level: NoiseLevel, k: int, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Return real data x_0 and the same noised to ``level``, both (n, d) float32, model's units."""
        if self.data.draw is not None:
            real = self.data.draw(self.reference.n, self.seed_of("noised", k))
        else:
            cloud = self.points.real(0)
            real = cloud[self.random("noised", k).permutation(len(cloud))]
        x_0 = self.scaling.encode(real)[:n]
        eps = torch.randn(x_0.shape, generator=self.generator("noise", k))
        return x_0, (level.alpha * x_0 + level.sigma * eps).to(x_0.dtype)

    def shown(self, x: Tensor | Points) -> Points:
        """Bring points to where distances are measured: NaN where they are not finite."""
        points = x if isinstance(x, Tensor) else self.scaling.encode(x)
        if not points.isfinite().all():
            return np.full((len(points), len(self.reference.middle)), np.nan)
        if self.scaling is not self.codec:  # the measure is of the model's own units
            points = self.codec.encode(self.scaling.decode(points))
        return self.reference.normalised(self.measure(points))

    def written(self, shown: Points) -> Points:
        """Return points as :meth:`shown` as they would be in a file: rounded, of one category."""
        if not np.isfinite(shown).all():
            return shown
        reference = self.reference
        return reference.normalised(self.as_written(shown * reference.unit + reference.middle))

    def ask(self, denoiser: DenoiserLike, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Ask any denoiser at (n, d), wherever it lives, without gradients; on a CPU by cachefuls."""
        rows = _ROWS if self.device.type == "cpu" and level.t.ndim == 0 else max(1, len(x_t))
        with torch.no_grad():
            return torch.cat([denoiser(x.to(self.device), level).to(x) for x in torch.split(x_t, rows)])

    def generator(self, *place: Any) -> torch.Generator:
        """Return the random stream of torch at ``place``."""
        return torch.Generator().manual_seed(self.seed_of(*place))

    def random(self, *place: Any) -> np.random.Generator:
        """Return the random stream of numpy at ``place``."""
        return np.random.default_rng(self.seed_of(*place))

    def seed_of(self, *place: str | int) -> int:
        """Return the seed at ``place``."""
        return int(stream_seed(self.seed, "diagnosis", *place) % 2**32)
