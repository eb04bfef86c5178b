"""What is being diagnosed? A way of sampling with all that is known about how it came to be.

A subject holds a denoiser, the schedule it was trained under, the trajectory that samples with it, the data,
and the exact denoiser that takes the network's place. Everything is in the model's units, except for
distances, which are measured in those of :meth:`Subject.shown`: the units of the run's own reference.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.losses import Times
from diffuscope.diffusion.samplers import Sampler
from diffuscope.diffusion.schedules import Grid, NoiseLevel, Schedule
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.reference import RealPoints, Reference
from diffuscope.model import Conditioned
from diffuscope.oracle import EmpiricalOracle, Oracle, oracle_of
from diffuscope.recipes.schema import Recipe
from diffuscope.seeds import stream_seed
from diffuscope.training import LossLike

__all__ = ["PerCloud", "Subject", "Training", "for_cloud"]

Points = NDArray[np.float64]

_SUPPORT = 4_000
_LOCK = threading.Lock()  # clouds are measured side by side
_ROWS = 2048  # of a CPU's cache


@dataclass(frozen=True)
class Training:
    """What is known of how a network was trained; whatever is None is not known.

    Attributes
    ----------
    loss : LossLike
        The loss, for the loss of a perfect denoiser and for going on with the training.
    times : Times
    learning_rate : float or None
    batch_size : int
    steps : int or None
    losses : sequence of (int, float)
        Step and loss, as the training wrote them down.
    raw : nn.Module or None
        The network with its last weights, where the one that samples has averaged ones.
    recipe : Recipe or None
        Of one of our own runs: findings then name its settings.
    """

    loss: LossLike
    times: Times
    learning_rate: float | None = None
    batch_size: int = 256
    steps: int | None = None
    losses: Sequence[tuple[int, float]] = ()
    raw: nn.Module | None = None
    recipe: Recipe | None = None

    def flag(self, words: str) -> str:
        """Return ``" (words)"`` for a run of this package; a network of one's own has no such option."""
        return "" if self.recipe is None else f" ({words})"


class PerCloud:
    """A denoiser that is another one for each cloud, as exact ones are where real points are halved.

    Parameters
    ----------
    make : callable
        Gives the denoiser of the k-th cloud; that of cloud 0 is asked where none is meant.
    """

    def __init__(self, make: Callable[[int], DenoiserLike]) -> None:
        self.make = make

    def __call__(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Return the estimate of cloud 0."""
        return self.make(0)(x_t, level)


def for_cloud(denoiser: DenoiserLike, k: int) -> DenoiserLike:
    """Return the denoiser of the k-th cloud."""
    return denoiser.make(k) if isinstance(denoiser, PerCloud) else denoiser


@dataclass
class Subject:
    """What is diagnosed.

    Attributes
    ----------
    flattened : Flattened
        Denoiser and data as points (n, d), and what samples are compared with.
    schedule : Schedule
        Under which it was trained, as far as its owner knows.
    grid, sampler
        The trajectory that samples.
    start_std : float
        Deviation of the noise from which it starts.
    training : Training
    scaling : Scaling
        From the units of the data to the model's.
    samples : ndarray of shape (m, d) or None
        What the user's own sampling code made, in the units of the data.
    """

    flattened: Flattened
    schedule: Schedule
    grid: Grid
    sampler: Sampler
    start_std: float
    training: Training
    scaling: Scaling
    samples: Points | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0

    @property
    def denoiser(self) -> DenoiserLike:
        """In the model's units, on ``device``."""
        return self.flattened.denoiser

    @property
    def conditioned(self) -> Conditioned | None:
        """The denoisers by which the run samples, where these are conditioned."""
        return self.flattened.conditioned

    @property
    def data(self) -> Dataset:
        """The training data, in its own units."""
        return self.flattened.data

    @property
    def held_out(self) -> Points | None:
        """Real data that the network never saw, where the law is not known."""
        return self.flattened.held_out

    @property
    def reference(self) -> Reference:
        """What samples are compared with."""
        return self.flattened.reference

    @property
    def points(self) -> RealPoints:
        """Real clouds, in the units of the data."""
        return self.flattened.points

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

    @property
    def is_exact(self) -> bool:
        """Whether the law of the data is known, and with it the exact denoiser."""
        return self.data.source.get("kind") == "builtin"

    @cached_property
    def oracle(self) -> Oracle:
        """The law's exact denoiser, or that of a finite set which stands for the law."""
        return self._oracle(0)

    @cached_property
    def perfect(self) -> DenoiserLike:
        """The oracle, as a denoiser; where real points are halved, one for each cloud."""
        if self.is_exact or self.data.draw is not None or self.held_out is not None:
            return self.oracle
        return PerCloud(self._oracle)

    def _oracle(self, k: int) -> Oracle:
        """Return the exact denoiser that knows nothing of the k-th real cloud."""
        with _LOCK:
            if k not in self._oracles:
                if self.is_exact:
                    made: Oracle = oracle_of(self.data).scaled(self.scaling)
                else:
                    made = EmpiricalOracle(self._support(k)).scaled(self.scaling)
                self._oracles[k] = made
            return self._oracles[k]

    @cached_property
    def _oracles(self) -> dict[int, Oracle]:
        return {}

    def _support(self, k: int) -> Points:
        """Return real points that stand for the law where the k-th real cloud is met."""
        if self.data.draw is None and self.held_out is not None:
            rng = np.random.default_rng(self._seed("support", 0))
            x = self.data.x
            return x[rng.permutation(len(x))[:_SUPPORT]].astype(np.float64)
        return self.points.rest(k, _SUPPORT)

    @property
    def cloud_size(self) -> int:
        """Points of a cloud that is measured."""
        return self.reference.n

    def start(self, k: int) -> Points:
        """Return a real cloud that is independent of the k-th, in the units of the data."""
        return self.points.other(k)

    def other(self, k: int) -> Points:
        """Return a normalised real cloud that is independent of the k-th: one draw of the floor."""
        reference = self.reference
        assert reference.points is not None
        return reference.normalised(reference.points.other(k))

    def remembered(self, k: int) -> Points:
        """Return a normalised cloud drawn from the training data as if it were the law."""
        whole = self.data.draw is not None or self.held_out is not None
        pool = self.data.x if whole else self.points.rest(k, len(self.data.x))
        rng = np.random.default_rng(self._seed("remembered", k))
        return self.shown(pool[rng.integers(len(pool), size=self.cloud_size)])

    def noised(self, level: NoiseLevel, k: int, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Return real data x_0 and the same noised to ``level``, both (n, d) float32, model's units."""
        if self.data.draw is not None:
            real = self.data.draw(self.cloud_size, self._seed("noised", k))
        else:
            cloud = self.points.real(0)
            rng = np.random.default_rng(self._seed("noised", k))
            real = cloud[rng.permutation(len(cloud))]
        x_0 = self.scaling.encode(real)[:n]
        eps = torch.randn(x_0.shape, generator=self.generator("noise", k))
        return x_0, (level.alpha * x_0 + level.sigma * eps).to(x_0.dtype)

    def shown(self, x: Tensor | Points) -> Points:
        """Bring points to where distances are measured: NaN where they are not finite."""
        points = x if isinstance(x, Tensor) else self.scaling.encode(x)
        if not points.isfinite().all():
            return np.full((len(points), len(self.reference.middle)), np.nan)
        if self.scaling is not self.flattened.codec:  # the measure is of the model's own units
            points = self.flattened.codec.encode(self.scaling.decode(points))
        return self.reference.normalised(self.flattened.measure(points))

    def ask(self, denoiser: DenoiserLike, x_t: Tensor, level: NoiseLevel) -> Tensor:
        """Ask any denoiser at (n, d), wherever it lives, without gradients; on a CPU by cachefuls."""
        rows = _ROWS if self.device.type == "cpu" and level.t.ndim == 0 else max(1, len(x_t))
        with torch.no_grad():
            return torch.cat([denoiser(x.to(self.device), level).to(x) for x in torch.split(x_t, rows)])

    def generator(self, *place: Any) -> torch.Generator:
        """Return the random stream at ``place``."""
        return torch.Generator().manual_seed(self._seed(*place))

    def _seed(self, *place: str | int) -> int:
        return int(stream_seed(self.seed, "diagnosis", *place) % 2**32)
