"""What is one cell of the benchmark? A contestant, a table and a seed: fitted, asked and judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from on_tables.contestants import CONTESTANTS, Entry
from on_tables.judges import VERSION, holes_in, imputation, judge
from on_tables.smooth import smoothed
from on_tables.tables import TABLES, Table

__all__ = ["Plan", "frame_of", "is_finished", "key_of", "measure", "python_of", "split"]

HERE = Path(__file__).parents[1]
ENVIRONMENTS = Path(os.environ.get("BENCHMARK_ENVIRONMENTS", HERE / ".environments"))
CACHE = Path(os.environ.get("BENCHMARK_CACHE", HERE / ".cache" / "tables"))

SHARES = (10, 30)
TOO_LONG = "not finished within"

Record = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    rows : int
        Rows for training, at most; as many are held out, or a third of the table where that is less.
    seconds : float
        That a fit is asked to keep to; a contestant may have four times that, and two minutes, for all.
    asked : int
        Held-out rows with holes, at most.
    task : "rows" or "densities"
        Synthetic rows and holes, or the log-likelihood of held-out rows of the smoothed table.
    scored : int
        Held-out rows whose density is asked for, at most.
    foreign : bool
        Whether SDMetrics judges as well, if its environment is there.
    """

    rows: int
    seconds: float = 180.0
    asked: int = 300
    task: str = "rows"
    scored: int = 200
    foreign: bool = True


def python_of(environment: str | None) -> Path | None:
    """Return the interpreter of an environment; None where it is not installed."""
    if environment is None:
        return Path(sys.executable)
    for place in ("bin/python", "Scripts/python.exe"):
        path = ENVIRONMENTS / environment / place
        if path.is_file():
            return path
    return None


def frame_of(name: str) -> pd.DataFrame:
    """Return a table, from the cache or from its loader."""
    path = CACHE / f"{name}.parquet"
    if not path.is_file():
        python = python_of("data")
        if python is None:
            sys.exit(f"No environment for tables in {ENVIRONMENTS / 'data'}: see benchmarks/README.md.")
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".part")
        subprocess.run([python, HERE / "on_tables" / "tables.py", name, fresh], check=True)
        fresh.replace(path)
    return pd.read_parquet(path)


def split(frame: pd.DataFrame, seed: int, rows: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return training rows and held-out ones, at random; categories are those of the training rows."""
    order = np.random.default_rng([seed, 17]).permutation(len(frame))
    held = min(len(frame) // 3, rows)
    train = frame.iloc[order[held : held + rows]].reset_index(drop=True)
    for name in train.select_dtypes("category"):
        train[name] = train[name].cat.remove_unused_categories()
    return train, frame.iloc[order[:held]].reset_index(drop=True)


def key_of(record: Record) -> tuple[Any, ...]:
    """Return what makes a record one of a kind."""
    return tuple(record[name] for name in ("contestant", "label", "table", "task", "seed", "rows", "judges"))


def is_finished(record: Record) -> bool:
    """Return whether a cell need not be run again: it has no error, or had no time."""
    return record["error"] is None or record["error"].startswith(TOO_LONG)


def measure(contestant: str, label: str, name: str, seed: int, plan: Plan) -> Record:
    """Run one cell; a failure is a record as well."""
    table, entry = TABLES[name], CONTESTANTS[contestant]
    record: Record = {
        "contestant": contestant,
        "label": label,
        "table": name,
        "half": table.half,
        "seed": seed,
        "judges": VERSION,
        **asdict(plan),
        "marks": {},
        "error": None,
    }
    frame = frame_of(name)
    train, held_out = split(smoothed(frame) if plan.task == "densities" else frame, seed, plan.rows)
    python = python_of(entry.environment)
    if python is None:
        return record | {"error": f"environment {entry.environment} is not installed"}
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        asked = _write_task(folder, entry, train, held_out, seed, plan)
        record["error"] = _run(python, contestant, folder, 4 * plan.seconds + 120)
        done = folder / "done.json"
        if done.is_file():
            record |= json.loads(done.read_text("utf-8"))
        try:
            record["marks"] = _marks(folder, table, train, held_out, asked, seed, plan)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            record["error"] = f"cannot be judged: {error!r}"[:300]  # rows that are no rows of the table
    record["wall_seconds"] = time.perf_counter() - begun
    return record


def _write_task(
    folder: Path, entry: Entry, train: pd.DataFrame, held_out: pd.DataFrame, seed: int, plan: Plan
) -> dict[int, pd.DataFrame]:
    """Write what the worker reads; return the rows with holes that it is asked to fill."""
    train.to_parquet(folder / "train.parquet")
    asked = {}
    if plan.task == "rows" and "holes" in entry.does:
        rows = _known(train, held_out.iloc[: plan.asked])
        for share in SHARES:
            asked[share] = holes_in(rows, share / 100, seed)
            asked[share].to_parquet(folder / f"asked_{share}.parquet")
    if plan.task == "densities":
        _known(train, held_out).dropna().iloc[: plan.scored].to_parquet(folder / "scored.parquet")
    task = {
        "seed": seed,
        "seconds": plan.seconds,
        "n": len(train) if plan.task == "rows" and "rows" in entry.does else 0,
        "holes": list(asked),
        "densities": plan.task == "densities",
    }
    (folder / "task.json").write_text(json.dumps(task), "utf-8")
    return asked


def _known(train: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows in the categories of the training rows; others are missing."""
    rows = rows.copy()
    for name in train.select_dtypes("category"):
        rows[name] = rows[name].cat.set_categories(train[name].cat.categories)
    return rows


def _run(python: Path, contestant: str, folder: Path, limit: float) -> str | None:
    """Run a worker; return what went wrong."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([str(HERE), *([own] if own else [])])
    command = [python, "-W", "ignore", "-m", "on_tables.worker", contestant, folder]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired:
        return f"{TOO_LONG} {limit:.0f} s"
    lines = ended.stderr.strip().splitlines()
    return (
        None if ended.returncode == 0 else (lines[-1] if lines else f"exit status {ended.returncode}")[:300]
    )


def _marks(
    folder: Path,
    table: Table,
    train: pd.DataFrame,
    held_out: pd.DataFrame,
    asked: dict[int, pd.DataFrame],
    seed: int,
    plan: Plan,
) -> dict[str, float]:
    """Judge what the worker left behind."""
    marks: dict[str, float] = {}
    sampled = folder / "sampled.parquet"
    if sampled.is_file():
        synthetic = pd.read_parquet(sampled)
        marks |= judge(train, held_out, synthetic, table.target, table.kind, table.relations, seed)
        python = python_of("sdmetrics") if plan.foreign else None
        if python is not None:
            marks |= _foreign(python, folder, held_out, synthetic)
    for share, rows in asked.items():
        path = folder / f"filled_{share}.parquet"
        if path.is_file():
            truth = _known(train, held_out.iloc[: plan.asked])
            found = imputation(train, truth, rows, pd.read_parquet(path))
            named = zip((f"numbers_{share}", f"ranks_{share}", f"wrong_{share}"), found, strict=True)
            marks |= {name: value for name, value in named if np.isfinite(value)}
    densities = folder / "densities.parquet"
    if densities.is_file():
        log_p = pd.read_parquet(densities)["log_density"].to_numpy()
        marks["log_likelihood"] = float(log_p.mean())
        marks["log_likelihood_median"] = float(np.median(log_p))
    return marks


def _foreign(python: Path, folder: Path, real: pd.DataFrame, synthetic: pd.DataFrame) -> dict[str, float]:
    """Have SDMetrics judge as many synthetic rows as there are real ones."""
    m = min(len(real), len(synthetic))
    paths = folder / "real.parquet", folder / "synthetic.parquet"
    for path, rows in zip(paths, (real, synthetic), strict=True):
        rows.iloc[:m].to_parquet(path)
    command = [python, "-m", "on_tables.foreign", *paths]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(HERE)}, capture_output=True, text=True
    )
    if ended.returncode:
        return {}
    made: dict[str, float] = json.loads(ended.stdout.strip().splitlines()[-1])
    return made
