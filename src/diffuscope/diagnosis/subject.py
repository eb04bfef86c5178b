"""What is being diagnosed? A way of sampling with all that is known about how it came to be.

A subject holds a denoiser, the schedule it was trained under, the walk that samples with it, the data,
and the exact denoiser that takes the network's place. Everything is in the model's units, except for
distances, which are measured in those of :meth:`Subject.shown`.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from diffuscope.metrics.features import Extractor
from diffuscope.modalities.images.flattened import flat_pixels
from diffuscope.oracle import EmpiricalOracle, Oracle, oracle_of
from diffuscope.recipes.schema import Recipe
from diffuscope.seeds import stream_seed
from diffuscope.training import LossLike

__all__ = ["Subject", "Training"]

Points = NDArray[np.float64]

_CLOUD = 10_000
_EMPIRICAL_CLOUD = 2_000
_IMAGE_CLOUD = 128
_SUPPORT = 4_000
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


@dataclass
class Subject:
    """What is diagnosed.

    Attributes
    ----------
    denoiser : DenoiserLike
        In the model's units, on ``device``.
    schedule : Schedule
        Under which it was trained, as far as its owner knows.
    grid, sampler
        The walk that samples.
    start_std : float
        Deviation of the noise from which it starts.
    data : Dataset
        The training data, in its own units.
    scaling : Scaling
        From those to the model's.
    training : Training
    held_out : ndarray of shape (m, d) or None
        Real data that the network never saw, where the law is not known.
    samples : ndarray of shape (m, d) or None
        What the user's own sampling code made, in the units of the data.
    extractor : Extractor or None
        Of images, which are rows of pixels here: what distances are measured in.
    image_shape : tuple of int
        Of these, (channels, height, width).
    """

    denoiser: DenoiserLike
    schedule: Schedule
    grid: Grid
    sampler: Sampler
    start_std: float
    data: Dataset
    scaling: Scaling
    training: Training
    held_out: Points | None = None
    samples: Points | None = None
    extractor: Extractor | None = None
    image_shape: tuple[int, ...] = ()
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0

    @property
    def d(self) -> int:
        """Coordinates of a point."""
        return int(self.data.x.shape[1])

    @cached_property
    def x(self) -> Tensor:
        """The training data in the model's units, (n, d), float32."""
        return self.scaling.to_model(self.data.x)

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
        if self.is_exact:
            return oracle_of(self.data).scaled(self.scaling)
        return EmpiricalOracle(self._first).scaled(self.scaling)

    @property
    def perfect(self) -> DenoiserLike:
        """The oracle, as a denoiser."""
        return self.oracle

    @cached_property
    def _halves(self) -> tuple[Points, Points]:
        """Two sets of real points that have none in common."""
        rng = np.random.default_rng(self._seed("halves", 0))
        if self.data.draw is not None:
            return self.data.draw(_SUPPORT, self._seed("support", 0)), self.data.x
        if self.held_out is not None:
            return rng.permutation(self.data.x)[:_SUPPORT], self.held_out
        order = rng.permutation(self.data.x)
        half = len(order) // 2
        return order[:half][:_SUPPORT], order[half:]

    @property
    def _first(self) -> Points:
        return self._halves[0]

    @cached_property
    def cloud_size(self) -> int:
        """Points of a cloud that is measured."""
        if self.is_exact:
            return _CLOUD
        if self.data.draw is not None:
            return _EMPIRICAL_CLOUD
        most = _EMPIRICAL_CLOUD if self.extractor is None else _IMAGE_CLOUD
        return min(most, len(self._first), len(self._halves[1]))

    def real(self, k: int, kind: str = "real") -> Points:
        """Return the k-th cloud of real points that nothing else has seen, in the units of the data."""
        n = self.cloud_size
        if self.data.draw is not None:
            return self.data.draw(n, self._seed(kind, k))
        return self._pick(self._halves[1], n, kind, k)

    def real_pair(self, k: int) -> tuple[Points, Points]:
        """Return two independent clouds of real points; their distance is the floor."""
        n = self.cloud_size
        if self.data.draw is not None:
            return self.real(2 * k, "floor"), self.real(2 * k + 1, "floor")
        return self._pick(self._first, n, "floor", k), self._pick(self._halves[1], n, "other", k)

    def other(self, k: int) -> Points:
        """Return a real cloud that is independent of the k-th: their distance is one draw of the floor."""
        if self.data.draw is not None:
            return self.real(k, "start")
        return self._pick(self._first, self.cloud_size, "other", k)

    def remembered(self, k: int) -> Points:
        """Return a cloud drawn from the training data as if it were the law."""
        pool = self.data.x if self.data.draw is not None or self.held_out is not None else self._first
        rng = np.random.default_rng(self._seed("remembered", k))
        return pool[rng.integers(len(pool), size=self.cloud_size)]

    def _pick(self, pool: Points, n: int, kind: str, k: int) -> Points:
        rng = np.random.default_rng(self._seed(kind, k))
        return pool[rng.choice(len(pool), n, replace=False)]

    def noised(self, level: NoiseLevel, k: int, n: int | None = None) -> tuple[Tensor, Tensor]:
        """Return real data x_0 and the same noised to ``level``, both (n, d) float32, model's units."""
        x_0 = self.scaling.to_model(self.real(k, "noised"))[:n]
        eps = torch.randn(x_0.shape, generator=self.generator("noise", k))
        return x_0, (level.alpha * x_0 + level.sigma * eps).to(x_0.dtype)

    @cached_property
    def _unit(self) -> Points:
        return np.ones(self.d) if self.data.draw is not None else self.data.x.std(axis=0)

    def shown(self, x: Tensor | Points) -> Points:
        """Bring points to where distances are measured: its units, its columns' deviations, features."""
        points = self.scaling.to_data(x) if isinstance(x, Tensor) else x
        if self.extractor is not None:
            if not np.isfinite(points).all():
                return np.full((len(points), 1), np.nan)
            return self.extractor.features(flat_pixels(points, self.image_shape)).astype(np.float64)
        return np.asarray((points - self.data.x.mean(axis=0)) / self._unit, dtype=np.float64)

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
