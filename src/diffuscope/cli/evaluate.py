"""``diffuscope evaluate RUN``: how good are its samples, and would something simpler do as well?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from diffuscope.cli.common import Debug, Device, RunDir


def evaluate(
    run: RunDir,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Real data that the run never saw, as a table.", show_default=False),
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Measure simpler methods beside it.")] = True,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    device: Device = "auto",
    debug: Debug = False,
) -> None:
    """Measure a run's samples by every metric, beside simpler methods fitted to the same data."""
    from diffuscope.evaluation import evaluate as measure

    unseen = None
    if held_out is not None:
        from diffuscope.datasets import load_dataset

        unseen = load_dataset(held_out).x
    found = measure(run, held_out=unseen, baselines=baselines, seed=seed, device=device)
    found.save(run)
    if as_json:
        typer.echo(json.dumps(found.to_json()))
        return
    typer.echo(str(found))
    typer.echo(f"\npicture  {run / 'figures' / 'quality.png'}")
