"""How do the workers of a comparison run on a Ray cluster? Each is an actor, which holds the usual process.

So a job that crashes takes only its process with it, and is told of in the same words; that the host is lost
is an error of the one job as well. The cluster is the one that RAY_ADDRESS names, else one on this host.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from dataclasses import asdict
from typing import Any

from diffuscope.comparison.jobs import Job
from diffuscope.comparison.pool import JobError, Worker
from diffuscope.errors import InputError, RunError

__all__ = ["RayWorker", "capacity", "connected"]

_GRACE = 90.0  # seconds that a worker has for its checkpoint


def connected() -> Any:
    """Return Ray, connected to its cluster; InputError where it is not installed, RunError where it fails."""
    try:
        import ray
    except ImportError as error:
        raise InputError("Ray is not installed.", "Install it: pip install 'diffuscope[ray]'") from error
    if not ray.is_initialized():
        before = signal.getsignal(signal.SIGTERM)  # which Ray takes for itself
        try:
            ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray fails in many ways
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise RunError(
                f"Ray cannot be used: {said}", "Look at RAY_ADDRESS, or omit --engine ray."
            ) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGTERM, before)
    return ray


def capacity(device: str) -> int:
    """Return how many workers the cluster has room for."""
    found = connected().cluster_resources()
    return max(1, int(found.get("GPU" if device == "cuda" else "CPU", 1)))


class _Actor:
    """Holds a worker's process, on whatever host Ray chose."""

    def __init__(self) -> None:
        self._worker = Worker()

    def run(self, job: dict[str, Any]) -> str | None:
        """Run a job; return the error, if it failed."""
        try:
            self._worker.run_job(Job(**job))
        except JobError as error:
            return str(error)
        return None

    def stop(self) -> None:
        """Have the process write a checkpoint and end."""
        self._worker.dismiss()
        self._worker.await_end()


class RayWorker:
    """A worker on a Ray cluster, of one core, and of one GPU where the device is one."""

    def __init__(self, device: str) -> None:
        self._ray, self._gpus = connected(), 1 if device == "cuda" else 0
        self._actor: Any = None
        self._stopping: Any = None

    def run_job(self, job: Job) -> None:
        """Run a job, and wait for its end; JobError where it failed, or its process or its host died."""
        ray = self._ray
        if self._actor is None:
            remote = ray.remote(num_cpus=1, num_gpus=self._gpus, max_concurrency=2)(_Actor)
            self._actor = remote.remote()
        try:
            error = ray.get(self._actor.run.remote(asdict(job)))
        except ray.exceptions.RayError as lost:
            self._actor = None
            stopped = self._stopping is not None
            said = str(lost).splitlines()[0]
            raise JobError("interrupted" if stopped else f"the worker was lost: {said}") from lost
        if error is not None:
            raise JobError(error)

    def dismiss(self) -> None:
        """Have it end: a training writes a checkpoint."""
        if self._actor is not None:
            self._stopping = self._actor.stop.remote()

    def await_end(self) -> None:
        """Wait for its end."""
        if self._stopping is not None:
            with contextlib.suppress(self._ray.exceptions.RayError, KeyboardInterrupt):
                self._ray.get(self._stopping, timeout=_GRACE)

    def close(self) -> None:
        """Give its core back."""
        if self._actor is not None:
            self._ray.kill(self._actor)
            self._actor = None
