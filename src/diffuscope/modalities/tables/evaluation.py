"""How good are the rows of a model of a table? They are compared with real rows not used for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from diffuscope.data.tables import RowCodec, TableData, read_frame
from diffuscope.errors import InputError
from diffuscope.metrics import Measured
from diffuscope.metrics.tabular import TableQuality, measure_table
from diffuscope.modalities.base import Evaluation
from diffuscope.modalities.tables.generator import TableGenerator
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.seeds import stream_seed
from diffuscope.training import validation_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["TableEvaluation", "evaluate_rows"]

_LEAST = 20


@dataclass(frozen=True, repr=False)
class TableEvaluation(Evaluation):
    """The quality of synthetic rows."""

    picture: ClassVar[str] = "pairs.png"

    quality: TableQuality
    train: pd.DataFrame
    held_out: pd.DataFrame | None
    synthetic: pd.DataFrame
    facts: dict[str, str]  # how the model was made, in words and numbers
    overall: Measured | None = None  # the distance of coordinates, which training has printed

    def __str__(self) -> str:
        if self.overall is None:
            return str(self.quality)
        return f"sliced Wasserstein distance of coordinates: {self.overall}\n\n{self.quality}"

    def to_json(self) -> dict[str, Any]:
        """Return what was measured as plain data."""
        plain = self.quality.to_json()
        if self.overall is not None:
            plain["metrics"] = {"sliced_wasserstein": self.overall.to_json(), **plain["metrics"]}
        return plain

    def plot(self) -> Figure:
        """Draw real and synthetic rows, pairs of columns."""
        from diffuscope.plots import plot_pairs

        return plot_pairs(self.train, self.synthetic)

    def save(self, folder: str | Path, report: bool = False) -> list[Path]:
        """Write ``evaluation.json``, ``figures/pairs.png`` and, optionally, ``report.html``."""
        files = super().save(folder)
        if report:
            from diffuscope.modalities.tables.report import write_report

            folder = Path(folder)
            files.append(folder / "report.html")
            write_report(
                files[-1],
                title=folder.resolve().name,
                train=self.train,
                held_out=self.held_out,
                synthetic=self.synthetic,
                quality=self.quality,
                facts=self.facts,
            )
        return files


def evaluate_rows(
    model: Model,
    data: TableData,
    generator: TableGenerator,
    held_out: pd.DataFrame | None,
    overall: Measured,
    seed: int,
    reporter: Reporter,
    facts: Mapping[str, str],
) -> TableEvaluation:
    """Measure the quality of synthetic rows: marginals, associations, utility, privacy.

    Without held-out rows those count that training held out to know when to stop. ``overall`` is the distance
    of coordinates, ``facts`` how the model was made, for the report. InputError where ``held_out`` has other
    columns.
    """
    with reporter.stage("sampling"):
        train, unseen, synthetic = _real_and_synthetic(model, data, generator, held_out, seed)
    with reporter.stage("measuring rows"):
        taken = [_as_taken(table, data.rows) for table in (train, unseen, synthetic)]
        quality = measure_table(taken[0], taken[1], taken[2], data.rows.target_name, seed)
    recipe, sampling = model.recipe, model.recipe.sampling
    weights = sum(p.numel() for p in model.denoiser.network.parameters())
    known = {
        "data": str(recipe.data.source or "a table in memory"),
        "training rows": f"{len(train):,}",
        "held-out rows": "none" if unseen is None else f"{len(unseen):,}",
        "recipe": recipe.name,
        "network": f"{recipe.network.name}, {weights:,} weights",
        "sampling": f"{sampling.name}, {sampling.steps} steps",
        "seed": str(recipe.seed),
    }
    return TableEvaluation(quality, train, unseen, synthetic, {**known, **facts}, overall)


def _as_taken(frame: Any, rows: RowCodec) -> Any:
    """Return a table with the numbers that the model takes for categories as categories."""
    if frame is None:
        return None
    taken = [one.name for one in rows.all_columns if one.kind == "category" and one.name in frame]
    return frame.astype({name: "category" for name in taken if frame[name].dtype.kind in "iuf"})


def _real_and_synthetic(
    model: Model, data: TableData, generator: TableGenerator, held_out: Any, seed: int
) -> tuple[Any, Any, Any]:
    """Return training rows, rows that were held out (or None), and as many synthetic ones."""
    whole = data.frame.drop(columns=list(data.rows.identifiers))
    share = model.recipe.training.hold_out
    train, unseen = whole, None
    if held_out is not None:
        unseen = read_frame(held_out).data.drop(columns=list(data.rows.identifiers), errors="ignore")
        if set(unseen.columns) != set(whole.columns):
            raise InputError(
                "The columns of the held-out rows differ from those of the training data.",
                f"Give the columns {', '.join(map(str, whole.columns))}.",
            )
        unseen = unseen[list(whole.columns)]
    elif share and share * len(whole) >= _LEAST:
        first, second = validation_rows(len(whole), share, model.recipe.seed)
        train, unseen = whole.iloc[first.numpy()], whole.iloc[second.numpy()]
    request = generator.request({"seed": stream_seed(seed, "rows") % 2**32})
    synthetic = generator.frame(max(len(train), _LEAST), request)
    synthetic = synthetic.drop(columns=list(data.rows.identifiers))
    return train, unseen, synthetic
