"""How do people ask? With a network, a denoiser, a step of a sampler, or samples of their own loop.

A ``Pipeline`` is what its owner believes it to be: data, a module (x, t) -> output with t from 0 to T − 1,
betas, what the output is said to be, the scaling, the steps of a sampling loop. ``question`` makes it the
arguments of ``diffuscope.diagnose``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .data import Data
from .networks import Trained, alpha_bars

__all__ = [
    "WAYS",
    "Pipeline",
    "Steps",
    "Wrapped",
    "as_output",
    "eps_of",
    "pipeline_of",
    "question",
    "samples_of",
]

DRAWN = 2_000

Call = Callable[..., Tensor]


class Wrapped(nn.Module):
    """A module whose times or outputs are changed: ``around(module, x, t)``."""

    def __init__(self, inner: nn.Module, around: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner, self.around = inner, around

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.around(self.inner, x, t)


def levels(betas: Tensor, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return α and σ of times, to be multiplied with x."""
    kept = alpha_bars(betas)[t.long()].to(x.dtype).reshape(-1, *(1,) * (x.dim() - 1))
    return kept.sqrt(), (1 - kept).sqrt()


def eps_of(out: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor, said: str) -> Tensor:
    """Return the noise that an output stands for, if it is what it is said to be."""
    if said == "noise":
        return out
    if said == "velocity":
        return alpha * out + sigma * x
    x_0 = out if said == "data" else (x - sigma * out) / (alpha + sigma)
    return (x - alpha * x_0) / sigma


def as_output(eps: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor, kind: str) -> Tensor:
    """Return what a network of another kind would have put out in the place of the noise."""
    x_0 = (x - sigma * eps) / alpha
    if kind == "edm":
        # Of x_t / α = x_0 + (σ/α) ε, with data of deviation 1 (Karras et al. 2022, table 1).
        s = sigma / alpha
        return (x_0 - x / alpha / (1 + s**2)) / (s / (1 + s**2).sqrt())
    return {
        "noise": eps,
        "data": x_0,
        "velocity": alpha * eps - sigma * x_0,
        "flow": eps - x_0,
        "score": -eps / sigma,
        "minus noise": -eps,
        "minus score": eps / sigma,
    }[kind]


@dataclass(frozen=True)
class Steps:
    """How an own loop steps from noise to data; every field is right by default.

    Attributes
    ----------
    every : int
        Only every k-th time is visited.
    betas_of_all : bool
        Steps over many times use the β of one.
    mean : str
        right, ``alpha_bar`` (√ᾱ for √α), ``no root`` (β / (1 − ᾱ)), ``beta root`` (√β for β).
    noise : str
        right, posterior, squared, none, eps, once, ``extra`` (on top of a full step of DDIM), last, double,
        half.
    ddim : bool
        DDIM without noise.
    start : str
        normal, uniform, zeros.
    start_std : float
    clip : float
        Bound of x_0, 0 for none.
    left_out : int
        The last steps, not taken.
    offset : int
        ᾱ is looked up at a neighbouring time.
    times : str
        What the loop hands to the network: right, ``plus one``, reversed, constant, share.
    """

    every: int = 1
    betas_of_all: bool = False
    mean: str = "right"
    noise: str = "right"
    ddim: bool = False
    start: str = "normal"
    start_std: float = 1.0
    clip: float = 0.0
    left_out: int = 0
    offset: int = 0
    times: str = "right"

    def visited(self, n_times: int) -> list[int]:
        """Return the times that are visited, downwards."""
        return list(range(n_times - 1, -1, -1))[:: self.every]

    def initial(self, n: int, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
        if self.start == "zeros":
            return torch.zeros(n, *shape)
        if self.start == "uniform":
            return self.start_std * (2 * torch.rand(n, *shape, generator=random) - 1)
        return self.start_std * torch.randn(n, *shape, generator=random)

    def handed(self, i: int, n_times: int) -> float:
        """Return the time that the network is handed at index i."""
        return {
            "right": i,
            "plus one": min(i + 1, n_times - 1),
            "reversed": n_times - 1 - i,
            "constant": n_times // 2,
            "share": i / n_times,
        }[self.times]

    def move(self, x: Tensor, eps: Tensor, i: int, j: int, betas: Tensor, z: Tensor) -> Tensor:
        """Return the points at index j (−1 for clean data) from those at index i; z is fresh noise."""
        bars = alpha_bars(betas)

        def bar(k: int) -> float:
            return 1.0 if k < 0 else float(bars[min(max(k + self.offset, 0), len(bars) - 1)])

        here, there = bar(i), bar(j)
        alpha = float(1 - betas[i]) if self.betas_of_all or self.every == 1 else here / there
        beta = 1 - alpha
        sigma = math.sqrt(1 - here)
        if self.clip:
            x_0 = ((x - sigma * eps) / math.sqrt(here)).clamp(-self.clip, self.clip)
            eps = (x - math.sqrt(here) * x_0) / sigma
        if self.ddim or self.noise == "extra":
            moved = math.sqrt(there) * (x - sigma * eps) / math.sqrt(here) + math.sqrt(1 - there) * eps
            return moved + math.sqrt(beta * (1 - there) / (1 - here)) * z if self.noise == "extra" else moved
        over = {"no root": 1 - here}.get(self.mean, sigma)
        amount = math.sqrt(beta) if self.mean == "beta root" else beta
        moved = (x - amount / over * eps) / math.sqrt(here if self.mean == "alpha_bar" else alpha)
        if (j < 0 and self.noise != "last") or self.noise == "none":
            return moved
        posterior = beta * (1 - there) / (1 - here)
        deviation = {
            "posterior": math.sqrt(posterior),
            "squared": beta,
            "double": 2 * math.sqrt(beta),
            "half": 0.5 * math.sqrt(beta),
        }.get(self.noise, math.sqrt(beta))
        return moved + deviation * (eps if self.noise == "eps" else z)


@dataclass
class Pipeline:
    """A pipeline as its owner believes it to be.

    Attributes
    ----------
    data : Data
    module : nn.Module
        (x, t) -> output.
    betas : Tensor of shape (T,)
    said : str
        What the output is said to be.
    shift, scale : ndarray of shape (d,)
    steps : Steps
    looped : callable, optional
        In the place of the module in the own loop.
    back : callable, optional
        From what the loop returns, (n, d), to the units of the data; by default z · scale + shift.
    more : dict
        Further arguments of ``diagnose``.
    held_out : bool
        Whether held-out data is handed over.
    base : Trained or None
        What was trained for it.
    wraps : str
        What was done to the trained network: times, output, clip, nan, rounded, buffers, mode.
    guided : callable, optional
        ``looped`` with another weight of guidance.
    """

    data: Data
    module: nn.Module
    betas: Tensor
    shift: Any
    scale: Any
    said: str = "noise"
    steps: Steps = Steps()
    looped: Call | None = None
    back: Callable[[Any], Any] | None = None
    more: dict[str, Any] = field(default_factory=dict)
    held_out: bool = False
    base: Trained | None = None
    wraps: str = ""
    guided: Callable[[float], Call] | None = None


def pipeline_of(base: Trained, **more: Any) -> Pipeline:
    """Return the pipeline of a trained network, in which all is right that its recipe has right."""
    defaults = {"betas": base.betas, "said": base.recipe.target, "shift": base.shift, "scale": base.scale}
    return Pipeline(base.data, base=base, **({"module": base.network} | defaults | more))


def samples_of(pipeline: Pipeline, n: int, seed: int) -> Any:
    """Return samples (n, ...) of the own loop, in the units of the data."""
    random = torch.Generator().manual_seed(seed + 77)
    shape = pipeline.data.shape
    steps, betas = pipeline.steps, pipeline.betas
    call = pipeline.looped or pipeline.module
    visited = steps.visited(len(betas))
    x = steps.initial(n, shape, random)
    once = torch.randn(x.shape, generator=random)
    with torch.no_grad():
        for k, i in enumerate(visited[: len(visited) - steps.left_out]):
            j = visited[k + 1] if k + 1 < len(visited) else -1
            handed = steps.handed(i, len(betas))
            t = torch.full((n,), handed, dtype=torch.int64 if isinstance(handed, int) else torch.float32)
            alpha, sigma = levels(betas, torch.full((n,), i), x)
            eps = eps_of(call(x, t), x, alpha, sigma, pipeline.said)
            z = once if steps.noise == "once" else torch.randn(x.shape, generator=random)
            x = steps.move(x, eps, i, j, betas, z)
    z = x.double().numpy().reshape(n, -1)
    made = pipeline.back(z) if pipeline.back else z * pipeline.scale + pipeline.shift
    made = np.nan_to_num(made, nan=0.0, posinf=1e9, neginf=-1e9)
    if len(shape) == 3:
        return np.clip(np.round(made), 0, 255).astype(np.uint8).reshape(n, *shape)
    return made


def _stepper(steps: Steps, betas: Tensor) -> Callable[[Any, Tensor], Tensor]:
    """Return a step (context, x) -> x as the documentation describes it."""
    kept: dict[tuple[int, ...], Tensor] = {}

    def step(context: Any, x: Tensor) -> Tensor:
        i = round(float(context.now.t))
        j = -1 if float(context.target.sigma) == 0 else round(float(context.target.t))
        alpha, sigma = float(context.now.alpha), float(context.now.sigma)
        eps = (x - alpha * context.estimate(x)) / sigma
        z = context.noise(x)
        if steps.noise == "once":
            z = kept.setdefault(tuple(x.shape), z)
        return steps.move(x, eps, i, j, betas, z)

    return step


def _denoiser(pipeline: Pipeline) -> Callable[[Tensor, Any], Tensor]:
    """Return a function (x_t, level) -> x_0 of a module."""

    def denoiser(x: Tensor, level: Any) -> Tensor:
        t = torch.as_tensor(level.t).round().long().expand(len(x))
        alpha, sigma = (
            torch.as_tensor(one).to(x.dtype).expand(len(x)).reshape(-1, *(1,) * (x.dim() - 1))
            for one in (level.alpha, level.sigma)
        )
        with torch.no_grad():
            eps = eps_of(pipeline.module(x, t), x, alpha, sigma, pipeline.said)
        return (x - sigma * eps) / alpha

    return denoiser


def _asked(pipeline: Pipeline) -> dict[str, Any]:
    data = pipeline.data
    image = len(data.shape) == 3
    scaling = (127.5, 127.5) if image else (pipeline.shift, pipeline.scale)
    made = {"subject": pipeline.module, "schedule": pipeline.betas, "data": data.given, "scaling": scaling}
    made |= {"prediction": pipeline.said}
    if pipeline.held_out:
        held_out = data.held_out.reshape(-1, *data.shape)
        made["held_out"] = held_out.astype(np.uint8) if image else held_out
    return made | pipeline.more


def question(pipeline: Pipeline, way: str, seed: int) -> dict[str, Any]:
    """Return the arguments of ``diagnose`` for a pipeline in one of :data:`WAYS`."""
    made = _asked(pipeline)
    steps = pipeline.steps
    if way == "denoiser":
        made["subject"] = _denoiser(pipeline)
        del made["prediction"]
    elif way == "sampler":
        made["sampler"] = _stepper(steps, pipeline.betas)
        if steps.every > 1:
            made["steps"] = len(steps.visited(len(pipeline.betas)))
        if steps.start_std != 1:
            made["start_std"] = steps.start_std
    elif way == "samples":
        made["samples"] = samples_of(pipeline, DRAWN, seed)
    return made


WAYS = ("module", "denoiser", "sampler", "samples", "run", "folder")
