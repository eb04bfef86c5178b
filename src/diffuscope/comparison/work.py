"""What is done for a training and for a cell? A job goes in, files come out.

Jobs are plain JSON, so that they can be sent to another process. A training writes a run directory, which
:func:`diffuscope.load` opens; one that was stopped resumes from its checkpoint. A cell writes a small file:
the number of network evaluations per point (counted, not taken from a table), the time of sampling, and the
distances of its clouds from real ones.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from diffuscope.comparison.grid import settings_of
from diffuscope.data.base import Dataset
from diffuscope.errors import DiffuscopeError, FormatError, RunError
from diffuscope.files import write_json
from diffuscope.modalities.lookup import modality
from diffuscope.modalities.reference import Reference
from diffuscope.recipes import Recipe
from diffuscope.recipes.schema import parse_recipe
from diffuscope.runs.run import Run, load
from diffuscope.runs.train import train

__all__ = ["SampleJob", "TrainJob", "counting", "read_job", "run_job", "trained", "write_job"]


@dataclass(frozen=True)
class TrainJob:
    """Train a model.

    Attributes
    ----------
    recipe : str
        TOML, complete.
    folder : str
        The run directory.
    data : dict or None
        Data that was passed as an array: path (.npy, of images .npz), name, columns, source.
    device : str
    """

    recipe: str
    folder: str
    data: dict[str, Any] | None
    device: str


@dataclass(frozen=True)
class SampleJob:
    """Sample a model with one sampling configuration, and measure the samples.

    Attributes
    ----------
    folder : str
        The run directory.
    recipe : str
        TOML, complete, with the sampling configuration.
    truth : str
        File of the :class:`~diffuscope.modalities.reference.Reference`.
    result : str
        The file to be written.
    data : dict or None
        As of the training.
    device : str
    """

    folder: str
    recipe: str
    truth: str
    result: str
    data: dict[str, Any] | None
    device: str


Job = TrainJob | SampleJob


def write_job(job: Job) -> str:
    """Return a job as one line of JSON."""
    return json.dumps({"job": type(job).__name__, **asdict(job)})


def read_job(line: str) -> Job:
    """Read what :func:`write_job` has written."""
    fields = json.loads(line)
    kind = {"TrainJob": TrainJob, "SampleJob": SampleJob}[fields.pop("job")]
    job: Job = kind(**fields)
    return job


def run_job(job: Job) -> None:
    """Run a job.

    Raises
    ------
    DiffuscopeError
        When training or sampling fails.
    Interrupted
        On an interrupt during training, after a checkpoint was written.
    """
    if isinstance(job, TrainJob):
        _train(job)
    else:
        _sample(job)


def trained(folder: str | Path) -> bool:
    """Whether a run directory holds a trained model."""
    return (Path(folder) / "model.safetensors").is_file()


def _train(job: TrainJob) -> None:
    begun = (Path(job.folder) / "recipe.toml").is_file()
    recipe = parse_recipe(job.recipe, "The recipe of a comparison")
    data = None if job.data is None else _restored(job.data, recipe)
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


def _restored(about: Mapping[str, Any], recipe: Recipe) -> Dataset:
    """Read data that was passed as an array."""
    path = Path(about["path"])
    try:
        return modality(recipe.data.kind).restore(path, about, recipe)
    except (OSError, ValueError) as error:
        if isinstance(error, DiffuscopeError):
            raise
        raise FormatError(
            f"{path} cannot be read: {error}.", "Remove it, and start the comparison again."
        ) from error


def _sample(job: SampleJob) -> None:
    recipe = parse_recipe(job.recipe, "The recipe of a cell")
    data = None if job.data is None else _restored(job.data, recipe)
    run = load(job.folder, device=job.device, data=data)
    reference = Reference.load(Path(job.truth))
    own, sampling = run.modality, recipe.sampling
    measure = own.measurable(run.data, run.model.codec)
    run.model.recipe = run.recipe.model_copy(update={"sampling": sampling})
    with counting(run.model.denoiser.network) as evaluations:
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
        "evaluations": evaluations.points / reference.samples,
        "points": reference.samples,
        "seconds": round(seconds, 3),
        "train_seconds": _train_seconds(run),
        "distances": reference.distances(reference.clouds(measure(samples))),
    }
    write_json(job.result, result)


def _train_seconds(run: Run) -> float:
    lines = run.metrics
    return float(lines[-1]["seconds"]) if lines else 0.0


class _Count:
    """Number of points that a network was evaluated at; pieces may be sampled in parallel."""

    def __init__(self) -> None:
        self.points = 0
        self._lock = threading.Lock()

    def __call__(self, network: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        with self._lock:
            self.points += len(arguments[0])


@contextlib.contextmanager
def counting(network: nn.Module) -> Iterator[_Count]:
    """Count the points that ``network`` is evaluated at while the block runs."""
    count = _Count()
    handle = network.register_forward_pre_hook(count)
    try:
        yield count
    finally:
        handle.remove()
