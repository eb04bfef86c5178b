"""Which settings are best, where there are too many to train them all to the end? Those that are left.

All settings, a grid or a random draw, are first trained for a tenth of their steps, in a training of its own
with its own schedule of learning rates, and measured. Those that are clearly worse than the best go no
further: their interval lies above its one (:meth:`diffuscope.comparison.table.Comparison.best`). The others
are trained for three tenths, and what is left of them in full. So no share is given up by rule, as in
successive halving (Jamieson & Talwalkar 2016): where all are alike, all are trained.

    DIR/sweep.csv  sweep.json  sweep.png    the results
    DIR/runs/NAME/  cells/  truth/  data/   as of a comparison; the same sweep again goes on where it was
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from diffuscope.comparison.executor import Engine, Executor
from diffuscope.comparison.grid import (
    Axes,
    Grid,
    lay_out,
    lay_out_points,
    read_axes,
    shortened,
    steps_of,
)
from diffuscope.comparison.study import Study, claimed
from diffuscope.comparison.table import Comparison
from diffuscope.data.columnar.formulas import Formulas
from diffuscope.errors import InputError
from diffuscope.files import write_json, write_text
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.seeds import stream_seed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Range", "Sweep", "sweep"]

_STAGES = (0.1, 0.3, 1.0)
"""Shares of the steps that are trained, one after the other."""
_MOST_TRIALS = 100_000
_DIGITS = 3  # of numbers that are drawn


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``: whole ones if both are, drawn evenly, or evenly in their ``log``.

    Examples
    --------
    >>> import diffuscope, numpy as np
    >>> rate = diffuscope.Range(1e-4, 1e-1, log=True)
    >>> 1e-4 <= rate.draw(np.random.default_rng(0)) <= 1e-1
    True
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        """Raise an InputError for what is no range."""
        good = all(isinstance(end, int | float) and math.isfinite(end) for end in (self.low, self.high))
        if not good or not self.low < self.high or (self.log and self.low <= 0):
            raise InputError(
                f"{self.low} to {self.high} is no range of numbers.",
                "Give the lower end first; of a logarithmic one both are above 0.",
            )

    def draw(self, random: np.random.Generator) -> float | int:
        """Return a number, to three digits."""
        ends = np.log([self.low, self.high]) if self.log else np.array([self.low, self.high], dtype=float)
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        value = random.uniform(*ends)
        value = float(np.exp(value)) if self.log else float(value)
        if whole:
            return int(np.clip(round(value), self.low, self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)


def sweep(
    data: Any,
    space: Mapping[str, Any],
    *,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    trials: int | None = None,
    seed: int = 0,
    seeds: int | Sequence[int] = 3,
    stop_early: bool = True,
    out: str | Path | None = None,
    jobs: int | None = None,
    launch: str | None = None,
    engine: Engine = "local",
    skip_invalid: bool = False,
    device: str = "cpu",
    progress: bool | None = None,
    announce: Callable[[str], None] | None = None,
) -> Sweep:
    """Search settings of a recipe: a grid, or random draws; what is clearly worse is stopped early.

    Parameters
    ----------
    data : str, path, array, DataFrame, Dataset or callable
        As :func:`diffuscope.train` takes it.
    space : mapping
        Settings, and where their values come from: lists, or a :class:`Range`, such as
        ``{"training.learning_rate": Range(1e-4, 1e-1, log=True), "network.depth": [2, 3, 4]}``.
    recipe, settings, seeds, jobs, launch, engine, skip_invalid, device, progress, announce
        As :func:`diffuscope.compare` takes them. With one seed, what is clearly worse is decided by the
        interval of the measurement, which knows nothing of how trainings differ.
    trials : int, optional
        Number of random draws; by default all combinations, for which all values must be lists.
    seed : int
        Of the draws.
    stop_early : bool
        Whether settings that are clearly worse after a tenth, or three tenths, of their steps are stopped.
    out : str or path, optional
        The directory; sweeps/NAME by default. The same sweep again goes on where it was.

    Returns
    -------
    Sweep

    Raises
    ------
    InputError
        When a setting or a combination is not valid, before anything is trained.
    Interrupted
        On Ctrl-C, SIGTERM or SIGHUP; everything that was finished is kept.

    Examples
    --------
    >>> import diffuscope, numpy as np
    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> space = {"training.learning_rate": diffuscope.Range(1e-3, 1e-1, log=True)}
    >>> found = diffuscope.sweep(points, space, settings={"training.steps": 50}, trials=3, seeds=1)
    >>> len(found.trials)
    3
    """
    executor = Executor(jobs, launch, engine, device)
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(f"Seeds must be distinct, and at least one; got {seeds!r}.", "Give --seeds 3.")
    if not space:
        raise InputError("There is nothing to search.", "Give settings with several values: --set KEY=V1,V2")
    if twice := sorted(set(space) & set(settings or {})):
        raise InputError(f"{twice[0]} is searched, and a setting.", "Leave it out of the settings.")
    fixed = read_axes({key: [value] for key, value in (settings or {}).items()})
    grid = _laid_out(data, recipe, space, fixed, trials, seed, chosen, skip_invalid)
    name = re.sub(r"[^\w.-]+", "-", grid.cells[0].training.data.name).strip("-.") or "data"
    path = Path("sweeps") / name if out is None else Path(out)
    logarithmic = tuple(key for key, one in space.items() if isinstance(one, Range) and one.log)
    with claimed(path):
        found = _search(grid, path, executor, Reporter(progress), stop_early, announce, logarithmic)
        found.save()
    return found


def _laid_out(
    data: Any,
    recipe: str | Path | Recipe | None,
    space: Mapping[str, Any],
    fixed: Axes,
    trials: int | None,
    seed: int,
    seeds: Sequence[int],
    skip_invalid: bool,
) -> Grid:
    """Return all combinations of the space, or so many random ones, each once."""
    ranges = {key: one for key, one in space.items() if isinstance(one, Range)}
    lists = read_axes({key: one for key, one in space.items() if key not in ranges})
    read_axes({key: [one.low, one.high] for key, one in ranges.items()})  # refuses what cannot be searched
    if trials is None:
        if ranges:
            raise InputError(
                f"{next(iter(ranges))} is a range, of which there are no combinations.",
                "Say how many are drawn: --trials 20.",
            )
        return lay_out(data, recipe, {**fixed, **lists}, seeds, skip_invalid=skip_invalid)
    if not 1 <= trials <= _MOST_TRIALS:
        raise InputError(f"{trials} trials cannot be drawn.", f"Give 1 to {_MOST_TRIALS:,}: --trials.")
    random = np.random.default_rng(stream_seed(seed, "sweep"))
    points: list[dict[str, Any]] = []
    for _ in range(20 * trials):  # a small space has fewer points
        point = {key: values[0] for key, values in fixed.items()}
        for key in space:
            one = ranges.get(key)
            point[key] = lists[key][random.integers(len(lists[key]))] if one is None else one.draw(random)
        if point not in points:
            points.append(point)
        if len(points) == trials:
            break
    axes: Axes = {key: tuple(dict.fromkeys(point[key] for point in points)) for key in points[0]}
    return lay_out_points(data, recipe, axes, points, seeds, skip_invalid=skip_invalid)


def _search(
    grid: Grid,
    path: Path,
    executor: Executor,
    reporter: Reporter,
    stop_early: bool,
    announce: Callable[[str], None] | None,
    logarithmic: tuple[str, ...],
) -> Sweep:
    left = list(range(len(grid.points)))
    steps = [max(steps_of(cell) for cell in grid.cells if cell.point == i) for i in left]
    trials = [dict(point) for point in grid.points]
    shares = _STAGES if stop_early and len(left) > 1 else _STAGES[-1:]
    last: Comparison | None = None
    for number, share in enumerate(shares):
        part = shortened(grid, share, left)
        study = Study(part, path, executor, reporter)
        estimate = study.estimate()
        if announce is not None:
            where = f"stage {number + 1} of {len(shares)}"
            announce(f"{where}, {len(left)} settings, {share:.0%} of the steps: {estimate}")
        last = study.run()
        lines, found = last.lines(), last.best()
        best, near = found or (None, [])
        for i, line in zip(left, lines, strict=True):
            measured = {key: line[key] for key in ("ratio", "low", "high", "seeds", "train_seconds")}
            errors = [one["error"] for one in line["failed"]]
            failed = not line["seeds"]
            state = "failed" if failed else "trained" if share == 1 else "stopped"
            trials[i] |= {**measured, "share": share, "steps": max(1, round(share * steps[i]))}
            trials[i] |= {"state": state, "error": errors[0] if errors else None}
        going_on = {best, *near} if share < 1 else set(range(len(left)))
        left = [i for j, i in enumerate(left) if j in going_on]
        if not left:
            break
    assert last is not None
    return Sweep(path, grid, trials, logarithmic)


@dataclass(frozen=True, repr=False)
class Sweep:
    """A finished sweep.

    Attributes
    ----------
    path : Path
        Its directory: ``sweep.csv``, ``.json`` and ``.png``, and the trained models in ``runs/``.
    grid : Grid
        All settings.
    trials : list of dict
        For each its settings, how far it got (``state``: trained, stopped or failed; ``steps``, and their
        ``share``), and its quality there: ``ratio`` over the floor with its 95% interval.
    logarithmic : tuple of str
        Settings that were drawn evenly in their logarithm.

    Examples
    --------
    >>> import diffuscope, numpy as np
    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> space = {"network.width": [8, 32]}
    >>> found = diffuscope.sweep(points, space, settings={"training.steps": 50}, seeds=1)
    >>> (found.path / "sweep.csv").is_file()
    True
    """

    path: Path
    grid: Grid
    trials: list[dict[str, Any]]
    logarithmic: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Sweep({str(self.path)!r}, {len(self.trials)} settings)\n{self.frame()}"

    def _repr_html_(self) -> str:
        """Return a card of the settings, the best first, for notebooks."""
        from diffuscope.pages import card

        rows = []
        for one in self.ranked():
            quality = "" if one["ratio"] is None else f"{one['ratio']:.2f}"
            interval = "" if one["ratio"] is None else f"{one['low']:.2f} to {one['high']:.2f}"
            rows.append(
                [*(str(one[key]) for key in self.keys), f"{one['steps']:,}", quality, interval, one["state"]]
            )
        head = [*self.keys, "steps", "× floor", "95%", ""]
        return card(
            f"Sweep on {self.grid.cells[0].training.data.name}", (), head, rows, None, [f"{self.path}/"]
        )

    @property
    def keys(self) -> list[str]:
        """The settings that vary."""
        return self.grid.varied or list(self.grid.axes)

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The settings of which no training succeeded."""
        return [one for one in self.trials if one["state"] == "failed"]

    def ranked(self) -> list[dict[str, Any]]:
        """Return the trials, the best first: those that were trained for longer before all others."""
        return sorted(
            self.trials, key=lambda one: (-one["share"], math.inf if one["ratio"] is None else one["ratio"])
        )

    def best(self) -> dict[str, Any] | None:
        """Return the trial with the lowest distance of those that were trained in full; None: all failed."""
        first = self.ranked()[0]
        return first if first["state"] == "trained" else None

    def frame(self) -> pd.DataFrame:
        """Return a line for each trial, in the order in which they were drawn."""
        import pandas as pd

        numbers = ["share", "steps", "ratio", "low", "high", "seeds", "train_seconds"]
        return pd.DataFrame(self.trials, columns=[*self.keys, "state", *numbers, "error"])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        best = self.best()
        source = self.grid.cells[0].training.data.source
        return {
            "data": {key: value for key, value in source.items() if key != "seed"},
            "settings": self.keys,
            "seeds": sorted({cell.seed for cell in self.grid.cells}),
            "metric": "sliced_wasserstein",
            "trials": json.loads(json.dumps(self.trials, default=str)),
            "best": None if best is None else {key: best[key] for key in self.keys},
            "left_out": self.grid.left_out,
        }

    def plot(self) -> Figure:
        """Show the quality of each trial against each of its settings."""
        from diffuscope.plots.sweep import plot_sweep

        return plot_sweep(self.trials, self.keys, self.logarithmic, self.grid.cells[0].training.data.name)

    def save(self) -> None:
        """Write ``sweep.csv``, ``sweep.json`` and ``sweep.png``, each whole or not at all."""
        from diffuscope.plots import save_figure

        frame = Formulas(safe=True).frame(self.frame())
        write_text(self.path / "sweep.csv", frame.to_csv(index=False, lineterminator="\n"))
        write_json(self.path / "sweep.json", self.to_json())
        picture = self.path / "sweep.png"
        if len(self.failed) < len(self.trials):
            save_figure(self.plot(), picture)
        else:
            picture.unlink(missing_ok=True)
