r"""What are the results of a comparison? For each cell its quality with an interval: a table, a picture.

Quality is the mean distance of samples from real clouds over the floor. Over several seeds its interval
is that of their mean, of Student's t with n - 1 degrees of freedom,

.. math::  \bar r \pm t_{0.975,\,n-1}\, s / \sqrt n ;

of one seed alone it is the interval of the measurement, over the clouds and the floor's pairs. Which
combinations differ from the best one is decided by the differences, seed by seed: what a seed does to all of
them, as to its data and its training, cancels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from diffuscope._version import __version__
from diffuscope.comparison.grid import Cell, Grid, settings_of
from diffuscope.data.columnar.formulas import Formulas
from diffuscope.errors import RunError
from diffuscope.files import write_json, write_text
from diffuscope.metrics import half_interval, relate
from diffuscope.modalities.reference import Reference

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Interval", "Outcome", "mean_interval"]

_MEASURED = ("evaluations", "ratio", "low", "high", "distance", "floor", "points", "seconds", "train_seconds")


class Interval(NamedTuple):
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """Return the mean of at least two values with its 95% interval."""
    mean, half = float(np.mean(values)), half_interval(values)
    return Interval(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Outcome:
    """The result of one cell, as :mod:`diffuscope.comparison.jobs` has written it, or why there is none."""

    cell: Cell
    truth: Reference
    result: dict[str, Any] | None
    error: str | None

    @property
    def ratio(self) -> Interval:
        """Quality as a multiple of the floor, with the interval of the measurement."""
        assert self.result is not None
        measured = relate(self.result["distances"], self.truth.floors)
        return Interval(measured.ratio, measured.low, measured.high)

    def row(self) -> dict[str, Any]:
        """Return complete settings and what was measured, or the error."""
        row = settings_of(self.cell.recipe)
        if self.result is None:
            return {**row, **dict.fromkeys(_MEASURED), "error": self.error}
        measured = {
            **self.result,
            **dict(zip(("ratio", "low", "high"), self.ratio, strict=True)),
            "distance": float(np.mean(self.result["distances"])),
            "floor": float(np.mean(self.truth.floors)),
        }
        return {**row, **{key: measured[key] for key in _MEASURED}, "error": None}


@dataclass(frozen=True, repr=False)
class Comparison:
    """A finished comparison.

    Attributes
    ----------
    path : Path
        Its directory: ``comparison.csv``, ``.json`` and ``.png``, and the trained models in ``runs/``.
    grid : Grid
    outcomes : list of Outcome
        One for each cell of the grid, in its order.

    Examples
    --------
    >>> import diffuscope, numpy as np
    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> axes = {"sampling.name": ["ddim", "heun"]}
    >>> comparison = diffuscope.compare(points, axes, settings={"training.steps": 50}, seeds=2)
    >>> (comparison.path / "comparison.csv").is_file()  # what was trained before is not trained again
    True
    """

    path: Path
    grid: Grid
    outcomes: list[Outcome]

    def __repr__(self) -> str:
        return f"Comparison({str(self.path)!r}, {len(self.grid.points)} combinations)\n{self.summary()}"

    def _repr_html_(self) -> str:
        """Return a card of the combinations, the best first, for notebooks."""
        from diffuscope.pages import card

        lines, axes = self.lines(), self.grid.varied or list(self.grid.axes)
        best, near = self.best() or (None, [])
        order = sorted(range(len(lines)), key=lambda i: lines[i]["ratio"] or math.inf)
        rows = []
        for i in order:
            line = lines[i]
            mark = "best" if i == best else "as good" if i in near else "" if line["seeds"] else "failed"
            numbers = [""] * 4
            if line["seeds"]:
                interval = f"{line['low']:.2f} to {line['high']:.2f}"
                numbers = [
                    f"{line['evaluations']:g}",
                    f"{line['ratio']:.2f}",
                    interval,
                    f"{line['seconds']:.1f} s",
                ]
            rows.append([*(str(line[key]) for key in axes), *numbers, mark])
        head = [*axes, "evaluations", "× floor", "95%", "sampling", ""]
        seeds = len({cell.seed for cell in self.grid.cells})
        over = f"Over {seeds} seed{'s' * (seeds > 1)}"
        note = f"{over}; “as good” cannot be told from the best. Files: {self.path}/"
        return card(f"Comparison on {self.grid.cells[0].training.data.name}", (), head, rows, None, [note])

    @property
    def failed(self) -> list[Outcome]:
        """The cells that failed."""
        return [outcome for outcome in self.outcomes if outcome.result is None]

    def frame(self) -> pd.DataFrame:
        """Return one line for each cell and seed: complete settings, quality, evaluations, seconds.

        Lists among the settings are JSON. A setting that a cell's parts do not have is empty.
        """
        import pandas as pd

        rows = [outcome.row() for outcome in self.outcomes]
        settings = dict.fromkeys(key for row in rows for key in row if key not in (*_MEASURED, "error"))
        ordered = sorted(settings, key=lambda key: _section(key, list(settings)))
        table = pd.DataFrame(rows, columns=[*ordered, *_MEASURED, "error"])
        for key in ordered:
            if table[key].map(lambda value: isinstance(value, list)).any():
                table[key] = table[key].map(json.dumps)
        return table

    def lines(self) -> list[dict[str, Any]]:
        """Return for each combination the axes that vary, and what was measured over the seeds."""
        shown = self.grid.varied or list(self.grid.axes)
        lines = []
        for number, point in enumerate(self.grid.points):
            outcomes = [outcome for outcome in self.outcomes if outcome.cell.point == number]
            good = [outcome for outcome in outcomes if outcome.result is not None]
            failed = [{"seed": o.cell.seed, "error": o.error} for o in outcomes if o.result is None]
            line = {key: point[key] for key in shown} | {"evaluations": _mean(good, "evaluations")}
            line |= dict(zip(("ratio", "low", "high"), _over_seeds(good), strict=True))
            line |= {"seeds": len(good)} | {key: _mean(good, key) for key in ("seconds", "train_seconds")}
            lines.append({**line, "failed": failed})
        return lines

    def best(self) -> tuple[int, list[int]] | None:
        """Return the number of the best combination, and of those that do not differ from it significantly.

        A combination differs from the best one where the 95% interval of their mean difference over the
        seeds, each against the same seed, is above 0; of one seed, where their intervals do not meet.
        None where every cell failed.
        """
        measured = [
            {o.cell.seed: o.ratio for o in self.outcomes if o.cell.point == number and o.result is not None}
            for number in range(len(self.grid.points))
        ]
        means = {i: np.mean([r.value for r in of.values()]) for i, of in enumerate(measured) if of}
        if not means:
            return None
        best = min(means, key=lambda i: float(means[i]))
        return best, [i for i in means if i != best and not _worse(measured[i], measured[best])]

    def summary(self) -> pd.DataFrame:
        """Return :meth:`lines` as a table, with the number of failures in place of the errors."""
        import pandas as pd

        return pd.DataFrame([{**line, "failed": len(line["failed"])} for line in self.lines()])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON: data, axes, floors, and for each combination its quality."""
        floors = {
            (o.truth.n, o.cell.seed): {"points": o.truth.n, **mean_interval(o.truth.floors)._asdict()}
            for o in self.outcomes
        }
        source = self.grid.cells[0].training.data.source
        best = self.best()
        return {
            "data": {key: value for key, value in source.items() if key != "seed"},
            "axes": {key: _distinct(point[key] for point in self.grid.points) for key in self.grid.axes},
            "seeds": sorted({cell.seed for cell in self.grid.cells}),
            "metric": "sliced_wasserstein",
            "floors": list(floors.values()),
            "points": self.lines(),
            "best": None if best is None else {"point": best[0], "not_told_from_it": best[1]},
            "left_out": self.grid.left_out,
            "versions": {"diffuscope": __version__},
        }

    def plot(self) -> Figure:
        """Show quality against evaluations of the network.

        Raises
        ------
        RunError
            When every cell failed.
        """
        from diffuscope.plots.comparison import Line, plot_comparison

        of_line: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for number, (point, line) in enumerate(zip(self.grid.points, self.lines(), strict=True)):
            if line["seeds"]:
                seeds = [o.ratio.value for o in self.outcomes if o.cell.point == number and o.result]
                of_line.setdefault(self._names(point), []).append({**line, "seeds": seeds})
        if not of_line:
            raise RunError("Nothing to plot: every cell failed.", "See the errors in the table.")
        lines = []
        for (training, sampling), entries in of_line.items():
            entries.sort(key=lambda entry: float(entry["evaluations"]))
            measured = {key: [entry[key] for entry in entries] for key in Line._fields[2:]}
            lines.append(Line(training, sampling, **measured))
        return plot_comparison(lines, self.grid.cells[0].training.data.name)

    def _names(self, point: dict[str, Any]) -> tuple[str, str]:
        """Return what a line is of: the training, and the sampling but for its number of steps."""
        keys = [key for key in self.grid.varied if key != "sampling.steps"]
        training = [_word(key, point[key]) for key in keys if not key.startswith("sampling.")]
        sampling = [_word(key, point[key]) for key in keys if key.startswith("sampling.")]
        return ", ".join(training), ", ".join(sampling)

    def save(self) -> None:
        """Write ``comparison.csv``, ``comparison.json`` and ``comparison.png``, each whole or not at all."""
        from diffuscope.plots import save_figure

        frame = Formulas(safe=True).frame(self.frame())  # settings and errors may begin as formulas do
        write_text(self.path / "comparison.csv", frame.to_csv(index=False, lineterminator="\n"))
        write_json(self.path / "comparison.json", self.to_json())
        picture = self.path / "comparison.png"
        if len(self.failed) < len(self.outcomes):
            save_figure(self.plot(), picture)
        else:
            picture.unlink(missing_ok=True)  # an older one would be taken for this one's


def _over_seeds(outcomes: Sequence[Outcome]) -> Interval | tuple[None, None, None]:
    ratios = [outcome.ratio for outcome in outcomes]
    if not ratios:
        return None, None, None
    if len(ratios) == 1:
        return ratios[0]
    mean, low, high = mean_interval([ratio.value for ratio in ratios])
    return Interval(mean, max(0.0, low), high)  # a distance is not negative


def _worse(one: Mapping[int, Interval], other: Mapping[int, Interval]) -> bool:
    """Whether the seeds tell ``one`` to be worse than ``other``."""
    shared = sorted(one.keys() & other.keys())
    if len(shared) > 1:
        return mean_interval([one[seed].value - other[seed].value for seed in shared]).low > 0
    return bool(shared) and one[shared[0]].low > other[shared[0]].high


def _mean(outcomes: Sequence[Outcome], key: str) -> float | None:
    values = [outcome.result[key] for outcome in outcomes if outcome.result is not None]
    return float(np.mean(values)) if values else None


def _distinct(values: Iterable[Any]) -> list[Any]:
    distinct: list[Any] = []
    for value in values:
        if value not in distinct:
            distinct.append(value)
    return distinct


def _section(key: str, keys: list[str]) -> int:
    """Return where the section of a setting first occurs, so that its settings stand together."""
    section = key.split(".")[0]
    return next(i for i, other in enumerate(keys) if other.split(".")[0] == section)


def _word(key: str, value: Any) -> str:
    """Name a value on an axis: names by themselves, numbers with what they are of."""
    *_, last = key.split(".")
    return str(value) if isinstance(value, str) else f"{last} {value}"
