r"""How does "The Annotated Diffusion Model" (Rogge & Rasul 2022) train and sample, in plain torch?

Network and walk are written here from what its text says, and share nothing with the package, whose own
re-making of the network has as many parameters, 2,996,315, and with the same weights the same answers. With
:math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)`, 200 betas from 0.0001 to 0.02:

.. math::
    x_t = \sqrt{\bar\alpha_t}\, x_0 + \sqrt{1 - \bar\alpha_t}\, \epsilon, \qquad
    x_{t-1} = \frac{1}{\sqrt{1 - \beta_t}} \Bigl( x_t
        - \frac{\beta_t}{\sqrt{1 - \bar\alpha_t}}\, \hat\epsilon(x_t, t) \Bigr)
        + \sqrt{\frac{1 - \bar\alpha_{t-1}}{1 - \bar\alpha_t} \beta_t}\; z
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

__all__ = ["Network", "Process"]


class Waves(nn.Module):
    """Sines and cosines of the step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, t: Tensor) -> Tensor:
        """Map steps (n,) to (n, width)."""
        half = self.width // 2
        rates = torch.exp(torch.arange(half, device=t.device) * (-math.log(10_000) / (half - 1)))
        phase = t[:, None] * rates[None, :]
        return torch.cat((phase.sin(), phase.cos()), dim=-1)


class Block(nn.Module):
    """A ConvNeXt block that is conditioned on the step; with ``embedding`` = 0 it is not."""

    def __init__(self, inputs: int, outputs: int, embedding: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Sequential(nn.GELU(), nn.Linear(embedding, inputs)) if embedding else None
        self.depthwise = nn.Conv2d(inputs, inputs, 7, padding=3, groups=inputs)
        self.wide = nn.Sequential(
            nn.GroupNorm(1, inputs),
            nn.Conv2d(inputs, 2 * outputs, 3, padding=1),
            nn.GELU(),
            nn.GroupNorm(1, 2 * outputs),
            nn.Conv2d(2 * outputs, outputs, 3, padding=1),
        )
        self.across = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """Map (n, inputs, h, w) to (n, outputs, h, w)."""
        h = self.depthwise(x)
        if self.embedding is not None and e is not None:
            h = h + self.embedding(e)[:, :, None, None]
        y: Tensor = self.wide(h) + self.across(x)
        return y


class Attention(nn.Module):
    """Attention of four heads of 32 after a norm, beside a straight path: of all places, or linear."""

    def __init__(self, channels: int, linear: bool) -> None:
        super().__init__()
        self.linear = linear
        self.norm = nn.GroupNorm(1, channels)
        self.qkv = nn.Conv2d(channels, 3 * 128, 1, bias=False)
        out = nn.Conv2d(128, channels, 1)
        self.out: nn.Module = nn.Sequential(out, nn.GroupNorm(1, channels)) if linear else out

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to the same shape."""
        n, _, height, width = x.shape
        q, k, v = (part.reshape(n, 4, 32, -1) for part in self.qkv(self.norm(x)).chunk(3, dim=1))
        if self.linear:
            q, k = q.softmax(dim=-2) * 32**-0.5, k.softmax(dim=-1)
            context = torch.einsum("bhdn,bhen->bhde", k, v)
            mixed = torch.einsum("bhde,bhdn->bhen", context, q)
        else:
            likeness = torch.einsum("bhdi,bhdj->bhij", q * 32**-0.5, k)
            likeness = likeness - likeness.amax(dim=-1, keepdim=True).detach()
            mixed = torch.einsum("bhij,bhdj->bhdi", likeness.softmax(dim=-1), v)
        y: Tensor = self.out(mixed.reshape(n, 128, height, width)) + x
        return y


class Level(nn.Module):
    """Two blocks and linear attention at one size, and the way to the next."""

    def __init__(self, inputs: int, outputs: int, embedding: int, way: nn.Module) -> None:
        super().__init__()
        self.first, self.second = Block(inputs, outputs, embedding), Block(outputs, outputs, embedding)
        self.attention, self.way = Attention(outputs, linear=True), way

    def forward(self, x: Tensor, e: Tensor) -> tuple[Tensor, Tensor]:
        """Return maps of this size, and of the next."""
        x = self.attention(self.second(self.first(x, e), e))
        return x, self.way(x)


class Network(nn.Module):
    """Its U-Net for grey images of 28 × 28: 28, 56 and 112 channels."""

    def __init__(self, width: int = 28) -> None:
        super().__init__()
        start, small, middle, large = width // 3 * 2, width, 2 * width, 4 * width
        embedding = 4 * width
        self.input = nn.Conv2d(1, start, 7, padding=3)
        self.time = nn.Sequential(
            Waves(width), nn.Linear(width, embedding), nn.GELU(), nn.Linear(embedding, embedding)
        )
        self.downs = nn.ModuleList(
            [
                Level(start, small, embedding, nn.Conv2d(small, small, 4, 2, 1)),
                Level(small, middle, embedding, nn.Conv2d(middle, middle, 4, 2, 1)),
                Level(middle, large, embedding, nn.Identity()),
            ]
        )
        self.first, self.second = Block(large, large, embedding), Block(large, large, embedding)
        self.attention = Attention(large, linear=False)
        self.ups = nn.ModuleList(
            [
                Level(2 * large, middle, embedding, nn.ConvTranspose2d(middle, middle, 4, 2, 1)),
                Level(2 * middle, small, embedding, nn.ConvTranspose2d(small, small, 4, 2, 1)),
            ]
        )
        self.last = nn.Sequential(Block(small, small), nn.Conv2d(small, 1, 1))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Map images (n, 1, 28, 28) at steps (n,) to their noise."""
        x, e, kept = self.input(x), self.time(t), []
        for level in self.downs:
            here, x = level(x, e)
            kept.append(here)
        x = self.second(self.attention(self.first(x, e)), e)
        for level in self.ups:
            _, x = level(torch.cat((x, kept.pop()), dim=1), e)
        out: Tensor = self.last(x)
        return out


class Process:
    """The forward process and the reverse walk, with coefficients gathered at each image's step."""

    def __init__(self, steps: int = 200) -> None:
        self.steps = steps
        self.betas = torch.linspace(0.0001, 0.02, steps)
        kept = torch.cumprod(1 - self.betas, dim=0)
        before = torch.cat([torch.ones(1), kept[:-1]])
        self.signal, self.noise = kept.sqrt(), (1 - kept).sqrt()
        self.grown = (1 / (1 - self.betas)).sqrt()
        self.variance = self.betas * (1 - before) / (1 - kept)

    @staticmethod
    def at(values: Tensor, t: Tensor) -> Tensor:
        """Return values (steps,) at steps (n,) in the shape (n, 1, 1, 1)."""
        return values.gather(-1, t.cpu()).reshape(-1, 1, 1, 1).to(t.device)

    def noised(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """Return images at steps (n,)."""
        return self.at(self.signal, t) * x_0 + self.at(self.noise, t) * eps

    def back(self, network: nn.Module, x: Tensor, step: int) -> Tensor:
        """Take one step of the reverse walk."""
        t = torch.full((len(x),), step, device=x.device, dtype=torch.long)
        eps: Tensor = network(x, t)
        mean = self.at(self.grown, t) * (x - self.at(self.betas, t) * eps / self.at(self.noise, t))
        if step == 0:
            return mean
        return mean + self.at(self.variance, t).sqrt() * torch.randn_like(x)
