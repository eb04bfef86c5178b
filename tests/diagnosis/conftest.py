"""What do the tests of the diagnosis share? An exact denoiser in the place of a network, and small clouds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import diffuscope
from diffuscope.data.affine import Scaling
from diffuscope.data.base import Dataset
from diffuscope.data.points import load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.diffusion.predictions import eps_from_data, training_target
from diffuscope.diffusion.schedules import DiscreteSchedule, NoiseLevel, cosine
from diffuscope.oracle import Oracle, oracle_of


@dataclass
class Perfect:
    """A pipeline whose denoiser is the exact one of eight Gaussians, T = 40."""

    data: Dataset = field(default_factory=lambda: load_dataset("eight_gaussians", size=1_200))
    schedule: DiscreteSchedule = field(default_factory=lambda: cosine(40))

    @property
    def scaling(self) -> Scaling:
        return PointsCodec.fit(self.data.x)

    @property
    def oracle(self) -> Oracle:
        return oracle_of(self.data).scaled(self.scaling)

    def denoiser(self, x_t: Tensor, level: NoiseLevel) -> Tensor:
        return self.oracle(x_t, level)

    def diagnose(self, given=None, schedule=None, **told) -> diffuscope.Diagnosis:
        told.setdefault("scaling", (self.scaling.shift, self.scaling.scale))
        return diffuscope.diagnose(
            self.denoiser if given is None else given,
            self.schedule if schedule is None else schedule,
            self.data,
            progress=False,
            **told,
        )


class ExactNetwork(nn.Module):
    """A torch network (x, t) -> ε, v or x_0 that answers exactly, under the schedule that it is given."""

    def __init__(self, oracle: Oracle, schedule: DiscreteSchedule, predicts: str = "eps") -> None:
        super().__init__()
        self.oracle, self.schedule, self.predicts = oracle, schedule, predicts
        self.off = nn.Parameter(torch.zeros(2))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        level, x_t = self.schedule(t), x.double()
        x_0 = self.oracle(x_t, level)
        eps = eps_from_data(x_0, x_t, level)
        kind = "noise" if self.predicts == "eps" else self.predicts
        return training_target(kind, x_0, eps, level).to(x.dtype) + self.off


@pytest.fixture
def pipeline(quick) -> type[Perfect]:
    return Perfect


@pytest.fixture
def perfect(pipeline) -> Perfect:
    return pipeline()


@pytest.fixture
def network(perfect):
    """Make an exact network: ``network(predicts)``."""

    def make(predicts: str = "eps", schedule: DiscreteSchedule | None = None) -> ExactNetwork:
        return ExactNetwork(perfect.oracle, schedule or perfect.schedule, predicts)

    return make


@pytest.fixture
def own_loop(perfect):
    """Sample with an exact network as a loop of one's own does: ``own_loop(n, keep_noise)``."""

    def sample(n: int, keep_noise: bool = True) -> np.ndarray:
        generator = torch.Generator().manual_seed(5)
        beta = perfect.schedule.beta
        alpha_bar = (1 - beta).cumprod(0)
        x = torch.randn(n, 2, generator=generator, dtype=torch.float64)
        oracle = perfect.oracle
        for t in range(len(beta) - 1, -1, -1):
            level = perfect.schedule(torch.tensor(t))
            eps = eps_from_data(oracle(x, level), x, level)
            x = (x - beta[t] / (1 - alpha_bar[t]).sqrt() * eps) / (1 - beta[t]).sqrt()
            if keep_noise and t:
                variance = beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
                x = x + variance.sqrt() * torch.randn(n, 2, generator=generator, dtype=torch.float64)
        return x.numpy() * perfect.scaling.scale + perfect.scaling.shift

    return sample
