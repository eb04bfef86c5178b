"""Who takes part in the part "speed" of ``images.py``? Our trainer, and others by their own code.

All train a U-Net of about 3.0 million parameters on Fashion-MNIST, 1 × 28 × 28, unconditionally, in batches
of the same size, and sample with the walk that is their own. Peers are used through their public interface,
as their training examples have it; what those leave to the reader is chosen here, and says so. Batches are
cut out of one tensor, where their loaders would put them together image by image: in that they are better off
than with their users. In 16 bits a peer multiplies as its users would have it do, by autocast.

They are no dependencies of this package. What they import beside, and use for nothing that is measured
(torchvision, for folders of image files), is left out::

    pip install diffusers==0.42.1 accelerate einops
    pip install --no-deps denoising-diffusion-pytorch==2.3.4 ema-pytorch==0.8.3
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, smooth_l1_loss

from diffuscope.data.images import load_images
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.precision import half_type
from diffuscope.recipes import load_recipe
from diffuscope.runs.setup import Setup
from on_images.annotated import Network, Process

__all__ = ["CONTESTANTS", "OURS", "Contestant", "Terms"]

OURS = "Diffuscope, its U-Net"
THEIRS_BY_US = "Diffuscope, the annotated model's network"

Images = Tensor


@dataclass(frozen=True)
class Terms:
    """What is the same for all.

    Attributes
    ----------
    device : torch.device
    precision : {"float32", "auto"}
        ``auto``: bfloat16 where the device has it in hardware.
    compile : bool
        Whether networks are compiled for training.
    batch : int
    """

    device: torch.device
    precision: str
    compile: bool
    batch: int

    @property
    def half(self) -> torch.dtype | None:
        """What peers multiply in; None: 32 bits."""
        return half_type(self.precision, self.device)  # type: ignore[arg-type]


class Contestant(Protocol):
    """Someone who trains and samples.

    Attributes
    ----------
    network : nn.Module
    walk : int
        Evaluations of the network in its own standard walk.
    whole : bool
        Whether it can only walk to the end.
    """

    network: nn.Module
    walk: int
    whole: bool

    def train(self, steps: int) -> None:
        """Take so many steps more."""
        ...

    def sample(self, n: int, evaluations: int) -> None:
        """Sample with n images, from noise on, by so many evaluations; to the end, where it cannot stop."""
        ...


class Ours:
    """A recipe, through :class:`~diffuscope.training.Trainer` and the generator of images.

    Not conditioned on classes, as nobody here is.
    """

    whole = True

    def __init__(self, terms: Terms, name: str, **changes: Any) -> None:
        recipe = load_recipe(name).changed(
            {
                "data.labels": False,
                "training.batch_size": terms.batch,
                "training.precision": terms.precision,
                "training.compile": terms.compile,
                "sampling.precision": terms.precision,
                **{key.replace("__", "."): value for key, value in changes.items()},
            }
        )
        fitting = Setup(recipe, load_images("fashion_mnist"), terms.device)
        self.network, self.walk = fitting.model.denoiser.network, recipe.sampling.steps
        self.images, self.trainer = ImageGenerator(fitting.model), fitting.trainer()

    def train(self, steps: int) -> None:
        """Take so many steps more; the length is the recipe's, and a round ends earlier."""
        goal = self.trainer.step + steps
        self.trainer.settings = self.trainer.settings.model_copy(update={"steps": goal, "epochs": None})
        self.trainer.run()

    def sample(self, n: int, evaluations: int) -> None:
        """Draw images as a user does."""
        self.network.eval()
        self.images.sample(n)


class Loop:
    """What all other loops share: batches, and where the network multiplies.

    Parameters
    ----------
    terms : Terms
    network : nn.Module
    """

    whole = False

    def __init__(self, terms: Terms, network: nn.Module) -> None:
        self.terms, self.network = terms, network.to(terms.device)
        self.trained = torch.compile(self.network) if terms.compile else self.network
        self.pixels = torch.from_numpy(load_images("fashion_mnist").pixels).to(terms.device)

    def images(self) -> Images:
        """Return a batch in [0, 1], mirrored or not."""
        index = torch.randint(len(self.pixels), (self.terms.batch,), device=self.pixels.device)
        x = self.pixels[index].float() / 255
        mirrored = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        return torch.where(mirrored, x.flip(3), x)

    def steps(self, high: int) -> Tensor:
        """Return a random step for each image of a batch."""
        return torch.randint(high, (self.terms.batch,), device=self.terms.device)

    def multiplying(self) -> Any:
        """Return the context in which the network multiplies."""
        half = self.terms.half
        return torch.autocast(self.terms.device.type, half, enabled=half is not None)

    def noise(self, n: int) -> Tensor:
        """Return what a walk starts from."""
        return torch.randn(n, 1, 28, 28, device=self.terms.device)


class Annotated(Loop):
    """The annotated model: its loop and its walk, see :mod:`on_images.annotated`."""

    def __init__(self, terms: Terms) -> None:
        super().__init__(terms, Network())
        self.process = Process()
        self.walk = self.process.steps
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-3)

    def train(self, steps: int) -> None:
        """Take steps as in its text."""
        self.network.train()
        for _ in range(steps):
            self.optimizer.zero_grad()
            x_0 = self.images() * 2 - 1
            t, eps = self.steps(self.process.steps), torch.randn_like(x_0)
            x_t = self.process.noised(x_0, t, eps)
            with self.multiplying():
                answer = self.trained(x_t, t)
            loss = smooth_l1_loss(answer.float(), eps)
            loss.backward()
            self.optimizer.step()

    @torch.no_grad()
    def sample(self, n: int, evaluations: int) -> None:
        """Sample as in its text, which keeps all states."""
        self.network.eval()
        x, states = self.noise(n), []
        with self.multiplying():
            for step in reversed(range(self.walk - evaluations, self.walk)):
                x = self.process.back(self.network, x, step)
                states.append(x.cpu().numpy())


class Lucidrains(Loop):
    """denoising-diffusion-pytorch: its Unet, its GaussianDiffusion with 1,000 steps, its Trainer's step.

    The trainer itself wants a folder of image files. Its step is taken here: loss, gradients clipped at 1,
    Adam, an average of the weights every ten steps. Its README's network is larger; here it has the sizes of
    the annotated model.
    """

    def __init__(self, terms: Terms) -> None:
        peer = _without_torchvision("denoising_diffusion_pytorch")
        averages: Any = importlib.import_module("ema_pytorch")
        super().__init__(terms, peer.Unet(dim=34, dim_mults=(1, 2, 4), channels=1))
        self.diffusion = peer.GaussianDiffusion(self.trained, image_size=28, timesteps=1000).to(terms.device)
        self.walk = self.diffusion.num_timesteps
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=1e-4, betas=(0.9, 0.99))
        self.average = averages.EMA(self.network, beta=0.995, update_every=10)

    def train(self, steps: int) -> None:
        """Take steps as its trainer does."""
        self.diffusion.train()
        for _ in range(steps):
            with self.multiplying():
                loss = self.diffusion(self.images())
            loss.item()
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.average.update()

    @torch.inference_mode()
    def sample(self, n: int, evaluations: int) -> None:
        """Take the first steps of its walk, which keeps all states."""
        self.diffusion.eval()
        self.diffusion.model = self.network
        x, states = self.noise(n), []
        with self.multiplying():
            for step in reversed(range(self.walk - evaluations, self.walk)):
                x, _ = self.diffusion.p_sample(x, step)
                states.append(x)


class Diffusers(Loop):
    """diffusers: UNet2DModel and DDPMScheduler with 1,000 steps, as in its training example.

    The example's network is larger. Here: 32, 64 and 136 channels, one layer a size, attention at the
    smallest, groups of 8 in its norms.
    """

    def __init__(self, terms: Terms) -> None:
        peer: Any = importlib.import_module("diffusers")
        network = peer.UNet2DModel(
            sample_size=28,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(32, 64, 136),
            norm_num_groups=8,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        )
        super().__init__(terms, network)
        self.scheduler = peer.DDPMScheduler(num_train_timesteps=1000)
        self.walk = 1000
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4)

    def train(self, steps: int) -> None:
        """Take steps as in its example."""
        self.network.train()
        for _ in range(steps):
            x_0 = self.images() * 2 - 1
            t, eps = self.steps(1000), torch.randn_like(x_0)
            x_t = self.scheduler.add_noise(x_0, eps, t)
            with self.multiplying():
                answer = self.trained(x_t, t, return_dict=False)[0]
            loss = mse_loss(answer.float(), eps)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()

    @torch.no_grad()
    def sample(self, n: int, evaluations: int) -> None:
        """Take the first steps of its pipeline's walk."""
        self.network.eval()
        self.scheduler.set_timesteps(self.walk)
        x = self.noise(n)
        with self.multiplying():
            for t in self.scheduler.timesteps[:evaluations]:
                x = self.scheduler.step(self.network(x, t).sample, t, x).prev_sample


def _ours(terms: Terms) -> Contestant:
    return Ours(terms, "fashion_fast", network__embedding=304)


def _theirs_by_us(terms: Terms) -> Contestant:
    return Ours(terms, "annotated_fashion")


CONTESTANTS: dict[str, Any] = {
    "the annotated model": Annotated,
    "denoising-diffusion-pytorch": Lucidrains,
    "diffusers": Diffusers,
    THEIRS_BY_US: _theirs_by_us,
    OURS: _ours,
}


def _without_torchvision(name: str) -> ModuleType:
    """Import a module that asks for torchvision and needs it only for what is not used here."""
    if importlib.util.find_spec("torchvision") is not None:
        return importlib.import_module(name)
    blank = ModuleType("torchvision")
    blank.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
    blank.__dict__.update(transforms=None, utils=None)
    sys.modules["torchvision"] = blank
    try:
        return importlib.import_module(name)
    finally:
        del sys.modules["torchvision"]
