"""How does a training leave a run directory behind? What every run says of itself, and one that is kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffuscope._version import __version__
from diffuscope.files import sole_writer, write_json, write_text
from diffuscope.metrics import Measured
from diffuscope.runs.plan import claim_default_directory
from diffuscope.runs.run import Run
from diffuscope.runs.setup import Setup

__all__ = ["keep", "summarise"]


def summarise(
    setup: Setup,
    steps: int,
    train_seconds: float,
    total_seconds: float,
    quality: Mapping[str, Measured],
    processes: int = 1,
    **more: Any,
) -> dict[str, Any]:
    """Return what ``summary.json`` says of a finished training."""
    recipe = setup.recipe
    return {
        "recipe": recipe.name,
        "data": setup.data.source,
        "seed": recipe.seed,
        **more,
        "steps": steps,
        "parameters": sum(p.numel() for p in setup.model.denoiser.network.parameters() if p.requires_grad),
        "train_seconds": round(train_seconds, 3),
        "total_seconds": round(total_seconds, 3),
        "device": str(setup.device),
        "processes": processes,
        "fingerprint": setup.fingerprint(),
        "quality": {name: one.to_json() for name, one in quality.items()},
        "versions": {
            "diffuscope": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def keep(run: Run, setup: Setup, losses: Sequence[tuple[int, float]], steps: int, seconds: float) -> Path:
    """Write a run that was trained elsewhere to the first free directory of its data; return that.

    ``losses`` are steps, with the mean loss since the one before. Samples are measured anew.
    """
    quality = run.measure()
    folder = claim_default_directory(setup.data)
    with sole_writer(folder):
        write_text(folder / "recipe.toml", setup.recipe.to_toml())
        lines = [json.dumps({"step": step, "loss": loss}) for step, loss in losses]
        write_text(folder / "metrics.jsonl", "".join(f"{line}\n" for line in lines))
        run.model.save(folder / "model.safetensors")
        write_json(folder / "summary.json", summarise(setup, steps, seconds, seconds, quality))
    return folder
