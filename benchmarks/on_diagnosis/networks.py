"""Which networks do people train, and how? In plain torch, as tutorials do, with the mistakes that they make.

A ``Recipe`` says all of it; ``trained`` returns its network, from a file of numbers if it was trained before.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .data import Data, changed

__all__ = ["SCHEDULES", "Recipe", "Trained", "alpha_bars", "cache_folder", "scaling_of", "trained"]

VERSION = 3


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes
    ----------
    data, change, seed
        The data, what was done to it, and the seed of data and training.
    schedule : str
        Of :data:`SCHEDULES`.
    target : str
        What the network learns: noise, data, velocity, flow.
    scaling : str
        standard, none, one (a mean and a deviation for all columns), unit (least and greatest value become 0
        and 1), tenth (data ÷ 10), swapped (columns the other way round).
    mistake : str
        In the loop of the training: ``against x_t``, ``no roots``, ``uniform noise``, ``noise once``,
        ``one time``, ``no time``.
    norm, dropout
        A batch norm, dropout in the blocks.
    ema : float
        Decay of the average of the weights.
    classes : int
        0 without.
    """

    data: str
    seed: int = 0
    change: str = ""
    schedule: str = "linear 100"
    target: str = "noise"
    scaling: str = "standard"
    mistake: str = ""
    steps: int = 4_000
    batch: int = 512
    rate: float = 2e-3
    constant_rate: bool = False
    width: int = 64
    blocks: int = 2
    norm: bool = False
    dropout: float = 0.0
    ema: float = 0.995
    classes: int = 0


def _linear(steps: int, start: float, end: float) -> Tensor:
    return torch.linspace(start, end, steps, dtype=torch.float64)


def _cosine(steps: int) -> Tensor:
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    return (1 - kept[1:] / kept[:-1]).clamp(max=0.999)


SCHEDULES: dict[str, Callable[[], Tensor]] = {
    "linear 200": lambda: _linear(200, 1e-4, 0.1),
    "linear 100": lambda: _linear(100, 1e-4, 0.2),
    "linear 1000": lambda: _linear(1000, 1e-4, 0.02),
    "linear 1000, cut to 100": lambda: _linear(1000, 1e-4, 0.02)[:100],
    "linear to 0.02 in 100": lambda: _linear(100, 1e-4, 0.02),
    "linear to 0.05 in 100": lambda: _linear(100, 1e-4, 0.05),
    "tutorial": lambda: _linear(100, 1e-5, 5e-3),
    "latents 100": lambda: _linear(100, 0.00085**0.5, 0.012**0.5) ** 2,
    "sigmoid 100": lambda: torch.sigmoid(_linear(100, -6, 6)) * (5e-3 - 1e-5) + 1e-5,
    "cosine 100": lambda: _cosine(100),
    "quadratic 100": lambda: _linear(100, 1e-2, 0.55) ** 2,
}


def alpha_bars(betas: Tensor) -> Tensor:
    return torch.cumprod(1 - betas, 0)


class Network(nn.Module):
    """A residual MLP, (x, t) -> the shape of x, or (x, t, y) with classes."""

    def __init__(self, recipe: Recipe, d: int, n_times: int) -> None:
        super().__init__()
        width = recipe.width
        self.n_times, self.classes, self.blind = n_times, recipe.classes, recipe.mistake == "no time"
        self.first, self.last = nn.Linear(d, width), nn.Linear(width, d)
        self.time = nn.Sequential(nn.Linear(33, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(recipe.classes + 1, width) if recipe.classes else None
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm1d(width) if recipe.norm else nn.Identity(),
                nn.SiLU(),
                nn.Linear(width, width),
                nn.SiLU(),
                nn.Dropout(recipe.dropout),
                nn.Linear(width, width),
            )
            for _ in range(recipe.blocks)
        )
        self.register_buffer("waves", torch.exp(torch.linspace(0, math.log(100.0), 16)))

    def forward(self, x: Tensor, t: Tensor, y: Tensor | None = None) -> Tensor:
        share = (0 * t if self.blind else t).to(x.dtype)[:, None] / self.n_times
        angles = share * self.waves * math.pi
        seen = self.time(torch.cat([share, angles.sin(), angles.cos()], 1))
        if self.label is not None:
            seen = seen + self.label(torch.full_like(t, self.classes, dtype=torch.int64) if y is None else y)
        h = self.first(x.flatten(1)) + seen
        for block in self.blocks:
            h = h + block(h + seen)
        out: Tensor = self.last(h)
        return out.reshape(x.shape)


class ImageNetwork(nn.Module):
    """A small U-Net on pixels folded 2 × 2, with two resolutions; (x, t) -> the shape of x."""

    def __init__(self, recipe: Recipe, n_times: int, channels: int = 3) -> None:
        super().__init__()
        w = recipe.width
        self.n_times, self.blind = n_times, recipe.mistake == "no time"
        self.time = nn.Sequential(nn.Linear(33, 2 * w), nn.SiLU(), nn.Linear(2 * w, 4 * w))
        self.first, self.last = (
            nn.Conv2d(4 * channels, w, 3, padding=1),
            nn.Conv2d(w, 4 * channels, 3, padding=1),
        )
        self.high, self.down = _conv(w, w), nn.Conv2d(w, 2 * w, 3, stride=2, padding=1)
        self.low, self.lower = _conv(2 * w, 2 * w), _conv(2 * w, 2 * w)
        self.up, self.join = nn.Conv2d(2 * w, w, 3, padding=1), _conv(2 * w, w)
        self.whole = nn.Linear(2 * w, 2 * w)
        self.register_buffer("waves", torch.exp(torch.linspace(0, math.log(100.0), 16)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        share = (0 * t if self.blind else t).to(x.dtype)[:, None] / self.n_times
        angles = share * self.waves * math.pi
        seen = self.time(torch.cat([share, angles.sin(), angles.cos()], 1))[:, :, None, None]
        w = self.first.out_channels
        kept = self.first(nn.functional.pixel_unshuffle(x, 2)) + seen[:, :w]
        kept = kept + self.high(kept)
        h = self.down(kept) + seen[:, w : 3 * w]
        h = h + self.low(h)
        h = h + self.whole(h.mean((2, 3)))[:, :, None, None]
        h = h + self.lower(h)
        h = nn.functional.interpolate(self.up(h), scale_factor=2.0) + seen[:, 3 * w :]
        out = self.last(self.join(torch.cat([h, kept], 1)) + h)
        return nn.functional.pixel_shuffle(out, 2)


def _conv(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.GroupNorm(8, inside), nn.SiLU(), nn.Conv2d(inside, outside, 3, padding=1),
        nn.SiLU(), nn.Conv2d(outside, outside, 3, padding=1),
    )  # fmt: skip


def scaling_of(recipe: Recipe, x: Any) -> tuple[Any, Any]:
    """Return shift and scale, each of shape (d,), by which data becomes what a network sees."""
    d = x.shape[1]
    if recipe.data == "shapes":
        return np.full(d, 127.5), np.full(d, 127.5)
    if recipe.data == "digits":
        return np.full(d, 8.0), np.full(d, 8.0)
    if recipe.scaling in ("standard", "swapped"):
        return x.mean(0), np.maximum(x.std(0), 1e-9)
    if recipe.scaling == "one":
        return np.full(d, x.mean()), np.full(d, x.std())
    if recipe.scaling == "unit":
        return x.min(0), np.maximum(x.max(0) - x.min(0), 1e-9)
    return np.zeros(d), np.full(d, {"none": 1.0, "tenth": 10.0}[recipe.scaling])


@dataclass
class Trained:
    """A network after its training.

    ``network`` has the averaged weights and its own buffers, ``raw`` the last weights.
    """

    recipe: Recipe
    data: Data
    network: nn.Module
    raw: nn.Module
    losses: list[float]
    shift: Any
    scale: Any

    @property
    def betas(self) -> Tensor:
        return SCHEDULES[self.recipe.schedule]()


def _made(recipe: Recipe, d: int) -> nn.Module:
    n_times = len(SCHEDULES[recipe.schedule]())
    return ImageNetwork(recipe, n_times) if recipe.data == "shapes" else Network(recipe, d, n_times)


def cache_folder() -> Path:
    """Return where trained networks are kept."""
    return Path(os.environ.get("DIAGNOSIS_GRID_CACHE", "/tmp/diagnosis_grid"))


def trained(recipe: Recipe) -> Trained:
    """Return the network of a recipe; train it if no file holds it yet."""
    recipe = _for_data(recipe)
    data = changed(recipe.data, recipe.seed, recipe.change)
    shift, scale = scaling_of(recipe, data.x)
    key = hashlib.sha256(json.dumps([VERSION, asdict(recipe)], sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / f"{recipe.data}-{key}.safetensors"
    torch.manual_seed(recipe.seed)
    average, raw = _made(recipe, data.d), _made(recipe, data.d)
    if path.is_file():
        stored = load_file(path)
    else:
        raw, average, losses = _train(recipe, raw, average, data, shift, scale)
        stored = {f"average.{name}": value.clone() for name, value in average.state_dict().items()}
        stored |= {f"raw.{name}": value.clone() for name, value in raw.state_dict().items()}
        stored["losses"] = torch.tensor(losses)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(f".{os.getpid()}")
        save_file(stored, fresh)
        fresh.replace(path)
    for part, module in (("average.", average), ("raw.", raw)):
        module.load_state_dict({k.removeprefix(part): v for k, v in stored.items() if k.startswith(part)})
        module.eval()
    return Trained(recipe, data, average, raw, stored["losses"].tolist(), shift, scale)


def _for_data(recipe: Recipe) -> Recipe:
    """Give data of more dimensions a network of its size, where the recipe says nothing else."""
    own: dict[str, dict[str, Any]] = {
        "table12": {"width": 128, "steps": 5_000},
        "digits": {"width": 192, "steps": 5_000, "batch": 256},
        "shapes": {"width": 24, "steps": 1_500, "batch": 64, "schedule": "cosine 100"},
    }
    default = Recipe(recipe.data)
    wanted = own.get(recipe.data, {})
    return replace(recipe, **{k: v for k, v in wanted.items() if getattr(recipe, k) == getattr(default, k)})


def _train(
    recipe: Recipe, raw: nn.Module, average: nn.Module, data: Data, shift: Any, scale: Any
) -> tuple[nn.Module, nn.Module, list[float]]:
    """The loop of a tutorial: noise a batch, predict, step."""
    random = torch.Generator().manual_seed(recipe.seed + 1)
    z = (
        (data.x[:, ::-1] - shift[::-1]) / scale[::-1]
        if recipe.scaling == "swapped"
        else (data.x - shift) / scale
    )
    x = torch.tensor(np.ascontiguousarray(z), dtype=torch.float32)
    if recipe.data == "shapes":
        x = x.reshape(len(x), *data.shape)
    labels = torch.tensor(data.labels) if recipe.classes else None
    kept = alpha_bars(SCHEDULES[recipe.schedule]())
    average.load_state_dict(raw.state_dict())
    optimiser = torch.optim.Adam(raw.parameters(), lr=recipe.rate)
    # The noise of the first batch, which a careless loop goes on with.
    once = torch.randn((recipe.batch, *x.shape[1:]), generator=random)
    losses = []
    raw.train()
    for step in range(recipe.steps):
        if not recipe.constant_rate:
            optimiser.param_groups[0]["lr"] = (
                recipe.rate * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
            )
        rows = torch.randint(len(x), (recipe.batch,), generator=random)
        x_0 = x[rows]
        t = torch.randint(len(kept), (recipe.batch,), generator=random)
        if recipe.mistake == "one time":
            t = t[:1].expand(recipe.batch)
        eps = torch.randn(x_0.shape, generator=random)
        if recipe.mistake == "uniform noise":
            eps = torch.rand(x_0.shape, generator=random)
        if recipe.mistake == "noise once":
            eps = once
        column = (-1, *(1,) * (x_0.dim() - 1))
        alpha, sigma = kept[t].sqrt().float().reshape(column), (1 - kept[t]).sqrt().float().reshape(column)
        if recipe.mistake == "no roots":
            alpha, sigma = alpha**2, sigma**2
        x_t = alpha * x_0 + sigma * eps
        target = {"noise": eps, "data": x_0, "velocity": alpha * eps - sigma * x_0, "flow": eps - x_0}[
            recipe.target
        ]
        if recipe.mistake == "against x_t":
            target = x_t
        y = ()
        if labels is not None:
            dropped = torch.rand(recipe.batch, generator=random) < 0.15
            y = (torch.where(dropped, recipe.classes, labels[rows]),)
        loss = (raw(x_t, t, *y) - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        with torch.no_grad():
            for mean, now in zip(average.parameters(), raw.parameters(), strict=True):
                mean.lerp_(now, 1 - recipe.ema)
            for mean, now in zip(average.buffers(), raw.buffers(), strict=True):
                mean.copy_(now)
    return raw, average, losses
