"""How do many jobs run on several cores, where any of them may crash? In a process for each core.

A worker is a process of its own with one thread (:mod:`~diffuscope.comparison.worker`), spoken to in lines
of JSON: nothing that goes between processes can be code, and the caller's script is not imported again. One
that dies, by a signal or for want of memory, takes only its own job with it; a new one takes its place.

A launcher, such as ``srun -n1`` or ``ssh node{worker}``, starts workers elsewhere: its standard input and
output are theirs. All hosts see the same folders under the same names.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from diffuscope import _version
from diffuscope.comparison.jobs import Job
from diffuscope.errors import InputError

__all__ = ["JobError", "Pool", "Worker", "WorkerLike", "cores", "launched"]

_MOST_LINES = 10_000  # that a launcher prints before an answer
_GRACE = 60.0  # seconds that a worker has for its checkpoint

T = TypeVar("T")


class JobError(Exception):
    """A job failed, and why."""


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class WorkerLike(Protocol):
    """What runs one job at a time, wherever it is."""

    def run_job(self, job: Job) -> None:
        """Run a job, and wait for its end; JobError where it failed, or the worker died."""

    def dismiss(self) -> None:
        """Have it end: a training writes a checkpoint."""

    def await_end(self) -> None:
        """Wait for its end."""

    def close(self) -> None:
        """Let go of what is left."""


def launched(launch: str | None, number: int) -> list[str]:
    """Return the words of a launcher for the worker of that number; InputError where it is none."""
    if launch is None:
        return []
    try:
        words = [word.replace("{worker}", str(number)) for word in shlex.split(launch)]
    except ValueError as error:
        raise InputError(
            f"{launch!r} is no command: {error}.", "Give a prefix: --launch 'srun -n1'."
        ) from error
    if not words or shutil.which(words[0]) is None:
        raise InputError(
            f"There is no program {(words or [launch])[0]!r} to launch workers with.",
            "Give a prefix that can be run, such as --launch 'srun -n1'.",
        )
    return words


class Worker:
    """A process that runs one job at a time, started by a launcher where one is given."""

    def __init__(self, prefix: Sequence[str] = ()) -> None:
        self._prefix = list(prefix)
        self.process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115, closed with the worker
        self._closed = False

    def run_job(self, job: Job) -> None:
        """Run a job, and wait for its end; JobError where it failed, or the process died."""
        process = self.process = self.process or self._start()
        if self._closed:  # meanwhile
            self.dismiss()
        assert process.stdin
        assert process.stdout
        with contextlib.suppress(OSError, ValueError):  # it is dead or dismissed, as its answer will show
            process.stdin.write(json.dumps(asdict(job)) + "\n")
            process.stdin.flush()
        answer, line, said, lines = None, "", "", 0
        while answer is None and lines < _MOST_LINES:
            said, line, lines = line, process.stdout.readline(), lines + 1
            if not line.endswith("\n"):
                break
            answer = _answer_in(line)
        if answer is None:
            self.process = None
            if line.endswith("\n"):
                process.kill()
            code = process.wait()
            _close_pipes(process)
            if self._prefix and code > 128:  # as shells and launchers tell of a signal
                code = 128 - code
            raise JobError(
                "interrupted" if self._closed else _cause_of_death(code, self._last_error() or said.strip())
            )
        if answer["what"] is not None:
            raise JobError(answer["what"])

    def _start(self) -> subprocess.Popen[str]:
        own = str(Path(_version.__file__).parents[1])
        paths = [own, *filter(None, [os.environ.get("PYTHONPATH")])]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        own_variables = {**threads, "PYTHONPATH": os.pathsep.join(paths)}
        command = [sys.executable, "-m", "diffuscope.comparison.worker"]
        if self._prefix:  # which may start it where the environment is another
            variables = [f"{name}={value}" for name, value in own_variables.items()]
            command = [*self._prefix, "env", *variables, *command]
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
            errors="replace",  # in what a launcher prints
            env={**os.environ, **own_variables},
            # Ctrl-C at the terminal is for the comparison, which closes the workers' input in its turn.
            start_new_session=True,
        )

    def _last_error(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        self._errors.seek(0)
        self._errors.truncate()
        return lines[-1] if lines else ""

    def dismiss(self) -> None:
        """Close the input: the process writes a checkpoint and ends."""
        self._closed = True
        if self.process and self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def await_end(self) -> None:
        """Wait for the end of the process; kill it after a minute, or on Ctrl-C."""
        if self.process:
            try:
                self.process.wait(_GRACE)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                self.process.kill()
                self.process.wait()

    def close(self) -> None:
        """Close what is left once the process has ended."""
        if self.process:
            _close_pipes(self.process)
        self._errors.close()


def _answer_in(line: str) -> dict[str, str | None] | None:
    """Return the answer of a worker; None for a line that its launcher prints, such as a greeting."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "what" in found else None


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in filter(None, (process.stdin, process.stdout)):
        with contextlib.suppress(OSError):
            pipe.close()


def _cause_of_death(code: int, last_error: str) -> str:
    if code < 0:
        with contextlib.suppress(ValueError):
            name = signal.Signals(-code).name
            memory = ", probably for lack of memory" if name == "SIGKILL" else ""
            return f"the process was killed by {name}{memory}"
    detail = f": {last_error}" if last_error else ""
    return f"the process ended with code {code}{detail}"


class Pool(Generic[T]):
    """Workers, and their tasks. Processes start with their first job."""

    def __init__(self, workers: Sequence[WorkerLike]) -> None:
        self._idle = list(workers)
        self._all = list(workers)
        self._threads = ThreadPoolExecutor(len(workers))

    def __enter__(self) -> Pool[T]:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._all:
            worker.dismiss()
        for worker in self._all:
            worker.await_end()
        self._threads.shutdown(cancel_futures=True)
        for worker in self._all:
            worker.close()

    def run(
        self, next_task: Callable[[], T | None], job_of: Callable[[T], Job]
    ) -> Iterator[tuple[T, str | None]]:
        """Run tasks as workers become free; yield each when it is done, and the error if it failed.

        ``next_task`` returns None while there is no task until another one is done.
        """
        at: dict[Future[None], tuple[T, WorkerLike]] = {}
        while True:
            while self._idle and (task := next_task()) is not None:
                worker = self._idle.pop()
                at[self._threads.submit(worker.run_job, job_of(task))] = (task, worker)
            if not at:
                return
            done, _ = wait(at, return_when=FIRST_COMPLETED)
            for future in done:
                task, worker = at.pop(future)
                self._idle.append(worker)
                error = future.exception()
                if error is not None and not isinstance(error, JobError):
                    raise error
                yield task, None if error is None else str(error)
