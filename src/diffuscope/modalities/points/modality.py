"""Points: rows of numbers, from built-in sets, arrays, files and functions that draw."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
from torch import Tensor

from diffuscope.data.base import Codec, Dataset, are_bytes_of_images
from diffuscope.data.points import POINT_SETS, load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.data.points.section import PointsSection
from diffuscope.diffusion.denoiser import convert
from diffuscope.diffusion.losses import Loss
from diffuscope.diffusion.process import q_sample
from diffuscope.errors import InputError
from diffuscope.modalities.base import Modality
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.points.generator import PointGenerator
from diffuscope.modalities.reference import Measurable, Reference, draw_reference
from diffuscope.modalities.reference import Points as Cloud
from diffuscope.model import ORIGIN, Model
from diffuscope.oracle import oracle_of
from diffuscope.progress import Reporter
from diffuscope.training import Batches, LossLike

if TYPE_CHECKING:
    from diffuscope.modalities.points.evaluation import Evaluation
    from diffuscope.modalities.points.figures import PointFigures

__all__ = ["POINTS", "Points"]

_PERFECT_EXAMPLES = 2**15  # on which the loss of a perfect network is measured


class Points(Modality[Dataset, PointsSection]):
    """Rows of numbers."""

    name: ClassVar[str] = "points"
    unit: ClassVar[str] = "points"
    recipe_hint: ClassVar[str] = "fast"
    evaluation_options: ClassVar[tuple[str, ...]] = ("baselines", "only")

    def accepts(self, source: Any) -> bool:
        """Whether a source is a built-in set, numbers, or a function that draws them."""
        if isinstance(source, str | Path):
            name = str(source)
            is_array = Path(name).suffix.lower() == ".npy" and not are_bytes_of_images(Path(name))
            return name in POINT_SETS or is_array
        if isinstance(source, np.ndarray | Tensor):
            return not (str(source.dtype).endswith("uint8") and source.ndim in (3, 4))
        return callable(source)

    def reads(self, source: Any) -> bool:
        """Whether points are read from a source where the recipe asks for them: from any but a folder."""
        return not (isinstance(source, str | Path) and Path(source).is_dir())

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
        )

    def reload(self, source: Any, model: Model) -> Dataset:
        """Load the points of a trained model."""
        assert isinstance(model.recipe.data, PointsSection)
        return self.load(source, model.recipe.data, model.recipe.seed)

    def held_out(self, source: Any, model: Model, data: Dataset) -> Any:
        """Return held-out points (m, d), in the units of the data."""
        if isinstance(source, str | Path):
            return load_dataset(source).x
        return np.asarray(source, dtype=np.float64)

    def codec(self, data: Dataset, section: PointsSection) -> PointsCodec:
        """Return the affine map of the columns."""
        return PointsCodec.fit(data.x, section.scaling, section.divisor, data.columns)

    def origin(self, data: Dataset, codec: Codec, section: PointsSection, seed: int) -> Tensor | None:
        """Return the points of the other data set that a flow starts from."""
        if section.origin is None:
            return None
        points = load_dataset(section.origin, seed=seed).x
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
        return draw_reference(data.x, draw=data.draw, held_out=unseen, seed=seed, n=n)

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
        return evaluate_points(model, data, reference, clouds, seed, reporter, **options)

    def flatten(self, model: Model, data: Dataset, held_out: Any, seed: int, reporter: Reporter) -> Flattened:
        """Return the model as it is."""
        if ORIGIN in model.extras:
            raise InputError(
                "A flow from another data set cannot be diagnosed: the exact parts are those of noise.",
                "Use diffuscope evaluate.",
            )
        assert isinstance(model.codec, PointsCodec)
        return self.as_it_is(model.denoiser, model.codec, data, held_out, seed, model.piece)

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


POINTS = Points()
