"""How good are the rows of a table's model? They meet real rows that it did not learn from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.data.tables import TableData, read_frame
from diffuscope.errors import InputError
from diffuscope.metrics.tabular import TableQuality, measure_table
from diffuscope.progress import Reporter
from diffuscope.runs.run import Run
from diffuscope.seeds import stream_seed
from diffuscope.training import validation_rows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["TableEvaluation", "evaluate_rows", "real_and_synthetic"]

_LEAST = 20


@dataclass(frozen=True)
class TableEvaluation:
    """Rows of a table's run, measured against real ones.

    Attributes
    ----------
    quality : TableQuality
        What was measured.
    train, held_out, synthetic : DataFrame
        The rows that met; ``held_out`` may be None.
    facts : dict
        How the model was made, in words and numbers.
    """

    quality: TableQuality
    train: pd.DataFrame
    held_out: pd.DataFrame | None
    synthetic: pd.DataFrame
    facts: dict[str, str]

    def __str__(self) -> str:
        return str(self.quality)

    def to_json(self) -> dict[str, Any]:
        """Return what was measured as plain data."""
        return self.quality.to_json()

    def plot(self) -> Figure:
        """Draw real and synthetic rows, pairs of columns."""
        from diffuscope.plots import plot_pairs

        return plot_pairs(self.train, self.synthetic)

    def save(self, folder: str | Path, report: bool = False) -> list[Path]:
        """Write ``evaluation.json``, ``figures/pairs.png`` and, if asked for, ``report.html`` into a folder.

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


def evaluate_rows(run: Run, held_out: Any, seed: int, reporter: Reporter) -> TableEvaluation:
    """Measure how like real rows those of a run are: columns, dependence, use, privacy.

    Parameters
    ----------
    run : Run
        Of a table.
    held_out : table or None
        Real rows that the run never saw, with the columns of the training data; without them, the rows that
        training held out to know when to stop.
    seed : int
    reporter : Reporter

    Raises
    ------
    InputError
        When the run's data cannot be had, or ``held_out`` has other columns.
    """
    with reporter.stage("sampling"):
        train, unseen, synthetic, target = real_and_synthetic(run, held_out, seed)
    with reporter.stage("measuring rows"):
        quality = measure_table(train, unseen, synthetic, target, seed)
    return TableEvaluation(quality, train, unseen, synthetic, _facts(run, train, unseen))


def _facts(run: Run, train: pd.DataFrame, unseen: pd.DataFrame | None) -> dict[str, str]:
    summary, recipe = run.summary, run.recipe
    sampling = recipe.sampling
    return {
        "data": str(recipe.data.source or "a table from Python"),
        "training rows": f"{len(train):,}",
        "held-out rows": "none" if unseen is None else f"{len(unseen):,}",
        "recipe": recipe.name,
        "network": f"{recipe.network.name}, {summary['parameters']:,} weights",
        "training": f"{summary['steps']:,} steps, {summary['train_seconds']:.1f} s on {summary['device']}",
        "sampling": f"{sampling.name}, {sampling.steps} steps",
        "seed": str(recipe.seed),
        **{name: str(version) for name, version in summary["versions"].items()},
    }


def real_and_synthetic(run: Run, held_out: Any = None, seed: int = 0) -> tuple[Any, Any, Any, Any]:
    """Return training rows, rows that were held out (or None), as many synthetic ones, and the target's name.

    Synthetic rows have holes where real ones do, row by row: a model fills all.
    """
    data, rows = run.data, run.table.rows
    assert isinstance(data, TableData)
    whole = data.frame
    target = None if rows.target is None or rows.target_at is None else rows.target.names[0]
    share = run.recipe.training.hold_out
    train, unseen = whole, None
    if held_out is not None:
        unseen = read_frame(held_out).data
        if list(unseen.columns) != list(whole.columns):
            if set(unseen.columns) != set(whole.columns):
                raise InputError(
                    "The held-out rows do not have the columns of the training data.",
                    f"Give the columns {', '.join(map(str, whole.columns))}.",
                )
            unseen = unseen[list(whole.columns)]
    elif share and share * len(whole) >= _LEAST:
        first, second = validation_rows(len(whole), share, run.recipe.seed)
        train, unseen = whole.iloc[first.numpy()], whole.iloc[second.numpy()]
    synthetic = read_frame(run.sample(max(len(train), _LEAST), seed=stream_seed(seed, "rows") % 2**32)).data
    if train.isna().any(axis=None):
        chosen = np.random.default_rng(stream_seed(seed, "holes")).integers(len(train), size=len(synthetic))
        synthetic = synthetic.mask(train.isna().to_numpy()[chosen])
    return train, unseen, synthetic, target
