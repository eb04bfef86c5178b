"""How good are generated images, by the features and the class probabilities of a classifier?

Samples are compared with held-out images, in disjoint parts. The floor is the value of as many *training*
images against held-out ones: that of a model that samples the data distribution. It accounts for the
classifier having been trained on the training images.

Everything is measured as for points (:mod:`diffuscope.metrics.table`): several draws, a floor over many real
pairs, a ratio with its interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffuscope.errors import InputError
from diffuscope.metrics import ClassJudgement, Measurements, MetricSuite, judge_classes
from diffuscope.metrics.features.classifier import Classifier, Extractor, Images, Judged, checked_images
from diffuscope.seeds import stream_seed

__all__ = ["ImageQuality", "image_quality"]

_BY_FEATURES = (
    "frechet_distance",
    "frechet_extrapolated",
    "kernel_distance",
    "precision",
    "recall",
    "density",
    "coverage",
)
_BY_CLASSES = ("class_imbalance", "entropy_gap")

_DRAWS = (4, 8)
_IMAGES_PER_DRAW = 500  # at least, by fewer draws
_FLOOR_PAIRS = 32
_AT_ONCE = 2_000


class ImageQuality(Measurements):
    """Metrics of images by name, class statistics (None without labels), and the images of a comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: ClassJudgement | None = None
        self.size = 0


def image_quality(
    samples: Images,
    real: Images,
    held_out: Images,
    extractor: Extractor,
    *,
    labels: ArrayLike | None = None,
    seed: int = 0,
) -> ImageQuality:
    """Measure images.

    Parameters
    ----------
    samples : ndarray of uint8, shape (n, C, H, W)
    real : ndarray of uint8, shape (l, C, H, W)
        The training images of the model.
    held_out : ndarray of uint8, shape (m, C, H, W)
        Real images that neither the model nor the extractor was trained on. The smallest of the three sets
        is divided into four to eight parts, which determine the size of a comparison: 4,000 images are a
        good number.
    extractor : Extractor
        A :class:`Classifier`, or any object with ``features(images) -> (n, f)``.
    labels : array_like of int, shape (n,), optional
        The requested classes of the samples; the number of classes for unconditional ones.
    seed : int
        Of the order of the images.

    Returns
    -------
    ImageQuality
        ``frechet_distance``, ``frechet_extrapolated``, ``kernel_distance``, ``precision``, ``recall``,
        ``density``, ``coverage`` and, for a classifier with labels, ``class_imbalance`` and ``entropy_gap``.
        The ideal ratio is 0 for the extrapolated and the kernel distance, and 1 for all others.

    Raises
    ------
    InputError
        When the images differ in shape, or there are fewer than 80 in one of the sets.
    """
    samples = checked_images(samples)
    real, held_out = (checked_images(images, samples.shape[1:]) for images in (real, held_out))
    fewest = min(len(samples), len(real), len(held_out))
    if fewest < 20 * _DRAWS[0]:
        raise InputError(
            f"{len(samples)} samples, {len(real)} training and {len(held_out)} held-out images "
            "are too few for a comparison.",
            f"Give at least {20 * _DRAWS[0]} of each.",
        )
    draws = int(np.clip(fewest // _IMAGES_PER_DRAW, *_DRAWS))
    size = fewest // draws
    pairs = min(_FLOOR_PAIRS, len(real) // size)
    kinds = ((samples, draws), (held_out, draws), (real, pairs))
    rows = []
    for i, (images, count) in enumerate(kinds):
        random = np.random.default_rng(stream_seed(seed, "images", i))
        rows.append(random.permutation(len(images))[: count * size])
    taken = [_judge(extractor, images, some) for (images, _), some in zip(kinds, rows, strict=True)]
    made = ImageQuality()
    made.size = size
    _measure(made, [judged.features for judged in taken], size, _BY_FEATURES, seed)
    if isinstance(extractor, Classifier) and extractor.labelled:
        generated, known, _ = probabilities = [judged.probabilities for judged in taken]
        _measure(made, probabilities, size, _BY_CLASSES, seed)
        classes = None if labels is None else np.asarray(labels)
        if classes is not None and classes.shape != (len(samples),):
            raise InputError(
                f"Labels of shape {classes.shape} do not match {len(samples)} samples.",
                "Give one label for each sample.",
            )
        made.classes = judge_classes(generated, known, None if classes is None else classes[rows[0]])
    elif labels is not None:
        raise InputError(
            "Without labels of the training images, the classes of samples cannot be evaluated.",
            "Omit labels, or give a classifier that was trained with labels.",
        )
    return made


def _measure(
    made: ImageQuality,
    clouds: Sequence[NDArray[np.floating[Any]]],
    size: int,
    names: Sequence[str],
    seed: int,
) -> None:
    """Add metrics of samples, held-out and training images, as rows of features, to ``made``."""
    generated, held_out, training = (list(cloud.reshape(-1, size, cloud.shape[1])) for cloud in clouds)
    floor = [(part, held_out[i % len(held_out)]) for i, part in enumerate(training)]
    found = MetricSuite(held_out, floor, seed=seed, only=names).measure(generated)
    made.update(found)
    made.left_out.update(found.left_out)


def _judge(extractor: Extractor, images: Images, rows: NDArray[np.int64]) -> Judged:
    """Return features of some images, and their probabilities, (n, 0) if there are none.

    Memory-mapped images are read sequentially, some thousand at a time.
    """
    order = np.argsort(rows)
    found = []
    for piece in np.array_split(rows[order], -(-len(rows) // _AT_ONCE)):
        if isinstance(extractor, Classifier):
            found.append(extractor.judge(images[piece]))
            continue
        features = np.asarray(extractor.features(images[piece]))
        if features.ndim != 2 or len(features) != len(piece):
            raise InputError(
                f"The extractor's features of {len(piece)} images have shape {features.shape}.",
                "Its features() must return a row for each image.",
            )
        found.append(Judged(features, np.empty((len(piece), 0), np.float32)))
    back = np.argsort(order)
    return Judged(*(np.concatenate(parts)[back] for parts in zip(*found, strict=True)))
