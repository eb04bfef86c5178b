"""What does the package compute, for the page's engine to be compared with? Writes ``web/test/vectors.json``.

    python tests/viewer/vectors.py

Schedules and grids, exact denoisers and densities, answers of networks, the loss, gradient and weights of one
step of training, walks of samplers, sliced Wasserstein distances.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.data.points.toy import POINT_SETS
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.losses import Loss
from diffuscope.diffusion.samplers import make_sampler, trajectory
from diffuscope.diffusion.schedules import Schedule, make_schedule
from diffuscope.metrics import sliced_wasserstein
from diffuscope.networks import NETWORKS
from diffuscope.oracle import EmpiricalOracle, GaussianMixture, Oracle, oracle_for
from diffuscope.studio.drawing import drawn_law
from diffuscope.training.adam import Adam
from diffuscope.training.weights import FlatParameters, WeightAverage

FILE = Path(__file__).parents[2] / "web" / "test" / "vectors.json"

SCHEDULES: list[dict[str, Any]] = [
    {"name": "linear", "T": 100, "start": 1e-5, "end": 0.5e-2},
    {"name": "linear", "T": 50, "start": 1e-4, "end": 0.2, "zero_terminal_snr": True},
    {"name": "quadratic", "T": 60, "start": 1e-4, "end": 0.1},
    {"name": "sigmoid", "T": 40, "start": 1e-5, "end": 0.2},
    {"name": "cosine", "T": 80},
    {"name": "vp"},
    {"name": "edm", "sigma_min": 0.002, "sigma_max": 10.0},
    {"name": "flow"},
    {"name": "continuous_cosine"},
    {"name": "piecewise", "log_snr": [9.0, 5.0, 0.5, -2.0, -8.0]},
]
LEVELS = [(1.0, 0.05), (0.95, 0.3), (0.5, 0.8), (1.0, 4.0)]
SCALING = Scaling(np.array([0.3, -0.2]), np.array([1.7, 0.9]))

NETWORK = {
    "resmlp": {"width": 16, "depth": 2, "n_directions": 8, "direction_std": 1.0, "n_frequencies": 8},
    "article_mlp": {"width": 16},
}
CASES: list[dict[str, Any]] = [
    {
        "network": "resmlp",
        "schedule": {"name": "edm", "sigma_min": 0.002, "sigma_max": 10.0},
        "prediction": "edm",
        "loss": {"distance": "l2", "weighting": "edm", "target": "posterior", "group": 8},
        "betas": [0.9, 0.99],
        "clip_norm": None,
        "ema_decay": 0.98,
    },
    {
        "network": "resmlp",
        "schedule": {"name": "flow"},
        "prediction": "velocity",
        "loss": {"distance": "huber", "weighting": "min_snr", "gamma": 5.0, "delta": 0.5},
        "betas": [0.9, 0.999],
        "clip_norm": 0.01,
        "ema_decay": 0.0,
    },
    {
        "network": "article_mlp",
        "schedule": {"name": "linear", "T": 20, "start": 1e-3, "end": 0.2},
        "prediction": "noise",
        "loss": {"distance": "l2"},
        "betas": [0.9, 0.999],
        "clip_norm": 1.0,
        "ema_decay": 0.0,
    },
]


def random(*shape: int, seed: int) -> Tensor:
    """Return standard normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def numbers(x: Any) -> list[Any]:
    """Return an array as a flat list, to the digits that it has; what is infinite is null."""
    tensor = torch.as_tensor(x)
    digits = 9 if tensor.dtype == torch.float32 else 13
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in tensor.flatten().tolist()]


def of_schedules() -> list[dict[str, Any]]:
    """Return levels at times, times at ratios, and grids."""
    found = []
    for settings in SCHEDULES:
        rest = {key: value for key, value in settings.items() if key != "name"}
        schedule = make_schedule(settings["name"], **rest)
        times = torch.linspace(float(schedule.t_min), float(schedule.t_max), 7, dtype=torch.float64)
        times = times.long() if schedule.discrete else times
        ratios = torch.tensor([0.01, 0.1, 0.7, 2.0, 9.0], dtype=torch.float64)
        level = schedule(times)
        grids = []
        for spacing in ("uniform", "trailing", "karras"):
            grid = schedule.grid(11, spacing).levels  # type: ignore[arg-type]
            grids.append({"spacing": spacing, "alpha": numbers(grid.alpha), "sigma": numbers(grid.sigma)})
        found.append(
            {
                "settings": settings,
                "times": numbers(times),
                "alpha": numbers(level.alpha),
                "sigma": numbers(level.sigma),
                "ratios": numbers(ratios),
                "at_ratio": numbers(schedule.time_at_ratio(ratios)),
                "grids": grids,
            }
        )
    return found


def of_laws() -> list[dict[str, Any]]:
    """Return exact denoisers and densities, in the units of a model."""
    points = random(30, 2, seed=5).numpy()
    means, weights = [[0.0, 0.0], [2.0, 1.0]], [1.0, 3.0]
    laws: list[tuple[dict[str, Any], Oracle]] = [
        ({"kind": "builtin", "name": name, "noise": kind.noise}, oracle_for(name))
        for name, kind in POINT_SETS.items()
    ]
    laws.append(({"kind": "builtin", "name": "checkerboard", "noise": 0.1}, oracle_for("checkerboard", 0.1)))
    laws.append(({"kind": "builtin", "name": "moons", "noise": 0.0}, oracle_for("moons", 0.0)))
    same = [[0.2, 0.1], [0.2, 0.1]]
    unlike = [[0.04, 0.02], [0.4, 0.09]]
    for variances in (same, unlike):
        spec = {"kind": "mixture", "means": means, "variances": variances, "weights": weights}
        laws.append((spec, GaussianMixture(means, variances, weights)))
    laws.append(({"kind": "points", "points": numbers(points)}, EmpiricalOracle(points)))
    strokes = [[(-1.0, 0.0), (1.0, 0.2), (1.1, 1.0)], [(0.0, -1.5)]]
    laws.append(({"kind": "strokes", "strokes": strokes, "noise": 0.1}, drawn_law(strokes, 0.1)))
    found = []
    for spec, oracle in laws:
        own = oracle.scaled(SCALING)
        x_0 = own.draw(6, seed=1)
        answers = []
        for alpha, sigma in LEVELS:
            level = make_schedule("flow")(torch.tensor(0.5))
            level = level._replace(alpha=torch.tensor(alpha).double(), sigma=torch.tensor(sigma).double())
            x = (alpha * x_0 + sigma * random(6, 2, seed=2)).float()
            mean, log = own(x.double(), level), own.log_density(x.double(), level)
            answers.append(
                {"alpha": alpha, "sigma": sigma, "x": numbers(x), "mean": numbers(mean), "log": numbers(log)}
            )
        scaling = {"shift": SCALING.shift.tolist(), "scale": SCALING.scale.tolist()}
        found.append({"spec": spec, "scaling": scaling, "answers": answers})
    return found


def made(case: dict[str, Any]) -> tuple[Denoiser, Schedule]:
    """Return a network with random weights as a denoiser."""
    rest = {key: value for key, value in case["schedule"].items() if key != "name"}
    schedule = make_schedule(case["schedule"]["name"], **rest)
    settings = dict(NETWORK[case["network"]], dimension=2)
    if case["network"] == "article_mlp":
        settings["n_steps"] = case["schedule"]["T"]
    torch.manual_seed(3)
    network = NETWORKS[case["network"]](**settings)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    return Denoiser(network, schedule, case["prediction"], 0.8), schedule


def named(denoiser: Denoiser, vector: Tensor | None = None) -> dict[str, Any]:
    """Return the tensors of a network by name; ``vector`` has other numbers for its parameters."""
    tensors = dict(denoiser.network.state_dict())
    if vector is not None:
        parameters = dict(denoiser.network.named_parameters())
        parts = torch.split(vector, [p.numel() for p in parameters.values()])
        tensors |= {name: part.view_as(p) for (name, p), part in zip(parameters.items(), parts, strict=True)}
    return {name: {"shape": list(t.shape), "values": numbers(t)} for name, t in tensors.items()}


def of_networks() -> list[dict[str, Any]]:
    """Return answers, a step of training, and walks of each network."""
    found = []
    for case in CASES:
        denoiser, schedule = made(case)
        times = torch.linspace(float(schedule.t_min), float(schedule.t_max), 5, dtype=torch.float64)
        times = times.long() if schedule.discrete else times
        x = random(6, 2, seed=7)
        with torch.no_grad():
            answers = [numbers(denoiser(x, schedule(t))) for t in times]
        entry = {
            "case": case | {"settings": NETWORK[case["network"]], "sigma_data": 0.8},
            "tensors": named(denoiser),
            "x": numbers(x),
            "times": numbers(times),
            "answers": answers,
            "walks": of_walks(denoiser, schedule),
        }
        entry["step"] = of_a_step(case, denoiser, schedule)  # moves the weights: comes last
        found.append(entry)
    return found


def of_a_step(case: dict[str, Any], denoiser: Denoiser, schedule: Schedule) -> dict[str, Any]:
    """Return loss, gradient and new weights of one step on a batch of 16, with a rate of 0.01."""
    x_0, eps = random(16, 2, seed=8), random(16, 2, seed=9)
    times = torch.linspace(float(schedule.t_min), float(schedule.t_max), 18, dtype=torch.float64)[1:-1]
    times = times.long() if schedule.discrete else times
    flat = FlatParameters(denoiser.network)
    average = WeightAverage(flat.vector, case["ema_decay"])
    loss = Loss(**case["loss"])
    value = loss(denoiser, x_0, schedule(times), eps)
    flat.keep(flat.gradients(value))
    gradient = named(denoiser, flat.grad.clone())
    if case["clip_norm"] is not None:
        flat.clip(case["clip_norm"])
    Adam(flat.vector, 0.01, tuple(case["betas"])).step()
    average.update(flat.vector, average.share(1))
    return {
        "x_0": numbers(x_0),
        "eps": numbers(eps),
        "times": numbers(times),
        "loss": value.item(),
        "gradient": gradient,
        "weights": named(denoiser, flat.vector.detach()),
        "average": named(denoiser, average.weights),
    }


def of_walks(denoiser: Denoiser, schedule: Schedule) -> list[dict[str, Any]]:
    """Return where five samplers end from one noise, with the noise that they draw."""
    found = []
    for name, settings in (
        ("ddim", {}),
        ("ddim", {"eta": 0.7}),
        ("euler", {}),
        ("heun", {}),
        ("dpmpp_2m", {}),
        ("ddpm", {}),
        ("ddpm", {"variance": "beta"}),
    ):
        grid = schedule.grid(8, "karras")
        start = grid.prior_std * random(4, 2, seed=11)
        generator = torch.Generator().manual_seed(12)
        states = list(trajectory(denoiser, start, grid, make_sampler(name, **settings), generator))
        generator.manual_seed(12)
        noise = [torch.randn(start.shape, generator=generator) for _ in range(grid.n_steps)]
        found.append(
            {
                "sampler": {"name": name, **settings},
                "steps": 8,
                "start": numbers(start),
                "noise": numbers(torch.stack(noise)),
                "middle": numbers(states[4].x),
                "end": numbers(states[-1].x),
            }
        )
    return found


def of_distances() -> dict[str, Any]:
    """Return the sliced Wasserstein distance of two clouds, and the place of its first direction."""
    x, y = random(200, 2, seed=20), 1.1 * random(200, 2, seed=21) + 0.2
    return {
        "x": numbers(x),
        "y": numbers(y),
        "offset": float(np.random.default_rng(0).random()),
        "distance": sliced_wasserstein(x.numpy(), y.numpy()),
    }


def vectors() -> dict[str, Any]:
    """Return all of them."""
    return {
        "schedules": of_schedules(),
        "laws": of_laws(),
        "networks": of_networks(),
        "distances": of_distances(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), separators=(",", ":")) + "\n", "utf-8")
