"""How does the classifier learn? In a minute, from labels; without any, from how images were turned.

Batches of images, each shifted by a few pixels at random, cross-entropy, AdamW with a learning rate that
rises and falls (Smith and Topin 2019). Nothing is mirrored: a mirrored 2 is no 2.

Without labels images are turned by 0, 90, 180 or 270 degrees (0 or 180 where they are not square) and the
network says by how much (Gidaris et al. 2018). To know which way up a thing is one has to know what it is,
so the features tell kinds of things apart that nobody named; and nothing else needs to change.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from diffuscope.errors import InputError, RunError
from diffuscope.features.classifier import Classifier, Images, checked_images, to_network
from diffuscope.features.network import FeatureNetwork
from diffuscope.progress import Reporter
from diffuscope.seeds import stream, stream_seed

__all__ = ["SETTINGS", "train_classifier"]

# All that the weights depend on besides data, seed and code; part of the name of a kept classifier.
SETTINGS = {
    "images": 240_000,  # seen altogether at most,
    "epochs": 60,  # and so often each
    "batch": 128,
    "small_batch": 32,  # for fewer than ``small`` images
    "small": 5_000,
    "learning_rate": 4e-3,
    "weight_decay": 1e-2,
    "shift": 1 / 14,  # of the side of an image
}

_TURNS = ("upright", "a quarter", "upside down", "three quarters")
_LOOK_AT = 2_000  # images that say how large features are


def train_classifier(
    images: Images,
    labels: NDArray[np.integer] | None = None,
    classes: Sequence[str] | None = None,
    *,
    seed: int = 0,
    progress: Reporter | None = None,
) -> Classifier:
    """Train a classifier. The same arguments give the same one, on the same machine.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, C, H, W)
        May be a memory map.
    labels : ndarray of int, shape (n,), optional
        From 0 on. Where there are none, or all are the same, it learns from turned images.
    classes : sequence of str, optional
        Names; numbers by default.
    seed : int
    progress : Reporter, optional

    Raises
    ------
    InputError
        When there are fewer than 16 images, or labels that do not go with them.
    RunError
        When training fails: weights that are not finite.
    """
    images = checked_images(images)
    if len(images) < 16:
        raise InputError(f"{len(images)} images are too few to learn from.", "Give at least 16.")
    names, targets = _task(images, labels, classes)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "features", "weights"))
        network = FeatureNetwork(shape, len(names))
    _train(network, images, targets, len(names), seed, progress or Reporter(show=False))
    network.eval()
    classifier = Classifier(network, shape, names, labelled=targets is not None)
    some = classifier.features(images[:: math.ceil(len(images) / _LOOK_AT)])
    scale = math.sqrt(float(np.square(some, dtype=np.float64).mean()))
    if not (math.isfinite(scale) and scale > 0):
        raise RunError(
            "The classifier for these images did not learn: its features are all 0, or not finite.",
            "Give images that differ from each other.",
        )
    network.unit.fill_(scale)
    return classifier


def _task(
    images: Images, labels: NDArray[np.integer] | None, classes: Sequence[str] | None
) -> tuple[tuple[str, ...], NDArray[np.int64] | None]:
    """Return the names of what is told apart, and which one each image is, (n,): None for turned ones."""
    if labels is not None:
        given = np.asarray(labels)
        if given.shape != (len(images),) or not np.issubdtype(given.dtype, np.integer):
            raise InputError(
                f"Labels of shape {given.shape} ({given.dtype}) do not go with {len(images)} images.",
                "Give a whole number for each image.",
            )
        most = int(given.max()) + 1
        names = tuple(classes) if classes is not None else tuple(str(i) for i in range(most))
        if given.min() < 0 or most > len(names):
            raise InputError(
                f"Labels from {given.min()} to {given.max()} do not go with {len(names)} classes.",
                "Count classes from 0.",
            )
        if given.min() < given.max():
            return names, given.astype(np.int64)
    square = images.shape[2] == images.shape[3]
    return _TURNS if square else _TURNS[::2], None


def _train(
    network: FeatureNetwork,
    images: Images,
    targets: NDArray[np.int64] | None,
    classes: int,
    seed: int,
    progress: Reporter,
) -> None:
    """Train in place."""
    size = int(SETTINGS["small_batch" if len(images) < SETTINGS["small"] else "batch"])
    size = min(size, len(images))
    steps = max(1, math.ceil(min(SETTINGS["images"], SETTINGS["epochs"] * len(images)) / size))
    rate = SETTINGS["learning_rate"]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=SETTINGS["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    random = stream(seed, "features", "batches")
    network.train()
    with progress.bar("Learning what images are measured in", steps * size, "images") as bar:
        for step, rows in enumerate(_rows(len(images), size, steps, random)):
            x = _shifted(to_network(images[rows]), random)
            if targets is None:
                turns = torch.randint(classes, (len(rows),), generator=random)
                x, wanted = _turned(x, turns, classes), turns
            else:
                wanted = torch.from_numpy(targets[rows])
            optimizer.zero_grad()
            functional.cross_entropy(network(x), wanted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.update((step + 1) * size)


def _rows(n: int, size: int, steps: int, random: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, in order, as a file is read best; all come equally often."""
    order = torch.randperm(n, generator=random)
    at = 0
    for _ in range(steps):
        if at + size > n:
            order, at = torch.randperm(n, generator=random), 0
        yield np.sort(order[at : at + size].numpy())
        at += size


def _shifted(x: Tensor, random: torch.Generator) -> Tensor:
    """Shift each image (n, C, H, W) by its own few pixels; what comes in is like the edge."""
    n, _, height, width = x.shape
    rows, columns = (_places(n, side, random) for side in (height, width))
    moved = x.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2)


def _places(n: int, side: int, random: torch.Generator) -> Tensor:
    """Return where each pixel of a line comes from, (n, side)."""
    most = max(1, round(side * SETTINGS["shift"]))
    shift = torch.randint(-most, most + 1, (n, 1), generator=random)
    return (torch.arange(side) + shift).clamp(0, side - 1)


def _turned(x: Tensor, turns: Tensor, classes: int) -> Tensor:
    """Turn each image (n, C, H, W): by quarters if there are four classes, by halves if two."""
    quarters = 4 // classes
    out = torch.empty_like(x)
    for turn in range(classes):
        chosen = turns == turn
        out[chosen] = torch.rot90(x[chosen], turn * quarters, (2, 3))
    return out
