"""Images: bytes of shape (channels, height, width), with classes if they have some."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Codec, Dataset
from diffuscope.data.images import USUAL_RECIPES, ImageData, ImageRows, are_images, load_images, save_images
from diffuscope.data.images.codec import PixelCodec
from diffuscope.data.images.loading import check_distinct
from diffuscope.data.images.section import ImagesSection
from diffuscope.data.torch_sets import Unpacked
from diffuscope.diffusion.denoiser import Denoiser, DenoiserLike
from diffuscope.errors import InputError
from diffuscope.metrics.features import FEWEST, Extractor, PixelFeatures, cached_classifier
from diffuscope.modalities.base import Modality, in_units_of, label_settings
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.images.flattened import FlatNetwork, flat_denoiser, flattened
from diffuscope.modalities.images.generator import ImageGenerator
from diffuscope.modalities.reference import (
    Measurable,
    Points,
    RealPoints,
    Reference,
    draw_reference,
    quality_seed,
)
from diffuscope.model import Model, rows_per_block
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

    def labelled(self, source: Any, labels: Any, section: ImagesSection, seed: int) -> ImageData:
        """Load images with labels that are given beside them."""
        return self.load(Unpacked(source, labels), section, seed)

    def reload(self, source: Any, model: Model) -> ImageData:
        """Load images in the shape of a trained model."""
        recipe, (channels, *size) = model.recipe, model.shape
        section = recipe.data
        assert isinstance(section, ImagesSection)
        known: dict[str, Any] = {}
        if not isinstance(source, str | Path):  # an array has no columns
            known["target"] = None
        if section.numbers is not None:  # also where all are whole
            known["condition"] = "numbers"
        section = section.model_copy(update=known)
        return in_units_of(self._load(source, section, tuple(size), channels, recipe.seed), section)

    def fitting(self, data: ImageData, model: Model) -> ImageData:
        """Return images of a trained model with numbers in its units."""
        assert isinstance(model.recipe.data, ImagesSection)
        return in_units_of(data, model.recipe.data)

    def _load(self, source: Any, section: ImagesSection, size: Any, channels: Any, seed: int) -> ImageData:
        source, labels = source if isinstance(source, Unpacked) else (source, None)
        return load_images(
            source,
            size=size,
            channels=channels,
            labels=labels,
            condition=section.condition,
            skip_broken=section.skip_broken,
            limit=section.size,
            seed=seed,
            value_range=section.range,
            split=section.split,
            target=section.target,
        )

    def held_out(self, source: Any, model: Model, data: ImageData) -> Any:
        """Return held-out images, uint8."""
        if isinstance(source, ImageData):
            return source.pixels
        section = model.recipe.data
        assert isinstance(section, ImagesSection)
        known = section.range  # the same values are black and white
        return load_images(source, size=model.shape[1:], channels=model.shape[0], value_range=known).x

    def check_changes(self, data: ImageData, changes: Mapping[str, Any]) -> None:
        """Accept any size: it is a part of so many images."""

    def describe(self, data: ImageData, section: ImagesSection) -> dict[str, Any]:
        """Return name or path, and what the labels are; InputError where all images are the same."""
        check_distinct(data.x)
        source = data.source.get("name", data.source.get("path"))
        if data.source["kind"] != "builtin" and source is not None:
            source = str(Path(source).resolve())
        found = data.source.get("range")
        return {
            "data.source": source,
            "data.range": section.range if found is None else tuple(found),
            **label_settings(data, section),
        }

    def write(self, data: ImageData, path: Path) -> None:
        """Write images with their labels."""
        labels, numbers = data.labels, data.numbers
        if labels is not None and numbers is not None:
            save_images([data.pixels], path, len(data.x), numbers=numbers.columns(labels, "y"))
        else:
            save_images([data.pixels], path, len(data.x), labels, data.classes)

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
        """Return images that stay bytes until a batch is drawn, with the labels that are conditioned on."""
        section, label_type = recipe.data, recipe.data.label_type
        assert isinstance(section, ImagesSection)
        if label_type is None or data.labels is None:
            return ImageRows(data.pixels, None, device, section.flip)
        labels, drop = label_type.encode(data.labels), recipe.training.drop_labels
        return ImageRows(data.pixels, labels, device, section.flip, label_type.none, drop)

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
        return draw_reference(
            features, seed=seed, draws=_CLOUDS, n=size, condition=labels, centred=False, scaled=False
        )

    def _pool(self, data: ImageData, held_out: Any, seed: int) -> Any:
        """Return at most 2,048 real images, such as nothing was trained on where there are some."""
        unseen = held_out
        if unseen is None:
            unseen = (data if data.held_out is None else data.held_out).pixels
        order = np.random.default_rng(quality_seed(seed, "images", 0)).permutation(len(unseen))
        return unseen[np.sort(order[:_POOL])]  # files come by class

    def measured_request(self, model: Model, reference: Reference) -> Request:
        """Return the request with labels as they come in the data, where the model has any."""
        labels = None if model.recipe.data.label_type is None else reference.condition
        return Request(seed=reference.sampling_seed, condition=labels)

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
        extractor = options.pop("extractor", None) or extractor_for(data, reporter)
        generator = self.generator(model)
        return evaluate_images(
            model, data, generator, held_out, overall, seed, reporter, extractor, **options
        )

    def flatten(
        self, model: Model, data: ImageData, held_out: Any, seed: int, reporter: Reporter
    ) -> Flattened:
        """Return the model of rows of pixels."""
        assert isinstance(model.codec, PixelCodec)
        reference = self.reference(data, model.codec, held_out, seed)
        request, generator = self.measured_request(model, reference), self.generator(model)
        own = generator.conditioned(request, reference.samples)
        plain = generator.conditioned(dataclasses.replace(request, guidance=1.0), reference.samples)
        shape, scale = model.shape, model.recipe.sampling.guidance
        made = self._as_rows(model.denoiser, model.codec.affine, data, held_out, reference, seed, reporter)
        return dataclasses.replace(
            made,
            conditioned=None if own is None else lambda rows: flattened(own(rows), shape),
            unguided=None if plain is None or scale == 1 else lambda rows: flattened(plain(rows), shape),
            guidance=1.0 if own is None else scale,
            piece=model.piece,
            half=model.half,
        )

    def of_network(
        self,
        denoiser: DenoiserLike,
        scaling: tuple[Any, Any] | None,
        source: Any,
        held_out: Any,
        seed: int,
        reporter: Reporter,
    ) -> Flattened:
        """Return a denoiser of one's own of images (n, channels, height, width), by default in -1 to 1."""
        data = source if isinstance(source, ImageData) else load_images(source, seed=seed)
        shape = data.x.shape[1:]
        unseen = held_out
        if held_out is not None and not isinstance(held_out, np.ndarray):
            unseen = load_images(held_out, size=shape[1:], channels=shape[0]).pixels
        codec = PixelCodec(shape)
        affine = codec.affine if scaling is None else Scaling(*(_by_pixel(v, shape) for v in scaling))
        reference = self.reference(data, codec, unseen, seed)
        return self._as_rows(denoiser, affine, data, unseen, reference, seed, reporter)

    def _as_rows(
        self,
        denoiser: DenoiserLike,
        affine: Scaling,
        data: ImageData,
        held_out: Any,
        reference: Reference,
        seed: int,
        reporter: Reporter,
    ) -> Flattened:
        """Return a denoiser of images with its data as rows of pixels."""
        shape = data.x.shape[1:]
        extractor = extractor_for(data, reporter)
        pool = self._pool(data, held_out, seed)
        unseen = pool.reshape(len(pool), -1).astype(np.float64)
        known = held_out is not None or data.held_out is not None
        flat = data.pixels.reshape(len(data.x), -1)

        def measure(x: torch.Tensor) -> Points:
            pixels = affine.decode(x).round().clip(0, 255).astype(np.uint8).reshape(-1, *shape)
            return extractor.features(pixels).astype(np.float64)

        of_rows: DenoiserLike = flattened(denoiser, shape)
        if isinstance(denoiser, Denoiser):
            of_rows = flat_denoiser(denoiser, shape)
        return Flattened(
            denoiser=of_rows,
            codec=affine,
            data=Dataset(data.name, flat, None, None, {**data.source, "kind": "file"}),
            reference=reference,
            points=RealPoints(unseen, None, reference.n, seed),
            measure=measure,
            rows=lambda samples: _rows_of(samples, shape),
            held_out=unseen if known else None,
            probe=False,
            block=rows_per_block(shape),
            of_points=lambda network: FlatNetwork(network, shape),
        )

    def training_notes(self, data: ImageData) -> tuple[str, ...]:
        """Return what was done to the images, what their labels are, and what few of them mean."""
        n, said = len(data.x), list(data.notes)
        if data.label_type is not None and data.labels is not None:
            said.append(data.label_type.note(data.labels))
        if n < FEWEST:
            said.append(
                f"{n} image{'s' * (n > 1)}: a model learns so few by heart. "
                "They are compared by their pixels."
            )
        return tuple(said)

    def unmeasurable(self, data: ImageData) -> str | None:
        """Return why there is no quality of so few images."""
        unseen = data if data.held_out is None else data.held_out
        if len(unseen.x) >= _LEAST_HALVED:
            return None
        return f"Too few images to measure quality: {len(unseen.x)}, and at least {_LEAST_HALVED} are needed."

    def next_command(self, path: Path, model: Model, n: int) -> str:
        """Return what to type after a training on n images."""
        return f"sample {path} -o samples.png" + " --label each" * (
            self.generator(model).label_type is not None
        )


def extractor_for(data: ImageData, reporter: Reporter | None = None) -> Extractor:
    """Return what images like these are measured in: a classifier, trained once and kept; of few, pixels."""
    if len(data.x) < FEWEST:
        return PixelFeatures()
    labels = data.labels if data.classes else None
    return cached_classifier(data.pixels, labels, data.classes or None, progress=reporter)


IMAGES = Images()


def _by_pixel(value: Any, shape: tuple[int, ...]) -> Points:
    """Return one number, or one for each channel, as one for each pixel of a row."""
    numbers = np.asarray(value, dtype=np.float64)
    if numbers.ndim == 1 and len(numbers) == shape[0]:
        numbers = numbers[:, None, None]
    return np.broadcast_to(numbers, shape).ravel()


def _rows_of(samples: Any, shape: tuple[int, ...]) -> Points:
    """Return images, or rows of their pixels, as rows (m, d)."""
    given = np.asarray(samples, dtype=np.float64)
    if given.shape[1:] not in (shape, (math.prod(shape),)):
        raise InputError(f"The samples have shape {given.shape}.", f"Give images of shape {('m', *shape)}.")
    return given.reshape(len(given), -1)
