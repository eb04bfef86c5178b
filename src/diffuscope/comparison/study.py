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
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from diffuscope.comparison.grid import Cell, Grid, Training, cell_digest, lay_out
from diffuscope.comparison.pool import Pool, cores
from diffuscope.comparison.probe import Estimate, Probe
from diffuscope.comparison.table import Comparison, Outcome
from diffuscope.comparison.truth import prepare_references
from diffuscope.comparison.work import Job, SampleJob, TrainJob, trained
from diffuscope.data.base import Dataset
from diffuscope.errors import InputError, RunError
from diffuscope.files import remove_abandoned, sole_writer
from diffuscope.modalities.lookup import modality
from diffuscope.progress import Reporter
from diffuscope.recipes import Recipe
from diffuscope.training import Interrupted

__all__ = ["Study", "compare"]

Task = Training | tuple[Cell, Path]


def compare(
    data: Any,
    axes: Mapping[str, Any] | None = None,
    *,
    recipe: str | Path | Recipe | None = None,
    seeds: int | Sequence[int] = 5,
    out: str | Path | None = None,
    jobs: int | None = None,
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
        The settings that all combinations share; by default the recipe of the kind of data.
    seeds : int or sequence of int
        Their number (0, 1, ...), or a list. A seed is that of the data, the training and the sampling.
    out : str or path, optional
        The directory; comparisons/NAME by default. An existing comparison is resumed: finished cells
        are not computed again.
    jobs : int, optional
        Number of parallel processes, of one thread each; by default one for each core.
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
        When an axis or a combination is not valid, before anything is trained.
    Interrupted
        On Ctrl-C; everything that was finished is kept.
    """
    if jobs is not None and jobs < 1:
        raise InputError(
            f"The number of processes must be at least 1, not {jobs}.", "Give jobs (--jobs) of at least 1."
        )
    grid = lay_out(data, recipe, axes or {}, _seeds(seeds), skip_invalid=skip_invalid)
    name = re.sub(r"[^\w.-]+", "-", grid.cells[0].training.data.name).strip("-.") or "data"
    study = Study(grid, Path("comparisons") / name if out is None else Path(out), device)
    with study.claimed():
        study.prepare(Reporter(progress))
        estimate = study.estimate(jobs or cores())
        if announce is not None:
            announce(str(estimate))
        return study.run(estimate.cores, Reporter(progress))


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    chosen = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError(
            f"Seeds must be distinct, and at least one; got {seeds!r}.", "Give at least 1 seed (--seeds)."
        )
    return chosen


class Study:
    """A comparison in its directory.

    Parameters
    ----------
    grid : Grid
    path : Path
    device : str
    """

    def __init__(self, grid: Grid, path: Path, device: str = "cpu") -> None:
        self.grid, self.path, self.device = grid, path, device
        self._errors: dict[str, str] = {}  # by the digest of a training or the file of a cell

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Lock the directory while the block runs.

        Raises
        ------
        InputError
            When it holds something else.
        RunError
            When another process uses it, or it is not writable.
        """
        path = self.path
        foreign = path.exists() and not (path.is_dir() and (not any(path.iterdir()) or _is_comparison(path)))
        if foreign:
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

    def prepare(self, reporter: Reporter) -> None:
        """Draw real clouds, measure their floors, and store data that was passed as an array."""
        trainings = self.grid.trainings
        with reporter.stage("measuring the floor"):
            self._references = prepare_references(self.path / "truth", trainings)
        self._data = {training.digest: self._keep(training.data) for training in trainings}

    def _keep(self, data: Dataset) -> dict[str, Any] | None:
        """Write data that has no name and no file; return where it is."""
        if data.source["kind"] not in ("array", "callable"):
            return None
        path = modality(data.kind).keep(data, self.path / "data")
        return {"path": str(path), "name": data.name, "columns": data.columns, "source": data.source}

    @cached_property
    def _files(self) -> list[Path]:
        """The result files of the grid's cells."""
        digests = [cell_digest(c, self._references[c.training.digest][0].stem) for c in self.grid.cells]
        return [self.path / "cells" / f"{digest[:24]}.json" for digest in digests]

    def missing(self) -> tuple[list[Training], list[tuple[Cell, Path]]]:
        """Return the trainings and the cells that are not done yet."""
        cells = [
            (cell, file)
            for cell, file in zip(self.grid.cells, self._files, strict=True)
            if _read_result(file) is None
        ]
        needed = {cell.training.digest: cell.training for cell, _ in cells}
        return [t for t in needed.values() if not trained(self._folder(t))], cells

    def estimate(self, jobs: int) -> Estimate:
        """Estimate what is missing, by a short probe."""
        trainings, cells = self.missing()
        references = [reference for _, reference in self._references.values()]
        n, d = max(one.n for one in references), max(one.middle.size for one in references)
        self._probe = Probe(n, max(one.count for one in references), d)
        kept = len(self.grid.cells) - len(cells)
        return self._probe.estimate(trainings, [cell for cell, _ in cells], kept, jobs)

    def run(self, jobs: int, reporter: Reporter) -> Comparison:
        """Do what is missing; write the tables and the picture."""
        trainings, cells = self.missing()
        total = len(trainings) + len(cells)
        try:
            with reporter.bar("comparing", total, "tasks") as bar:
                for done in self._work(trainings, cells, jobs):
                    failed = f"{len(self._errors)} failed" if self._errors else ""
                    bar.update(done, failed)
        except KeyboardInterrupt as stop:
            left = len(self.missing()[1])
            kept = len(self.grid.cells) - left
            raise Interrupted(
                f"Interrupted; {kept} of {len(self.grid.cells)} cells and the trained models are kept in "
                f"{self.path}. Start the same comparison again to resume it."
            ) from stop
        comparison = Comparison(self.path, self.grid, self._outcomes())
        comparison.save()
        return comparison

    def _work(
        self, trainings: Sequence[Training], cells: Sequence[tuple[Cell, Path]], jobs: int
    ) -> Iterator[int]:
        """Run trainings, and cells once their training is done; yield the number of finished ones."""
        to_train = sorted(trainings, key=self._probe.training)
        waiting: dict[str, list[tuple[Cell, Path]]] = {}
        for cell, file in cells:
            waiting.setdefault(cell.training.digest, []).append((cell, file))
        unready = {training.digest for training in trainings}
        ready = [entry for digest, entries in waiting.items() if digest not in unready for entry in entries]

        def next_task() -> Task | None:
            if to_train:
                return to_train.pop()
            if ready:  # the longest first, so that the cores come to their end together
                return ready.pop(max(range(len(ready)), key=lambda i: self._probe.cell(ready[i][0])))
            return None

        done = 0
        with Pool[Task](jobs) as pool:
            for task, error in pool.run(next_task, self._job):
                done += 1
                if isinstance(task, Training):
                    freed = waiting.pop(task.digest)
                    if error is None:
                        ready += freed
                    else:
                        done += len(freed)
                        self._errors |= {str(file): f"training failed: {error}" for _, file in freed}
                elif error is not None:
                    self._errors[str(task[1])] = error
                yield done

    def _job(self, task: Task) -> Job:
        if isinstance(task, Training):
            folder = str(self._folder(task))
            return TrainJob(task.recipe.to_toml(), folder, self._data[task.digest], self.device)
        cell, file = task
        path, _ = self._references[cell.training.digest]
        folder, data = str(self._folder(cell.training)), self._data[cell.training.digest]
        return SampleJob(folder, cell.recipe.to_toml(), str(path), str(file), data, self.device)

    def _folder(self, training: Training) -> Path:
        return self.path / "runs" / training.name

    def _outcomes(self) -> list[Outcome]:
        outcomes = []
        for cell, file in zip(self.grid.cells, self._files, strict=True):
            result = _read_result(file)
            error = None if result is not None else self._errors.get(str(file), "its result file is missing")
            outcomes.append(Outcome(cell, self._references[cell.training.digest][1], result, error))
        return outcomes


def _is_comparison(path: Path) -> bool:
    return (path / "cells").is_dir()


def _read_result(file: Path) -> dict[str, Any] | None:
    """Return a cell's result; None where there is no complete one."""
    try:
        result = json.loads(file.read_text("utf-8"))
        numbers = [result[key] for key in ("evaluations", "points", "seconds", "train_seconds")]
        good = all(isinstance(v, int | float) for v in [*numbers, *result["distances"]])
        return result if good and len(result["distances"]) > 1 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
