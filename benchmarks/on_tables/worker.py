"""How does a contestant run? In a process and an environment of its own, with files of data in and out.

``python -m on_tables.worker NAME FOLDER`` reads ``task.json`` and parquet files of FOLDER, and writes parquet
files and ``done.json`` there, which grows with every stage: what was finished before a limit of time stays.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from on_tables.contestants import CONTESTANTS

__all__ = ["main"]


def main(name: str, folder: Path) -> None:
    task = json.loads((folder / "task.json").read_text("utf-8"))
    one = CONTESTANTS[name].make()
    done: dict[str, Any] = {"seconds_of": {}}

    def finish(stage: str, begun: float) -> None:
        done["seconds_of"][stage] = time.process_time() - begun
        done["note"] = one.note()
        (folder / "done.json").write_text(json.dumps(done), "utf-8")

    begun = time.process_time()
    one.fit(pd.read_parquet(folder / "train.parquet"), task["seed"], task["seconds"])
    finish("fit", begun)
    if task["n"]:
        begun = time.process_time()
        rows = one.sample(task["n"])
        if rows is not None:
            rows.to_parquet(folder / "sampled.parquet")
            finish("sample", begun)
    for share in task["holes"]:
        begun = time.process_time()
        filled = one.impute(pd.read_parquet(folder / f"asked_{share}.parquet"))
        if filled is not None:
            filled.to_parquet(folder / f"filled_{share}.parquet")
            finish(f"impute_{share}", begun)
    if task["densities"]:
        begun = time.process_time()
        log_p = one.log_density(pd.read_parquet(folder / "scored.parquet"))
        if log_p is not None:
            pd.DataFrame({"log_density": log_p}).to_parquet(folder / "densities.parquet")
            finish("score", begun)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
