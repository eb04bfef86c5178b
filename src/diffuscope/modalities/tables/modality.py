"""Tables: columns of any kind, with missing values and a target."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Codec, Dataset
from diffuscope.data.columnar import TABLES, read_rows
from diffuscope.data.section import DataSection
from diffuscope.data.tables import RowCodec, TableData, load_table, read_frame
from diffuscope.data.tables.section import TableSection
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.masked import MaskedDenoiser, MaskedLoss
from diffuscope.errors import InputError
from diffuscope.modalities.base import Modality
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.reference import Measurable, Points, RealPoints, Reference, draw_reference
from diffuscope.modalities.tables.generator import TableGenerator
from diffuscope.modalities.tables.tuning import sizes_for
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.training import BatchSource, LossLike, Resident

if TYPE_CHECKING:
    from diffuscope.modalities.tables.evaluation import TableEvaluation
    from diffuscope.modalities.tables.figures import TableFigures

__all__ = ["TABLE", "Table"]


class Table(Modality):
    """Rows of a table."""

    name: ClassVar[str] = "table"
    unit: ClassVar[str] = "rows"
    recipe_hint: ClassVar[str] = "table"
    evaluation_options: ClassVar[tuple[str, ...]] = ()
    measured_in: ClassVar[str] = "of coordinates"

    def accepts(self, source: Any) -> bool:
        """Whether a source has columns: a table in a file, or in memory."""
        if isinstance(source, str | os.PathLike):
            return Path(source).suffix.lower() in TABLES
        return hasattr(source, "columns")

    def reads(self, source: Any) -> bool:
        """Whether a table is read from a source where the recipe says so: not from a name, nor a function."""
        if isinstance(source, str | os.PathLike):
            return bool(Path(source).suffix) and not Path(source).is_dir()
        return not callable(source)

    def default_recipe(self, source: Any) -> str:
        """Return the recipe that suits the size of the table."""
        return "table"

    def load(self, source: Any, section: DataSection, seed: int) -> Dataset:
        """Load a table, and choose how its columns become coordinates."""
        assert isinstance(section, TableSection)
        return load_table(source, target=section.target, categories=section.categories, seed=seed)

    def adopt(self, data: Dataset, section: DataSection, seed: int) -> Dataset:
        """Return points as a table of numbers."""
        assert isinstance(section, TableSection)
        if data.x.ndim != 2:
            return super().adopt(data, section, seed)
        if section.target is not None:
            raise InputError("Points have no columns, so none can be the target.", "Omit the target.")
        return TableData.of_points(data, categories=section.categories, seed=seed)

    def reload(self, source: Any, model: Model) -> Dataset:
        """Load a table with the codec of a trained model."""
        section, rows, seed = model.recipe.data, model.codec, model.recipe.seed
        assert isinstance(section, TableSection)
        assert isinstance(rows, RowCodec)
        return load_table(source, target=section.target, seed=seed, rows=rows)

    def held_out(self, source: Any, model: Model, data: Dataset) -> Any:
        """Return held-out rows, as a DataFrame."""
        if isinstance(source, str | os.PathLike):
            return read_rows(Path(source))
        return read_frame(source).data

    def tune(self, recipe: str, data: Dataset) -> dict[str, Any]:
        """Return sizes that suit the table, for the recipe of tables."""
        assert isinstance(data, TableData)
        return sizes_for(len(data.x), data.rows) if recipe == self.recipe_hint else {}

    def keep(self, data: Dataset, folder: Path) -> Path:
        """Write a table that was passed from Python as Parquet."""
        from diffuscope.data.columnar import write_rows

        assert isinstance(data, TableData)
        path = folder / f"{data.digest()[:16]}.parquet"
        if not path.is_file():
            write_rows(path, data.frame.rename(columns=str))
        return path

    def restore(self, path: Path, about: Any, recipe: Recipe) -> Dataset:
        """Read what :meth:`keep` wrote."""
        import dataclasses

        data = self.load(path, recipe.data, recipe.seed)
        return dataclasses.replace(data, name=about["name"], source=dict(about["source"]))

    # --- training ------------------------------------------------------------------------------------------

    def codec(self, data: Dataset, section: DataSection) -> RowCodec:
        """Return how the columns of the data become coordinates."""
        assert isinstance(data, TableData)
        return data.rows

    def batch_source(self, data: Dataset, codec: Codec, recipe: Recipe, device: torch.device) -> BatchSource:
        """Return the coordinates of the rows."""
        return Resident(torch.from_numpy(data.x.astype(np.float32)).to(device))

    def initialise(self, denoiser: Denoiser, source: BatchSource, codec: Codec) -> None:
        """Fit the normal distribution of the factors, and mark the coordinates of categories."""
        super().initialise(denoiser, source, codec)
        if isinstance(denoiser, MaskedDenoiser):
            assert isinstance(codec, RowCodec)
            denoiser.network.choices.set(codec.choices)  # type: ignore[union-attr, operator]

    def loss(self, loss: LossLike, denoiser: Denoiser, codec: Codec) -> LossLike:
        """Return the loss with masks of whole columns, and cross-entropy for categories."""
        if not isinstance(loss, MaskedLoss):
            return loss
        assert isinstance(codec, RowCodec)
        assert isinstance(denoiser, MaskedDenoiser)
        return loss.of_columns(codec.groups, denoiser.choices)

    # --- a trained model -----------------------------------------------------------------------------------

    def generator(self, model: Model) -> TableGenerator:
        """Return what samples rows, fills missing values, and has densities."""
        return TableGenerator(model)

    def measurable(self, data: Dataset, codec: Codec, reporter: Reporter | None = None) -> Measurable:
        """Return the coordinates."""
        return lambda x: x.double().cpu().numpy()

    def reference(
        self, data: Dataset, codec: Codec, held_out: Any = None, seed: int = 0, n: int | None = None
    ) -> Reference:
        """Return clouds of coordinates, 0 where a value is missing."""
        assert isinstance(data, TableData)
        unseen = None if held_out is None or data.draw is not None else self._encoded(held_out, data.rows)
        unseen = None if unseen is None else np.nan_to_num(unseen)
        return draw_reference(
            data.filled, draw=data.draw, held_out=unseen, seed=seed, n=n, mask=np.isnan(data.x)
        )

    def _encoded(self, held_out: Any, rows: RowCodec) -> Points:
        return rows.encode(*rows.parted(held_out))

    def figures(self, model: Model, data: Dataset | None) -> TableFigures:
        """Return what draws pairs of columns."""
        from diffuscope.modalities.tables.figures import TableFigures

        return TableFigures(model, self.generator(model), data)

    def evaluate(
        self,
        model: Model,
        data: Dataset,
        reference: Reference,
        clouds: list[Points],
        held_out: Any,
        seed: int,
        reporter: Reporter,
        **options: Any,
    ) -> TableEvaluation:
        """Measure rows: marginals, associations, utility, privacy."""
        from diffuscope.modalities.tables.evaluation import evaluate_rows

        assert isinstance(data, TableData)
        overall, generator = reference.ratio(clouds), self.generator(model)
        return evaluate_rows(model, data, generator, held_out, overall, seed, reporter, options.get("facts"))

    def flatten(self, model: Model, data: Dataset, held_out: Any, seed: int, reporter: Reporter) -> Flattened:
        """Return the model of coordinates; missing values are imputed by the model itself."""
        assert isinstance(data, TableData)
        rows, d = data.rows, data.rows.width
        generator = self.generator(model)
        nothing = np.zeros(d, dtype=bool)

        def complete(points: Points) -> Points:
            if not np.isnan(points).any():
                return points
            request = Request(seed=stream_seed(seed, "completed") % 2**32)
            return generator.completed(points, nothing, request, reporter=reporter)[0]

        x = complete(data.x)
        unseen = None if held_out is None else complete(self._encoded(held_out, rows))
        unseen = None if data.draw is not None else unseen
        reference = self.reference(data, model.codec, held_out, seed)
        assert reference.points is not None
        missing = float(np.isnan(data.x).mean())
        notes = (
            f"{missing:.1%} of the coordinates are missing and were imputed by the model itself, so its "
            "errors in them hardly show."
        )
        pool = x if unseen is None else unseen
        return Flattened(
            denoiser=model.denoiser,
            codec=Scaling(np.zeros(d), np.ones(d)),
            data=Dataset(data.name, x, None, data.draw, {**data.source, "kind": "table"}),
            reference=reference,
            points=RealPoints(pool, reference.points.draw, reference.n, seed),
            measure=self.measurable(data, model.codec),
            rows=lambda samples: self._flat(samples, rows),
            held_out=unseen,
            piece=model.piece,
            half=model.half,
            notes=notes if missing else "",
        )

    def _flat(self, samples: Any, rows: RowCodec) -> Points:
        if isinstance(samples, np.ndarray | Tensor) and np.shape(samples)[1:] == (rows.width,):
            return np.asarray(samples, dtype=np.float64)
        return self._encoded(read_frame(samples).data, rows)

    def next_command(self, path: Path, model: Model) -> str:
        """Return what to type after a training."""
        return f"evaluate {path} --html"


TABLE = Table()
