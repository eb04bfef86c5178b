"""Points: rows of numbers, from built-in sets, arrays, files and functions that draw."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from diffuscope.data.base import Codec, Dataset, holds_images
from diffuscope.data.conditions import Labels, labels_of
from diffuscope.data.packs import is_pack, pack_kind
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.points.batches import LabelledPoints
from diffuscope.data.points.codec import PointsCodec
from diffuscope.data.points.section import PointsSection
from diffuscope.data.spread import far_out, limits
from diffuscope.data.stored_rows import StoredRows
from diffuscope.diffusion.denoiser import DenoiserLike
from diffuscope.diffusion.losses import Loss
from diffuscope.diffusion.predictions import convert
from diffuscope.diffusion.process import q_sample
from diffuscope.errors import InputError, RunError
from diffuscope.files import atomic_write
from diffuscope.metrics import NatsLost, nats_lost
from diffuscope.modalities.base import Modality, in_units_of, label_settings
from diffuscope.modalities.flattened import Flattened, checked_points
from diffuscope.modalities.points.generator import PointGenerator
from diffuscope.modalities.reference import (
    FEWEST_MEASURED,
    Measurable,
    Reference,
    draw_reference,
    quality_seed,
)
from diffuscope.modalities.reference import Points as Cloud
from diffuscope.model import ORIGIN, Model
from diffuscope.oracle import oracle_of
from diffuscope.progress import Reporter
from diffuscope.recipes import CUSTOM, Recipe
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.training import Batches, BatchSource, LossLike, Resident

if TYPE_CHECKING:
    from diffuscope.modalities.points.evaluation import Evaluation
    from diffuscope.modalities.points.figures import PointFigures

__all__ = ["POINTS", "Points"]

_NATS_POINTS, _NATS_TOLERANCE = 512, 1e-3  # 0.3 s of a core; the tolerance costs 0.0001 nats in the mean
_PERFECT_EXAMPLES = 2**15  # on which the loss of a perfect network is measured


class Points(Modality[Dataset, PointsSection]):
    """Rows of numbers."""

    name: ClassVar[str] = "points"
    unit: ClassVar[str] = "points"
    recipe_hint: ClassVar[str] = "fast"
    evaluation_options: ClassVar[tuple[str, ...]] = ("baselines", "only")
    kept_as: ClassVar[str] = ".npz"

    def accepts(self, source: Any) -> bool:
        """Whether a source is a built-in set, numbers, or a function that draws them."""
        if isinstance(source, str | Path):
            name = str(source)
            if is_pack(name):
                return pack_kind(name) == "points"
            is_array = Path(name).suffix.lower() == ".npy" and not holds_images(name)
            return name in POINT_SETS or is_array
        if isinstance(source, np.ndarray | Tensor):
            return source.ndim not in (3, 4)
        return callable(source)

    def reads(self, source: Any) -> bool:
        """Whether points are read from a source where the recipe asks for them: from any but a folder."""
        return not (isinstance(source, str | Path) and Path(source).is_dir()) or (
            is_pack(source) and pack_kind(source) != "images"
        )

    def default_recipe(self, source: Any) -> str:
        """Return the recipe of a second of training."""
        return "fast"

    def load(self, source: Any, section: PointsSection, seed: int) -> Dataset:
        """Load points; a size and a noise apply to built-in sets, a size to functions."""
        named = isinstance(source, str) and source in POINT_SETS
        return load_dataset(
            source,
            size=section.size if named or callable(source) else None,
            noise=section.noise if named else None,
            seed=seed,
            target=section.target,
            condition=section.condition,
        )

    def labelled(self, source: Any, labels: Any, section: PointsSection, seed: int) -> Dataset:
        """Load the points of an array or a table with their labels."""
        return load_dataset(source, labels=labels, seed=seed, condition=section.condition)

    def settled(self, data: Dataset) -> Dataset:
        """Return points without the rows that are far out, and a note that names them.

        Of a law that is drawn from, values far out are brought in, as those of its fresh draws are.
        """
        if data.source["kind"] == "builtin" or data.x.ndim != 2 or data.stored is not None:
            return data
        low, high = limits(data.x)
        draw = None if data.draw is None else partial(_drawn_within, data.draw, low, high)
        if isinstance(data.draw, partial) and data.draw.func is _drawn_within:
            return data
        found = far_out(data.x, data.columns)
        if draw is not None:
            within = np.clip(data.x, low, high)
            ends = "Values far out are taken as these ends." if found else ""
            return dataclasses.replace(
                data, x=within, draw=draw, notes=(*data.notes, *found, *filter(None, [ends]))
            )
        kept = ((data.x >= low) & (data.x <= high)).all(axis=1)
        if kept.all():
            return data
        left = int((~kept).sum())
        one = "1 row is" if left == 1 else f"{left:,} rows are"
        said = (*data.notes, *found, f"{one} left out of training and of what samples are compared with.")
        labels = None if data.labels is None else data.labels[kept]
        return dataclasses.replace(data, x=data.x[kept], labels=labels, notes=said)

    def describe(self, data: Dataset, section: PointsSection) -> dict[str, Any]:
        """Return the source, and what the labels are."""
        return super().describe(data, section) | label_settings(data, section)

    def training_notes(self, data: Dataset) -> tuple[str, ...]:
        """Return what was done to the points, what their labels are, and whether they are too few."""
        said = list(data.notes)
        if data.label_type is not None and data.labels is not None:
            said.append(data.label_type.note(data.labels))
        if data.draw is None and len(data.x) < FEWEST_MEASURED:
            said.append(
                f"There are too few points to measure the quality of samples: {len(data.x):,}, "
                f"and at least {FEWEST_MEASURED} are needed."
            )
        return (f"{data.name}: {data.n:,} points of {data.x.shape[1]} columns", *said) if said else ()

    # --- training ------------------------------------------------------------------------------------------

    def batch_source(self, data: Dataset, codec: Codec, recipe: Recipe, device: torch.device) -> BatchSource:
        """Return points with the labels that are conditioned on."""
        label_type = recipe.data.label_type
        if data.stored is not None:
            rows = data.stored, codec.encode, codec.shape, device
            if label_type is None or data.stored.labels is None:
                return StoredRows(*rows)
            every = label_type.encode(data.stored.labels)
            return StoredRows(*rows, every, label_type.none, recipe.training.drop_labels)
        x = codec.encode(data.x).to(device)
        if label_type is None or data.labels is None:
            return Resident(x)
        labels = torch.from_numpy(label_type.encode(data.labels)).to(device)
        return LabelledPoints(x, labels, label_type.none, recipe.training.drop_labels)

    def reload(self, source: Any, model: Model) -> Dataset:
        """Load the points of a trained model, with its labels where it has some."""
        section = model.recipe.data
        assert isinstance(section, PointsSection)
        return self.fitting(self.read(source, section, model.recipe.seed), model)

    def fitting(self, data: Dataset, model: Model) -> Dataset:
        """Return points of a trained model with labels in its units; InputError where they lack these."""
        section = model.recipe.data
        assert isinstance(section, PointsSection)
        if section.classes and data.classes != section.classes:
            names = ", ".join(section.classes[:12])
            has = f"has the classes {', '.join(data.classes[:12])}" if data.classes else "has none"
            raise InputError(
                f"The model was trained on points with the classes {names}; this data {has}.",
                "Give them too: data=diffuscope.load_dataset(X, labels=y).",
            )
        return in_units_of(data, section)

    def held_out(self, source: Any, model: Model, data: Dataset) -> Any:
        """Return held-out points (m, d), in the units of the data; rows far out of the data are left out."""
        if isinstance(source, str | Path):
            section = model.recipe.data
            assert isinstance(section, PointsSection)
            try:
                unseen = load_dataset(source, target=section.target, condition=section.condition).x
            except InputError:
                if section.target is None:
                    raise
                unseen = load_dataset(source).x  # without labels
        else:
            unseen = np.asarray(source, dtype=np.float64)
        if unseen.ndim != 2 or unseen.shape[1] != data.x.shape[1] or data.source["kind"] == "builtin":
            return unseen
        low, high = limits(data.x)
        kept = ((unseen >= low) & (unseen <= high)).all(axis=1)
        if not kept.all():
            row = int(np.argmin(kept))
            warnings.warn(
                f"{int((~kept).sum()):,} held-out rows are far out of the data, and left out; the first is "
                f"row {row} (counted from 0).",
                UserWarning,
                stacklevel=3,
            )
        return unseen[kept]

    def codec(self, data: Dataset, section: PointsSection) -> PointsCodec:
        """Return the affine map of the columns."""
        return PointsCodec.fit(data.x, section.scaling, section.divisor, data.columns)

    def origin(
        self,
        data: Dataset,
        codec: Codec,
        section: PointsSection,
        seed: int,
        given: Any = None,
        kept: Tensor | None = None,
    ) -> Tensor | None:
        """Return the points of the other data set that a flow starts from."""
        if section.origin is None:
            return None
        if given is None and section.origin == CUSTOM:
            if kept is not None:
                return kept
            raise InputError(
                "The points that this flow starts from were passed from Python.",
                "Pass them again: origin=...",
            )
        points = load_dataset(section.origin if given is None else given, seed=seed).x
        if points.shape[1:] != data.x.shape[1:]:
            raise InputError(
                f"A flow cannot lead from points of shape {points.shape[1:]} to points of shape "
                f"{data.x.shape[1:]}.",
                "Give two data sets of the same number of columns.",
            )
        encoded: Tensor = codec.encode(points)
        return encoded

    def generator(self, model: Model) -> PointGenerator:
        """Return what draws points."""
        return PointGenerator(model)

    def measurable(self, data: Dataset, codec: Codec, reporter: Reporter | None = None) -> Measurable:
        """Return the points themselves."""
        return cast("Measurable", codec.decode)

    def reference(
        self, data: Dataset, codec: Codec, held_out: Any = None, seed: int = 0, n: int | None = None
    ) -> Reference:
        """Return fresh clouds of a known distribution, else halves of held-out points or of the data."""
        unseen = None if data.draw is not None else held_out
        known = data.source["kind"] == "builtin"  # two columns in one unit
        reference = draw_reference(data.x, draw=data.draw, held_out=unseen, seed=seed, n=n, scaled=not known)
        random = np.random.default_rng(quality_seed(seed, "labels", 0))
        reference.condition = data.labels_like(reference.samples, random)
        return reference

    def measured_request(self, model: Model, reference: Reference) -> Request:
        """Return the request with labels as they come in the data, where the model has any."""
        labels = None if model.recipe.data.label_type is None else reference.condition
        return Request(seed=reference.sampling_seed, condition=labels)

    def write(self, data: Dataset, path: Path) -> None:
        """Write points with their labels."""
        own = data.labels if data.stored is None else data.stored.labels
        labels: dict[str, Any] = {} if own is None else {"y": own}
        if data.classes:
            labels["classes"] = np.array(data.classes)
        if data.numbers is not None:
            labels["numbers"] = np.array(data.numbers.names)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, x=data.x if data.stored is None else data.stored.values, **labels)

    def restore(self, path: Path, about: Mapping[str, Any], recipe: Recipe) -> Dataset:
        """Read what :meth:`keep` wrote, or points alone in a .npy file."""
        if path.suffix == ".npy":
            return super().restore(path, about, recipe)
        with np.load(path, allow_pickle=False) as kept:
            x, labels = kept["x"], Labels()
            if "classes" in kept.files:
                labels = Labels(kept["y"], tuple(map(str, kept["classes"])))
            elif "numbers" in kept.files:
                names = tuple(map(str, kept["numbers"]))
                labels = labels_of(kept["y"], len(x), "The labels", "numbers", names)
        columns = None if about["columns"] is None else tuple(about["columns"])
        return Dataset(about["name"], x, columns, None, dict(about["source"]), **labels._asdict())

    def perfect_loss(self, model: Model, data: Dataset, loss: LossLike, batches: Batches) -> float | None:
        """Return the loss of the exact denoiser of a built-in set on batches as training draws them."""
        known = data.source["kind"] == "builtin" and type(loss) is Loss and batches.noise is None
        if not known or not isinstance(model.codec, PointsCodec):
            return None
        oracle, denoiser, total, n = oracle_of(data).scaled(model.codec), model.denoiser, 0.0, 0
        steps = max(1, _PERFECT_EXAMPLES // batches.batch_size)
        for chunk in batches.chunks(0, steps):
            examples = loss.examples(denoiser, chunk.x_0, chunk.level, chunk.eps)
            x_t = q_sample(chunk.x_0, chunk.level, chunk.eps).double()
            exact = convert(
                oracle(x_t, chunk.level), x_t, chunk.level, "data", denoiser.prediction, denoiser.sigma_data
            )
            total += len(x_t) * loss.value(exact.to(chunk.x_0), examples).item()
            n += len(x_t)
        return total / n

    def nats_lost(self, model: Model, data: Dataset, seed: int) -> NatsLost | None:
        """Return what a model of a built-in set loses at fresh points of it, in a fraction of a second."""
        conditioned = model.recipe.data.label_type is not None or model.denoiser.schedule.discrete
        if data.source["kind"] != "builtin" or conditioned or ORIGIN in model.extras:
            return None
        law = oracle_of(data)
        x = law.draw(_NATS_POINTS, stream_seed(seed, "law") % 2**32).numpy()
        try:
            log_p = law.log_density(x).numpy()
            log_q = model.log_density(x, tolerance=_NATS_TOLERANCE)
        except (InputError, RunError):  # a curve without noise; a network that is not smooth
            return None
        return nats_lost(log_p, log_q, everywhere=data.source["noise"] > 0)

    def figures(self, model: Model, data: Dataset | None) -> PointFigures:
        """Return what draws clouds."""
        from diffuscope.modalities.points.figures import PointFigures

        return PointFigures(model, self.generator(model), data)

    def evaluate(
        self,
        model: Model,
        data: Dataset,
        reference: Reference,
        clouds: list[Cloud],
        held_out: Any,
        seed: int,
        reporter: Reporter,
        **options: Any,
    ) -> Evaluation:
        """Measure points by all metrics, beside baselines."""
        from diffuscope.modalities.points.evaluation import evaluate_points

        options["unseen"] = 0 if held_out is None or data.draw is not None else len(held_out)
        options.pop("facts", None)
        generator = self.generator(model)
        return evaluate_points(model, data, reference, clouds, seed, reporter, generator, **options)

    def flatten(self, model: Model, data: Dataset, held_out: Any, seed: int, reporter: Reporter) -> Flattened:
        """Return the model as it is."""
        if ORIGIN in model.extras:
            raise InputError(
                "A flow from another data set cannot be diagnosed: the exact parts are those of noise.",
                "Use diffuscope evaluate.",
            )
        assert isinstance(model.codec, PointsCodec)
        flat = self.as_it_is(model.denoiser, model.codec, data, held_out, seed, model.piece)
        request = self.measured_request(model, flat.reference)
        generator, n = self.generator(model), flat.reference.samples
        scale = model.recipe.sampling.guidance if request.condition is not None else 1.0
        plain = generator.conditioned(dataclasses.replace(request, guidance=1.0), n)
        return dataclasses.replace(
            flat,
            conditioned=generator.conditioned(request, n),
            unguided=None if scale == 1 else plain,
            guidance=scale,
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
        """Return a denoiser of one's own with its data, in which a column may have one value."""
        own = not isinstance(source, str | Path | Dataset)
        data = source if isinstance(source, Dataset) else load_dataset(source, seed=seed, constant=own)
        d = data.x.shape[1]
        shift, scale = (
            np.broadcast_to(np.asarray(v, dtype=float), d)
            for v in ((0.0, 1.0) if scaling is None else scaling)
        )
        unseen = None if held_out is None else checked_points(held_out, "held_out", d)
        codec = PointsCodec(shift, scale, columns=data.columns)
        return self.as_it_is(denoiser, codec, data, unseen, seed)

    def as_it_is(
        self, denoiser: Any, codec: PointsCodec, data: Dataset, held_out: Any, seed: int, piece: int = 2**12
    ) -> Flattened:
        """Return any denoiser of points with its data."""
        reference = self.reference(data, codec, held_out, seed)
        assert reference.points is not None
        return Flattened(
            denoiser=denoiser,
            codec=codec,
            data=data,
            reference=reference,
            points=reference.points,
            measure=self.measurable(data, codec),
            rows=lambda samples: np.asarray(samples, dtype=np.float64),
            held_out=None if data.draw is not None else held_out,
            piece=piece,
        )


def _drawn_within(draw: Callable[[int, int], Cloud], low: Cloud, high: Cloud, n: int, seed: int) -> Cloud:
    """Draw points, those far out brought in as those of the training are."""
    return np.clip(draw(n, seed), low, high)


POINTS = Points()
