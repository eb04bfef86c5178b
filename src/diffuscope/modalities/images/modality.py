"""Images: bytes of shape (channels, height, width), with classes if they have some."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from diffuscope.data.base import Codec, Dataset
from diffuscope.data.images import USUAL_RECIPES, ImageData, ImageRows, are_images, load_images, save_images
from diffuscope.data.images.codec import PixelCodec
from diffuscope.data.images.section import ImagesSection
from diffuscope.metrics.features import FEWEST, Extractor, PixelFeatures, cached_classifier
from diffuscope.modalities.base import Modality
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.images.flattened import flat_denoiser, flattened
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.modalities.reference import (
    Measurable,
    Points,
    RealPoints,
    Reference,
    draw_reference,
    quality_seed,
)
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.training import BatchSource

if TYPE_CHECKING:
    from diffuscope.modalities.images.evaluation import ImageEvaluation
    from diffuscope.modalities.images.figures import ImageFigures

__all__ = ["IMAGES", "Images", "extractor_for"]

_CLOUD, _CLOUDS = 128, 6  # images of a cloud, and clouds: samples of images cost time
_LEAST_HALVED = 4
_POOL = 2048  # real images whose features are taken


class Images(Modality[ImageData, ImagesSection]):
    """Images."""

    name: ClassVar[str] = "images"
    unit: ClassVar[str] = "images"
    recipe_hint: ClassVar[str] = "images"
    evaluation_options: ClassVar[tuple[str, ...]] = ("samples", "extractor")
    measured_in: ClassVar[str] = "of features"
    kept_as: ClassVar[str] = ".npz"

    def accepts(self, source: Any) -> bool:
        """Whether a source is a folder, a built-in set, or an array of bytes of images."""
        return are_images(source)

    def reads(self, source: Any) -> bool:
        """Whether images are read from a source where the recipe says so: always, to say what is wrong."""
        return True

    def default_recipe(self, source: Any) -> str:
        """Return the recipe of a built-in set, or that of images of one's own."""
        return USUAL_RECIPES.get(str(source), "images")

    def load(self, source: Any, section: ImagesSection, seed: int) -> ImageData:
        """Load images in the size and channels of the section."""
        return self._load(source, section, section.image_size, section.channels, seed)

    def labelled(self, x: Any, y: Any, section: ImagesSection, seed: int) -> ImageData:
        """Return images with classes."""
        return load_images(
            x, size=section.image_size, channels=section.channels, labels=y, limit=section.size, seed=seed
        )

    def reload(self, source: Any, model: Model) -> ImageData:
        """Load images in the shape of a trained model."""
        recipe, (channels, *size) = model.recipe, model.shape
        assert isinstance(recipe.data, ImagesSection)
        return self._load(source, recipe.data, tuple(size), channels, recipe.seed)

    def _load(self, source: Any, section: ImagesSection, size: Any, channels: Any, seed: int) -> ImageData:
        return load_images(
            source,
            size=size,
            channels=channels,
            skip_broken=section.skip_broken,
            limit=section.size,
            seed=seed,
        )

    def held_out(self, source: Any, model: Model, data: ImageData) -> Any:
        """Return held-out images, uint8."""
        if isinstance(source, ImageData):
            return source.pixels
        return load_images(source, size=model.shape[1:], channels=model.shape[0]).x

    def check_changes(self, data: ImageData, changes: Mapping[str, Any]) -> None:
        """Accept any size: it is a part of so many images."""

    def describe(self, data: ImageData, section: ImagesSection) -> dict[str, Any]:
        """Return name or path, and the classes."""
        source = data.source.get("name", data.source.get("path"))
        if data.source["kind"] != "builtin" and source is not None:
            source = str(Path(source).resolve())
        return {"data.source": source, "data.classes": data.classes if section.labels else ()}

    def write(self, data: ImageData, path: Path) -> None:
        """Write images with their labels."""
        save_images([data.pixels], path, len(data.x), data.labels, data.classes)

    def restore(self, path: Path, about: Mapping[str, Any], recipe: Recipe) -> Dataset:
        """Read what :meth:`keep` wrote."""
        return dataclasses.replace(load_images(path), name=about["name"], source=dict(about["source"]))

    # --- training ------------------------------------------------------------------------------------------

    def codec(self, data: ImageData, section: ImagesSection) -> PixelCodec:
        """Return the map of pixels of this shape."""
        c, h, w = data.x.shape[1:]
        return PixelCodec((c, h, w))

    def batch_source(
        self, data: ImageData, codec: Codec, recipe: Recipe, device: torch.device
    ) -> BatchSource:
        """Return images that stay bytes until a batch is drawn, with the classes that are conditioned on."""
        section = recipe.data
        assert isinstance(section, ImagesSection)
        classes = len(section.classes)
        labels = data.labels if classes else None
        return ImageRows(data.pixels, labels, device, section.flip, classes, recipe.training.drop_labels)

    # --- a trained model -----------------------------------------------------------------------------------

    def generator(self, model: Model) -> ImageGenerator:
        """Return what samples, inpaints, varies and interpolates images."""
        return ImageGenerator(model)

    def measurable(self, data: ImageData, codec: Codec, reporter: Reporter | None = None) -> Measurable:
        """Return the features of images."""
        extractor = extractor_for(data, reporter)
        return lambda x: extractor.features(codec.decode(x)).astype(np.float64)

    def reference(
        self, data: ImageData, codec: Codec, held_out: Any = None, seed: int = 0, n: int | None = None
    ) -> Reference:
        """Return features of images that nothing was trained on, where there are some."""
        pool = self._pool(data, held_out, seed)
        features = extractor_for(data).features(pool).astype(np.float64)
        size = n or min(len(features) // 2, _CLOUD)
        random = np.random.default_rng(quality_seed(seed, "labels", 0))
        labels = data.labels_like(size * _CLOUDS, random)
        return draw_reference(features, seed=seed, draws=_CLOUDS, n=size, condition=labels, scaled=False)

    def _pool(self, data: ImageData, held_out: Any, seed: int) -> Any:
        """Return at most 2,048 real images, such as nothing was trained on where there are some."""
        unseen = held_out
        if unseen is None:
            unseen = (data if data.held_out is None else data.held_out).pixels
        order = np.random.default_rng(quality_seed(seed, "images", 0)).permutation(len(unseen))
        return unseen[np.sort(order[:_POOL])]  # files come by class

    def measured_request(self, model: Model, reference: Reference) -> Request:
        """Return the request with classes as they come in the data, where the model has any."""
        classes = reference.condition if self.generator(model).classes else None
        return Request(seed=reference.sampling_seed, condition=classes)

    def figures(self, model: Model, data: ImageData | None) -> ImageFigures:
        """Return what draws sheets."""
        from diffuscope.modalities.images.figures import ImageFigures

        return ImageFigures(model, self.generator(model), data)

    def evaluate(
        self,
        model: Model,
        data: ImageData,
        reference: Reference,
        clouds: list[Points],
        held_out: Any,
        seed: int,
        reporter: Reporter,
        **options: Any,
    ) -> ImageEvaluation:
        """Measure images in features and by class."""
        from diffuscope.modalities.images.evaluation import evaluate_images

        overall = reference.ratio(clouds)
        options.pop("facts", None)
        return evaluate_images(
            model, data, self.generator(model), held_out, overall, seed, reporter, **options
        )

    def flatten(
        self, model: Model, data: ImageData, held_out: Any, seed: int, reporter: Reporter
    ) -> Flattened:
        """Return the model of rows of pixels."""
        assert isinstance(model.codec, PixelCodec)
        shape, codec = model.shape, model.codec
        measure = self.measurable(data, codec, reporter)
        reference = self.reference(data, codec, held_out, seed)
        pool = self._pool(data, held_out, seed)
        unseen = pool.reshape(len(pool), -1).astype(np.float64)
        own = self.generator(model).conditioned(self.measured_request(model, reference), reference.samples)
        known = held_out is not None or data.held_out is not None
        flat = data.pixels.reshape(len(data.x), -1)
        return Flattened(
            denoiser=flat_denoiser(model.denoiser, shape),
            codec=codec.affine,
            data=Dataset(data.name, flat, None, None, {**data.source, "kind": "file"}),
            reference=reference,
            points=RealPoints(unseen, None, reference.n, seed),
            measure=lambda x: measure(x.reshape(-1, *shape)),
            rows=lambda samples: np.asarray(samples, dtype=np.float64).reshape(-1, math.prod(shape)),
            conditioned=None if own is None else lambda start, stop: flattened(own(start, stop), shape),
            held_out=unseen if known else None,
            probe=False,
            piece=model.piece,
            half=model.half,
        )

    def training_notes(self, data: ImageData) -> tuple[str, ...]:
        """Return what was done to the images, and what few of them mean."""
        n = len(data.x)
        if n >= FEWEST:
            return data.notes
        few = f"{n} image{'s' * (n > 1)}: a model learns so few by heart. They are compared by their pixels."
        return (*data.notes, few)

    def unmeasurable(self, data: ImageData) -> str | None:
        """Return why there is no quality of so few images."""
        unseen = data if data.held_out is None else data.held_out
        if len(unseen.x) >= _LEAST_HALVED:
            return None
        return f"Too few images to measure quality: {len(unseen.x)}, and at least {_LEAST_HALVED} are needed."

    def next_command(self, path: Path, model: Model, n: int) -> str:
        """Return what to type after a training on n images."""
        return f"sample {path} -o samples.png" + " --label each" * bool(self.generator(model).classes)


def extractor_for(data: ImageData, reporter: Reporter | None = None) -> Extractor:
    """Return what images like these are measured in: a classifier, trained once and kept; of few, pixels."""
    if len(data.x) < FEWEST:
        return PixelFeatures()
    return cached_classifier(data.pixels, data.labels, data.classes or None, progress=reporter)


IMAGES = Images()
