"""How is a comparison run? It is laid out and estimated, then done cell by cell; each result is kept.

    DIR/comparison.csv  comparison.json  comparison.png    the results
    DIR/runs/NAME/                                         the trained models (run directories)
    DIR/cells/DIGEST.json                                  each cell's result
    DIR/truth/DIGEST.npz  DIR/data/DIGEST.*                real clouds, and data that was passed as an array

Results are found again by the digest of their settings. So a comparison that was stopped is resumed, and one
that was extended by a sampler or a schedule computes only the new cells.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from diffuscope.comparison.estimate import Estimate, Probe
from diffuscope.comparison.executor import Engine, Executor
from diffuscope.comparison.grid import Cell, Grid, Training, cell_digest, lay_out
from diffuscope.comparison.jobs import Job, trained
from diffuscope.comparison.table import Comparison, Outcome
from diffuscope.errors import InputError, RunError
from diffuscope.files import read_text, remove_abandoned, sole_writer
from diffuscope.modalities.recognition import modality
from diffuscope.modalities.reference import DRAWS, PAIRS, Reference
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.signals import stopped_by, words_of
from diffuscope.training import Interrupted

__all__ = ["Study", "claimed", "compare"]

Sampling = tuple[Cell, Path]  # a cell, and the file of its result


_MOST_SEEDS = 10_000


def compare(
    data: Any,
    axes: Mapping[str, Any] | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] = 5,
    out: str | Path | None = None,
    jobs: int | None = None,
    launch: str | None = None,
    engine: Engine = "local",
    skip_invalid: bool = False,
    device: str = "cpu",
    progress: bool | None = None,
    announce: Callable[[str], None] | None = None,
) -> Comparison:
    """Compare recipes and samplers: every combination of the axes, over several seeds.

    Parameters
    ----------
    data : str, path, array, DataFrame, Dataset or callable
        As :func:`diffuscope.train` takes it.
    axes : mapping
        Fields of a recipe and their values, such as ``{"schedule.name": ["linear", "cosine"],
        "sampling.steps": [5, 10]}``; the field ``recipe`` takes names and files.
    recipe : str, path or Recipe, optional
        What all combinations share; by default the recipe of the kind of data.
    settings : mapping, optional
        Changes to it, as :func:`diffuscope.train` takes them, in all combinations.
    seeds : int or sequence of int
        Their number (0, 1, ...), or a list. A seed is that of the data, the training and the sampling.
    out : str or path, optional
        The directory; comparisons/NAME by default. An existing comparison is resumed: finished cells
        are not computed again.
    jobs : int, optional
        Number of parallel processes, of one thread each; by default one for each core.
    launch : str, optional
        The command that starts each process, such as ``"srun -n1"`` or ``"ssh node{worker}"``.
    engine : {"local", "ray"}
        Where processes run: here, or on a Ray cluster (``pip install 'diffuscope[ray]'``).
    skip_invalid : bool
        Skip combinations that are not valid.
    device : str
        Device of the processes: cpu, cuda or mps.
    progress : bool, optional
        Whether to show progress; by default where standard error is a terminal.
    announce : callable, optional
        Called before the start with the estimated time, as text.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        When a setting, an axis or a combination is not valid, before anything is trained.
    Interrupted
        On Ctrl-C, SIGTERM or SIGHUP; everything that was finished is kept.

    Examples
    --------
    >>> import diffuscope, numpy as np
    >>> axes = {"sampling.name": ["ddim", "heun"]}
    >>> points = np.random.default_rng(0).normal(size=(300, 2))
    >>> comparison = diffuscope.compare(points, axes, settings={"training.steps": 50}, seeds=2)
    >>> len(comparison.outcomes)
    4
    """
    executor = Executor(jobs, launch, engine, device)
    if isinstance(seeds, int) and seeds > _MOST_SEEDS:
        raise InputError(f"{seeds:,} seeds are too many.", f"Give at most {_MOST_SEEDS:,} seeds: --seeds.")
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(
            f"Seeds must be distinct, and at least one; got {seeds!r}.", "Give at least 1 seed with --seeds."
        )
    axes, settings = axes or {}, settings or {}
    if twice := sorted(set(axes) & set(settings)):
        raise InputError(f"{twice[0]} is an axis and a setting.", "Leave it out of the settings.")
    axes = {**{key: [value] for key, value in settings.items()}, **axes}
    grid = lay_out(data, recipe, axes, chosen, skip_invalid=skip_invalid)
    name = re.sub(r"[^\w.-]+", "-", grid.cells[0].training.data.name).strip("-.") or "data"
    path = Path("comparisons") / name if out is None else Path(out)
    with claimed(path):
        study = Study(grid, path, executor, Reporter(progress))
        estimate = study.estimate()
        if announce is not None:
            announce(str(estimate))
        comparison = study.run()
        comparison.save()
        return comparison


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Lock the directory of a comparison while the block runs; make it if it is new."""
    is_comparison = (path / "cells").is_dir()
    if path.exists() and not is_comparison and not (path.is_dir() and not any(path.iterdir())):
        raise InputError(
            f"{path} exists and is not a comparison; nothing was changed.", "Choose another --out."
        )
    try:
        (path / "cells").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"Cannot create {path}: {error.strerror}.", "Choose another --out.") from error
    with sole_writer(path):
        remove_abandoned(path)
        yield


class Study:
    """A comparison in its directory."""

    def __init__(self, grid: Grid, path: Path, executor: Executor, reporter: Reporter) -> None:
        """Draw real clouds, measure their floors, and store data that was passed as an array."""
        self.grid, self.path, self.executor, self.reporter = grid, path, executor, reporter
        self.errors: dict[Path, str] = {}  # by the file of a cell
        with reporter.stage("measuring the floor"):
            self.references = _prepare_references(path / "truth", grid.trainings)
        self.data: dict[str, dict[str, Any] | None] = {}
        for training in grid.trainings:
            data = training.data
            kept: dict[str, Any] | None = None
            if data.source["kind"] in ("array", "callable"):
                file = modality(data.kind).keep(data, path / "data")
                kept = {
                    "path": str(file.absolute()),
                    "name": data.name,
                    "columns": data.columns,
                    "source": data.source,
                }
            self.data[training.digest] = kept
        digests = [cell_digest(c, self.references[c.training.digest][0].stem) for c in grid.cells]
        self.cells = [
            (cell, (path / "cells" / f"{digest[:24]}.json").absolute())
            for cell, digest in zip(grid.cells, digests, strict=True)
        ]

    def missing(self) -> tuple[list[Training], list[Sampling]]:
        """Return the trainings and the cells that are not done yet."""
        cells = [(cell, file) for cell, file in self.cells if _read_result(file) is None]
        needed = {cell.training.digest: cell.training for cell, _ in cells}
        return [t for t in needed.values() if not trained(self._folder(t))], cells

    def estimate(self) -> Estimate:
        """Estimate what is missing, by a short probe."""
        trainings, cells = self.missing()
        references = [reference for _, reference in self.references.values()]
        n, d = max(one.n for one in references), max(one.middle.size for one in references)
        self.probe = Probe(n, max(one.count for one in references), d)
        kept = len(self.cells) - len(cells)
        return self.probe.estimate(trainings, [cell for cell, _ in cells], kept, self.executor.size)

    def run(self) -> Comparison:
        """Do what is missing; return what came of it, not written yet."""
        trainings, cells = self.missing()
        try:
            with self.reporter.bar("comparing", len(trainings) + len(cells), "tasks") as bar:
                for done in self._work(trainings, cells):
                    bar.update(done, f"{len(self.errors)} failed" if self.errors else "")
        except KeyboardInterrupt as stop:
            kept = len(self.cells) - len(self.missing()[1])
            raise Interrupted(
                f"{words_of(stopped_by(stop))}; {kept} of {len(self.cells)} cells and the trained models are "
                f"kept in {self.path}. Start it again with the same settings to resume it.",
                stopped_by(stop),
            ) from stop
        outcomes = []
        for cell, file in self.cells:
            result = _read_result(file)
            error = None if result is not None else self.errors.get(file, "its result file is missing")
            outcomes.append(Outcome(cell, self.references[cell.training.digest][1], result, error))
        return Comparison(self.path, self.grid, outcomes)

    def _work(self, trainings: Sequence[Training], cells: Sequence[Sampling]) -> Iterator[int]:
        """Run trainings, and cells once their training is done; yield the number of finished ones."""
        to_train = sorted(trainings, key=self.probe.training)
        waiting: dict[str, list[Sampling]] = {training.digest: [] for training in trainings}
        ready: list[Sampling] = []
        for cell, file in cells:
            waiting.get(cell.training.digest, ready).append((cell, file))

        def next_task() -> Training | Sampling | None:
            if to_train:
                return to_train.pop()
            if ready:  # the longest first, so that the cores come to their end together
                return ready.pop(max(range(len(ready)), key=lambda i: self.probe.cell(ready[i][0])))
            return None

        done = 0
        with self.executor.pool(len(trainings) + len(cells)) as pool:
            for task, error in pool.run(next_task, self._job):
                done += 1
                if not isinstance(task, Training):
                    if error is not None:
                        self.errors[task[1]] = error
                elif error is None:
                    ready += waiting[task.digest]
                else:
                    done += len(waiting[task.digest])
                    self.errors |= {file: f"training failed: {error}" for _, file in waiting[task.digest]}
                yield done

    def _job(self, task: Training | Sampling) -> Job:
        training = task if isinstance(task, Training) else task[0].training
        place = str(self._folder(training)), self.data[training.digest], self.executor.device
        if isinstance(task, Training):
            return Job(training.recipe.to_toml(), *place)
        cell, file = task
        return Job(
            cell.recipe.to_toml(), *place, str(self.references[training.digest][0].absolute()), str(file)
        )

    def _folder(self, training: Training) -> Path:
        return (self.path / "runs" / training.name).absolute()


def _prepare_references(folder: Path, trainings: Sequence[Training]) -> dict[str, tuple[Path, Reference]]:
    """Return file and reference for each training, by its digest; draw and measure what is not there yet.

    It is the reference by which ``train`` and ``evaluate`` measure: real clouds and floor of the run's own
    seed, so that the spread over seeds has that of the real draws in it. Cells of a seed share them, and the
    noise that sampling starts from. Training sets of several sizes are all measured in clouds of the largest.
    """

    def draw(training: Training, n: int | None = None) -> Reference:
        own, data, recipe = modality(training.data.kind), training.data, training.recipe
        return own.reference(data, own.codec(data, recipe.data), seed=recipe.seed, n=n)

    def law(training: Training) -> str:
        """Return what training sets of one law have in common, whatever their size and seed."""
        source = {k: v for k, v in training.data.source.items() if k not in ("size", "seed", "path")}
        return json.dumps([training.data.kind, source], sort_keys=True)

    drawn = {training.digest: draw(training) for training in trainings}
    sizes: dict[str, int] = {}
    for training in trainings:
        sizes[law(training)] = max(sizes.get(law(training), 0), drawn[training.digest].n)
    found = {}
    for training in trainings:
        data, n, reference = training.data, sizes[law(training)], drawn[training.digest]
        source, seed = {**data.source, "path": None}, training.recipe.seed
        about = [data.kind, source, data.digest(), seed, n, DRAWS, PAIRS]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        path = folder / f"{digest[:16]}.npz"
        if not path.is_file():
            (reference if reference.n == n else draw(training, n)).save(path)
        found[training.digest] = path, Reference.load(path)
    return found


def _read_result(file: Path) -> dict[str, Any] | None:
    """Return a cell's result; None where there is no complete one."""
    try:
        result = json.loads(read_text(file, 2**20))
        numbers = [result[key] for key in ("evaluations", "points", "seconds", "train_seconds")]
        good = all(isinstance(v, int | float) for v in [*numbers, *result["distances"]])
        return result if good and len(result["distances"]) > 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
