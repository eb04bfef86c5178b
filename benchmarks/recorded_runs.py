"""How good are the tutorial's samples, mended thing after thing? Writes the runs that the studio shows.

    python benchmarks/recorded_runs.py --runs runs/recorded

Each run takes six minutes of one core for the tutorial's 5,000 epochs; ``--epochs`` shortens them, and the
studio says how long they were. Runs that are there already are taken as they are; ``--only N`` makes one.
What is written to ``src/diffuscope/studio/recorded/`` has weights of 16 bits; the quality is that of the run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

import diffuscope
from diffuscope.runs.run import Run
from diffuscope.studio.plane_session import PlaneSession
from diffuscope.studio.recorded import DATA, FOLDER, RECIPE
from diffuscope.studio.requests import BudgetRequest

CHAIN: list[dict[str, object]] = [
    {},
    {"schedule.end": 0.02},
    {"data.scaling": "standard"},
    {"training.decay": "linear"},
]
POINTS = 200  # of a curve of losses


CLOUDS = {"n": 5000, "draws": 4}  # that the budget is measured with


def budget_of(run: Run) -> dict[str, object]:
    """Return what each part costs, measured once for a run."""
    file = run.path / "parts.json"
    if not file.is_file():
        session = PlaneSession(lambda message: None, lambda wait: None)
        session.open_run(run)
        sampling = session.payload["recipe"]["sampling"]
        found = session.on_budget(BudgetRequest.model_validate({**CLOUDS, "sampling": sampling}))
        file.write_text(json.dumps(found), "utf-8")
    budget: dict[str, object] = json.loads(file.read_text("utf-8"))
    return budget


def recorded(run: Run, changes: dict[str, object], place: Path) -> dict[str, object]:
    """Write the weights of a run; return what is told of it."""
    network = run.model.denoiser.network
    weights = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    save_file(weights, place)
    place.chmod(0o644)
    measured = run.quality
    lines = [(line["step"], line["loss"]) for line in run.metrics]
    every = max(1, len(lines) // POINTS)
    parts = [lines[i : i + every] for i in range(0, len(lines), every)]
    loss = {
        "step": [int(part[-1][0]) for part in parts],
        "value": [float(f"{sum(value for _, value in part) / len(part):.5g}") for part in parts],
    }
    quality = {key: round(getattr(measured, key), 4) for key in ("ratio", "low", "high")}
    return {"changes": changes, "quality": quality, "loss": loss, "budget": budget_of(run)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, default=Path("runs/recorded"))
    parser.add_argument("--epochs", type=int, default=5000)
    parser.add_argument("--only", type=int, help="train this run, and write nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(exist_ok=True)
    told: list[dict[str, object]] = []
    changes: dict[str, object] = {"training.epochs": options.epochs}
    for i, change in enumerate(CHAIN):
        changes = changes | change
        if options.only not in (None, i):
            continue
        run = diffuscope.train(
            DATA, recipe=RECIPE, settings=changes, out=options.runs / f"r{i}", pictures=False, exist_ok=True
        )
        if options.only is not None:
            return
        told.append(recorded(run, changes, FOLDER / f"{i}.safetensors"))
        print(i, changes, told[-1]["quality"])
    (FOLDER / "runs.json").write_text(json.dumps(told, separators=(",", ":")) + "\n", "utf-8")


if __name__ == "__main__":
    main()
