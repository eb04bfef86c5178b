"""How long does a contestant take for steps, or for a walk, and how much memory? In a process of its own.

A process warms up, then does the work once with an eye on the clock. Memory is the process's own peak of
resident pages on a CPU, and what torch has taken on an accelerator.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

__all__ = ["Job", "MissingError", "Result", "do", "start", "timed_on"]

_MIB = 1024**2 if sys.platform == "darwin" else 1024  # ru_maxrss counts bytes there, KiB elsewhere
_ANSWER = "answer: "


class MissingError(Exception):
    """A contestant that is not installed."""


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    Attributes
    ----------
    who : str
    work : {"training", "sampling"}
    precision : {"float32", "auto"}
    device : str
    compile : bool
    batch : int
        Images of a training step.
    steps : int
        Steps of training that are timed.
    n : int
        Images that are sampled.
    evaluations : int
        Of the network, that are timed in sampling, where a walk can be cut short.
    warm_up : int
        Steps of training before.
    threads : int
        Torch's threads; 0: as many as torch takes by itself.
    """

    who: str
    work: str
    precision: str
    device: str
    compile: bool
    batch: int
    steps: int
    n: int
    evaluations: int
    warm_up: int
    threads: int


@dataclass(frozen=True)
class Result:
    """What came of it.

    Attributes
    ----------
    seconds : float
        Of one step of training, or one evaluation of the network in sampling, all around it included.
    walk : int
        Evaluations of its own walk.
    peak : float
        MiB.
    parameters : int
    gflop : float
        Of one evaluation for one image: twice the products, in convolutions and products of matrices.
    """

    seconds: float
    walk: int
    peak: float
    parameters: int
    gflop: float


def start(job: Job) -> Result:
    """Have a job done by a process of its own.

    Raises
    ------
    MissingError
        When the contestant is not installed.
    RuntimeError
        When the process fails.
    """
    script = Path(__file__).parents[1] / "images.py"
    done = subprocess.run(
        [sys.executable, str(script), "--job", json.dumps(asdict(job))],
        capture_output=True,
        text=True,
    )
    answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
    if done.returncode or not answers:
        raise RuntimeError(f"{job} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(answers[-1].removeprefix(_ANSWER))
    if "missing" in answer:
        raise MissingError(answer["missing"])
    return Result(**answer)


def do(text: str) -> None:
    """Do a job, given as JSON, and print what came of it."""
    job = Job(**json.loads(text))
    try:
        answer = asdict(_done(job))
    except ImportError as error:
        answer = {"missing": str(error)}
    print(f"{_ANSWER}{json.dumps(answer)}", flush=True)


def _done(job: Job) -> Result:
    import torch

    from on_images.contestants import CONTESTANTS, Terms

    if job.threads:
        torch.set_num_threads(job.threads)
    torch.manual_seed(0)
    device = torch.device(job.device)
    one = CONTESTANTS[job.who](Terms(device, job.precision, job.compile, job.batch))
    if job.work == "training":
        one.train(job.warm_up)
        count = job.steps
        seconds = timed_on(lambda: one.train(count), device)
    else:
        count = one.walk if one.whole else min(job.evaluations, one.walk)
        one.sample(job.n, min(2, count))
        seconds = timed_on(lambda: one.sample(job.n, count), device)
    peak = _peak(device)
    parameters = sum(parameter.numel() for parameter in one.network.parameters())
    return Result(seconds / count, one.walk, peak, parameters, _gflop(one.network, device))


def timed_on(work: Callable[[], object], device: Any) -> float:
    """Return the seconds that ``work`` takes, all that it has a device do included."""
    import torch

    wait: Callable[[], object] = torch.cuda.synchronize if device.type == "cuda" else bool
    wait()
    begun = perf_counter()
    work()
    wait()
    return perf_counter() - begun


def _peak(device: Any) -> float:
    """Return the peak in MiB: on a GPU torch's, else that of this program alone.

    What getrusage says may have its starter's memory in it, which the system's own count has not.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1024**2
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB


def _gflop(network: Any, device: Any) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 28, 28, device=device), torch.ones(1, device=device))
    return float(counter.get_total_flops()) / 1e9
