"""Faults of training: averages and modes, the loop, the data, the schedule, the precision of weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from .case import MOST, SMALL, Case, Make, Question, half_of, plain
from .data import bring
from .networks import SCHEDULES
from .owners import asked
from .pipelines import Wrapped, pipeline_of

__all__ = ["data_faults", "precisions", "schedules", "trainings"]


def _average(variant: str, data: str, seed: int, way: str) -> Question:
    kind, _, raw = variant.partition(", ")
    if kind.startswith("decay"):
        base = plain(data, seed, ema=float(kind.split()[1]), steps=2_000)
    else:
        base = plain(data, seed, norm=True)
        for module in base.network.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.reset_running_stats()
    more = {"raw": base.raw} if raw else {}
    wraps = "buffers" if kind == "buffers" else ""
    return asked(pipeline_of(base, more=more, wraps=wraps), way, seed)


def _mode(variant: str, data: str, seed: int, way: str) -> Question:
    changes: dict[str, Any] = {"norm": True} if variant == "norm" else {"dropout": float(variant)}
    base = plain(data, seed, **changes)
    base.network.train()
    # Batches of one size, as an own loop draws them.
    return asked(pipeline_of(base, wraps="mode"), way, seed)


def _training(**changes: dict[str, Any]) -> Make:
    def make(variant: str, data: str, seed: int, way: str) -> Question:
        base = plain(data, seed, **changes[variant])
        recipe = base.recipe
        if variant.endswith("frozen"):
            base.network.requires_grad_(False)
        more: dict[str, Any] = {}
        if half_of(f"{variant} {data} {seed} {way}") == "tuning":
            more = {"losses": base.losses, "learning_rate": recipe.rate, "trained_steps": recipe.steps}
        return asked(pipeline_of(base, more=more), way, seed)

    return make


def trainings() -> Iterator[Case]:
    ways = ("module", "samples")
    for name, accept, changes in [
        (
            "a short training",
            "undertrained",
            {f"{n} steps": {"steps": n} for n in (30, 60, 120)} | {"60 steps, frozen": {"steps": 60}},
        ),
        (
            "rate too high",
            "learning_rate_high",
            {f"rate {r}": {"rate": r, "constant_rate": True, "steps": 1_500} for r in (0.03, 0.1, 0.3)},
        ),
        (
            "rate too low",
            "learning_rate_low,undertrained",
            {f"rate {r}": {"rate": r, "constant_rate": True, "steps": 1_500} for r in (3e-6, 1e-5, 3e-5)},
        ),
        (
            "a tiny network",
            "small_network",
            {f"{w} units": {"width": w, "blocks": 1} for w in (3, 5, 8)},
        ),
        (
            "training noise drawn once",
            "same noise,fresh noise,reused,drawn once,network_error",
            {"once": {"mistake": "noise once", "steps": 2_000}},
        ),
        (
            "one time for a batch",
            "undertrained,network_error,one time",
            {"one": {"mistake": "one time", "steps": 400, "constant_rate": True}},
        ),
        (
            "loss against x_t",
            "prediction_type,network_error,loss against",
            {"x_t": {"mistake": "against x_t", "steps": 2_000}},
        ),
        (
            "time not given",
            "ignores the time,not use the time,not see the time,network_error",
            {"blind": {"mistake": "no time", "steps": 2_000}},
        ),
        (
            "no roots in training",
            "schedule_mismatch,network_error",
            {"no roots": {"mistake": "no roots", "steps": 2_000}},
        ),
        (
            "uniform noise in training",
            "uniform,normal,gauss,network_error",
            {"uniform": {"mistake": "uniform noise", "steps": 2_000}},
        ),
    ]:
        yield Case(
            name,
            "training",
            _training(**changes),
            tuple(accept.split(",")),
            tuple(changes),
            MOST if name in ("a short training", "rate too low") else SMALL,
            ways,
        )
    yield Case(
        "an average that lags",
        "weights",
        _average,
        ("ema_slow", "average"),
        ("decay 0.9999", "decay 0.9999, raw", "decay 0.9998", "decay 0.9995, raw"),
        SMALL,
        ("module", "samples"),
    )
    yield Case(
        "buffers not copied",
        "weights",
        _average,
        ("ema_slow", "average", "buffer", "batch norm", "running"),
        ("buffers", "buffers, raw"),
        SMALL,
        ("module",),
    )
    yield Case(
        "training mode",
        "weights",
        _mode,
        ("eval()", "training mode", "dropout", "batch norm"),
        ("0.1", "0.3", "norm"),
        SMALL,
        ("module", "samples"),
    )


def _datas(changes: dict[str, dict[str, Any]]) -> Make:
    def make(variant: str, data: str, seed: int, way: str) -> Question:
        base = plain(data, seed, **changes[variant])
        return asked(pipeline_of(base, held_out=True), way, seed)

    return make


def _lost(variant: str, data: str, seed: int, way: str) -> Question:
    """A group is lost: before training, or only in the loop of the training."""
    base = plain(data, seed, change="lost 2", steps=2_000)
    if variant == "in training":
        base.data = bring(data, seed)
    return asked(pipeline_of(base, held_out=True), way, seed)


def data_faults() -> Iterator[Case]:
    ways, own = ("module", "samples"), ("blobs", "table5")
    for name, accept, changes, data in [
        (
            "few rows",
            "few_data",
            {f"rows {n}": {"change": f"rows {n}"} for n in (30, 60)},
            (*own, "digits"),
        ),
        (
            "copies of few rows",
            "few_data,duplicate,copies",
            {"copies 30": {"change": "copies 30"}},
            own,
        ),
        (
            "an outlier",
            "data_scale,outlier,extreme",
            {"outlier": {"change": "outlier 10000"}},
            own,
        ),
        (
            "rounded columns",
            "rounded,discrete,grid,lattice,distinct,quanti",
            {f"rounded {s}": {"change": f"rounded {s}"} for s in (0.5, 1)},
            own,
        ),
        (
            "heavy tails",
            "tail,outlier,data_scale",
            {f"tails {k}": {"change": f"tails {k}"} for k in (1, 1.3)},
            own,
        ),
    ]:
        yield Case(
            name,
            "data",
            _datas(changes),
            tuple(accept.split(",")),
            tuple(changes),
            data,
            ways,
        )
    yield Case(
        "a group lost",
        "data",
        _lost,
        ("group", "lost", "absent", "cluster", "differs from"),
        ("before training", "in training"),
        own,
        ways,
    )


def schedules() -> Iterator[Case]:
    def own(variant: str, data: str, seed: int, way: str) -> Question:
        return asked(pipeline_of(plain(data, seed, schedule=variant)), way, seed)

    def other(variant: str, data: str, seed: int, way: str) -> Question:
        learned, told = variant.split(", told ")
        base = plain(data, seed, schedule=learned)
        return asked(pipeline_of(base, betas=SCHEDULES[told]()), way, seed)

    ways = ("module", "denoiser", "samples")
    yield Case(
        "the tutorial's schedule",
        "schedule",
        own,
        ("terminal_snr",),
        ("tutorial", "sigmoid 100"),
        MOST,
        ways,
    )
    yield Case(
        "signal left at the end",
        "schedule",
        own,
        ("terminal_snr",),
        ("linear to 0.02 in 100", "latents 100", "linear to 0.05 in 100"),
        SMALL,
        ways,
    )
    yield Case(
        "sampling with another schedule",
        "schedule",
        other,
        ("schedule_mismatch",),
        ("cosine 100, told linear 100", "linear 100, told cosine 100", "linear 100, told quadratic 100"),
        SMALL,
        ways,
    )
    yield Case(
        "fewer steps, the same betas",
        "schedule",
        other,
        ("schedule_mismatch", "terminal_snr"),
        (
            "linear 100, told linear to 0.02 in 100",
            "linear 1000, told linear to 0.02 in 100",
            "linear 1000, told linear 1000, cut to 100",
        ),
        SMALL,
        ways,
    )


def _in_8_bits(weight: Tensor, how: str) -> Tensor:
    """Round to a float of 8 bits, to sixteenths, or to 255 steps of one tensor."""
    if how == "float8":
        return weight.to(torch.float8_e4m3fn).float()
    if how == "sixteenths":
        return (weight * 16).round().clamp(-128, 127) / 16
    step = weight.abs().max() / 127
    return (weight / step).round() * step


def _rounded_weights(variant: str, data: str, seed: int, way: str) -> Question:
    base = plain(data, seed)
    with torch.no_grad():
        for weight in base.network.parameters():
            weight.copy_(_in_8_bits(weight, variant))
    return asked(pipeline_of(base, wraps="rounded"), way, seed)


def _not_finite(variant: str, data: str, seed: int, way: str) -> Question:
    base = plain(data, seed)
    n = len(base.betas)
    where = {"first": 0, "middle": n // 2, "last": n - 1}[variant.split()[0]]
    bad = float("inf") if variant.endswith("inf") else float("nan")

    def around(inner: nn.Module, x: Tensor, t: Tensor) -> Tensor:
        out = inner(x, t)
        return torch.where((t == where).reshape(-1, *(1,) * (out.dim() - 1)), bad, out)

    return asked(pipeline_of(base, module=Wrapped(base.network, around), wraps="nan"), way, seed)


def precisions() -> Iterator[Case]:
    yield Case(
        "weights of 8 bits",
        "precision",
        _rounded_weights,
        ("precision", "bits", "rounded", "quanti", "network_error"),
        ("int8", "float8", "sixteenths"),
        MOST,
        ("module", "samples"),
    )
    yield Case(
        "not finite at one time",
        "precision",
        _not_finite,
        ("not_finite",),
        ("first", "middle", "last", "middle inf"),
        MOST,
        ("module", "denoiser"),
    )
