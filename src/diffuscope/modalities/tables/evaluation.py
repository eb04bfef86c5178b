"""How good are the rows of a model of a table? They are compared with real rows not used for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.tables import TableData, read_frame
from diffuscope.errors import InputError
from diffuscope.metrics import Measured
from diffuscope.metrics.tabular import TableQuality, measure_table
from diffuscope.modalities.tables.generator import TableGenerator
from diffuscope.model import Model
from diffuscope.progress import Reporter
from diffuscope.seeds import stream_seed
from diffuscope.training import validation_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["TableEvaluation", "evaluate_rows", "real_and_synthetic"]

_LEAST = 20


@dataclass(frozen=True)
class TableEvaluation:
    """The quality of synthetic rows.

    Attributes
    ----------
    quality : TableQuality
        What was measured.
    train, held_out, synthetic : DataFrame
        The rows that met; ``held_out`` may be None.
    facts : dict
        How the model was made, in words and numbers.
    overall : Measured or None
        The distance of coordinates, which training has printed.
    """

    quality: TableQuality
    train: pd.DataFrame
    held_out: pd.DataFrame | None
    synthetic: pd.DataFrame
    facts: dict[str, str]
    overall: Measured | None = None

    def __str__(self) -> str:
        first = (
            "" if self.overall is None else f"sliced Wasserstein distance of coordinates: {self.overall}\n\n"
        )
        return f"{first}{self.quality}"

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
        """Write ``evaluation.json``, ``figures/pairs.png`` and, optionally, ``report.html`` into a folder.

        Returns
        -------
        list of Path
            Of what a person may want to look at.
        """
        from diffuscope.files import write_json
        from diffuscope.plots import save_figure

        folder = Path(folder)
        files = [folder / "figures" / "pairs.png"]
        write_json(folder / "evaluation.json", self.to_json())
        save_figure(self.plot(), files[0])
        if report:
            from diffuscope.modalities.tables.report import write_report

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
    overall: Measured | None,
    seed: int,
    reporter: Reporter,
    facts: Mapping[str, str] | None = None,
) -> TableEvaluation:
    """Measure the quality of synthetic rows: marginals, associations, utility, privacy.

    Parameters
    ----------
    model : Model
    data : TableData
        What it was trained on.
    generator : TableGenerator
    held_out : DataFrame or None
        Real rows that the model never saw, with the columns of the training data; without them, the rows that
        training held out to know when to stop.
    overall : Measured or None
        The distance of coordinates, which training has printed.
    seed : int
    reporter : Reporter
    facts : mapping, optional
        How the model was made, in words, for the report.

    Raises
    ------
    InputError
        When ``held_out`` has other columns.
    """
    with reporter.stage("sampling"):
        train, unseen, synthetic, target = real_and_synthetic(model, data, generator, held_out, seed)
    with reporter.stage("measuring rows"):
        quality = measure_table(train, unseen, synthetic, target, seed)
    return TableEvaluation(quality, train, unseen, synthetic, _facts(model, train, unseen, facts), overall)


def _facts(
    model: Model, train: pd.DataFrame, unseen: pd.DataFrame | None, facts: Mapping[str, str] | None
) -> dict[str, str]:
    recipe = model.recipe
    sampling = recipe.sampling
    weights = sum(p.numel() for p in model.denoiser.network.parameters())
    return {
        "data": str(recipe.data.source or "a table in memory"),
        "training rows": f"{len(train):,}",
        "held-out rows": "none" if unseen is None else f"{len(unseen):,}",
        "recipe": recipe.name,
        "network": f"{recipe.network.name}, {weights:,} weights",
        "sampling": f"{sampling.name}, {sampling.steps} steps",
        "seed": str(recipe.seed),
        **(facts or {}),
    }


def real_and_synthetic(
    model: Model, data: TableData, generator: TableGenerator, held_out: Any = None, seed: int = 0
) -> tuple[Any, Any, Any, Any]:
    """Return training rows, rows that were held out (or None), as many synthetic ones, and the target's name.

    Synthetic rows have missing values where real ones do, row by row: a model fills all.
    """
    whole = data.frame
    share = model.recipe.training.hold_out
    train, unseen = whole, None
    if held_out is not None:
        unseen = read_frame(held_out).data
        if list(unseen.columns) != list(whole.columns):
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
    if train.isna().any(axis=None):
        chosen = np.random.default_rng(stream_seed(seed, "holes")).integers(len(train), size=len(synthetic))
        synthetic = synthetic.mask(train.isna().to_numpy()[chosen])
    return train, unseen, synthetic, data.rows.target_name
