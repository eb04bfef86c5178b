"""What do trainings show that take minutes? Runs of the tutorial's recipe, each mended a little more.

``recorded/runs.json`` has what each changes in the recipe, its losses and how good its samples are;
``recorded/N.safetensors`` its weights, as 16-bit numbers. ``benchmarks/recorded_runs.py`` of the repository
makes them anew, in half an hour.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from diffuscope.errors import InputError
from diffuscope.model import fill
from diffuscope.runs.plan import plan_new
from diffuscope.runs.setup import Setup

__all__ = ["DATA", "FOLDER", "RECIPE", "RecordedRun", "recorded_run"]

FOLDER = Path(__file__).parent / "recorded"
_SECTIONS = {"schedule.end": "schedule", "data.scaling": "scaling", "training.decay": "decay"}
DATA, RECIPE = "s_curve", "article"


@dataclass(frozen=True)
class RecordedRun:
    """A run as it was recorded; ``setup`` has its trained model, ``ratios`` are those of all of them.

    ``next_change`` is what the next one mends: schedule, scaling or decay; None of the last one.
    """

    setup: Setup
    losses: list[tuple[int, float]]
    quality: dict[str, float]
    budget: dict[str, Any]
    at: int
    ratios: list[float]
    next_change: str | None


def recorded_run(at: int) -> RecordedRun:
    """Return the run number ``at``; another number is an InputError."""
    told: list[dict[str, Any]] = json.loads((FOLDER / "runs.json").read_text("utf-8"))
    if not 0 <= at < len(told):
        raise InputError(f"There is no recorded run {at}.", f"There are {len(told)}, from 0 on.")
    own = told[at]
    planned, data, _ = plan_new(DATA, RECIPE, own["changes"], "runs/recorded")
    setup = Setup(planned, data, torch.device("cpu"))
    file = FOLDER / f"{at}.safetensors"
    weights = {name: tensor.float() for name, tensor in load_file(file).items()}
    fill(setup.model.denoiser.network, weights, file)
    losses = list(zip(own["loss"]["step"], own["loss"]["value"], strict=True))
    ratios = [one["quality"]["ratio"] for one in told]
    following = told[at + 1]["changes"] if at + 1 < len(told) else {}
    new = [_SECTIONS[key] for key in following if key not in own["changes"]]
    return RecordedRun(setup, losses, own["quality"], own["budget"], at, ratios, new[0] if new else None)
