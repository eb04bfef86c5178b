"""How good are a run's samples? Their sliced Wasserstein distance from real data, as a multiple of its floor.

Where the data's law is known (built-in sets, one's own generator) samples meet fresh real draws, in the
data's units. Otherwise they meet halves of real data, each column over its standard deviation, and the floor
is the distance of one half from the other. Images meet images that nothing was trained on, where there are
some, in the features of a classifier (:mod:`diffuscope.metrics.features`); where a model knows of classes, it
is asked for them as they come in the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.base import Dataset
from diffuscope.data.images import ImageData, as_bytes
from diffuscope.errors import InputError, RunError
from diffuscope.metrics import Measured, against_floor, sliced_wasserstein
from diffuscope.metrics.features import Extractor, cached_classifier
from diffuscope.modalities.images.generator import ImageModel
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.seeds import stream_seed

__all__ = [
    "Reference",
    "extractor_for",
    "generated_clouds",
    "measure_quality",
    "real_clouds",
    "sampled",
    "unseen_features",
]

Points = NDArray[np.float64]

_MOST_POINTS = 10_000
_DRAWS = 8
_FLOOR_PAIRS = 32
_MOST_IMAGES, _IMAGE_DRAWS = 128, 4  # samples of images cost time
_IMAGES_OF_PAIRS = 2048


@dataclass(frozen=True)
class Reference:
    """Real points to hold samples against.

    Attributes
    ----------
    real : list of arrays of shape (n, d)
        What samples are compared with, in the units of :meth:`shown`.
    pairs : list of pairs of arrays of shape (n, d)
        Independent of each other; what real data scores against real data.
    n : int
        Points of a cloud.
    middle, unit : ndarray of shape (d,)
        Points are shown as ``(x - middle) / unit``: far from 0 a float32 would round differences away, and
        columns of unlike units would not count alike.
    holes : ndarray of shape (m, d), bool
        Where training rows are missing. Real ones hold 0 there, and so have samples to, row by row.
    extractor : Extractor or None
        What turns images into points.
    labels : ndarray of shape (m,), int64, or None
        Classes of as many images as all clouds have, for models that can be asked for them.
    """

    real: list[Points]
    pairs: list[tuple[Points, Points]]
    n: int
    middle: Points
    unit: Points
    holes: NDArray[np.bool_]
    extractor: Extractor | None = None
    labels: NDArray[np.int64] | None = None

    def shown(self, x: NDArray[Any]) -> Points:
        """Bring points from the units of the data to those of the clouds."""
        if self.extractor is not None:
            return self.extractor.features(as_bytes(x)).astype(np.float64)
        return np.asarray((x.astype(np.float64) - self.middle) / self.unit)


def real_clouds(
    data: Dataset,
    held_out: Points | None = None,
    seed: int = 0,
    draws: int = _DRAWS,
    pairs: int = _FLOOR_PAIRS,
) -> Reference:
    """Draw clouds of at most 10,000 real points.

    Parameters
    ----------
    data : Dataset
        Where its law is known, clouds are fresh and as large as it is; otherwise they are halves of it.
    held_out : ndarray of shape (m, d), optional
        Real points that nothing was trained on; then the clouds are halves of these.
    seed, draws, pairs : int

    Raises
    ------
    InputError
        When ``held_out`` has other columns.
    """
    if isinstance(data, ImageData):
        return _image_clouds(data, seed)
    x = data.filled if held_out is None else np.asarray(held_out, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != data.x.shape[1] or len(x) < 2:
        raise InputError(
            f"Held-out data of shape {x.shape} does not go with data of {data.x.shape[1]} columns.",
            "Give at least 2 rows with the columns of the training data.",
        )
    middle = data.filled.mean(axis=0)
    if data.draw is not None and held_out is None:
        n = min(len(x), _MOST_POINTS)
        drawn = [data.draw(n, _seed(seed, "real", i)) for i in range(draws + 2 * pairs)]
        real, rest = drawn[:draws], drawn[draws:]
        both = list(zip(rest[::2], rest[1::2], strict=True))
        unit = np.ones(x.shape[1])
    else:
        n = min(len(x) // 2, _MOST_POINTS)
        both = [_halves(x, n, _seed(seed, "halves", i)) for i in range(max(pairs, draws))]
        real = [first for first, _ in both[:draws]]
        unit = data.filled.std(axis=0)
    clouds = Reference([], [], n, middle, np.where(unit > 0, unit, 1.0), np.isnan(data.x))
    clouds.real.extend(clouds.shown(cloud) for cloud in real)
    clouds.pairs.extend((clouds.shown(a), clouds.shown(b)) for a, b in both[:pairs])
    return clouds


def _image_clouds(data: ImageData, seed: int) -> Reference:
    """Return clouds of features of at most :data:`_MOST_IMAGES` images each."""
    extractor = extractor_for(data)
    features = unseen_features(data, extractor, seed)
    n = min(len(features) // 2, _MOST_IMAGES)
    pairs = [_halves(features, n, _seed(seed, "halves", i)) for i in range(_FLOOR_PAIRS)]
    nothing = np.zeros((1, 0), dtype=bool)
    real = [first for first, _ in pairs[:_IMAGE_DRAWS]]
    labels = data.labels_like(n * len(real), np.random.default_rng(_seed(seed, "labels", 0)))
    return Reference(real, pairs, n, np.zeros(1), np.ones(1), nothing, extractor, labels)


def unseen_features(data: ImageData, extractor: Extractor, seed: int = 0) -> Points:
    """Return features (m, d) of at most 2,048 images, such as nothing was trained on where there are some."""
    unseen = (data if data.held_out is None else data.held_out).pixels
    order = np.random.default_rng(_seed(seed, "images", 0)).permutation(len(unseen))  # files come by class
    return extractor.features(unseen[np.sort(order[:_IMAGES_OF_PAIRS])]).astype(np.float64)


def extractor_for(data: ImageData, reporter: Reporter | None = None) -> Extractor:
    """Return the classifier whose features images like these are measured in, trained once and kept."""
    return cached_classifier(data.pixels, data.labels, data.classes or None, progress=reporter)


def generated_clouds(model: Model, clouds: Reference, seed: int = 0) -> list[Points]:
    """Sample a cloud for each real one, in their units.

    Raises
    ------
    RunError
        When a sample is not finite.
    """
    count = len(clouds.real)
    samples = sampled(model, count * clouds.n, _seed(seed, "generated", 0), clouds.labels)
    if clouds.holes.any():
        rows = np.random.default_rng(_seed(seed, "holes", 0)).integers(len(clouds.holes), size=len(samples))
        samples = np.where(clouds.holes[rows], 0.0, samples)
    if not np.isfinite(samples).all():
        raise RunError(
            "The trained model's samples are not all finite, so nothing can be measured; the model is kept.",
            "Sample it another way (diffuscope sample RUN --sampler NAME --steps N), or train longer.",
        )
    return [clouds.shown(part) for part in np.split(samples, count)]


def sampled(model: Model, n: int, seed: int, labels: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """Sample a model, asked for classes (n,) where it knows of any."""
    if labels is not None and model.recipe.data.classes:
        return ImageModel(model).sample(n, label=labels, seed=seed)
    return model.sample(n, seed=seed)


def measure_quality(model: Model, data: Dataset, seed: int = 0) -> dict[str, Measured]:
    """Measure a model's samples against its data.

    Parameters
    ----------
    model : Model
    data : Dataset
        What it was trained on.
    seed : int

    Returns
    -------
    dict
        The one metric ``sliced_wasserstein``: clouds of as many points as the data has, at most 10,000
        (half of the data's where no fresh draws can be had), means over 8 pairs; the floor over 32.
        Of images: features of 128 each, and 4 pairs.
    """
    clouds = real_clouds(data, seed=seed)
    generated = generated_clouds(model, clouds, seed)
    measured = against_floor(sliced_wasserstein, generated, clouds.real, clouds.pairs)
    return {"sliced_wasserstein": measured}


def _halves(x: Points, n: int, seed: int) -> tuple[Points, Points]:
    order = np.random.default_rng(seed).permutation(len(x))
    return x[order[:n]], x[order[n : 2 * n]]


def _seed(seed: int, *place: str | int) -> int:
    return stream_seed(seed, "quality", *place) % 2**32
