"""Make the runs beside this file, as this version of Diffuscope writes them.

    python tests/formats/make_runs.py VERSION

Files of a version that was released are never made again: later versions must read them as they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

import diffuscope

SMALL = {
    "network.width": 8,
    "network.depth": 1,
    "training.checkpoint_every": 20,
    "sampling.steps": 8,
    "data.size": None,
}


def draw_patients() -> pd.DataFrame:
    random = np.random.default_rng(0)
    n = 200
    days = pd.to_timedelta(random.integers(0, 90, n), unit="D")
    patients = pd.DataFrame(
        {
            "age": random.integers(18, 90, n),
            "sex": random.choice(["F", "M"], n),
            "weight": random.normal(70, 9, n).round(1),
            "smokes": random.random(n) < 0.3,
            "seen": pd.Timestamp("2024-01-01") + days,
            "income": np.exp(random.normal(10, 1, n)),
            "state": random.choice(["ill", "well"], n),
        }
    )
    patients.loc[::9, "weight"] = np.nan
    return patients


def main(folder: Path) -> None:
    points = diffuscope.train(
        "s_curve",
        out=folder / "points",
        steps=40,
        settings={**SMALL, "data.size": 500, "network.n_directions": 4},
        pictures=False,
    )
    patients = draw_patients()
    table = diffuscope.train(
        patients,
        out=folder / "table",
        steps=40,
        settings={**SMALL, "data.target": "state"},
        pictures=False,
    )
    rows = table.sample(5, seed=1)
    expected = {
        "points": points.sample(5, seed=1).tolist(),
        "point_densities": points.log_density(np.zeros((1, 2))).tolist(),
        "rows": json.loads(rows.to_json(orient="split", date_format="iso")),
        "row_densities": table.table.log_density(rows.drop(columns="state")).tolist(),
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(__file__).parent / sys.argv[1])
