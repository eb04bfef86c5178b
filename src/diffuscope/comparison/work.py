"""What is done for a training and for a cell? An order goes in, files come out whole.

Orders are plain JSON, so that they can go to another process. A training leaves a run directory, to be
opened by :func:`diffuscope.load`; one that was stopped goes on from its checkpoint. A cell leaves a small
file: how often the network was evaluated for a point (counted, not taken from a table), how long sampling
took, and the distances of its clouds from real ones.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from diffuscope.comparison.grid import settings_of
from diffuscope.comparison.truth import Truth
from diffuscope.data.base import Dataset
from diffuscope.data.images import ImageData, as_bytes, load_images
from diffuscope.errors import FormatError, RunError
from diffuscope.files import write_json
from diffuscope.metrics import sliced_wasserstein
from diffuscope.modalities.reference import extractor_for, sampled
from diffuscope.recipes.schema import parse_recipe
from diffuscope.runs.run import Run, load
from diffuscope.runs.train import train
from diffuscope.seeds import stream_seed

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
        Where the points lie of data that was handed over from Python: path (.npy, of images .npz), name,
        columns, source.
    device : str
    """

    recipe: str
    folder: str
    data: dict[str, Any] | None
    device: str


@dataclass(frozen=True)
class SampleJob:
    """Sample a model in one way, and measure it.

    Attributes
    ----------
    folder : str
        The run directory.
    recipe : str
        TOML, complete; its sampling is what is asked for.
    truth : str
        Folder of the :class:`~diffuscope.comparison.truth.Truth`.
    result : str
        The file to be written.
    data : dict or None
        As of the training; of images, whose samples are asked for and measured by them.
    device : str
    """

    folder: str
    recipe: str
    truth: str
    result: str
    data: dict[str, Any] | None
    device: str


Job = TrainJob | SampleJob


def write_job(order: Job) -> str:
    """Return an order as one line of JSON."""
    return json.dumps({"order": type(order).__name__, **asdict(order)})


def read_job(line: str) -> Job:
    """Read what :func:`write_job` has written."""
    fields = json.loads(line)
    kind = {"TrainJob": TrainJob, "SampleJob": SampleJob}[fields.pop("order")]
    order: Job = kind(**fields)
    return order


def run_job(order: Job) -> None:
    """Do what is ordered.

    Raises
    ------
    DiffuscopeError
        When training or sampling fails.
    Interrupted
        On an interrupt during training, after a checkpoint was written.
    """
    if isinstance(order, TrainJob):
        _train(order)
    else:
        _sample(order)


def trained(folder: str | Path) -> bool:
    """Whether a run directory holds a trained model."""
    return (Path(folder) / "model.safetensors").is_file()


def _train(order: TrainJob) -> None:
    begun = (Path(order.folder) / "recipe.toml").is_file()
    data = None if order.data is None else _handed_over(order.data)
    recipe = None if begun else parse_recipe(order.recipe, "The recipe of a comparison")
    try:
        train(
            data,
            recipe=recipe,
            out=order.folder,
            device=order.device,
            resume=begun,
            pictures=False,
            progress=False,
        )
    except RunError:
        # Samples of the recipe's own sampling may fail where those of others do not.
        if not trained(order.folder):
            raise


def _handed_over(given: Mapping[str, Any]) -> Dataset:
    """Read the points or images of data that a file or a name cannot bring back."""
    if Path(given["path"]).suffix == ".npz":
        return replace(load_images(given["path"]), name=given["name"], source=dict(given["source"]))
    try:
        x = np.load(given["path"], allow_pickle=False)
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{given['path']} cannot be read: {error}.", "Remove it and start again."
        ) from error
    columns = None if given["columns"] is None else tuple(given["columns"])
    return Dataset(given["name"], x, columns, None, dict(given["source"]))


def _sample(order: SampleJob) -> None:
    data = None if order.data is None else _handed_over(order.data)
    run = load(order.folder, device=order.device, data=data)
    recipe = parse_recipe(order.recipe, "The recipe of a cell")
    truth = Truth.load(Path(order.truth))
    real = truth.real(recipe.seed)
    n = real.shape[0] * real.shape[1]
    way = recipe.sampling
    run.model.recipe = run.recipe.model_copy(update={"sampling": way})
    seed = stream_seed(recipe.seed, "comparison", "generated") % 2**32
    images = run.data if run.model.is_of_images else None
    labels = images.labels_like(n, np.random.default_rng(seed)) if isinstance(images, ImageData) else None
    with counting(run.model.denoiser.network) as evaluations:
        begun = time.perf_counter()
        samples = sampled(run.model, n, seed, labels)
        seconds = time.perf_counter() - begun
    if not np.isfinite(samples).all():
        raise RunError(
            f"Samples of {way.name} in {way.steps} steps are not all finite.",
            "The model is kept; train longer, or take another sampler or more steps.",
        )
    if isinstance(images, ImageData):
        samples = extractor_for(images).features(as_bytes(samples))
    clouds = np.split(truth.shown(samples), len(real))
    result = {
        "settings": settings_of(recipe),
        "evaluations": evaluations.points / n,
        "points": n,
        "seconds": round(seconds, 3),
        "train_seconds": _train_seconds(run),
        "distances": [sliced_wasserstein(a, b) for a, b in zip(clouds, real, strict=True)],
    }
    write_json(order.result, result)


def _train_seconds(run: Run) -> float:
    lines = run.metrics
    return float(lines[-1]["seconds"]) if lines else 0.0


class _Count:
    """Points that a network was evaluated at; pieces of a walk may run side by side."""

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
