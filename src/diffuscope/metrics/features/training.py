"""How does the classifier learn? In a minute, from labels; without any, from groups of images and turns.

Batches of images, each shifted by a few pixels at random, cross-entropy, AdamW with a learning rate that
rises and falls (Smith and Topin 2019). Nothing is mirrored: a mirrored 2 is no 2.

Without labels images are grouped by their pixels (k-means) and turned by 0, 90, 180 or 270 degrees (0 or
180 where they are not square), and the network says from which group an image is and by how much it was
turned. Which way up a thing is only those know who know what it is (Gidaris et al. 2018), and groups make
sure that kinds of images are told apart, so that a kind that samples lack is missed (Caron et al. 2018 use
groups alone, again and again). Nothing else needs to change. On Fashion-MNIST a linear classifier on such
features is right more often than on those learned from turns or from groups alone.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from diffuscope.errors import InputError, RunError
from diffuscope.metrics.features.classifier import Classifier, Images, checked_images, to_network
from diffuscope.metrics.features.network import FeatureNetwork
from diffuscope.progress import Reporter
from diffuscope.seeds import stream, stream_seed

__all__ = ["SETTINGS", "train_classifier"]

# All that the weights depend on besides data, seed and code; part of the name of a kept classifier.
SETTINGS = {
    "images": 360_000,  # seen altogether at most,
    "epochs": 40,  # and so often each
    "batch": 128,
    "small_batch": 32,  # for fewer than ``small`` images
    "small": 5_000,
    "learning_rate": 4e-3,
    "weight_decay": 1e-2,
    "shift": 1 / 14,  # of the side of an image
    "groups": 64,  # without labels, at most,
    "group_size": 50,  # of as many images at least, on average,
    "group_side": 16,  # by as many pixels on a side
}

_LOOK_AT = 2_000  # images that say how large features are, or are looked at at once
_GROUPED = 10_000  # images that say what groups there are
_FEW_PIXELS = 2**15  # in a batch


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
        From 0 on. Where there are none, or all are the same, it learns from groups and turns.
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
    given = None if labels is None else _checked_labels(images, labels, classes)
    turns = 1
    if given is None or given.min() == given.max():
        given, turns = _groups(images, seed), 4 if images.shape[2] == images.shape[3] else 2
        classes = None
    names = tuple(classes) if classes is not None else tuple(str(i) for i in range(turns * (given.max() + 1)))
    shape = (images.shape[1], images.shape[2], images.shape[3])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "features", "weights"))
        network = FeatureNetwork(shape, len(names))
    _train(network, images, given, turns, seed, progress or Reporter(show=False))
    network.eval()
    classifier = Classifier(network, shape, names, labelled=turns == 1)
    some = classifier.features(images[:: math.ceil(len(images) / _LOOK_AT)])
    scale = math.sqrt(float(np.square(some, dtype=np.float64).mean()))
    if not (math.isfinite(scale) and scale > 0):
        raise RunError(
            "The classifier for these images did not learn: its features are all 0, or not finite.",
            "Give images that differ from each other.",
        )
    network.unit.fill_(scale)
    return classifier


def _checked_labels(
    images: Images, labels: NDArray[np.integer], classes: Sequence[str] | None
) -> NDArray[np.int64]:
    given = np.asarray(labels)
    if given.shape != (len(images),) or not np.issubdtype(given.dtype, np.integer):
        raise InputError(
            f"Labels of shape {given.shape} ({given.dtype}) do not go with {len(images)} images.",
            "Give a whole number for each image.",
        )
    most = int(given.max()) + 1 if classes is None else len(classes)
    if given.min() < 0 or given.max() >= most:
        raise InputError(
            f"Labels from {given.min()} to {given.max()} do not go with {most} classes.",
            "Count classes from 0.",
        )
    return given.astype(np.int64)


def _groups(images: Images, seed: int) -> NDArray[np.int64]:
    """Return the group of each image by its pixels, (n,)."""
    from sklearn.cluster import KMeans

    count = int(min(SETTINGS["groups"], len(images) // SETTINGS["group_size"]))
    if count < 2:
        return np.zeros(len(images), dtype=np.int64)
    some = images[:: math.ceil(len(images) / _GROUPED)]
    groups = KMeans(count, n_init=1, max_iter=30, random_state=stream_seed(seed, "groups") % 2**32)
    groups.fit(_small(some))
    pieces = range(0, len(images), _LOOK_AT)
    return np.concatenate([groups.predict(_small(images[i : i + _LOOK_AT])) for i in pieces]).astype(np.int64)


def _small(images: Images) -> NDArray[np.float32]:
    """Return images as rows of a few pixels."""
    height, width = (min(side, int(SETTINGS["group_side"])) for side in images.shape[2:])
    return functional.adaptive_avg_pool2d(to_network(images), (height, width)).flatten(1).numpy()


def _train(
    network: FeatureNetwork,
    images: Images,
    labels: NDArray[np.int64],
    turns: int,
    seed: int,
    progress: Reporter,
) -> None:
    """Train in place to say ``turns * label + turn``."""
    size = int(SETTINGS["small_batch" if len(images) < SETTINGS["small"] else "batch"])
    size = min(size, len(images))
    steps = max(1, math.ceil(min(SETTINGS["images"], SETTINGS["epochs"] * len(images)) / size))
    rate = SETTINGS["learning_rate"]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=SETTINGS["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    random = stream(seed, "features", "batches")
    network.train()
    small = size * images[0].size < _FEW_PIXELS
    with progress.bar("Learning what images are measured in", steps * size, "images") as bar, _threads(small):
        for step, rows in enumerate(_rows(len(images), size, steps, random)):
            x = _shifted(to_network(images[rows]), random)
            wanted = turns * torch.from_numpy(labels[rows])
            if turns > 1:
                turn = torch.randint(turns, (len(rows),), generator=random)
                x, wanted = _turned(x, turn, turns), wanted + turn
            optimizer.zero_grad()
            functional.cross_entropy(network(x), wanted).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.update((step + 1) * size)


@contextlib.contextmanager
def _threads(small: bool) -> Iterator[None]:
    """Learn small images on one thread: sharing such short operations costs more than it saves."""
    before = torch.get_num_threads()
    if small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
    return moved.permute(0, 3, 1, 2).contiguous()


def _places(n: int, side: int, random: torch.Generator) -> Tensor:
    """Return where each pixel of a line comes from, (n, side)."""
    most = max(1, round(side * SETTINGS["shift"]))
    shift = torch.randint(-most, most + 1, (n, 1), generator=random)
    return (torch.arange(side) + shift).clamp(0, side - 1)


def _turned(x: Tensor, turn: Tensor, turns: int) -> Tensor:
    """Turn each image (n, C, H, W): by quarters if there are four turns, by halves if two."""
    out = torch.empty_like(x)
    for i in range(turns):
        chosen = turn == i
        out[chosen] = torch.rot90(x[chosen], i * 4 // turns, (2, 3))
    return out
