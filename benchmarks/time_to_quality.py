"""After how many seconds of training are samples so good, here and with other libraries?

All train on the same 10,000 points of the S-curve, in the units in which it comes, on one thread. The clock
runs during training only. At seconds that grow by half from one to the next it is stopped, the model draws 4
clouds of 10,000 points with its own sampler, and each is compared with 8 fresh real clouds, the same ones for
all: sliced Wasserstein-2 distance, over its floor, the mean distance of independent pairs of real clouds. The
time to a value is that of the first model at or below it. ``fast`` has a learning rate that falls to zero at
the end of its run; so it is trained anew for each length, and its times are those of whole runs.

A seed sets the training points, the weights and the noise; every contestant runs once with each, seed by
seed, in a process of its own, after some steps that are thrown away. The tutorial's loop as printed
(``training_step.py``) is measured step by step, and multiplied; the ``article`` recipe, which trains the same
network in the same way, is trained to its end. Beside them stands what perfect memory would give: the
training points drawn again, with replacement.

Results go to ``--results`` as they come, a line of JSON for each run: what stands there is not measured
again, so that an interrupted benchmark goes on, and ``--write`` makes table and figure from a finished one.
The libraries and how they are installed are in ``contestants.py``; those that are not there are left out, and
named. All in all it takes about 65 minutes of a processor, half of that by the clock on two cores.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants import ARTICLE, FAST, MEMORY, PEERS, PLAIN, Contestant, Recipe
from fast_recipe import N, distances, fresh
from quality_over_time import Record, draw, outcomes_of, write_up
from report import parser, publish
from training_step import PlainLoop

from diffuscope.data.points import load_dataset
from diffuscope.data.points.codec import PointsCodec
from diffuscope.metrics import sliced_wasserstein
from diffuscope.plots import save_figure

RESULTS = Path(__file__).with_name("results") / "time_to_quality.jsonl"
PICTURE = "../docs/images/time_to_quality.png"

DATA = "s_curve"
CONTESTANTS = (PLAIN, ARTICLE, *PEERS, FAST, MEMORY)
STEPS_PER_EPOCH = 79


@dataclass(frozen=True)
class Plan:
    """How much is measured. A result counts only for the plan that it was made with.

    Attributes
    ----------
    budget : float
        Seconds of training of a peer.
    epochs : int
        Of ``article``.
    lengths : tuple of int
        Steps of the runs of ``fast``.
    clouds, real : int
        Generated and real clouds for one value.
    pairs : int
        Of real clouds, for the floor.
    plain_steps : int
        Steps of the tutorial's loop that are timed.
    """

    budget: float = 66.0
    epochs: int = 5_000
    lengths: tuple[int, ...] = (100, 200, 300, 450, 650, 950, 1_500, 3_000)
    clouds: int = 4
    real: int = 8
    pairs: int = 400
    plain_steps: int = 20 * STEPS_PER_EPOCH

    def to_json(self) -> dict[str, Any]:
        """Return what is read again from a line of the results."""
        return json.loads(json.dumps(asdict(self)))


QUICK = Plan(budget=1.2, epochs=12, lengths=(100, 300), clouds=1, real=2, pairs=4, plain_steps=158)


@dataclass
class Clock:
    """Seconds by the wall, and of the process's work, while it runs."""

    wall: float = 0.0
    cpu: float = 0.0
    _begun: tuple[float, float] = field(default=(0.0, 0.0), repr=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let it run through a ``with`` block."""
        self._begun = time.perf_counter(), time.process_time()
        yield
        self.wall += time.perf_counter() - self._begun[0]
        self.cpu += time.process_time() - self._begun[1]

    def worked(self) -> float:
        """Return the seconds of work so far, while it runs."""
        return self.cpu + time.process_time() - self._begun[1]

    def read(self, steps: int, distance: float | None) -> dict[str, Any]:
        """Return a point of a run."""
        return {"wall": self.wall, "cpu": self.cpu, "steps": steps, "distance": distance}


def measure(name: str, seed: int, plan: Plan) -> Record:
    """Let one contestant train with one seed; to be called in a fresh process.

    Returns
    -------
    dict
        With ``points``, a list of seconds, steps and distances; or with ``missing``, why it cannot run.
    """
    torch.set_num_threads(1)
    x = load_dataset(DATA, size=N, seed=seed).x
    try:
        if name == PLAIN:
            points = time_plain_loop(x, plan)
        elif name == MEMORY:
            again = partial(np.random.default_rng(seed).choice, x)
            points = [Clock().read(0, distance(again, seed, plan))]
        elif name == FAST:
            points = train_lengths(x, seed, plan)
        else:
            points = train_through(name, x, seed, plan)
    except ImportError as error:
        return {"contestant": name, "missing": str(error)}
    load = os.getloadavg()[0]
    return {"contestant": name, "seed": seed, "plan": plan.to_json(), "load": load, "points": points}


def time_plain_loop(x: np.ndarray, plan: Plan) -> list[Record]:
    """Time steps of the tutorial's loop."""
    loop, clock = PlainLoop(PointsCodec.fit(x, "divide", 10.0).encode(x)), Clock()
    loop.run(STEPS_PER_EPOCH)
    with clock.running():
        loop.run(plan.plain_steps)
    return [clock.read(plan.plain_steps, None)]


def train_lengths(x: np.ndarray, seed: int, plan: Plan) -> list[Record]:
    """Train ``fast`` once for each length, and measure every final model."""
    points = []
    Recipe(x, seed, FAST, 20).train_whole()
    for steps in plan.lengths:
        one, clock = Recipe(x, seed, FAST, steps), Clock()
        with clock.running():
            one.train_whole()
        points.append(clock.read(steps, distance(one.sample, seed, plan)))
    return points


def train_through(name: str, x: np.ndarray, seed: int, plan: Plan) -> list[Record]:
    """Train on and on, and measure on the way, at seconds that grow by half."""

    def make() -> Contestant:
        return Recipe(x, seed, ARTICLE) if name == ARTICLE else PEERS[name](x, seed)

    make().train(2)
    one, clock, steps, points = make(), Clock(), 0, []
    most = STEPS_PER_EPOCH * plan.epochs if name == ARTICLE else math.inf
    budget = math.inf if name == ARTICLE else plan.budget
    goal = 0.5
    while goal <= budget and steps < most:
        with clock.running():
            while clock.worked() < goal and steps < most:
                one.train(one.burst)
                steps += one.burst
        points.append(clock.read(steps, distance(one.sample, seed, plan)))
        goal *= 1.5
    return points


def distance(sample: Callable[[int], np.ndarray], seed: int, plan: Plan) -> float:
    """Return the mean distance from fresh real clouds of what ``sample`` draws."""
    clouds = np.split(sample(plan.clouds * N), plan.clouds)
    if not np.isfinite(clouds).all():
        return math.inf
    real = fresh(load_dataset(DATA), plan.real, 50_000 + 1000 * seed)
    return statistics.mean(sliced_wasserstein(cloud, other) for cloud in clouds for other in real)


def measure_floor(plan: Plan) -> Record:
    """Return the mean distance of independent pairs of real clouds, and its standard error."""
    draws = fresh(load_dataset(DATA), 2 * plan.pairs, 0)
    values = distances(list(zip(draws[::2], draws[1::2], strict=True)))
    error = statistics.stdev(values) / len(values) ** 0.5
    return {"contestant": "floor", "plan": plan.to_json(), "value": statistics.mean(values), "error": error}


def collect(plan: Plan, seeds: int, jobs: int, results: Path) -> tuple[list[Record], dict[str, str]]:
    """Measure what the file does not hold yet, and add it there.

    Returns
    -------
    records : list of dict
    missing : dict
        Who could not run, and why.
    """
    results.parent.mkdir(parents=True, exist_ok=True)
    lines = results.read_text("utf-8").splitlines() if results.is_file() else []
    kept = [record for record in map(json.loads, lines) if record["plan"] == plan.to_json()]
    kept = [record for record in kept if record.get("seed", 0) < seeds]
    done = {(record["contestant"], record.get("seed")) for record in kept}
    missing: dict[str, str] = {}
    with results.open("a", encoding="utf-8") as file:

        def keep(record: Record) -> None:
            kept.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()

        if ("floor", None) not in done:
            keep(measure_floor(plan))
        # A process for each run: none inherits another's memory, threads or caches.
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=spawn, max_tasks_per_child=1) as pool:
            futures = [
                pool.submit(measure, name, seed, plan)
                for seed in range(seeds)
                for name in CONTESTANTS
                if (name, seed) not in done
            ]
            for future in as_completed(futures):
                record = future.result()
                if "missing" in record:
                    missing[record["contestant"]] = record["missing"]
                else:
                    keep(record)
                    print(
                        f"{record['contestant']}, seed {record['seed']}: {record['points'][-1]}", flush=True
                    )
    return kept, missing


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--results", type=Path, default=RESULTS, help="lines of JSON, read and added to")
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--jobs", type=int, default=2, help="runs side by side; at most one for each core")
    arguments.add_argument(
        "--quick", action="store_true", help="does it all work? In a minute; nothing is kept"
    )
    options = arguments.parse_args()
    if options.quick and options.write:
        arguments.error("--quick measures nothing that is worth writing")
    # For the processes to come: their libraries look at it when they are loaded.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    with tempfile.TemporaryDirectory() as scratch:
        plan, seeds, results = Plan(), options.seeds, options.results
        if options.quick:
            plan, seeds, results = QUICK, 1, Path(scratch) / "quick.jsonl"
        records, missing = collect(plan, seeds, options.jobs, results)
    text = f"{write_up(records, missing, options.jobs)}\n\n![Distance over seconds]({PICTURE})"
    publish("time_to_quality", text, options.write)
    outcomes, plain, _ = outcomes_of(records, options.jobs)
    figure = draw(outcomes, plain)
    if options.write:
        save_figure(figure, Path(__file__).parent / PICTURE)


if __name__ == "__main__":
    main()
