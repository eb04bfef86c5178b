"""Who takes part in ``time_to_quality.py``? Our recipes, and other libraries by their own tutorials.

A contestant is made from points x (n, 2) and a seed, trains on for so many steps, and draws points when
asked. The libraries are used through their public interface, with the settings of their own tutorials; what
those leave to the reader is chosen here, and says so. In one thing they are better off than there: batches
are cut out of one tensor, where a DataLoader would put them together point by point, in more time than the
step itself takes. They are no dependencies of this package, and ask for more than points need (torchvision,
lightning), which is left out::

    pip install --no-deps azula==0.11.0 smalldiffusion==0.5.0 torchcfm==1.0.7 accelerate
    pip install einops tqdm psutil torchdiffeq pot
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

import diffuscope
from diffuscope.data.points.codec import PointsCodec
from diffuscope.model import Model
from diffuscope.training import Batches, Resident, Trainer

__all__ = ["ARTICLE", "FAST", "MEMORY", "PEERS", "PLAIN", "Contestant", "Recipe"]

PLAIN, ARTICLE, FAST, MEMORY = "the tutorial's loop", "article", "fast", "perfect memory"

Points = np.ndarray


class Contestant(Protocol):
    """Someone who trains and samples.

    Attributes
    ----------
    burst : int
        Steps that are taken between two looks at the clock.
    """

    burst: int

    def train(self, steps: int) -> None:
        """Take so many steps more."""
        ...

    def sample(self, n: int) -> Points:
        """Draw points (n, 2), in the units of the data, and leave training as it was."""
        ...


class Recipe:
    """A recipe of this package, trained for ``steps`` steps in all, or for as many as the recipe says."""

    burst = 79  # an epoch of the tutorial

    def __init__(self, x: Points, seed: int, name: str, steps: int | None = None) -> None:
        torch.manual_seed(seed)
        self.seed = seed
        recipe = diffuscope.load_recipe(name)
        denoiser = recipe.make_denoiser(x.shape[1])
        scaling = PointsCodec.fit(x, recipe.data.scaling, recipe.data.divisor)
        settings = recipe.training
        if steps is not None:
            settings = settings.model_copy(update={"steps": steps, "epochs": None})
        data, times = scaling.encode(x), recipe.times.make()
        batches = Batches(
            Resident(data), denoiser.schedule, times, settings.batch_size, settings.batches, seed
        )
        self.model = Model(recipe, denoiser, scaling)
        self.trainer = Trainer(denoiser, batches, recipe.loss.make(), settings)

    def train(self, steps: int) -> None:
        """Take so many steps more. The learning rate must not depend on the length, as in ``article``."""
        goal = self.trainer.step + steps
        self.trainer.settings = self.trainer.settings.model_copy(update={"steps": goal, "epochs": None})
        self.trainer.run()

    def train_whole(self) -> None:
        """Train from the first step to the last."""
        self.trainer.run()

    def sample(self, n: int) -> Points:
        """Draw with the averaged weights, where the recipe has them, and the recipe's sampler."""
        with self.trainer.averaged():
            return self.model.sample(n, seed=self.seed)


class Shuffled:
    """Batches of points, an epoch each time it is gone through."""

    def __init__(self, x: Points, size: int) -> None:
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.size = size

    def __iter__(self) -> Iterator[Tensor]:
        return (self.x[index] for index in torch.randperm(len(self.x)).split(self.size))


class Azula:
    """azula: its README's KarrasDenoiser, VPSchedule and Adam 1e-3, its MNIST tutorial's DDIM in 64 steps.

    Network and batches its README leaves to the reader. Here: three hidden layers of 128, the log-SNR
    through the tutorial's two layers of 64, batches of 256.
    """

    burst = 20

    class Backbone(nn.Module):
        """Maps points (n, 2) and their log-SNR (n,) or () to (n, 2)."""

        def __init__(self) -> None:
            super().__init__()
            self.time = nn.Sequential(nn.Linear(1, 64), nn.SiLU(), nn.Linear(64, 64))
            layers = [[nn.Linear(a, 128), nn.SiLU()] for a in (2 + 64, 128, 128)]
            self.layers = nn.Sequential(*itertools.chain(*layers), nn.Linear(128, 2))

        def forward(self, x_t: Tensor, log_snr_t: Tensor) -> Tensor:
            """Map points to points."""
            time = self.time(log_snr_t[..., None]).expand(len(x_t), -1)
            return self.layers(torch.cat([x_t, time], dim=-1))

    def __init__(self, x: Points, seed: int) -> None:
        from azula.denoise import KarrasDenoiser
        from azula.noise import VPSchedule
        from azula.sample import DDIMSampler

        torch.manual_seed(seed)
        self.denoiser = KarrasDenoiser(backbone=self.Backbone(), schedule=VPSchedule())
        self.optimizer = torch.optim.Adam(self.denoiser.parameters(), lr=1e-3)
        self.sampler = DDIMSampler(self.denoiser, steps=64, silent=True)
        self.batches = itertools.chain.from_iterable(itertools.repeat(Shuffled(x, 256)))

    def train(self, steps: int) -> None:
        """Take steps as in its README."""
        self.denoiser.train()
        for x in itertools.islice(self.batches, steps):
            t = torch.rand((len(x),))
            loss = self.denoiser.loss(x, t)
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def sample(self, n: int) -> Points:
        """Draw with its DDIM sampler."""
        self.denoiser.eval()
        return self.sampler(self.sampler.init((n, 2))).numpy()


class TorchCFM:
    """torchcfm: its tutorial on flow matching, from a standard Gaussian to the data.

    Its MLP, Adam with torch's defaults, batches of 256, sigma = 0.01, dopri5 at tolerances of 1e-4. The
    tutorial draws every batch afresh; here there are the same 10,000 points for all.
    """

    burst = 20

    def __init__(self, x: Points, seed: int) -> None:
        from torchcfm.conditional_flow_matching import ConditionalFlowMatcher
        from torchcfm.models import MLP

        torch.manual_seed(seed)
        self.x = torch.as_tensor(x, dtype=torch.float32)
        self.network = MLP(dim=2, time_varying=True)
        self.optimizer = torch.optim.Adam(self.network.parameters())
        self.matcher = ConditionalFlowMatcher(sigma=0.01)

    def train(self, steps: int) -> None:
        """Take steps as in its tutorial."""
        for _ in range(steps):
            self.optimizer.zero_grad()
            x_1 = self.x[torch.randint(len(self.x), (256,))]
            t, x_t, u_t = self.matcher.sample_location_and_conditional_flow(torch.randn_like(x_1), x_1)
            v_t = self.network(torch.cat([x_t, t[:, None]], dim=-1))
            loss = torch.mean((v_t - u_t) ** 2)
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def sample(self, n: int) -> Points:
        """Draw by the tutorial's solver, from the library that torchcfm depends on."""
        from torchdiffeq import odeint

        def velocity(t: Tensor, x: Tensor) -> Tensor:
            return self.network(torch.cat([x, t.expand(len(x), 1)], dim=-1))

        path = odeint(velocity, torch.randn(n, 2), torch.tensor([0.0, 1.0]), rtol=1e-4, atol=1e-4)
        return path[-1].numpy()


class SmallDiffusion:
    """smalldiffusion: its README's toy model, 20 steps of its accelerated sampler (gam = 2)."""

    burst = 10

    def __init__(self, x: Points, seed: int) -> None:
        diffusion, model = _smalldiffusion()
        torch.manual_seed(seed)
        self.samples = diffusion.samples
        self.network = model.TimeInputMLP(hidden_dims=(16, 128, 128, 128, 128, 16))
        self.schedule = diffusion.ScheduleLogLinear(N=200, sigma_min=0.005, sigma_max=10)
        batches = Shuffled(x, 2048)
        self.steps = diffusion.training_loop(batches, self.network, self.schedule, epochs=1_000_000)

    def train(self, steps: int) -> None:
        """Let its loop take steps; reading the loss is the README's."""
        for step in itertools.islice(self.steps, steps):
            step.loss.item()

    def sample(self, n: int) -> Points:
        """Draw with its sampler."""
        *_, x_0 = self.samples(self.network, self.schedule.sample_sigmas(20), gam=2, batchsize=n)
        return x_0.numpy()


PEERS: dict[str, type[Azula] | type[TorchCFM] | type[SmallDiffusion]] = {
    "azula": Azula,
    "torchcfm": TorchCFM,
    "smalldiffusion": SmallDiffusion,
}


def _smalldiffusion() -> tuple[Any, Any]:
    """Import its loop and its models, not the package as a whole, which would ask for torchvision."""
    name = "smalldiffusion"
    if name not in sys.modules:
        spec = importlib.util.find_spec(name)
        if spec is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.modules[name] = importlib.util.module_from_spec(spec)
    return importlib.import_module(f"{name}.diffusion"), importlib.import_module(f"{name}.model")
