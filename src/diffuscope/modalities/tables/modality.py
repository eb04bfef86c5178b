"""Tables: columns of any kind, with missing values and a target."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffuscope.data.affine import Scaling
from diffuscope.data.base import Codec, Dataset
from diffuscope.data.columnar import TABLES, read_rows, suffix_of, write_rows
from diffuscope.data.columnar.dates import looks_like_a_date
from diffuscope.data.columnar.text import is_number
from diffuscope.data.packs import content_of, is_pack, pack_kind
from diffuscope.data.spread import far_out
from diffuscope.data.stored_rows import StoredRows
from diffuscope.data.tables import RowCodec, TableData, load_table, read_frame
from diffuscope.data.tables.columns.categories import Category
from diffuscope.data.tables.dataset import FEWEST_ROWS
from diffuscope.data.tables.panels import panel_note
from diffuscope.data.tables.section import TableSection
from diffuscope.diffusion.denoiser import Denoiser
from diffuscope.diffusion.masked import MaskedDenoiser, MaskedLoss
from diffuscope.errors import InputError
from diffuscope.modalities.base import Modality
from diffuscope.modalities.flattened import Flattened
from diffuscope.modalities.reference import Measurable, Points, RealPoints, Reference, draw_reference
from diffuscope.modalities.tables.density import presence_mask
from diffuscope.modalities.tables.generator import TableGenerator
from diffuscope.modalities.tables.refinement import NOTE
from diffuscope.modalities.tables.support import NOTE as SUPPORT
from diffuscope.modalities.tables.support import fit_support
from diffuscope.modalities.tables.tuning import sizes_for
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.request import Request
from diffuscope.seeds import stream_seed
from diffuscope.training import BatchSource, LossLike, Resident

if TYPE_CHECKING:
    import pandas as pd

    from diffuscope.modalities.tables.evaluation import TableEvaluation
    from diffuscope.modalities.tables.figures import TableFigures

__all__ = ["TABLE", "Table"]

_LEAST_ALIKE = 200  # rows with the same set of values, for a diagnosis of these alone

_SHOWN_RELATIONS = 12
_SHOWN_COLUMNS = 40  # of a wide table; of the others those that an option would change
_MANY_DATES = 6  # distinct texts that are dates


class Table(Modality[TableData, TableSection]):
    """Rows of a table."""

    name: ClassVar[str] = "table"
    unit: ClassVar[str] = "rows"
    recipe_hint: ClassVar[str] = "table"
    measured_in: ClassVar[str] = "of coordinates"
    kept_as: ClassVar[str] = ".parquet"

    def accepts(self, source: Any) -> bool:
        """Whether a source has columns: a table in a file, or in memory."""
        if isinstance(source, str | os.PathLike):
            return suffix_of(Path(source)) in TABLES or pack_kind(source) == "table"
        return hasattr(source, "columns")

    def reads(self, source: Any) -> bool:
        """Whether a table is read from a source where the recipe says so: not from a name, nor a function."""
        if isinstance(source, str | os.PathLike):
            if is_pack(source):
                return pack_kind(source) != "images"
            return bool(Path(source).suffix) and not Path(source).is_dir()
        return not callable(source)

    def default_recipe(self, source: Any) -> str:
        """Return the recipe that suits the size of the table."""
        return "table"

    def load(self, source: Any, section: TableSection, seed: int) -> TableData:
        """Load a table, and choose how its columns become coordinates."""
        target, categories = section.target, section.categories
        return load_table(
            source,
            target=target,
            categories=categories,
            seed=seed,
            options=section,
            constraints=section.constraints,
        )

    def describe(self, data: TableData, section: TableSection) -> dict[str, Any]:
        """Return the recipe's settings of the data that was read, with how each column was taken."""
        return {**super().describe(data, section), "data.columns": data.schema}

    def training_notes(self, data: TableData) -> tuple[str, ...]:
        """Return a line for each column: how it was taken; for each constraint; and for a panel."""
        schema, n, frame = data.schema, data.n, data.frame
        kept = [
            f"{text}: kept by {share:.2%} of the rows"
            for text, share in (data.rows.shares_kept(frame) if data.rows.constraints else {}).items()
        ]
        kept += [*_far_out(data.rows, frame), *_target_always(data.rows, frame)]
        if data.source["kind"] != "file":  # whose texts were read
            kept += _dates_as_text(data.rows)
        elif _names_are_values(frame):
            kept.append(
                "All column names look like values: a file without a line of names loses its first row to "
                "them. Add a line of names if there is none."
            )
        note = panel_note(frame)
        kept += [*data.notes, *([] if note is None else [note])]
        if not schema:
            return tuple(kept)
        width = min(max(len(str(column.name)) for column in schema), 30)
        shown = [one for i, one in enumerate(schema) if i < _SHOWN_COLUMNS or "--" in one.about]
        rest = len(schema) - len(shown)
        more = (f"… and {rest:,} more columns, listed in recipe.toml",) if rest else ()
        columns = f"{len(schema):,} column{'s' * (len(schema) > 1)}"
        name = Path(data.source["path"]).name if data.source["kind"] == "file" else data.name
        return (f"{name}: {n:,} rows, {columns}", *(one.line(width) for one in shown), *more, *kept)

    def adopt(self, data: Dataset, section: TableSection, seed: int) -> TableData:
        """Return points as a table of numbers."""
        if data.x.ndim != 2:
            return super().adopt(data, section, seed)
        if data.labels is not None:
            raise InputError(
                "Points with classes do not become a table by themselves.",
                "Give a DataFrame with the classes as a column, and name it: target=...",
            )
        if section.target is not None:
            raise InputError("Points have no columns, so none can be the target.", "Omit the target.")
        return TableData.of_points(
            data, categories=section.categories, seed=seed, constraints=section.constraints
        )

    def reload(self, source: Any, model: Model) -> TableData:
        """Load a table with the codec of a trained model."""
        section, rows = model.recipe.data, model.codec
        assert isinstance(section, TableSection)
        assert isinstance(rows, RowCodec)
        return load_table(
            source,
            target=section.target,
            seed=model.recipe.seed,
            rows=rows,
            options=section,
            known=section.columns,
        )

    def held_out(self, source: Any, model: Model, data: TableData) -> Any:
        """Return held-out rows, as a DataFrame."""
        if isinstance(source, str | os.PathLike):
            section = model.recipe.data
            assert isinstance(section, TableSection)
            return read_rows(content_of(Path(source)), section, section.columns)
        return read_frame(source).data

    def tune(self, recipe: str, data: TableData) -> dict[str, Any]:
        """Return sizes that suit the table, for the recipe of tables."""
        return sizes_for(data.n, data.rows) if recipe == self.recipe_hint else {}

    def write(self, data: TableData, path: Path) -> None:
        """Write a table as Parquet."""
        write_rows(path, data.frame.rename(columns=str))

    def restore(self, path: Path, about: Any, recipe: Recipe) -> Dataset:
        """Read what :meth:`keep` wrote."""
        section = recipe.data
        assert isinstance(section, TableSection)
        kept = {name: kind for name, kind in (section.types or {}).items() if kind not in ("ignored", "text")}
        data = self.load(path, section.model_copy(update={"types": kept or None}), recipe.seed)
        return dataclasses.replace(data, name=about["name"], source=dict(about["source"]))

    # --- training ------------------------------------------------------------------------------------------

    def codec(self, data: TableData, section: TableSection) -> RowCodec:
        """Return how the columns of the data become coordinates."""
        return data.rows

    def batch_source(
        self, data: TableData, codec: Codec, recipe: Recipe, device: torch.device
    ) -> BatchSource:
        """Return the coordinates of the rows, with their weights."""
        if data.stored is not None:
            return StoredRows(data.stored, _as_tensor, codec.shape, device)
        weights = None if data.weights is None else torch.from_numpy(data.weights)
        return Resident(torch.from_numpy(data.x.astype(np.float32)).to(device), weights)

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
        return loss.of_columns(codec.groups, denoiser.choices, codec.owners)

    def complete(
        self, model: Model, data: TableData, reporter: Reporter, seconds: float | None = None
    ) -> tuple[str, ...]:
        """Count the rows, find exact relations, and fit what tells rows of the model from the data."""
        kept = {name: text for name, text in model.notes.items() if name != NOTE}
        model.extras, model.notes = {}, {**kept, SUPPORT: fit_support(data.rows, data.x).to_note()}
        section, seed = model.recipe.data, stream_seed(model.recipe.seed, "refinement")
        assert isinstance(section, TableSection)
        if not section.refine:
            return ()
        with reporter.stage("refining"):
            refinement = self.generator(model).fit_refinement(data.x, seed, seconds, data.weights)
        if refinement:
            model.extras, text = refinement.to_parts()
            model.notes = {**model.notes, NOTE: text}
        found = refinement.relations.words([column.name for column in data.rows.all_columns])
        rest = len(found) - _SHOWN_RELATIONS
        more = (f"… and {rest} more",) * (rest > 0)
        return (*(f"all rows keep: {line}" for line in found[:_SHOWN_RELATIONS]), *more)

    # --- a trained model -----------------------------------------------------------------------------------
    def generator(self, model: Model) -> TableGenerator:
        """Return what samples rows, fills missing values, and has densities."""
        return TableGenerator(model)

    def measurable(self, data: TableData, codec: Codec, reporter: Reporter | None = None) -> Measurable:
        """Return the coordinates of what is drawn: cut at the ends of the columns."""
        assert isinstance(codec, RowCodec)
        return lambda x: codec.clipped(x.double().cpu()).numpy()

    def reference(
        self, data: TableData, codec: Codec, held_out: Any = None, seed: int = 0, n: int | None = None
    ) -> Reference:
        """Return clouds of coordinates, 0 where a value is missing, those of presence among them."""
        unseen = None
        if held_out is not None and data.draw is None:
            unseen = np.nan_to_num(_encoded(held_out, data.rows))
        return draw_reference(data.filled, draw=data.draw, held_out=unseen, seed=seed, n=n)

    def figures(self, model: Model, data: TableData | None) -> TableFigures:
        """Return what draws pairs of columns."""
        from diffuscope.modalities.tables.figures import TableFigures

        return TableFigures(model, self.generator(model), data)

    def evaluate(
        self,
        model: Model,
        data: TableData,
        reference: Reference,
        clouds: list[Points],
        held_out: Any,
        seed: int,
        reporter: Reporter,
        **options: Any,
    ) -> TableEvaluation:
        """Measure rows: marginals, associations, utility, privacy."""
        from diffuscope.modalities.tables.evaluation import evaluate_rows

        overall, facts = reference.ratio(clouds), options.get("facts", {})
        return evaluate_rows(model, data, self.generator(model), held_out, overall, seed, reporter, facts)

    def flatten(
        self, model: Model, data: TableData, held_out: Any, seed: int, reporter: Reporter
    ) -> Flattened:
        """Return the model of coordinates, of rows with the most frequent set of values.

        Where few rows have the same one, all are imputed by the model itself.
        """
        rows, d, denoiser, notes = data.rows, data.rows.width, model.denoiser, ""
        present = rows.decode_presence(data.x)
        sets, counts = np.unique(present, axis=0, return_counts=True)
        chosen = sets[np.argmax(counts)]
        few = counts.max() < min(_LEAST_ALIKE, len(data.x))
        if few:
            chosen = np.ones_like(chosen)

        def points(encoded: Points) -> Points:
            if few:
                encoded = encoded.copy()
                encoded[:, rows.is_presence] = rows.encode_presence(chosen[None])
            else:
                encoded = encoded[(rows.decode_presence(encoded) == chosen).all(axis=1)]
            request = Request(seed=stream_seed(seed, "completed") % 2**32)
            completed = self.generator(model).filling.completed
            return np.nan_to_num(completed(encoded, np.zeros(d, bool), request, reporter=reporter)[0])

        if rows.presence and isinstance(denoiser, MaskedDenoiser):
            denoiser = denoiser.with_pattern(presence_mask(rows, chosen))
            share = counts.max() / len(data.x)
            notes = f"Only rows with the most frequent set of values are looked at, {share:.1%} of all."
            if few:
                notes = "Missing values were imputed by the model itself, so its errors in them hardly show."

        def written(encoded: Points) -> Points:
            own = encoded.copy()
            own[:, rows.is_presence] = rows.encode_presence(chosen[None])
            y = None if rows.target is None else rows.decode_target(own)
            return np.nan_to_num(rows.encode(rows.decode_features(own), y))

        x = points(data.x)
        unseen = None
        if held_out is not None and data.draw is None:
            unseen = points(_encoded(held_out, rows))
        reference = draw_reference(x, draw=data.draw, held_out=unseen, seed=seed)
        return Flattened(
            denoiser=denoiser,
            codec=Scaling(np.zeros(d), np.ones(d)),
            data=Dataset(data.name, x, _names(rows), data.draw, {**data.source, "kind": "table"}),
            reference=reference,
            points=RealPoints(x if unseen is None else unseen, data.draw, reference.n, seed),
            measure=self.measurable(data, model.codec),
            rows=lambda samples: points(_flat(samples, rows)),
            as_written=written,
            held_out=unseen,
            piece=model.piece,
            half=model.half,
            notes=notes,
        )

    def next_command(self, path: Path, model: Model, n: int) -> str:
        """Return what to type after a training on n rows; few cannot be evaluated."""
        return super().next_command(path, model, n) if n < FEWEST_ROWS else f"evaluate {path} --html"


def _names(rows: RowCodec) -> tuple[str, ...]:
    """Return a name for each coordinate: that of its column, numbered where the column has several."""
    names = [f"coordinate {j + 1}" for j in range(rows.width)]
    for name, where in rows.features.slices.items():
        for k, j in enumerate(range(where.start, where.stop)):
            names[j] = f"{name}" if where.stop - where.start == 1 else f"{name} [{k + 1}]"
    return tuple(names)


def _encoded(table: Any, rows: RowCodec) -> Points:
    return rows.encode(*rows.parted(table))


def _flat(samples: Any, rows: RowCodec) -> Points:
    if isinstance(samples, np.ndarray | Tensor) and np.shape(samples)[1:] == (rows.width,):
        return np.asarray(samples, dtype=np.float64)
    return _encoded(read_frame(samples).data, rows)


TABLE = Table()


def _far_out(rows: RowCodec, frame: pd.DataFrame) -> list[str]:
    """Name numbers of a table that are far out of all others of their column."""
    names = [one.name for one in rows.all_columns if one.kind in ("number", "integer") and one.name in frame]
    if not names:
        return []
    x = frame[names].apply(lambda own: own.astype("float64")).to_numpy(dtype=np.float64, na_value=np.nan)
    found = far_out(x, [str(name) for name in names])
    hint = (
        "They stay in, and samples may have them. Leave such rows out, or set --missing VALUE "
        "if one means that nothing is known."
    )
    return [*found, *([hint] if found else [])]


def _dates_as_text(rows: RowCodec) -> list[str]:
    """Name categories that are dates."""
    return [
        f"Column {str(one.name)!r} has dates as text, which count as {len(one.labels.index):,} categories: "
        "make them dates first, with pandas.to_datetime."
        for one in rows.all_columns
        if isinstance(one, Category)
        and len(one.labels.index) >= _MANY_DATES
        and all(
            isinstance(label, str) and looks_like_a_date(label) for label in one.labels.index[:_MANY_DATES]
        )
    ]


def _as_tensor(rows: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.array(rows))


def _names_are_values(frame: pd.DataFrame) -> bool:
    """Return whether each column could have its own name as a value, and not all are numbers as they are."""
    names = [str(name) for name in frame.columns]
    numbers = [frame[name].dtype.kind in "iuf" for name in frame.columns]
    if all(name.isdecimal() for name in names):  # columns that were numbered
        return False
    return all(
        is_number(name) if number else (frame[key].astype(str) == name).any()
        for key, name, number in zip(frame.columns, names, numbers, strict=True)
    )


def _target_always(rows: RowCodec, frame: pd.DataFrame) -> list[str]:
    """Say that samples have a target where rows of the data have none."""
    name = rows.target_name
    absent = 0.0 if name is None else float(frame[name].isna().mean())
    if not absent:
        return []
    return [
        f"Column {str(name)!r} is the target: samples always have a value of it, though {absent:.1%} of the "
        "rows have none."
    ]
