"""Where do the jobs of a comparison run? In processes here, behind a launcher, or on a Ray cluster.

All three run the same workers (:mod:`~diffuscope.comparison.pool`), so cells, crashes and resumption are the
same; only the place differs. On several hosts all must see the directory of the comparison, and the data,
under the same names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from diffuscope.comparison.pool import Pool, Worker, WorkerLike, cores, launched
from diffuscope.errors import InputError

__all__ = ["ENGINES", "Engine", "Executor"]

Engine = Literal["local", "ray"]
ENGINES: tuple[Engine, ...] = ("local", "ray")

_MOST_JOBS = 4096


@dataclass(frozen=True)
class Executor:
    """How jobs are run.

    Attributes
    ----------
    jobs : int or None
        Workers that run together, each on one core; by default one for each core there is.
    launch : str or None
        The command that starts each worker, such as ``srun -n1``; ``{worker}`` in it is the worker's number,
        from 0.
    engine : {"local", "ray"}
    device : str
        Of the workers: cpu, cuda or mps. On Ray a worker of cuda has one GPU for itself.
    """

    jobs: int | None = None
    launch: str | None = None
    engine: Engine = "local"
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Raise an InputError for what cannot be."""
        if self.jobs is not None and not 1 <= self.jobs <= _MOST_JOBS:
            few = "at least 1" if self.jobs < 1 else f"at most {_MOST_JOBS:,}"
            raise InputError(
                f"The number of processes must be {few}, not {self.jobs}.", "Give --jobs of at least 1."
            )
        if self.engine not in ENGINES:
            raise InputError(f"There is no engine {self.engine!r}.", "Choose local or ray.")
        if self.engine == "ray" and self.launch is not None:
            raise InputError("Ray starts its workers itself.", "Omit --launch, or --engine ray.")
        launched(self.launch, 0)

    @property
    def size(self) -> int:
        """Number of workers."""
        if self.jobs is not None:
            return self.jobs
        if self.engine == "ray":
            from diffuscope.comparison.rays import capacity

            return min(_MOST_JOBS, capacity(self.device))
        return cores()

    def pool(self, most: int) -> Pool[Any]:
        """Return the workers, no more than so many, to be used as a context manager."""
        workers: list[WorkerLike]
        size = max(1, min(self.size, most))
        if self.engine == "ray":
            from diffuscope.comparison.rays import RayWorker

            workers = [RayWorker(self.device) for _ in range(size)]
        else:
            workers = [Worker(launched(self.launch, i)) for i in range(size)]
        return Pool(workers)
