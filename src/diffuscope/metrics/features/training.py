"""How is the classifier trained? In a minute, on labels; without labels, on clusters and rotations.

Random shifts by a few pixels, cross-entropy, AdamW with a one-cycle learning rate (Smith and Topin 2019).
Images are not mirrored: a mirrored 2 is not a 2.

Without labels the training is self-supervised. Images are clustered by their pixels (k-means) and rotated by
0, 90, 180 or 270 degrees (0 or 180 if they are not square); the network predicts cluster and rotation.
Predicting rotations needs knowledge of the content (Gidaris et al. 2018), and clusters make the features
distinguish kinds of images, so that missing kinds are noticed (Caron et al. 2018 iterate on clusters alone).
On Fashion-MNIST a linear classifier on these features is more accurate than on those of rotations or clusters
alone.
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
from diffuscope.seeds import alone, stream, stream_seed

__all__ = ["SETTINGS", "train_classifier"]

# Everything that the weights depend on besides data, seed and code; part of a cached classifier's digest.
SETTINGS = {
    "images": 360_000,  # in all epochs together, at most
    "epochs": 40,  # at most
    "batch": 128,
    "small_batch": 32,  # for fewer than ``small`` images
    "small": 5_000,
    "learning_rate": 4e-3,
    "weight_decay": 1e-2,
    "shift": 1 / 14,  # of the side of an image
    "groups": 64,  # clusters without labels, at most
    "group_size": 50,  # images of a cluster on average, at least
    "group_side": 16,  # pixels on a side for clustering
}

_LOOK_AT = 2_000  # images in a batch of clustering, and for the scale of features
_GROUPED = 10_000  # images for fitting the clusters, at most
_FEW_PIXELS = 2**15  # in a batch


def train_classifier(
    images: Images,
    labels: NDArray[np.integer] | None = None,
    classes: Sequence[str] | None = None,
    *,
    seed: int = 0,
    progress: Reporter | None = None,
) -> Classifier:
    """Train a classifier; deterministic on one machine.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, C, H, W)
        May be a memory map.
    labels : ndarray of int, shape (n,), optional
        From 0. If omitted, or all equal, training uses clusters and rotations.
    classes : sequence of str, optional
        Their names; by default their numbers.
    seed : int
    progress : Reporter, optional

    Raises
    ------
    InputError
        When there are fewer than 16 images, or the labels are not valid.
    RunError
        When training fails.
    """
    images = checked_images(images)
    if len(images) < 16:
        raise InputError(f"{len(images)} images are too few for training a classifier.", "Give at least 16.")
    targets = None if labels is None else _checked_labels(images, labels, classes)
    shape = (images.shape[1], images.shape[2], images.shape[3])
    turns = 1
    if targets is None or targets.min() == targets.max():
        targets, turns, classes = _groups(images, seed), 4 if shape[1] == shape[2] else 2, None
    names = tuple(map(str, range(turns * (targets.max() + 1))) if classes is None else classes)
    with alone(stream_seed(seed, "features", "weights")):
        network = FeatureNetwork(shape, len(names))
    _train(network, images, targets, turns, seed, progress or Reporter(show=False))
    network.eval()
    classifier = Classifier(network, shape, names, labelled=turns == 1)
    some = classifier.features(images[:: math.ceil(len(images) / _LOOK_AT)])
    scale = math.sqrt(float(np.square(some, dtype=np.float64).mean()))
    if not (math.isfinite(scale) and scale > 0):
        raise RunError(
            "The training of the classifier for image metrics failed: its features are all 0, or not finite.",
            "Check that the images differ from each other.",
        )
    network.unit.fill_(scale)
    return classifier


def _checked_labels(
    images: Images, labels: NDArray[np.integer], classes: Sequence[str] | None
) -> NDArray[np.int64]:
    array = np.asarray(labels)
    if array.shape != (len(images),) or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"Labels of shape {array.shape} ({array.dtype}) are not valid for {len(images)} images.",
            "Give an integer for each image.",
        )
    most = int(array.max()) + 1 if classes is None else len(classes)
    if array.min() < 0 or array.max() >= most:
        raise InputError(
            f"Labels from {array.min()} to {array.max()} are not valid for {most} classes.",
            f"Labels must be 0 to {most - 1}.",
        )
    return array.astype(np.int64)


def _groups(images: Images, seed: int) -> NDArray[np.int64]:
    """Return the cluster of each image by its pixels, (n,)."""
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
    """Return downscaled images as rows of pixels."""
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
    """Train in place to predict ``turns * label + turn``."""
    batch = SETTINGS["small_batch" if len(images) < SETTINGS["small"] else "batch"]
    size = min(int(batch), len(images))
    steps = max(1, math.ceil(min(SETTINGS["images"], SETTINGS["epochs"] * len(images)) / size))
    rate = SETTINGS["learning_rate"]
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=SETTINGS["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    random = stream(seed, "features", "batches")
    network.train()
    small = size * images[0].size < _FEW_PIXELS
    with progress.bar("Training the feature classifier", steps * size, "images") as bar, _threads(small):
        for step, rows in enumerate(_rows(len(images), size, steps, random)):
            x = _shifted(to_network(images[rows]), random)
            target = turns * torch.from_numpy(labels[rows])
            if turns > 1:
                turn = torch.randint(turns, (len(rows),), generator=random)
                x, target = _turned(x, turn, turns), target + turn
            optimizer.zero_grad()
            functional.cross_entropy(network(x), target).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            bar.update((step + 1) * size)


@contextlib.contextmanager
def _threads(small: bool) -> Iterator[None]:
    """Train on small images with one thread: several cost more than they save."""
    before = torch.get_num_threads()
    if small:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rows(n: int, size: int, steps: int, random: torch.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each batch, sorted for sequential reading; epoch by epoch."""
    order = torch.randperm(n, generator=random)
    at = 0
    for _ in range(steps):
        if at + size > n:
            order, at = torch.randperm(n, generator=random), 0
        yield np.sort(order[at : at + size].numpy())
        at += size


def _shifted(x: Tensor, random: torch.Generator) -> Tensor:
    """Shift each image (n, C, H, W) by a few random pixels, with edge padding."""
    n, _, height, width = x.shape
    sources = []
    for side in (height, width):
        most = max(1, round(side * SETTINGS["shift"]))
        shift = torch.randint(-most, most + 1, (n, 1), generator=random)
        sources.append((torch.arange(side) + shift).clamp(0, side - 1))
    rows, columns = sources
    moved = x.permute(0, 2, 3, 1)[torch.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous()


def _turned(x: Tensor, turn: Tensor, turns: int) -> Tensor:
    """Rotate each image (n, C, H, W): by multiples of 90 degrees with four turns, of 180 with two."""
    out = torch.empty_like(x)
    for i in range(turns):
        chosen = turn == i
        out[chosen] = torch.rot90(x[chosen], i * 4 // turns, (2, 3))
    return out
