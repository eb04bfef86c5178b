"""Faults of what is asked about as a folder: a run of our own trainer, or an imported model of diffusers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .case import PLANE, SMALL, Case, Make, Question
from .owners import FolderOwner, RunOwner

__all__ = ["BETAS", "folder_faults", "foreign", "run_faults", "running"]


_RUNS: dict[str, tuple[tuple[str, ...], tuple[str, ...], dict[str, dict[str, Any]]]] = {
    "run: a short training": (
        ("undertrained",),
        ("moons", "blobs", "table12", "digits"),
        {"60 steps": {"training__steps": 60}},
    ),
    "run: rate too high": (
        ("learning_rate_high",),
        SMALL,
        {"0.3": {"training__learning_rate": 0.3}, "10000": {"training__learning_rate": 1e4}},
    ),
    "run: rate too low": (
        ("learning_rate_low", "undertrained"),
        SMALL,
        {"0.00001": {"training__learning_rate": 1e-5}},
    ),
    "run: a tiny network": (("small_network",), SMALL, {"3 units": {"network__width": 3}}),
    "run: few steps": (
        ("few_steps",),
        ("moons", "blobs", "table12", "digits"),
        {"ddim 4": {"sampling__name": "ddim", "sampling__steps": 4}},
    ),
    "run: an average that lags": (
        ("ema_slow",),
        SMALL,
        {"0.9999": {"training__ema_decay": 0.9999}},
    ),
    "run: few rows": (
        ("few_data",),
        ("blobs", "table5"),
        {"rows 60": {"change": "rows 60"}},
    ),
    "run: the tutorial": (
        ("terminal_snr", "undertrained"),  # so few epochs cost as much as the start
        PLANE,
        {"30 epochs": {"arguments": {"recipe": "article", "epochs": 30}}},
    ),
    "run: data not scaled": (
        ("data_scale",),
        PLANE,
        {"hundreds": {"change": "factor 100", "data__scaling": "none"}},
    ),
    "run: guidance": (("guidance",), ("digits",), {"10": {"sampling__guidance": 10.0}}),
}


def run_faults() -> Iterator[Case]:
    for name, (accept, data, variants) in _RUNS.items():
        yield Case(name, name.split(": ")[0], running(variants), accept, tuple(variants), data, ("run",))


def running(variants: dict[str, dict[str, Any]]) -> Make:
    def make(variant: str, data: str, seed: int, way: str) -> Question:
        owner = RunOwner(data, seed, variants[variant])
        return owner.asks() | {"owner": owner}

    return make


BETAS = {"num_train_timesteps": 100, "beta_start": 1e-4, "beta_end": 0.2}
_FOLDERS: dict[str, tuple[tuple[str, ...], dict[str, tuple[int, dict[str, Any], dict[str, Any]]]]] = {
    "folder: another prediction": (
        ("prediction_type",),
        {
            "v_prediction": (1_500, BETAS, {"prediction_type": "v_prediction"}),
            "sample": (1_500, BETAS, {"prediction_type": "sample"}),
        },
    ),
    "folder: another schedule": (
        ("schedule_mismatch",),
        {
            "cosine": (1_500, BETAS, {"beta_schedule": "squaredcos_cap_v2"}),
            "end": (1_500, BETAS, {"beta_end": 0.05}),
        },
    ),
    "folder: a short training": (("undertrained",), {"60 steps": (60, BETAS, {})}),
    "folder: signal left": (
        ("terminal_snr",),
        {"0.02": (1_500, {**BETAS, "beta_end": 0.02}, {})},
    ),
}


def folder_faults() -> Iterator[Case]:
    for name, (accept, variants) in _FOLDERS.items():
        yield Case(name, "folder", foreign(variants), accept, tuple(variants), ("digits",), ("folder",))


def foreign(variants: dict[str, tuple[int, dict[str, Any], dict[str, Any]]]) -> Make:
    def make(variant: str, data: str, seed: int, way: str) -> Question:
        steps, betas, config = variants[variant]
        owner = FolderOwner(seed, steps, betas, config)
        return owner.asks() | {"owner": owner}

    return make
