r"""Does a diagnosis name the fault that was planted, first, and nothing where there is none?

Pipelines with one planted fault each, some of this package, some of plain torch code, and sound ones. Each is
trained as its fault allows, then diagnosed. Target: the planted fault is the first finding in all of them,
the sound ones have none, and the diagnosis of an S-curve run takes less than 30 s on two cores.
"""

from __future__ import annotations

import copy
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from report import parser, publish, table
from torch import Tensor, nn

import diffuscope
from diffuscope.data.base import Dataset
from diffuscope.data.points import load_dataset
from diffuscope.diagnosis import Diagnosis
from diffuscope.diffusion.samplers import SamplingContext
from diffuscope.diffusion.schedules import NoiseLevel, cosine, linear
from diffuscope.errors import RunError

FOLDER = Path(tempfile.mkdtemp(prefix="diagnose-"))
T = 100


SECONDS: list[float] = []


def diagnose(*given: Any, **options: Any) -> Diagnosis:
    """Diagnose, and keep the time that it took."""
    begun = time.perf_counter()
    found = diffuscope.diagnose(*given, **options)
    SECONDS.append(time.perf_counter() - begun)
    return found


def of_run(data: Any = "s_curve", size: int | None = None, **changes: Any) -> Path:
    """Train the recipe ``fast`` with changes, keys with two underscores for the dot; return the run."""
    settings = {key.replace("__", "."): value for key, value in changes.items()}
    if size is not None:
        settings["data.size"] = size
    out = FOLDER / f"{len(list(FOLDER.iterdir()))}"
    diffuscope.train(data, out=out, settings=settings, pictures=False, progress=False)
    return out


# --- a pipeline as people write it: a network (x, t) -> ε of plain torch, betas, a loop


class Network(nn.Module):
    """Predicts noise from points (n, 2) and times (n,)."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.first = nn.Linear(2 + 32, width)
        self.inner = nn.ModuleList([nn.Linear(width, width) for _ in range(3)])
        self.last = nn.Linear(width, 2)
        self.register_buffer("frequencies", 2 ** torch.linspace(-4, 2, 16) * math.pi / 8)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        angle = t.float()[:, None] * self.frequencies
        h = self.first(torch.cat([x, angle.sin(), angle.cos()], 1))
        for layer in self.inner:
            h = h + layer(nn.functional.silu(h))
        return self.last(nn.functional.silu(h))


@dataclass
class Own:
    """A network of one's own, with what it was trained on."""

    network: Network
    last: Network
    betas: Tensor
    data: Dataset
    scaling: tuple[np.ndarray, np.ndarray]

    def diagnose(self, network: Any = None, betas: Tensor | None = None, **options: Any) -> Diagnosis:
        return diagnose(
            self.network if network is None else network,
            self.betas if betas is None else betas,
            self.data,
            scaling=self.scaling,
            progress=False,
            **options,
        )


@cache
def own(predicts: str = "noise", ema: float = 0.0) -> Own:
    """Train a network of one's own on the moons."""
    torch.manual_seed(0)
    data = load_dataset("moons", size=10_000, seed=0)
    shift, scale = data.x.mean(0), data.x.std(0)
    x = torch.from_numpy((data.x - shift) / scale).float()
    schedule = cosine(T)
    alpha, sigma = schedule.sqrt_alpha_bar.float(), schedule.sqrt_one_minus_alpha_bar.float()
    network = Network()
    average = copy.deepcopy(network)
    steps = 5000
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    fall = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    for _ in range(steps):
        x_0 = x[torch.randint(len(x), (512,))]
        t, eps = torch.randint(T, (512,)), torch.randn(512, 2)
        a, s = alpha[t, None], sigma[t, None]
        target = {"noise": eps, "data": x_0, "velocity": a * eps - s * x_0}[predicts]
        loss = (network(a * x_0 + s * eps, t) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        fall.step()
        with torch.no_grad():
            for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(weight, 1 - ema)
    return Own(average, network, schedule.beta, data, (shift, scale))


def loop(this: Own, n: int, keep_noise: bool) -> np.ndarray:
    """Sample as a loop of one's own does."""
    torch.manual_seed(1)
    beta = this.betas.float()
    alpha_bar = (1 - beta).cumprod(0)
    x = torch.randn(n, 2)
    with torch.no_grad():
        for t in range(T - 1, -1, -1):
            eps = this.network(x, torch.full((n,), t))
            x = (x - beta[t] / (1 - alpha_bar[t]).sqrt() * eps) / (1 - beta[t]).sqrt()
            if keep_noise and t:
                variance = beta[t] * (1 - alpha_bar[t - 1]) / (1 - alpha_bar[t])
                x = x + variance.sqrt() * torch.randn(n, 2)
    return x.numpy() * this.scaling[1] + this.scaling[0]


# --- faulty parts


class TimeAsFraction(nn.Module):
    """Hands t / T to the network, where it was trained with t."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x, t.float() / T)


class LogOfTime(nn.Module):
    """Takes the logarithm of t, which is 0 at last."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.network(x, t) + 0 * t.float().log()[:, None]


def ancestral(context: SamplingContext, x: Tensor, noise: str = "sound", clip: float | None = None) -> Tensor:
    """Take a step as a sampler of one's own does, soundly or not."""
    x_0 = context.estimate(x)
    if clip is not None:
        x_0 = x_0.clamp(-clip, clip)
    now, target = context.now, context.target
    share = (now.alpha / target.alpha).item()
    added = now.sigma.item() ** 2 - share**2 * target.sigma.item() ** 2
    kept = share * target.sigma.item() ** 2 / now.sigma.item() ** 2
    mean = kept * x + target.alpha.item() * added / now.sigma.item() ** 2 * x_0
    std = math.sqrt(added) * target.sigma.item() / now.sigma.item()
    if noise == "none":
        return mean
    if noise == "last" and context.is_last:
        std = 0.2
    return mean + std * context.noise(x)


def clamping(bound: float) -> Diagnosis:
    """Diagnose a sound denoiser whose answers are clamped, as a plain function."""
    model = diffuscope.load(of_run()).model

    def denoiser(x_t: Tensor, level: NoiseLevel) -> Tensor:
        return model.denoiser(x_t, level).clamp(-bound, bound)

    scaling = (model.codec.shift, model.codec.scale)
    return diagnose(denoiser, model.denoiser.schedule, "s_curve", scaling=scaling, progress=False)


def of_table(x: np.ndarray) -> Diagnosis:
    """Diagnose a run on a table, whose law nobody knows."""
    return diagnose(of_run(x), data=x, progress=False)


# --- the pipelines


def diverging() -> Diagnosis:
    out = FOLDER / "diverging"
    try:
        diffuscope.train(
            "s_curve",
            out=out,
            settings={"training.learning_rate": 1e4},
            pictures=False,
            progress=False,
        )
    except RunError:
        return diagnose(out)
    raise AssertionError("it was meant to diverge")


def found(run: Path, **options: Any) -> Diagnosis:
    return diagnose(run, progress=False, **options)


VP: dict[str, Any] = {
    "denoiser__prediction": "noise",
    "loss__weighting": "none",
    "loss__target": "sample",
    "times__kind": "uniform",
    "times__stratified": False,
    "sampling__spacing": "uniform",
    "training__learning_rate": 3e-3,
    "training__steps": 3000,
}

PIPELINES: list[tuple[str, str | None, Callable[[], Diagnosis]]] = [
    ("the tutorial's schedule: linear β up to 0.005, T = 100", "terminal_snr", lambda: found(of_run(
        schedule__name="linear", schedule__T=T, schedule__start=1e-5, schedule__end=5e-3,
        sampling__name="ddpm", sampling__steps=T, **VP))),
    ("data as it is, in the hundreds", "data_scale", lambda: found(of_run(
        "s_curve", data__scaling="divide", data__divisor=0.01, schedule__name="cosine", schedule__T=T,
        sampling__name="ddpm", sampling__steps=T, **VP))),
    ("a learning rate of 0.3", "learning_rate_high", lambda: found(of_run(training__learning_rate=0.3))),
    ("a learning rate of 0.00001", "learning_rate_low", lambda: found(of_run(training__learning_rate=1e-5))),
    ("60 steps of training", "undertrained", lambda: found(of_run(training__steps=60))),
    ("3 units in the network's layers", "small_network", lambda: found(of_run(
        network__width=3, network__depth=1, network__n_directions=1, training__steps=3000))),
    ("60 training points", "few_data", lambda: found(of_run(size=60, training__steps=6000))),
    ("DDIM in 6 steps", "few_steps", lambda: found(of_run(), sampler="ddim", steps=6)),
    ("average of weights, decay 0.9999 over 5,000 steps", "ema_slow", lambda: own(ema=0.9999).diagnose(
        raw=own(ema=0.9999).last, trained_steps=5000)),
    ("trained with cosine β, sampled with linear", "schedule_mismatch", lambda: own().diagnose(
        betas=linear(T, 1e-4, 0.2).beta)),
    ("t / T handed to the network, trained with t", "schedule_mismatch", lambda: own().diagnose(
        TimeAsFraction(own().network))),
    ("predicts x_0, read as ε", "prediction_type", lambda: own("data").diagnose()),
    ("predicts v, read as ε", "prediction_type", lambda: own("velocity").diagnose()),
    ("a sampler without noise", "noise_missing", lambda: own().diagnose(
        sampler=lambda context, x: ancestral(context, x, "none"))),
    ("noise in the last step", "noise_last_step", lambda: own().diagnose(
        sampler=lambda context, x: ancestral(context, x, "last"))),
    ("x_0 clipped to [−1, 1] by the sampler", "clipping", lambda: own().diagnose(
        sampler=lambda context, x: ancestral(context, x, clip=1.0))),
    ("x_0 clipped to [−1, 1] by the denoiser", "clipping", lambda: clamping(1.0)),
    ("own loop without noise, only its samples seen", "noise_missing", lambda: own().diagnose(
        samples=loop(own(), 20_000, keep_noise=False))),
    ("NaN in the network's last time", "not_finite", lambda: own().diagnose(LogOfTime(own().network))),
    ("training that blew up: a learning rate of 10,000", "not_finite", diverging),
    ("sound: fast on the S-curve", None, lambda: found(of_run())),
    ("sound: fast on eight Gaussians", None, lambda: found(of_run("eight_gaussians"))),
    ("sound: a table of one's own, its law not known", None, lambda: of_table(
        load_dataset("pinwheel", size=8_000, seed=5).x)),
    ("sound: own network, own loop", None, lambda: own().diagnose(
        samples=loop(own(), 20_000, keep_noise=True))),
]  # fmt: skip


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--only", type=int, nargs="*", help="numbers of pipelines, from 1 on")
    arguments.add_argument("--full", action="store_true", help="print the whole diagnoses as well")
    options = arguments.parse_args()
    lines, right = [], 0
    for number, (name, planted, make) in enumerate(PIPELINES, 1):
        if options.only and number not in options.only:
            continue
        diagnosis = make()
        codes = [finding.code for finding in diagnosis.findings]
        met = codes[:1] == [planted] if planted else not codes
        right += met
        first = diagnosis.findings[0] if codes else None
        gain = "–" if first is None or first.gain is None else f"{first.gain:.2f}"
        total = diagnosis.budget.get("total")
        row = [str(number), name, planted or "nothing", first.code if first else "nothing", gain]
        row += [
            "–" if total is None else f"{total.ratio:.2f}",
            "yes" if met else "**no**",
            f"{SECONDS[-1]:.0f} s",
        ]
        lines.append(row)
        print(" | ".join(row), "| then", ", ".join(codes[1:]) or "nothing", flush=True)
        if options.full:
            print(diagnosis, flush=True)
    head = ["", "pipeline", "planted", "first finding", "its gain", "samples ÷ floor", "right", "time"]
    text = (
        table(head, lines)
        + f"\n\nRight: {right} of {len(lines)}. A diagnosis took {statistics.median(SECONDS):.0f} s in the "
    )
    text += f"median, {max(SECONDS):.0f} s at most (the training that came before it not counted)."
    publish("diagnose", text, options.write)


if __name__ == "__main__":
    main()
