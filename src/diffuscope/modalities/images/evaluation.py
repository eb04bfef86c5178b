"""How good are the images of a run? They are compared with held-out images, in features and by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from diffuscope.data.images import ImageData, nearest
from diffuscope.errors import InputError
from diffuscope.metrics import FEATURE_METRICS, METRICS, Measured
from diffuscope.metrics.features import (
    FEWEST,
    Extractor,
    ImageQuality,
    PixelFeatures,
    cached_classifier,
    image_quality,
)
from diffuscope.modalities.base import Evaluation, table_lines
from diffuscope.modalities.generator import counted
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.training import validation_rows
from diffuscope.translations import term
from diffuscope.translations.display import fill

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["ImageEvaluation", "evaluate_images"]

_SAMPLES = 2000
_SHOWN, _NEIGHBOURS = 8, 7
_COMPARED = 500
_WIDTH = 100

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, repr=False)
class ImageEvaluation(Evaluation):
    """The quality of generated images.

    ``copies`` is the median distance of samples to the nearest training image, over that of held-out images:
    well below 1 where training images were memorised.
    """

    picture: ClassVar[str] = "nearest.png"

    quality: ImageQuality
    copies: float
    shown: Pixels  # (rows, 1 + neighbours, channels, height, width): samples, each beside training images
    notes: tuple[str, ...]  # what was compared with what, and how certain the results are
    overall: Measured | None = None  # the distance of features, which training has printed

    @property
    def metrics(self) -> dict[str, Measured]:
        """All that was measured: the distance that training has printed first."""
        first = {} if self.overall is None else {"sliced_wasserstein": self.overall}
        return first | dict(self.quality)

    def to_json(self) -> dict[str, Any]:
        """Return what was measured as plain data."""
        classes = self.quality.classes
        plain = None if classes is None else classes._asdict()
        if plain is not None and classes is not None and classes.accuracy is not None:
            plain["accuracy"] = classes.accuracy._asdict()
        return {
            "metrics": {name: one.to_json() for name, one in self.metrics.items()},
            "classes": plain,
            "distance_to_training_images": self.copies,
        }

    def __str__(self) -> str:
        """Return the whole report as text."""
        rows = []
        for name, one in self.metrics.items():
            interval = f"{one.low:.2f} to {one.high:.2f}"
            title = (METRICS | FEATURE_METRICS)[name].title
            rows.append([term(title), f"{one.floor:.3g}", f"{one.value:.3g}", f"{one.ratio:.2f}", interval])
        lines = table_lines(["metric", "real data", "this model", "÷ floor", "95%"], rows)
        notes = "\n".join(fill(note, _WIDTH) for note in self._messages())
        return "\n".join([*lines, "", notes])

    def _messages(self) -> list[str]:
        messages = [_READ]
        if (classes := self.quality.classes) is not None:
            messages.append(
                f"Class entropy of samples: {classes.balance:.2f} nats (real images: "
                f"{classes.real_balance:.2f}). Mean uncertainty of one image's class: "
                f"{classes.entropy:.2f} nats (real images: {classes.real_entropy:.2f})."
            )
            if (right := classes.accuracy) is not None:
                messages.append(
                    f"The classifier assigns {right.value:.1%} of {right.n:,} samples to the requested class "
                    f"(95% interval {right.low:.1%} to {right.high:.1%})."
                )
        messages.append(
            f"The distance of samples to the nearest training image is {self.copies:.2f} times that of "
            f"held-out images{_MEMORISED if self.copies < 0.5 else ''}."
        )
        messages += [f"{term(name)}: {why}" for name, why in self.quality.left_out.items()]
        return [*messages, *self.notes]

    def plot(self) -> Figure:
        """Show samples, and beside each its nearest training images."""
        from diffuscope.plots import plot_sheet
        from diffuscope.plots.speech import word

        columns = self.shown.shape[1]
        images = self.shown.reshape(-1, *self.shown.shape[2:])
        return plot_sheet(
            images, columns, column_titles=[word("sample"), word("nearest"), *[""] * (columns - 2)]
        )


_READ = (
    "÷ floor: ratio of the metric to its value for training images against held-out ones, with a 95% "
    "interval. Ideal: 1, or 0 for extrapolated and kernel distance. Lower is better, except for precision, "
    "recall, density and coverage."
)
_MEMORISED = ": samples are copies, see figures/nearest.png"


def evaluate_images(
    model: Model,
    data: ImageData,
    generator: ImageGenerator,
    held_out: Pixels | None,
    overall: Measured | None,
    seed: int,
    reporter: Reporter,
    samples: int | None = None,
    extractor: Extractor | None = None,
) -> ImageEvaluation:
    """Measure the quality of the images of a model.

    Without held-out images (m, channels, height, width) those count that come with the data, or that training
    held out. ``overall`` is the distance of features. By default there are 2,000 samples, and features are
    those of a classifier of the training images, trained once and kept. InputError where images are too few
    or of another shape.
    """
    train, unseen, note = _parts(data, held_out, model.recipe)
    if extractor is None and len(data.x) < FEWEST:
        extractor = PixelFeatures()
    if extractor is None:
        extractor = cached_classifier(data.pixels, data.labels, data.classes or None, progress=reporter)
    n = _SAMPLES if samples is None else samples
    labels = None
    if generator.classes:
        labels = data.labels_like(n, np.random.default_rng(stream_seed(seed, "labels")))
    request = Request(condition=labels, seed=stream_seed(seed, "images") % 2**32)
    made = np.concatenate(list(counted(generator.batches(n, request), n, "images", reporter)))
    with reporter.stage("measuring images"):
        own = labels is not None and getattr(extractor, "labelled", False)
        quality = image_quality(made, train, unseen, extractor, labels=labels if own else None, seed=seed)
        index, _ = nearest(made[:_SHOWN], train, min(_NEIGHBOURS, len(train)))
        shown = np.concatenate([made[:_SHOWN, None], train[index]], axis=1)
        far = [float(np.median(nearest(some[:_COMPARED], train)[1])) for some in (made, unseen)]
    return ImageEvaluation(quality, far[0] / max(far[1], 1e-9), shown, (note,), overall)


def _parts(data: ImageData, held_out: Pixels | None, recipe: Recipe) -> tuple[Pixels, Pixels, str]:
    """Return training images, unseen ones, and a sentence about these."""
    pixels = data.pixels
    if held_out is not None:
        if held_out.shape[1:] != pixels.shape[1:]:
            raise InputError(
                f"Held-out images have shape {held_out.shape[1:]}; expected {pixels.shape[1:]}.",
                "Give images of the same size and channels.",
            )
        return pixels, held_out, f"Samples were compared with the {len(held_out):,} held-out images."
    if data.held_out is not None:
        unseen = data.held_out.pixels
        note = f"Samples were compared with the {len(unseen):,} test images that come with the data."
        return pixels, unseen, note
    share = recipe.training.hold_out
    if share:
        first, second = (part.numpy() for part in validation_rows(len(pixels), share, recipe.seed))
        note = f"Samples were compared with the {len(second):,} images that training held out."
        return pixels[np.sort(first)], pixels[np.sort(second)], note
    order = np.random.default_rng(0).permutation(len(pixels))
    half = len(pixels) // 2
    note = (
        "No images were held out, so samples were compared with half of the training images; a model that "
        "memorised them would look perfect. Give --held-out, or set training.hold_out."
    )
    return pixels[np.sort(order[half:])], pixels[np.sort(order[:half])], note
