"""What is one cell of the grid? A fault in a variant, with data, in a way, and a seed; it becomes one record.

Cells are ordered in rounds: the first has one cell of every fault, the second another one, and so on, so that
a part of the grid has seen all faults.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .case import SPLIT, Case, Question
from .faults import FAULTS, SOUND
from .mending import mended

__all__ = ["QUICK", "Cell", "cells_of", "measure", "measure_all"]

CHEAP = ("moons", "blobs", "table5")
QUICK = 1
LIMIT = 240

Record = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A fault or sound pipeline by name, in a variant, with data, in a way, with a seed."""

    case: str
    variant: str
    data: str
    way: str
    seed: int

    @property
    def key(self) -> str:
        return " | ".join((self.case, self.variant, self.data, self.way, str(self.seed)))

    @property
    def of(self) -> Case:
        return (FAULTS | SOUND)[self.case]


def _order(cell: Cell) -> bytes:
    return hashlib.sha256(f"{SPLIT} {cell.key}".encode()).digest()


def cells_of(
    cases: Iterable[Case], seeds: Sequence[int] = (0,), data: Sequence[str] | None = None
) -> list[list[Cell]]:
    """Return all cells in rounds, every combination once, ordered by a hash."""
    queues = []
    for case in cases:
        every = [
            Cell(case.name, variant, name, way, seed)
            for seed in seeds
            for variant in case.variants
            for name in case.data
            if data is None or name in data
            for way in case.ways
        ]
        every.sort(key=lambda cell: (cell.seed, _order(cell)))
        queues.append(every)
    rounds = []
    for i in range(max(map(len, queues), default=0)):
        rounds.append(sorted((queue[i] for queue in queues if i < len(queue)), key=_order))
    return rounds


class _TooLongError(BaseException):
    """Not an ``Exception``, so that nothing on the way takes it for one of its own."""


def _alarm(number: int, where: Any) -> None:
    raise _TooLongError


def measure(cell: Cell, ask: Callable[..., Any] | None = None, limit: float = LIMIT) -> Record:
    """Ask about one cell, and write down what was said; an error is an answer as well.

    ``seconds`` and ``cpu`` are those of the diagnosis alone, ``prepared`` those of what came before it; the
    limit is one of CPU time, so that other work on the machine does not end a cell. Of a fault ``mended`` is
    what is said of the pipeline once its owner did what the first finding says; None where that changes
    nothing.
    """
    import diffuscope

    ask = ask or diffuscope.diagnose
    case = cell.of
    record: Record = {
        "key": cell.key,
        "case": case.name,
        "kind": case.kind,
        "half": case.half,
        "variant": cell.variant,
        "data": cell.data,
        "way": cell.way,
        "seed": cell.seed,
    }
    owners: list[Any] = []

    def make() -> Question:
        made = dict(case.make(cell.variant, cell.data, cell.seed, cell.way))
        owners.append(made.pop("owner", None))
        return made

    record |= _answer(make, ask, limit)
    first = next(iter(record["findings"]), None)
    record["mended"] = None
    if first is not None and not case.sound and owners[0] is not None:
        record["mended"] = _answer(lambda: mended(owners[0], first), ask, limit)
    return record


def _answer(make: Callable[[], Question | None], ask: Callable[..., Any], limit: float) -> Record | None:
    """Make a question and ask it; return what was said, None where there is no question."""
    record: Record = {"findings": [], "certainty": None, "total": None, "error": None, "seconds": None}
    begun, spent = time.perf_counter(), time.process_time()
    signal.signal(signal.SIGPROF, _alarm)
    try:
        asked = make()
        if asked is None:
            return None
        record["prepared"] = time.perf_counter() - begun
        begun, spent = time.perf_counter(), time.process_time()
        signal.setitimer(signal.ITIMER_PROF, limit)
        told = ask(
            asked.pop("subject"),
            asked.pop("schedule", None),
            asked.pop("data", None),
            progress=False,
            **asked,
        )
        signal.setitimer(signal.ITIMER_PROF, 0)
        record |= {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - spent}
        record["certainty"] = told.certainty
        record["findings"] = [finding.to_json() for finding in told.findings]
        record["total"] = next((row.share.ratio for row in told.budget.rows if row.part == "total"), None)
    except _TooLongError:
        record["error"] = f"no answer within {limit} s of CPU"
    except Exception as error:  # a traceback is what the user would see
        record["error"] = f"{type(error).__name__}: {error}"[:400]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    if record["seconds"] is None:
        record |= {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - spent}
    return record


def _prepare() -> None:
    import warnings

    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")


def measure_all(cells: Sequence[Cell], jobs: int) -> Iterator[Record]:
    """Return the records of cells as they are finished, from ``jobs`` processes of one thread each."""
    if jobs == 1:
        _prepare()
        yield from map(measure, cells)
        return
    os.environ["OMP_NUM_THREADS"] = "1"
    with multiprocessing.get_context("spawn").Pool(jobs, _prepare) as pool:
        yield from pool.imap_unordered(measure, cells)
