"""What is done for a training and for a cell? A job goes in, files come out.

Jobs are plain JSON, so that they can be sent to another process. A training writes a run directory, which
:func:`diffuscope.load` opens; one that was stopped resumes from its checkpoint. A cell writes a small file:
the number of network evaluations per point (counted, not taken from a table), the time of sampling, and the
distances of its clouds from real ones.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffuscope.comparison.grid import settings_of
from diffuscope.data.base import Dataset
from diffuscope.errors import DiffuscopeError, FormatError, RunError
from diffuscope.files import write_json
from diffuscope.modalities.recognition import modality
from diffuscope.modalities.reference import Reference
from diffuscope.model import rows_per_block
from diffuscope.recipes import Recipe
from diffuscope.recipes.schema import parse_recipe
from diffuscope.runs.run import load
from diffuscope.runs.train import train

__all__ = ["Job", "run_job", "trained"]


@dataclass(frozen=True)
class Job:
    """Train a model; or, with ``truth`` and ``result``, sample it and measure the samples."""

    recipe: str  # TOML, complete
    folder: str  # the run directory
    data: dict[str, Any] | None  # of an array: path (.npy, of images .npz), name, columns, source
    device: str
    truth: str = ""  # file of the reference
    result: str = ""  # file to be written


def run_job(job: Job) -> None:
    """Run a job.

    Raises
    ------
    DiffuscopeError
        When training or sampling fails.
    Interrupted
        On an interrupt during training, after a checkpoint was written.
    """
    recipe = parse_recipe(job.recipe, f"The recipe of a {'cell' if job.result else 'comparison'}")
    data = _data(job, recipe)
    if job.result:
        _sample(job, recipe, data)
        return
    begun = (Path(job.folder) / "recipe.toml").is_file()
    try:
        train(
            data,
            recipe=None if begun else recipe,
            out=job.folder,
            device=job.device,
            resume=begun,
            pictures=False,
            progress=False,
        )
    except RunError:
        # Samples of the recipe's own sampling may fail where those of others do not.
        if not trained(job.folder):
            raise


def trained(folder: str | Path) -> bool:
    """Whether a run directory holds a trained model."""
    return (Path(folder) / "model.safetensors").is_file()


def _data(job: Job, recipe: Recipe) -> Dataset | None:
    """Read data that was passed as an array."""
    if job.data is None:
        return None
    path = Path(job.data["path"])
    try:
        return modality(recipe.data.kind).restore(path, job.data, recipe)
    except DiffuscopeError:
        raise
    except (OSError, ValueError) as error:
        hint = "Remove it, and start the comparison again."
        raise FormatError(f"{path} cannot be read: {error}.", hint) from error


def _sample(job: Job, recipe: Recipe, data: Dataset | None) -> None:
    run = load(job.folder, device=job.device, data=data)
    reference = Reference.load(Path(job.truth))
    own, sampling = run.modality, recipe.sampling
    measure = own.measurable(run.data, run.model.codec)
    run.model.recipe = run.recipe.model_copy(update={"sampling": sampling})
    block = rows_per_block(run.model.shape)  # the last of the network's batches is filled up to a whole one
    points, lock = 0, threading.Lock()  # pieces may be sampled in parallel

    def count(network: Any, arguments: Any) -> None:
        nonlocal points
        with lock:
            points += len(arguments[0])

    run.model.denoiser.network.register_forward_pre_hook(count)
    begun = time.perf_counter()
    try:
        samples = own.sampled(run.model, reference)
    except RunError as error:
        raise RunError(
            f"Samples of {sampling.name} in {sampling.steps} steps are not all finite.",
            "Use another sampler or more steps, or train longer.",
        ) from error
    seconds = time.perf_counter() - begun
    result = {
        "settings": settings_of(recipe),
        "evaluations": points / (block * math.ceil(reference.samples / block)),
        "points": reference.samples,
        "seconds": round(seconds, 3),
        "train_seconds": float(run.metrics[-1]["seconds"]) if run.metrics else 0.0,
        "distances": reference.distances(reference.clouds(measure(samples))),
    }
    write_json(job.result, result)
