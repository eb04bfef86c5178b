"""How good are images, in the features of a classifier and by the classes that it finds?

Samples meet held-out images, in parts that have no image in common; what they score is put beside what as
many *training* images score against held-out ones. That floor is what a model that draws from the data
itself would have; it takes in that the classifier has seen the training images before.

Everything is measured as points are (:mod:`diffuscope.metrics.table`): several draws, a floor over many
real pairs, a ratio with its interval.
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
_IMAGES_PER_DRAW = 500  # below that fewer draws rather than smaller ones
_FLOOR_PAIRS = 32
_AT_ONCE = 2_000

Parts = list[NDArray[np.floating[Any]]]
Rows = NDArray[np.int64]


class ImageQuality(Measurements):
    """What was measured of images: a dict of name to :class:`~diffuscope.metrics.Measured`.

    Attributes
    ----------
    left_out : dict of str to str
        Why a metric could not be had, a sentence each.
    classes : ClassJudgement or None
        What the classifier finds, in plain figures; none without labels.
    size : int
        Images on either side of a comparison.
    """

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
    asked: ArrayLike | None = None,
    seed: int = 0,
) -> ImageQuality:
    """Measure images.

    Parameters
    ----------
    samples : ndarray of uint8, shape (n, C, H, W)
    real : ndarray of uint8, shape (l, C, H, W)
        What the model was trained on.
    held_out : ndarray of uint8, shape (m, C, H, W)
        Real images that neither the model nor the extractor was trained on. Comparisons are of as many
        images as the smallest of the three has, over four to eight, so that 4,000 is a good number.
    extractor : Extractor
        A :class:`Classifier`, or whatever else has ``features(images) -> (n, f)``.
    asked : array_like of int, shape (n,), optional
        Classes that the samples were asked for by; the number of classes where none was.
    seed : int
        Of the order in which images are taken.

    Returns
    -------
    ImageQuality
        ``frechet_distance``, ``frechet_extrapolated``, ``kernel_distance``, ``precision``, ``recall``,
        ``density``, ``coverage`` and, of a classifier with labels, ``class_imbalance`` and ``entropy_gap``.
        The ideal of the extrapolated and the kernel distance is a ratio of 0, that of others 1.

    Raises
    ------
    InputError
        When they are not images of one shape, or fewer than 80 of a kind.
    """
    samples = checked_images(samples)
    real, held_out = (checked_images(images, samples.shape[1:]) for images in (real, held_out))
    fewest = min(len(samples), len(real), len(held_out))
    if fewest < 20 * _DRAWS[0]:
        raise InputError(
            f"{len(samples)} samples, {len(real)} training and {len(held_out)} held-out images "
            "are too few to be compared.",
            f"Give at least {20 * _DRAWS[0]} of each.",
        )
    draws = int(np.clip(fewest // _IMAGES_PER_DRAW, *_DRAWS))
    size = fewest // draws
    pairs = min(_FLOOR_PAIRS, len(real) // size)
    kinds = ((samples, draws), (held_out, draws), (real, pairs))
    rows = [_order(len(images), count * size, seed, i) for i, (images, count) in enumerate(kinds)]
    taken = [_judge(extractor, images, some) for (images, _), some in zip(kinds, rows, strict=True)]
    made = ImageQuality()
    made.size = size
    _measure(made, [judged.features for judged in taken], size, _BY_FEATURES, seed)
    if isinstance(extractor, Classifier) and extractor.labelled:
        generated, known, _ = probabilities = [judged.probabilities for judged in taken]
        _measure(made, probabilities, size, _BY_CLASSES, seed)
        made.classes = judge_classes(
            generated, known, None if asked is None else _asked(asked, samples)[rows[0]]
        )
    elif asked is not None:
        raise InputError(
            "Without labels nobody can say of which class an image is.",
            "Leave out what was asked for, or give a classifier that was trained on labels.",
        )
    return made


def _measure(
    made: ImageQuality,
    clouds: Sequence[NDArray[np.floating[Any]]],
    size: int,
    names: Sequence[str],
    seed: int,
) -> None:
    """Add metrics of samples, held-out and training images, given as rows, to ``made``."""
    generated, held_out, training = (_parts(cloud, size) for cloud in clouds)
    floor = [(part, held_out[i % len(held_out)]) for i, part in enumerate(training)]
    found = MetricSuite(held_out, floor, seed=seed, only=names).measure(generated)
    made.update(found)
    made.left_out.update(found.left_out)


def _parts(rows: NDArray[np.floating[Any]], size: int) -> Parts:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _order(n: int, count: int, seed: int, kind: int) -> Rows:
    """Return ``count`` of ``n`` rows in random order."""
    random = np.random.default_rng(stream_seed(seed, "images", kind))
    return np.asarray(random.permutation(n)[:count], dtype=np.int64)


def _asked(asked: ArrayLike, samples: Images) -> NDArray[Any]:
    classes = np.asarray(asked)
    if classes.shape != (len(samples),):
        raise InputError(
            f"Classes of shape {classes.shape} do not go with {len(samples)} samples.", "Give one for each."
        )
    return classes


def _judge(extractor: Extractor, images: Images, rows: Rows) -> Judged:
    """Return features of some images, and probabilities where there are some, (n, 0) where not.

    Images in a file are read from its beginning to its end, some thousand at a time.
    """
    order = np.argsort(rows)
    pieces = np.array_split(rows[order], -(-len(rows) // _AT_ONCE))
    found = [_judge_some(extractor, images[piece]) for piece in pieces]
    back = np.argsort(order)
    return Judged(*(np.concatenate(parts)[back] for parts in zip(*found, strict=True)))


def _judge_some(extractor: Extractor, images: Images) -> Judged:
    if isinstance(extractor, Classifier):
        return extractor.judge(images)
    features = np.asarray(extractor.features(images))
    if features.ndim != 2 or len(features) != len(images):
        raise InputError(
            f"Features of {len(images)} images have shape {features.shape}.",
            "Give an extractor whose features() returns a row for each image.",
        )
    return Judged(features, np.empty((len(images), 0), np.float32))
